"""A clock that stands still until it is told, or until somebody sleeps on it."""

from dora_bot.models import Instant

NOON_MS = 1_795_176_000_000
"""2026-11-20T12:00:00Z."""


class ManualClock:
    """Implements `ports.Clock`; sleeping is passing time."""

    def __init__(self, exchange_ms: int = NOON_MS, mono_ms: int = 1_000_000) -> None:
        self.instant = Instant(mono_ms, exchange_ms)

    def now(self) -> Instant:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.advance(round(seconds * 1_000))

    def advance(self, milliseconds: int) -> Instant:
        mono, exchange = self.instant
        self.instant = Instant(mono + milliseconds, exchange + milliseconds)
        return self.instant
