"""Order books rebuilt from snapshots and deltas, on the YES leg, in integers.

A book is *proven* from a snapshot on, until something contradicts it: a lost sequence number, a level below
zero, an audit that differs, or bids at or above asks once the exchange's time has moved on. (Between deltas of
one ``ts_ms`` a sweep may cross the book for a moment; across two it never does.) Nothing is quoted on a book
that is not proven, and only a snapshot proves it again.

A book read by REST has no place in the sequence: it agrees if it equals any state held since the read began.
Content that was found to differ once is *disputed*: what the feed sends may be consistent with itself and still
mean something else (prices of the other leg), so from then on only a REST read that agrees lets it be quoted again.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from dora_bot.events import BookDelta, BookLost, BookSnapshot
from dora_bot.models import (
    BookView,
    Instant,
    Level,
    Side,
)

DEPTH = 10
"""Levels shown to strategies on each side."""
REMEMBERED = 2_048
"""Deltas a book can take back, to compare it with a REST read: some seconds of the busiest market recorded."""
REST_MISSES = 2
"""REST reads in a row that must differ before a book is doubted: one may have come from a cache."""


class Resting(Protocol):
    """What `Book.view` must know of an own order."""

    @property
    def side(self) -> Side: ...

    @property
    def price_e4(self) -> int: ...

    @property
    def remaining_e2(self) -> int: ...


class Ladder:
    """One side of a book: size by price, and the prices in ascending order."""

    __slots__ = ("prices", "sizes")

    def __init__(self, levels: Iterable[Level] = ()) -> None:
        self.sizes: dict[int, int] = dict(levels)
        self.prices: list[int] = sorted(self.sizes)

    def without(self, own: dict[int, int], depth: int, *, descending: bool) -> tuple[Level, ...]:
        """The best levels after our own size is taken out; a level that was only ours is not there."""
        found: list[Level] = []
        for price_e4 in reversed(self.prices) if descending else self.prices:
            rest = self.sizes[price_e4] - own.get(price_e4, 0)
            if rest > 0:
                found.append(Level(price_e4, rest))
                if len(found) == depth:
                    break
        return tuple(found)


class Book:
    """One market's book."""

    __slots__ = (
        "agreed",
        "asks",
        "based_ms",
        "bids",
        "changed_ms",
        "disputed",
        "doubt",
        "recent",
        "rest_misses",
        "version",
    )

    def __init__(self) -> None:
        self.bids = Ladder()
        self.asks = Ladder()
        self.doubt = "no snapshot yet"
        """Why the book is not proven; empty if it is."""
        self.changed_ms = 0
        self.version = 0
        self.based_ms = 0
        """Exchange time at which the last snapshot was taken in."""
        self.recent: deque[BookDelta] = deque(maxlen=REMEMBERED)
        self.rest_misses = 0
        self.disputed = ""
        """What was found to differ; empty again once a REST read agrees."""
        self.agreed = False
        """Did a REST read agree since the connection began?"""

    def replace(self, snapshot: BookSnapshot, now: Instant) -> None:
        """Take the snapshot for the whole truth."""
        self.based_ms = now.exchange_ms
        self.recent.clear()
        self.rest_misses = 0
        self.bids = Ladder(snapshot.bids)
        self.asks = Ladder(snapshot.asks)
        self.changed_ms = max(self.changed_ms, snapshot.time_ms)
        self.version += 1
        self.doubt = ""

    def differs(self, snapshot: BookSnapshot) -> bool:
        return self.bids.sizes != dict(snapshot.bids) or self.asks.sizes != dict(snapshot.asks)

    def held(self, told: BookSnapshot) -> bool | None:
        """Did this book look as told at any moment since ``told.time_ms``? None if that cannot be known."""
        mine = {True: dict(self.bids.sizes), False: dict(self.asks.sizes)}
        theirs = {True: dict(told.bids), False: dict(told.asks)}
        differing = {
            (is_bid, price_e4)
            for is_bid in (True, False)
            for price_e4 in mine[is_bid].keys() | theirs[is_bid].keys()
            if mine[is_bid].get(price_e4, 0) != theirs[is_bid].get(price_e4, 0)
        }
        for delta in reversed(self.recent):
            if not differing or delta.time_ms < told.time_ms:
                break
            before = mine[delta.is_bid].get(delta.price_e4, 0) - delta.delta_e2
            mine[delta.is_bid][delta.price_e4] = before
            level = (delta.is_bid, delta.price_e4)
            if before == theirs[delta.is_bid].get(delta.price_e4, 0):
                differing.discard(level)
            else:
                differing.add(level)
        else:
            if differing and (self.based_ms >= told.time_ms or len(self.recent) == REMEMBERED):
                return None
        return not differing

    def change(self, delta: BookDelta) -> str:
        """Apply one delta. Returns what it contradicts, if anything; the book is then in doubt.

        Runs for every delta of every market: written out flat, without calls.
        """
        if self.doubt:
            return ""
        _, is_bid, price_e4, delta_e2, time_ms = delta
        if time_ms > self.changed_ms:
            bids, asks = self.bids.prices, self.asks.prices
            if bids and asks and bids[-1] >= asks[0]:
                return self.lose("crossed when the exchange's time moved on")
            self.changed_ms = time_ms
        self.version += 1
        ladder = self.bids if is_bid else self.asks
        self.recent.append(delta)
        sizes = ladder.sizes
        old = sizes.get(price_e4, 0)
        rest = old + delta_e2
        if rest < 0:
            return self.lose("a level fell below zero")
        if rest == 0:
            if old:
                del sizes[price_e4]
                del ladder.prices[bisect_left(ladder.prices, price_e4)]
            return ""
        if not old:
            insort(ladder.prices, price_e4)
        sizes[price_e4] = rest
        return ""

    def lose(self, reason: str) -> str:
        self.doubt = reason
        self.version += 1
        return reason

    def dispute(self, reason: str) -> str:
        """Not to be quoted on until `agree`."""
        self.disputed, self.agreed = reason, False
        self.version += 1
        return reason

    def agree(self) -> None:
        """The exchange's REST surface tells the same."""
        self.disputed, self.agreed, self.rest_misses = "", True, 0

    @property
    def crossed(self) -> bool:
        bids, asks = self.bids.prices, self.asks.prices
        return bool(bids and asks and bids[-1] >= asks[0])

    def view(self, own: Iterable[Resting] = (), depth: int = DEPTH) -> BookView:
        """Best first, our own resting size out. A book crossed in the middle of a sweep is not proven now."""
        mine: dict[Side, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
        for order in own:
            at = mine[order.side]
            at[order.price_e4] = at.get(order.price_e4, 0) + order.remaining_e2
        return BookView(
            bids=self.bids.without(mine[Side.BID], depth, descending=True),
            asks=self.asks.without(mine[Side.ASK], depth, descending=False),
            proven=not self.doubt and not self.disputed and not self.crossed,
            changed_ms=self.changed_ms,
            version=self.version,
        )


class Books:
    """Every market's book, fed by the events of the feed."""

    def __init__(self) -> None:
        self._books: dict[str, Book] = {}
        self._touched: set[str] = set()

    def apply(self, event: BookDelta | BookSnapshot | BookLost, now: Instant) -> str:
        """Take one event in. Returns what it contradicts, empty if nothing.

        A delta or loss of a market without a book is dropped; an audit that differs from the book is returned
        as a contradiction *and* becomes the new content, to be quoted when REST agrees. An audit without a ``sid``
        came by REST: its ``time_ms`` is when the read began, and it may contradict or agree but never prove.
        """
        if isinstance(event, BookDelta):
            book = self._books.get(event.ticker)
            if book is None:
                return ""
            self._touched.add(event.ticker)
            return book.change(event)
        if isinstance(event, BookSnapshot):
            return self._take(event, now)
        for ticker in event.tickers:
            self._lose(ticker, event.reason)
        return ""

    def _take(self, snapshot: BookSnapshot, now: Instant) -> str:
        book = self._books.setdefault(snapshot.ticker, Book())
        if snapshot.audit and not snapshot.sid:
            return self._compare(book, snapshot)
        contradicted = snapshot.audit and not book.doubt and book.differs(snapshot)
        if contradicted or not snapshot.audit or book.doubt:
            book.replace(snapshot, now)
            self._touched.add(snapshot.ticker)
        if not snapshot.sid:
            book.agree()
        return book.dispute("differs from its audit snapshot") if contradicted else ""

    def _compare(self, book: Book, told: BookSnapshot) -> str:
        """Hold a proven book against a REST read; a book in doubt is not proven by one."""
        held = None if book.doubt else book.held(told)
        if held is None:
            return ""
        if held:
            book.agree()
            self._touched.add(told.ticker)
            return ""
        book.rest_misses += 1
        book.agreed = False
        if book.rest_misses < REST_MISSES:
            return ""
        self._touched.add(told.ticker)
        return book.dispute(book.lose(f"differs from {REST_MISSES} REST reads in a row"))

    def lose_all(self, reason: str) -> None:
        """The connection is gone, or a new one: what is told on it is to be held against REST again."""
        for ticker, book in self._books.items():
            book.agreed = False
            self._lose(ticker, reason)

    def _lose(self, ticker: str, reason: str) -> None:
        book = self._books.get(ticker)
        if book is not None:
            book.lose(reason)
            self._touched.add(ticker)

    def forget(self, ticker: str) -> None:
        self._books.pop(ticker, None)

    def book(self, ticker: str) -> Book | None:
        return self._books.get(ticker)

    def doubts(self) -> dict[str, str]:
        """Markets whose book is not proven, and why."""
        reasons = {ticker: book.doubt or book.disputed for ticker, book in self._books.items()}
        return {ticker: reason for ticker, reason in reasons.items() if reason}

    def unchecked(self) -> frozenset[str]:
        """Whole books that no REST read has agreed with since the connection began or a difference was found."""
        return frozenset(t for t, book in self._books.items() if not book.agreed and not book.doubt)

    def view(self, ticker: str, own: Sequence[Resting] = (), depth: int = DEPTH) -> BookView:
        """The book without our own orders; empty and unproven for a market nothing is known of."""
        book = self._books.get(ticker)
        return BookView() if book is None else book.view(own, depth)

    def take_touched(self) -> set[str]:
        """Markets whose book changed since the last call."""
        touched, self._touched = self._touched, set()
        return touched
