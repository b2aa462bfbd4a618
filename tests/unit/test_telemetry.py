"""The log: one JSON object a line for what matters, never waiting for anybody, never raising into the tick."""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dora_bot.models import Side
from dora_bot.reconcile import Reconciled
from dora_bot.telemetry import Telemetry
from dora_bot.tick_report import TickReport
from tests.fakes.bench import Bench
from tests.fakes.core import T, snapshot
from tests.fakes.exchange import LOST

ROOT = Path(__file__).parents[2]


class Logged:
    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "bot.log"
        self.telemetry = Telemetry(state_dir, to_stderr=False)
        self.bench = Bench()
        self.closed = False

    def tick(self) -> None:
        self.telemetry.emit(self.bench.tick())

    def close(self) -> None:
        if not self.closed:
            self.telemetry.close()
        self.closed = True

    def lines(self) -> list[dict[str, Any]]:
        """Everything logged; the log is closed by it."""
        self.close()
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Logged]:
    logged = Logged(tmp_path)
    yield logged
    logged.close()


def test_each_order_is_a_line_with_market_side_price_size_and_outcome(logged: Logged) -> None:
    logged.tick()
    (bid, ask) = [line for line in logged.lines() if line["action"] == "place"]
    wanted = {
        "market_id": T,
        "side": "bid",
        "price": "0.4100",
        "size": "10.00",
        "outcome": "accepted",
        "level": "INFO",
    }
    assert wanted.items() <= bid.items()
    assert (ask["side"], ask["reason"]) == ("ask", "new quote")


def test_an_unknown_outcome_and_a_veto_are_warnings(logged: Logged) -> None:
    logged.bench.exchange.answers = deque([LOST])
    logged.tick()
    lines = logged.lines()
    assert [line["level"] for line in lines if line["outcome"] == "unknown"] == ["WARNING"]


def test_a_veto_names_its_check(logged: Logged) -> None:
    logged.tick()
    logged.bench.post(snapshot(3_000, 4_000))
    logged.tick()
    (veto,) = [line for line in logged.lines() if line["message"] == "vetoed"]
    assert (veto["check"], veto["level"]) == ("check_self_cross", "WARNING")


def test_a_quiet_tick_and_a_renewal_write_nothing(logged: Logged) -> None:
    logged.tick()
    for _ in range(5):
        logged.tick()
    logged.bench.clock.advance(30_000)
    logged.tick()
    assert len(logged.bench.exchange.sent("amend")) == 2
    assert len(logged.lines()) == 2


def test_a_fill_is_a_line_with_its_fee_and_source(logged: Logged) -> None:
    logged.tick()
    logged.bench.trade(Side.ASK, 250, fee_e6=17)
    logged.tick()
    (fill,) = [line for line in logged.lines() if line["action"] == "fill"]
    assert (fill["side"], fill["size"], fill["fee"], fill["source"]) == ("ask", "2.50", "0.000017", "ws")


def test_reconciliation_is_logged_when_it_found_something(logged: Logged) -> None:
    logged.telemetry.emit(Reconciled())
    logged.telemetry.emit(Reconciled(adopted=1, mismatches=("KXA: we believe 1.00, the exchange says 2.00",)))
    (line,) = logged.lines()
    assert (line["adopted"], line["mismatches"]) == (1, ["KXA: we believe 1.00, the exchange says 2.00"])


def test_a_problem_of_a_slow_thread_is_named(logged: Logged) -> None:
    logged.telemetry.problem("drain", TimeoutError("no answer"))
    (line,) = logged.lines()
    assert (line["action"], line["reason"], line["level"]) == ("drain", "TimeoutError: no answer", "WARNING")


def test_every_report_is_scored_and_handed_on(logged: Logged) -> None:
    seen: list[TickReport] = []
    logged.telemetry.on_report = seen.append
    logged.tick()
    logged.tick()
    assert [r.number for r in seen] == [1, 2]
    assert (logged.telemetry.scores.ticks, logged.telemetry.scores.placed) == (2, 2)


def test_a_log_that_is_opened_after_another_is_its_own(tmp_path: Path) -> None:
    for name in ("first", "second"):
        directory = tmp_path / name
        directory.mkdir()
        logged = Logged(directory)
        logged.telemetry.problem(name, ValueError("x"))
        assert [line["action"] for line in logged.lines()] == [name]


def test_what_is_nobodys_report_is_ignored(logged: Logged) -> None:
    logged.telemetry.emit("hello")
    assert logged.lines() == []


ENDS = """
import pathlib, sys
from dora_bot.telemetry import Telemetry
telemetry = Telemetry(pathlib.Path(sys.argv[1]))
for number in range(2_000):
    telemetry.log.info("a line that nobody reads", extra={"action": "x" * 200})
    telemetry.print_line("x" * 200)
telemetry.close()
"""


def test_a_process_ends_though_nobody_reads_its_log(tmp_path: Path) -> None:
    """The pipe of both streams is full for ever: neither the close nor the interpreter's own end may wait for it."""
    unread, full = os.pipe()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", ENDS, str(tmp_path)],
            cwd=ROOT,
            stdout=full,
            stderr=full,
            timeout=60,
            check=False,
        )
    finally:
        os.close(unread)
        os.close(full)
    assert ended.returncode == 0
    assert (tmp_path / "bot.log").stat().st_size > 0


def test_a_full_disk_of_the_log_is_nobodys_problem(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bot.log").symlink_to("/dev/full")
    telemetry = Telemetry(tmp_path)
    telemetry.log.info("goes on")
    telemetry.close()
    said = capfd.readouterr().err
    assert "goes on" in said
    assert "Traceback" not in said


def test_lines_of_stdout_come_whole_and_in_order_and_a_reader_that_leaves_ends_nothing(
    tmp_path: Path,
) -> None:
    program = ENDS.replace('"x" * 200)', "str(number))").replace("2_000", "3_000")
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.split() == [str(number) for number in range(3_000)]
    gone, end = os.pipe()
    os.close(gone)
    left = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=end,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    os.close(end)
    assert left.returncode == 0
