"""What account reads see: a replica of private data that runs behind the engine, truthfully dated.

Every change is queued with its exchange time and applied once the replica's watermark has passed it. All
surfaces (orders, fills, positions, settlements, balance) share one watermark, which is what
``GET /exchange/user_data_timestamp`` reports. Without lag the same path is always up to date.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent, FillMade, OrderChanged, PositionChanged
from dora_bot.paper.profiles import Profile
from dora_bot.paper.specs import (
    FillView,
    OrderStatus,
    OrderView,
    PositionView,
    PurseView,
    SettlementView,
)


class Money(NamedTuple):
    """An account's purses and settlements at one moment."""

    purses: list[PurseView]
    settlements: list[SettlementView]


class Change(NamedTuple):
    at_ms: int
    account: str
    what: OrderView | FillView | PositionView | Money


class AccountData:
    """One account as the replica knows it; insertion order is order of creation."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderView] = {}
        self.resting: dict[str, OrderView] = {}
        self.fills: list[FillView] = []
        self.positions: dict[tuple[str, int], PositionView] = {}
        self.money = Money([], [])

    def take(self, what: OrderView | FillView | PositionView | Money) -> None:
        if isinstance(what, OrderView):
            self.orders[what.order_id] = what
            if what.status is OrderStatus.RESTING:
                self.resting[what.order_id] = what
            else:
                self.resting.pop(what.order_id, None)
        elif isinstance(what, FillView):
            self.fills.append(what)
        elif isinstance(what, PositionView):
            self.positions[what.ticker, what.subaccount] = what
        else:
            self.money = what


class Replica:
    """The lagging copy of every account that has keys."""

    def __init__(self, engine: Exchange, profile: Profile) -> None:
        self._engine = engine
        self._profile = profile
        self._accounts: dict[str, AccountData] = {}
        self._queue: deque[Change] = deque()
        self._as_of_ms = 0

    def watch(self, account: str, now_ms: int) -> None:
        """Start to copy this account's data (it has just been opened)."""
        self._accounts[account] = AccountData()
        self.record_money(now_ms)

    def record(self, events: Iterable[EngineEvent], now_ms: int) -> None:
        """Queue the private part of what the engine did, and the money of the accounts it touched."""
        touched = False
        for event in events:
            if isinstance(event, OrderChanged):
                what: OrderView | FillView | PositionView = event.order
            elif isinstance(event, FillMade):
                what = event.fill
            elif isinstance(event, PositionChanged):
                what = event.position
            else:
                continue
            if event.account in self._accounts:
                touched = True
                self._queue.append(Change(event.now_ms, event.account, what))
        if touched:
            self.record_money(now_ms)

    def record_money(self, now_ms: int) -> None:
        """Queue the balances and settlements as they are now."""
        for account in self._accounts:
            money = Money(self._engine.balance(account), self._engine.settlements(account))
            self._queue.append(Change(now_ms, account, money))

    def as_of_ms(self, now_ms: int) -> int:
        """Apply what is old enough; everything up to the returned time is in the replica."""
        self._as_of_ms = max(self._as_of_ms, now_ms - self._profile.read_lag_ms(now_ms))
        while self._queue and self._queue[0].at_ms <= self._as_of_ms:
            change = self._queue.popleft()
            self._accounts[change.account].take(change.what)
        return self._as_of_ms

    def read(self, account: str, now_ms: int) -> AccountData:
        self.as_of_ms(now_ms)
        return self._accounts[account]
