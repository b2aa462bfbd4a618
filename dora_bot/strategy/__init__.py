"""What should be resting: one file per strategy, all behind `quote(view, stance, config)`.

A strategy is a pure function of one market's view. It never sees money limits: `risk_manager` vets afterwards.
"""

from collections.abc import Callable

from dora_bot.config import MarketConfig
from dora_bot.strategy import spread
from dora_bot.views import Decision, MarketView, Stance

Strategy = Callable[[MarketView, Stance, MarketConfig], Decision]

STRATEGIES: dict[str, Strategy] = {"spread": spread.quote}


def quote(view: MarketView, stance: Stance, config: MarketConfig) -> Decision:
    """The wish of the strategy that the market's config names."""
    return STRATEGIES[config.strategy](view, stance, config)
