"""Faults that a test arms over the admin port, and the matching that decides which operation they hit.

Matching is by logical operation (method, path, ticker, side, ids), never by position in a byte stream, so
that removing one fault does not move the others. Each kind draws from its own seeded stream.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

HTTP_KINDS = frozenset({"http.delay", "http.drop_reply", "http.status"})
WS_KINDS = frozenset({"ws.gap", "ws.close"})
KINDS = HTTP_KINDS | WS_KINDS

BEFORE = "before_apply"
AFTER = "after_apply"

_MATCH_NAMES = frozenset(
    {"method", "path", "ticker", "side", "order_id", "client_order_id", "key_id", "channel", "sid"}
)
_WHEN_NAMES = frozenset({"nth", "every", "prob", "count"})
_PARAM_NAMES = {
    "http.delay": frozenset({"phase", "ms", "jitter_ms"}),
    "http.drop_reply": frozenset({"phase", "how"}),
    "http.status": frozenset({"phase", "code", "shape", "error"}),
    "ws.gap": frozenset({"n"}),
    "ws.close": frozenset({"code", "after_ms"}),
}


class FaultRefused(ValueError):  # noqa: N818  (an answer to the admin client)
    """The fault's description names something that does not exist."""


Operation = Mapping[str, frozenset[str]]
"""What an operation is about: for each name of `match`, the values it has (a batch has several)."""


@dataclass(slots=True)
class Fault:
    """One armed fault; ``seen`` counts matching operations, ``hits`` those it struck."""

    fault_id: str
    kind: str
    match: Mapping[str, str]
    params: Mapping[str, Any]
    when: Mapping[str, Any]
    seen: int = 0
    hits: int = 0

    def matches(self, operation: Operation) -> bool:
        return all(
            any(fnmatchcase(value, pattern) for value in operation.get(name, frozenset()))
            for name, pattern in self.match.items()
        )

    def strikes(self, draw: random.Random) -> bool:
        """Whether this occurrence (already counted in ``seen``) is one to strike."""
        when = self.when
        if self.hits >= int(when.get("count", self.hits + 1)):
            return False
        if "nth" in when and self.seen != int(when["nth"]):
            return False
        if "every" in when and self.seen % int(when["every"]):
            return False
        return "prob" not in when or draw.random() < float(when["prob"])

    def body(self) -> dict[str, Any]:
        return {
            "fault_id": self.fault_id,
            "kind": self.kind,
            "match": dict(self.match),
            "params": dict(self.params),
            "when": dict(self.when),
            "seen": self.seen,
            "hits": self.hits,
        }


@dataclass
class FaultBox:
    """The armed faults, in the order they were armed."""

    seed: int
    _faults: dict[str, Fault] = field(default_factory=dict)
    _streams: dict[str, random.Random] = field(default_factory=dict)
    _count: int = 0

    def arm(self, request: Mapping[str, Any]) -> Fault:
        """Arm ``{"kind","match"?,"params"?,"when"?}``. Raises `FaultRefused` naming what is wrong."""
        kind = request.get("kind")
        if kind not in KINDS:
            raise FaultRefused(f"unknown kind {kind!r}; there are: {', '.join(sorted(KINDS))}")
        parts = {name: request.get(name) or {} for name in ("match", "params", "when")}
        allowed = {"match": _MATCH_NAMES, "params": _PARAM_NAMES[kind], "when": _WHEN_NAMES}
        for name, part in parts.items():
            if not isinstance(part, dict) or set(part) - allowed[name]:
                raise FaultRefused(f"{name} of {kind} may hold: {', '.join(sorted(allowed[name]))}")
        phase = parts["params"].get("phase", BEFORE)
        if phase not in (BEFORE, AFTER):
            raise FaultRefused(f"phase is {BEFORE} or {AFTER}")
        self._count += 1
        match = {name: str(value) for name, value in parts["match"].items()}
        fault = Fault(f"f{self._count}", kind, match, parts["params"], parts["when"])
        self._faults[fault.fault_id] = fault
        return fault

    def disarm(self, fault_id: str | None = None) -> None:
        """Remove one fault or all of them. Raises KeyError for an id that is not armed."""
        if fault_id is None:
            self._faults.clear()
        else:
            del self._faults[fault_id]

    def bodies(self) -> list[dict[str, Any]]:
        return [fault.body() for fault in self._faults.values()]

    def strike(self, kind: str, operation: Operation, phase: str | None = None) -> Fault | None:
        """Count this operation against every fault of the kind (and phase); the first that strikes, if any."""
        struck = None
        for fault in self._faults.values():
            if fault.kind != kind or (phase and fault.params.get("phase", BEFORE) != phase):
                continue
            if not fault.matches(operation):
                continue
            fault.seen += 1
            if struck is None and fault.strikes(self._stream(kind)):
                fault.hits += 1
                struck = fault
        return struck

    def __bool__(self) -> bool:
        return bool(self._faults)

    def _stream(self, kind: str) -> random.Random:
        return self._streams.setdefault(kind, random.Random(f"{self.seed}/{kind}"))
