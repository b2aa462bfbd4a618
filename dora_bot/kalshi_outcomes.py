"""Replies to writes → outcomes. Each write ends in exactly one of four (docs/outcomes.md).

*Accepted* only if the reply is a 2xx whose ids are the ones sent; *refused* only if the reply proves that
nothing was applied; everything else is *unknown* and must be looked up, never sent again blindly.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from dora_bot import wire_values as values
from dora_bot.errors import WireError
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    Outcome,
    OutcomeKind,
    Place,
)

ORDER_EXISTS = "order_already_exists"
PAUSES = frozenset({"trading_is_paused", "exchange_is_paused"})
_REFUSING_STATUS = frozenset({400, 401, 403, 410, 429})
_REFUSING_CODES = PAUSES | {
    "authentication_error",
    "available_balance_too_low",
    "bad_request",
    "cannot_update_filled_order",
    "deprecated_v1_order_endpoint",
    "exceeded_order_group_risk_limit",
    "exceeded_per_market_risk_limit",
    "exceeded_sell_position_floor",
    "fok_insufficient_volume",
    "forbidden",
    "insufficient_balance",
    "invalid_amend_qty_for_order",
    "invalid_order",
    "invalid_order_size",
    "invalid_parameters",
    "invalid_price",
    "market_already_closed",
    "market_closed",
    "market_inactive",
    "market_not_found",
    "order_group_cancel",
    "order_group_not_found",
    "order_id_and_client_order_id_mismatch",
    "order_side_mismatch",
    "order_ticker_mismatch",
    "post_only_cross",
    "self_cross_attempt",
    "too_many_requests",
}
"""Codes of a batch item that prove non-application; an item has no HTTP status of its own."""


class ErrorShape(msgspec.Struct):
    code: str = ""
    message: str = ""
    details: str | None = None


class _AnyError(msgspec.Struct):
    """All four bodies seen: nested, flat, ``msg`` and ``{"error": "too many requests"}``."""

    error: ErrorShape | str | None = None
    code: str = ""
    message: str = ""
    details: str | None = None
    msg: str = ""


class WriteShape(msgspec.Struct):
    """The reply to one order write, or one item of a batch reply."""

    order_id: str | None = None
    client_order_id: str | None = None
    fill_count: str | None = None
    remaining_count: str | None = None
    reduced_by: str | None = None
    ts_ms: values.Millis | None = None
    error: ErrorShape | None = None


class _BatchShape(msgspec.Struct):
    orders: list[WriteShape]


_ERROR = msgspec.json.Decoder(_AnyError)
_WRITE = msgspec.json.Decoder(WriteShape)
_BATCH = msgspec.json.Decoder(_BatchShape)
_Sent = TypeVar("_Sent", Place, Cancel)


@dataclass(frozen=True, slots=True)
class Problem:
    """What the exchange said was wrong: a code to branch on and a text for people."""

    code: str
    detail: str


def problem(status: int, body: bytes) -> Problem:
    """Read an error reply in any of its shapes; one that cannot be read still gives a code."""
    try:
        found = values.decode(_ERROR, body)
    except WireError:
        return Problem(f"http_{status}", body[:200].decode("utf-8", "replace"))
    if isinstance(found.error, str):
        return Problem(_code(found.error), found.error[:200])
    inner = found.error or ErrorShape(found.code, found.message, found.details)
    code = inner.code or ("invalid_parameters" if found.msg else f"http_{status}")
    detail = ": ".join(part for part in (inner.message or found.msg, inner.details or "") if part)
    return Problem(_code(code), detail[:200])


def _code(text: str) -> str:
    return text.strip().lower().replace(" ", "_")[:80]


# ── one reply, one outcome ──────────────────────────────────────────────────────────────────────


def created(order: Place, status: int, body: bytes) -> Outcome:
    if not 200 <= status < 300:
        return _not_accepted(order, status, body)
    return _read(order, body, _created)


def amended(order: Amend, status: int, body: bytes) -> Outcome:
    if not 200 <= status < 300:
        return _not_accepted(order, status, body)
    return _read(order, body, _amended)


def cancelled(order: Cancel, status: int, body: bytes) -> Outcome:
    if not 200 <= status < 300:
        return _not_accepted(order, status, body)
    return _read(order, body, _cancelled)


def decreased(order: Cancel, status: int, body: bytes) -> Outcome:
    if not 200 <= status < 300:
        return _not_accepted(order, status, body)
    return _read(order, body, _decreased)


def batch_created(orders: Sequence[Place], status: int, body: bytes) -> list[Outcome]:
    return _batch(
        orders, status, body, lambda order: order.client_order_id, lambda item: item.client_order_id
    )


def batch_cancelled(orders: Sequence[Cancel], status: int, body: bytes) -> list[Outcome]:
    return _batch(orders, status, body, lambda order: order.order_id, lambda item: item.order_id)


def unknown(action: Action, code: str, detail: str) -> Outcome:
    return Outcome(action, OutcomeKind.UNKNOWN, code=code, detail=detail)


def denied_locally(action: Action, code: str, detail: str) -> Outcome:
    return Outcome(action, OutcomeKind.DENIED_LOCALLY, code=code, detail=detail)


def _not_accepted(action: Action, status: int, body: bytes) -> Outcome:
    found = problem(status, body)
    refused = (
        status in _REFUSING_STATUS
        or (status == 409 and found.code in PAUSES)
        or (status == 404 and isinstance(action, Place))
    )
    return Outcome(
        action,
        OutcomeKind.REFUSED if refused else OutcomeKind.UNKNOWN,
        code=found.code,
        detail=found.detail,
        exists=status == 409 and found.code == ORDER_EXISTS,
    )


def _read(action: Action, body: bytes, read: Callable[..., Outcome]) -> Outcome:
    try:
        return read(action, values.decode(_WRITE, body))
    except WireError as error:
        return unknown(action, "unreadable_reply", str(error))


def _created(order: Place, item: WriteShape) -> Outcome:
    if item.client_order_id != order.client_order_id:
        raise WireError(f"the reply is about client_order_id {item.client_order_id!r:.80}, not the one sent")
    return Outcome(
        order,
        OutcomeKind.ACCEPTED,
        order_id=values.identifier(_needed(item.order_id, "order_id"), "order_id"),
        filled_e2=values.count(_needed(item.fill_count, "fill_count"), "fill_count"),
        remaining_e2=values.count(_needed(item.remaining_count, "remaining_count"), "remaining_count"),
        time_ms=item.ts_ms or 0,
    )


def _amended(order: Amend, item: WriteShape) -> Outcome:
    _same_order(order, item)
    return Outcome(
        order,
        OutcomeKind.ACCEPTED,
        order_id=order.order_id,
        filled_e2=_optional_count(item.fill_count, "fill_count"),
        remaining_e2=_optional_count(item.remaining_count, "remaining_count"),
        time_ms=item.ts_ms or 0,
    )


def _cancelled(order: Cancel, item: WriteShape) -> Outcome:
    _same_order(order, item)
    return Outcome(
        order,
        OutcomeKind.ACCEPTED,
        order_id=order.order_id,
        reduced_by_e2=values.count(_needed(item.reduced_by, "reduced_by"), "reduced_by"),
        time_ms=item.ts_ms or 0,
    )


def _decreased(order: Cancel, item: WriteShape) -> Outcome:
    _same_order(order, item)
    return Outcome(
        order,
        OutcomeKind.ACCEPTED,
        order_id=order.order_id,
        remaining_e2=values.count(_needed(item.remaining_count, "remaining_count"), "remaining_count"),
        time_ms=item.ts_ms or 0,
    )


def _same_order(order: Amend | Cancel, item: WriteShape) -> None:
    if item.order_id != order.order_id:
        raise WireError(f"the reply is about order {item.order_id!r:.80}, not the one sent")
    if item.client_order_id and order.client_order_id and item.client_order_id != order.client_order_id:
        raise WireError(f"the reply is about client_order_id {item.client_order_id!r:.80}, not the one sent")


def _needed(text: str | None, field: str) -> str:
    if text is None:
        raise WireError(f"{field} missing")
    return text


def _optional_count(text: str | None, field: str) -> int | None:
    return None if text is None else values.count(text, field)


# ── batches ─────────────────────────────────────────────────────────────────────────────────────


def _batch(
    orders: Sequence[_Sent],
    status: int,
    body: bytes,
    key_sent: Callable[[_Sent], str],
    key_replied: Callable[[WriteShape], str | None],
) -> list[Outcome]:
    """Match items by id, whatever their order; one that is missing or there twice is unknown."""
    if not 200 <= status < 300:
        return [_not_accepted_batch(order, status, body) for order in orders]
    try:
        items = values.decode(_BATCH, body).orders
    except WireError as error:
        return [unknown(order, "unreadable_reply", str(error)) for order in orders]
    times = Counter(key_replied(item) for item in items)
    by_key = {key_replied(item): item for item in items}
    found: list[Outcome] = []
    for order in orders:
        key = key_sent(order)
        if times[key] != 1:
            found.append(
                unknown(order, "item_missing", f"{times[key]} items of the batch reply are about it")
            )
        else:
            found.append(_item(order, by_key[key]))
    return found


def _not_accepted_batch(order: _Sent, status: int, body: bytes) -> Outcome:
    """As for a single write, but a 404 or 409 of the whole batch says nothing about one item."""
    outcome = _not_accepted(order, status, body)
    if status in _REFUSING_STATUS or (status == 409 and outcome.code in PAUSES):
        return outcome
    return unknown(order, outcome.code, outcome.detail)


def _item(order: Place | Cancel, item: WriteShape) -> Outcome:
    if item.error is not None:
        return _item_error(order, item.error)
    try:
        return _created(order, item) if isinstance(order, Place) else _cancelled(order, item)
    except WireError as error:
        return unknown(order, "unreadable_reply", str(error))


def _item_error(order: Place | Cancel, error: ErrorShape) -> Outcome:
    code = _code(error.code)
    refused = code in _REFUSING_CODES or (code == "not_found" and isinstance(order, Place))
    return Outcome(
        order,
        OutcomeKind.REFUSED if refused else OutcomeKind.UNKNOWN,
        code=code or "unnamed_error",
        detail=": ".join(part for part in (error.message, error.details or "") if part)[:200],
        exists=code == ORDER_EXISTS,
    )
