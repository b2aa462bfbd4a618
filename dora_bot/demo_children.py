"""The programs a demo consists of, as child processes that never outlive it.

Each child writes its stdout and stderr into files, so that no pipe can fill up and block it, and so that the
logs are there when something fails. Children run in sessions of their own: Ctrl-C reaches the demo alone,
which then stops them in the right order.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dora_bot.errors import DoraError
from dora_bot.ports import Clock

_POLL_S = 0.02


class Stopped(DoraError):  # noqa: N818  (named for the fact: the person asked to stop)
    """Somebody asked the demo to stop while it was waiting for something."""


@dataclass(frozen=True, slots=True)
class Child:
    """One running ``dora …`` program and its log files."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @classmethod
    def start(cls, name: str, arguments: Sequence[str], environ: Mapping[str, str], folder: Path) -> "Child":
        out, err = folder / f"{name}.out", folder / f"{name}.log"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603  (our own interpreter and module, no shell)
                [sys.executable, "-m", "dora_bot.cli", *arguments],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return cls(name, process, out, err)

    def first_record(self, clock: Clock, seconds: float, stopping: Callable[[], bool]) -> dict[str, Any]:
        """The JSON object of its first line. Raises `DoraError` if it ends or says nothing in time."""
        give_up = clock.now().mono_ms + int(seconds * 1000)
        while True:
            line, newline, _ = self.out.read_bytes().partition(b"\n")
            if newline:
                record: dict[str, Any] = json.loads(line)
                return record
            if stopping():
                raise Stopped("stopped before the bot started: nothing was traded")
            if self.process.poll() is not None:
                raise DoraError(
                    f"dora {self.name} ended with code {self.process.returncode}: {self.last_words()}"
                )
            if clock.now().mono_ms > give_up:
                raise DoraError(f"dora {self.name} did not start within {seconds:.0f} s: {self.last_words()}")
            clock.sleep(_POLL_S)

    def last_words(self) -> str:
        lines = self.err.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), f"see {self.err}")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        if self.running:
            self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float) -> int:
        """SIGTERM, and SIGKILL when it is still there after ``seconds``. Returns its exit code."""
        self.ask_to_stop()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a child inherits: our environment without any ``DORA_*`` or ``AWS_*`` of the person's own account."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DORA_", "AWS_"))}
    return {**inherited, **extra}
