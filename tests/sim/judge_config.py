"""Which configuration the bot works under, and whether it may (I37): the caps of I01, I02 and I04 follow it.

What it took for valid must once have stood in the tables, and be valid by the few rules written down again here.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from dora_bot.items import MARKET_CONFIG, STATE
from dora_bot.models import Amend, Place, Side
from dora_bot.views import ConfigChanged
from tests.sim.stores import TICKERS
from tests.sim.tables import PREFIX, Tables

MARKETS = PREFIX + MARKET_CONFIG.suffix
GLOBAL = PREFIX + STATE.suffix
MOST = 1_000
"""Contracts in one market, by the ceilings."""


class Terms(NamedTuple):
    """Counts in 0.01 contract."""

    enabled: bool
    yes_e2: int
    no_e2: int
    quote_e2: int
    spread_e4: int


class Everywhere(NamedTuple):
    trading: bool
    exposure_e6: int


NOTHING = Terms(False, 0, 0, 0, 0)


class ConfigJudge:
    def __init__(self, tables: Tables, broken: Callable[[str, str], None]) -> None:
        self._tables = tables
        self._broken = broken
        self._stood: dict[str, set[Terms]] = {ticker: set() for ticker in TICKERS}
        self._stood_everywhere: set[Everywhere] = set()
        self.taken = 0
        """How often the bot has taken a changed configuration."""
        self._gone: set[str] = set()
        """Markets whose item has been deleted since the bot had one of it."""
        self.look()
        self.on_start()

    def on_start(self) -> None:
        """A new process must be told first."""
        self._terms = dict.fromkeys(TICKERS, NOTHING)
        self._everywhere = Everywhere(trading=False, exposure_e6=0)

    def look(self) -> None:
        """Remember what stands in the tables."""
        for ticker in TICKERS:
            item = self._tables.get(MARKETS, {"market_id": ticker})
            self._stood[ticker].add(_terms(item))
            if not item:
                self._gone.add(ticker)
        self._stood_everywhere.add(_everywhere(self._tables.get(GLOBAL, {"key": "global_config"})))

    def on_event(self, event: object) -> None:
        """The bot's tick takes it in."""
        if not isinstance(event, ConfigChanged):
            return
        self.look()
        self.taken += 1
        found = dict.fromkeys(TICKERS, NOTHING)
        for config in event.markets:
            found[config.market_id] = Terms(
                config.enabled,
                config.max_inventory_yes_e2,
                config.max_inventory_no_e2,
                config.quote_size_e2,
                config.min_spread_e4,
            )
        for ticker, terms in found.items():
            if terms not in {NOTHING, *self._stood[ticker]}:
                self._broken("I37", f"{ticker} is traded under {terms}, which was never valid in the table")
            if terms != NOTHING:
                self._gone.discard(ticker)
            elif self._terms[ticker] != NOTHING and ticker not in self._gone:
                self._broken("I37", f"{ticker} has lost its last good configuration, and nobody deleted it")
        self._terms = found
        if event.global_config is not None:
            limits = event.global_config
            self._everywhere = Everywhere(limits.trading_enabled, limits.max_total_exposure_e6)
            if self._everywhere not in self._stood_everywhere:
                self._broken("I37", f"{self._everywhere} was never valid in the table")

    def on_exposure(self, action: Place | Amend) -> None:
        if not (self._everywhere.trading and self._terms[action.ticker].enabled):
            self._broken("I37", f"{action.client_order_id}, and {action.ticker} is not enabled")
        most_e2 = self._terms[action.ticker].quote_e2
        if isinstance(action, Place) and not 0 < action.count_e2 <= most_e2:
            self._broken("I04", f"{action.client_order_id} is for {action.count_e2}, quote_size is {most_e2}")

    def cap_e2(self, ticker: str, side: Side) -> int:
        """How far a position may go that way."""
        terms = self._terms[ticker]
        return terms.yes_e2 if side is Side.BID else terms.no_e2

    @property
    def exposure_e6(self) -> int:
        return self._everywhere.exposure_e6


def _terms(item: dict[str, Any]) -> Terms:
    """`NOTHING` for an item that is not there, or that nobody may trade under."""
    try:
        yes, no, quote, spread = (
            Decimal(item[name])
            for name in ("max_inventory_yes", "max_inventory_no", "quote_size", "min_spread")
        )
    except (InvalidOperation, KeyError):
        return NOTHING
    sane = all(number.is_finite() for number in (yes, no, quote, spread))
    if not (sane and 0 <= yes <= MOST and 0 <= no <= MOST and 0 < quote <= max(yes, no) and 0 < spread <= 1):
        return NOTHING
    return Terms(bool(item["enabled"]), int(yes * 100), int(no * 100), int(quote * 100), int(spread * 10_000))


def _everywhere(item: dict[str, Any]) -> Everywhere:
    exposure, loss = (
        Decimal(str(item.get(name, "NaN"))) for name in ("max_total_exposure", "max_daily_loss")
    )
    if not (exposure.is_finite() and exposure >= 0 and loss.is_finite() and loss > 0):
        return Everywhere(trading=False, exposure_e6=0)
    return Everywhere(bool(item.get("trading_enabled")), int(exposure * 1_000_000))
