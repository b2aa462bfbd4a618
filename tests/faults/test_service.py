"""F60, F64, and a starved watchdog: the bot as a service, under a supervisor that obeys the unit file."""

import time

import pytest

from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until
from tests.faults.case import Case
from tests.faults.supervisor import Supervisor, Unit, injected

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_runs_on")]

TICKERS = [f"KXSERV-26NOV20-{name}" for name in "ABCDE"]
ORDERS = 10


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(t, exchange_index=n % 2) for n, t in enumerate(TICKERS)])
    rig.configure()
    return rig


def quoting(rig: Rig, case: Case, service: Supervisor) -> None:
    until("a start", lambda: service.bot is not None, 10.0)
    rig.quoting(seconds=60.0)
    case.held("10 orders rest", len(rig.run(resting)) == ORDERS)


@pytest.mark.short
@pytest.mark.fault("F60", tier="Y")
def test_a_killed_service_leaves_no_order_and_is_started_again(case: Case, rig: Rig) -> None:
    """Guard: ExecStopPost of the unit; without it the orders wait for the next life, or for their own expiry."""
    with Supervisor(rig) as service:
        quoting(rig, case, service)
        until("ready", lambda: service.count("ready") == 1, 10.0)
        assert service.bot is not None
        service.bot.process.kill()
        case.struck("SIGKILL")
        killed = time.monotonic()
        rig.withdrawn(seconds=20.0)
        case.measured("B06", time.monotonic() - killed)
        assert service.count("started") == 1, "the next life would cancel what it does not wish, too"
        until("its clean-up has ended", lambda: service.count("post 0") == 1, 20.0)
        until("a second start", lambda: service.count("started") == 2, 15.0)
        begun = time.monotonic()
        rig.quoting(seconds=60.0)
        case.measured("L03 restart", time.monotonic() - begun)
        assert [said for _, said in service.told] == [
            "started",
            "ready",
            "exited -9",
            "post 0",
            "started",
            "ready",
        ]
    assert service.told[-1][1] == "inactive"
    assert service.count("stopping") == 1
    assert not rig.run(resting)


@pytest.mark.fault("F64", tier="Y")
def test_a_service_that_crashes_on_start_is_given_up_with_no_order_and_no_churn(case: Case, rig: Rig) -> None:
    """Guard: StartLimitBurst of the unit. The orders are those of the life before."""
    journal = rig.folder / "state" / "journal.sqlite"
    with Supervisor(rig) as service:
        quoting(rig, case, service)
        assert service.bot is not None
        service.bot.process.kill()
        until("its end", lambda: service.count("exited") == 1, 5.0)
        for file in journal.parent.glob("journal.sqlite*"):
            file.unlink()
        journal.write_bytes(b"this is no journal" * 1_000)
        mark = rig.run(lambda v: v.journal.last)
        until("the unit has failed", lambda: service.count("failed") == 1, 150.0)
    burst = service.unit.number("StartLimitBurst", "Unit")
    assert service.told[-1][1] == "failed: start-limit-hit"
    assert service.count("started") == burst
    assert service.count("exited 1") == burst - 1
    case.struck("a crash on start", burst - 1)
    assert not rig.run(resting)
    history = case.history(mark)
    assert not [r for r in history.requests if r.is_exposure]
    assert sum(r.method == "DELETE" for r in history.requests) <= 2  # what the first life left, once
    for bot in rig.bots[-(burst - 1) :]:
        (line,) = bot.words()
        assert "journal" in line
    journal.unlink()


@pytest.mark.fault("F62", tier="Y")
def test_a_hung_tick_starves_the_watchdog_and_the_service_comes_back(case: Case, rig: Rig) -> None:
    """Guard: only `Runtime.after_tick` feeds the watchdog."""
    trigger = rig.folder / "hang"
    with Supervisor(rig, command=injected("MainThread", "hang", trigger)) as service:
        quoting(rig, case, service)
        until("ready", lambda: service.count("ready") == 1, 10.0)
        trigger.touch()
        hung = time.monotonic()
        until("the watchdog", lambda: service.count("watchdog") == 1, 30.0)
        case.struck("proc.hang MainThread")
        allowed = service.unit.number("WatchdogSec")
        assert allowed - 1 <= service.at("watchdog") - hung <= allowed + 3
        rig.withdrawn(seconds=20.0)
        trigger.unlink()
        until("a second start", lambda: service.count("started") == 2, 20.0)
        until("its readiness", lambda: service.count("ready") == 2, 60.0)
    assert not rig.run(resting)


def test_a_slow_beat_is_not_taken_for_a_hang(rig: Rig) -> None:
    rig.edit("global_config", "loop_interval_ms", {"N": "15000"})
    with Supervisor(rig) as service:
        until("ready", lambda: service.count("ready") == 1, 60.0)
        time.sleep(service.unit.number("WatchdogSec") + 8.0)
        assert [said for _, said in service.told] == ["started", "ready"]
    rig.edit("global_config", "loop_interval_ms", {"N": "500"})


def test_the_unit_keeps_to_what_the_bot_needs_of_it() -> None:
    unit = Unit.read()
    assert unit.number("TimeoutStopSec") >= 15
    burst, seconds = (unit.number(f"StartLimit{name}", "Unit") for name in ("Burst", "IntervalSec"))
    slowest = unit.number("TimeoutStartSec") + unit.number("RestartSec")
    assert burst * slowest <= seconds, "slow crashes would never reach the limit"
    assert unit.command("ExecStart") == ["-m", "dora_bot.cli", "run"]
