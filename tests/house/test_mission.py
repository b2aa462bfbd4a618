"""The trace table is complete, and its checker lets nothing pass that has no proof."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.mission import ROOT, TABLE, Row, changed, expected_items, problems, quoted, read_results, rows_of

PROVEN = "tests/house/test_mission.py::test_every_item_is_in_the_table_once"
DONE = Row("S2-1", "five layers", "`pyproject.toml`", f"`{PROVEN}`", "done")


def table_with(row: Row) -> list[Row]:
    """A complete table in which everything is open but one row."""
    return [
        row if item == row.item else Row(item, "something", "–", "–", "open") for item in expected_items()
    ]


def test_every_item_is_in_the_table_once() -> None:
    items = [row.item for row in rows_of(TABLE.read_text())]
    assert items == expected_items()
    assert len(items) == 601


def test_what_a_done_row_names_exists() -> None:
    """A test that is renamed takes its rows along at once, not when the whole of CI has run."""
    named = {
        (row.item, test)
        for row in rows_of(TABLE.read_text())
        if row.state == "done"
        for test in quoted(row.shown_by)
    }
    sources = {
        path: (ROOT / path).read_text()
        for path in {test.split("::")[0] for _, test in named}
        if (ROOT / path).is_file()
    }
    assert len(named) > 200
    assert [
        f"{item}: {test}"
        for item, test in sorted(named)
        if f"def {test.split('::')[-1]}(" not in sources.get(test.split("::")[0], "")
    ] == []


def test_a_proven_row_passes() -> None:
    assert problems(table_with(DONE), {PROVEN: True}) == []


@pytest.mark.parametrize(
    ("row", "results", "said"),
    [
        (DONE, {}, "did not run"),
        (DONE, {PROVEN: False}, "did not pass"),
        (replace(DONE, shown_by="–"), {}, "names no test"),
        (replace(DONE, where="`dora_bot/nowhere.py`"), {PROVEN: True}, "does not exist"),
        (replace(DONE, state="finished"), {}, "is not one of"),
        (replace(DONE, state="decided", shown_by="because"), {}, "neither a K item"),
        (replace(DONE, state="decided", shown_by="K99"), {}, "K99 is no item"),
        (replace(DONE, state="decided", shown_by="`docs/adr/9999-x.md`"), {}, "does not exist"),
        (replace(DONE, item="K1", state="decided", shown_by="K1"), {}, "neither a K item"),
    ],
)
def test_an_unproven_row_is_named(row: Row, results: dict[str, bool], said: str) -> None:
    (problem,) = problems(table_with(row), results)
    assert problem.startswith(row.item + ": ")
    assert said in problem


def test_missing_doubled_and_unknown_items_are_named() -> None:
    rows = table_with(DONE)
    missing, unknown = problems(
        [row for row in rows if row.item != "B7"] + [replace(DONE, item="B99")], {PROVEN: True}
    )
    assert missing == "B7: stands in the table 0 times"
    assert unknown == "B99: is no item of the list"
    assert problems([*rows, DONE], {PROVEN: True}) == ["S2-1: stands in the table 2 times"]


def test_reports_join_the_cases_of_one_test(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite>"
        "<testcase classname='tests.house.test_mission' name='test_a[1]'/>"
        "<testcase classname='tests.house.test_mission' name='test_a[2]'><failure/></testcase>"
        "<testcase classname='tests.house.test_mission.TestB' name='test_b'/>"
        "<testcase classname='tests.house.test_mission' name='test_c'><skipped/></testcase>"
        "</testsuite></testsuites>"
    )
    assert read_results([report]) == {
        "tests/house/test_mission.py::test_a": False,
        "tests/house/test_mission.py::TestB::test_b": True,
        "tests/house/test_mission.py::test_c": False,
    }


def test_rows_are_changed_in_place() -> None:
    text = "".join(f"{row.cells()}\n" for row in table_with(replace(DONE, state="open", shown_by="–")))
    after = changed(text, "done", ["S2-1", "B7"], [PROVEN])
    rows = {row.item: row for row in rows_of(after)}
    assert rows["S2-1"] == DONE
    assert (rows["B7"].state, rows["B7"].shown_by) == ("done", f"`{PROVEN}`")
    assert rows["B8"].state == "open"
    with pytest.raises(ValueError, match="no such item: B99"):
        changed(text, "done", ["B99"], [PROVEN])
