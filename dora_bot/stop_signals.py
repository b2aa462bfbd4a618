"""SIGINT, SIGTERM and SIGHUP as a request that is looked at, not an interruption.

It is in place before the bot's parts are even imported, so that a signal during start-up ends as every other does:
nothing more is quoted, what rests (also from a life before) is cancelled, everything is saved.
"""

import signal
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """A context manager; ``received`` is the name of the first signal, empty until there is one."""

    def __init__(self) -> None:
        self.received = ""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name
