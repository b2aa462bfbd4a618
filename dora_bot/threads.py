"""The slow threads: each is a loop around one `step`, and none may die or stand still unnoticed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from dora_bot import pulse
from dora_bot.models import Instant
from dora_bot.ports import Clock
from dora_bot.pulse import Pulse

STILL_MS = 2_000
"""A thread that stands still for longer hangs; looked at twice a second, that is known within 3 s (FAULTS I27)."""
LOOK_MS = 1_000
"""The most that the time between two looks counts: if the whole process stood still, nobody hung."""

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(slots=True)
class Loop:
    """Runs ``step`` every ``every_s`` until stopped. An exception that ``step`` lets out ends the loop through
    ``on_death``, which halts: a thread that is gone must not be a thread that is forgotten.
    """

    name: str
    every_s: float
    step: Callable[[Instant], None]
    clock: Clock
    on_death: Callable[[str, Exception], None]
    pulse: Pulse = field(default_factory=Pulse)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        pulse.adopt(self.pulse)
        try:
            while not self._stop.is_set():
                self.pulse.beat()
                self.step(self.clock.now())
                self.pulse.beat()
                self._stop.wait(self.every_s)
        except Exception as error:  # noqa: BLE001  # policy: halt, then this thread ends
            self.on_death(self.name, error)


class Threads:
    """How work runs beside the tick: on threads of the system. Where time is simulated another one stands in."""

    def loop(
        self,
        name: str,
        every_s: float,
        step: Callable[[Instant], None],
        clock: Clock,
        on_death: Callable[[str, Exception], None],
    ) -> Loop:
        return Loop(name, every_s, step, clock, on_death)

    def both(self, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
        """Call both at once. Raises what either raises, when both have ended."""
        with ThreadPoolExecutor(1) as side:
            beside = side.submit(first)
            there = second()
            return beside.result(), there


@dataclass(slots=True)
class Watch:
    """One thread's view of how long another has stood still. Look at least twice a second."""

    _beats: int = -1
    _looked_ms: int = 0
    _still_ms: int = 0

    def still_ms(self, pulse: Pulse, now: Instant) -> int:
        """For how long it has stood still that the call under way, if any, does not explain."""
        if pulse.beats == self._beats:
            self._still_ms += min(now.mono_ms - self._looked_ms, LOOK_MS)
        else:
            self._beats, self._still_ms = pulse.beats, 0
        self._looked_ms = now.mono_ms
        return max(self._still_ms - pulse.allowed_ms, 0)
