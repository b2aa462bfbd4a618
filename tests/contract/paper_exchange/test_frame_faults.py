"""Faults of the WebSocket, seen by a client: frames lost, repeated, late, damaged; connections half dead."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket

from dora_bot.paper.testing import PaperServer
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

Connect = Callable[[], WsClient]
V2 = "/portfolio/events/orders"
ONE, TWO = "KXA-1-ONE", "KXA-1-TWO"
BOOK = {"channel": "orderbook_delta"}
_numbers = itertools.count()
CLOSED = (websocket.WebSocketConnectionClosedException, ConnectionResetError, BrokenPipeError)


def place(client: SignedClient, **changes: Any) -> None:
    body = {
        "ticker": ONE,
        "client_order_id": f"frame-{next(_numbers)}",
        "side": "bid",
        "count": "1",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }
    answer = client.post(V2, body)
    assert answer.status == 201, answer


@pytest.fixture(autouse=True)
def clean(admin: Admin) -> Iterator[None]:
    yield
    admin.disarm()
    for row in admin.truth()["open_orders"]:
        admin.act("cancel_order", order_id=row["order_id"])


@pytest.fixture
def book(connect: Connect) -> WsClient:
    """A connection that has the book of one market."""
    ws = connect()
    ws.subscribe("orderbook_delta", tickers=[ONE], use_yes_price=True)
    ws.until_type("orderbook_snapshot")
    return ws


def seqs(ws: WsClient, count: int) -> list[int]:
    return [frame["seq"] for frame in ws.frames(count)]


def silent(ws: WsClient, seconds: float = 0.2) -> bool:
    """Whether nothing arrives for a while."""
    ws.settimeout(seconds)
    try:
        ws.frame()
    except websocket.WebSocketTimeoutException:
        return True
    finally:
        ws.settimeout(5.0)
    return False


# ── lost, repeated, out of order ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("seq", "next_seq"), [("spent", 3), ("unspent", 2)])
def test_a_dropped_frame_leaves_a_gap_or_not(
    admin: Admin, client: SignedClient, book: WsClient, seq: str, next_seq: int
) -> None:
    admin.arm("ws.drop", match=BOOK, params={"seq": seq}, when={"nth": 1})
    place(client)
    place(client, price="0.02")
    frame = book.frame()
    assert (frame["seq"], frame["msg"]["price_dollars"]) == (next_seq, "0.0200")


def test_a_frame_comes_twice(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("ws.dup", match=BOOK, params={"n": 2}, when={"nth": 1})
    place(client)
    place(client)
    assert seqs(book, 4) == [2, 2, 2, 3]


def test_frames_overtake_each_other(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("ws.reorder", match=BOOK, params={"window": 3}, when={"nth": 1})
    for _ in range(4):
        place(client)
    assert seqs(book, 4) == [4, 3, 2, 5]


def test_numbers_start_again(admin: Admin, client: SignedClient, book: WsClient) -> None:
    place(client)
    admin.arm("ws.reset_seq", match=BOOK, when={"nth": 1})
    for _ in range(2):
        place(client)
    assert seqs(book, 3) == [2, 1, 2]


@pytest.mark.parametrize(("stamp", "old"), [("early", True), ("late", False)])
def test_late_frames_tell_their_age_or_not(
    admin: Admin, client: SignedClient, book: WsClient, stamp: str, *, old: bool
) -> None:
    admin.arm("ws.delay", match=BOOK, params={"ms": 300, "stamp": stamp}, when={"nth": 1})
    started = time.monotonic()
    place(client)
    place(client)
    first, second = book.frames(2)
    assert time.monotonic() - started >= 0.3
    assert [first["seq"], second["seq"]] == [2, 3]
    assert (first["sending_ts_ms"] - first["msg"]["ts_ms"] < 250) is old


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ("user_order_before_fill", ["fill"]),
        ("fill_before_user_order", ["user_order"]),
        ("book_before_both", ["fill", "user_order"]),
    ],
)
def test_channels_in_an_order_of_choice(
    admin: Admin, client: SignedClient, connect: Connect, how: str, last: list[str]
) -> None:
    ws = connect()
    ws.subscribe("fill", "user_orders", "orderbook_delta", tickers=[ONE])
    ws.until_type("orderbook_snapshot")
    admin.arm("ws.order", params={"how": how, "ms": 100})
    place(client, price="0.99", time_in_force="immediate_or_cancel")
    kinds = [frame["type"] for frame in ws.frames(3)]
    assert sorted(kinds[-len(last) :]) == last
    assert sorted(kinds) == ["fill", "orderbook_delta", "user_order"]


def test_a_fill_arrives_before_the_reply(admin: Admin, client: SignedClient, connect: Connect) -> None:
    ws = connect()
    ws.subscribe("fill")
    admin.arm("ws.order", params={"how": "fill_before_reply", "ms": 200}, match={"op": "create"})
    started = time.monotonic()
    place(client, price="0.99", time_in_force="immediate_or_cancel")
    assert time.monotonic() - started >= 0.2
    assert ws.frame()["type"] == "fill"


# ── wrong contents ──────────────────────────────────────────────────────────────────────────────


def test_the_book_clock_goes_back(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("ws.clock_back", match=BOOK, params={"n": 1_000}, when={"nth": 2})
    place(client)
    place(client)
    first, second = book.frames(2)
    assert second["msg"]["clock"] < first["msg"]["clock"] - 900


def test_no_prices_are_mirrored(admin: Admin, client: SignedClient, connect: Connect) -> None:
    admin.arm("ws.mirror_no", params={"tickers": [ONE]})
    ws = connect()
    ws.subscribe("orderbook_delta", tickers=[ONE], use_yes_price=True)
    snapshot = ws.until_type("orderbook_snapshot")["msg"]
    assert snapshot["no_dollars_fp"][-1][0] == "0.4800"
    assert snapshot["yes_dollars_fp"][-1][0] == "0.4700"
    place(client, side="ask", price="0.90")
    assert ws.frame()["msg"]["price_dollars"] == "0.1000"


@pytest.mark.parametrize(
    ("how", "holds"),
    [
        ("bad_json", '"orderbook'),
        ("nan", '"delta_fp":NaN'),
        ("huge_number", '"delta_fp":1e309'),
        ("deep", "[" * 5_000),
        ("big", "x" * 9_000),
        ("unknown_type", '"type":"never_heard_of"'),
        ("negative_size", '"delta_fp":"-999999.00"'),
    ],
)
def test_damaged_frames(admin: Admin, client: SignedClient, book: WsClient, how: str, holds: str) -> None:
    params = {"how": how, **({"bytes": 9_000} if how == "big" else {})}
    admin.arm("ws.frame", match=BOOK, params=params, when={"nth": 1})
    place(client)
    text = book.raw()
    assert holds in text
    if how == "bad_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    place(client)
    assert book.frame()["seq"] == 3


def test_a_delta_without_its_side(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("ws.frame", match=BOOK, params={"how": "missing_side"})
    place(client)
    assert "side" not in book.frame()["msg"]


def test_a_frame_drifts(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("drift.extra", match=BOOK, params={"field": "novelty", "value": 7})
    place(client)
    assert book.frame()["msg"]["novelty"] == 7


# ── connections ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("scope", "arrives"), [("private", ["orderbook_delta"]), ("all", [])])
def test_silence(
    admin: Admin, client: SignedClient, connect: Connect, scope: str, arrives: list[str]
) -> None:
    ws = connect()
    ws.subscribe("orderbook_delta", "user_orders", tickers=[ONE])
    ws.until_type("orderbook_snapshot")
    admin.arm("ws.silence", params={"scope": scope, "keep_pongs": True})
    place(client)
    assert [frame["type"] for frame in ws.frames(len(arrives))] == arrives
    assert silent(ws)
    assert ws.is_ponged()
    admin.disarm()
    place(client)
    assert ws.frame()["type"] in ("orderbook_delta", "user_order")


def test_silence_of_one_subscription_and_of_pongs(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("ws.silence", match={"sid": "1"}, params={"scope": "sid"})
    place(client)
    assert silent(book)
    assert book.is_ponged()
    admin.disarm()
    admin.arm("ws.silence")
    assert not book.is_ponged(within_s=0.3)


@pytest.mark.parametrize("kept", [True, False])
def test_silence_keeps_pings_or_not(
    admin: Admin, connect: Connect, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    monkeypatch.setattr("dora_bot.paper.server.PING_EVERY_S", 0.05)
    admin.arm("ws.silence", params={"keep_pings": kept})
    ws = connect()
    ws.settimeout(3.0 if kept else 0.4)
    if kept:
        assert ws.wait_for_ping() == b"heartbeat"
    else:
        with pytest.raises(websocket.WebSocketTimeoutException):
            ws.wait_for_ping()


def test_a_half_open_connection_stays_up_and_is_dead(
    admin: Admin, client: SignedClient, book: WsClient, connect: Connect
) -> None:
    admin.arm("ws.half_open")
    place(client)
    book.command("list_subscriptions")
    assert silent(book)
    assert not book.is_ponged(within_s=0.3)
    assert connect().command("list_subscriptions") == 1


def test_refused_upgrades(admin: Admin, connect: Connect) -> None:
    admin.arm("ws.refuse", params={"status": 502}, when={"count": 2})
    for _ in range(2):
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            connect()
        assert caught.value.status_code == 502
    assert connect().command("list_subscriptions") == 1


def test_accepted_then_closed(admin: Admin, connect: Connect) -> None:
    admin.arm("ws.refuse", params={"after_ms": 700, "code": 1011}, when={"count": 1})
    ws = connect()
    ws.command("list_subscriptions")
    assert ws.frame()["type"] == "ok"
    with pytest.raises(CLOSED):
        ws.frame()


@pytest.mark.parametrize("code", [10, 25])
def test_a_terminal_error_ends_the_subscription_only(
    admin: Admin, client: SignedClient, book: WsClient, code: int
) -> None:
    admin.arm("ws.terminal", match=BOOK, params={"code": code})
    frame = book.frame()
    assert (frame["type"], frame["sid"], frame["msg"]["code"]) == ("error", 1, code)
    place(client)
    assert silent(book)
    book.command("list_subscriptions")
    assert book.frame()["msg"] == []


def test_a_terminal_error_instead_of_a_frame(admin: Admin, client: SignedClient, book: WsClient) -> None:
    admin.arm("ws.terminal", match=BOOK, when={"nth": 2})
    for _ in range(3):
        place(client)
    assert [frame["type"] for frame in book.frames(2)] == ["orderbook_delta", "error"]
    assert silent(book)


def test_a_subscription_that_was_ended_sends_nothing_more_and_ends_once(
    admin: Admin, connect: Connect
) -> None:
    admin.arm("ws.terminal", match=BOOK, when={"every": 1})
    ws = connect()
    ws.subscribe("orderbook_delta", tickers=[ONE, TWO])
    assert ws.frame()["type"] == "error"
    ws.command("list_subscriptions")
    assert ws.frame()["msg"] == []


def test_a_fault_may_strike_only_one_connection_and_is_counted(
    admin: Admin, client: SignedClient, book: WsClient, server: PaperServer
) -> None:
    fault = admin.arm("ws.drop", match={"key_id": "nobody"})
    place(client)
    assert book.frame()["seq"] == 2
    assert server.run(lambda venue: venue.faults.hits(fault)) == 0
