"""What a connection has still to send: frames in order within a subscription, unordered across them.

Frames that leave in one turn of the event loop are written together; one write a frame would cost more
than making it. A client that does not read loses its subscriptions (error 25) instead of our memory.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from dora_bot.paper.ws_frames import Frame, text_frame

if TYPE_CHECKING:
    from dora_bot.paper.profiles import Profile

BUFFER_LIMIT = 32 * 1024 * 1024
"""Unsent bytes at which the venue gives a slow reader up."""

Sent = Callable[[Frame, int], None]


class Outbox:
    """The sending half of one connection.

    ``sent`` is told of every frame at the moment it leaves (frame, exchange time), ``overflowed`` once when
    the client has stopped reading.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        profile: "Profile",
        now_ms: Callable[[], int],
        sent: Sent,
        overflowed: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._profile = profile
        self._now_ms = now_ms
        self._sent = sent
        self._overflowed = overflowed
        self._loop = asyncio.get_running_loop()
        self._ready: list[Frame] = []
        self._waiting: list[tuple[float, int, Frame]] = []
        self._last_due: dict[int, float] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = False

    def put(self, frame: Frame) -> None:
        """Send after the profile's delay, behind every earlier frame of the same subscription."""
        delay = self._profile.frame_delay_s() + frame.delay_s
        waits_for = self._last_due.get(frame.lane, 0.0)
        now = self._loop.time()
        if not delay and waits_for <= now:
            self._ready.append(frame)
            self._flush_soon()
            return
        due = max(now + delay, waits_for)
        self._last_due[frame.lane] = due
        self._count += 1
        heapq.heappush(self._waiting, (due, self._count, frame))
        self._arm()

    def close(self) -> None:
        """Forget everything unsent."""
        self._ready.clear()
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._waiting[0][0]:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._waiting[0][0], self._release)

    def _release(self) -> None:
        self._timer = None
        now = self._loop.time() + 0.000_5
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])
        if self._waiting:
            self._arm()
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self._ready or self._transport.is_closing():
            self._ready.clear()
            return
        now_ms = self._now_ms()
        for frame in self._ready:
            self._sent(frame, now_ms)
        self._transport.write(
            b"".join([text_frame(frame.body, frame.sent_ms or now_ms) for frame in self._ready])
        )
        self._ready.clear()
        if self._transport.get_write_buffer_size() > BUFFER_LIMIT:
            self._overflowed()
