"""The exchange's own misbehaviour on one request, wrapped around its handler.

Before the handler the counterparty may act, or a rule be bent; after it the reply may be wrong. Whatever is
matched, is matched by the engine under its own rules, so that truth stays consistent.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from dora_bot.models import Side, TimeInForce
from dora_bot.paper.bend import Bend
from dora_bot.paper.drift import DRIFTS, drift
from dora_bot.paper.faults import Fault, Operation
from dora_bot.paper.problems import nested, not_found
from dora_bot.paper.read_faults import is_read, paged_body, paged_query, redated, with_rows_left_out
from dora_bot.paper.rest_base import Call, Reply
from dora_bot.paper.specs import OrderRequest, OrderStatus, OrderView, Refused
from dora_bot.paper.wire import Json
from dora_bot.paper.wire_requests import peek
from dora_bot.units import count_text, parse_count

if TYPE_CHECKING:
    from dora_bot.paper.venue import Venue

OPERATOR = "operator"
"""The house account that trades for the operator."""

FLOW = "flow"
"""The house account behind faults that trade; nobody's liquidity is its own."""

Handler = Callable[[Call], Reply]
_CREATES = frozenset({"create", "batch_create"})
_CANCELS = frozenset({"cancel", "batch_cancel"})
_MOVES = _CANCELS | {"amend", "decrease"}


class RequestFaults:
    """The kinds that the exchange itself commits."""

    def __init__(self, venue: "Venue") -> None:
        self._venue = venue

    def handle(self, call: Call, operation: Operation, number: int, handler: Handler) -> Reply:
        """The reply of the handler, as armed faults have it. Raises `Problem` and `Refused` as handlers do."""
        if not self._venue.faults:
            return handler(call)
        work = _Work(self._venue, operation, number)
        if work.strike("drift.gone") is not None:
            raise nested(410, "gone", "this endpoint is gone")
        if is_read(operation):
            return _read(work, call, handler)
        _counterparty_first(work, call)
        part = work.strike("eng.batch_part", when=work.op in ("batch_create", "batch_cancel"))
        if part is not None:
            call = replace(call, raw=_part(call.raw, part))
        with self._venue.engine.bent(_bend(work)):
            reply = handler(call)
        return _told(work, call, reply)


class _Work:
    """One request with what may strike it."""

    def __init__(self, venue: "Venue", operation: Operation, number: int) -> None:
        self.venue = venue
        self.operation = operation
        self.op = next(iter(operation["op"]))
        self._number = number

    def strike(self, kind: str, *, when: bool = True) -> Fault | None:
        """``when`` false: the kind does not concern this operation, which is then not counted."""
        return self.venue.strike(kind, self.operation, request=self._number) if when else None

    def resting(self, account: str) -> list[OrderView]:
        """The account's orders that the request names and that still rest."""
        orders = self.venue.engine.orders(account, status=OrderStatus.RESTING)
        return [order for order in orders if order.order_id in self.operation["order_id"]]


# ── writes ──────────────────────────────────────────────────────────────────────────────────────


def _counterparty_first(work: _Work, call: Call) -> None:
    """Somebody trades with the orders of a cancel or amend just before it is applied."""
    early = work.strike("eng.fill_on_cancel", when=work.op in _CANCELS)
    early = early or work.strike("eng.fill_on_amend", when=work.op in ("amend", "decrease"))
    if early is not None:
        for order in work.resting(call.account):
            fill(work.venue, order, early.number("share", 1.0), call.now_ms)
    chaser = work.strike("flow.cancel_chaser", when=work.op in _MOVES)
    if chaser is not None:
        for order in work.resting(call.account):
            size_e2 = round(chaser.number("size", order.remaining_e2 / 100) * 100)
            take(work.venue, order.ticker, order.side.other, order.price_e4, (size_e2, call.now_ms))


def fill(venue: "Venue", order: OrderView, share: float, now_ms: int) -> None:
    """Someone trades with this share of a resting order, at least 0.01 contract, past the queue."""
    venue.engine.fill_order(order.order_id, max(round(order.remaining_e2 * share), 1), now_ms)
    venue.publish()


def take(venue: "Venue", ticker: str, side: Side, price_e4: int, size: tuple[int, int]) -> int:
    """A house order that takes what it finds up to a price; ``size`` is (count_e2, now_ms). 0 where refused."""
    count_e2, now_ms = size
    request = OrderRequest(ticker, side, price_e4, count_e2, TimeInForce.IOC)
    try:
        return venue.engine.create(FLOW, request, now_ms).filled_e2
    except Refused:
        return 0
    finally:
        venue.publish()


def _part(raw: bytes, fault: Fault) -> bytes:
    """The body of a batch with its first items only."""
    body = peek(raw)
    orders = body.get("orders")
    if not isinstance(orders, list):
        return raw
    return msgspec.json.encode({**body, "orders": orders[: fault.whole("n", len(orders) // 2)]})


def _bend(work: _Work) -> Bend:
    """The rules that do not hold for this request."""
    bend, all_at_once = Bend(), work.op == "cancel_all"
    survivor = work.strike("eng.cancel_survivor", when=all_at_once)
    if survivor is not None:
        bend = replace(bend, spare_newest=survivor.whole("n", 1))
    partial = work.strike("eng.cancel_all_partial", when=all_at_once)
    if partial is not None:
        bend = replace(bend, only_shards=frozenset(partial.params.get("shards", [0])))
    tail = work.strike("eng.cancel_all_tail", when=all_at_once)
    if tail is not None:
        bend = replace(bend, tail_ms=tail.whole("ms"))
    ghost = work.strike("eng.post_only_ghost", when=work.op in _CREATES)
    if ghost is not None:
        bend = replace(bend, ghost_ms=ghost.whole("ms"))
    group = work.strike("eng.group_refuse", when=work.op in _CREATES)
    if group is not None:
        refusal = (group.whole("status", 400), group.text("code", "exceeded_order_group_risk_limit"))
        bend = replace(bend, group_refusal=refusal)
    return bend


def _told(work: _Work, call: Call, reply: Reply) -> Reply:
    """What happened after the handler, and what the reply makes of it."""
    if reply.status < 300 and isinstance(reply.body, dict):
        early = work.strike("eng.fill_before_reply", when=work.op in _CREATES)
        if early is not None:
            _fill_new(work, call, reply.body, early)
        if work.strike("eng.amend_other", when=work.op in ("amend", "cancel")) is not None:
            reply = reply._replace(body=_of_another(work, call, reply.body))
        wrong = work.strike("eng.reduced_by_wrong", when=work.op in _CANCELS)
        if wrong is not None:
            reply = reply._replace(body=_reduced_wrongly(reply.body, wrong.number("share")))
    return _drifted(work, reply)


def _fill_new(work: _Work, call: Call, body: Json, fault: Fault) -> None:
    created = {row.get("order_id") for row in body.get("orders", [body])}
    for order in work.venue.engine.orders(call.account, status=OrderStatus.RESTING):
        if order.order_id in created:
            fill(work.venue, order, fault.number("share", 1.0), call.now_ms)


def _of_another(work: _Work, call: Call, body: Json) -> Json:
    """The ids of another order of the account, its newest one, in an otherwise true reply."""
    others = [order for order in work.venue.engine.orders(call.account) if order.order_id != body["order_id"]]
    if not others:
        return body
    return {**body, "order_id": others[-1].order_id, "client_order_id": others[-1].client_order_id}


def _reduced_wrongly(body: Json, share: float) -> Json:
    if "orders" in body:
        return {**body, "orders": [_reduced_wrongly(row, share) for row in body["orders"]]}
    if "reduced_by" not in body:
        return body
    return {**body, "reduced_by": count_text(int(parse_count(body["reduced_by"]) * share))}


# ── reads ───────────────────────────────────────────────────────────────────────────────────────


def _read(work: _Work, call: Call, handler: Handler) -> Reply:
    (surface,) = work.operation["surface"]
    stale = work.strike("read.stale")
    page = work.strike("read.page")
    query = call.query
    if stale is not None:
        call = replace(call, stale=stale)
    if page is not None:
        call = replace(call, query=paged_query(query, page))
    omitted = work.strike("read.omit")
    if omitted is not None and surface == "order":
        raise not_found()
    reply = handler(call)
    if isinstance(reply.body, dict) and reply.status == 200:
        body = reply.body
        if page is not None:
            body = paged_body(body, query, surface, page)
        if omitted is not None:
            body = with_rows_left_out(body, surface, omitted)
        as_of = work.strike("read.as_of", when=surface == "as_of")
        if as_of is not None:
            body = redated(body, as_of, work.venue.stale.as_of_ms(call.now_ms))
        reply = reply._replace(body=body)
    return _drifted(work, reply)


def _drifted(work: _Work, reply: Reply) -> Reply:
    for kind in DRIFTS:
        fault = work.strike(kind)
        if fault is not None:
            reply = reply._replace(body=drift(reply.body, fault))
    return reply
