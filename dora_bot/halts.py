"""The halt latch: an append-only file in the state directory, so that a halt outlives the process and the database.

Each line is one JSON object: a halt (also a milder one: a pause, or reducing only, of everything or of one market or
event) or the resumption of one by its id. Every line is synced before it counts. The operator's commands write the
same file, whether the bot runs or not.
"""

import json
import os
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dora_bot.errors import StoreError
from dora_bot.events import HaltsChanged
from dora_bot.models import Halt, Hold, Instant


class HaltFile:
    """Implements `ports.HaltLatch`. Every thread and process may have its own instance on the same path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._unwritten: dict[str, Halt] = {}

    def read(self) -> HaltsChanged:
        """The halts in force. Raises `StoreError` for a file that cannot be read: nobody may trade then."""
        try:
            return self._in_force()
        except (KeyError, TypeError) as error:
            raise StoreError(f"halt file {self._path} cannot be read: {error!r}") from error

    def _in_force(self) -> HaltsChanged:
        halts: dict[str, Halt] = {}
        resumed_ms = 0
        for line in self._lines():
            kind = line["kind"]
            if kind == "halt":
                halts[line["halt_id"]] = Halt(
                    line["halt_id"],
                    line["reason"],
                    line["raised_ms"],
                    line["raised_by"],
                    line.get("evidence", ""),
                    Hold(line.get("hold", Hold.HALTED)),
                    line.get("scope", ""),
                )
            elif kind == "resume":
                ended = halts.pop(line["halt_id"], None)
                if ended is not None and ended.hold is Hold.HALTED:
                    resumed_ms = line["at_ms"]
            else:
                raise StoreError(f"halt file {self._path}: a line of unknown kind {kind!r}")
        return HaltsChanged((*halts.values(), *self._unwritten.values()), resumed_ms)

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
        halt = Halt("", reason, now.exchange_ms, raised_by, evidence, hold, scope)
        with self._lock:
            try:
                return self._latched(halt)
            except StoreError as error:
                name = f"M{len(self._unwritten) + 1}"
                told = replace(halt, halt_id=name, evidence=f"{evidence} (not on disk: {error})")
                self._unwritten.setdefault(reason, told)
                return HaltsChanged(tuple(self._unwritten.values()))

    def _latched(self, halt: Halt) -> HaltsChanged:
        in_force = self.read()
        if any(h.reason == halt.reason for h in in_force.halts):
            return in_force
        number = sum(line["kind"] == "halt" for line in self._lines()) + 1
        self._append({"kind": "halt", **asdict(halt), "halt_id": f"H{number}"})
        return self.read()

    def resume(self, halt_id: str, by: str, now: Instant) -> HaltsChanged:
        """End one halt. Raises `KeyError` if no such halt is in force."""
        with self._lock:
            if halt_id not in {h.halt_id for h in self.read().halts}:
                raise KeyError(halt_id)
            self._append({"kind": "resume", "halt_id": halt_id, "by": by, "at_ms": now.exchange_ms})
            return self.read()

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self._path.read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StoreError(f"halt file {self._path} cannot be read: {error}") from error

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"halt file {self._path} cannot be written: {error}") from error
