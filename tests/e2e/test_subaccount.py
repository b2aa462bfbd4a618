"""A bot on a subaccount of its own, its key locked to that and to the scopes it needs: nothing else is ever asked for."""

import json
import re
from urllib.parse import parse_qs

import pytest

from dora_bot.models import Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.rate_limits import SHARDS
from dora_bot.paper.specs import OrderRequest, OrderStatus
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting

pytestmark = pytest.mark.process

A, B = "KXSUB-26NOV20-A", "KXSUB-26NOV20-B"
OURS, SIBLINGS = 3, 0
SCOPES = frozenset({"read", "write::trade"})
"""No transfer, no block trade, no key management."""

USED = {
    "GET /account/endpoint_costs",
    "GET /account/limits",
    "GET /events",
    "GET /events/fee_changes",
    "GET /exchange/schedule",
    "GET /exchange/status",
    "GET /exchange/user_data_timestamp",
    "GET /markets",
    "GET /markets/orderbooks",
    "GET /portfolio/balance",
    "GET /portfolio/fills",
    "GET /portfolio/order_groups",
    "GET /portfolio/orders",
    "GET /portfolio/orders/queue_positions",
    "GET /portfolio/positions",
    "GET /portfolio/settlements",
    "GET /series/fee_changes",
    "GET /series/{}",
    "POST /portfolio/events/orders/batched",
    "POST /portfolio/events/orders/{}/amend",
    "POST /portfolio/order_groups/create",
    "PUT /portfolio/order_groups/{}/trigger",
    "PUT /portfolio/order_groups/{}/reset",
    "DELETE /portfolio/events/orders",
    "DELETE /portfolio/events/orders/batched",
    "DELETE /portfolio/events/orders/{}",
    "DELETE /portfolio/order_groups/{}",
}
"""Every endpoint that a bot may use from its start to its stop; docs/security.md lists them, too."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    rig.environ["DORA_KALSHI_SUBACCOUNT"] = str(OURS)
    rig.run(settle_in)
    return rig


def settle_in(venue: Venue) -> None:
    """Cash on our subaccount, an order and a position on the siblings', and a key that sees only ours."""
    now_ms = venue.now_ms()
    for shard in SHARDS:
        venue.engine.adjust_cash(TRADER, 5_000_000_000, now_ms, shard=shard, subaccount=OURS)
    for price, filled in ((3_000, 0), (4_900, 700)):
        order = OrderRequest(
            A, Side.BID, price, 1_000, client_order_id=f"sibling-{price}", subaccount=SIBLINGS
        )
        made = venue.engine.create(TRADER, order, now_ms)
        if filled:
            venue.engine.fill_order(made.order_id, filled, now_ms)
            venue.engine.operator_cancel(made.order_id, now_ms)
    venue.replica.record_money(now_ms)
    venue.keys.add(venue.keys.find().restricted(scopes=SCOPES, subaccount=OURS))


def siblings(venue: Venue) -> list[str]:
    orders = venue.engine.orders(TRADER, status=OrderStatus.RESTING)
    return [order.client_order_id for order in orders if order.subaccount == SIBLINGS]


def ours(venue: Venue) -> int:
    return sum(order.subaccount == OURS for order in resting(venue))


def endpoint(entry: dict[str, str]) -> str:
    path = entry["path"].removeprefix("/trade-api/v2")
    path = re.sub(
        r"^(/series|/portfolio/order_groups|/portfolio/events/orders)/(?!create|batched|fee_changes)[^/]+",
        r"\1/{}",
        path,
    )
    return f"{entry['method']} {path}"


def arrivals(rig: Rig) -> list[dict[str, str]]:
    return rig.run(lambda v: [e for e in v.journal.after(0) if e["kind"] == "arrival"])


def test_it_trades_halts_and_stops_and_the_siblings_are_left_alone(rig: Rig) -> None:
    bot = rig.start()
    rig.until("four orders of ours", lambda v: ours(v) == 4, 20.0)
    order = rig.run(lambda v: next(o for o in resting(v, B) if o.subaccount == OURS and o.side is Side.BID))
    rig.run(lambda v: v.engine.fill_order(order.order_id, 200, v.now_ms()))
    status = rig.until_status("the fill", lambda s: s["counts"]["fills"] == 1, 10.0)
    rig.until_status(
        "later reads", lambda s: s["counts"]["risk_reads"] > status["counts"]["risk_reads"] + 1, 20.0
    )
    status = rig.status()
    assert {t: p["net"] for t, p in status["positions"].items()} == {B: "2.00"}
    assert (status["posture"], status["counts"]["foreign_orders"]) == ("RUN", 0)

    done = rig.dora("halt", "--reason", "a look")
    assert (done.returncode, rig.run(ours), rig.run(siblings)) == (0, 0, ["sibling-3000"]), done.stderr
    rig.resume(json.loads(done.stdout)["halt_id"])
    rig.until("quotes again", lambda v: ours(v) >= 3, 30.0)
    assert rig.dora("cancel-all").returncode == 0
    assert rig.run(siblings) == ["sibling-3000"]
    assert bot.stop() == 0, bot.last_words()
    assert (rig.run(ours), rig.run(siblings)) == (0, ["sibling-3000"])
    assert not [line for line in bot.log() if "403" in str(line)]


def test_every_request_about_the_account_named_the_subaccount(rig: Rig) -> None:
    private = [e for e in arrivals(rig) if "/portfolio/" in e["path"] and e["method"] != "POST"]
    queries = {
        parse_qs(e["query"]).get("subaccount", [""])[0] for e in private if not e["body"] or e["query"]
    }
    assert queries == {str(OURS)}
    creates = [e for e in arrivals(rig) if e["path"].endswith("/orders/batched") and e["method"] == "POST"]
    assert {o["subaccount"] for e in creates for o in json.loads(e["body"])["orders"]} == {OURS}


def test_it_used_no_other_endpoint_than_those_that_are_listed(rig: Rig) -> None:
    used = {endpoint(e) for e in arrivals(rig)}
    assert used - USED == set()
    assert {"GET /portfolio/orders", "POST /portfolio/events/orders/batched"} <= used


def test_a_bot_told_of_another_subaccount_than_its_key_does_not_start(rig: Rig) -> None:
    before = rig.run(lambda v: v.journal.last)
    bot = rig.start(DORA_KALSHI_SUBACCOUNT="0")
    assert bot.process.wait(30) == 4, bot.last_words()
    assert len(bot.words()) == 1
    assert "restricted to a single sub-account" in bot.words()[0]
    creates = rig.run(
        lambda v: [e for e in v.journal.after(before) if e.get("method") == "POST" and "orders" in e["path"]]
    )
    assert [e for e in creates if "order_groups" not in e["path"]] == []
