"""Refuses skips and expected failures that nobody has agreed to, so that a green CI means the tests ran.

`tests/allowed_skips.txt` lists the agreed reasons. Only a run with ``CI=true`` in its environment fails;
elsewhere pytest's own summary (``-ra``) shows them.
"""

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES_PATH = ROOT / "tests" / "allowed_skips.txt"
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class Rule:
    """One agreed reason: a shell pattern, and whether it holds ``always`` or only with ``no-shared``."""

    pattern: str
    when: str

    def allows(self, reason: str, *, shared_present: bool) -> bool:
        holds = self.when == "always" or not shared_present
        return holds and fnmatchcase(reason, self.pattern)


def read_rules(text: str) -> list[Rule]:
    """Parse ``pattern | when | why`` lines; a line without all three is a ValueError."""
    rules = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, when, why = (part.strip() for part in line.split("|"))
        if when not in {"always", "no-shared"} or not why:
            raise ValueError(f"{line!r}: 'when' must be always or no-shared, and 'why' must say why")
        rules.append(Rule(pattern, when))
    return rules


class SkipGuard:
    """Collects the reasons of one session and judges them at its end."""

    def __init__(self, rules: list[Rule], *, shared_present: bool, enforced: bool) -> None:
        self.rules = rules
        self.shared_present = shared_present
        self.enforced = enforced
        self.unlisted: list[str] = []

    def note(self, nodeid: str, reason: str) -> None:
        if not any(rule.allows(reason, shared_present=self.shared_present) for rule in self.rules):
            self.unlisted.append(f"{nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, "wasxfail"):
            self.note(report.nodeid, f"xfail: {report.wasxfail}")
        elif report.skipped:
            self.note(report.nodeid, reason_of(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.note(report.nodeid, reason_of(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.enforced and self.unlisted:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.unlisted:
            return
        terminalreporter.section("skips and xfails that tests/allowed_skips.txt does not list")
        for line in self.unlisted:
            terminalreporter.line(line)
        if self.enforced:
            terminalreporter.line("CI=true: this fails the run")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What the test gave as its reason, without pytest's ``Skipped:`` prefix."""
    detail = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return str(detail).removeprefix("Skipped: ")


def pytest_configure(config: pytest.Config) -> None:
    guard = SkipGuard(
        read_rules(RULES_PATH.read_text()),
        shared_present=SHARED.is_dir(),
        enforced=os.environ.get("CI") == "true",
    )
    config.pluginmanager.register(guard, "skip-guard")
