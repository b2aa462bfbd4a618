"""Spread capture with inventory skew: the published strategy.

Quote only while the outside market is at least ``min_spread`` wide (wider for toxic markets). Stand one tick inside
the best where that leaves at least the smallest edge, otherwise as close as the edge allows. A position moves both
quotes against itself, and the side that would add to it shrinks as it nears its cap. Mirror-symmetric in YES/NO.
"""

from dora_bot import fees
from dora_bot.config import MarketConfig
from dora_bot.models import Quote, Side
from dora_bot.strategy.guards import objection
from dora_bot.units import price_text
from dora_bot.views import Decision, MarketView, Posture, Stance

EDGE_SHARE = 2
"""The smallest edge a side keeps against fair value is min_spread ÷ this, plus the maker fee: so the two quotes of
a flat position are never closer to each other than min_spread, and raising it widens them."""


def quote(view: MarketView, stance: Stance, config: MarketConfig) -> Decision:
    """At most one quote a side, and why. Prices in 0.0001 $, sizes in 0.01 contract."""
    if reason := objection(view, stance):
        return Decision((), reason)
    bid, ask = view.book.bids[0].price_e4, view.book.asks[0].price_e4
    required = int(config.min_spread_e4 * (1 + config.toxicity_score))
    if ask - bid < required:
        return Decision((), f"spread {price_text(ask - bid)} is below {price_text(required)}")
    quotes = []
    for side, (price, limit) in zip(Side, _prices(view, config, bid, ask), strict=True):
        size = _size(view, config, side, stance.posture)
        if size > 0 and config.price_min_e4 <= price <= config.price_max_e4:
            quotes.append(Quote(view.ticker, side, price, size, limit))
    if not quotes:
        return Decision((), "at the cap on both sides, or outside price_min..price_max")
    return Decision(tuple(quotes), f"fair {price_text((bid + ask) // 2)}, spread {price_text(ask - bid)}")


def _prices(
    view: MarketView, config: MarketConfig, bid: int, ask: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Our bid and ask, each with the price at its smallest edge: inside by a tick, moved by the skew, kept at the
    edge, rounded away from the market.
    """
    grid = view.market.grid
    shift = _skew_e4(view, config, ask - bid)
    # Twice the centre keeps half ticks exact.
    centre_2 = bid + ask + 2 * shift
    fee_e4 = -(-fees.contract_fee_e6(view.market.fees, (bid + ask) // 2, is_taker=False) // 100)
    # Never nothing, or both quotes could meet at the centre.
    edge = max(config.min_spread_e4 // EDGE_SHARE, 1) + fee_e4
    bid_limit, ask_limit = (centre_2 - 2 * edge) // 2, -((-centre_2 - 2 * edge) // 2)
    ours_bid = grid.floor(min(grid.step(bid, 1) + shift, bid_limit))
    ours_ask = grid.ceil(max(grid.step(ask, -1) + shift, ask_limit))
    return (
        (min(ours_bid, grid.step(ask, -1)), grid.floor(bid_limit)),
        (max(ours_ask, grid.step(bid, 1)), grid.ceil(ask_limit)),
    )


def _skew_e4(view: MarketView, config: MarketConfig, spread_e4: int) -> int:
    """How far the centre moves: down when long, up when short, at full inventory by skew × half the spread.

    Truncated toward zero on both signs, so that the mirrored position moves by the mirrored amount.
    """
    net = view.position.net_e2
    cap = config.max_inventory_yes_e2 if net > 0 else config.max_inventory_no_e2
    if net == 0 or cap == 0:
        return 0
    share = min(abs(net) / cap, 1.0)
    move = int(share * config.inventory_skew_factor * spread_e4 / 2)
    return -move if net > 0 else move


def _size(view: MarketView, config: MarketConfig, side: Side, posture: Posture) -> int:
    """Full size when it reduces the position, shrinking toward the cap when it adds to it."""
    net = view.position.net_e2 * side.sign
    cap = config.max_inventory_yes_e2 if side is Side.BID else config.max_inventory_no_e2
    if net < 0:
        # Past flat the quote adds to the other side, whose cap holds for what is beyond.
        reducing = -net if posture is Posture.REDUCE_ONLY else cap - net
        return min(config.quote_size_e2, reducing)
    if posture is Posture.REDUCE_ONLY:
        return 0
    room = cap - net
    if room <= 0:
        return 0
    wished = config.quote_size_e2 * room // cap
    lot = 100 if config.quote_size_e2 >= 100 else 1
    return min(max(wished // lot * lot, min(lot, room)), room)
