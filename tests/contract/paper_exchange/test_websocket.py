"""The WebSocket at the wire: upgrade, commands, numbering, books, private channels."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import websocket

from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.api_specs import AsyncApi
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

Connect = Callable[[], WsClient]
V2 = "/portfolio/events/orders"
ONE, EMPTY, SHARD = "KXA-1-ONE", "KXA-1-TWO", "KXC-1-SHARD"
_numbers = itertools.count()


def place(client: SignedClient, **changes: Any) -> dict[str, Any]:
    body = {
        "ticker": ONE,
        "client_order_id": f"ws-{next(_numbers)}",
        "side": "bid",
        "count": "1",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }
    answer = client.post(V2, body)
    assert answer.status == 201, answer
    return {**answer.body, "client_order_id": body["client_order_id"]}


def error(frame: dict[str, Any]) -> int:
    assert frame["type"] == "error", frame
    return int(frame["msg"]["code"])


# ── connection ──────────────────────────────────────────────────────────────────────────────────


def test_an_unsigned_upgrade_is_refused(server: PaperServer) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(server.here.ws_url, timeout=5)
    assert caught.value.status_code == 401


def test_the_server_pings_heartbeat_every_10_s(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dora_bot.paper.server.PING_EVERY_S", 0.05)
    assert connect().wait_for_ping() == b"heartbeat"


# ── commands ────────────────────────────────────────────────────────────────────────────────────


def test_one_subscribed_frame_a_channel_then_the_snapshots(connect: Connect) -> None:
    ws = connect()
    number = ws.command(
        "subscribe", channels=["orderbook_delta", "trade"], market_tickers=[ONE, EMPTY], use_yes_price=True
    )
    first, second, *books = ws.frames(4)
    assert (first["type"], first["id"], first["msg"]) == (
        "subscribed",
        number,
        {"channel": "orderbook_delta", "sid": 1},
    )
    assert (second["id"], second["msg"]) == (number, {"channel": "trade", "sid": 2})
    assert "seq" not in first
    assert [(b["type"], b["sid"], b["seq"], b["msg"]["market_ticker"]) for b in books] == [
        ("orderbook_snapshot", 1, 1, ONE),
        ("orderbook_snapshot", 1, 2, EMPTY),
    ]
    assert "yes_dollars_fp" not in books[1]["msg"]
    assert "no_dollars_fp" not in books[1]["msg"]
    assert "id" not in books[0]


@pytest.mark.parametrize(("flag", "price"), [(True, "0.5200"), (False, "0.4800")])
def test_the_no_side_is_priced_as_the_flag_says(connect: Connect, *, flag: bool, price: str) -> None:
    ws = connect()
    ws.subscribe("orderbook_delta", tickers=[ONE], use_yes_price=flag)
    book = ws.until_type("orderbook_snapshot")["msg"]
    assert book["no_dollars_fp"][-1][0] == price
    assert book["yes_dollars_fp"][-1][0] == "0.4700"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("nonsense", 1),
        ("[]", 1),
        ('{"id":1,"cmd":7}', 1),
        ('{"id":1,"cmd":"subscribe"}', 2),
        ('{"id":1,"cmd":"subscribe","params":{}}', 3),
        ('{"id":1,"cmd":"unsubscribe","params":{}}', 4),
        ('{"id":1,"cmd":"dance","params":{}}', 5),
        ('{"id":1,"cmd":"unsubscribe","params":{"sids":[9]}}', 7),
        ('{"id":1,"cmd":"subscribe","params":{"channels":["gossip"]}}', 8),
        ('{"id":1,"cmd":"subscribe","params":{"channels":["trade"],"market_tickers":"T"}}', 11),
        (
            '{"id":1,"cmd":"subscribe","params":{"channels":["orderbook_delta"],"market_tickers":["NOPE"]}}',
            11,
        ),
        ('{"id":1,"cmd":"update_subscription","params":{"action":"add_markets"}}', 4),
        ('{"id":1,"cmd":"update_subscription","params":{"sids":[1,2],"action":"add_markets"}}', 12),
        ('{"id":1,"cmd":"update_subscription","params":{"sid":9,"action":"add_markets"}}', 7),
        ('{"id":1,"cmd":"subscribe","params":{"channels":["orderbook_delta"]}}', 14),
    ],
)
def test_error_codes(connect: Connect, command: str, code: int) -> None:
    ws = connect()
    ws.text(command)
    assert error(ws.frame()) == code


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"action": "multiply", "market_tickers": [ONE]}, 13),
        ({"action": "add_markets"}, 14),
        ({"market_tickers": [ONE]}, 15),
        ({"action": "get_snapshot", "market_tickers": [SHARD]}, 11),
        ({"action": "add_markets", "market_tickers": ["NOPE"]}, 11),
    ],
)
def test_scoped_errors_name_the_subscription_and_take_a_number(
    connect: Connect, params: dict[str, Any], code: int
) -> None:
    ws = connect()
    [sid] = ws.subscribe("orderbook_delta", tickers=[ONE])
    ws.until_type("orderbook_snapshot")
    number = ws.command("update_subscription", sid=sid, **params)
    scoped = ws.frame()
    assert error(scoped) == code
    assert (scoped["id"], scoped["sid"], scoped["seq"]) == (number, sid, 2)
    ws.command("update_subscription", sid=sid, action="get_snapshot", market_tickers=[ONE])
    assert ws.frame()["seq"] == 3


def test_markets_are_added_deleted_and_read_back(connect: Connect) -> None:
    ws = connect()
    [sid] = ws.subscribe("orderbook_delta", tickers=[ONE])
    ws.until_type("orderbook_snapshot")
    added = ws.command("update_subscription", sids=[sid], market_tickers=[SHARD, ONE], action="add_markets")
    acknowledged, book = ws.frames(2)
    assert (acknowledged["type"], acknowledged["id"], acknowledged["seq"]) == ("ok", added, 2)
    assert acknowledged["msg"] == {"market_tickers": [ONE, SHARD]}
    assert (book["seq"], book["msg"]["market_ticker"]) == (3, SHARD)
    asked = ws.command("update_subscription", sids=[sid], market_ticker=SHARD, action="get_snapshot")
    again = ws.frame()
    assert (again["type"], again["id"], again["seq"]) == ("orderbook_snapshot", asked, 4)
    ws.command("update_subscription", sid=sid, market_tickers=[ONE], action="delete_markets")
    assert ws.frame()["msg"] == {"market_tickers": [SHARD]}
    ws.command("list_subscriptions")
    assert ws.frame()["msg"] == [{"channel": "orderbook_delta", "sid": sid}]
    ended = ws.command("unsubscribe", sids=[sid])
    last = ws.frame()
    assert (last["type"], last["id"], last["sid"], last["seq"]) == ("unsubscribed", ended, sid, 6)
    ws.command("list_subscriptions")
    assert ws.frame()["msg"] == []


def test_subscribing_again_merges_into_the_open_subscription(connect: Connect, client: SignedClient) -> None:
    ws = connect()
    [sid] = ws.subscribe("orderbook_delta", tickers=[ONE])
    ws.until_type("orderbook_snapshot")
    assert ws.subscribe("orderbook_delta", tickers=[ONE, SHARD]) == [sid]
    assert ws.frame()["msg"]["market_ticker"] == SHARD
    made = place(client)
    delta = ws.frame()
    assert (delta["type"], delta["seq"]) == ("orderbook_delta", 3)
    client.delete(f"{V2}/{made['order_id']}")
    assert ws.frame()["seq"] == 4


# ── data ────────────────────────────────────────────────────────────────────────────────────────


def test_deltas_rebuild_the_book_and_name_own_orders_only(
    connect: Connect, client: SignedClient, admin: Admin
) -> None:
    ws = connect()
    ws.subscribe("orderbook_delta", tickers=[ONE], use_yes_price=True)
    snapshot = ws.until_type("orderbook_snapshot")["msg"]
    levels = {("yes", p): float(c) for p, c in snapshot["yes_dollars_fp"]}
    levels |= {("no", p): float(c) for p, c in snapshot["no_dollars_fp"]}
    mine = place(client, side="ask", price="0.51", count="2.5")
    admin.act("taker", ticker=ONE, side="bid", count="1.25")
    admin.act("maker", ticker=ONE, side="bid", price="0.46", count="7")
    frames = ws.frames(3)
    clocks = [snapshot["clock"]]
    for frame in frames:
        message = frame["msg"]
        key = (message["side"], message["price_dollars"])
        levels[key] = levels.get(key, 0.0) + float(message["delta_fp"])
        clocks.append(message["clock"])
    assert frames[0]["msg"]["client_order_id"] == mine["client_order_id"]
    assert "client_order_id" not in frames[2]["msg"]
    assert clocks == sorted(clocks)
    rest = client.get(f"/markets/{ONE}/orderbook").body["orderbook_fp"]
    expected = {("yes", p): float(c) for p, c in rest["yes_dollars"]}
    expected |= {("no", f"{1 - float(p):.4f}"): float(c) for p, c in rest["no_dollars"]}
    assert {key: count for key, count in levels.items() if count} == expected
    client.delete(f"{V2}/{mine['order_id']}")


def test_a_fill_reaches_every_private_channel(connect: Connect, client: SignedClient, admin: Admin) -> None:
    ws = connect()
    sids = dict(
        zip(
            ("fill", "user_order", "market_position", "trade"),
            ws.subscribe("fill", "user_orders", "market_positions", "trade"),
            strict=True,
        )
    )
    mine = place(client, side="bid", price="0.48", count="2")
    assert ws.until_type("user_order")["msg"]["status"] == "resting"
    admin.act("taker", ticker=ONE, side="ask", count="2")
    got = {frame["type"]: frame for frame in ws.frames(4)}
    assert {kind: frame["sid"] for kind, frame in got.items()} == sids
    fill, order = got["fill"]["msg"], got["user_order"]["msg"]
    assert (fill["order_id"], fill["client_order_id"]) == (mine["order_id"], mine["client_order_id"])
    assert (fill["yes_price_dollars"], fill["count_fp"], fill["is_taker"]) == ("0.4800", "2.00", False)
    assert (order["status"], order["remaining_count_fp"], order["last_update_reason"]) == (
        "executed",
        "0.00",
        "Trade",
    )
    assert got["market_position"]["msg"]["position_fp"] == fill["post_position_fp"]
    assert got["trade"]["seq"] == 1
    assert all("seq" not in got[kind] for kind in ("fill", "user_order", "market_position"))
    rest = client.get("/portfolio/fills", limit=1).body["fills"][0]
    assert (rest["trade_id"], rest["fee_cost"]) == (fill["trade_id"], fill["fee_cost"])


def test_others_are_not_told_of_private_matters(
    server: PaperServer, connect: Connect, client: SignedClient, admin: Admin, tmp_path: Path
) -> None:
    server.run(lambda venue: venue.open_account("stranger", {0: 100_000_000}))
    key = admin.act("add_key", path=str(tmp_path / "s.pem"), account="stranger")["key_id"]
    stranger = SignedClient(client.base, key, str(tmp_path / "s.pem"))
    ws = WsClient(server.here.ws_url, stranger)
    ws.subscribe("fill", "user_orders", "market_positions", "orderbook_delta", tickers=[ONE])
    mine = place(client)
    client.delete(f"{V2}/{mine['order_id']}")
    seen = ws.until(lambda f: f["type"] == "orderbook_delta" and f["msg"]["delta_fp"] == "-1.00")
    assert "client_order_id" not in seen["msg"]
    assert {f["type"] for f in ws.seen} == {"subscribed", "orderbook_snapshot", "orderbook_delta"}
    assert stranger.get("/portfolio/orders").body["orders"] == []
    assert stranger.delete(f"{V2}/{mine['order_id']}").status == 404
    ws.close()
    stranger.close()


def test_a_locked_key_sees_its_own_subaccount_only(
    server: PaperServer, client: SignedClient, admin: Admin, tmp_path: Path
) -> None:
    admin.act("cash", amount="10", subaccount=7)
    key = admin.act("add_key", path=str(tmp_path / "l.pem"), subaccount=7)["key_id"]
    locked = SignedClient(client.base, key, str(tmp_path / "l.pem"))
    ws = WsClient(server.here.ws_url, locked)
    ws.subscribe("user_orders", "orderbook_delta", tickers=[ONE])
    sibling = place(client)
    own = place(locked, subaccount=7)
    assert ws.until_type("user_order")["msg"]["order_id"] == own["order_id"]
    deltas = [frame["msg"] for frame in ws.seen if frame["type"] == "orderbook_delta"]
    assert [(d.get("client_order_id"), d.get("subaccount")) for d in deltas[:2]] == [
        (None, None),
        (own["client_order_id"], 7),
    ]
    assert [o["order_id"] for o in locked.get("/portfolio/orders").body["orders"]] == [own["order_id"]]
    assert locked.delete(f"{V2}/{sibling['order_id']}").status == 404
    assert client.delete(f"{V2}/{own['order_id']}").status == 404
    assert client.delete(f"{V2}/{own['order_id']}", subaccount=7).status == 200
    ws.close()
    locked.close()


def test_a_client_that_does_not_read_loses_its_subscription(
    connect: Connect, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dora_bot.paper.ws_outbox.BUFFER_LIMIT", -1)
    ws = connect()
    ws.command("subscribe", channels=["orderbook_delta"], market_tickers=[ONE])
    overflow = ws.until_type("error")
    assert (overflow["msg"]["code"], overflow["sid"]) == (25, 1)
    monkeypatch.setattr("dora_bot.paper.ws_outbox.BUFFER_LIMIT", 1 << 20)
    ws.command("list_subscriptions")
    assert ws.until_type("ok")["msg"] == []


def test_the_life_cycle_is_announced_except_pauses_and_time_passing(connect: Connect, admin: Admin) -> None:
    ws = connect()
    ws.subscribe("market_lifecycle_v2", "order_group_updates")
    admin.act("pause", on=True)
    admin.act("pause", on=False)
    admin.act("deactivate", ticker=SHARD)
    admin.act("activate", ticker=SHARD)
    admin.act("close_at", ticker=SHARD, in_ms=50)
    kinds = [(f["seq"], f["msg"]["event_type"]) for f in ws.frames(3)]
    assert kinds == [(1, "deactivated"), (2, "activated"), (3, "close_date_updated")]
    admin.call("POST", "/clock", {"offset_ms": 1_000})
    admin.act("determine", ticker=SHARD, result="no")
    admin.act("settle", ticker=SHARD)
    determined, settled = ws.frames(2)
    assert (determined["seq"], determined["msg"]["event_type"], determined["msg"]["result"]) == (
        4,
        "determined",
        "no",
    )
    assert settled["msg"]["event_type"] == "settled"


def test_a_group_that_trips_says_so(connect: Connect, client: SignedClient, admin: Admin) -> None:
    ws = connect()
    ws.subscribe("order_group_updates", "user_orders")
    group = client.post("/portfolio/order_groups/create", {"contracts_limit": 1}).body["order_group_id"]
    place(client, price="0.48", order_group_id=group)
    other = place(client, price="0.02", order_group_id=group)
    admin.act("taker", ticker=ONE, side="ask", count="1")
    triggered = ws.until(
        lambda f: f["type"] == "order_group_updates" and f["msg"]["event_type"] == "triggered"
    )
    assert (triggered["msg"]["order_group_id"], triggered["seq"]) == (group, 2)
    finished = next(
        f["msg"] for f in ws.seen if f["type"] == "user_order" and f["msg"]["order_id"] == other["order_id"]
    )
    assert finished["order_group_id"] == group


# ── schemas ─────────────────────────────────────────────────────────────────────────────────────

MESSAGES = {
    "subscribed": "subscribedResponse",
    "unsubscribed": "unsubscribedResponse",
    "ok": "okResponse",
    "error": "errorResponse",
    "orderbook_snapshot": "orderbookSnapshot",
    "orderbook_delta": "orderbookDelta",
    "ticker": "ticker",
    "trade": "trade",
    "fill": "fill",
    "user_order": "userOrder",
    "market_position": "marketPosition",
    "market_lifecycle_v2": "marketLifecycleV2",
    "event_lifecycle": "eventLifecycle",
    "event_fee_update": "eventFeeUpdate",
    "order_group_updates": "orderGroupUpdates",
}


def test_every_frame_validates_against_the_published_schema(
    connect: Connect, client: SignedClient, admin: Admin, shared: Path, server: PaperServer
) -> None:
    spec = AsyncApi(shared / "kalshi" / "asyncapi.yaml")
    ws = connect()
    public = ws.subscribe(
        "orderbook_delta", "ticker", "trade", tickers=[ONE, EMPTY], send_initial_snapshot=True
    )
    ws.subscribe("fill", "user_orders", "market_positions", "market_lifecycle_v2", "order_group_updates")
    ws.command("update_subscription", sid=public[0], action="add_markets", market_tickers=["KXB-1-DECI"])
    ws.command("unsubscribe", sids=[99])
    group = client.post("/portfolio/order_groups/create", {"contracts_limit": 100}).body["order_group_id"]
    made = place(client, price="0.48", count="2.5", order_group_id=group, expiration_time=4_000_000_000)
    admin.act("taker", ticker=ONE, side="ask", count="1")
    client.delete(f"{V2}/{made['order_id']}")
    client.put(f"/portfolio/order_groups/{group}/limit", {"contracts_limit": 5})
    admin.act("grid", ticker="KXB-1-DECI", structure="linear_cent")
    admin.act("fees", ticker="KXA-1", fee_type="quadratic", multiplier="0.5")
    admin.act("determine", ticker=EMPTY, result="yes")
    admin.act("settle", ticker=EMPTY)
    server.run(list_another_event)
    ws.command("unsubscribe", sids=[public[2]])
    ws.until_type("unsubscribed")
    assert {frame["type"] for frame in ws.seen} == set(MESSAGES)
    problems = [(f["type"], p) for f in ws.seen for p in spec.frame_problems(MESSAGES[f["type"]], f)]
    assert problems == []
    assert all(isinstance(frame["sending_ts_ms"], int) for frame in ws.seen)
    broken = {**next(f for f in ws.seen if f["type"] == "fill"), "msg": {"trade_id": 1}}
    assert spec.frame_problems("fill", broken) != []


def list_another_event(venue: Venue) -> None:
    """A series, an event and a market that appear while clients listen."""
    StaticWorld([StaticMarket("KXD-1-NEW")]).install(venue.engine, venue.now_ms())


def test_under_the_real_profile_order_holds_within_a_subscription_only() -> None:
    world = StaticWorld([StaticMarket(ONE)])
    with PaperServer(LaunchOptions(profile="real", tier="prestige"), world.install) as server:
        client = SignedClient(server.here.rest_url, server.here.key_id, server.here.private_key_path)
        for _ in range(8):
            probe = WsClient(server.here.ws_url, client)
            probe.command("subscribe", channels=["orderbook_delta"], market_tickers=[ONE])
            assert [frame["type"] for frame in probe.frames(2)] == ["subscribed", "orderbook_snapshot"]
            probe.close()
        ws = WsClient(server.here.ws_url, client)
        ws.subscribe("orderbook_delta", "trade", "fill", "user_orders", tickers=[ONE])
        for _ in range(20):
            place(client, price="0.99", time_in_force="immediate_or_cancel")
        wanted = {"orderbook_delta": 20, "trade": 20, "fill": 20, "user_order": 20}
        while any(sum(f["type"] == kind for f in ws.seen) < count for kind, count in wanted.items()):
            ws.frame()
        ws.close()
        client.close()
    assert next(f["type"] for f in ws.seen if f.get("sid") == 1) == "orderbook_snapshot"
    for kind in ("orderbook_delta", "trade"):
        numbers = [frame["seq"] for frame in ws.seen if frame["type"] == kind]
        assert numbers == list(range(numbers[0], numbers[0] + 20))
    by_trade: dict[str, list[str]] = {}
    for frame in ws.seen:
        if frame["type"] in ("fill", "trade"):
            by_trade.setdefault(frame["msg"]["trade_id"], []).append(frame["type"])
    assert {tuple(order) for order in by_trade.values()} == {("fill", "trade"), ("trade", "fill")}
