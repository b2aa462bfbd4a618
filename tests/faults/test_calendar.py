"""F66, F67, F68: pauses that were announced, closes that move, rules that change while orders rest."""

import time

import pytest

from dora_bot.paper.admin_actions import ACTIONS
from dora_bot.paper.grids import GRIDS
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, quotes, resting, until
from tests.faults.case import Case

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_runs_on")]

A, B = "KXCAL-26NOV20-A", "KXCAL-26NOV20-B"
MARGIN_MS = 60_000
READS = ("/portfolio/orders", "/user_data_timestamp")


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


def quoting(rig: Rig, case: Case) -> None:
    rig.start()
    rig.quoting(seconds=60.0)
    case.held("both sides of both markets rest", len(rig.run(resting)) == 4)


def own_orders_after(case: Case, ticker: str, from_ms: int, until_ms: int) -> list[str]:
    """Own orders that rested in the market at any time of that span, by the journal."""
    resting_since: dict[str, int] = {}
    spans: list[tuple[str, int, int]] = []
    for entry, order_id, order in case.history().own_orders():
        if order["ticker"] != ticker:
            continue
        if order["status"] == "resting":
            resting_since.setdefault(order_id, entry["at_ms"])
        elif order_id in resting_since:
            spans.append((order_id, resting_since.pop(order_id), entry["at_ms"]))
    spans += [(order_id, since, 1 << 60) for order_id, since in resting_since.items()]
    return [order_id for order_id, since, end in spans if since < until_ms and end > from_ms]


@pytest.mark.fault("F66")
def test_nothing_rests_from_a_minute_before_an_announced_pause_until_all_is_read_again(
    case: Case, rig: Rig
) -> None:
    """Guard: the closures in `risk_manager.stance`; without them the orders meet a pause in which cancels are refused."""
    begin_ms = rig.run(lambda v: ACTIONS["maintenance"](v, {"in_ms": 90_000, "for_ms": 20_000}, v.now_ms()))[
        "start_ms"
    ]
    quoting(rig, case)
    rig.until("the minute before", lambda v: v.now_ms() >= begin_ms - MARGIN_MS, 90.0)
    assert not rig.run(resting)
    assert rig.status()["posture"] == "PAUSED"
    rig.until("the pause", lambda v: v.now_ms() >= begin_ms, 70.0)
    pause = case.arm("mkt.exchange_pause", {}, {"keep_orders": True})
    closed = case.arm("ws.close", {}, {"code": 1001}, {"count": 1})
    case.until_hit(pause, 5.0)
    rig.until("its end", lambda v: v.now_ms() >= begin_ms + 20_000, 40.0)
    case.disarm(pause, closed)
    rig.run(lambda v: v.engine.pause("exchange", v.now_ms(), on=False))
    over = rig.run(lambda v: (v.journal.last, v.now_ms()))
    rig.quoting(seconds=40.0)
    late = own_orders_after(case, A, begin_ms - MARGIN_MS, over[1])
    case.measured("B14", len(late))
    requests = case.history(over[0]).requests
    first = next(n for n, request in enumerate(requests) if request.is_exposure)
    assert any(request.path.endswith(READS) for request in requests[:first])
    assert rig.bot.stop() == 0


@pytest.mark.fault("F67")
def test_a_close_that_comes_near_and_a_market_that_stops_and_goes_on(case: Case, rig: Rig) -> None:
    """Guards: `on_hold` before the close; orders that a deactivation took are known to be gone by evidence."""
    quoting(rig, case)
    near = case.arm("mkt.state", {}, {"to": "close_at", "ticker": A, "in_ms": 20_000})
    case.until_hit(near, 5.0)
    begun = time.monotonic()
    rig.withdrawn(A, seconds=5.0)
    assert time.monotonic() - begun < 5.0
    off = case.arm("mkt.state", {}, {"to": "deactivate", "ticker": B})
    case.until_hit(off, 5.0)
    rig.withdrawn(B, seconds=3.0)
    rig.until_status("the bot knows", lambda s: not s["open_orders"], 15.0)
    mark = rig.run(lambda v: v.journal.last)
    on = case.arm("mkt.state", {}, {"to": "activate", "ticker": B})
    case.until_hit(on, 5.0)
    rig.move(B, 4_700, 5_200)  # the deactivation took the house's orders, too
    rig.quoting(B, seconds=20.0)
    assert not [r for r in case.history(mark).requests if r.is_exposure and A in r.tickers]
    rig.until("the close", lambda v: v.engine.market(A).status != "active", 30.0)
    assert not rig.run(lambda v: resting(v, A))
    assert rig.bot.stop() == 0


@pytest.mark.fault("F68")
def test_a_finer_grid_and_new_fees_are_used_and_strange_fields_hurt_nobody(case: Case, rig: Rig) -> None:
    """Guards: metadata is read anew; unknown values of a field never become a known one."""
    quoting(rig, case)
    assert rig.run(lambda v: quotes(v, A)) == (4_800, 5_100)
    structure = next(name for name in GRIDS if "deci" in name)
    finer = case.arm("mkt.rules", {}, {"ticker": A, "structure": structure})
    case.until_hit(finer, 5.0)
    strange = case.arm("drift.extra", {}, {"field": "sparkle", "value": 7})
    until(
        "quotes on the finer grid",
        lambda: any(price % 100 for price in rig.run(lambda v: quotes(v, A))),
        60.0,
        rig.bot.last_words,
    )
    case.until_hit(strange, 30.0)
    rig.quoting(seconds=20.0)
    assert rig.status()["halts"] == []
    odd = case.arm("drift.enum", {"path": "*/markets"}, {"field": "status", "value": "dreaming"})
    case.until_hit(odd, 30.0)
    rig.withdrawn(seconds=20.0)
    assert rig.status()["halts"] == []
    case.disarm()
    rig.quoting(seconds=40.0)
    assert rig.bot.stop() == 0


@pytest.mark.fault("F68")
def test_an_endpoint_that_is_gone_halts(case: Case, rig: Rig) -> None:
    """Guard: 410 is `AuthRefused`: this version of the bot is not welcome any more."""
    quoting(rig, case)
    gone = case.arm("drift.gone", {"path": "*/portfolio/orders"}, {})
    case.until_hit(gone, 15.0)
    begun = time.monotonic()
    rig.until_status("a halt", lambda s: s["halts"], 25.0)
    rig.withdrawn(seconds=30.0)
    case.measured("B01 faults", time.monotonic() - begun)
    case.disarm()
    assert rig.bot.stop(seconds=40.0) == 3
