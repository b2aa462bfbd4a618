"""The halt latch: an append-only file in the state directory, so that a halt outlives the process and the database.

Each line is one JSON object: a halt (also a milder one: a pause, or reducing only, of everything or of one market or
event), the acknowledgement or the resumption of one by its id, or a cancel-all that was sent. Every line is synced before it counts. The operator's commands write the
same file, whether the bot runs or not; a lock on it keeps two writers from giving out one id twice.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from dora_bot.errors import StoreError
from dora_bot.events import HaltsChanged
from dora_bot.models import Halt, Hold, Instant

_LOCK_TRIES, _LOCK_PAUSE_S = 100, 0.01
"""A writer holds the lock for one sync; one that is stopped in the middle must not stop the bot with it."""

IN_MEMORY = "M"
"""What the id of a halt begins with that the disk refused: it is in force in one process only."""

_Line = dict[str, Any]


class HaltFile:
    """Implements `ports.HaltLatch`. Every thread and process may have its own instance on the same path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._unwritten: dict[str, Halt] = {}
        self.refusal = ""
        """Why the disk did not take the last halt that it did not take; such a halt ends with this process."""

    def read(self) -> HaltsChanged:
        """The halts in force. Raises `StoreError` for a file that cannot be read: nobody may trade then."""
        return self._in_force(self._lines())

    def _in_force(self, lines: Iterable[_Line]) -> HaltsChanged:
        halts: dict[str, Halt] = {}
        resumed_ms = emptied_ms = 0
        try:
            for line in lines:
                if line["kind"] == "halt":
                    halts[line["halt_id"]] = _halt(line)
                elif line["kind"] == "resume":
                    ended = halts.pop(line["halt_id"], None)
                    if ended is not None and ended.hold is Hold.HALTED:
                        resumed_ms = line["at_ms"]
                elif line["kind"] == "acknowledge":
                    if line["halt_id"] in halts:
                        seen = f"{line['by']} at {line['at']}"
                        halts[line["halt_id"]] = replace(halts[line["halt_id"]], acknowledged=seen)
                elif line["kind"] == "cancel_all":
                    emptied_ms = line["at_ms"]
                else:
                    raise StoreError(f"halt file {self._path}: a line of unknown kind {line['kind']!r}")
        except (KeyError, TypeError) as error:
            raise StoreError(f"halt file {self._path} cannot be read: {error!r}") from error
        return HaltsChanged((*halts.values(), *self._unwritten.values()), resumed_ms, emptied_ms)

    def latch(
        self,
        reason: str,
        raised_by: str,
        evidence: str,
        now: Instant,
        *,
        hold: Hold = Hold.HALTED,
        scope: str = "",
    ) -> HaltsChanged:
        """A halt counts even where the disk refuses it; it then ends with this process only."""
        with self._lock:
            try:
                in_force = self.read()
                if any(h.reason == reason for h in in_force.halts):
                    return in_force
            except StoreError as error:
                self.refusal = str(error)
        # Without a time, so that it is new whatever the file says of earlier ones.
        return self.take([Halt("", reason, 0, raised_by, evidence, hold, scope)], now)

    def take(self, halts: Iterable[Halt], now: Instant) -> HaltsChanged:
        """Write down halts that were raised elsewhere, or anew: each once, so that what was resumed here stays so.

        They get ids of this file; one of a reason in force renews it. One without a time (as set by hand in the
        console) is of now, and counts unless its reason is in force. What the disk refuses counts as in `latch`.
        """
        with self._lock:
            told = tuple(halts)
            if not told:
                return self.read()
            try:
                with self._writing() as file:
                    self._append_new(file, told, now)
                return self.read()
            except StoreError as error:
                return self._kept_in_memory(told, error, now)

    def _append_new(self, file: IO[str], halts: Iterable[Halt], now: Instant) -> None:
        lines = self._lines()
        for halt in halts:
            in_force = {h.reason: h.halt_id for h in self._in_force(lines).halts}
            raised = [_identity(_halt(line)) for line in lines if line["kind"] == "halt"]
            if _identity(halt) in raised or (not halt.raised_ms and halt.reason in in_force):
                continue
            name = in_force.get(halt.reason, f"H{len(raised) + 1}")
            told = replace(halt, halt_id=name, raised_ms=halt.raised_ms or now.exchange_ms)
            line: _Line = {"kind": "halt", **asdict(told)}
            self._append(file, line)
            lines.append(line)

    def _kept_in_memory(self, halts: Iterable[Halt], error: StoreError, now: Instant) -> HaltsChanged:
        self.refusal = str(error)
        for halt in halts:
            name = f"{IN_MEMORY}{len(self._unwritten) + 1}"
            evidence = f"{halt.evidence} (not on disk: {error})"
            told = replace(halt, halt_id=name, raised_ms=halt.raised_ms or now.exchange_ms, evidence=evidence)
            self._unwritten.setdefault(halt.reason, told)
        return HaltsChanged(tuple(self._unwritten.values()))

    def acknowledge(self, halt_id: str, by: str, at: str) -> HaltsChanged:
        """Somebody has seen it; it stays in force. ``at`` is a time in words. Raises as `resume`."""
        return self._about(halt_id, {"kind": "acknowledge", "by": by, "at": at})

    def resume(self, halt_id: str, by: str, now: Instant) -> HaltsChanged:
        """End one halt. Raises `KeyError` if no such halt is in force, `StoreError` if the disk refuses."""
        return self._about(halt_id, {"kind": "resume", "by": by, "at_ms": now.exchange_ms})

    def _about(self, halt_id: str, line: _Line) -> HaltsChanged:
        with self._lock, self._writing() as file:
            if halt_id not in {h.halt_id for h in self.read().halts}:
                raise KeyError(halt_id)
            self._append(file, {**line, "halt_id": halt_id})
            return self.read()

    def emptied(self, now: Instant) -> HaltsChanged:
        """A cancel-all was sent: nothing may be placed for a minute (FAULTS B15). Raises `StoreError`."""
        with self._lock, self._writing() as file:
            self._append(file, {"kind": "cancel_all", "at_ms": now.exchange_ms})
            return self.read()

    @contextmanager
    def _writing(self) -> Iterator[IO[str]]:
        """The file, open for appending and locked against other processes. Raises `StoreError`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"halt file {self._path} cannot be written: {error}") from error
        with file:
            for _ in range(_LOCK_TRIES):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    self._pause.wait(_LOCK_PAUSE_S)
            else:
                raise StoreError(f"halt file {self._path} cannot be written: another process holds its lock")
            yield file

    def _lines(self) -> list[_Line]:
        try:
            text = self._path.read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StoreError(f"halt file {self._path} cannot be read: {error}") from error

    def _append(self, file: IO[str], line: _Line) -> None:
        try:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"halt file {self._path} cannot be written: {error}") from error


def _identity(halt: Halt) -> tuple[str, str, int]:
    """What a halt is known by on every machine; ids are those of a file."""
    return halt.reason, halt.raised_by, halt.raised_ms


def _halt(line: _Line) -> Halt:
    return Halt(
        line["halt_id"],
        line["reason"],
        line["raised_ms"],
        line["raised_by"],
        line.get("evidence", ""),
        Hold(line.get("hold", Hold.HALTED)),
        line.get("scope", ""),
    )
