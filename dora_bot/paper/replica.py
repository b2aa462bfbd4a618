"""What account reads see: a replica of private data that runs behind the engine, truthfully dated.

Every change is queued with its exchange time and applied once the replica's watermark has passed it. All
surfaces (orders, fills, positions, settlements, balance) share one watermark, which is what
``GET /exchange/user_data_timestamp`` reports. Without lag the same path is always up to date. A fork goes
on from where the replica is with a lag of its own: what stale reads are made of.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol, Self

from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent, FillMade, OrderChanged, PositionChanged
from dora_bot.paper.specs import (
    FillView,
    OrderStatus,
    OrderView,
    PositionView,
    PurseView,
    SettlementView,
)


class Lag(Protocol):
    """How far a replica lies behind at a time."""

    def read_lag_ms(self, now_ms: int) -> int: ...


class FixedLag(NamedTuple):
    """Always this far behind."""

    lag_ms: int

    def read_lag_ms(self, now_ms: int) -> int:  # noqa: ARG002  (the signature of every lag)
        return self.lag_ms


class Frozen(NamedTuple):
    """Nothing after ``at_ms`` arrives."""

    at_ms: int

    def read_lag_ms(self, now_ms: int) -> int:
        return max(now_ms - self.at_ms, 0)


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

    def copy(self) -> Self:
        made = type(self)()
        made.orders, made.resting = dict(self.orders), dict(self.resting)
        made.fills, made.positions = list(self.fills), dict(self.positions)
        made.money = self.money
        return made

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


class Start(NamedTuple):
    """Where a fork begins."""

    accounts: dict[str, AccountData]
    queue: deque[Change]
    as_of_ms: int


class Replica:
    """The lagging copy of every account that has keys."""

    def __init__(self, engine: Exchange, lag: Lag, start: Start | None = None) -> None:
        self._engine = engine
        self._lag = lag
        self._forks: list[Replica] = []
        self._accounts, self._queue, self._as_of_ms = start or Start({}, deque(), 0)

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
                self.push(Change(event.now_ms, event.account, what))
        if touched:
            self.record_money(now_ms)

    def record_money(self, now_ms: int) -> None:
        """Queue the balances and settlements as they are now."""
        for account in self._accounts:
            money = Money(self._engine.balance(account), self._engine.settlements(account))
            self.push(Change(now_ms, account, money))

    def push(self, change: Change) -> None:
        """Queue one change, here and in every fork."""
        self._queue.append(change)
        for fork in self._forks:
            fork.push(change)

    def fork(self, lag: Lag) -> "Replica":
        """A replica that knows what this one knows now and learns the rest with its own lag."""
        accounts = {name: data.copy() for name, data in self._accounts.items()}
        made = Replica(self._engine, lag, Start(accounts, self._queue.copy(), self._as_of_ms))
        self._forks.append(made)
        return made

    def drop(self, fork: "Replica") -> None:
        """Stop feeding a fork."""
        self._forks.remove(fork)

    def as_of_ms(self, now_ms: int) -> int:
        """Apply what is old enough; everything up to the returned time is in the replica."""
        self._as_of_ms = max(self._as_of_ms, now_ms - self._lag.read_lag_ms(now_ms))
        while self._queue and self._queue[0].at_ms <= self._as_of_ms:
            change = self._queue.popleft()
            self._accounts[change.account].take(change.what)
        return self._as_of_ms

    def read(self, account: str, now_ms: int) -> AccountData:
        self.as_of_ms(now_ms)
        return self._accounts[account]
