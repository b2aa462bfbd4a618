"""A strategy that now and then wishes for what must never leave, or breaks: risk has to stand before the wire (FAULTS I04)."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dora_bot import strategy
from dora_bot.config import MarketConfig
from dora_bot.models import Quote, Side
from dora_bot.units import ONE_E4
from dora_bot.views import Decision, MarketView, Stance

if TYPE_CHECKING:
    from tests.sim.life import Life

WEIGHT = 0.05
BROKEN = "broken"

WAYS: dict[str, Callable[[Quote], Quote]] = {
    "off_grid": lambda quote: replace(quote, price_e4=quote.price_e4 + 33),
    "free": lambda quote: replace(quote, price_e4=0 if quote.side is Side.BID else ONE_E4),
    "outside": lambda quote: replace(quote, price_e4=ONE_E4 - 100 if quote.side is Side.BID else 100),
    "huge": lambda quote: replace(quote, count_e2=quote.count_e2 * 1_000),
    "nothing": lambda quote: replace(quote, count_e2=0),
    "negative": lambda quote: replace(quote, count_e2=-quote.count_e2),
    "crossed": lambda quote: replace(quote, price_e4=quote.price_e4 + 3_000 * quote.side.sign),
}


class Wishes:
    """The production strategies behind the seam `Bot.wish`, whose wishes of one market a fault may change."""

    def __init__(self, life: "Life") -> None:
        self._life = life

    def quote(self, view: MarketView, stance: Stance, config: MarketConfig) -> Decision:
        decision = strategy.quote(view, stance, config)
        if not decision.quotes:
            return decision
        world = self._life.host.world
        name = f"wish/{self._life.host.name}.{view.ticker}"
        kind = world.faults.strike(f"{name}/n={world.number(name)}", (*WAYS, BROKEN), WEIGHT)
        if not kind:
            return decision
        world.judge.note("wish", f"{kind} {view.ticker}")
        if kind == BROKEN:
            raise world.unexpected(name)
        return replace(decision, quotes=tuple(WAYS[kind](quote) for quote in decision.quotes))
