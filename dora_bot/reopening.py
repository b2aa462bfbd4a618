"""When nothing may rest anywhere: the exchange is, or is about to be, closed by its schedule, or we are blind.

Quotes go a minute before a pause, because in it nothing can be cancelled. They come back only after the exchange was
seen trading, and the account was read, later than the pause ended: in between the exchange may have done anything.
"""

from dataclasses import dataclass, field

from dora_bot.events import AccountRead, ClosuresRead
from dora_bot.models import ExchangeStatus, Instant

CANCEL_BEFORE_MS = 65_000
"""Nothing may rest from 60 s before (FAULTS B14); by then it must have been cancelled, and proven gone."""

BLIND_MS = 60_000
"""So long is quoted on an account that cannot be read: what the socket tells alone proves no position (FAULTS I19)."""


@dataclass(slots=True)
class Reopening:
    """All times are exchange time in Unix ms."""

    _closures: tuple[tuple[int, int], ...] = ()
    _status: ExchangeStatus = field(default_factory=lambda: ExchangeStatus(active=True, trading=True))
    _status_ms: int = 0
    _reopened_ms: int = 0
    _read_ms: int = 0

    def on_closures(self, event: ClosuresRead, _now: Instant) -> None:
        self._closures = event.closures

    def on_status(self, status: ExchangeStatus, now: Instant) -> None:
        was_open = self._status.active and self._status.trading
        shards_back = self._status.paused_shards - status.paused_shards
        if status.active and status.trading and (not was_open or shards_back):
            self._reopened_ms = now.exchange_ms
        self._status, self._status_ms = status, now.exchange_ms

    def on_account(self, read: AccountRead) -> None:
        self._read_ms = max(self._read_ms, read.as_of_ms)

    def objection(self, now: Instant) -> str:
        """Why nothing may rest anywhere; empty if it may."""
        at_ms = now.exchange_ms
        if any(start - CANCEL_BEFORE_MS <= at_ms < end for start, end in self._closures):
            return "the exchange's schedule has a pause now or within a minute"
        ended_ms = max((end for _, end in self._closures if end <= at_ms), default=0)
        if self._status_ms < ended_ms:
            return "after a scheduled pause the exchange was not seen trading yet"
        if self._read_ms < max(ended_ms, self._reopened_ms):
            return "after a pause the account was not read yet"
        if self._read_ms and at_ms - self._read_ms > BLIND_MS:
            return "the account was not read for a minute"
        return ""
