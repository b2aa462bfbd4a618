"""How far this machine's clock may be from the exchange's: 2 s are worth a word, 8 s are a halt (the exchange refuses
signatures from somewhere between 10 and 30 s on).

The bot itself signs and expires by the exchange's time, measured on every reply. A clock that is off all the same spoils
whatever else goes by it (AWS signatures, certificates, logs), and shows that the machine's time synchronisation is broken.
"""

from dataclasses import dataclass

from dora_bot.models import Instant

WARN_MS = 2_000
HALT_MS = 8_000
CONFIRM_MS = 3_000
"""So long the clock must be off: one reply with a wrong date is put right by the next."""


@dataclass(slots=True)
class ClockGuard:
    """``off_since_ms``: monotonic, since when the clock has been off by a halt's worth."""

    off_since_ms: int | None = None
    _warned: bool = False

    def warning(self, offset_ms: int) -> str:
        """What to say of the clock, once each time that it leaves its bounds; else empty."""
        was, self._warned = self._warned, abs(offset_ms) >= WARN_MS
        return _told(offset_ms) if self._warned and not was else ""

    def breach(self, offset_ms: int, now: Instant) -> str:
        """The evidence for a halt, empty if there is none."""
        if abs(offset_ms) < HALT_MS:
            self.off_since_ms = None
            return ""
        self.off_since_ms = now.mono_ms if self.off_since_ms is None else self.off_since_ms
        return _told(offset_ms) if now.mono_ms - self.off_since_ms >= CONFIRM_MS else ""


def _told(offset_ms: int) -> str:
    side = "behind" if offset_ms > 0 else "ahead of"
    return f"this machine's clock is {abs(offset_ms) / 1_000:.1f} s {side} the exchange's"
