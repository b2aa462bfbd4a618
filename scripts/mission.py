"""Holds docs/mission.md, the trace table of everything the product owes, against what is really there.

Usage::

    python scripts/mission.py REPORT.xml …             check the table against this run's test results
    python scripts/mission.py --open S2                list the open items whose id begins so
    python scripts/mission.py --set done S2-37,S2-38 'tests/unit/test_risk_manager.py::test_caps' …

The check fails unless every item stands in the table exactly once, every done row names existing modules and
tests that passed in this run, and every decided row names another K item or a decision record that exists.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "mission.md"

SECTIONS = {"S0-": 85, "S1-": 39, "S2-": 178, "S3-": 66, "S4-": 113, "K": 34, "B": 50, "P": 6}
PARTS = {"S2-49": "abcdefgh", "S2-50": "abc", "S2-51": "abcdefgh", "S2-52": "abcdef", "S3-21": "abcde"}
STATES = {"done", "decided", "open"}
NOTHING = "–"

Results = Mapping[str, bool]
"""Test node id without parameters → whether it ran and all its cases passed."""


@dataclass(frozen=True)
class Row:
    """One item: what it is, where it lives, what shows it, and how far it is."""

    item: str
    title: str
    where: str
    shown_by: str
    state: str

    def cells(self) -> str:
        return f"| {self.item} | {self.title} | {self.where} | {self.shown_by} | {self.state} |"


def expected_items() -> list[str]:
    items = []
    for prefix, count in SECTIONS.items():
        for number in range(1, count + 1):
            item = f"{prefix}{number}"
            items += [item, *(item + part for part in PARTS.get(item, ""))]
    return items


def rows_of(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5 and re.fullmatch(r"[SKBP]\d.*", cells[0]):
            yield Row(*cells)


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def read_results(reports: Sequence[Path]) -> dict[str, bool]:
    """Join JUnit reports; a test of which any case failed, erred or was skipped did not pass."""
    results: dict[str, bool] = {}
    for report in reports:
        # The reports are written by our own pytest a moment before: nothing hostile is parsed.
        for case in ET.parse(report).iter("testcase"):  # noqa: S314  (our own file, see above)
            module, classes = split_classname(case.get("classname", ""))
            name = case.get("name", "").split("[")[0]
            nodeid = "::".join((module, *classes, name))
            passed = not any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
            results[nodeid] = results.get(nodeid, True) and passed
    return results


def split_classname(classname: str) -> tuple[str, list[str]]:
    """``tests.unit.test_x.TestY`` → the file's path and the classes inside it."""
    parts = classname.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end]) + ".py"
        if (ROOT / path).is_file():
            return path, parts[end:]
    return classname, []


def row_problems(row: Row, results: Results) -> Iterator[str]:
    if row.state not in STATES:
        yield f"{row.item}: state {row.state!r} is not one of {', '.join(sorted(STATES))}"
    elif row.state == "done":
        yield from done_problems(row, results)
    elif row.state == "decided":
        yield from decided_problems(row)


def done_problems(row: Row, results: Results) -> Iterator[str]:
    for path in quoted(row.where):
        if not (ROOT / path).exists():
            yield f"{row.item}: {path} does not exist"
    tests = quoted(row.shown_by)
    if not tests:
        yield f"{row.item}: done, but names no test"
    for test in tests:
        if test not in results:
            yield f"{row.item}: {test} did not run"
        elif not results[test]:
            yield f"{row.item}: {test} did not pass"


def decided_problems(row: Row) -> Iterator[str]:
    records = [path for path in quoted(row.shown_by) if re.fullmatch(r"docs/adr/\d{4}-[\w-]+\.md", path)]
    conflicts = [item for item in re.findall(r"\bK\d+\b", row.shown_by) if item != row.item]
    known = {f"K{number}" for number in range(1, SECTIONS["K"] + 1)}
    if not records and not conflicts:
        yield f"{row.item}: decided, but names neither a K item nor a decision record"
    for path in records:
        if not (ROOT / path).is_file():
            yield f"{row.item}: {path} does not exist"
    for item in conflicts:
        if item not in known:
            yield f"{row.item}: {item} is no item"


def problems(rows: Sequence[Row], results: Results) -> list[str]:
    """Everything wrong with the table, in the order of the list."""
    counts = Counter(row.item for row in rows)
    expected = expected_items()
    found = [f"{item}: stands in the table {counts[item]} times" for item in expected if counts[item] != 1]
    found += [f"{item}: is no item of the list" for item in counts if item not in set(expected)]
    return found + [problem for row in rows for problem in row_problems(row, results)]


def changed(text: str, state: str, items: Sequence[str], shown_by: Sequence[str]) -> str:
    """The table with the named rows in a new state; an unknown item is a ValueError."""
    missing = set(items) - {row.item for row in rows_of(text)}
    if missing:
        raise ValueError(f"no such item: {', '.join(sorted(missing))}")
    proof = " ".join(name if re.fullmatch(r"K\d+", name) else f"`{name}`" for name in shown_by) or NOTHING
    lines = []
    for line in text.splitlines():
        row = next(rows_of(line), None)
        if row is not None and row.item in items:
            lines.append(Row(row.item, row.title, row.where, proof, state).cells())
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--open", metavar="PREFIX", help="list the open items whose id begins so")
    parser.add_argument(
        "--set", nargs=2, metavar=("STATE", "ITEMS"), help="change rows; then what shows them"
    )
    parser.add_argument("names", nargs="*", help="JUnit reports, or with --set: node ids, K items, records")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    text = TABLE.read_text()
    rows = list(rows_of(text))
    if args.set:
        state, items = args.set
        TABLE.write_text(changed(text, state, items.split(","), args.names))
        return 0
    if args.open is not None:
        for row in rows:
            if row.state == "open" and row.item.startswith(args.open):
                print(f"{row.item:8} {row.title}")
        return 0
    found = problems(rows, read_results([Path(name) for name in args.names]))
    for problem in found:
        print(f"mission: {problem}")
    counts = Counter(row.state for row in rows)
    print("mission: " + ", ".join(f"{counts[state]} {state}" for state in ("done", "decided", "open")))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
