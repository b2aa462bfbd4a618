"""Every row of the fault catalogue has a test at each tier it wants, or says why not; the page tells the truth."""

from pathlib import Path

from scripts import fault_catalogue, faults_report
from scripts.fault_catalogue import Mark, bounds, marks, missing, open_rows, rows
from scripts.faults_report import Result


def test_the_catalogue_is_whole() -> None:
    assert list(rows()) == [f"F{number:02}" for number in range(1, 69)]
    assert {measure.split()[0] for measure in bounds()} >= {f"B{number:02}" for number in range(1, 19)}


def test_each_row_has_a_test_at_each_tier_or_a_reason() -> None:
    """A row that got its test leaves the list of those that have none."""
    assert sorted(open_rows()) == sorted(missing(rows(), marks()))
    assert all(open_rows().values())


def test_marks_name_rows_that_exist() -> None:
    assert {mark.row for mark in marks()} <= set(rows())


def test_the_page_is_current() -> None:
    assert faults_report.PAGE.read_text() == faults_report.page(), "run `make faults-page`"


def test_marks_are_found_in_functions_classes_and_whole_files(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "sim"
    folder.mkdir(parents=True)
    (folder / "test_a.py").write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.process, pytest.mark.fault('F01')]\n"
        "@pytest.mark.fault('F02', 'F03', tier='Y')\n"
        "def test_one(): ...\n"
        "class TestB:\n"
        "    @pytest.mark.fault('F04')\n"
        "    def test_two(self): ...\n"
    )
    one, two = "tests/sim/test_a.py::test_one", "tests/sim/test_a.py::TestB::test_two"
    assert marks(tmp_path / "tests") == [
        Mark("F01", "S", two),
        Mark("F01", "S", one),
        Mark("F02", "Y", one),
        Mark("F03", "Y", one),
        Mark("F04", "S", two),
    ]


def test_a_row_without_a_test_is_missed() -> None:
    catalogue = {"F01": fault_catalogue.rows()["F01"]}
    assert missing(catalogue, [Mark("F01", "P", "x")]) == {("F01", "S")}


def test_results_of_tests_that_are_gone_are_dropped_and_newer_ones_count() -> None:
    old: dict[str, Result] = {
        "t::a[1]": {"test": "t::a[1]", "rows": ["F02"], "n": 1},
        "t::b": {"test": "t::b", "rows": ["F01"]},
    }
    new: dict[str, Result] = {"t::a[1]": {"test": "t::a[1]", "rows": ["F02"], "n": 2}}
    assert faults_report.merged(old, new, ["t::a"]) == [{"test": "t::a[1]", "rows": ["F02"], "n": 2}]
