"""Our orders, found by either id: the client order id that we chose, or the exchange's.

A finished order stays as a tombstone, because a late fill must still find it; fills that arrive before their order
is known wait here for it. What happens to an order is decided in `own_orders`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dora_bot import own_orders
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    ExchangeOrder,
    Fill,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
)
from dora_bot.own_orders import OrderState, OwnOrder
from dora_bot.records import OrderRow

TOMBSTONE_MS = 600_000
"""Finished orders are remembered this long (FAULTS I14)."""


class OrderStore:
    """Rows for the trade log collect in ``rows`` until the state manager takes them, and in ``resolved`` how writes
    ended whose outcome had been unknown.
    """

    def __init__(
        self, own_prefix: str, restored: Iterable[OwnOrder], amends: Iterable[tuple[Amend, int]] = ()
    ) -> None:
        self._amends = {amend.client_order_id: (amend, sent_ms) for amend, sent_ms in amends}
        self._prefix = own_prefix
        self._orders: dict[str, OwnOrder] = {}
        self._counted: dict[str, OwnOrder] = {}
        """Those of `_orders` that may still change the position: few, where tombstones are many."""
        self._by_order_id: dict[str, str] = {}
        self._unmatched: dict[str, int] = {}
        self.rows: list[OrderRow] = []
        self.resolved: list[Outcome] = []
        for order in restored:
            self._keep(order)
            if order.order_id:
                self._by_order_id[order.order_id] = order.client_order_id

    # ── finding ─────────────────────────────────────────────────────────────────────────────────

    def find(self, client_order_id: str, order_id: str) -> OwnOrder | None:
        """The order of either id; None for somebody else's."""
        cid = client_order_id if client_order_id in self._orders else self._by_order_id.get(order_id, "")
        return self._orders.get(cid)

    def is_ours(self, told: ExchangeOrder) -> bool:
        return told.client_order_id.startswith(self._prefix)

    def live(self) -> list[OwnOrder]:
        return [o for o in self._counted.values() if o.live]

    def counted(self) -> dict[str, list[OwnOrder]]:
        """By market: the orders that may still change the position, finished ones with unseen fills included."""
        found: dict[str, list[OwnOrder]] = {}
        for order in self._counted.values():
            found.setdefault(order.ticker, []).append(order)
        return found

    def of_market(self, ticker: str) -> list[OwnOrder]:
        return [o for o in self._counted.values() if o.ticker == ticker and o.live]

    # ── changing ────────────────────────────────────────────────────────────────────────────────

    def reserve(self, actions: Iterable[Action], now: Instant) -> None:
        """Count the actions as if they had already worked, before their first byte leaves (FAULTS I03)."""
        for action in actions:
            if isinstance(action, Place):
                self._keep(own_orders.opened(action, now))
                continue
            order = self._orders.get(action.client_order_id)
            if order is not None and order.live:
                self._keep(own_orders.reserved(order, action, now))

    def settle(self, outcome: Outcome, now: Instant) -> None:
        order = self._orders.get(outcome.action.client_order_id)
        if order is not None:
            self.put(own_orders.settled(order, outcome, now), now, outcome.action.reason)
            self._log_write(outcome, now)

    def awaits(self, late: Outcome) -> bool:
        """Is this the end of the last write sent for its order? That a cancel worked is news of any of them."""
        order = self._orders.get(late.action.client_order_id)
        if order is None or not order.live or late.kind is OutcomeKind.UNKNOWN:
            return False
        any_cancel = isinstance(order.pending, Cancel) and isinstance(late.action, Cancel)
        return order.pending == late.action or (any_cancel and late.kind is OutcomeKind.ACCEPTED)

    def fill(self, fill: Fill, now: Instant) -> str:
        """Count a booked fill on its order. Returns the order's client id, empty if the order is not known (yet)."""
        order = self.find(fill.client_order_id, fill.order_id)
        if order is None:
            self._unmatched[fill.order_id] = self._unmatched.get(fill.order_id, 0) + fill.count_e2
            return ""
        booked = replace(
            order, booked_e2=order.booked_e2 + fill.count_e2, order_id=order.order_id or fill.order_id
        )
        if booked.live and not booked.exposed_e2:
            booked = own_orders.closed(booked, booked.booked_e2, "filled", now)
        self.put(booked, now, "filled")
        return order.client_order_id

    def adopt(self, told: ExchangeOrder, booked_e2: int, now: Instant) -> None:
        """Take over an order with our prefix that this process did not place; ``booked_e2`` of it is in the position."""
        order = replace(own_orders.adopted(told, now), booked_e2=booked_e2)
        amend, sent_ms = self._amends.pop(order.client_order_id, (None, 0))
        if amend is not None:  # sent by the process before this one: it may land yet
            sent = Instant(now.mono_ms, sent_ms)
            order = replace(order, state=OrderState.UNKNOWN, pending=amend, written=sent)
        self._keep(order)
        self._by_order_id[order.order_id] = order.client_order_id

    def put(self, order: OwnOrder, now: Instant, reason: str) -> None:
        """Put a transition's result back."""
        before = self._orders.get(order.client_order_id)
        if order.order_id and order.order_id not in self._by_order_id:
            self._by_order_id[order.order_id] = order.client_order_id
            early = self._unmatched.pop(order.order_id, 0)
            order = replace(order, booked_e2=order.booked_e2 + early)
        self._keep(order)
        if before is not None and before.pending and before.state is OrderState.UNKNOWN is not order.state:
            end = OutcomeKind.ACCEPTED if order.order_id else OutcomeKind.REFUSED
            self.resolved.append(
                Outcome(before.pending, end, order.order_id, code="evidence", detail=order.evidence)
            )
        if before is not None and before.live and not order.live:
            self.rows.append(_row(order, _end(order), now.exchange_ms, reason or order.evidence))

    def _keep(self, order: OwnOrder) -> None:
        self._orders[order.client_order_id] = order
        if order.live or order.exposed_e2:
            self._counted[order.client_order_id] = order
        else:
            self._counted.pop(order.client_order_id, None)

    def owing(self) -> set[str]:
        """Markets with finished orders of which fills were told that have not come."""
        return {o.ticker for o in self._counted.values() if not o.live}

    def acquit(self, ticker: str, now: Instant, age_ms: int) -> None:
        """The market's position is the exchange's: orders finished for ``age_ms`` owe no fill, whatever was told."""
        for order in [o for o in self._counted.values() if o.ticker == ticker and not o.live]:
            if now.mono_ms - order.closed_mono_ms > age_ms:
                self._keep(replace(order, reported_e2=order.booked_e2))

    def bury(self, now: Instant) -> None:
        """Forget what finished long ago and owes us nothing."""
        for order in list(self._orders.values()):
            old = now.mono_ms - order.closed_mono_ms > TOMBSTONE_MS
            if not order.live and order.exposed_e2 == 0 and old:
                del self._orders[order.client_order_id]
                self._by_order_id.pop(order.order_id, None)

    def __iter__(self) -> Iterator[OwnOrder]:
        return iter(self._orders.values())

    def _log_write(self, outcome: Outcome, now: Instant) -> None:
        """Creates and amends that the exchange took; renewals change nothing worth a row."""
        action = outcome.action
        if isinstance(action, Cancel) or outcome.kind is not OutcomeKind.ACCEPTED or action.reason == "renew":
            return
        order = self._orders[action.client_order_id]
        status = "amended" if isinstance(action, Amend) else "placed"
        self.rows.append(_row(order, status, outcome.time_ms or now.exchange_ms, action.reason))


def _end(order: OwnOrder) -> str:
    if order.filled_e2 >= order.total_e2:
        return "executed"
    return "refused" if order.evidence.startswith(("create refused", "create denied")) else "cancelled"


def _row(order: OwnOrder, status: str, time_ms: int, reason: str) -> OrderRow:
    return OrderRow(
        client_order_id=order.client_order_id,
        order_id=order.order_id,
        ticker=order.ticker,
        side=order.side,
        price_e4=order.price_e4,
        count_e2=order.total_e2,
        status=status,
        time_ms=time_ms,
        reason=reason,
    )
