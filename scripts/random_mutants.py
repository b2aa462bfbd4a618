"""Change the modules that guard money at random places and see the tests notice it.

usage: scripts/random_mutants.sh [--count 120] [--seed 1] [--jobs 2] [--record]

A sample of all changes that cosmic-ray knows (an operator, a comparison, a number, a condition …) in risk, execution,
reconciliation, state and diff. Each is judged by the unit tests of its module, then by the simulation. A survivor
must stand in tests/mutants/survivors.toml with the reason why no test can tell it. Prints one JSON line a change and
a sum; exit 1 if fewer than 85 % were killed or a survivor has no reason there.
"""

import argparse
import difflib
import json
import random
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from scripts.mutants import ROOT, Edit, Judge, Mutant
from scripts.results import Section

WANTED = 0.85
SURVIVORS = ROOT / "tests" / "mutants" / "survivors.toml"
UNIT = "tests/unit"
MODULES: dict[str, tuple[str, ...]] = {
    "risk_manager": ("test_risk_manager", "test_loss_limits", "test_event_caps", "test_ceilings"),
    "risk_monitor": ("test_risk_monitor",),
    "execution": ("test_execution",),
    "reconcile": ("test_reconcile",),
    "state_manager": (
        "test_state_manager",
        "test_reconcile",
        "test_loss_limits",
        "test_order_groups",
        "test_group_watch",
    ),
    "own_orders": ("test_own_orders", "test_state_manager", "test_reconcile"),
    "order_store": ("test_state_manager", "test_reconcile"),
    "order_diff": ("test_order_diff",),
}
"""Module → its own tests; all of them are also judged by test_main and by the simulation."""

KINDS = re.compile(
    r"core/(ReplaceComparisonOperator_(?!Is)\w+_(?!Is)\w+|ReplaceComparisonOperator_Is(Not)?_Is(Not)?"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul)|ReplaceUnaryOperator_(Delete_)?(USub|Not)\w*"
    r"|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue"
    r"|ReplaceContinueWithBreak|NumberReplacer|ZeroIterationForLoop)"
)
"""Changes of what a line computes. Those of type annotations, decorators and exception names say nothing here."""


class Place(NamedTuple):
    """One change: the ``occurrence``-th place of a module where an operator of cosmic-ray fits."""

    module: str
    operator: str
    occurrence: int


def places(module: str) -> Iterator[Place]:
    tree = parso.parse(path_of(module).read_text(encoding="utf-8"))
    nodes = list(ast_nodes(tree))
    for name in sorted(filter(KINDS.fullmatch, operator_names())):
        operator = get_operator(name)()
        count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        yield from (Place(module, name, number) for number in range(count))


def path_of(module: str) -> Path:
    return ROOT / "dora_bot" / f"{module}.py"


def mutant(place: Place) -> Mutant:
    source = path_of(place.module).read_text(encoding="utf-8")
    mutated = mutate_code(source, get_operator(place.operator)(), place.occurrence) or source
    killers = tuple(f"{UNIT}/{test}.py" for test in (*MODULES[place.module], "test_main"))
    what = told(source, mutated)
    edit = Edit(f"dora_bot/{place.module}.py", source, mutated)
    return Mutant(f"{place.module}: {what}", what, (edit,), killers, ("sim",))


def told(source: str, mutated: str) -> str:
    """The changed line, before → after."""
    lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), lineterm="", n=0)
    body = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    before = next((line[1:].strip() for line in body if line.startswith("-")), "")
    after = next((line[1:].strip() for line in body if line.startswith("+")), "")
    return f"{before} → {after}"


def sample(count: int, seed: int) -> list[Mutant]:
    """So many of all changes, the same ones for the same seed and sources."""
    found = [place for module in MODULES for place in places(module)]
    random.Random(seed).shuffle(found)  # noqa: S311  (a repeatable sample, no secret)
    chosen: list[Place] = []
    for place in found:
        if len(chosen) < count and not mutant(place).what.startswith("@"):
            chosen.append(place)
    return [mutant(place) for place in sorted(chosen)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="write the table of docs/faults.md")
    options = parser.parse_args()
    with Judge(options.jobs) as judge:
        verdicts = judge.all(sample(options.count, options.seed), lambda m: (*m.unit, *m.beyond))
    # One that does not even import was noticed, too: unchanged, the same tests pass.
    killed = [v for v in verdicts if v.end != "survived"]
    reasons = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))
    unexplained = [v.mutant.id for v in verdicts if v.end == "survived" and v.mutant.id not in reasons]
    share = len(killed) / len(verdicts)
    told_of = {
        "seed": options.seed,
        "mutants": len(verdicts),
        "killed": len(killed),
        "share": round(share, 3),
    }
    print(json.dumps({**told_of, "unexplained": unexplained}, ensure_ascii=False))
    if options.record:
        survivors = [v.mutant.id for v in verdicts if v.end == "survived"]
        text = f"{len(killed)} of {len(verdicts)} ({share:.0%}) were noticed by the tests. What survived, and why:"
        rows = [[f"`{name}`", reasons.get(name, "not explained")] for name in survivors]
        command = f"make mutants-random ARGS='--count {options.count} --seed {options.seed} --record'"
        section = Section(
            "Random mutants", command, text, ("change", "why nothing notices"), rows, options.seed
        )
        section.write("random-mutants")
    return 0 if share >= WANTED and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())
