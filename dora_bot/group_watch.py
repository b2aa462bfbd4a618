"""What the tick knows of our order groups: which shard has one, which were triggered since when, and who did that.

The exchange triggers a group when its limit was matched, our kill path under a stop. Whoever else does it wants this bot
to stand still: the watchdog on another machine, or a person. That must not end by itself after a cool-down.
"""

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass

from dora_bot.events import GroupsChanged, GroupSeen
from dora_bot.models import Instant, Outcome, OutcomeKind, Place
from dora_bot.units import count_text

WINDOW_MS = 15_000
"""The exchange counts what was matched within this time."""
SLACK_MS = 1_000
"""How far a fill's time may be from the moment at which the exchange counted it."""
GRACE_MS = 15_000
"""So long a fill may take to be heard of: three reads of the account."""
SWEPT_MS = 2_000
"""So long after a resume a sweep of ours may still be at work."""
KEPT_MS = 600_000
"""Fills older than this explain no trigger any more."""

_FULL = "exceeded_order_group_risk_limit"
_GONE = "order_group_not_found"
"""An order refused so tells what the frame of the trigger would have told, had it come."""


@dataclass(frozen=True, slots=True)
class _Trigger:
    """Not explained yet. It was heard of at ``heard_ms`` (monotonic) and happened between two times of the exchange.

    ``limit_e2``: the group's limit then, 0 if it was not known.
    """

    heard_ms: int
    first_ms: int
    last_ms: int
    limit_e2: int


class GroupWatch:
    """``triggered``: group id → monotonic ms; replaced, never changed, so that other threads may read it.

    ``settled`` are those of them that may be reset in time: explained, or seen while everything stood still.
    Until the first `GroupsChanged` no order belongs to a group and nothing is demanded.
    """

    def __init__(self) -> None:
        self.triggered: Mapping[str, int] = {}
        self._pending: dict[str, _Trigger] = {}
        self._of_shard: dict[int, str] | None = None
        self._limits_e2: dict[int, int] = {}
        self._open_ms: dict[str, int] = {}
        """When each group is known to have taken an order last, or to have been made."""
        self._fills: dict[int, list[tuple[int, int]]] = {}
        self._stood_still_ms = -SWEPT_MS - 1
        self._read_ms = 0

    @property
    def settled(self) -> Mapping[str, int]:
        pending = self._pending
        return {group: since for group, since in self.triggered.items() if group not in pending}

    def on_groups(self, event: GroupsChanged, now: Instant) -> None:
        self._of_shard = dict(event.groups)
        self._limits_e2 = dict(event.limits_e2)
        self._open_ms = {g: self._open_ms.get(g, now.exchange_ms) for g in self._of_shard.values()}

    def on_group(self, event: GroupSeen, now: Instant) -> None:
        if event.kind == "triggered":
            self._hear(event.group_id, event.time_ms, event.time_ms, now)
        elif event.kind in ("reset", "deleted"):
            self.triggered = {g: since for g, since in self.triggered.items() if g != event.group_id}
            self._pending = {g: told for g, told in self._pending.items() if g != event.group_id}
            self._open_ms[event.group_id] = now.exchange_ms

    def note(self, outcome: Outcome, now: Instant) -> None:
        if not isinstance(outcome.action, Place):
            return
        group_id = outcome.action.order_group_id
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._open_ms[group_id] = now.exchange_ms
        elif outcome.code == _FULL:
            self._hear(group_id, self._open_ms.get(group_id, 0), now.exchange_ms, now)
        elif outcome.code == _GONE:
            self.triggered = {group_id: now.mono_ms, **self.triggered}

    def on_fill(self, shard: int, time_ms: int, count_e2: int) -> None:
        """An order of ours was matched, as the exchange dates it."""
        fills = self._fills.setdefault(shard, [])
        insort(fills, (time_ms, count_e2))
        self._fills[shard] = [fill for fill in fills if fill[0] > fills[-1][0] - KEPT_MS]

    def on_account(self, as_of_ms: int) -> None:
        """Every fill up to then is known."""
        self._read_ms = max(self._read_ms, as_of_ms)

    def stand_still(self, now: Instant) -> None:
        """Everything is stopped, and ours are the sweeps: whoever lets it go on has looked at why it was."""
        self._stood_still_ms = now.exchange_ms
        self._pending = {}

    def judge(self, now: Instant, *, stopped: bool) -> str:
        """The evidence that somebody else triggered a group of ours; empty if nobody did, or it is not known yet.

        ``stopped``: a halt or a pause of everything is in force.
        """
        if stopped:
            self.stand_still(now)
        shards = {group: shard for shard, group in (self._of_shard or {}).items()}
        found = ""
        for group_id, told in list(self._pending.items()):
            due = now.mono_ms - told.heard_ms >= GRACE_MS and self._read_ms > told.last_ms
            ours = told.first_ms <= self._stood_still_ms + SWEPT_MS
            evidence = self._unexplained(shards[group_id], told) if due and group_id in shards else ""
            if ours or (due and not evidence):
                del self._pending[group_id]
            else:
                found = found or evidence
        return found

    def _unexplained(self, shard: int, told: _Trigger) -> str:
        """Empty if the limit was matched in any window that ended when the group may have been triggered."""
        limit_e2 = min(told.limit_e2 or self._limits_e2[shard], self._limits_e2[shard])
        fills = self._fills.get(shard, [])
        ends = [told.first_ms, *(at for at, _ in fills if told.first_ms < at <= told.last_ms)]
        matched_e2 = max(
            sum(count for at, count in fills if end - WINDOW_MS - SLACK_MS < at <= end + SLACK_MS)
            for end in ends
        )
        if matched_e2 >= limit_e2:
            return ""
        matched, limit = count_text(matched_e2), count_text(limit_e2)
        return f"shard {shard}: {matched} contracts matched where {limit} within 15 s would have triggered it"

    def objection(self, shard: int) -> str:
        """Why nothing of ours may rest on the shard; empty if it may."""
        if self._of_shard is None:
            return ""
        group_id = self._of_shard.get(shard)
        if group_id is None:
            return f"shard {shard} has no order group yet"
        if group_id in self.triggered:
            return f"the order group of shard {shard} was triggered"
        return ""

    def _hear(self, group_id: str, first_ms: int, last_ms: int, now: Instant) -> None:
        if group_id in self.triggered:
            return
        shards = {group: shard for shard, group in (self._of_shard or {}).items()}
        limit_e2 = self._limits_e2.get(shards.get(group_id, -1), 0)
        self._pending[group_id] = _Trigger(now.mono_ms, first_ms, last_ms, limit_e2)
        self.triggered = {group_id: now.mono_ms, **self.triggered}
