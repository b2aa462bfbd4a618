"""The runbook has a section for every reason for which the bot halts, and the guards' page names tests that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.mission import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
GUARDS = ROOT / "docs" / "guards.md"
LATCHING = frozenset({"halt", "latch", "raise_halt", "Breach"})
"""Calls whose first argument is the reason of a halt."""
RETURNED = frozenset({"halt", "halt_reason"})
"""Names under which a pure part hands a reason to whoever latches it."""
BY_HAND = "trading_halted was set by hand"


def texts(node: ast.expr) -> Iterator[str]:
    """The strings an expression may be; what an f-string fills in is written …"""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from texts(value)


def reasons_in(function: ast.FunctionDef) -> Iterator[str]:
    assigned: dict[str, list[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).extend(texts(node.value))
    for name in RETURNED & assigned.keys():
        yield from assigned[name]
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in LATCHING:
                first = node.args[0]
                yield from assigned.get(first.id, []) if isinstance(first, ast.Name) else texts(first)


def halt_reasons() -> set[str]:
    found = {BY_HAND}
    for path in (ROOT / "dora_bot").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found |= set(reasons_in(node))
    return found


def test_every_reason_to_halt_has_its_section_and_no_section_is_of_a_reason_that_is_gone() -> None:
    told = set(re.findall(r"^### `(.+)`$", RUNBOOK.read_text(), re.MULTILINE))
    assert told == halt_reasons()


def test_the_collector_sees_each_way_in_which_a_reason_is_given() -> None:
    code = """
def f(self, late, name):
    self.halt("a", "evidence")
    self.halt(f"the {name} thread died", "e")
    reason = "b" if late else "c"
    p.latch.latch(reason, "by")
    yield Breach("d", "text")
    halt = f"e: {name}"
    other("not one")
"""
    (function,) = ast.parse(code).body
    assert isinstance(function, ast.FunctionDef)
    assert set(reasons_in(function)) == {"a", "b", "c", "d", "e: …", "the … thread died"}


def test_every_guard_names_where_it_is_and_a_test_that_exists() -> None:
    rows = [line for line in GUARDS.read_text().splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) > 40
    for row in rows:
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row):
            assert f"def {name}(" in source(path), f"{path}::{name}"
        for module, name in re.findall(r"`([a-z_/]+\.py)::(\w+)`", row.replace("`tests/", "`§")):
            assert name in source(f"dora_bot/{module}"), f"{module}::{name}"


def source(path: str) -> str:
    place = Path(ROOT / path)
    return place.read_text() if place.is_file() else ""
