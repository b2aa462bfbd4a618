"""An inbox that keeps everything and lets a test wait for what it wants."""

import threading
from collections.abc import Callable


class GatheringInbox:
    """Implements `ports.Inbox`; `drain` empties it, ``events`` keeps the whole story."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self._drained = 0
        self._changed = threading.Condition()

    def post(self, event: object) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def drain(self) -> list[object]:
        with self._changed:
            fresh = self.events[self._drained :]
            self._drained = len(self.events)
            return fresh

    def wait(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.events) > self._drained, seconds)

    def until(self, wanted: Callable[[list[object]], bool], seconds: float = 10.0) -> list[object]:
        """Wait until the story so far is as wanted, and return it; an assertion fails if it never is."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self.events), seconds), self.events[-5:]
            return list(self.events)

    def count(self, kind: type) -> int:
        with self._changed:
            return sum(isinstance(event, kind) for event in self.events)
