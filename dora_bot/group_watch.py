"""What the tick knows of our order groups: which shard has one, and which were triggered since when."""

from collections.abc import Mapping

from dora_bot.events import GroupsChanged, GroupSeen
from dora_bot.models import Instant, Outcome, Place

_REFUSALS = frozenset({"exceeded_order_group_risk_limit", "order_group_not_found"})
"""An order refused so tells what the frame of the trigger would have told, had it come."""


class GroupWatch:
    """``triggered``: group id → monotonic ms; replaced, never changed, so that other threads may read it.

    Until the first `GroupsChanged` no order belongs to a group and nothing is demanded.
    """

    def __init__(self) -> None:
        self.triggered: Mapping[str, int] = {}
        self._of_shard: dict[int, str] | None = None

    def on_groups(self, event: GroupsChanged, _now: Instant) -> None:
        self._of_shard = dict(event.groups)

    def on_group(self, event: GroupSeen, now: Instant) -> None:
        if event.kind == "triggered":
            self.triggered = {event.group_id: now.mono_ms, **self.triggered}
        elif event.kind in ("reset", "deleted"):
            self.triggered = {g: since for g, since in self.triggered.items() if g != event.group_id}

    def note(self, outcome: Outcome, now: Instant) -> None:
        if outcome.code in _REFUSALS and isinstance(outcome.action, Place):
            self.on_group(GroupSeen(outcome.action.order_group_id, "triggered", outcome.time_ms), now)

    def objection(self, shard: int) -> str:
        """Why nothing of ours may rest on the shard; empty if it may."""
        if self._of_shard is None:
            return ""
        group_id = self._of_shard.get(shard)
        if group_id is None:
            return f"shard {shard} has no order group yet"
        if group_id in self.triggered:
            return f"the order group of shard {shard} was triggered: too much matched at once"
        return ""
