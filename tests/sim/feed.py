"""The market data connection: what the engine tells reaches the inbox late, sometimes not at all, never reordered
within a channel and freely across channels.

A lost book frame is noticed by the next one of the subscription (its number is missing), as `FeedSession` does:
every book is lost and asked for again. Lost fills and order frames are noticed by nobody. While the connection is
down the production REST feed stands in.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from dora_bot.events import BookLost, FeedDown, FeedUp, FillSeen
from dora_bot.exchange_client import KalshiClient
from dora_bot.models import Instant
from dora_bot.paper.events import BookChanged, EngineEvent, FillMade, LifecycleEvent, OrderChanged
from dora_bot.rest_feed import RestFeed
from tests.sim import convert
from tests.sim.client import LIMITS, SimExchange
from tests.sim.faults import Faults
from tests.sim.kernel import Kernel
from tests.sim.venue import BOT, Venue

AUDIT_MS = 20_000
DEAD_MS = 5_000


class Channel:
    """In order, each frame late by its own delay but never before the one ahead of it."""

    def __init__(self, name: str, feed: "SimFeed") -> None:
        self.name = name
        self.gap = False
        self.waiting: deque[Callable[[], None]] = deque()
        self._feed = feed
        self._free_ms = 0
        self._number = 0

    def send(self, deliver: Callable[[], None]) -> None:
        feed, kernel = self._feed, self._feed.kernel
        self._number += 1
        place = f"{self.name}/{feed.connection}.{self._number}"
        kind = feed.faults.strike(place, ("drop", "delay", "delay"), 0.2)
        if kind == "drop":
            self.gap = True
            return
        delay = 2 + int(12 * feed.faults.share(place)) + (8_000 if kind == "delay" else 0)
        if kind == "delay" and self.name == "book":
            delay = 1_500  # later ones are noticed by their age: books are lost then
        self._free_ms = max(self._free_ms, kernel.now_ms + delay)
        self.waiting.append(deliver)
        connection = feed.connection
        kernel.at(self._free_ms, lambda: self._arrive(connection))

    def _arrive(self, connection: int) -> None:
        if connection == self._feed.connection and self.waiting:
            self.waiting.popleft()()


class SimFeed:
    """Implements `ports.Feed`. ``post`` puts an event into the inbox of the life it belongs to."""

    def __init__(
        self,
        kernel: Kernel,
        venue: Venue,
        faults: Faults,
        post: Callable[[object], None],
        client: SimExchange,
    ) -> None:
        self.kernel = kernel
        self.venue = venue
        self.faults = faults
        self.post = post
        self.connection = 0
        self.up = False
        self.broken = False
        self.closed = False
        self.lost_books = 0
        self._rest = RestFeed(cast("KalshiClient", client), LIMITS, venue.now_ms)
        self._tickers: frozenset[str] = frozenset()
        self._channels: dict[str, Channel] = {}
        self._connect()
        kernel.at(kernel.now_ms + AUDIT_MS, self._audit)

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    def watch(self, tickers: frozenset[str]) -> None:
        added = tickers - self._tickers
        self._tickers = tickers
        self._rest.watch(tickers)
        if self.up and added:
            self._snapshots(sorted(added))

    def resync(self, tickers: frozenset[str]) -> None:
        self._lose(sorted(tickers & self._tickers), "resync")

    def poll(self, now: Instant) -> list[object]:
        return [] if self.up else self._rest.poll(now)

    @property
    def settled(self) -> bool:
        """Nothing is under way and nothing is missing unnoticed."""
        return self.up and not self.broken and not any(c.waiting or c.gap for c in self._channels.values())

    # ── frames ──────────────────────────────────────────────────────────────────────────────────

    def on_events(self, events: list[EngineEvent]) -> None:
        """A watcher of the venue: one frame a channel for what one step of the engine did."""
        if not self.up or self.broken:
            return
        books: list[object] = []
        for event in events:
            if isinstance(event, BookChanged):
                if event.ticker in self._tickers:
                    books.append(convert.delta_of(event))
            elif isinstance(event, OrderChanged):
                if event.account == BOT:
                    self._send("order", convert.order_seen(event))
            elif isinstance(event, FillMade):
                if event.account == BOT:
                    self._send("fill", FillSeen(convert.fill_of(event.fill, "ws")))
            elif isinstance(event, LifecycleEvent):
                self._send("life", convert.lifecycle_of(event))
        if books:
            self._channels["book"].send(lambda: self._book_frame(books))

    def _send(self, channel: str, event: object) -> None:
        self._channels[channel].send(lambda: self.post(event))
        self._channels[channel].gap = False

    def _book_frame(self, events: Sequence[object]) -> None:
        if self._channels["book"].gap:
            self._channels["book"].gap = False
            self._lose(sorted(self._tickers), "sequence gap")
            return
        for event in events:
            self.post(event)

    def _lose(self, tickers: list[str], reason: str) -> None:
        if tickers:
            self.lost_books += 1
            self.post(BookLost(tuple(tickers), reason))
        if self.up:
            self._snapshots(tickers)

    def _snapshots(self, tickers: list[str], *, audit: bool = False) -> None:
        """Ask; the exchange cuts the books when the command has arrived and answers in the same channel."""
        connection = self.connection

        def cut() -> None:
            if connection != self.connection or self.broken:
                return
            self.venue.step(lambda _: None)
            found = [convert.snapshot_of(self.venue.engine.book(t), audit=audit) for t in tickers]
            self._channels["book"].send(lambda: self._book_frame(found))

        self.kernel.at(self.kernel.now_ms + 5, cut)

    def _audit(self) -> None:
        if self.closed:
            return
        self.kernel.at(self.kernel.now_ms + AUDIT_MS, self._audit)
        if self.up:
            self._snapshots(sorted(self._tickers), audit=True)

    # ── the connection ──────────────────────────────────────────────────────────────────────────

    def _connect(self) -> None:
        if self.closed:
            return
        self.connection += 1
        self.up, self.broken = True, False
        self._channels = {name: Channel(name, self) for name in ("book", "order", "fill", "life")}
        self.post(FeedUp(self.connection))
        self._snapshots(sorted(self._tickers))
        self._plan_disconnect()

    def _plan_disconnect(self) -> None:
        """Once in ten seconds the line may break: noticed at once, or only when it has been silent too long."""
        connection = self.connection

        def check() -> None:
            if self.closed or connection != self.connection or not self.up:
                return
            kind = self.faults.strike(f"feed/at={self.kernel.now_ms}", ("close", "half_open"), 0.3)
            if not kind:
                self.kernel.at(self.kernel.now_ms + 10_000, check)
                return
            self.connection += 1
            self.broken = True
            silent = DEAD_MS if kind == "half_open" else 50
            self.kernel.at(self.kernel.now_ms + silent, lambda: self._noticed(kind))

        self.kernel.at(self.kernel.now_ms + 10_000, check)

    def _noticed(self, kind: str) -> None:
        if self.closed:
            return
        self.up = False
        self.post(FeedDown(kind))
        back_ms = 200 + int(5_000 * self.faults.share(f"feed/back={self.kernel.now_ms}"))
        self.kernel.at(self.kernel.now_ms + back_ms, self._connect)

    def close(self) -> None:
        self.closed = True
        self.up = False
        self.connection += 1
