"""Order writes (V2): create, batch, amend, decrease, cancel, cancel all; and the V1 paths that are gone.

Routing to a shard follows the venue: an explicit ``exchange_index`` ≥ 0 is taken as it is, −1 or a ticker
alone routes by the ticker, and with neither the write goes to shard 0, where an order of another shard is
a 404 like any unknown one.
"""

from collections.abc import Callable
from typing import Any

from dora_bot.paper.problems import Problem, item_error, nested, refused
from dora_bot.paper.rest_base import (
    Call,
    Endpoint,
    Reply,
    bill_batch,
    bill_unscoped,
    bill_write,
    lock,
)
from dora_bot.paper.specs import OrderRequest, Refused
from dora_bot.paper.wire import Json
from dora_bot.paper.wire_account import cancel_body, decrease_body, receipt_body
from dora_bot.paper.wire_requests import (
    Body,
    amend_request,
    decrease_request,
    invalid_parameters,
    order_request,
)
from dora_bot.units import count_text

# A failed item has no order_id at all; the rest of its receipt is null.
_NO_RECEIPT: Json = dict.fromkeys(
    (
        "client_order_id",
        "fill_count",
        "remaining_count",
        "average_fill_price",
        "average_fee_paid",
        "ts_ms",
        "error",
    )
)


def _create(call: Call, request: OrderRequest) -> Json:
    lock(call, request.subaccount)
    return receipt_body(call.venue.engine.create(call.account, request, call.now_ms))


def create_order(call: Call) -> Reply:
    return Reply(201, _create(call, order_request(call.body("CreateOrderV2Request"))))


def _attempt(make: Callable[[], Json]) -> tuple[Json, Json | None]:
    """One item of a batch: (its reply, None) or ({}, its flat error)."""
    try:
        return make(), None
    except Refused as refusal:
        return {}, item_error(refused(refusal))
    except Problem as problem:
        if "error" not in problem.body:
            raise
        return {}, item_error(problem)


def create_batch(call: Call) -> Reply:
    """201 even if items failed; a body that does not decode fails as a whole."""
    replies = []
    for item in call.body("BatchCreateOrdersV2Request").items("orders"):
        reply, error = _attempt(lambda item=item: _create(call, order_request(item)))  # type: ignore[misc]  # mypy cannot type a lambda's default
        client_id = item.fields.get("client_order_id")
        replies.append({**_NO_RECEIPT, "client_order_id": client_id, **reply, "error": error})
    return Reply(201, {"orders": replies})


def _shard(call: Call, index: int | None, ticker: str) -> int:
    """The shard a write goes to. Raises 404 for an unknown ticker, 400 for −1 without one."""
    if index is not None and index >= 0:
        return index
    if ticker:
        return call.venue.engine.market(ticker).spec.exchange_index
    if index is not None:
        raise invalid_parameters("market_ticker is required for auto-routing")
    return 0


def amend_order(call: Call) -> Reply:
    body = call.body("AmendOrderV2Request")
    shard = _shard(call, body.integer("exchange_index"), body.string("ticker", required=True))
    request = amend_request(body, call.path["order_id"], shard, call.primary_subaccount())
    return Reply(200, receipt_body(call.venue.engine.amend(call.account, request, call.now_ms)))


def decrease_order(call: Call) -> Reply:
    body = call.body("DecreaseOrderV2Request")
    shard = _shard(call, body.integer("exchange_index"), body.string("market_ticker"))
    request = decrease_request(body, call.path["order_id"], shard, call.primary_subaccount())
    return Reply(200, decrease_body(call.venue.engine.decrease(call.account, request, call.now_ms)))


def _cancel(call: Call, order_id: str, shard: int, subaccount: int) -> Json:
    engine = call.venue.engine
    reduced = engine.cancel(call.account, order_id, call.now_ms, shard=shard, subaccount=subaccount)
    return cancel_body(reduced)


def cancel_order(call: Call) -> Reply:
    index = call.number("exchange_index", "CancelOrder")
    shard = _shard(call, index, call.get("market_ticker"))
    return Reply(200, _cancel(call, call.path["order_id"], shard, call.primary_subaccount()))


def _cancel_item(call: Call, item: Body) -> Json:
    shard = _shard(call, item.integer("exchange_index"), item.string("market_ticker"))
    subaccount = lock(call, item.integer("subaccount")) or 0
    return _cancel(call, item.string("order_id", required=True), shard, subaccount)


def cancel_batch(call: Call) -> Reply:
    """A DELETE with a body; ``reduced_by`` is 0.00 where the item failed."""
    replies: list[dict[str, Any]] = []
    for item in call.body("BatchCancelOrdersV2Request").items("orders"):
        reply, error = _attempt(lambda item=item: _cancel_item(call, item))  # type: ignore[misc]  # mypy cannot type a lambda's default
        failed = {
            "order_id": item.fields.get("order_id"),
            "client_order_id": None,
            "reduced_by": count_text(0),
            "ts_ms": None,
        }
        replies.append({**failed, **reply, "error": error})
    return Reply(200, {"orders": replies})


def cancel_all(call: Call) -> Reply:
    call.venue.engine.cancel_all(call.account, call.now_ms, subaccount=call.subaccount())
    return Reply(204, None)


def gone(call: Call) -> Reply:  # noqa: ARG001  (every handler takes the call)
    """V1 order writes answer 410 since June 2026."""
    raise nested(
        410,
        "deprecated_v1_order_endpoint",
        "Please switch to the V2 endpoints",
        "https://docs.kalshi.com/api-reference/orders/create-order-v2",
    )


_V2 = "/portfolio/events/orders"
_V1 = "/portfolio/orders"
_TRADE = "write::trade"

ENDPOINTS = (
    Endpoint("POST", _V2, create_order, _TRADE, bill_write),
    Endpoint("DELETE", _V2, cancel_all, _TRADE, bill_unscoped),
    Endpoint("POST", f"{_V2}/batched", create_batch, _TRADE, bill_batch),
    Endpoint("DELETE", f"{_V2}/batched", cancel_batch, _TRADE, bill_batch),
    Endpoint("DELETE", _V2 + "/{order_id}", cancel_order, _TRADE, bill_write),
    Endpoint("POST", _V2 + "/{order_id}/amend", amend_order, _TRADE, bill_write),
    Endpoint("POST", _V2 + "/{order_id}/decrease", decrease_order, _TRADE, bill_write),
    Endpoint("POST", _V1, gone, _TRADE, bill_unscoped),
    Endpoint("POST", f"{_V1}/batched", gone, _TRADE, bill_unscoped),
    Endpoint("DELETE", f"{_V1}/batched", gone, _TRADE, bill_unscoped),
    Endpoint("DELETE", _V1 + "/{order_id}", gone, _TRADE, bill_unscoped),
    Endpoint("POST", _V1 + "/{order_id}/amend", gone, _TRADE, bill_unscoped),
    Endpoint("POST", _V1 + "/{order_id}/decrease", gone, _TRADE, bill_unscoped),
)
