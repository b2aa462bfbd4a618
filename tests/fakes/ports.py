"""One small stand-in for each port that has no world of its own behind it; `fakes.exchange` is the big one."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dora_bot.errors import InvariantViolation, StoreError
from dora_bot.events import BookDelta, BookLost, HaltsChanged
from dora_bot.models import (
    Action,
    Halt,
    Hold,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
)
from dora_bot.records import FillRow, Row, SettlementRow


class ListInbox:
    """`ports.Inbox` on one thread: waiting passes the clock's time, and what falls due meanwhile arrives."""

    def __init__(self, sleep: Callable[[float], None], capacity: int = 1_000) -> None:
        self.events: list[object] = []
        self.waits: list[float] = []
        self.during_wait: deque[list[object]] = deque()
        self._sleep = sleep
        self._capacity = capacity

    def post(self, event: object) -> None:
        self.events.append(event)
        if len(self.events) > self._capacity:
            lost = BookLost((), "inbox overflow")
            kept = [e for e in self.events if not isinstance(e, BookDelta) and e != lost]
            self.events = [*kept, lost]

    def drain(self) -> list[object]:
        events, self.events = self.events, []
        return events

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if self.events:
            return True
        if self.during_wait:
            self.events += self.during_wait.popleft()
            self._sleep(min(seconds, 0.005))
        else:
            self._sleep(seconds)
        return bool(self.events)


@dataclass
class FakeFeed:
    """`ports.Feed`: remembers what it was asked for."""

    watched: frozenset[str] = frozenset()
    resynced: list[frozenset[str]] = field(default_factory=list)

    def watch(self, tickers: frozenset[str]) -> None:
        self.watched = tickers

    def resync(self, tickers: frozenset[str]) -> None:
        self.resynced.append(tickers)


class MemoryJournal:
    """`ports.Journal` in memory. ``broken`` names the methods that fail as a full disk makes them fail."""

    def __init__(self, broken: Iterable[str] = ()) -> None:
        self.broken = set(broken)
        self.log: list[tuple[str, object]] = []
        self.open_intents: dict[tuple[str, str], Action] = {}
        self.rows: list[Row] = []
        self._refused: list[Row] = []
        self._booked: set[tuple[str, str]] = set()

    def intend(self, actions: Sequence[Action], now: Instant) -> None:
        self._work("intend")
        for action in actions:
            self.open_intents[_key(action)] = action
        self.log.append(("intend", tuple(actions)))

    def settle(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        self._work("settle")
        for outcome in outcomes:
            if outcome.kind is not OutcomeKind.UNKNOWN:
                self.open_intents.pop(_key(outcome.action), None)
        self.log.append(("settle", tuple(outcomes)))

    def record(self, rows: Sequence[Row]) -> None:
        self._refused += rows
        self._work("record")
        waiting, self._refused = self._refused, []
        keys = [_booking(row) for row in waiting if isinstance(row, FillRow | SettlementRow)]
        if len(set(keys)) < len(keys) or self._booked & set(keys):
            raise InvariantViolation(f"booked twice, one of {keys}")
        self._booked |= set(keys)
        self.rows += waiting

    def unresolved(self) -> list[Action]:
        return list(self.open_intents.values())

    def recorded(self) -> list[Row]:
        return list(self.rows)

    def _work(self, what: str) -> None:
        if what in self.broken:
            raise StoreError(f"{what}: disk full")


def _key(action: Action) -> tuple[str, str]:
    return type(action).__name__, action.client_order_id if isinstance(action, Place) else action.order_id


def _booking(row: FillRow | SettlementRow) -> tuple[str, str]:
    return row.fill.key if isinstance(row, FillRow) else ("settled", row.settlement.ticker)


class MemoryLatch:
    """`ports.HaltLatch` in memory, with the operator's ``resume``."""

    def __init__(self) -> None:
        self.halts: dict[str, Halt] = {}
        self.raised = 0
        self.resumed_ms = 0

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
        if all(h.reason != reason for h in self.halts.values()):
            self.raised += 1
            halt_id = f"H{self.raised}"
            self.halts[halt_id] = Halt(halt_id, reason, now.exchange_ms, raised_by, evidence, hold, scope)
        return self.read()

    def resume(self, halt_id: str, by: str, now: Instant) -> HaltsChanged:
        if self.halts.pop(halt_id).hold is Hold.HALTED:
            self.resumed_ms = now.exchange_ms
        return self.read()

    def read(self) -> HaltsChanged:
        return HaltsChanged(tuple(self.halts.values()), self.resumed_ms)


@dataclass
class ScriptedGate:
    """`ports.Gate`: open unless ``reason`` or ``lease`` says otherwise; ``reasons`` answer the next questions first."""

    reason: str = ""
    lease: str = ""
    reasons: deque[str] = field(default_factory=deque)
    asked: int = 0

    def refusal(self, now: Instant) -> str:
        self.asked += 1
        return self.reasons.popleft() if self.reasons else self.reason or self.lease

    def no_quotes(self, now: Instant) -> str:
        return self.lease


@dataclass
class ListTelemetry:
    """`ports.Telemetry` that keeps every report."""

    reports: list[object] = field(default_factory=list)

    def emit(self, report: object) -> None:
        self.reports.append(report)
