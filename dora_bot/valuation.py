"""What the positions are worth, and the trading day.

Marks are what closing now would bring: the opposite best price less the taker fee. Only a proven two-sided book
moves a mark, so that a lost connection or the empty book of a closing market cannot look like a loss. The
trading day begins at midnight UTC; daily PnL is the equity's change since then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from dora_bot import fees
from dora_bot.accounting import unrealised_e6
from dora_bot.models import (
    BookView,
    FeeTerms,
    Fill,
    Market,
    Position,
)
from dora_bot.units import ONE_E4


@dataclass(frozen=True, slots=True)
class Mark:
    """The last proven best prices of a market."""

    bid_e4: int
    ask_e4: int


@dataclass(frozen=True, slots=True)
class Day:
    """A trading day (``2026-11-20``) and the equity it began with."""

    date: str = ""
    start_equity_e6: int = 0

    def rolled(self, date: str, equity_e6: int) -> "Day":
        """The day in force at ``date``: a new one starts from the equity at hand."""
        return self if date == self.date else Day(date, equity_e6)


@dataclass(slots=True)
class Today:
    """The day in force. While it is not known what it began with (a first start, or none ran at midnight) its ``fills``
    are kept: what they gained or lost until the first look is the day's, too (FAULTS I36).
    """

    day: Day
    fills: list[Fill] = field(default_factory=list)

    def note(self, fill: Fill) -> None:
        if not self.day.date:
            self.fills.append(fill)

    def roll(
        self,
        now_ms: int,
        equity_e6: int,
        positions: Mapping[str, Position],
        marks: Callable[[str], Mark | None],
    ) -> Day:
        """The day at ``now_ms``. One that nobody saw begin began with what was held then, at the marks of now."""
        date = utc_date(now_ms)
        if not self.day.date:
            prices: dict[str, int] = {f.ticker: f.price_e4 for f in self.fills}
            for ticker in prices:
                if known := marks(ticker):
                    held = positions[ticker].net_e2
                    prices[ticker] = known.bid_e4 if held > 0 else known.ask_e4
            of_today = [f for f in self.fills if utc_date(f.time_ms) == date]
            equity_e6 -= sum(
                f.side.sign * f.count_e2 * (prices[f.ticker] - f.price_e4) - f.fee_e6 for f in of_today
            )
            self.fills.clear()
        self.day = self.day.rolled(date, equity_e6)
        return self.day


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest equity since ``since_ms``: the start of the books, or the last halt that a person lifted."""

    equity_e6: int
    since_ms: int


def risen(peak: Peak | None, equity_e6: int, resumed_ms: int, now_ms: int) -> Peak:
    """The peak after this equity; lifting a halt accepts the loss so far, and a new peak begins."""
    if peak is None or resumed_ms > peak.since_ms:
        return Peak(equity_e6, now_ms)
    return Peak(max(peak.equity_e6, equity_e6), peak.since_ms)


def utc_date(exchange_ms: int) -> str:
    """The day a time belongs to, everywhere in the bot."""
    return _date_of(exchange_ms // 86_400_000)


@lru_cache(maxsize=64)
def _date_of(day: int) -> str:
    """Asked for at every tick."""
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")


def mark(book: BookView, old: Mark | None) -> Mark | None:
    """The new mark if the book deserves trust, else the old one."""
    bid, ask = book.best_bid, book.best_ask
    if not book.proven or bid is None or ask is None or bid.price_e4 >= ask.price_e4:
        return old
    if old is not None and old.bid_e4 == bid.price_e4 and old.ask_e4 == ask.price_e4:
        return old
    return Mark(bid.price_e4, ask.price_e4)


def liquidation_e6(position: Position, known: Mark | None, terms: FeeTerms) -> int:
    """Unrealised PnL if the position were closed by a taker order at the mark; 0 while there is no mark."""
    if position.net_e2 == 0 or known is None:
        return 0
    price = known.bid_e4 if position.net_e2 > 0 else known.ask_e4
    return unrealised_e6(position, price) - fees.trade_fee_e6(
        terms, price, abs(position.net_e2), is_taker=True
    )


def middle_e6(position: Position, known: Mark | None) -> int:
    """Unrealised PnL at the middle of the book: what a chart would show, not what one could get."""
    if position.net_e2 == 0 or known is None:
        return 0
    return position.net_e2 * (known.bid_e4 + known.ask_e4) // 2 - position.cost_e6


def settled_mark(market: Market) -> Mark | None:
    """A determined market is worth its result."""
    value = {"yes": ONE_E4, "no": 0}.get(market.result)
    return None if value is None else Mark(value, value)


def last_mark(market: Market) -> Mark | None:
    """The last trade, for as long as no book was proven: a restart must not look like a gain or a loss."""
    return Mark(market.last_price_e4, market.last_price_e4) if market.last_price_e4 else None


def banked_e6(positions: Mapping[str, Position]) -> int:
    """Realised PnL less fees over all markets."""
    return sum(p.realised_e6 - p.fees_e6 for p in positions.values())


def event_pnl_e6(
    positions: Mapping[str, Position], markets: Mapping[str, Market], unrealised: Mapping[str, int]
) -> dict[str, int]:
    """What each event made or lost since its first fill, over the markets that are known."""
    found: dict[str, int] = {}
    for ticker, position in positions.items():
        market = markets.get(ticker)
        if market is not None:
            pnl = position.realised_e6 - position.fees_e6 + unrealised[ticker]
            found[market.event_ticker] = found.get(market.event_ticker, 0) + pnl
    return found
