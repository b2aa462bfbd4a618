"""The slow threads: each is a loop around one `step`, and none may die unnoticed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from dora_bot.models import Instant
from dora_bot.ports import Clock


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
