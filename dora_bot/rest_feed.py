"""Market data without the WebSocket: one call for all books and one for the fills, on a thread of its own.

It serves when the setting asks for it and whenever the socket is down. Books read this way carry no sequence
number and no time; each read replaces the one before and is proof for almost five seconds, so that a read which fails
costs no quote yet. The pace follows the read budget, so that a hundred markets on the smallest tier are slow
rather than refused.
"""

from collections.abc import Sequence
from dataclasses import replace

from dora_bot.errors import ExchangeError
from dora_bot.events import BookLost, BookSnapshot, FillSeen
from dora_bot.exchange_client import KalshiClient
from dora_bot.kalshi_wire import MAX_BOOK_TICKERS
from dora_bot.models import AccountLimits, Instant
from dora_bot.ports import Exchange

SHARE = 0.5
"""Part of the read budget this may use; the risk thread's reads and the keeper need the rest."""
OVERLAP_MS = 5_000
"""Fills are asked for from this long before the newest one seen: reads lag, and duplicates do no harm."""
POLL_MS = 500
"""Reads are at least this far apart, whatever the budget allows: a market maker reads, it does not hammer."""
BACK_OFF_MS = 1_000
"""Pause after a read that failed."""
PROOF_MS = 4_500
"""A book that was not read for longer than this is lost, whatever kept the reads from working. A read that begins a
moment before may hang for two seconds, and the cancels must be out seven after the last one that worked (FAULTS B02).
"""
READ_LAG_MS = 1_500
"""How old a REST book may be when it is served."""


class RestFeed:
    """The port `Feed` by REST. Used by one thread, except `watch`."""

    def __init__(self, client: KalshiClient, limits: AccountLimits, fills_since_ms: int) -> None:
        self._client = client
        self._cost = limits.default_cost
        self._tokens_per_s = limits.read.refill_per_s * SHARE
        # Our estimate of the exchange's clock is half a second rough at the start.
        self._since_ms = fills_since_ms - OVERLAP_MS
        self._tickers: tuple[str, ...] = ()
        self._turn = 0
        self._due_ms = 0
        self._read_ms: dict[str, int] = {}
        self._problem = ""

    def watch(self, tickers: frozenset[str]) -> None:
        self._tickers = tuple(sorted(tickers))

    def resync(self, tickers: frozenset[str]) -> None:
        """Nothing to do: the next read replaces the books anyway."""

    def poll(self, now: Instant) -> list[object]:
        """Books of up to 100 markets, by turns, and new fills; or what became too old meanwhile."""
        # What is lost is told before anything is read: the next read may hang.
        lost = self._too_old(now)
        if lost or now.mono_ms < self._due_ms or not self._tickers:
            return lost
        self._due_ms = now.mono_ms + max(round(2 * self._cost / self._tokens_per_s * 1000), POLL_MS)
        some = self._next_page()
        try:
            books = self._books(some)
        except ExchangeError as error:
            # It does not answer: asking it more would only keep the tick from its cancels.
            self._due_ms = now.mono_ms + BACK_OFF_MS
            self._problem = f": {error}"[:200]
            return []
        self._problem = ""
        self._read_ms |= {book.ticker: now.mono_ms for book in books if isinstance(book, BookSnapshot)}
        return [*books, *self._fills()]

    def _too_old(self, now: Instant) -> list[object]:
        old = sorted(t for t, read_ms in self._read_ms.items() if now.mono_ms - read_ms > PROOF_MS)
        for ticker in old:
            del self._read_ms[ticker]
        return [BookLost(tuple(old), f"REST: not read for {PROOF_MS} ms{self._problem}")] if old else []

    def _next_page(self) -> tuple[str, ...]:
        pages = -(-len(self._tickers) // MAX_BOOK_TICKERS)
        at = self._turn % pages * MAX_BOOK_TICKERS
        self._turn += 1
        return self._tickers[at : at + MAX_BOOK_TICKERS]

    def _books(self, some: tuple[str, ...]) -> list[BookSnapshot | BookLost]:
        books = self._client.get_order_books(some)
        missing = tuple(sorted(set(some) - {book.ticker for book in books}))
        return [*books, *([BookLost(missing, "REST: no book told")] if missing else [])]

    def _fills(self) -> list[FillSeen]:
        try:
            fills = self._client.get_fills(self._since_ms)
        except ExchangeError:
            # Nothing is lost: the next read asks from the same moment on.
            return []
        if fills:
            self._since_ms = max(self._since_ms, fills[-1].time_ms - OVERLAP_MS)
        return [FillSeen(fill) for fill in fills]


def audit_by_rest(exchange: Exchange, now: Instant, tickers: Sequence[str]) -> list[BookSnapshot]:
    """Books to hold the feed's against: marked as audits, with the time from which a state may equal them.

    Post them to the inbox. Raises `ExchangeError`.
    """
    from_ms = now.exchange_ms - READ_LAG_MS
    return [replace(book, audit=True, time_ms=from_ms) for book in exchange.get_order_books(tickers)]
