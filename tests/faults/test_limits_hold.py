"""Loss limits reached by fills, and what they raised held over midnight, the exchange's pause and a restart."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until
from tests.faults.case import Case

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_runs_on")]

LOSER, OTHER = "KXHOLDS-26NOV20-A", "KXELSE-26NOV20-A"
BEFORE_MIDNIGHT_S = 60
LIMITS = {"max_daily_loss": "daily loss limit", "max_drawdown": "drawdown limit"}


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(LOSER), StaticMarket(OTHER, exchange_index=2)])
    rig.configure(max_inventory_yes=100, max_inventory_no=100, quote_size=20)
    return rig


def start(rig: Rig, offset_ms: int) -> None:
    rig.launch(["-m", "tests.faults.shifted", str(offset_ms), "run"], {})


def to_midnight(rig: Rig) -> tuple[int, int]:
    """Move the exchange's clock to shortly before a UTC midnight. Returns by how much, and when that midnight is."""
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    offset_ms = round((midnight - now).total_seconds() - BEFORE_MIDNIGHT_S) * 1_000
    rig.run(lambda v: v.clock.shift(offset_ms))
    return offset_ms, round(midnight.timestamp() * 1_000)


def lose(rig: Rig) -> None:
    """Twenty contracts are sold to our bid; then the market falls by 40 cents."""
    rig.hit(LOSER, Side.ASK, 20)
    rig.until_status("a long position", lambda s: s["positions"].get(LOSER, {}).get("net") == "20.00", 10.0)
    rig.move(LOSER, 400, 900)


def sides(rig: Rig, ticker: str) -> set[Side]:
    return {order.side for order in rig.run(lambda v: resting(v, ticker))}


def pause_and_return(case: Case, rig: Rig) -> None:
    """As on a Thursday: the exchange closes and opens again, a little faster."""
    pause = case.arm("mkt.exchange_pause", {}, {"keep_orders": True})
    case.until_hit(pause, 5.0)
    rig.until_status("the pause", lambda s: "the exchange is paused" in str(s), 20.0)
    case.disarm(pause)
    rig.run(lambda v: v.engine.pause("exchange", v.now_ms(), on=False))
    rig.until_status("the end of it", lambda s: "the exchange is paused" not in str(s), 20.0)


@pytest.mark.fault("F66")
@pytest.mark.parametrize("limit", LIMITS)
def test_a_halt_for_a_loss_holds_over_midnight_a_pause_and_a_restart(
    case: Case, rig: Rig, limit: str
) -> None:
    """Guard: the latch; the loss of the new day is none, and ends no halt."""
    rig.edit("global_config", limit, {"N": "5"})
    offset_ms, midnight_ms = to_midnight(rig)
    start(rig, offset_ms)
    rig.quoting(seconds=50.0)
    case.held("it is still the day before", rig.run(lambda v: v.now_ms()) < midnight_ms - 5_000)
    lose(rig)
    status = rig.until_status("a halt", lambda s: s["halts"], 10.0)
    assert (status["posture"], status["halts"][0]["reason"]) == ("HALTED", LIMITS[limit])
    rig.withdrawn(seconds=5.0)
    mark = rig.run(lambda v: v.journal.last)
    rig.until("midnight", lambda v: v.now_ms() > midnight_ms + 2_000, 80.0)
    pause_and_return(case, rig)
    status = rig.until_status("a new day", lambda s: s["counts"]["ticks"], 5.0)
    assert [halt["reason"] for halt in status["halts"]] == [LIMITS[limit]]
    assert rig.bot.stop() == 3
    start(rig, offset_ms)
    rig.until_status("a halted start", lambda s: s["posture"] == "HALTED", 40.0)
    time.sleep(2.0)
    assert not [request for request in case.history(mark).requests if request.is_exposure]
    assert rig.bot.stop() == 3


@pytest.mark.fault("F66")
def test_an_event_that_lost_too_much_only_reduces_over_midnight_a_pause_and_a_restart(
    case: Case, rig: Rig
) -> None:
    """Guard: as above, with the exposure of the other event at its cap the whole time."""
    rig.edit("global_config", "max_event_loss", {"N": "5"})
    offset_ms, midnight_ms = to_midnight(rig)
    start(rig, offset_ms)
    rig.quoting(seconds=50.0)
    case.held("it is still the day before", rig.run(lambda v: v.now_ms()) < midnight_ms - 5_000)
    lose(rig)
    status = rig.until_status("a hold", lambda s: s["halts"], 10.0)
    assert (status["posture"], status["halts"][0]["scope"]) == ("RUN", f"event#{LOSER.rsplit('-', 1)[0]}")
    until("only asks", lambda: sides(rig, LOSER) == {Side.ASK}, 10.0)
    rig.hit(OTHER, Side.ASK, 20)
    rig.until_status("a position", lambda s: s["positions"].get(OTHER, {}).get("net") == "20.00", 10.0)
    rig.edit("global_config", "max_total_exposure", {"N": "10"})
    rig.edit(OTHER, "enabled", {"BOOL": False})
    rig.withdrawn(OTHER, seconds=10.0)
    rig.edit(OTHER, "enabled", {"BOOL": True})
    until("only the way out", lambda: sides(rig, OTHER) == {Side.ASK}, 15.0)
    rig.until("midnight", lambda v: v.now_ms() > midnight_ms + 2_000, 80.0)
    pause_and_return(case, rig)
    for _ in range(2):
        until(
            "only asks again",
            lambda: (sides(rig, LOSER), sides(rig, OTHER)) == ({Side.ASK}, {Side.ASK}),
            40.0,
        )
        time.sleep(2.0)
        assert (sides(rig, LOSER), sides(rig, OTHER)) == ({Side.ASK}, {Side.ASK})
        assert rig.bot.stop() == 0
        start(rig, offset_ms)
        rig.until_status("a start", lambda s: s["counts"]["ticks"] > 2, 40.0)
    assert rig.bot.stop() == 0
