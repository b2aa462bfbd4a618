"""What systemd does with infra/systemd/dora.service, as far as a test needs it: the unit file is read, the bot is real.

Starts it with a notify socket, waits for READY, kills it when the watchdog starves, runs ExecStopPost however it ended,
restarts it after RestartSec where Restart says so, and gives up at the start limit.
"""

import signal
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.e2e.rig import ROOT, Bot, Rig

UNIT = ROOT / "infra" / "systemd" / "dora.service"
DORA = "/opt/dora/.venv/bin/dora"


@dataclass(frozen=True)
class Unit:
    """The settings of a unit file, by section and name; a name may have several values."""

    values: Mapping[tuple[str, str], list[str]]

    @classmethod
    def read(cls, path: Path = UNIT) -> Self:
        values: dict[tuple[str, str], list[str]] = defaultdict(list)
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                values[section, name].append(value)
        return cls(values)

    def text(self, name: str, section: str = "Service") -> str:
        (value,) = self.values[section, name]
        return value

    def number(self, name: str, section: str = "Service") -> int:
        return int(self.text(name, section))

    def command(self, name: str) -> list[str]:
        """The arguments of the program, which must be the installed ``dora``."""
        program, *arguments = self.text(name).split()
        assert program == DORA
        return ["-m", "dora_bot.cli", *arguments]

    @property
    def never_again(self) -> set[int]:
        return {int(code) for code in self.text("RestartPreventExitStatus").split()}


@dataclass
class Supervisor:
    """A context manager: the service runs from its entry to its exit, or until the unit says that it has failed.

    ``command`` replaces ExecStart's. ``told`` is what happened, oldest first: (seconds of the monotonic clock, what).
    """

    rig: Rig
    unit: Unit = field(default_factory=Unit.read)
    command: list[str] | None = None
    told: list[tuple[float, str]] = field(default_factory=list)
    bot: Bot | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _starts: list[float] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, name="supervisor")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(self.unit.number("TimeoutStopSec") * 2)

    def count(self, what: str) -> int:
        return sum(said.startswith(what) for _, said in self.told)

    def at(self, what: str) -> float:
        """When it last happened."""
        return next(at for at, said in reversed(self.told) if said.startswith(what))

    # ── the service's life ──────────────────────────────────────────────────────────────────────

    def _serve(self) -> None:
        while self._may_start():
            code = self._live()
            self._after(code)
            if self._stop.is_set() or code == 0:
                self._say("inactive")
                return
            if code in self.unit.never_again:
                self._say("failed: exit-code")
                return
            self._stop.wait(self.unit.number("RestartSec"))
        self._say("failed: start-limit-hit")

    def _may_start(self) -> bool:
        now = time.monotonic()
        window = self.unit.number("StartLimitIntervalSec", "Unit")
        self._starts = [at for at in self._starts if now - at < window]
        if len(self._starts) >= self.unit.number("StartLimitBurst", "Unit"):
            return False
        self._starts.append(now)
        return True

    def _live(self) -> int:
        """One life of the main process. Returns its exit code, negative for a signal."""
        path = self.rig.folder / f"notify-{len(self.rig.bots)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(0.05)
            command = self.command or self.unit.command("ExecStart")
            self.bot = self.rig.launch(command, {"NOTIFY_SOCKET": str(path)})
            self._say("started")
            self._watch(self.bot, notify)
            return self.bot.process.wait()

    def _watch(self, bot: Bot, notify: socket.socket) -> None:
        """Returns when the process has ended, by itself or by what the unit orders."""
        phase, patience = "start", self.unit.number("TimeoutStartSec")
        deadline = time.monotonic() + patience
        while bot.alive:
            lines = _heard(notify)
            if "READY=1" in lines and phase == "start":
                phase, patience = "watchdog", self.unit.number("WatchdogSec")
                self._say("ready")
            if phase == "watchdog" and {"READY=1", "WATCHDOG=1"} & set(lines):
                deadline = time.monotonic() + patience
            if "STOPPING=1" in lines:
                self._say("stopping")
            if phase != "stop" and (self._stop.is_set() or "STOPPING=1" in lines):
                phase = "stop"
                deadline = time.monotonic() + self.unit.number("TimeoutStopSec")
                if self._stop.is_set():
                    bot.process.send_signal(signal.Signals[self.unit.text("KillSignal")])
            if time.monotonic() > deadline:
                self._say(phase)
                how = self.unit.text("WatchdogSignal") if phase == "watchdog" else "SIGKILL"
                bot.process.send_signal(signal.Signals[how])
                bot.process.wait()

    def _after(self, code: int) -> None:
        self._say(f"exited {code}")
        result = "success" if code == 0 else "exit-code" if code > 0 else "signal"
        done = self.rig.dora(*self.unit.command("ExecStopPost")[2:], SERVICE_RESULT=result)
        self._say(f"post {done.returncode}")

    def _say(self, what: str) -> None:
        self.told.append((time.monotonic(), what))


def _heard(notify: socket.socket) -> list[str]:
    try:
        return notify.recv(4_096).decode().splitlines()
    except TimeoutError:
        return []


def injected(thread: str, how: str, trigger: Path) -> list[str]:
    """The arguments of a bot in which a thread does something once ``trigger`` exists, see `tests.faults.injected`."""
    return ["-m", "tests.faults.injected", thread, how, str(trigger), "run"]


assert sys.platform == "linux", "units, notify sockets and signals of this kind"
