"""F39–F46: fills that come late, twice, by pages or not at all, and what others do on our account."""

import time

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, sides
from tests.faults.case import Case

pytestmark = pytest.mark.process

A, B, MANY = "KXMONEY-26NOV20-A", "KXMONEY-26NOV20-B", "KXMONEY-26NOV20-MANY"
SILENT = {"scope": "private", "keep_pings": True, "keep_pongs": True}
"""The socket lives, the books go on, and nothing of our own account is told."""
FILLS = 250
"""The thousands of the catalogue are read in the unit tests; here a page holds a hundred."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    """One bot quotes three markets of two shards through all of these tests."""
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2), StaticMarket(MANY)])
    rig.configure(A, B)
    rig.configure(MANY, quote_size=26, max_inventory_yes=60, max_inventory_no=60)
    rig.start()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> None:
    """Each test begins with both sides of all markets resting."""
    if not rig.bot.alive:
        rig.start()
    rig.until_status("the socket in use", lambda s: s["feed"] == "ws", 30.0)
    rig.quoting(seconds=60.0)


def booked(rig: Rig, fills: int, seconds: float) -> float:
    """Wait until the bot has booked so many fills in this life. Returns the seconds."""
    begun = time.monotonic()
    rig.until_status(f"{fills} fills booked", lambda s: s["counts"]["fills"] >= fills, seconds)
    assert rig.status()["counts"]["fills"] == fills, "none twice"
    return time.monotonic() - begun


def counted(rig: Rig) -> int:
    return int(rig.status()["counts"]["fills"])


@pytest.mark.fault("F39")
def test_fills_of_a_disconnect_are_found_by_rest_and_booked_once(case: Case, rig: Rig) -> None:
    """Guard: `StateManager.book_fill` knows the keys of what it booked: two readers find these fills again and again."""
    before = counted(rig)
    case.arm("ws.refuse", params={"status": 502})
    case.arm("ws.close")
    rig.until_status("rest in use", lambda s: s["feed"] == "rest", 5.0)
    began = time.monotonic()
    for n in range(5):
        rig.quoting(A, B)
        rig.hit(A if n % 2 else B, Side.ASK if n % 2 else Side.BID, 1)
        time.sleep(3.8)
    case.held("the line was away for all five fills", time.monotonic() - began > 18.0)
    case.measured("B10", booked(rig, before + 5, 10.0))
    case.disarm()
    rig.until_status("the socket again", lambda s: s["feed"] == "ws", 20.0)
    rig.quoting()
    assert counted(rig) == before + 5


@pytest.mark.short
@pytest.mark.fault("F39")
def test_fills_that_only_the_account_read_tells_are_booked_within_ten_seconds(case: Case, rig: Rig) -> None:
    """Guard: `RiskMonitor.read_when_due`: the account every 5 s, whatever the socket tells."""
    before = counted(rig)
    case.arm("ws.silence", params=SILENT)
    for side in Side:
        rig.hit(A, side, 1)
    case.held("both filled while the private channels were silent", rig.fills() >= before + 2)
    case.measured("B10", booked(rig, before + 2, 10.0))
    assert counted(rig) == before + 2


@pytest.mark.fault("F41")
def test_fills_that_come_by_pages_are_all_booked_and_pages_that_go_round_are_none(
    case: Case, rig: Rig
) -> None:
    """Guard: `KalshiClient._pages` raises for a cursor that goes round; the next read has them all."""
    before = counted(rig)
    silent = case.arm("ws.silence", params=SILENT)
    loop = case.arm("read.page", {"surface": "fills"}, {"how": "loop"})
    rig.run(lambda v: fill_by_hundredths(v, FILLS))
    case.until_hit(loop, 20.0, 3)
    assert counted(rig) == before, "a listing that goes round for ever is none"
    case.disarm(loop)
    pages = case.arm("read.page", {"surface": "fills"}, {"how": "cut", "n": 100})
    booked(rig, before + FILLS, 20.0)
    case.held("they took three pages", case.hits_of(pages) >= 3)
    case.disarm(silent)


def fill_by_hundredths(venue: Venue, fills: int) -> None:
    order = next(o for o in resting(venue, MANY) if o.side is Side.BID)
    for _ in range(fills):
        assert venue.engine.fill_order(order.order_id, 1, venue.now_ms()) == 1


@pytest.mark.fault("F43")
def test_positions_that_lag_are_no_reason_to_doubt_or_to_trade(case: Case, rig: Rig) -> None:
    """Guard: `Reconciler._positions` believes a difference only in a second read."""
    before = counted(rig)
    case.arm(
        "read.stale", {"surface": "positions"}, {"surface": "positions", "lag_ms": 3_000, "dated": False}
    )
    reads = rig.status()["counts"]["risk_reads"]
    rig.until_status("a read", lambda s: s["counts"]["risk_reads"] > reads, 10.0)
    time.sleep(3.2)  # the next one comes while the positions still lag
    rig.hit(B, Side.ASK, 2)
    booked(rig, before + 1, 5.0)
    end = time.monotonic() + 12.0
    while time.monotonic() < end:
        assert any(ticker == B for ticker, _ in rig.run(sides)), "the market was frozen"
        time.sleep(0.1)
    told = [line["mismatches"] for line in rig.bot.log() if line.get("mismatches")]
    case.held("a read differed", any(B in text for texts in told for text in texts))
    assert counted(rig) == before + 1
    assert rig.status()["halts"] == []


@pytest.mark.timeout(200)
@pytest.mark.fault("F44")
def test_a_position_that_no_fill_explains_freezes_its_market_and_halts_after_a_minute(
    case: Case, rig: Rig
) -> None:
    """Guard: `Reconciler._positions` holds the exchange's positions against ours."""
    before = counted(rig)
    case.arm("ws.silence", params=SILENT)
    case.arm("read.omit", {"surface": "fills"}, {"surface": "fills", "all": True})
    rig.hit(A, Side.BID, 3)
    case.held("the exchange knows of the fill", rig.fills() > before)
    frozen = rig.withdrawn(A, seconds=13.0)
    assert frozen < 13.0
    rig.quoting(B, MANY, seconds=1.0)  # the others go on (FAULTS L04)
    halted = rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 75.0)
    rig.withdrawn(seconds=5.0)
    assert "mismatch" in halted["halts"][0]["reason"]
    case.disarm()
    booked(rig, before + 1, 20.0)
    for halt in halted["halts"]:
        rig.resume(halt["halt_id"])
    rig.quoting(seconds=20.0)


@pytest.mark.short
@pytest.mark.fault("F46")
def test_what_others_do_on_the_account_is_told_counted_and_left_alone(case: Case, rig: Rig) -> None:
    """Guard: `OrderStore.is_ours` tells orders by their prefix; a fill of theirs is the account's position."""
    before, held = counted(rig), position(rig, B)
    begun = time.monotonic()
    case.arm(
        "acct.foreign",
        params={"what": "order", "ticker": B, "side": "bid", "price": "0.2000", "count": "7.00"},
    )
    rig.until_status("the foreign order", lambda s: s["counts"]["foreign_orders"] == 1, 10.0)
    case.measured("B09", time.monotonic() - begun)
    (theirs,) = [o for o in rig.run(lambda v: resting(v, B)) if o.price_e4 == 2_000]
    case.held("an order of somebody else rests", not theirs.client_order_id.startswith(rig.own_prefix))
    rig.run(lambda v: v.engine.fill_order(theirs.order_id, 200, v.now_ms()))
    case.measured("B10", booked(rig, before + 1, 10.0))
    assert position(rig, B) == held + 200
    assert theirs.order_id in {o.order_id for o in rig.run(lambda v: resting(v, B))}
    rig.run(lambda v: v.engine.operator_cancel(theirs.order_id, v.now_ms()))
    rig.until_status("it gone", lambda s: s["counts"]["foreign_orders"] == 0, 10.0)


def position(rig: Rig, ticker: str) -> int:
    net = rig.status()["positions"].get(ticker, {}).get("net", "0.00")
    return round(float(net) * 100)
