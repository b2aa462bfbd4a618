"""The armed faults, and the counting that decides which operations they strike.

Matching is by logical operation (method, path, ticker, side, ids), never by position in a byte stream, so
that removing one fault does not move the others. Each kind draws from its own seeded stream; a plan draws
from the seed and the operation's key.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dora_bot.paper.fault_kinds import AFTER, BEFORE, REPEATING, SELF, FaultRefused, Kind, check_fault
from dora_bot.paper.fault_plan import Plan

__all__ = ["AFTER", "BEFORE", "Fault", "FaultBox", "FaultRefused", "Operation"]

Operation = Mapping[str, frozenset[str]]
"""What an operation is about: for each name of `match`, the values it has (a batch has several)."""

PLANNED = "plan"
"""The id of what the plan strikes; there is one plan at a time."""


@dataclass(slots=True)
class Fault:
    """One armed fault; ``seen`` counts matching operations, ``hits`` those it struck."""

    fault_id: str
    kind: str
    match: Mapping[str, str]
    params: Mapping[str, Any]
    when: Mapping[str, Any]
    armed_ms: int = 0
    seen: int = 0
    hits: int = 0
    due_ms: int = 0
    """When a fault that strikes by itself is due next."""

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

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self.params.get(name, default))

    def whole(self, name: str, default: int = 0) -> int:
        return int(self.params.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        return str(self.params.get(name, default))

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


Undo = Callable[[], None]


@dataclass
class FaultBox:
    """The armed faults, in the order they were armed, and the plan.

    ``now_ms`` is the exchange's time and ``holds`` judges a condition on its truth; both serve ``when``.
    """

    seed: int
    now_ms: Callable[[], int] = lambda: 0
    holds: Callable[[str], bool] = lambda _: True
    plan: Plan | None = None
    _faults: dict[str, Fault] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)
    _undo: dict[str, list[Undo]] = field(default_factory=dict)
    _streams: dict[str, random.Random] = field(default_factory=dict)
    _count: int = 0

    def arm(self, request: Mapping[str, Any]) -> Fault:
        """Arm ``{"kind","match"?,"params"?,"when"?}``. Raises `FaultRefused` naming what is wrong."""
        strange = set(request) - {"kind", "match", "params", "when"}
        if strange:
            raise FaultRefused(f"unknown: {', '.join(sorted(strange))}")
        parts = {name: request.get(name) or {} for name in ("match", "params", "when")}
        kind = check_fault(request.get("kind"), parts)
        if "while" in parts["when"]:
            self.holds(parts["when"]["while"])
        before = parts["when"].get("after_fault", PLANNED)
        if before != PLANNED and before not in self._faults and before not in self._gone:
            raise FaultRefused(f"after_fault: there is and was no fault {before}")
        match = {name: str(value) for name, value in parts["match"].items()}
        params, when = parts["params"], parts["when"]
        match, when = _folded(kind, match, params, when)
        self._count += 1
        now_ms = self.now_ms()
        fault = Fault(f"f{self._count}", kind.name, match, params, when, now_ms, due_ms=now_ms)
        self._faults[fault.fault_id] = fault
        return fault

    def on_disarm(self, fault_id: str, undo: Undo) -> None:
        """Run ``undo`` when this fault is disarmed or over, the latest first."""
        self._undo.setdefault(fault_id, []).append(undo)

    def lapse(self, fault_id: str) -> None:
        """Undo what a fault holds in place, if it does; it stays armed."""
        for undo in reversed(self._undo.pop(fault_id, [])):
            undo()

    def disarm(self, fault_id: str | None = None) -> None:
        """Remove one fault, or all of them and the plan. Raises KeyError for an id that is not armed."""
        if fault_id is None:
            self.plan = None
        for one in [fault_id] if fault_id is not None else list(self._faults):
            self._gone[one] = self._faults.pop(one).hits
            self.lapse(one)

    def bodies(self) -> list[dict[str, Any]]:
        return [fault.body() for fault in self._faults.values()]

    def hits(self, fault_id: str = "") -> int:
        """How often a fault has struck, armed or not any more; of all faults without an id."""
        counts = {**self._gone, **{one: fault.hits for one, fault in self._faults.items()}}
        if self.plan is not None:
            counts[PLANNED] = len(self.plan.struck)
        return counts.get(fault_id, 0) if fault_id else sum(counts.values())

    def armed(self, *kinds: str) -> list[Fault]:
        return [fault for fault in self._faults.values() if fault.kind in kinds]

    def strike(
        self, kind: str, operation: Operation, phase: str | None = None, how: str = ""
    ) -> Fault | None:
        """Count this operation against every fault of the kind; the first that strikes, if any.

        Of kinds that have a ``phase``, or a ``how`` with different places to strike, only these.
        """
        struck = None
        for fault in self._faults.values():
            if fault.kind != kind or (phase and fault.params.get("phase", BEFORE) != phase):
                continue
            if how and fault.params.get("how") != how:
                continue
            if fault.matches(operation) and self.due(fault) and struck is None:
                struck = fault
        if struck is None and self.plan is not None:
            struck = self._planned(self.plan, kind, operation, phase)
        return struck

    def due(self, fault: Fault) -> bool:
        """Count one occurrence of a fault; whether it strikes."""
        if not self.is_open(fault):
            return False
        fault.seen += 1
        if not fault.strikes(self._stream(fault.kind)):
            return False
        fault.hits += 1
        return True

    def is_open(self, fault: Fault) -> bool:
        """Whether ``from_ms``, ``until_ms`` (from arming), ``after_fault`` and ``while`` let it count."""
        when = fault.when
        if self.now_ms() - fault.armed_ms < int(when.get("from_ms", 0)) or self.is_over(fault):
            return False
        if "after_fault" in when and not self.hits(when["after_fault"]):
            return False
        return "while" not in when or self.holds(when["while"])

    def is_over(self, fault: Fault) -> bool:
        """Whether its ``until_ms`` has passed."""
        until_ms = fault.when.get("until_ms")
        return until_ms is not None and self.now_ms() - fault.armed_ms >= int(until_ms)

    def _planned(self, plan: Plan, kind: str, operation: Operation, phase: str | None) -> Fault | None:
        """What the plan holds for this operation, if it is a point of the plan's."""
        params = plan.strike(kind, operation.get("key", frozenset()), phase, self.now_ms())
        return None if params is None else Fault(PLANNED, kind, {}, params, {}, hits=1)

    def __bool__(self) -> bool:
        return bool(self._faults) or self.plan is not None

    def stream(self, name: str) -> random.Random:
        """The seeded stream of a purpose, such as a kind's sizes or times."""
        return self._stream(name)

    def _stream(self, kind: str) -> random.Random:
        return self._streams.setdefault(kind, random.Random(f"{self.seed}/{kind}"))


def _folded(
    kind: Kind, match: dict[str, str], params: Mapping[str, Any], when: dict[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Parameters that say which operations or when are ``match`` and ``when`` by another name."""
    if "surface" in kind.checks and "surface" in params:
        match = {"surface": params["surface"], **match}
    if kind.name == "rate.deny":
        match = {**({"bucket": params["bucket"]} if "bucket" in params else {}), **match}
        when = {
            **({"until_ms": params["for_ms"]} if "for_ms" in params else {}),
            **({"prob": params["share"]} if "share" in params else {}),
            **when,
        }
    if kind.strikes == SELF and kind.name not in REPEATING:
        when = {"count": 1, **when}
    return match, when
