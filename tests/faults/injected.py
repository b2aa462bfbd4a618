"""`dora run` in which one thread fails on command: the faults of kind ``proc`` that come from inside the process.

usage: python -m tests.faults.injected THREAD HOW TRIGGER run …

As soon as the file TRIGGER exists, the thread of that name (``MainThread`` is the tick's), at its next call of a function
of ours, does what HOW says: ``raise`` an exception, ``exit`` without a word, ``hang`` for ever; ``freeze`` (of ``risk``)
leaves the thread running and shows it the same view for ever; ``stop`` (of ``MainThread``) stops the whole process as
SIGSTOP does, where it has decided to add exposure and not asked for leave yet. TRIGGER.struck tells by its time when that was.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from dora_bot import bootstrap
from dora_bot.cli import main
from dora_bot.models import Amend, Place
from dora_bot.runtime import RunOptions, Runtime
from dora_bot.stop_signals import StopSignals
from dora_bot.views import View

LOOK_S = 0.05
INTEND = "Executor._intend"
OURS = str(Path(bootstrap.__file__).parent)


class InjectedError(Exception):
    """What nobody expected."""


class Injection:
    """One fault in one thread, by the interpreter's own tracing: production code has no place for it."""

    def __init__(self, thread: str, how: str, trigger: Path) -> None:
        self.thread, self.how, self.trigger = thread, how, trigger
        self.due = threading.Event()
        threading.Thread(target=self.look, name="injection", daemon=True).start()
        if how == "freeze":
            self.freeze()
        else:
            threading.settrace(self.trace)
            if thread == "MainThread":
                sys.settrace(self.trace)

    def look(self) -> None:
        while not self.trigger.exists():
            threading.Event().wait(LOOK_S)
        if self.how == "freeze":
            self.strike()
        self.due.set()

    def strike(self) -> None:
        self.trigger.with_suffix(".struck").touch()

    def trace(self, frame: FrameType, _event: str, _arg: object) -> None:
        """Called at every function call of a traced thread; other threads stop being traced at their first."""
        if threading.current_thread().name != self.thread:
            sys.settrace(None)
        elif self.due.is_set() and self.is_the_place(frame):
            sys.settrace(None)
            self.strike()
            if self.how == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
                return
            if self.how == "raise":
                raise InjectedError("nobody expected this")
            if self.how == "exit":
                raise SystemExit
            threading.Event().wait()

    def is_the_place(self, frame: FrameType) -> bool:
        if self.how == "stop":
            actions = frame.f_locals.get("actions", ()) if frame.f_code.co_qualname == INTEND else ()
            return any(isinstance(action, Place | Amend) for action in actions)
        return frame.f_code.co_filename.startswith(OURS)

    def freeze(self) -> None:
        """The risk thread goes on, and sees nothing new."""
        assemble = bootstrap.assemble

        def frozen(base: bootstrap.Base, options: RunOptions, signals: StopSignals) -> Runtime:
            runtime = assemble(base, options, signals)
            risk = runtime.parts.risk
            live = risk.published
            seen: list[View | None] = []

            def published() -> View | None:
                if not self.due.is_set() or not seen:
                    seen[:] = [live()]
                return seen[0]

            risk.published = published
            return runtime

        bootstrap.assemble = frozen


if __name__ == "__main__":
    name, way, file, *rest = sys.argv[1:]
    Injection(name, way, Path(file))
    sys.exit(main(rest))
