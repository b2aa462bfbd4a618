"""Virtual time. Threads are *actors* of which exactly one runs; whoever waits runs what falls due meanwhile.

A wait pops the next thing from one queue: a callback runs at once, another actor's wake-up hands the baton over.
So a blocking exchange call spends virtual time in which fills, frames and the other threads of the bot happen, and
the same seed always gives the same order. Actors are real threads only because production code blocks in them.
"""

import threading
from collections.abc import Callable
from heapq import heappop, heappush

from dora_bot.models import Instant

EPOCH_MS = 1_795_176_000_000
"""2026-11-20T12:00:00Z, the exchange's time at virtual zero."""


class Killed(BaseException):
    """The simulated process has died; nothing in it may run on."""


class Actor:
    """One thread. ``killed`` makes its next (or present) wait raise `Killed`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.ended = False
        self.baton = threading.Lock()
        self.baton.acquire()


class Wake:
    """A wake-up that may be queued several times; the first one counts."""

    __slots__ = ("actor", "fired")

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.fired = False


class Kernel:
    def __init__(self) -> None:
        self.now_ms = 0
        self.main = Actor("main")
        self.running = self.main
        self.failure: BaseException | None = None
        self._queue: list[tuple[int, int, Wake | Callable[[], None]]] = []
        self._queued = 0

    def at(self, due_ms: int, what: Wake | Callable[[], None]) -> None:
        """Call it, or wake its actor, once ``now_ms`` reaches ``due_ms``; ties keep the order of asking."""
        self._queued += 1
        heappush(self._queue, (max(due_ms, self.now_ms), self._queued, what))

    def sleep_until(self, due_ms: int) -> None:
        self.wait(Wake(self.running), due_ms)

    def wait(self, wake: Wake, due_ms: int) -> None:
        """Return when somebody has queued ``wake`` and its turn came, at the latest at ``due_ms``."""
        self.at(due_ms, wake)
        actor = wake.actor
        while not (wake.fired or actor.killed):
            self._next(actor)
        wake.fired = True
        if self.failure is not None and actor is self.main:
            raise self.failure
        if actor.killed:
            raise Killed

    def _next(self, actor: Actor | None) -> None:
        due_ms, _, what = heappop(self._queue)
        self.now_ms = max(self.now_ms, due_ms)
        if not isinstance(what, Wake):
            what()
        elif not (what.fired or what.actor.ended):
            what.fired = True
            if what.actor is not actor:
                self.running = what.actor
                what.actor.baton.release()
                if actor is not None:
                    actor.baton.acquire()

    def spawn(self, name: str, body: Callable[[], None]) -> Actor:
        """Start a thread at the present moment."""
        actor = Actor(name)
        thread = threading.Thread(target=self._run, args=(actor, body), name=f"sim-{name}", daemon=True)
        thread.start()
        self.at(self.now_ms, Wake(actor))
        return actor

    def _run(self, actor: Actor, body: Callable[[], None]) -> None:
        actor.baton.acquire()
        try:
            if not actor.killed:
                body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # policy: raised again in the thread that runs the simulation
            self.failure = error
            self.main.killed = True
            self.at(self.now_ms, Wake(self.main))
        actor.ended = True
        while self.running is actor:
            self._next(None)

    def kill(self, actors: list[Actor]) -> None:
        """These die at their next turn, which comes now."""
        for actor in actors:
            actor.killed = True
            self.at(self.now_ms, Wake(actor))


class SimClock:
    """Implements `ports.Clock`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def now(self) -> Instant:
        return Instant(self._kernel.now_ms, EPOCH_MS + self._kernel.now_ms)

    def sleep(self, seconds: float) -> None:
        """Half a millisecond passes as a whole one: time must move."""
        self._kernel.sleep_until(self._kernel.now_ms + max(round(seconds * 1_000), 1))
