"""The way from the local journal to DynamoDB: `Drain.step` is the body of the drain thread.

A fill or settlement is one transaction: its row if absent, the position if it has the version before, and
nothing unless the lease is ours. So it is booked exactly once whatever is retried, and never by an instance
that lost its lease. What cannot be written stays in the journal, in order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from dora_bot.dynamo import Condition, ConditionFailed, Dynamo
from dora_bot.errors import InvariantViolation, LeaseLost, StoreError
from dora_bot.events import HaltsChanged
from dora_bot.items import (
    DECISION_LOG,
    STATE,
    TRADE_LOG,
    Item,
    decision_items,
    fill_item,
    order_item,
    position_item,
    settled_position_item,
    settlement_item,
)
from dora_bot.journal import QueuedRow, SqliteJournal
from dora_bot.lease import Grip
from dora_bot.models import Halt, Instant
from dora_bot.ports import Clock
from dora_bot.records import (
    DecisionRow,
    FillRow,
    OrderRow,
    SettlementRow,
)
from dora_bot.state_store import HaltMark, Published, StateStore
from dora_bot.valuation import utc_date

_CHUNK = 100
_DECISIONS = 2_000
_RETRY_S = 0.2
_MINUTE_MS = 60_000
_AGAIN_MS = 5_000
"""When what is due once a minute is tried again after it failed."""
HALTS_MS = 3_000
"""How often halts are looked for that others wrote into DynamoDB."""
_KEEP_BOOKED_MS = 7 * 86_400_000
_KEEP_INTENTS_MS = 86_400_000
"""Every order expires within a minute, so what was sent a day ago and never resolved is not resting any more."""

_ABSENT = Condition("attribute_not_exists(#h)", {"#h": TRADE_LOG.hash_key})
_CONDITION_FAILED = "ConditionalCheckFailed"


@dataclass(frozen=True, slots=True)
class DrainReport:
    """``moved`` rows went to DynamoDB, ``backlog`` wait; ``error`` says why it stopped, empty if it did not."""

    moved: int
    backlog: int
    error: str = ""


class Drain:
    """Belongs to one thread. ``grip`` gives the lease or raises `LeaseLost`.

    ``published`` and ``halts`` give what to publish; until they are set nothing is, as before the first tick.
    ``take_halts`` is given the halts that stand in DynamoDB, whoever wrote them there, and returns those in force.
    """

    def __init__(self, journal: SqliteJournal, db: Dynamo, grip: Callable[[], Grip]) -> None:
        self.published: Callable[[], Published] | None = None
        self.halts: Callable[[], tuple[Halt, ...]] | None = None
        self.take_halts: Callable[[tuple[Halt, ...], Instant], HaltsChanged] | None = None
        self._journal = journal
        self._db = db
        self._state = StateStore(db)
        self._grip = grip
        self._minute_due_ms = 0
        self._told_day = ""
        self._told_halts: tuple[Halt, ...] | None = None
        self._halts_due_ms = 0
        self._halt_mark: HaltMark | None = None

    def step(self, now: Instant) -> DrainReport:
        """Move what waits, tell new halts; once a minute also move decisions and publish.

        What failed and will be tried again is in the report. Raises `LeaseLost`, `InvariantViolation` (what is
        stored is not what this bot believes), and `StoreError` if the journal itself cannot be used.
        """
        moved = 0
        error = ""
        try:
            self._look_for_halts(now)
        except StoreError as failed:  # an item damaged by hand must not keep the bookings from being moved
            error = str(failed)
        try:
            self._tell_halts()
            while chunk := self._journal.pending(_CHUNK):
                moved += self._move(chunk)
            if now.mono_ms >= self._minute_due_ms or self._new_day(now):
                moved += self._minute(now)
        except StoreError as failed:
            error = str(failed)
        self._journal.checkpoint()  # also while DynamoDB is away: the log would grow with every tick
        return DrainReport(moved, self._journal.backlog(), error)

    def flush(self, clock: Clock, within_ms: int) -> DrainReport:
        """Move everything, decisions and the published picture included, or give up after ``within_ms``."""
        deadline = clock.now().mono_ms + within_ms
        self._minute_due_ms = 0
        report = self.step(clock.now())
        while report.error and clock.now().mono_ms < deadline:
            clock.sleep(_RETRY_S)
            report = self.step(clock.now())
        return report

    # ── rows in recording order ─────────────────────────────────────────────────────────────────

    def _move(self, chunk: Sequence[QueuedRow]) -> int:
        moved = 0
        for is_order, group in groupby(chunk, key=lambda queued: isinstance(queued.row, OrderRow)):
            run = list(group)
            if is_order:
                self._db.batch_put(TRADE_LOG, [order_item(q.row) for q in run if isinstance(q.row, OrderRow)])
                self._journal.mark_drained([queued.seq for queued in run])
            else:
                for queued in run:
                    self._book(queued)
            moved += len(run)
        return moved

    def _book(self, queued: QueuedRow) -> None:
        if isinstance(queued.row, FillRow):
            trade, position = fill_item(queued.row), position_item(queued.row.position)
        elif isinstance(queued.row, SettlementRow):
            trade, position = settlement_item(queued.row), settled_position_item(queued.row)
        else:
            raise InvariantViolation(f"row {queued.seq} of the journal is neither an order nor money")
        grip = self._grip()
        actions = [
            self._db.put_action(TRADE_LOG, trade, _ABSENT),
            self._db.put_action(STATE, position, _succeeds(position)),
            self._db.check_action(STATE, {"key": grip.key}, grip.condition),
        ]
        try:
            self._db.transact(actions)
        except ConditionFailed as failed:
            self._explain(failed, trade, position)
        self._journal.mark_drained([queued.seq])

    def _explain(self, failed: ConditionFailed, trade: Item, position: Item) -> None:
        """Returns if the row is there already: an earlier attempt was applied and its reply lost. Else raises."""
        key = {name: trade[name] for name in (TRADE_LOG.hash_key, TRADE_LOG.range_key)}
        there = self._db.get(TRADE_LOG, key)
        if there == trade:
            return
        if there:
            raise InvariantViolation(
                f"booked otherwise already: {key}: {_difference(there, trade)}"
            ) from failed
        if failed.reasons[-1:] == (_CONDITION_FAILED,):
            raise LeaseLost("the lease is in other hands: a fill was not written") from failed
        stored = self._db.get(STATE, {"key": position["key"]})
        raise InvariantViolation(
            f"{position['key']} is stored with version {stored.get('version', 0)}, "
            f"the next row would make it {position['version']}"
        ) from failed

    # ── now and then ────────────────────────────────────────────────────────────────────────────

    def _look_for_halts(self, now: Instant) -> None:
        """A halt set in the console, or by a command on another machine or in another directory, holds here too."""
        if self.take_halts is None or now.mono_ms < self._halts_due_ms:
            return
        self._halts_due_ms = now.mono_ms + HALTS_MS
        risk = self._state.risk_state()
        found, self._halt_mark = risk.halts, risk.halt_mark
        if self.take_halts(found, now).halts != found:
            self._told_halts = None

    def _tell_halts(self) -> None:
        """At once, not once a minute: a new host must find the halt."""
        if self.halts is None or (halts := self.halts()) == self._told_halts:
            return
        if self.take_halts is not None and self._halt_mark is None:
            return  # not seen yet what stands there: it may be a halt that was set by hand
        try:
            self._halt_mark = self._state.set_halts(halts, self._halt_mark)
        except ConditionFailed:
            # Somebody else wrote there since we looked: the next step looks again before it tells.
            self._halts_due_ms = 0
            return
        self._told_halts = halts

    def _minute(self, now: Instant) -> int:
        self._minute_due_ms = now.mono_ms + _AGAIN_MS
        moved = self._decisions()
        if self.published is not None:
            told = self.published()
            self._state.publish(told)
            self._told_day = utc_date(told.time_ms)
        self._journal.prune(now.exchange_ms - _KEEP_BOOKED_MS, now.exchange_ms - _KEEP_INTENTS_MS)
        self._minute_due_ms = now.mono_ms + _MINUTE_MS
        return moved

    def _new_day(self, now: Instant) -> bool:
        """What a day began with is written at once: a crash would begin it anew."""
        return bool(self._told_day) and utc_date(now.exchange_ms) != self._told_day

    def _decisions(self) -> int:
        moved = 0
        while waiting := self._journal.pending_decisions(_DECISIONS):
            rows = [queued.row for queued in waiting if isinstance(queued.row, DecisionRow)]
            self._db.batch_put(DECISION_LOG, decision_items(rows))
            self._journal.mark_drained([queued.seq for queued in waiting])
            moved += len(waiting)
        return moved


def _succeeds(position: Item) -> Condition:
    """The stored position has exactly the version before, or there is none yet."""
    before = Decimal(position["version"]) - 1
    if before == 0:
        return Condition("attribute_not_exists(#k)", {"#k": STATE.hash_key})
    return Condition("#v = :before", {"#v": "version"}, {":before": before})


def _difference(there: Item, ours: Item) -> str:
    names = sorted(name for name in there.keys() | ours.keys() if there.get(name) != ours.get(name))
    return ", ".join(f"{name} {there.get(name)} there, {ours.get(name)} here" for name in names)
