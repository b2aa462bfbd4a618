"""The life of one of our own orders, as pure transitions.

An order is in one of five states. What makes it leave a state is *evidence* only: a write's outcome that
proves something, a `user_order` frame, or a read that is provably newer than every write sent for it. A missing
row in a read that may be old is not evidence, and a finished order never comes back to life.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    ExchangeOrder,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)

SIGNATURE_WINDOW_MS = 30_000
"""A create can no longer land once its signed timestamp is this old: the exchange refuses the signature."""

APPLIED_MS = 2_500
"""A read this much newer than the sending of a write shows its effect: a call lasts at most 2 s, clocks differ."""

RECANCEL_AFTER_MS = 1_000
"""A cancel that did not end the order is repeated (it is a safe write) no faster than this."""

RECANCEL_CLOSED_MS = 10_000
"""The same where the market is closed or inactive (FAULTS F26)."""

_CLOSED_CODES = frozenset({"market_inactive", "market_closed", "market_already_closed"})


class OrderState(StrEnum):
    IN_FLIGHT = "in_flight"
    RESTING = "resting"
    UNKNOWN = "unknown"
    CLOSING = "closing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """``total_e2`` is filled + remaining; ``reported_e2`` are the fills the exchange told of, ``booked_e2`` those that
    are in the position already. ``written`` is when the last write for it was sent.
    """

    client_order_id: str
    ticker: str
    side: Side
    price_e4: int
    total_e2: int
    state: OrderState
    written: Instant
    order_id: str = ""
    reported_e2: int = 0
    booked_e2: int = 0
    expiration_ms: int = 0
    exchange_index: int = 0
    closed_mono_ms: int = 0
    pending: Action | None = None
    evidence: str = ""
    cancel_again_mono_ms: int | None = None
    """A cancel was sent and did not end it: no other one before this moment."""

    @property
    def live(self) -> bool:
        return self.state is not OrderState.DONE

    @property
    def in_doubt(self) -> bool:
        """Its last write has no known end. In flight is no different: a tick that failed in a call leaves it so."""
        return self.state in (OrderState.UNKNOWN, OrderState.IN_FLIGHT)

    @property
    def filled_e2(self) -> int:
        return max(self.reported_e2, self.booked_e2)

    @property
    def owed_e2(self) -> int:
        """Fills that the exchange told of and that have not come."""
        return max(self.reported_e2 - self.booked_e2, 0)

    @property
    def remaining_e2(self) -> int:
        """What rests, as far as anybody told us."""
        return max(self.total_e2 - self.filled_e2, 0) if self.live else 0

    @property
    def exposed_e2(self) -> int:
        """What may still come into the position: of an amend in doubt, the worse of old and new; of a finished
        order, fills that were reported and not seen yet.
        """
        most = self.reported_e2
        if self.live:
            most = max(self.total_e2, self.pending.total_e2 if isinstance(self.pending, Amend) else 0)
        return max(most - self.booked_e2, 0)

    @property
    def exposed_price_e4(self) -> int:
        """The price at which that may come in: of an amend in doubt, the worse of old and new."""
        if not isinstance(self.pending, Amend):
            return self.price_e4
        worse = max if self.side is Side.BID else min
        return worse(self.price_e4, self.pending.price_e4)


def opened(place: Place, now: Instant) -> OwnOrder:
    """The reservation that is made before the first byte of a create leaves."""
    return OwnOrder(
        client_order_id=place.client_order_id,
        ticker=place.ticker,
        side=place.side,
        price_e4=place.price_e4,
        total_e2=place.count_e2,
        state=OrderState.IN_FLIGHT,
        written=now,
        expiration_ms=place.expiration_ms,
        exchange_index=place.exchange_index,
        pending=place,
    )


def reserved(order: OwnOrder, action: Amend | Cancel, now: Instant) -> OwnOrder:
    """An amend or cancel of this order is about to be sent."""
    if isinstance(action, Amend):
        return replace(
            order, state=OrderState.IN_FLIGHT, pending=action, written=now, cancel_again_mono_ms=None
        )
    again = now.mono_ms + RECANCEL_AFTER_MS
    if order.state is OrderState.CLOSING:
        # Repeated: what a read must be newer than for the order to be gone is the first cancel.
        return replace(order, pending=action, cancel_again_mono_ms=again)
    return replace(order, state=OrderState.CLOSING, pending=action, written=now, cancel_again_mono_ms=again)


def settled(order: OwnOrder, outcome: Outcome, now: Instant) -> OwnOrder:
    """What the outcome of the pending write makes of the order."""
    if not order.live:
        return order
    action = outcome.action
    if isinstance(action, Place):
        return _after_place(order, outcome, now)
    if isinstance(action, Amend):
        return _after_amend(order, action, outcome, now)
    return _after_cancel(order, outcome, now)


def _after_place(order: OwnOrder, outcome: Outcome, now: Instant) -> OwnOrder:
    if outcome.kind is OutcomeKind.UNKNOWN:
        return replace(order, state=OrderState.UNKNOWN)
    if outcome.kind is not OutcomeKind.ACCEPTED:
        return closed(order, order.reported_e2, f"create {outcome.kind}: {outcome.code}", now)
    filled = max(order.reported_e2, outcome.filled_e2 or 0)
    order = replace(order, order_id=outcome.order_id, reported_e2=filled, pending=None)
    if outcome.remaining_e2 == 0:
        return closed(order, filled, "create reply: nothing remains", now)
    return replace(order, state=OrderState.RESTING)


def _after_amend(order: OwnOrder, amend: Amend, outcome: Outcome, now: Instant) -> OwnOrder:
    if outcome.kind is OutcomeKind.UNKNOWN:
        return replace(order, state=OrderState.UNKNOWN)
    if outcome.kind is not OutcomeKind.ACCEPTED:
        return replace(order, state=OrderState.RESTING, pending=None)
    # ``fill_count`` of an amend may be only what the amend itself filled; what remains tells the order's total.
    filled = max(order.reported_e2, outcome.filled_e2 or 0)
    if outcome.remaining_e2 is not None:
        filled = max(filled, amend.total_e2 - outcome.remaining_e2)
    order = replace(
        order,
        state=OrderState.RESTING,
        price_e4=amend.price_e4,
        total_e2=amend.total_e2,
        expiration_ms=amend.expiration_ms,
        reported_e2=filled,
        pending=None,
    )
    if outcome.remaining_e2 == 0:
        return closed(order, filled, "amend reply: nothing remains", now)
    return order


def _after_cancel(order: OwnOrder, outcome: Outcome, now: Instant) -> OwnOrder:
    if outcome.code in _CLOSED_CODES:
        # Nothing can be cancelled any more: the exchange does it by itself, a few seconds after the close.
        order = replace(order, cancel_again_mono_ms=now.mono_ms + RECANCEL_CLOSED_MS)
    if outcome.kind is OutcomeKind.UNKNOWN:
        return replace(order, state=OrderState.CLOSING)
    if outcome.kind is not OutcomeKind.ACCEPTED:
        return replace(order, state=OrderState.RESTING, pending=None)
    # What the cancel did not take away was filled, whether or not the fill has been seen yet.
    filled = order.total_e2 - outcome.reduced_by_e2 if outcome.reduced_by_e2 is not None else 0
    return closed(order, max(order.reported_e2, filled), "cancel reply", now)


def seen(order: OwnOrder, told: ExchangeOrder, now: Instant, *, reason: str = "") -> OwnOrder:
    """The exchange's own word on the order, pushed on the `user_orders` channel."""
    if not order.live:
        return order
    reported = max(order.reported_e2, told.filled_e2)
    order = replace(order, order_id=told.order_id or order.order_id, reported_e2=reported)
    if told.status in ("canceled", "executed"):
        return closed(order, reported, f"user_order {told.status} {reason}".strip(), now)
    if told.status != "resting":
        return order
    if order.in_doubt and isinstance(order.pending, Place):
        # It may have landed just now: a read from before this frame does not show that it is gone.
        return replace(_adopted(order, told), written=now)
    if isinstance(order.pending, Amend) and _shows(order.pending, told):
        return _adopted(order, told)
    return _adopted(order, told) if _changed_since(order, told) else order


def read(order: OwnOrder, told: ExchangeOrder | None, as_of_ms: int, now: Instant) -> OwnOrder:
    """What a read of the order list that is complete up to ``as_of_ms`` says; None: it is not listed as open."""
    if not order.live:
        return order
    newer = as_of_ms - order.written.exchange_ms
    if told is None:
        gone_after = SIGNATURE_WINDOW_MS if isinstance(order.pending, Place) else APPLIED_MS
        if newer > gone_after:
            return closed(order, order.reported_e2, f"not listed as of {as_of_ms}", now)
        return order
    order = replace(order, order_id=told.order_id, reported_e2=max(order.reported_e2, told.filled_e2))
    if (order.in_doubt and _proves(order.pending, told, newer)) or _changed_since(order, told):
        return _adopted(order, told)
    if order.state is OrderState.CLOSING and newer > APPLIED_MS:
        # Still there long after the cancel was sent: it did not work, so it must be sent again.
        return replace(order, state=OrderState.RESTING, pending=None)
    return order


def adopted(told: ExchangeOrder, now: Instant) -> OwnOrder:
    """An order of ours that this process did not place: found at start-up or after a lost reply."""
    return OwnOrder(
        client_order_id=told.client_order_id,
        ticker=told.ticker,
        side=told.side,
        price_e4=told.price_e4,
        total_e2=told.filled_e2 + told.remaining_e2,
        state=OrderState.RESTING,
        written=now,
        order_id=told.order_id,
        reported_e2=told.filled_e2,
        expiration_ms=told.expiration_ms,
        exchange_index=told.exchange_index,
        evidence="adopted",
    )


def _adopted(order: OwnOrder, told: ExchangeOrder) -> OwnOrder:
    return replace(
        order,
        state=OrderState.RESTING,
        price_e4=told.price_e4,
        total_e2=told.filled_e2 + told.remaining_e2,
        expiration_ms=told.expiration_ms or order.expiration_ms,
        pending=None,
    )


def _proves(pending: Action | None, told: ExchangeOrder, newer_ms: int) -> bool:
    """Does this listing end the doubt? A create that is listed was applied. An amend that is not seen in it can
    still land until its signature is too old; until then the worse of old and new counts.
    """
    if isinstance(pending, Amend):
        return _shows(pending, told) or newer_ms > SIGNATURE_WINDOW_MS
    return isinstance(pending, Place) or newer_ms > APPLIED_MS


def _changed_since(order: OwnOrder, told: ExchangeOrder) -> bool:
    """Does this show the order after all that we wrote? It may differ: a write of the process before us may have landed."""
    quiet = order.state is OrderState.RESTING and order.pending is None
    return quiet and told.updated_ms - order.written.exchange_ms > APPLIED_MS


def _shows(amend: Amend, told: ExchangeOrder) -> bool:
    """Is what the exchange tells what the amend asked for? A renewal differs in nothing but the expiry (whole seconds)."""
    size = told.filled_e2 + told.remaining_e2
    same_expiry = told.expiration_ms // 1_000 == amend.expiration_ms // 1_000
    return told.price_e4 == amend.price_e4 and size == amend.total_e2 and same_expiry


def closed(order: OwnOrder, reported_e2: int, evidence: str, now: Instant) -> OwnOrder:
    """The order is finished, and this is how we know."""
    return replace(
        order,
        state=OrderState.DONE,
        reported_e2=reported_e2,
        pending=None,
        evidence=evidence,
        closed_mono_ms=now.mono_ms,
    )
