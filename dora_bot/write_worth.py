"""What an exposure write is worth, so that scarce tokens go where they earn most. Only compared, never booked.

A resting order is worth its edge (its distance from the middle of the book, negative once the market has passed it)
beyond the smallest edge of its market × its size × the chance that it is the one that trades, which falls with every
tick it stands behind the best price. The smallest edge is what its config allows for being hit by those who know more:
what is beyond it outlasts a larger move, and is what the order earns.

A write is worth the order as it is wished less the order as it rests, times how long that is expected to last: as long
as the book has been still, since a market that has just moved tends to move again, and those who move it know
more than we do. A quote that the market has outrun is cancelled when it cannot be amended, which ends the danger;
its amend is worth only the quote that it leaves standing.

All in 10⁻⁶ $ (0.0001 $ × 0.01 contracts) × ms.
"""

from dora_bot.models import Instant, Quote, Side
from dora_bot.own_orders import OwnOrder
from dora_bot.units import ONE_E4
from dora_bot.views import MarketView

LONGEST_MS = 10_000
"""Longer than that the stillness of a book tells nothing more."""

SHORTEST_MS = 200


def resting_e6(view: MarketView, side: Side, price_e4: int, count_e2: int) -> int:
    """The worth of an order at this price; 0 on a book without both sides, which has no middle."""
    bid, ask = view.book.best_bid, view.book.best_ask
    if bid is None or ask is None:
        return 0
    edge_2 = (bid.price_e4 + ask.price_e4 - 2 * price_e4) * side.sign
    at_risk_2 = int(view.config.min_spread_e4 * (1 + view.config.toxicity_score))
    touch = bid.price_e4 if side is Side.BID else ask.price_e4
    behind = view.market.grid.ticks_between(price_e4, touch) * side.sign
    return (edge_2 - at_risk_2) * count_e2 // (2 * (1 + max(behind, 0)))


def lasts_ms(view: MarketView, now: Instant) -> int:
    """For how long a quote is expected to stay right."""
    return min(max(now.exchange_ms - view.book.changed_ms, SHORTEST_MS), LONGEST_MS)


def quote_worth(view: MarketView, quote: Quote, now: Instant) -> int:
    """Of a quote where nothing rests, or where what rests goes anyway."""
    return resting_e6(view, quote.side, quote.price_e4, quote.count_e2) * lasts_ms(view, now)


def move_worth(view: MarketView, order: OwnOrder, quote: Quote, now: Instant) -> int:
    """Of an amend to the wished price and size of an order that may also stay as it is."""
    rests = resting_e6(view, order.side, order.price_e4, order.remaining_e2)
    return quote_worth(view, quote, now) - rests * lasts_ms(view, now)


def shrink_worth(order: OwnOrder, count_e2: int) -> int:
    """Of taking off what rests beyond ``count_e2``: all that this much could lose."""
    risk_e4 = order.price_e4 if order.side is Side.BID else ONE_E4 - order.price_e4
    return (order.remaining_e2 - count_e2) * risk_e4 * LONGEST_MS


def renewal_worth(view: MarketView, order: OwnOrder, now: Instant, margin_ms: int) -> int:
    """Of a new expiry: the order's worth, by as much of the margin before its end as is used up."""
    rests = resting_e6(view, order.side, order.price_e4, order.remaining_e2)
    used_ms = min(max(margin_ms - (order.expiration_ms - now.exchange_ms), 0), margin_ms)
    return rests * lasts_ms(view, now) * used_ms // margin_ms
