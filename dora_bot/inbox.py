"""The bounded queue between the other threads and the tick."""

import threading
from collections import deque
from collections.abc import Callable

from dora_bot.events import BookDelta, BookLost

CAPACITY = 200_000
"""About ten seconds of the fastest feed measured; a tick that is further behind must not work it off."""

OVERFLOW = BookLost((), "inbox overflow")
"""Every book is lost; at most one of these waits, last."""


class ThreadInbox:
    """Implements `ports.Inbox`. When it is full the book changes in it are dropped and every book is lost, so that
    the feed resynchronises; fills, orders and commands are never dropped.
    """

    def __init__(self, capacity: int = CAPACITY, on_overflow: Callable[[], None] = lambda: None) -> None:
        self._events: deque[object] = deque()
        self._ready = threading.Condition()
        self._capacity = capacity
        self.on_overflow = on_overflow

    def post(self, event: object) -> None:
        with self._ready:
            self._events.append(event)
            full = len(self._events) > self._capacity
            if full:
                kept = [e for e in self._events if not isinstance(e, BookDelta) and e != OVERFLOW]
                self._events = deque([*kept, OVERFLOW])
            self._ready.notify()
        if full:
            self.on_overflow()

    def drain(self) -> list[object]:
        with self._ready:
            events, self._events = self._events, deque()
        return list(events)

    def wait(self, seconds: float) -> bool:
        with self._ready:
            return self._ready.wait_for(lambda: bool(self._events), timeout=max(seconds, 0))
