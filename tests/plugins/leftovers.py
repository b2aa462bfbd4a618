"""Fails a test session that leaves processes behind, and ends them: a stray bot would go on quoting.

Every process started by a test carries the session's mark in its environment, also after its parent died
and it was adopted by init. Without /proc (not Linux) nothing is checked.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

MARK = "PYTEST_SESSION_MARK"
GRACE_S = 2.0


def marked_processes(mark: str) -> dict[int, str]:
    """Pids other than ours whose environment holds the mark, each with its command line; no zombies."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked, or is not ours to read
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if command and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[pid] = command
    return found


class LeftoverGuard:
    """Marks the environment at the start of the session and looks for survivors at its end."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.survivors: dict[int, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        deadline = time.monotonic() + GRACE_S
        while (found := marked_processes(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.survivors = found
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.survivors:
            terminalreporter.section("processes that outlived the tests (killed now)")
            for pid, command in self.survivors.items():
                terminalreporter.line(f"{pid} {command[:200]}")


def pytest_configure(config: pytest.Config) -> None:
    if MARK in os.environ:  # a session inside a test: the outer one looks after its processes
        return
    os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"
    config.pluginmanager.register(LeftoverGuard(os.environ[MARK]), "leftover-guard")
