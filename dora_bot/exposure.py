"""How much can be lost at worst, in dollars: per market, per event and in total.

Every harmful resting order counts as filled. Of mutually exclusive outcomes at most one wins, so their event loses
the most over its winners, the case that none of them wins included; other events lose the sum over their markets.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dora_bot.models import Position, Side
from dora_bot.own_orders import OwnOrder
from dora_bot.units import ONE_E4
from dora_bot.views import MarketView

Open = tuple[Side, int, int]
"""What may still come into a position: (side, price_e4, count_e2)."""


class Ends(NamedTuple):
    """What a market loses at worst if it settles at 0 and if it settles at 1, in 10⁻⁶ $; negative is a gain."""

    at_zero_e6: int
    at_one_e6: int

    @property
    def worst_e6(self) -> int:
        return max(0, *self)


def open_size(order: OwnOrder) -> Open:
    """What may still come into the position from an order, at the worst price it may have."""
    return order.side, order.exposed_price_e4, order.exposed_e2


def ends(position: Position, resting: Sequence[Open]) -> Ends:
    """At 0 every bid that filled is lost; at 1 every ask that filled costs the rest of the dollar."""
    bids = sum(price * count for side, price, count in resting if side is Side.BID)
    asks = sum((ONE_E4 - price) * count for side, price, count in resting if side is Side.ASK)
    return Ends(position.cost_e6 + bids, position.cost_e6 - position.net_e2 * ONE_E4 + asks)


def market_ends(market: MarketView) -> Ends:
    return ends(market.position, [open_size(order) for order in market.orders])


def event_of(market: MarketView) -> str:
    """The event a market counts in; one whose event is not known stands alone."""
    return market.market.event_ticker or market.ticker


def events_of(markets: Iterable[MarketView]) -> dict[str, list[MarketView]]:
    found: dict[str, list[MarketView]] = {}
    for market in markets:
        found.setdefault(event_of(market), []).append(market)
    return found


def is_exclusive(markets: Sequence[MarketView]) -> bool:
    return all(market.market.exclusive_event for market in markets)


def event_loss_e6(markets: Sequence[Ends], *, exclusive: bool) -> int:
    """The most that the markets of one event can lose together, at least 0."""
    if not exclusive:
        return sum(market.worst_e6 for market in markets)
    none_wins = sum(market.at_zero_e6 for market in markets)
    return max(0, none_wins, *(none_wins - market.at_zero_e6 + market.at_one_e6 for market in markets))


def losses_e6(markets: Iterable[MarketView]) -> dict[str, int]:
    """The worst case of every event, by event ticker."""
    return {
        event: event_loss_e6([market_ends(m) for m in members], exclusive=is_exclusive(members))
        for event, members in events_of(markets).items()
    }
