"""Rules of the house that import-linter cannot say: who asks the time, who may know of paper, who stays lean.

The layers themselves are contracts in pyproject.toml (`make check`).
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dora_bot"
SOURCES = sorted(PACKAGE.rglob("*.py"))

CLOCKS = {"clock.py", "paper/exchange_clock.py"}
"""The bot's clock, and the exchange's: a second program with a clock of its own."""

KNOWS_PAPER = re.compile(r"(cli\w*|demo\w*|bootstrap|local_aws\w*)\.py|(paper|backtest)/.*")
"""The other programs, the command line that starts them, and the composition root."""

TIME_CALL = re.compile(
    r"(time\.)?(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep|localtime|gmtime)"
    r"|(datetime\.)?(datetime|date)\.(now|utcnow|today)"
)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Every module a file imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def time_names(tree: ast.Module) -> set[str]:
    """Names a file takes from the module ``time``; a bare ``sleep`` of a port is not one of them."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }


def time_calls(tree: ast.Module) -> Iterator[str]:
    bare = time_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in bare or ("." in called and TIME_CALL.fullmatch(called)):
                yield f"{node.lineno}: {called}"


def paper_branches(tree: ast.Module) -> Iterator[int]:
    """Lines that compare or match something with ``"paper"``."""
    for node in ast.walk(tree):
        operands: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        constants = [
            leaf for operand in operands for leaf in ast.walk(operand) if isinstance(leaf, ast.Constant)
        ]
        if any(leaf.value == "paper" for leaf in constants):
            yield operands[0].lineno


def test_only_the_clocks_ask_the_time() -> None:
    asked = {
        name: calls
        for path in SOURCES
        if (calls := list(time_calls(parsed(path)))) and (name := relative(path))
    }
    assert {name: calls for name, calls in asked.items() if name not in CLOCKS} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time\ntime.sleep(1)", ["2: time.sleep"]),
        ("from time import monotonic\nmonotonic()", ["2: monotonic"]),
        ("import datetime\ndatetime.datetime.now()", ["2: datetime.datetime.now"]),
        ("def f(clock):\n    clock.sleep(1)\n    return clock.now()", []),
    ],
)
def test_the_search_for_clocks_finds_them(source: str, found: list[str]) -> None:
    assert list(time_calls(ast.parse(source))) == found


def test_only_the_composition_root_and_other_programs_know_of_paper_and_backtest() -> None:
    words = re.compile(r"back-?test|dry[ _-]?run", re.IGNORECASE)
    strangers = [path for path in SOURCES if not KNOWS_PAPER.fullmatch(relative(path))]
    assert [relative(path) for path in strangers if words.search(path.read_text())] == []
    assert [
        f"{relative(path)}:{line}"
        for path in strangers
        if relative(path) != "config.py"  # the one place that names the environments
        for line in paper_branches(parsed(path))
    ] == []


def test_a_branch_on_paper_is_found() -> None:
    tree = ast.parse(
        "if env == 'paper': pass\nmatch env:\n    case 'paper': pass\nif env in ('demo', 'paper'): pass"
    )
    assert sorted(paper_branches(tree)) == [1, 3, 4]


def test_the_bot_imports_neither_the_paper_exchange_nor_moto() -> None:
    others = re.compile(r"dora_bot\.paper(\..*)?|moto(\..*)?")
    found = {
        f"{relative(path)}: {name}"
        for path in SOURCES
        if not KNOWS_PAPER.fullmatch(relative(path))
        for name in imported_names(parsed(path))
        if others.fullmatch(name)
    }
    assert found == set()


def test_starting_the_bot_loads_neither_the_paper_exchange_nor_moto() -> None:
    probe = (
        "import sys, dora_bot.bootstrap\n"
        "print(sorted(m for m in sys.modules if m.startswith(('dora_bot.paper', 'moto', 'aiohttp'))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["kill", "watchdog"])
def test_the_kill_path_stands_on_transport_and_signing_alone(module: str) -> None:
    probe = (
        f"import sys, dora_bot.{module}\nprint(*sorted(m for m in sys.modules if m.startswith('dora_bot.')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    vocabulary = layers_from("ports")
    shared = {"kill", module, "signing", "http_transport", "call_ticket", "pulse"}
    lean = {*shared, *(name for names in vocabulary for name in names)}
    assert set(run.stdout.split()) <= {f"dora_bot.{name}" for name in lean}


def test_every_module_imports_only_from_the_layers_below_it() -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "Contracts: 2 kept, 0 broken." in run.stdout


def contracts() -> dict[str, dict[str, list[str]]]:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract for contract in pyproject["tool"]["importlinter"]["contracts"]}


def layers_from(first: str) -> list[list[str]]:
    """The names of every layer from that of module ``first`` down."""
    layers = [re.findall(r"\w+", layer) for layer in contracts()["layers"]["layers"]]
    return layers[next(n for n, names in enumerate(layers) if first in names) :]


def test_every_module_from_main_down_is_held_to_the_pure_core_contract() -> None:
    existing = {path.stem for path in PACKAGE.iterdir()}
    expected = {f"dora_bot.{name}" for names in layers_from("main") for name in names if name in existing}
    assert set(contracts()["pure-core"]["source_modules"]) == expected
