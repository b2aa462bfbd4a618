"""Virtual time. Threads are *actors* of which exactly one runs; whoever waits runs what falls due meanwhile.

A wait pops the next thing from one queue: a callback runs at once, another actor's wake-up hands the baton over.
So a blocking exchange call spends virtual time in which fills, frames and the other threads of the bot happen, and
the same seed always gives the same order. Actors are greenlets, because production code blocks in them: handing over
takes a fiftieth of what it takes between threads, and nothing depends on the machine's scheduler.
"""

from collections.abc import Callable
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet

EPOCH_MS = 1_795_176_000_000
"""2026-11-20T12:00:00Z, the exchange's time at virtual zero."""


class Killed(BaseException):
    """The simulated process has died; nothing in it may run on."""


class Process:
    """Threads that die and stand still together."""

    def __init__(self) -> None:
        self.dead = False
        self.paused_until_ms = 0
        self.actors: list[Actor] = []


class Actor:
    """One thread. In a dead process its next (or present) wait raises `Killed`."""

    def __init__(self, name: str, thread: greenlet, process: Process) -> None:
        self.name = name
        self.thread = thread
        self.process = process
        self.ended = False
        process.actors.append(self)


class Wake:
    """A wake-up that may be queued several times; the first one counts."""

    __slots__ = ("actor", "fired")

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.fired = False


class Kernel:
    """Belongs to the thread that makes it, which is the actor ``main``. What an actor lets out is raised there."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.main = Actor("main", getcurrent(), Process())
        self.running = self.main
        self._queue: list[tuple[int, int, Wake | Callable[[], None]]] = []
        self._queued = 0

    def at(self, due_ms: int, what: Wake | Callable[[], None]) -> None:
        """Call it, or wake its actor, once ``now_ms`` reaches ``due_ms``; ties keep the order of asking."""
        self._queued += 1
        heappush(self._queue, (max(due_ms, self.now_ms), self._queued, what))

    def run(self, until: Callable[[], bool]) -> None:
        """Let everything happen, as the actor ``main``; ``until`` is asked when an actor has ended, and by `look`."""
        while not until():
            self._next(self.main)

    def look(self) -> None:
        """What `run` waits for may have come true."""
        self.at(self.now_ms, Wake(self.main))

    def sleep_until(self, due_ms: int) -> None:
        self.wait(Wake(self.running), due_ms)

    def wait(self, wake: Wake, due_ms: int) -> None:
        """Return when somebody has queued ``wake`` and its turn came, at the latest at ``due_ms``."""
        self.at(due_ms, wake)
        actor = wake.actor
        while not (wake.fired or actor.process.dead):
            self._next(actor)
        wake.fired = True
        if actor.process.dead:
            raise Killed

    def _next(self, actor: Actor) -> None:
        self.now_ms, _, what = heappop(self._queue)
        if not isinstance(what, Wake):
            what()
            return
        if what.fired or what.actor.ended:
            return
        if what.actor.process.paused_until_ms > self.now_ms:
            self.at(what.actor.process.paused_until_ms, what)
            return
        what.fired = True
        if what.actor is not actor:
            self.running = what.actor
            what.actor.thread.switch()
            self.running = actor  # woken, or (only main) back because an actor has ended

    def spawn(self, name: str, body: Callable[[], None], process: Process) -> Actor:
        """Start a thread at the present moment. In a process that died meanwhile it runs to its first wait."""

        def run() -> None:
            try:
                body()
            except Killed:
                pass
            finally:
                actor.ended = True

        actor = Actor(name, greenlet(run, parent=self.main.thread), process)
        self.at(self.now_ms, Wake(actor))
        return actor

    def kill(self, process: Process) -> None:
        """Its threads die at their next turn, which comes now, also where it was paused."""
        process.dead = True
        process.paused_until_ms = 0
        for actor in process.actors:
            self.at(self.now_ms, Wake(actor))
