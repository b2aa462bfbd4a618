"""One subaccount a bot: each request about the account names it, and news of the others is nobody's here."""

import json
from contextlib import closing, suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from dora_bot.clock import SystemClock
from dora_bot.errors import DoraError
from dora_bot.events import FillSeen, OrderSeen, PositionSeen
from dora_bot.exchange_client import KalshiClient
from dora_bot.feed_session import FeedSession
from dora_bot.hosts import LOOPBACK
from dora_bot.http_transport import HttpTransport
from dora_bot.kill import EVERYTHING, HALT, Sweeper
from dora_bot.models import Amend, Cancel, Place, Side
from dora_bot.signing import Signer
from tests.fakes import keys
from tests.fakes.feed_server import FeedServer
from tests.fakes.loopback_http import LoopbackHttp, Received, reply

OURS = 7
PLACE = Place("dora-1", "KXT-A", Side.BID, 4_100, 1_000, 1_795_176_050_000, 2)
CANCEL = Cancel("dora-1", "order-1", "KXT-A", 2)
AMEND = Amend("dora-1", "order-1", "KXT-A", Side.BID, 4_200, 1_000, 1_795_176_050_000, 2)


def named(request: Received) -> set[int]:
    """The subaccounts that a request names: in its query, its body, and each order of a batch."""
    query = parse_qs(urlsplit(request.target).query).get("subaccount", [])
    body = json.loads(request.body or b"{}")
    items = body.get("orders", [body])
    return {int(number) for number in query} | {i["subaccount"] for i in items if "subaccount" in i}


def strangers(server: LoopbackHttp) -> list[str]:
    """Requests about the account that do not name our subaccount and no other. One order's id names it by itself."""
    private = [r for r in server.received if "/portfolio/" in r.target]
    assert private
    by_id = [r for r in private if r.method == "GET" and "/portfolio/orders/order-" in r.target]
    return [f"{r.method} {r.target}" for r in private if r not in by_id and named(r) != {OURS}]


def transport(server: LoopbackHttp) -> HttpTransport:
    return HttpTransport(server.url, Signer("k", keys.ed25519_pem()).headers, SystemClock(), LOOPBACK)


def test_every_call_of_the_client_names_it() -> None:
    with (
        LoopbackHttp(lambda _request: reply(200, {})) as server,
        closing(KalshiClient(transport(server), SystemClock(), OURS)) as client,
    ):
        for call in (
            lambda: client.place_order(PLACE),
            lambda: client.place_orders([PLACE]),
            lambda: client.amend_order(AMEND),
            lambda: client.cancel_order(CANCEL),
            lambda: client.cancel_orders([CANCEL]),
            lambda: client.decrease_order(CANCEL, 500),
            client.cancel_all_orders,
            lambda: client.create_order_group(100, 2),
            client.get_order_groups,
            lambda: client.limit_order_group("g", 100, 2),
            lambda: client.trigger_order_group("g", 2),
            lambda: client.reset_order_group("g", 2),
            lambda: client.delete_order_group("g", 2),
            client.get_open_orders,
            lambda: client.get_order("order-1"),
            lambda: client.get_fills(0),
            client.get_positions,
            lambda: client.get_settlements(0),
            client.get_balance,
            lambda: client.get_queue_positions(["KXT-A"]),
        ):
            before = len(server.received)
            with suppress(DoraError):  # the replies say nothing: what was asked is what counts here
                call()
            assert len(server.received) == before + 1
        assert strangers(server) == []


def test_every_call_of_the_kill_path_names_it() -> None:
    rows = [
        {"order_id": f"o{n}", "ticker": "KXT-A", "order_group_id": "g", "exchange_index": 2} for n in range(3)
    ]

    def answer(request: Received) -> bytes:
        if request.method == "GET":
            return reply(200, {"orders": rows})
        return reply(503, {}) if "batched" in request.target else reply(200, {})

    with LoopbackHttp(answer) as server, closing(transport(server)) as calls:
        for reach in (HALT, EVERYTHING):
            Sweeper(calls, SystemClock(), "", subaccount=OURS).sweep(0.7, reach)
        done = {(r.method, urlsplit(r.target).path.rpartition("/")[2]) for r in server.received}
        assert {("DELETE", "batched"), ("DELETE", "o0"), ("PUT", "trigger"), ("DELETE", "orders")} <= done
        assert strangers(server) == []


FILL = {
    "trade_id": "t",
    "order_id": "o",
    "market_ticker": "KXT-A",
    "is_taker": True,
    "side": "yes",
    "yes_price_dollars": "0.75",
    "count_fp": "2.00",
    "fee_cost": "0.01",
    "action": "sell",
    "book_side": "ask",
    "outcome_side": "no",
    "ts_ms": 1_671_899_397_000,
}
ORDER = {
    "order_id": "o",
    "ticker": "KXT-A",
    "status": "resting",
    "yes_price_dollars": "0.75",
    "remaining_count_fp": "2.00",
    "fill_count_fp": "0.00",
    "book_side": "ask",
    "outcome_side": "no",
}
POSITION = {"market_ticker": "KXT-A", "position_fp": "3.00"}


@pytest.mark.parametrize(
    ("channel", "kind", "message", "field", "event"),
    [
        ("fill", "fill", FILL, "subaccount", FillSeen),
        ("user_orders", "user_order", ORDER, "subaccount_number", OrderSeen),
        ("market_positions", "market_position", POSITION, "subaccount", PositionSeen),
    ],
)
@pytest.mark.parametrize("ours", [0, OURS])
def test_news_of_other_subaccounts_is_dropped(
    channel: str, kind: str, message: dict[str, object], field: str, event: type, ours: int
) -> None:
    session = FeedSession(subaccount=ours)
    session.opened(("KXT-A",), 0)
    server = FeedServer(session)
    server.serve()
    frame = {"type": kind, "sid": server.sids[channel], "sending_ts_ms": 1}
    assert server.say({**frame, "msg": {**message, field: 3}}) == []
    own = message if ours == 0 else {**message, field: ours}  # the primary one is not named
    assert [type(found) for found in server.say({**frame, "msg": own})] == [event]
