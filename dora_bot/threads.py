"""The slow threads: each is a loop around one `step`, and none may die unnoticed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from dora_bot.models import Instant
from dora_bot.ports import Clock

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
    beat_mono_ms: int = field(init=False)
    """When it last began a step; until the first one, when it was made."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.beat_mono_ms = self.clock.now().mono_ms

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                now = self.clock.now()
                self.beat_mono_ms = now.mono_ms
                self.step(now)
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
