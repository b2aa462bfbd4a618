"""The fixtures of the fault catalogue: rigs as in the end-to-end tests, and a case for each test."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeRig, make_rig, nothing_runs_on
from tests.e2e.rig import Rig
from tests.faults.case import Case, written

__all__ = ["MakeRig", "make_rig", "nothing_runs_on"]

_PASSED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-results", type=Path, help="append one JSON line for every fault test that passed"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test's body passed: only then have its checks something to say."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def case(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Case]:
    """The test's case on the module's ``rig``; what a failed test left armed is disarmed for the next one."""
    rows = tuple(row for mark in request.node.iter_markers("fault") for row in mark.args)
    assert rows, "mark the test with the rows it shows: @pytest.mark.fault('F01')"
    made = Case(rig, tuple(dict.fromkeys(rows)), request.node.nodeid)
    yield made
    if request.node.stash.get(_PASSED, False):
        with written(made, request.config.getoption("--fault-results")):
            made.close()
    else:
        rig.disarm()
