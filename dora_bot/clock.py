"""The only module that may ask the time.

The exchange's clock decides whether a signature is fresh and when an order expires, so the bot keeps an
estimate of it: the monotonic clock plus an offset narrowed by every reply. A step of the machine's wall
clock after the start therefore changes nothing.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from dora_bot.models import Instant
from dora_bot.ports import Clock

_START_UNCERTAINTY_MS = 5_000
_DRIFT_PPM = 200
"""How fast certainty about the offset is lost: far above what a healthy oscillator does."""


class MeasuredClock(Clock, Protocol):
    """A clock that learns the exchange's time from replies."""

    def observe(self, exchange_ms: int, mono_ms: int, uncertainty_ms: int = 0) -> None:
        """The exchange's clock read ``exchange_ms`` ± ``uncertainty_ms`` when ours read ``mono_ms``."""

    @property
    def wall_offset_ms(self) -> int:
        """The exchange's time less this machine's."""


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class SystemClock:
    """The machine's two clocks as one. Thread-safe."""

    def __init__(self, mono_ms: Callable[[], int] = _mono_ms, wall_ms: Callable[[], int] = _wall_ms) -> None:
        self._mono_ms = mono_ms
        self._wall_ms = wall_ms
        self._lock = threading.Lock()
        self._offset_ms = wall_ms() - mono_ms()
        self._uncertainty_ms = float(_START_UNCERTAINTY_MS)
        self._observed_mono_ms = mono_ms()

    def now(self) -> Instant:
        mono_ms = self._mono_ms()
        return Instant(mono_ms, mono_ms + self._offset_ms)

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)

    def observe(self, exchange_ms: int, mono_ms: int, uncertainty_ms: int = 0) -> None:
        """Narrow the offset to what this reading and the earlier ones agree on.

        A reading that contradicts the estimate replaces it: then a clock was stepped.
        """
        measured = exchange_ms - mono_ms
        with self._lock:
            aged = self._uncertainty_ms + max(mono_ms - self._observed_mono_ms, 0) * _DRIFT_PPM / 1e6
            low = max(self._offset_ms - aged, measured - uncertainty_ms)
            high = min(self._offset_ms + aged, measured + uncertainty_ms)
            if low > high:
                low, high = measured - uncertainty_ms, measured + uncertainty_ms
            self._offset_ms = round((low + high) / 2)
            self._uncertainty_ms = max((high - low) / 2, 1.0)
            self._observed_mono_ms = mono_ms

    @property
    def wall_offset_ms(self) -> int:
        """Estimated exchange time minus this machine's wall clock, for `doctor`, the clock guard and the status."""
        return self.now().exchange_ms - self._wall_ms()

    @property
    def uncertainty_ms(self) -> float:
        with self._lock:
            return self._uncertainty_ms
