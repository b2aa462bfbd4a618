"""Run the simulation: ``python -m tests.sim.run --ticks 100000 --seed 1 [--profile rough] [--jobs 2]`` (``make sim``).

Every history is at most `RUN_TICKS` long and has a seed of its own, counted up from the given one; the profile names the
fault rate, or all of them in turn. A violation is shrunk and printed with what led to it; so is a run that saw too little.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.sim.shrink import Case, shrink
from tests.sim.world import Result

SWEEP = (0.0, 0.001, 0.01, 0.05, 0.2)
PROFILES = {"clean": (0.0,), "mild": (0.01,), "rough": (0.05,), "brutal": (0.2,), "sweep": SWEEP}
"""Fault rates: the share of all places where a fault could strike at which one does."""

RUN_TICKS = 2_400
"""One history: longer ones only repeat themselves, and a shrunk one should be short."""

FLOORS = {
    "fills": 150_000,
    "outcome unknown": 3_000,
    "outcome refused": 300,
    "outcome denied_locally": 50,
    "killed": 200,
    "restarts": 500,
    "halts": 50,
    "resumes": 50,
    "calm spells": 200,
    "ledgers compared": 200,
    "books compared": 100_000,
    "own sizes compared": 15_000,
}
"""At least so many per 1e6 ticks of the whole sweep: an empty or frozen run proves nothing."""

FAULT_FLOORS = {
    **dict.fromkeys(
        (
            f"orderbook_delta/{kind}"
            for kind in (
                "drop", "gap", "dup", "reorder", "delay", "ok", "error", "terminal", "overflow", "lie",
                "bad_json", "unknown_type", "missing_side", "negative_size",
            )
        ),
        60,
    ),
    **{f"span/{kind}": 15 for kind in ("half_open", "silence", "mute", "slow", "mirror")},
    **{f"upgrade/{kind}": 30 for kind in ("refuse", "denied", "flap")},
    "omit/hidden": 600,
    "eng/fill_all": 80,
    "eng/fill_first": 400,
    "eng/ghost": 60,
    "eng/other": 300,
    "eng/reduced": 60,
    **{
        f"happens/{kind}": 15
        for kind in (
            "pause", "pause_keep", "exchange_pause", "deactivate", "close", "grid", "fees", "foreign_order",
            "foreign_fill", "refuse",
        )
    },
    **{
        f"edit/{kind}": 30
        for kind in (
            "spread", "size", "cap", "disable", "nan", "negative", "hundredfold", "words", "delete",
            "stop", "exposure", "global_nan", "global_negative",
        )
    },
    "calendar/pause": 100,
    "calendar/close": 100,
    **{
        f"spell/{kind}": 10
        for kind in (
            "writes_429", "cancels_429", "writes_5xx", "cancels_5xx", "slow", "reads_429", "balance_429",
        )
    },
}  # fmt: skip
"""At least so many of these per 1e6 ticks of the whole sweep."""

PAIRS = 30
"""Different (order state × event) pairs that any sweep must have met."""


class Timed(NamedTuple):
    result: Result
    cpu_s: float


def simulate(seed: int, rate: float, ticks: int, replay: frozenset[str] | None = None) -> Result:
    """One history from its beginning. The same arguments give the same digest."""
    return Case(seed, rate, ticks, replay).run()


def plan(seed: int, ticks: int, rates: Sequence[float] = SWEEP) -> list[Case]:
    """Histories of `RUN_TICKS`, every rate in turn, as many as it takes for so many ticks."""
    return [Case(seed + at, rates[at % len(rates)], RUN_TICKS) for at in range(-(-ticks // RUN_TICKS))]


def sweep(cases: Sequence[Case], jobs: int = 1) -> list[Timed]:
    """The cases in their order, on so many processes (one: this one); hardly any is begun after a violation."""
    found: list[Timed] = []
    if jobs == 1:
        for case in cases:
            found.append(timed(case))
            if found[-1].result.violations:
                break
        return found
    with ProcessPoolExecutor(jobs) as pool:
        for at in range(0, len(cases), 4 * jobs):
            found += pool.map(timed, cases[at : at + 4 * jobs])
            if any(one.result.violations for one in found):
                break
    return found


def timed(case: Case) -> Timed:
    begun = time.process_time()
    result = case.run()
    return Timed(result, time.process_time() - begun)


def total(results: Iterable[Result]) -> tuple[Counter[str], Counter[str], set[tuple[str, str]]]:
    """Counts, faults that struck, and (order state × event) pairs of all runs together."""
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    pairs: set[tuple[str, str]] = set()
    for result in results:
        counts.update(result.counts)
        faults.update(result.faults)
        pairs |= result.pairs.keys()
    return counts, faults, pairs


def shortfalls(results: Sequence[Result]) -> list[str]:
    """What a sweep saw too little of, by the committed floors."""
    ticks = sum(result.ticks for result in results)
    counts, faults, pairs = total(results)
    found = [
        f"{name}: {seen[name]} in {ticks} ticks, at least {floor * ticks // 1_000_000} wanted"
        for seen, floors in ((counts, FLOORS), (faults, FAULT_FLOORS))
        for name, floor in floors.items()
        if seen[name] < floor * ticks // 1_000_000
    ]
    if len(pairs) < PAIRS:
        found.append(f"{len(pairs)} pairs of order state and event, at least {PAIRS} wanted")
    return found


def describe(result: Result, tries: int = 150) -> str:
    """A failure as it is reported: what broke, the shrunk case as a regression, the last records."""
    first = result.violations[0]
    case = shrink(result, tries)
    head = (
        f"seed {result.seed}, rate {result.rate:g}, tick {result.ticks}, {first.at_ms} ms: "
        f"{first.invariant}: {first.text}"
    )
    found = [
        head,
        f"{len(case.keys or ())} of {len(result.keys)} fault keys are needed:",
        json.dumps(case.store(commit(), first.invariant)),
        "the last records:",
        *result.records,
    ]
    return "\n  ".join(found)


def commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def report(profile: str, seed: int, jobs: int, found: Sequence[Timed]) -> dict[str, object]:
    """The one line of a run: what was run and what it saw. Counts are also given per 1e6 ticks."""
    results = [one.result for one in found]
    counts, faults, pairs = total(results)
    ticks = sum(result.ticks for result in results)
    return {
        "commit": commit(),
        "seed": seed,
        "profile": profile,
        "rates": PROFILES[profile],
        "jobs": jobs,
        "runs": len(results),
        "ticks": ticks,
        "virtual_h": round(sum(result.virtual_s for result in results) / 3_600, 1),
        "ticks_per_cpu_s": round(ticks / sum(one.cpu_s for one in found)),
        "violations": sum(len(result.violations) for result in results),
        "counts": dict(sorted(counts.items())),
        "per_1e6_ticks": {name: counts[name] * 1_000_000 // ticks for name in FLOORS},
        "floors": FLOORS,
        "pairs": len(pairs),
        "faults": dict(sorted(faults.items())),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", choices=PROFILES, default="sweep")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tries", type=int, default=150, help="runs that shrinking a failure may take")
    options = parser.parse_args(arguments)
    found = sweep(plan(options.seed, options.ticks, PROFILES[options.profile]), options.jobs)
    results = [one.result for one in found]
    sys.stdout.write(json.dumps(report(options.profile, options.seed, options.jobs, found)) + "\n")
    sys.stdout.flush()
    problems = [describe(result, options.tries) for result in results if result.violations]
    if not problems and options.profile == "sweep":
        problems = shortfalls(results)
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
