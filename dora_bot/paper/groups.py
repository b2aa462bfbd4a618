"""Order groups: a member's cap on what may be matched within 15 seconds, per shard and subaccount."""

from dora_bot.paper.accounts import Account
from dora_bot.paper.events import GroupKind
from dora_bot.paper.matching import Matching
from dora_bot.paper.order_checks import check_not_paused, find_group
from dora_bot.paper.orders import OrderGroup
from dora_bot.paper.specs import GroupView, Refused
from dora_bot.paper.state import State

MAX_LIMIT_E2 = 100_000_000
"""A million contracts."""
MAX_GROUPS = 100_000


class Groups:
    """The operations on order groups; every method is one step's body and may raise `Refused`."""

    def __init__(self, state: State, matching: Matching) -> None:
        self._state = state
        self._matching = matching

    def create(self, account: Account, limit_e2: int, shard: int, subaccount: int) -> GroupView:
        state = self._state
        check_not_paused(state, shard, cancels_too=False)
        _check_limit(limit_e2)
        if sum(owner is account for owner, _ in state.groups.values()) >= MAX_GROUPS:
            raise Refused(400, "invalid_parameters", details="too many order groups")
        group = OrderGroup(state.new_id(), limit_e2, shard, subaccount)
        state.groups[group.group_id] = (account, group)
        state.group_changed(account, group, GroupKind.CREATED, limit_e2)
        return group.view()

    def delete(self, account: Account, group_id: str, shard: int) -> None:
        group = self._find(account, group_id, shard)
        self._matching.cancel_group(group)
        del self._state.groups[group_id]
        self._state.group_changed(account, group, GroupKind.DELETED)

    def reset(self, account: Account, group_id: str, shard: int) -> None:
        group = self._find(account, group_id, shard)
        group.reset()
        self._state.group_changed(account, group, GroupKind.RESET)

    def trigger(self, account: Account, group_id: str, shard: int) -> None:
        group = self._find(account, group_id, shard)
        self._matching.trigger(account, group)

    def set_limit(self, account: Account, group_id: str, limit_e2: int, shard: int) -> None:
        """A limit at or below what was just matched triggers at once."""
        group = self._find(account, group_id, shard)
        _check_limit(limit_e2)
        group.limit_e2 = limit_e2
        self._state.group_changed(account, group, GroupKind.LIMIT_UPDATED, limit_e2)
        if not group.triggered and group.is_over(self._state.now_ms):
            self._matching.trigger(account, group)

    def _find(self, account: Account, group_id: str, shard: int) -> OrderGroup:
        check_not_paused(self._state, shard, cancels_too=False)
        return find_group(self._state, account, group_id, shard)

    def views(self, account: Account) -> list[GroupView]:
        return [group.view() for owner, group in self._state.groups.values() if owner is account]

    def view(self, account: Account, group_id: str) -> GroupView:
        owner, group = self._state.groups.get(group_id, (None, None))
        if group is None or owner is not account:
            raise Refused(404, "not_found")
        return group.view()


def _check_limit(limit_e2: int) -> None:
    if not 100 <= limit_e2 <= MAX_LIMIT_E2:
        raise Refused(400, "invalid_parameters", details="contracts limit must be between 1 and 1000000")
