"""The sign of life that each thread gives by working: a count that grows, and how long a call under way may take.

Counts, not times, so that nobody who gives it needs a clock. A thread that waits for something bounded says so; one that
stands still without having said so hangs. See `threads.Watch`, which looks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Pulse:
    """Written by one thread, read by any. ``allowed_ms``: how long the call under way may take, 0 outside of one."""

    beats: int = 0
    allowed_ms: int = 0

    def beat(self) -> None:
        self.beats += 1


_OWN: ContextVar[Pulse] = ContextVar("pulse")


def adopt(pulse: Pulse) -> None:
    """From now on `waiting` in this thread shows in ``pulse``."""
    _OWN.set(pulse)


@contextmanager
def waiting(longest_ms: int) -> Iterator[None]:
    """Around a call of this thread that ends by itself within ``longest_ms``."""
    pulse = _OWN.get(None) or Pulse()  # a thread that nobody watches
    pulse.beat()
    pulse.allowed_ms = longest_ms
    try:
        yield
    finally:
        pulse.allowed_ms = 0
        pulse.beat()
