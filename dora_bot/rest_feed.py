"""Market data by REST: the whole feed where ``feed = rest``, the stand-in while the WebSocket is down.

One `/markets/orderbooks` call carries up to 100 markets and one `/portfolio/fills` call everything that was filled,
so a tick costs two calls whatever the number of markets. With more markets than the read budget affords, they take
turns: the cadence drops market by market, and what was not read in time is lost rather than believed.
"""

from collections.abc import Sequence

from dora_bot.errors import ExchangeError
from dora_bot.market_feed import MarketFeed
from dora_bot.models import AccountLimits, BookLost, FillSeen, Instant
from dora_bot.ports import Exchange

MAX_TICKERS = 100
BUDGET_SHARE = 0.5
"""Share of the read bucket that polling may use; the risk thread, the keeper and people need the rest."""

READ_COST = 10
FILL_OVERLAP_MS = 5_000
STALE_MS = 5_000
"""A book that was not read for this long is not proven any more (FAULTS section 1)."""


class RestFeed:
    """Implements `ports.Feed` around an optional WebSocket feed."""

    def __init__(
        self, exchange: Exchange, socket: MarketFeed | None, limits: AccountLimits, now: Instant
    ) -> None:
        self._exchange = exchange
        self._socket = socket
        self._reads_per_s = limits.read.refill_per_s * BUDGET_SHARE / READ_COST
        self._tickers: tuple[str, ...] = ()
        self._next = 0
        self._read_at: dict[str, int] = {}
        self._due_ms = 0
        self._fills_since_ms = now.exchange_ms - FILL_OVERLAP_MS
        self.calls = 0

    def watch(self, tickers: frozenset[str]) -> None:
        self._tickers = tuple(sorted(tickers))
        if self._socket is not None:
            self._socket.watch(tickers)

    @property
    def kind(self) -> str:
        """``ws``, ``rest`` while polling stands in for it."""
        return "ws" if self._socket is not None and self._socket.connected else "rest"

    def poll(self, now: Instant) -> list[object]:
        if (
            (self._socket is not None and self._socket.connected)
            or now.mono_ms < self._due_ms
            or not self._tickers
        ):
            return []
        self._due_ms = now.mono_ms + int(2_000 / self._reads_per_s)
        events: list[object] = [*self._fills(now), *self._books(self._turn(), now)]
        stale = tuple(t for t in self._tickers if now.mono_ms - self._read_at.get(t, now.mono_ms) > STALE_MS)
        return [*events, BookLost(stale, "not read for 5 s")] if stale else events

    def _turn(self) -> Sequence[str]:
        """The next markets to read, up to a call's worth."""
        if len(self._tickers) <= MAX_TICKERS:
            return self._tickers
        doubled = self._tickers + self._tickers
        at, self._next = self._next % len(self._tickers), (self._next + MAX_TICKERS) % len(self._tickers)
        return doubled[at : at + MAX_TICKERS]

    def _books(self, tickers: Sequence[str], now: Instant) -> list[object]:
        self.calls += 1
        try:
            books = self._exchange.get_order_books(tickers)
        except ExchangeError as error:
            return [BookLost(tuple(tickers), f"order books: {error}")]
        self._read_at.update({book.ticker: now.mono_ms for book in books})
        return list(books)

    def _fills(self, now: Instant) -> list[object]:
        self.calls += 1
        try:
            fills = self._exchange.get_fills(self._fills_since_ms)
        except ExchangeError:  # policy: the window stays open, so the next poll reads what this one missed
            return []
        self._fills_since_ms = now.exchange_ms - FILL_OVERLAP_MS
        return [FillSeen(fill) for fill in fills]
