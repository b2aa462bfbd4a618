"""F53, F55, F57, F58: the database, the disk and the log fail; another instance takes the lease."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dora_bot.demo_children import child_environment
from dora_bot.models import Side
from dora_bot.paper.admin_actions import ACTIONS
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import ROOT, Rig, resting, until
from tests.fakes.aws import FaultyProxy
from tests.faults.case import Case
from tests.faults.supervisor import injected

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_runs_on")]

A, B = "KXSTORE-26NOV20-A", "KXSTORE-26NOV20-B"
TERM_S = 15.0
DARK_S = {"throttle": 40.0, "refuse": 25.0, "hang": 25.0}


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


def quoting(rig: Rig, case: Case, **environ: str) -> None:
    rig.start(**environ)
    rig.quoting(seconds=60.0)
    case.held("both sides of both markets rest", len(rig.run(resting)) == 4)


# ── the database ────────────────────────────────────────────────────────────────────────────────


def assert_it_outlives(case: Case, rig: Rig, how: str, seconds: float) -> None:
    """The database fails for so long: quotes stop when the lease's margin ends, nothing is lost, and all comes back."""
    with FaultyProxy(rig.environ["AWS_ENDPOINT_URL"]) as proxy:
        quoting(rig, case, AWS_ENDPOINT_URL=proxy.url)
        before = rig.until_status("ticks", lambda s: s["counts"]["ticks"] > 5, 10.0)
        seen = len(proxy.seen)
        proxy.fault = lambda _operation: how
        dark = time.monotonic()
        rig.hit(A, Side.ASK, 2)
        rig.until_status("the fill booked in the dark", lambda s: s["counts"]["fills"] == 1, 10.0)
        rig.withdrawn(seconds=TERM_S + 2)
        status = rig.until_status("a pause", lambda s: s["posture"] == "PAUSED", 5.0)
        assert status["halts"] == []
        while time.monotonic() < dark + seconds:
            assert not rig.run(resting)
            assert rig.bot.alive, rig.bot.last_words()
            time.sleep(0.1)
        ticks = rig.status()["counts"]["ticks"] - before["counts"]["ticks"]
        assert ticks >= (time.monotonic() - dark) / 0.5 * 0.8
        case.measured("B17", rig.status()["tick_ms"]["p99"] / 1_000)
        case.struck(f"ddb.{how}", len(proxy.seen) - seen)
        proxy.fault = lambda _operation: ""
        back = time.monotonic()
        rig.quoting(seconds=30.0)
        case.measured("F53 back", time.monotonic() - back)
        assert rig.status()["halts"] == []
        assert rig.bot.stop(seconds=40.0) == 0


@pytest.mark.fault("F53")
@pytest.mark.parametrize("how", DARK_S)
def test_a_database_that_fails_stops_quotes_at_the_leases_end_and_loses_nothing(
    case: Case, rig: Rig, how: str
) -> None:
    """Guard: `ExposureGate.no_quotes` asks for the lease's margin; the journal keeps what the tables refuse."""
    assert_it_outlives(case, rig, how, DARK_S[how])


@pytest.mark.nightly
@pytest.mark.timeout(500)
@pytest.mark.fault("F53")
@pytest.mark.parametrize("how", DARK_S)
def test_a_database_that_fails_for_five_minutes_is_outlived(case: Case, rig: Rig, how: str) -> None:
    """Guard: as above."""
    assert_it_outlives(case, rig, how, 300.0)


@pytest.mark.fault("F53")
def test_a_halt_needs_no_database(case: Case, rig: Rig) -> None:
    """Guard: the halt file and the kill path come first; the database is told last."""
    with FaultyProxy(rig.environ["AWS_ENDPOINT_URL"]) as proxy:
        quoting(rig, case, AWS_ENDPOINT_URL=proxy.url)
        seen = len(proxy.seen)
        proxy.fault = lambda _operation: "hang"
        command = subprocess.Popen(
            [sys.executable, "-m", "dora_bot.cli", "halt", "--reason", "no database"],
            env={
                **child_environment({**rig.environ, "AWS_ENDPOINT_URL": proxy.url}),
                "PYTHONPATH": str(ROOT),
            },
            cwd=rig.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        halts = rig.folder / "state" / "halts.jsonl"
        until("the halt", lambda: halts.exists() and halts.stat().st_size, 20.0)
        begun = time.monotonic()
        rig.withdrawn(seconds=10.0)
        case.measured("B01 clean", time.monotonic() - begun)
        assert command.wait(30) == 0
        rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 5.0)
        case.struck("ddb.hang", len(proxy.seen) - seen)
        proxy.fault = lambda _operation: ""
        assert rig.bot.stop(seconds=40.0) == 3


# ── another instance ────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("F55")
def test_an_instance_that_slept_through_its_lease_sends_nothing_more(
    case: Case, rig: Rig, tmp_path: Path
) -> None:
    """Guards: the gate, asked before each exposure write (the lease's margin, the frozen tick), and `Executor._late`; each
    alone holds this. It is stopped where it has decided to write and has not asked for leave yet.
    """
    trigger = rig.folder / "stop"
    rig.launch(injected("MainThread", "stop", trigger), {})
    rig.quoting(seconds=60.0)
    case.held("both sides of both markets rest", len(rig.run(resting)) == 4)
    first = rig.bot
    key_file = tmp_path / "second.pem"
    made = rig.run(lambda v: ACTIONS["add_key"](v, {"path": str(key_file)}, v.now_ms()))
    trigger.touch()
    until("a write decided", trigger.with_suffix(".struck").exists, 20.0)
    case.struck("SIGSTOP")
    stopped = time.monotonic()
    rig.start(
        DORA_STATE_DIR=str(rig.folder / "second"),
        DORA_KALSHI_KEY_ID=str(made["key_id"]),
        DORA_KALSHI_PRIVATE_KEY_PATH=str(key_file),
    )
    second = rig.bot
    until("the second holds the lease", (rig.folder / "second" / "status.json").exists, 40.0)
    time.sleep(max(40 - (time.monotonic() - stopped), 0))
    rig.quoting(seconds=30.0)
    mark = rig.run(lambda v: v.journal.last)
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(40) == 5, first.last_words()
    assert not [request for request in case.history(mark).requests if request.is_exposure]
    rig.quoting(seconds=10.0)
    assert second.alive
    assert second.stop() == 0


# ── the log, the disk ───────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("F57")
def test_a_log_that_nobody_reads_and_a_full_log_disk_touch_no_tick(case: Case, rig: Rig) -> None:
    """Guard: `Telemetry`'s bounded queue. SNS and CloudWatch are not there yet; the log is the sink that is."""
    log = rig.folder / "state" / "bot.log"
    log.parent.mkdir(exist_ok=True)
    log.symlink_to("/dev/full")
    unread, blocked = os.pipe()
    bot = subprocess.Popen(
        [sys.executable, "-m", "dora_bot.cli", "run"],
        env={**child_environment(rig.environ), "PYTHONPATH": str(ROOT)},
        cwd=rig.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=blocked,
        start_new_session=True,
    )
    try:
        rig.quoting(seconds=60.0)
        case.held("both sides of both markets rest", len(rig.run(resting)) == 4)
        fill_pipe(blocked)
        case.struck("a log that nobody reads")
        for n in range(6):
            rig.move(A, 4_700 - 100 * (n % 2), 5_200 - 100 * (n % 2))
            time.sleep(1.0)
        status = rig.status()
        assert status["halts"] == []
        case.measured("B17", status["tick_ms"]["p99"] / 1_000)
        rig.quoting(seconds=10.0)
        bot.terminate()
        rig.withdrawn(seconds=10.0)
        assert bot.wait(40) == 0
    finally:
        bot.kill()
        bot.wait()
        os.close(unread)
        os.close(blocked)


def fill_pipe(end: int) -> None:
    """From here on a write to the pipe waits for ever."""
    os.set_blocking(end, False)
    with suppress(BlockingIOError):
        while True:
            os.write(end, b"x" * 4_096)
    os.set_blocking(end, True)


def fill_file(path: Path) -> None:
    """Until its file system is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65_536)


@contextmanager
def no_file_grows(pid: int) -> Iterator[None]:
    """As on a full disk: every write of that process to a file fails."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.fault("F58")
def test_a_disk_that_takes_nothing_freezes_the_bot_until_it_does(case: Case, rig: Rig) -> None:
    """Guard: `Bot.undurable` and `Executor._intend`: what cannot be written down before is not sent."""
    quoting(rig, case)
    with no_file_grows(rig.bot.process.pid):
        case.struck("no file grows")
        rig.hit(A, Side.ASK, 2)
        rig.withdrawn(seconds=10.0)
        mark = rig.run(lambda v: v.journal.last)
        time.sleep(5.0)
        assert not [r for r in case.history(mark).requests if r.is_exposure]
        assert rig.bot.alive, rig.bot.last_words()
    rig.quoting(seconds=20.0)
    rig.until_status("the fill", lambda s: s["counts"]["fills"] == 1, 5.0)
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


@pytest.mark.fault("F58", tier="Y")
def test_a_file_system_that_is_full_freezes_and_read_only_refuses_the_start(
    case: Case, rig: Rig, tmp_path: Path
) -> None:
    """Guard: as above, on a file system of 4 MB that another program fills."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=False).returncode:
        pytest.skip("this user cannot mount a file system")
    try:
        quoting(rig, case, DORA_STATE_DIR=str(small / "state"))
        fill_file(small / "others")
        case.struck("a full file system")
        rig.hit(A, Side.ASK, 2)
        rig.withdrawn(seconds=20.0)
        assert rig.bot.alive, rig.bot.last_words()
        (small / "others").unlink()
        rig.quoting(seconds=20.0)
        assert rig.bot.stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        rig.start(DORA_STATE_DIR=str(small / "state"))
        assert rig.bot.process.wait(40) in (1, 2)
        assert "Read-only" in rig.bot.words()[0]
        assert not rig.run(resting)
    finally:
        rig.end_bots()
        subprocess.run(["umount", small], check=True)
