"""What happened at the exchange, in one numbered order: requests, matches, faults, and frames sent.

Memory is bounded: frames are many, so they have a ring of their own and cannot push the requests out.
"""

import heapq
from collections import deque
from itertools import islice, takewhile
from typing import Any, NamedTuple

Entry = dict[str, Any]


class SentFrame(NamedTuple):
    """One WebSocket frame that left (``dropped`` false) or was swallowed by a fault."""

    n: int
    at_ms: int
    connection: int
    sid: int
    seq: int
    type: str
    ticker: str
    dropped: bool


class ExchangeJournal:
    """Two rings under one counter. Entry numbers start at 1 and never repeat."""

    def __init__(self, keep: int = 50_000, keep_frames: int = 50_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._frames: deque[SentFrame] = deque(maxlen=keep_frames)
        self.last = 0
        self.requests = 0
        """How many requests have arrived."""

    def record(self, kind: str, at_ms: int, **fields: object) -> int:
        """Append one entry and return its number."""
        self.last += 1
        self.requests += kind == "arrival"
        self._entries.append({"n": self.last, "at_ms": at_ms, "kind": kind, **fields})
        return self.last

    def frame(self, at_ms: int, connection: int, head: tuple[int, int, str, str], *, dropped: bool) -> None:
        """Append a frame; ``head`` is (sid, seq or 0, type, market ticker or "")."""
        self.last += 1
        self._frames.append(SentFrame(self.last, at_ms, connection, *head, dropped))

    def after(self, number: int, limit: int = 10_000) -> list[Entry]:
        """The entries numbered above ``number``, oldest first, at most ``limit`` of them."""
        entries = list(takewhile(lambda entry: entry["n"] > number, reversed(self._entries)))
        frames = list(takewhile(lambda sent: sent.n > number, reversed(self._frames)))
        shown = ({"kind": "frame", **sent._asdict()} for sent in reversed(frames))
        return list(islice(heapq.merge(reversed(entries), shown, key=lambda entry: int(entry["n"])), limit))
