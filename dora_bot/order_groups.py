"""One order group per shard: the exchange's own brake, which works while this process hangs.

Every quote belongs to its shard's group. If more contracts match within 15 seconds than the group allows, the exchange
cancels its orders and refuses new ones; after a cool-down the group is reset here. The kill path triggers groups too: no
group is reset while everything is stopped, and at once when a person has resumed. What became of a group is told to the
tick as events; a group that can no longer be reset is replaced.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dora_bot.errors import ExchangeError, ExchangeUnreachable, RateLimited
from dora_bot.events import GroupsChanged, GroupSeen
from dora_bot.models import Instant
from dora_bot.ports import Inbox

COOL_DOWN_MS = 60_000
"""A triggered group rests this long: four of its own 15-second windows, for the news to become a price."""


class GroupCalls(Protocol):
    """The exchange's order-group calls. Each raises `ExchangeError`."""

    def create_order_group(self, limit_e2: int, exchange_index: int) -> str: ...

    def limit_order_group(self, group_id: str, limit_e2: int, exchange_index: int) -> None: ...

    def reset_order_group(self, group_id: str, exchange_index: int) -> None: ...

    def delete_order_group(self, group_id: str, exchange_index: int) -> None: ...


@dataclass(slots=True)
class OrderGroups:
    """``triggered``: group id → monotonic ms since when the tick knows that it takes no orders; those that may be reset.

    ``stopped``: whether everything stands still until a person resumes.
    """

    calls: GroupCalls
    inbox: Inbox
    triggered: Callable[[], Mapping[str, int]]
    stopped: Callable[[], bool]
    _held: set[str] = field(default_factory=set)
    """Groups that were triggered while everything stood still."""
    _ids: dict[int, str] = field(default_factory=dict)
    _limits_e2: dict[int, int] = field(default_factory=dict)
    _told: GroupsChanged | None = None

    def keep(self, shards: frozenset[int], limit_e2: int, now: Instant) -> None:
        """Groups for all these shards, with this limit, none triggered for longer than the cool-down.

        Raises `ExchangeError` if a call failed; what worked until then is told all the same.
        """
        try:
            for shard in sorted(shards):
                self._keep_one(shard, limit_e2, now)
        finally:
            limits_e2 = tuple((s, limit) for s, limit in sorted(self._limits_e2.items()) if s in self._ids)
            found = GroupsChanged(tuple(sorted(self._ids.items())), limits_e2)
            if found != self._told:
                self._told = found
                self.inbox.post(found)

    def _keep_one(self, shard: int, limit_e2: int, now: Instant) -> None:
        if shard not in self._ids:
            self._ids[shard] = self.calls.create_order_group(limit_e2, shard)
        elif self._limits_e2[shard] != limit_e2:
            self.calls.limit_order_group(self._ids[shard], limit_e2, shard)
        self._limits_e2[shard] = limit_e2
        since_ms = self.triggered().get(self._ids[shard])
        if since_ms is None:
            return
        if self.stopped():
            self._held.add(self._ids[shard])
        elif self._ids[shard] in self._held or now.mono_ms - since_ms >= COOL_DOWN_MS:
            self._reset(shard, now)

    def _reset(self, shard: int, now: Instant) -> None:
        group_id = self._ids[shard]
        try:
            self.calls.reset_order_group(group_id, shard)
        except (ExchangeUnreachable, RateLimited):
            raise  # the next turn tries it again
        except ExchangeError:
            del self._ids[shard]  # it is gone: the next turn makes a new one
            raise
        self._held.discard(group_id)
        self.inbox.post(GroupSeen(group_id, "reset", now.exchange_ms))

    def delete_all(self) -> None:
        """At the end; the exchange cancels what still rests in them. Raises `ExchangeError`."""
        while self._ids:
            shard, group_id = self._ids.popitem()
            self.calls.delete_order_group(group_id, shard)
