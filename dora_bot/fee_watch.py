"""Fees as charged beside fees as modelled: quotes are priced by the model, so a series where it is wrong only reduces.

Single fills differ by rounding and by what rounding gives back. Three fills of a series in a row that differ by more are a
fee rule that changed, or that we never knew. The objection ends with the first fill that agrees, and when the exchange
tells other terms for the series.

From the moment of a change that the exchange announced, its markets only reduce, too, until their terms were read anew.
"""

from dataclasses import dataclass, field, replace

from dora_bot.errors import ConfigError
from dora_bot.events import FEE_DOUBT_MS, FeeChange, FeesAnnounced
from dora_bot.fees import DIRECT_PRECISION_E6, trade_fee_e6
from dora_bot.models import FeeTerms, Fill, Instant, Market
from dora_bot.units import money_text

TOLERANCE_E6 = 2 * DIRECT_PRECISION_E6
"""Rounding takes up to one step of the balance from a fill, and may give one back."""
SYSTEMATIC = 3


@dataclass(slots=True)
class FeeWatch:
    """``charged_e6`` and ``modelled_e6``: sums over the fills that were compared, since the start of this process."""

    charged_e6: int = 0
    modelled_e6: int = 0
    _off: dict[str, tuple[FeeTerms, int, str]] = field(default_factory=dict)
    """By series: the terms under which fills differed, how many in a row, and the last of them."""
    _changes: frozenset[FeeChange] = frozenset()
    """Announced, and not read yet in the markets' terms."""

    def note(self, fill: Fill, market: Market | None) -> None:
        """Compare one fill; a market or fee rule that is not known cannot be compared."""
        if market is None:
            return
        try:
            modelled_e6 = trade_fee_e6(market.fees, fill.price_e4, fill.count_e2, is_taker=fill.is_taker)
        except ConfigError:
            return  # such a market is not quoted
        self.charged_e6 += fill.fee_e6
        self.modelled_e6 += modelled_e6
        times, _ = self._differing(market)
        if abs(fill.fee_e6 - modelled_e6) <= TOLERANCE_E6:
            self._off.pop(market.series_ticker, None)
            return
        told = f"{money_text(fill.fee_e6)} were charged, {money_text(modelled_e6)} expected"
        self._off[market.series_ticker] = market.fees, times + 1, told

    def _differing(self, market: Market) -> tuple[int, str]:
        """How many fills in a row differed under the market's terms. Under other terms they say nothing any more, also
        once the old ones come back.
        """
        terms, times, told = self._off.get(market.series_ticker, (market.fees, 0, ""))
        if terms == market.fees:
            return times, told
        del self._off[market.series_ticker]
        return 0, ""

    def on_announced(self, event: FeesAnnounced, now: Instant) -> None:
        dated = (replace(c, from_ms=c.from_ms or now.exchange_ms) for c in event.changes)
        self._changes |= frozenset(dated)

    def on_catalog(self, as_of_ms: int) -> None:
        """Every market's terms were read, as of then."""
        self._changes = frozenset(c for c in self._changes if c.from_ms + FEE_DOUBT_MS >= as_of_ms)

    def objection(self, market: Market, now: Instant) -> str:
        """Why the market may only reduce; empty if its fees are as modelled."""
        tickers = (market.series_ticker, market.event_ticker)
        for change in self._changes:
            if change.ticker in tickers and change.from_ms - FEE_DOUBT_MS <= now.exchange_ms:
                return f"the fees of {change.ticker} have changed and were not read yet"
        times, last = self._differing(market)
        if times < SYSTEMATIC:
            return ""
        return f"the fees of {market.series_ticker} are not as modelled: {last}"
