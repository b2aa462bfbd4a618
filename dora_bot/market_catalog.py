"""Markets with the terms that stand elsewhere: a market's fees and exclusivity are its event's and series'.

Series change rarely and are kept for ten minutes, or until a change of their fees that was announced; events carry fee
overrides and are read each time, many to a request.
"""

from collections.abc import Callable, Sequence

from dora_bot import kalshi_markets as replies
from dora_bot import kalshi_wire as wire
from dora_bot.events import FEE_DOUBT_MS, FeeChange
from dora_bot.models import Instant, Market
from dora_bot.ports import Clock

_SERIES_KEPT_MS = 600_000
_TICKERS_PER_REQUEST = 100

Pages = Callable[
    [
        wire.Request,
        Callable[[bytes], tuple[list[replies.MarketShape], str]],
        Callable[[replies.MarketShape], object],
    ],
    list[replies.MarketShape],
]

_SERIES_AT_ONCE = 16


class MarketCatalog:
    def __init__(
        self,
        read: Callable[[wire.Request], bytes],
        read_all: Callable[[Sequence[wire.Request]], list[bytes]],
        pages: Pages,
        clock: Clock,
    ) -> None:
        self._read = read
        self._read_all = read_all
        self._pages = pages
        self._clock = clock
        self._series: dict[str, tuple[Instant, replies.SeriesShape]] = {}
        self.expected: tuple[FeeChange, ...] = ()
        """Changes of fees that were announced."""

    def markets(self, *, tickers: Sequence[str], series: str, event: str, status: str) -> list[Market]:
        """All pages, completed. Raises `ExchangeError`."""
        shapes: list[replies.MarketShape] = []
        for some in _chunks(tickers) or [()]:
            filters = {
                "tickers": ",".join(some),
                "series_ticker": series,
                "event_ticker": event,
                "status": status,
            }
            shapes += self._pages(wire.get_markets(filters), replies.markets, lambda shape: shape.ticker)
        events = self._events({shape.event_ticker for shape in shapes})
        self._refresh_series({told.series_ticker for told in events.values()})
        return [
            replies.market(shape, told, self._series[told.series_ticker][1])
            for shape in shapes
            if (told := events[shape.event_ticker])
        ]

    def _events(self, wanted: set[str]) -> dict[str, replies.EventShape]:
        found: dict[str, replies.EventShape] = {}
        for some in _chunks(sorted(wanted)):
            page = replies.events(self._read(wire.get_events(some)))
            found |= {event.event_ticker: event for event in page}
        for ticker in wanted - found.keys():
            found[ticker] = replies.event(self._read(wire.get_event(ticker)))
        return found

    def _refresh_series(self, wanted: set[str]) -> None:
        """Read, side by side, the terms of the series that are not known or were read too long ago."""
        now = self._clock.now()
        old = [t for t in sorted(wanted) if t not in self._series or self._outdated(t, now)]
        for at in range(0, len(old), _SERIES_AT_ONCE):
            some = old[at : at + _SERIES_AT_ONCE]
            for ticker, body in zip(some, self._read_all([wire.get_series(t) for t in some]), strict=True):
                self._series[ticker] = (now, replies.series(body))

    def _outdated(self, series: str, now: Instant) -> bool:
        read = self._series[series][0]
        changed = any(
            change.series_ticker == series
            and read.exchange_ms - FEE_DOUBT_MS <= change.from_ms <= now.exchange_ms
            for change in self.expected
        )
        return changed or now.mono_ms - read.mono_ms >= _SERIES_KEPT_MS


def _chunks(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[at : at + _TICKERS_PER_REQUEST] for at in range(0, len(items), _TICKERS_PER_REQUEST)]
