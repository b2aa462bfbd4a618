"""The line to the exchange's WebSocket without its socket: when to ping, when it is dead or late, when to dial again.

The exchange pings only every ten seconds, so the feed sends pings of its own every two, and takes the line for dead
when neither frame nor pong came for five. A line that is merely late is as bad: once frames are two seconds old all
books are lost until they are fresh again. `market_feed` puts a socket and a thread around this; times are passed in.
"""

from collections.abc import Callable

from dora_bot.events import BookDelta, BookSnapshot
from dora_bot.feed_session import FeedSession
from dora_bot.models import Instant

PING_MS = 2_000
DEAD_MS = 5_000
LATE_MS = 2_000
HOUSEKEEPING_MS = 200
REFUSALS = 3
STEADY_MS = 10_000
"""A connection that lived this long resets the backoff."""


class FeedLine:
    """One connection after the other; `opened` begins each."""

    def __init__(self, audit_every_ms: int, subaccount: int = 0) -> None:
        self.session = FeedSession(subaccount=subaccount)
        self.last_heard_mono_ms = 0
        self.house_due_ms = 0
        self.ping_wanted = False
        """Set by `keep_house`; whoever sends the ping takes it back."""
        self._audit_every_ms = audit_every_ms
        self._late = False
        self._ping_due_ms = 0
        self._audit_due_ms = 0

    def opened(self, tickers: frozenset[str], now: Instant) -> None:
        """The upgrade was accepted."""
        self._late = False
        self.ping_wanted = False
        self.last_heard_mono_ms = self.house_due_ms = self._ping_due_ms = now.mono_ms
        self._audit_due_ms = now.mono_ms + self._audit_every_ms
        self.session.opened(tickers, now.mono_ms)

    def heard(self, now: Instant) -> None:
        """Anything came, be it a pong: the line lives."""
        self.last_heard_mono_ms = now.mono_ms

    def receive(self, data: bytes, now: Instant) -> list[object]:
        """One message's events; while the line is late its books are left out, they are lost already."""
        self.heard(now)
        events = self.session.receive(data, now.mono_ms)
        was_late = self._late
        judged = self._judge_age(now)
        if was_late or self._late:
            events = [event for event in events if not isinstance(event, BookSnapshot | BookDelta)]
        return judged + events

    def keep_house(self, tickers: frozenset[str], doubted: frozenset[str], now: Instant) -> list[object]:
        """The regular duties, every `HOUSEKEEPING_MS`: what to watch, what to ask again, audits, pings."""
        session = self.session
        self.house_due_ms = now.mono_ms + HOUSEKEEPING_MS
        found: list[object] = []
        if tickers != session.wanted:
            found += session.watch(tickers, now.mono_ms)
        if doubted:
            found += session.resync(doubted, "the book contradicted itself", now.mono_ms)
        if now.mono_ms >= self._audit_due_ms:
            self._audit_due_ms = now.mono_ms + self._audit_every_ms
            session.audit(now.mono_ms)
        if now.mono_ms >= self._ping_due_ms:
            self._ping_due_ms = now.mono_ms + PING_MS
            self.ping_wanted = True
        return found + session.poll(now.mono_ms)

    def ended(self, now: Instant) -> str:
        """Why the connection must be given up, empty while it serves."""
        if now.mono_ms - self.last_heard_mono_ms > DEAD_MS:
            return f"nothing heard for {DEAD_MS} ms"
        return self.session.broken

    def _judge_age(self, now: Instant) -> list[object]:
        """Frames that are old when they arrive tell what the books were, not what they are."""
        session = self.session
        age_ms = now.exchange_ms - session.sent_ms if session.sent_ms else 0
        if age_ms > LATE_MS and not self._late:
            self._late = True
            return session.resync(session.wanted, f"frames arrive {age_ms} ms late", now.mono_ms)
        if age_ms <= LATE_MS // 2 and self._late:
            self._late = False
            return session.resync(session.wanted, "frames are fresh again", now.mono_ms)
        return []


class Redial:
    """How long to wait before the next connection, and when to give up. ``jitter`` yields numbers in [0, 1)."""

    def __init__(self, backoff_s: tuple[float, ...], jitter: Callable[[], float]) -> None:
        self.refused = ""
        """Why the exchange does not want us, once that is sure; empty while it is tried."""
        self._backoff_s = backoff_s
        self._jitter = jitter
        self._failures = 0
        self._refusals = 0

    def pause_s(self, reason: str, lived_ms: int) -> float:
        """The connection (or the attempt at one) ended so; ``reason`` begins with "refused" if the key was."""
        if reason.startswith("refused"):
            self._refusals += 1
            if self._refusals >= REFUSALS:
                self.refused = reason
        steady = lived_ms >= STEADY_MS
        self._refusals = 0 if steady else self._refusals
        self._failures = 0 if steady else self._failures + 1
        return self._backoff_s[min(self._failures, len(self._backoff_s) - 1)] * (1 + self._jitter())
