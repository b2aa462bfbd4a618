"""The fault catalogue, its bounds, and the tests that say which rows they show.

A test names its rows with ``@pytest.mark.fault("F01", "F06")``; its tier follows from its folder unless the marker
says ``tier="Y"``. The marks are read from the source, so that looking them up imports and runs nothing.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
CATALOGUE = TESTS / "faults" / "catalogue.txt"
BOUNDS = TESTS / "faults" / "bounds.txt"
OPEN_ROWS = TESTS / "faults" / "open_rows.txt"

TIER_OF_FOLDER = {"unit": "U", "contract": "U", "house": "U", "sim": "S", "e2e": "P", "faults": "P"}
TIERS = "USPY"


@dataclass(frozen=True)
class Row:
    """One scenario of the catalogue; ``tiers`` are those at which a test is wanted."""

    row: str
    section: str
    injection: str
    expected: str
    tiers: tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """A measure and its limit: at most ``limit``, or at least where ``at_least``."""

    measure: str
    limit: float
    unit: str
    meaning: str
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def worst(self, values: list[float]) -> float:
        return min(values) if self.at_least else max(values)

    def shown_limit(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}"


@dataclass(frozen=True, order=True)
class Mark:
    """A test that shows a row at a tier; ``test`` is a node id without parameters."""

    row: str
    tier: str
    test: str


def rows(text: str | None = None) -> dict[str, Row]:
    """The catalogue by row id, in its order. Raises ValueError for a line that is none."""
    found: dict[str, Row] = {}
    section = ""
    for line in _lines(CATALOGUE.read_text() if text is None else text):
        if line.startswith("## "):
            section = line.removeprefix("## ")
            continue
        row, injection, expected, tiers = line.split(" | ")
        found[row] = Row(row, section, injection, expected, tuple(tiers.split()))
    return found


def bounds() -> dict[str, Bound]:
    """The bounds by measure, in the order of the file."""
    found = {}
    for line in _lines(BOUNDS.read_text()):
        measure, limit, unit, meaning = line.split(" | ")
        at_least = limit.startswith(">=")
        found[measure] = Bound(measure, float(limit.removeprefix(">=")), unit, meaning, at_least)
    return found


def open_rows(text: str | None = None) -> dict[tuple[str, str], str]:
    """(row, tier) without a test → why."""
    found = {}
    for line in _lines(OPEN_ROWS.read_text() if text is None else text):
        place, why = line.split(" | ")
        row, tier = place.split()
        found[row, tier] = why
    return found


def marks(tests: Path = TESTS) -> list[Mark]:
    """Every fault mark in the tests, sorted."""
    found: set[Mark] = set()
    for path in sorted(tests.rglob("test_*.py")):
        source = path.read_text()
        if "mark.fault(" in source:
            nodeid = f"{tests.name}/{path.relative_to(tests).as_posix()}"
            found.update(_marks_of(source, nodeid))
    return sorted(found)


def _marks_of(source: str, nodeid: str) -> Iterator[Mark]:
    tier = TIER_OF_FOLDER.get(nodeid.split("/")[1], "U")
    tree = ast.parse(source)
    everywhere = [
        call
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for call in _fault_calls(node.value)
    ]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    holders: list[ast.Module | ast.ClassDef] = [tree, *classes]
    for holder in holders:
        within = f"::{holder.name}" if isinstance(holder, ast.ClassDef) else ""
        for node in holder.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                calls = [call for one in node.decorator_list for call in _fault_calls(one)]
                for call in (*everywhere, *calls):
                    yield from _marks_in(call, tier, f"{nodeid}{within}::{node.name}")


def _fault_calls(node: ast.AST) -> list[ast.Call]:
    return [
        call
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault"
    ]


def _marks_in(call: ast.Call, tier: str, test: str) -> Iterator[Mark]:
    named = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    for argument in call.args:
        yield Mark(ast.literal_eval(argument), named.get("tier", tier), test)


def missing(catalogue: Mapping[str, Row], found: list[Mark]) -> set[tuple[str, str]]:
    """(row, tier) where a test is wanted and none is marked."""
    there = {(mark.row, mark.tier) for mark in found}
    return {(row.row, tier) for row in catalogue.values() for tier in row.tiers} - there


def _lines(text: str) -> Iterator[str]:
    """The lines that say something: no blank ones, and no comments (``# …``)."""
    return (line for line in text.splitlines() if line.strip() and not line.startswith("# "))
