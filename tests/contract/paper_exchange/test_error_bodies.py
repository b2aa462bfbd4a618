"""Every row of the venue's error table, at the wire: status, shape, code and details."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from dora_bot.paper.testing import PaperServer
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient

V2 = "/portfolio/events/orders"
_numbers = itertools.count()


def order(**changes: Any) -> dict[str, Any]:
    """A good resting bid far from the touch, with a client id of its own."""
    base = {
        "ticker": "KXA-1-ONE",
        "client_order_id": f"err-{next(_numbers)}",
        "side": "bid",
        "count": "1.00",
        "price": "0.0100",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


@pytest.fixture
def resting(client: SignedClient) -> Iterator[dict[str, Any]]:
    made = client.post(V2, order())
    assert made.status == 201
    yield made.body
    client.delete(f"{V2}/{made.body['order_id']}")


def nested(code: str, message: str | None = None, **more: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message or code.replace("_", " "), **more}}


def go(kind: str, path: str, wanted: str) -> dict[str, str]:
    return {
        "code": "bad_request",
        "message": "bad request",
        "details": f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}",
    }


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"count": 1}, go("number", "CreateOrderV2Request.count", "string")),
        ({"price": 0.01}, go("number", "CreateOrderV2Request.price", "string")),
        ({"post_only": "yes"}, go("string", "CreateOrderV2Request.post_only", "bool")),
        ({"expiration_time": "1"}, go("string", "CreateOrderV2Request.expiration_time", "int64")),
        ({"ticker": ["T"]}, go("array", "CreateOrderV2Request.ticker", "string")),
        ({"subaccount": True}, go("bool", "CreateOrderV2Request.subaccount", "int64")),
    ],
)
def test_wrong_json_types_are_flat(
    client: SignedClient, changes: dict[str, Any], body: dict[str, str]
) -> None:
    answer = client.post(V2, order(**changes))
    assert (answer.status, answer.body) == (400, body)


@pytest.mark.parametrize(
    ("changes", "status", "body"),
    [
        ({"price": "0.5150"}, 400, nested("invalid_price")),
        ({"price": "1.0000"}, 400, nested("invalid_price")),
        ({"price": "0"}, 400, nested("invalid_price")),
        ({"price": "0.01001"}, 400, nested("invalid_price")),
        ({"price": "0.9900", "post_only": True}, 400, nested("invalid_order", details="post only cross")),
        ({"count": "9999999.00", "price": "0.4600"}, 400, nested("insufficient_balance")),
        ({"count": "0"}, 400, nested("invalid_order_size")),
        ({"count": "0.001"}, 400, nested("invalid_order_size")),
        ({"count": "-1"}, 400, nested("invalid_order_size")),
        ({"ticker": "NOPE"}, 404, nested("not_found")),
        ({"exchange_index": 3}, 404, nested("not_found")),
        ({"side": "yes"}, 400, nested("invalid_parameters", details="side must be bid or ask")),
        ({"ticker": None}, 400, nested("invalid_parameters", details="ticker is required")),
        (
            {"time_in_force": "GTT"},
            400,
            nested("invalid_parameters", details="time_in_force is not supported"),
        ),
        ({"subaccount": 64}, 400, nested("invalid_parameters", details="subaccount must be 0..63")),
    ],
)
def test_refused_creates_are_nested(
    client: SignedClient, changes: dict[str, Any], status: int, body: dict[str, Any]
) -> None:
    answer = client.post(V2, order(**changes))
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"time_in_force": "immediate_or_cancel", "expiration_time": 4_000_000_000},
            "Cannot specify both immediate_or_cancel and expiration_ts",
        ),
        ({"expiration_time": 1_600_000_000}, "Expiration timestamp must be in the future"),
    ],
)
def test_expiry_texts(client: SignedClient, changes: dict[str, Any], text: str) -> None:
    answer = client.post(V2, order(**changes))
    assert answer.status == 400
    assert text in (answer.body["error"]["message"], answer.body["error"].get("details"))


def test_a_resting_reduce_only_is_refused(client: SignedClient) -> None:
    assert client.post(V2, order(reduce_only=True)).status == 400


def test_a_client_id_is_spent_for_ever(client: SignedClient) -> None:
    first = order()
    made = client.post(V2, first)
    duplicate = (409, nested("order_already_exists"))
    assert client.post(V2, first)[:2] == duplicate
    assert client.delete(f"{V2}/{made.body['order_id']}").status == 200
    assert client.post(V2, first)[:2] == duplicate


def test_finished_and_unknown_orders_are_the_same_404(client: SignedClient) -> None:
    cancelled = client.post(V2, order()).body["order_id"]
    executed = client.post(V2, order(price="0.9900", time_in_force="immediate_or_cancel")).body["order_id"]
    client.delete(f"{V2}/{cancelled}")
    unknown = "00000000-0000-0000-0000-000000000000"
    answers = [client.delete(f"{V2}/{number}") for number in (cancelled, executed, unknown)]
    assert {answer.status for answer in answers} == {404}
    assert [answer.body for answer in answers] == [nested("not_found")] * 3
    assert {answer.headers["Content-Length"] for answer in answers} == {answers[0].headers["Content-Length"]}


def test_a_cancel_without_routing_looks_on_shard_0_only(client: SignedClient) -> None:
    made = client.post(V2, order(ticker="KXC-1-SHARD")).body["order_id"]
    assert client.delete(f"{V2}/{made}").status == 404
    assert client.delete(f"{V2}/{made}", exchange_index=1).status == 404
    assert client.delete(f"{V2}/{made}", market_ticker="KXC-1-SHARD").status == 200
    other = client.post(V2, order(ticker="KXC-1-SHARD", exchange_index=2)).body["order_id"]
    assert client.delete(f"{V2}/{other}", exchange_index=2).status == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"side": "ask"}, "order_side_mismatch"),
        ({"ticker": "KXB-1-DECI"}, "order_ticker_mismatch"),
        ({"client_order_id": "somebody else's"}, "order_id_and_client_order_id_mismatch"),
    ],
)
def test_amends_that_do_not_match_their_order(
    client: SignedClient, resting: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    body = {"ticker": "KXA-1-ONE", "side": "bid", "price": "0.0200", "count": "1", **changes}
    answer = client.post(f"{V2}/{resting['order_id']}/amend", body)
    assert (answer.status, answer.body["error"]["code"]) == (400, code)


def test_decrease_takes_exactly_one_amount(client: SignedClient, resting: dict[str, Any]) -> None:
    path = f"{V2}/{resting['order_id']}/decrease"
    for body in ({}, {"reduce_by": "0.5", "reduce_to": "0.5"}):
        assert client.post(path, body).body["error"]["code"] == "invalid_parameters"
    assert client.post(path, {"reduce_by": "0.25"}).body["remaining_count"] == "0.75"
    assert client.post(path, {"reduce_to": "0.5"}).body["remaining_count"] == "0.50"


def test_pauses_are_409_with_their_own_codes(
    client: SignedClient, admin: Admin, resting: dict[str, Any]
) -> None:
    path = f"{V2}/{resting['order_id']}"
    admin.act("pause", on=True)
    try:
        assert client.post(V2, order())[:2] == (409, nested("trading_is_paused"))
        amend = {"ticker": "KXA-1-ONE", "side": "bid", "price": "0.0200", "count": "1"}
        assert client.post(f"{path}/amend", amend)[:2] == (409, nested("trading_is_paused"))
        assert client.get("/exchange/status").body["trading_active"] is False
        admin.act("exchange_pause", on=True)
        assert client.post(V2, order())[:2] == (409, nested("exchange_is_paused"))
        assert client.delete(path)[:2] == (409, nested("exchange_is_paused"))
        admin.act("exchange_pause", on=False)
        assert client.delete(path).status == 200
    finally:
        admin.act("exchange_pause", on=False)
        admin.act("pause", on=False)
    assert client.get("/exchange/status").body["trading_active"] is True


def test_v1_writes_are_410(client: SignedClient) -> None:
    v1 = "/portfolio/orders"
    calls = [
        ("POST", v1),
        ("POST", f"{v1}/batched"),
        ("DELETE", f"{v1}/batched"),
        ("DELETE", f"{v1}/x"),
        ("POST", f"{v1}/x/amend"),
        ("POST", f"{v1}/x/decrease"),
    ]
    for method, path in calls:
        answer = client.call(method, path, {})
        assert answer.status == 410
        assert answer.body == nested(
            "deprecated_v1_order_endpoint",
            "Please switch to the V2 endpoints",
            details="https://docs.kalshi.com/api-reference/orders/create-order-v2",
        )


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/markets", "GetMarkets"),
        ("/markets/trades", "GetTrades"),
        ("/portfolio/orders", "GetOrders"),
        ("/portfolio/fills", "GetFills"),
        ("/portfolio/positions", "GetPositions"),
        ("/portfolio/settlements", "GetSettlements"),
    ],
)
def test_a_limit_over_the_maximum_is_not_clamped(client: SignedClient, path: str, operation: str) -> None:
    answer = client.get(path, limit=1_001)
    assert answer.status == 400
    assert answer.body == {
        "msg": f"Parameter validation failed for {operation}: Key: '{operation}Params.Limit' "
        "Error:Field validation for 'Limit' failed on the 'lte' tag"
    }
    assert client.get(path, limit=1_000).status == 200
    garbage = client.get(path, cursor="garbage-cursor-fixture")
    assert garbage.status == 200
    assert garbage.body == client.get(path).body


def test_status_active_is_not_a_filter_value(client: SignedClient) -> None:
    assert client.get("/markets", status="active").status == 400
    assert len(client.get("/markets", status="open").body["markets"]) == 4


def test_private_paths_need_a_signature_and_public_ones_do_not(client: SignedClient) -> None:
    for path in ("/portfolio/balance", "/portfolio/orders", "/account/limits"):
        assert client.call("GET", path, headers={}).status == 401
    for path in ("/markets", "/exchange/status", "/markets/KXA-1-ONE/orderbook", "/account/endpoint_costs"):
        assert client.call("GET", path, headers={}).status == 200


def test_a_batch_is_201_with_an_error_for_each_failed_item(client: SignedClient) -> None:
    good, bad, gone = order(), order(price="0.5150"), order(ticker="NOPE")
    answer = client.post(f"{V2}/batched", {"orders": [good, bad, gone]})
    assert answer.status == 201
    replies = {reply["client_order_id"]: reply for reply in answer.body["orders"]}
    assert replies[good["client_order_id"]]["error"] is None
    assert replies[bad["client_order_id"]]["error"] == {"code": "invalid_price", "message": "invalid price"}
    assert replies[gone["client_order_id"]]["error"]["code"] == "not_found"
    number = replies[good["client_order_id"]]["order_id"]
    cancels = {"orders": [{"order_id": number, "market_ticker": "KXA-1-ONE"}, {"order_id": "no-such"}]}
    cancelled = client.delete(f"{V2}/batched", cancels)
    assert cancelled.status == 200
    first, second = cancelled.body["orders"]
    assert (first["order_id"], first["reduced_by"], first["error"]) == (number, "1.00", None)
    assert (second["order_id"], second["reduced_by"], second["error"]["code"]) == (
        "no-such",
        "0.00",
        "not_found",
    )


def test_a_batch_item_of_a_wrong_type_fails_the_whole_batch(client: SignedClient) -> None:
    good = order()
    answer = client.post(f"{V2}/batched", {"orders": [good, order(count=1)]})
    assert (answer.status, answer.body) == (
        400,
        go("number", "BatchCreateOrdersV2Request.orders.count", "string"),
    )
    assert client.post(V2, good).status == 201


def test_keys_are_held_to_their_scopes_and_subaccount(
    server: PaperServer, client: SignedClient, admin: Admin, tmp_path: Any
) -> None:
    reader = admin.act("add_key", path=str(tmp_path / "r.pem"), scopes=["read"])
    locked = admin.act("add_key", path=str(tmp_path / "l.pem"), subaccount=3, key_type="ed25519")
    only_reads = SignedClient(client.base, reader["key_id"], str(tmp_path / "r.pem"))
    assert only_reads.get("/portfolio/orders").status == 200
    assert only_reads.post(V2, order()).status == 403
    in_three = SignedClient(client.base, locked["key_id"], str(tmp_path / "l.pem"))
    refused = in_three.post(V2, order())
    assert refused.status == 403
    assert refused.body["error"]["message"] == (
        "this API key is restricted to a single sub-account and cannot access this endpoint"
    )
    assert in_three.get("/portfolio/orders", subaccount=1).status == 403
    assert in_three.get("/portfolio/orders").body["orders"] == []
    admin.act("revoke_key", key_id=reader["key_id"])
    assert only_reads.get("/portfolio/orders").body["error"]["details"] == "NOT_FOUND"
    only_reads.close()
    in_three.close()


def test_no_cancel_after_the_close(client: SignedClient, admin: Admin) -> None:
    made = client.post(V2, order(ticker="KXA-1-TWO"))
    assert made.status == 201
    admin.act("close_at", ticker="KXA-1-TWO", in_ms=0)
    answer = client.delete(f"{V2}/{made.body['order_id']}", market_ticker="KXA-1-TWO")
    assert answer.status in (400, 409)
    assert client.get("/markets/KXA-1-TWO").body["market"]["status"] == "closed"
