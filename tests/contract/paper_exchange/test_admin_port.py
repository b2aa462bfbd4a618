"""The admin port: its guard, truth, journal, clock, barriers, and that faults show at the wire."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import websocket

from dora_bot.paper.testing import PaperServer
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

V2 = "/portfolio/events/orders"
ONE = "KXA-1-ONE"
_numbers = itertools.count()


def order(**changes: Any) -> dict[str, Any]:
    return {
        "ticker": ONE,
        "client_order_id": f"admin-{next(_numbers)}",
        "side": "bid",
        "count": "1",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }


@pytest.fixture(autouse=True)
def clean(admin: Admin, client: SignedClient) -> Iterator[None]:
    yield
    admin.disarm()
    for resting in client.get("/portfolio/orders", status="resting").body["orders"]:
        client.delete(f"{V2}/{resting['order_id']}")


# ── guard ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}])
def test_every_admin_route_wants_the_token(admin: Admin, header: dict[str, str]) -> None:
    for method, path in (("GET", "truth"), ("GET", "journal"), ("POST", "engine"), ("POST", "faults")):
        reply = requests.request(method, f"{admin.url}/admin/v1/{path}", headers=header, json={}, timeout=5)
        assert reply.status_code == 401


def test_the_trading_port_has_no_admin_routes(client: SignedClient, server: PaperServer) -> None:
    base = client.base.removesuffix("/trade-api/v2")
    header = {"Authorization": f"Bearer {server.here.admin_token}"}
    assert requests.get(f"{base}/admin/v1/truth", headers=header, timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/engine", {"action": "explode"}, "unknown action"),
        ("/engine", {"action": "taker", "side": "bid", "count": "1"}, "ticker"),
        (
            "/engine",
            {"action": "maker", "ticker": ONE, "side": "bid", "price": 0.4, "count": "1"},
            "decimal string",
        ),
        ("/barrier", {"condition": "weather==good"}, "condition"),
        ("/faults", {"kind": "http.explode"}, "unknown kind"),
        ("/clock", {"minutes": 1}, "offset_ms"),
    ],
)
def test_a_bad_admin_request_says_what_is_wrong(
    admin: Admin, path: str, body: dict[str, Any], says: str
) -> None:
    status, reply = admin.call("POST", path, body)
    assert status == 400
    assert says in reply["error"]


# ── truth, journal, clock, barrier ──────────────────────────────────────────────────────────────


def test_truth_is_the_account_now(admin: Admin, client: SignedClient) -> None:
    before = admin.truth()
    made = client.post(V2, order(price="0.02", count="3")).body
    client.post(V2, order(price="0.99", time_in_force="immediate_or_cancel"))
    truth = admin.truth()
    assert [(o["order_id"], o["price"], o["remaining_count"]) for o in truth["open_orders"]] == [
        (made["order_id"], "0.0200", "3.00")
    ]
    assert float(truth["positions"][ONE]) == float(before["positions"].get(ONE, 0)) + 1
    assert len(truth["fills"]) == len(before["fills"]) + 1
    fill = truth["fills"][-1]
    spent = round(float(before["cash"]) - float(truth["cash"]), 6)
    assert spent == round(float(fill["price"]) * float(fill["count"]) + float(fill["fee"]), 6)
    assert truth["books"][ONE]["bids"][0] == ["0.4700", "100.00"]


def test_the_journal_has_arrival_application_and_reply(admin: Admin, client: SignedClient) -> None:
    last = admin.call("GET", "/journal")[1]["last"]
    sent = order()
    client.post(V2, sent)
    entries = admin.journal(after=last)
    arrival = next(e for e in entries if e["kind"] == "arrival")
    assert (arrival["method"], arrival["path"]) == ("POST", f"/trade-api/v2{V2}")
    assert arrival["key_id"] == client.key_id
    assert sent["client_order_id"] in arrival["body"]
    of_it = [(e["kind"], e["status"]) for e in entries if e.get("request") == arrival["n"]]
    assert of_it == [("applied", 201), ("reply", 201)]
    numbers = [entry["n"] for entry in entries]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > last


def test_a_barrier_waits_for_its_condition(admin: Admin, client: SignedClient) -> None:
    made = client.post(V2, order()).body
    status, reply = admin.call("POST", "/barrier", {"condition": "open_orders==0", "timeout_ms": 50})
    assert (status, reply["error"]) == (408, "timeout")
    client.delete(f"{V2}/{made['order_id']}")
    status, reply = admin.call("POST", "/barrier", {"condition": "open_orders == 0", "timeout_ms": 2_000})
    assert status == 200
    assert reply["elapsed_ms"] < 2_000
    assert admin.call("POST", "/barrier", {"journal": 1})[0] == 200


def test_operator_actions_reach_the_account(admin: Admin, client: SignedClient) -> None:
    mine = client.post(V2, order(price="0.48", count="5")).body["order_id"]
    assert admin.act("fill_order", order_id=mine, count="2") == {"filled": "2.00"}
    assert client.get(f"/portfolio/orders/{mine}").body["order"]["remaining_count_fp"] == "3.00"
    admin.act("cancel_order", order_id=mine)
    assert client.delete(f"{V2}/{mine}").status == 404
    foreign = admin.act("foreign_order", ticker=ONE, side="ask", price="0.90", count="1")
    listed = client.get("/portfolio/orders", status="resting").body["orders"]
    assert [o["order_id"] for o in listed] == [foreign["order_id"]]
    before = float(admin.truth()["cash"])
    admin.act("cash", amount="-12.5")
    assert float(admin.truth()["cash"]) == before - 12.5


# ── faults ──────────────────────────────────────────────────────────────────────────────────────


def test_delay(admin: Admin, client: SignedClient) -> None:
    admin.arm("http.delay", match={"method": "POST"}, params={"ms": 150}, when={"count": 1})
    took = []
    for _ in range(2):
        started = time.monotonic()
        assert client.post(V2, order()).status == 201
        took.append(time.monotonic() - started)
    assert took[0] >= 0.15
    assert took[1] < 0.15


@pytest.mark.parametrize("how", ["reset", "fin", "hang"])
@pytest.mark.parametrize(("phase", "applied"), [("before_apply", False), ("after_apply", True)])
def test_drop_reply(admin: Admin, client: SignedClient, phase: str, how: str, *, applied: bool) -> None:
    sent = order()
    admin.arm(
        "http.drop_reply",
        match={"client_order_id": sent["client_order_id"]},
        params={"phase": phase, "how": how},
        when={"nth": 1},
    )
    impatient = SignedClient(client.base, client.key_id, client.private_key_path, timeout_s=0.5)
    with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
        impatient.post(V2, sent)
    impatient.close()
    again = client.post(V2, sent)
    assert again.status == (409 if applied else 201)
    [fault] = admin.call("GET", "/faults")[1]["faults"]
    assert (fault["seen"], fault["hits"]) == (2, 1)
    assert any(
        entry["kind"] == "fault" and entry["fault_id"] == fault["fault_id"] for entry in admin.journal()
    )


@pytest.mark.parametrize(("phase", "applied"), [("before_apply", False), ("after_apply", True)])
def test_status(admin: Admin, client: SignedClient, phase: str, *, applied: bool) -> None:
    sent = order()
    admin.arm("http.status", match={"side": "bid"}, params={"phase": phase, "code": 503}, when={"nth": 1})
    failed = client.post(V2, sent)
    assert (failed.status, failed.body["error"]["code"]) == (503, "service_unavailable")
    assert client.post(V2, sent).status == (409 if applied else 201)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("flat", {"code": "teapot", "message": "bad request", "details": "injected"}),
        ("string", {"error": "teapot"}),
        ("params", {"msg": "teapot"}),
    ],
)
def test_status_shapes(admin: Admin, client: SignedClient, shape: str, body: dict[str, str]) -> None:
    admin.arm(
        "http.status", match={"path": "*/markets"}, params={"code": 418, "error": "teapot", "shape": shape}
    )
    assert client.get("/markets")[:2] == (418, body)
    assert client.get("/exchange/status").status == 200


def test_gap(admin: Admin, client: SignedClient, connect: Callable[[], WsClient]) -> None:
    ws = connect()
    ws.subscribe("orderbook_delta", tickers=[ONE])
    ws.until_type("orderbook_snapshot")
    admin.arm("ws.gap", match={"channel": "orderbook_delta"}, params={"n": 2}, when={"nth": 1})
    for _ in range(4):
        client.post(V2, order())
    assert [frame["seq"] for frame in ws.frames(2)] == [4, 5]
    dropped = [e for e in admin.journal() if e["kind"] == "frame" and e["dropped"]]
    assert [entry["seq"] for entry in dropped] == [2, 3]


def test_close_at_once(admin: Admin, connect: Callable[[], WsClient]) -> None:
    ws = connect()
    ws.command("list_subscriptions")
    ws.frame()
    admin.arm("ws.close", params={"code": 1006})
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionResetError)):
        ws.frame()
    assert connect().command("list_subscriptions") == 1


def test_close_on_a_frame(admin: Admin, client: SignedClient, connect: Callable[[], WsClient]) -> None:
    ws = connect()
    ws.subscribe("user_orders")
    admin.arm("ws.close", match={"channel": "user_orders"}, params={"code": 1001}, when={"nth": 2})
    client.post(V2, order())
    assert ws.frame()["type"] == "user_order"
    client.post(V2, order())
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        ws.frame()


def test_without_faults_nothing_is_hit(admin: Admin, client: SignedClient) -> None:
    assert admin.call("GET", "/faults")[1] == {"faults": []}
    assert client.post(V2, order()).status == 201
