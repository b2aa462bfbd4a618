"""An exchange that loses replies, lies about failures, is slow or says 429: never two orders on a side, no cap broken."""

import time

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, arrivals, most_live_on_a_side, resting

pytestmark = pytest.mark.process

TICKERS = [f"KXFAULT-26NOV20-{name}" for name in "ABC"]
CREATES = {"method": "POST", "path": "*/batched"}
RECOVERY_S = 45.0
"""A create that was never applied is given up once its signature is 30 s old, and a read proves it."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(t) for t in TICKERS])
    rig.configure(max_inventory_yes=10, max_inventory_no=10)
    rig.start()
    rig.quoting()
    return rig


def withdraw(venue: Venue, ticker: str = "") -> int:
    """The operator cancels our orders, so that the bot must create new ones."""
    orders = resting(venue, ticker)
    for order in orders:
        venue.engine.operator_cancel(order.order_id, venue.now_ms())
    return len(orders)


def test_a_create_whose_reply_is_lost_is_adopted_and_not_repeated(rig: Rig) -> None:
    mark = rig.run(lambda v: v.journal.last)
    rig.arm("http.drop_reply", CREATES, {"phase": "after_apply"}, {"count": 2})
    assert rig.run(withdraw) == 6
    rig.quoting(seconds=8.0)
    unknown = rig.until_status("unknown outcomes", lambda s: s["counts"]["unknown"] >= 1, 3.0)
    assert rig.disarm() == [2]
    rig.until_status("six orders known to the bot", lambda s: len(s["open_orders"]) == 6, 10.0)
    assert unknown["posture"] == "RUN"
    assert rig.run(lambda v: most_live_on_a_side(v, mark)) == 1


def test_a_storm_of_all_faults_ends_and_both_sides_return(rig: Rig) -> None:
    """One create fails after it was applied, one before, one lands after the bot gave it up; then amends hang, too,
    and a third of all calls is refused, while fills go on.
    """
    mark = rig.run(lambda v: v.journal.last)
    rig.arm("http.status", CREATES, {"phase": "after_apply", "code": 503}, {"nth": 1})
    rig.arm("http.status", CREATES, {"phase": "before_apply", "code": 503}, {"nth": 2})
    rig.arm("http.delay", CREATES, {"phase": "before_apply", "ms": 5_000}, {"nth": 3})
    for number, ticker in enumerate(TICKERS, 1):
        assert rig.run(lambda v, t=ticker: withdraw(v, t)) == 2  # type: ignore[misc]  # a default binds the loop's value
        rig.until("a create", lambda v, n=number: arrivals(v, "POST", "/batched", mark) >= n, 5.0)  # type: ignore[misc]  # as above
    rig.quoting(TICKERS[0], seconds=5.0)
    rig.arm("http.delay", {"path": "*/amend"}, {"phase": "before_apply", "ms": 5_000}, {})
    rig.arm("http.status", {}, {"phase": "before_apply", "code": 429, "error": "too_many_requests"}, {"prob": 0.3})
    rig.move(TICKERS[0], 4_400, 4_900)
    ends = time.monotonic() + 8.0
    while time.monotonic() < ends:
        for ticker, side in {(o.ticker, o.side) for o in rig.run(resting)}:
            rig.hit(ticker, other(side), 1)
        time.sleep(0.5)
    assert min(rig.disarm()) >= 1
    took = rig.quoting(seconds=RECOVERY_S)
    assert rig.bot.alive
    assert rig.run(lambda v: most_live_on_a_side(v, mark)) == 1, f"recovered after {took:.1f} s"
    assert rig.status()["halts"] == []


def other(side: Side) -> Side:
    return Side.ASK if side is Side.BID else Side.BID


def test_it_stops_clean_with_no_cap_broken_and_the_books_equal(rig: Rig) -> None:
    assert rig.bot.stop() == 0
    assert not rig.run(resting)
    found = rig.audit()
    assert found["fills"] >= 5
    assert found["differences"] == []
    assert float(found["max_worst_case_over_cap"]) == 0
