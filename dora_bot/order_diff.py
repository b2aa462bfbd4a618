"""Wished quotes × our orders → the fewest messages that lead from one to the other.

An order that is already right is left alone: its place in the queue is worth more than a tidy number. A quote is
repriced when it is off by more than the tolerance (a tick by default) or has lost its edge, shrunk in place when it must shrink, and
renewed by an expiry-only amend, which keeps the queue place. An unchanged state gives no message at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dora_bot.config import MarketConfig
from dora_bot.models import (
    AccountLimits,
    Amend,
    BookView,
    Cancel,
    Instant,
    Place,
    Quote,
    Side,
)
from dora_bot.own_orders import RECANCEL_AFTER_MS, OrderState, OwnOrder
from dora_bot.views import MarketView, View
from dora_bot.write_budget import Wanted, withdrawal
from dora_bot.write_worth import move_worth, quote_worth, renewal_worth, shrink_worth

GROW_BELOW = 0.5
"""A quote is topped up to its wished size, at the price of its queue place, only below this share of it."""

PULSE_MS = 15_000
"""At least so often one of our orders is renewed: whoever watches from outside takes longer silence for death."""


RENEWAL_SHARE = 0.2
"""Share of the write tokens that go into renewals where that lets orders live shorter than the longest life."""

SHORTEST_MS = 15_000
LONGEST_MS = 25_000
"""Between two renewals of an order, half its life. Half a minute outlives a short trouble of the network; 50 s keep every
order dead within 55 s of the bot (FAULTS B13)."""

REFRESH_MS = 40_000
"""An order's expiry is older than this only if nobody tends it: so the watchdog sees it (FAULTS S04)."""


@dataclass(frozen=True, slots=True)
class OrderLease:
    """How long a quote lives without being renewed, and how early it is renewed."""

    life_ms: int = 2 * LONGEST_MS
    renew_below_ms: int = LONGEST_MS
    group_of_shard: tuple[tuple[int, str], ...] = ()

    def group(self, exchange_index: int) -> str:
        return dict(self.group_of_shard).get(exchange_index, "")

    def fitted(self, orders: int, limits: AccountLimits) -> "OrderLease":
        """The shortest life in which the tier renews so many orders with its share of the tokens."""
        tokens_per_ms = RENEWAL_SHARE * limits.write.refill_per_s / 1_000
        every_ms = round(orders * limits.amend_cost / tokens_per_ms)
        every_ms = min(max(every_ms, SHORTEST_MS), LONGEST_MS)
        return replace(self, life_ms=2 * every_ms, renew_below_ms=every_ms)


def diff(
    wished: Sequence[Quote], view: MarketView, lease: OrderLease, next_id: Callable[[], str], now: Instant
) -> list[Wanted]:
    """The actions for one market; at most one live order a side, counting those whose fate is unknown."""
    wanted: list[Wanted] = []
    for side in Side:
        quote = next((q for q in wished if q.side is side), None)
        orders = [o for o in view.orders if o.side is side and o.live]
        wanted += _side(quote, orders, view, lease, next_id, now)
    return _safe_only(wanted) if view.on_hold else wanted


def _safe_only(wanted: list[Wanted]) -> list[Wanted]:
    """On hold only cancels go out; a quote that the market has outrun is taken away instead of moved."""
    safe = [w for w in wanted if isinstance(w.action, Cancel)]
    outrun = [w.action for w in wanted if isinstance(w.action, Amend) and w.outrun]
    return safe + [Wanted(withdrawal(amend, "on hold")) for amend in outrun]


def _side(
    quote: Quote | None,
    orders: list[OwnOrder],
    view: MarketView,
    lease: OrderLease,
    next_id: Callable[[], str],
    now: Instant,
) -> list[Wanted]:
    keep, extra = _choose(orders, quote)
    wanted = [
        Wanted(cancel(order, "not wanted twice")) for order in extra if not _cancelled_lately(order, now)
    ]
    wanted += [Wanted(cancel(o, "cancel repeated")) for o in orders if _cancel_is_due(o, now)]
    if keep is None:
        if quote is not None and not orders:
            place = _place(quote, view, lease, next_id, now)
            wanted.append(Wanted(place, quote_worth(view, quote, now)))
        return wanted
    if quote is None:
        return wanted if _cancelled_lately(keep, now) else [*wanted, Wanted(cancel(keep, "not wished"))]
    change = _change(keep, quote, view, lease, now)
    return [*wanted, change] if change else wanted


def withdraw(orders: Sequence[OwnOrder], now: Instant) -> list[Wanted]:
    """Cancel what can be cancelled: an order whose create is in doubt has no id yet and waits for evidence."""
    resting = [o for o in orders if o.state is OrderState.RESTING and not _cancelled_lately(o, now)]
    due = [o for o in orders if _cancel_is_due(o, now)]
    return [Wanted(cancel(o, "market unknown or unconfigured")) for o in (*resting, *due)]


def pulse(view: View, wanted: Sequence[Wanted], lease: OrderLease, now: Instant) -> list[Wanted]:
    """One renewal before its time, if no order of ours was renewed or placed for a while (FAULTS S04)."""
    resting = [
        order
        for market in view.markets.values()
        for order in market.orders
        if order.state is OrderState.RESTING and not market.frozen and not market.on_hold
    ]
    newest_ms = max((order.expiration_ms for order in resting), default=0)
    if newest_ms - now.exchange_ms > lease.life_ms - PULSE_MS:
        return []
    busy = {item.action.client_order_id for item in wanted}
    free = [order for order in resting if order.client_order_id not in busy]
    if not free:
        return []
    oldest = min(free, key=lambda order: (order.expiration_ms, order.client_order_id))
    return [Wanted(_amended(oldest, oldest.price_e4, oldest.remaining_e2, lease, now), urgent=True)]


def _choose(orders: list[OwnOrder], quote: Quote | None) -> tuple[OwnOrder | None, list[OwnOrder]]:
    """The resting order to work with (the one nearest to the wish), and the resting ones too many."""
    resting = [o for o in orders if o.state is OrderState.RESTING]
    if not resting:
        return None, []
    near = quote.price_e4 if quote else 0
    best = min(resting, key=lambda o: (abs(o.price_e4 - near), o.client_order_id))
    return best, [o for o in resting if o is not best]


def _cancel_is_due(order: OwnOrder, now: Instant) -> bool:
    again = order.cancel_again_mono_ms
    due = now.mono_ms >= (order.written.mono_ms + RECANCEL_AFTER_MS if again is None else again)
    return order.state is OrderState.CLOSING and bool(order.order_id) and due


def _cancelled_lately(order: OwnOrder, now: Instant) -> bool:
    """A cancel was sent a moment ago, and not taken or not answered: the next try waits."""
    return order.cancel_again_mono_ms is not None and now.mono_ms < order.cancel_again_mono_ms


def _place(
    quote: Quote, view: MarketView, lease: OrderLease, next_id: Callable[[], str], now: Instant
) -> Place:
    shard = view.market.exchange_index
    return Place(
        client_order_id=next_id(),
        ticker=view.ticker,
        side=quote.side,
        price_e4=quote.price_e4,
        count_e2=quote.count_e2,
        expiration_ms=now.exchange_ms + lease.life_ms,
        exchange_index=shard,
        order_group_id=lease.group(shard),
        reason="new quote",
    )


def _change(
    order: OwnOrder, quote: Quote, view: MarketView, lease: OrderLease, now: Instant
) -> Wanted | None:
    remaining = order.remaining_e2
    off = abs(view.market.grid.ticks_between(order.price_e4, quote.price_e4))
    left_ms = order.expiration_ms - now.exchange_ms

    def amend(price_e4: int, remaining_e2: int, reason: str) -> Amend:
        return replace(_amended(order, price_e4, remaining_e2, lease, now), reason=reason)

    urgent = left_ms < lease.life_ms - REFRESH_MS
    if off > view.config.requote_tolerance_ticks or quote.forbids(order.price_e4):
        outrun = (order.price_e4 - quote.price_e4) * order.side.sign > 0
        young = now.mono_ms - order.written.mono_ms < view.config.min_requote_s * 1_000
        if young and not outrun:
            return None
        worth = quote_worth(view, quote, now) if outrun else move_worth(view, order, quote, now)
        return Wanted(amend(quote.price_e4, quote.count_e2, "reprice"), worth, outrun, urgent)
    if remaining > quote.count_e2:
        worth = shrink_worth(order, quote.count_e2)
        return Wanted(amend(order.price_e4, quote.count_e2, "shrink"), worth, urgent=urgent)
    if remaining < quote.count_e2 * GROW_BELOW:
        worth = move_worth(view, order, quote, now)
        return Wanted(amend(quote.price_e4, quote.count_e2, "top up"), worth, urgent=urgent)
    if left_ms < lease.renew_below_ms:
        worth = renewal_worth(view, order, now, lease.renew_below_ms)
        return Wanted(amend(order.price_e4, remaining, "renew"), worth, urgent=urgent)
    return None


def _amended(order: OwnOrder, price_e4: int, remaining_e2: int, lease: OrderLease, now: Instant) -> Amend:
    return Amend(
        client_order_id=order.client_order_id,
        order_id=order.order_id,
        ticker=order.ticker,
        side=order.side,
        price_e4=price_e4,
        total_e2=order.filled_e2 + remaining_e2,
        expiration_ms=now.exchange_ms + lease.life_ms,
        exchange_index=order.exchange_index,
        reason="renew",
    )


def outran(then: BookView, now: BookView, config: MarketConfig) -> bool:
    """Has the middle of the book moved by a quarter of a quote's smallest edge since the last decision?

    Own size is out of both books. A side that emptied or a book that is no longer proven counts as a move.
    """
    if not (then.proven and then.best_bid and then.best_ask):
        return False
    if not (now.proven and now.best_bid and now.best_ask):
        return True
    move_2 = now.best_bid.price_e4 + now.best_ask.price_e4 - then.best_bid.price_e4 - then.best_ask.price_e4
    return abs(move_2) * 4 > config.min_spread_e4


def cancel(order: OwnOrder, reason: str) -> Cancel:
    return Cancel(order.client_order_id, order.order_id, order.ticker, order.exchange_index, reason)
