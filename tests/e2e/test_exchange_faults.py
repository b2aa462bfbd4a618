"""An exchange that loses replies, lies about failures, is slow or says 429: never two orders on a side, no cap broken."""

import time
from itertools import cycle

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, most_live_on_a_side, resting

pytestmark = pytest.mark.process

TICKERS = [f"KXFAULT-26NOV20-{name}" for name in "ABC"]
RECOVERY_S = 45.0
"""A create that was never applied is given up once its signature is 30 s old, and a read proves it."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(t) for t in TICKERS])
    rig.configure(max_inventory_yes=10, max_inventory_no=10)
    rig.start()
    rig.quoting()
    return rig


def withdraw_all(venue: Venue) -> int:
    """The operator cancels our orders, so that the bot must create new ones."""
    orders = resting(venue)
    for order in orders:
        venue.engine.operator_cancel(order.order_id, venue.now_ms())
    return len(orders)


def test_a_create_whose_reply_is_lost_is_adopted_and_not_repeated(rig: Rig) -> None:
    mark = rig.run(lambda v: v.journal.last)
    rig.arm("http.drop_reply", {"method": "POST"}, {"phase": "after_apply"}, {"count": 2})
    assert rig.run(withdraw_all) == 6
    rig.quoting(seconds=8.0)
    unknown = rig.until_status("unknown outcomes", lambda s: s["counts"]["unknown"] >= 1, 3.0)
    assert rig.disarm() == 2
    rig.until_status("six orders known to the bot", lambda s: len(s["open_orders"]) == 6, 10.0)
    assert unknown["posture"] == "RUN"
    assert rig.run(lambda v: most_live_on_a_side(v, mark)) == 1


def test_a_storm_of_all_faults_ends_and_both_sides_return(rig: Rig) -> None:
    mark = rig.run(lambda v: v.journal.last)
    creates = {"method": "POST"}
    rig.arm("http.status", creates, {"phase": "after_apply", "code": 503}, {"prob": 0.3})
    rig.arm("http.status", creates, {"phase": "before_apply", "code": 503}, {"prob": 0.3})
    rig.arm("http.status", {}, {"phase": "before_apply", "code": 429, "error": "too_many_requests"}, {"prob": 0.3})
    rig.arm("http.delay", {"path": "*/amend"}, {"phase": "before_apply", "ms": 5_000}, {"prob": 0.5})
    rig.arm("http.delay", creates, {"phase": "before_apply", "ms": 5_000}, {"prob": 0.2})
    ends = time.monotonic() + 10.0
    turns = cycle([(t, side) for t in TICKERS for side in Side])
    while time.monotonic() < ends:  # the world goes on meanwhile: fills, and orders that vanish
        ticker, side = next(turns)
        if any(o.side is not side for o in rig.run(lambda v, t=ticker: resting(v, t))):  # type: ignore[misc]  # a default binds the loop's value
            rig.hit(ticker, side, 1)
        else:
            rig.run(withdraw_all)
        time.sleep(0.25)
    assert rig.disarm() >= 5
    took = rig.quoting(seconds=RECOVERY_S)
    assert rig.bot.alive
    assert rig.run(lambda v: most_live_on_a_side(v, mark)) == 1, f"recovered after {took:.1f} s"
    assert rig.status()["halts"] == []


def test_it_stops_clean_with_no_cap_broken_and_the_books_equal(rig: Rig) -> None:
    assert rig.bot.stop() == 0
    assert not rig.run(resting)
    found = rig.audit()
    assert found["fills"] >= 5
    assert found["differences"] == []
    assert float(found["max_worst_case_over_cap"]) == 0
