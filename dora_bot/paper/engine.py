"""The paper exchange without I/O: matching, money, life cycle. Time is an argument (Unix ms), randomness a seed.

`Exchange` is single-threaded. Calls must come with non-decreasing ``now_ms``; every call first does what fell
due until then (expiries, closes, settlements). Refusals are raised as `Refused`; everything that changes
appends events, which `drain_events` hands over in one total order. The same calls give the same events.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from dora_bot.models import (
    FeeTerms,
    Level,
    PriceGrid,
    Side,
)
from dora_bot.paper.accounts import Account
from dora_bot.paper.bend import NO_BEND, Bend
from dora_bot.paper.events import EngineEvent
from dora_bot.paper.groups import Groups
from dora_bot.paper.lifecycle import Lifecycle
from dora_bot.paper.matching import Matching
from dora_bot.paper.order_entry import OrderEntry
from dora_bot.paper.reads import Reads
from dora_bot.paper.recorded import RecordedLiquidity, TapeTrade
from dora_bot.paper.specs import (
    AmendRequest,
    BookCut,
    DecreaseRequest,
    EngineOptions,
    EventSpec,
    FillView,
    GroupView,
    MarketSpec,
    MarketView,
    OrderRequest,
    OrderStatus,
    OrderView,
    PositionView,
    PurseView,
    Receipt,
    Reduced,
    SeriesSpec,
    SettlementView,
    ShardStatus,
    TradeView,
)
from dora_bot.paper.state import State

__all__ = ["Exchange"]


class Exchange:
    """One exchange with all its shards, markets and accounts."""

    def __init__(self, seed: int = 0, options: EngineOptions | None = None) -> None:
        self._state = state = State(seed, options or EngineOptions())
        self._matching = matching = Matching(state)
        self._entry = OrderEntry(state, matching)
        self._groups = Groups(state, matching)
        self._lifecycle = Lifecycle(state, matching)
        self._recorded = RecordedLiquidity(state, matching)
        self._reads = Reads(state)

    # ── the world ───────────────────────────────────────────────────────────────────────────────

    def add_series(self, spec: SeriesSpec) -> None:
        self._state.series[spec.ticker] = spec

    def add_event(self, spec: EventSpec, now_ms: int) -> None:
        with self._state.begin(now_ms):
            self._lifecycle.add_event(spec)

    def add_market(self, spec: MarketSpec, now_ms: int) -> None:
        """Initialized until ``open_ms``, then active. Announces ``created``."""
        with self._state.begin(now_ms):
            self._lifecycle.add_market(spec)

    def open_account(
        self, account: str, cash_e6_by_shard: Mapping[int, int] | None = None, *, house: bool = False
    ) -> None:
        """A house account is a trader of the world: no collateral, fees or client id checks, no private events."""
        if account in self._state.accounts:
            raise ValueError(f"account {account!r} exists")
        opened = self._state.accounts[account] = Account(account, house=house)
        for shard, cash_e6 in (cash_e6_by_shard or {0: 0}).items():
            opened.purse(shard, 0).cash_e6 = cash_e6

    def adjust_cash(
        self, account: str, delta_e6: int, now_ms: int, *, shard: int = 0, subaccount: int = 0
    ) -> None:
        """A deposit or withdrawal by the operator."""
        with self._state.begin(now_ms):
            self._state.account(account).purse(shard, subaccount).cash_e6 += delta_e6

    def transfer(
        self, account: str, amount_e6: int, source: tuple[int, int], target: tuple[int, int], now_ms: int
    ) -> None:
        """Move free cash between (shard, subaccount) purses. Raises `Refused` (insufficient_balance)."""
        with self._state.begin(now_ms):
            self._state.account(account).transfer(amount_e6, source, target)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    def create(self, account: str, request: OrderRequest, now_ms: int) -> Receipt:
        with self._state.begin(now_ms):
            return self._entry.create(self._state.account(account), request)

    def amend(self, account: str, request: AmendRequest, now_ms: int) -> Receipt:
        with self._state.begin(now_ms):
            return self._entry.amend(self._state.account(account), request)

    def decrease(self, account: str, request: DecreaseRequest, now_ms: int) -> Reduced:
        with self._state.begin(now_ms):
            return self._entry.decrease(self._state.account(account), request)

    def cancel(
        self, account: str, order_id: str, now_ms: int, *, shard: int = 0, subaccount: int | None = None
    ) -> Reduced:
        """404 for unknown, finished and wrong shard alike; refused while the exchange is paused or after the close."""
        with self._state.begin(now_ms):
            return self._entry.cancel(self._state.account(account), order_id, shard, subaccount)

    def cancel_all(self, account: str, now_ms: int, *, subaccount: int | None = None) -> int:
        """Cancel on all shards and kill what the account creates within the tail. Returns the number cancelled."""
        with self._state.begin(now_ms):
            return self._entry.cancel_all(self._state.account(account), subaccount)

    def fill_order(self, order_id: str, count_e2: int, now_ms: int) -> int:
        """Operator: someone trades with this resting order at its price, past the queue. Returns the filled count."""
        with self._state.begin(now_ms):
            return self._entry.fill_order(order_id, count_e2)

    def operator_cancel(self, order_id: str, now_ms: int) -> None:
        with self._state.begin(now_ms):
            self._entry.operator_cancel(order_id)

    # ── departures from the rules, for fault injection ──────────────────────────────────────────

    @contextmanager
    def bent(self, bend: Bend) -> Iterator[None]:
        """The calls inside are treated as ``bend`` says; matching and money keep to their rules."""
        self._state.bend = bend
        try:
            yield
        finally:
            self._state.bend = NO_BEND

    def expire_late(self, late_ms: int | None) -> None:
        """From here on orders expire this late, also those that rest already; None: not for now."""
        self._state.expiry_late_ms = late_ms

    # ── order groups ────────────────────────────────────────────────────────────────────────────

    def create_group(
        self, account: str, limit_e2: int, now_ms: int, *, shard: int = 0, subaccount: int = 0
    ) -> GroupView:
        with self._state.begin(now_ms):
            return self._groups.create(self._state.account(account), limit_e2, shard, subaccount)

    def delete_group(self, account: str, group_id: str, now_ms: int, *, shard: int = 0) -> None:
        with self._state.begin(now_ms):
            self._groups.delete(self._state.account(account), group_id, shard)

    def reset_group(self, account: str, group_id: str, now_ms: int, *, shard: int = 0) -> None:
        with self._state.begin(now_ms):
            self._groups.reset(self._state.account(account), group_id, shard)

    def trigger_group(self, account: str, group_id: str, now_ms: int, *, shard: int = 0) -> None:
        with self._state.begin(now_ms):
            self._groups.trigger(self._state.account(account), group_id, shard)

    def set_group_limit(
        self, account: str, group_id: str, limit_e2: int, now_ms: int, *, shard: int = 0
    ) -> None:
        with self._state.begin(now_ms):
            self._groups.set_limit(self._state.account(account), group_id, limit_e2, shard)

    # ── life cycle, by the operator ─────────────────────────────────────────────────────────────

    def set_status(self, ticker: str, status: Literal["active", "inactive"], now_ms: int) -> None:
        """Deactivate, or activate again, which cancels every resting order."""
        with self._state.begin(now_ms):
            self._lifecycle.set_status(self._state.market(ticker), status)

    def set_close(self, ticker: str, close_ms: int, now_ms: int) -> None:
        """Move the close; into the future, a closed market reopens."""
        with self._state.begin(now_ms):
            self._lifecycle.set_close(self._state.market(ticker), close_ms)

    def determine(self, ticker: str, result: str, now_ms: int, *, value_e4: int | None = None) -> None:
        """``result`` yes, no or scalar (then with ``value_e4``). Settles when the settlement timer has run."""
        with self._state.begin(now_ms):
            self._lifecycle.determine(self._state.market(ticker), result, value_e4)

    def dispute(self, ticker: str, now_ms: int) -> None:
        with self._state.begin(now_ms):
            self._lifecycle.dispute(self._state.market(ticker))

    def amend_result(self, ticker: str, result: str, now_ms: int, *, value_e4: int | None = None) -> None:
        """The disputed (or determined) result changes; the settlement timer starts again."""
        with self._state.begin(now_ms):
            self._lifecycle.amend_result(self._state.market(ticker), result, value_e4)

    def settle(self, ticker: str, now_ms: int) -> None:
        """Pay out now, whatever the timer says."""
        with self._state.begin(now_ms):
            self._lifecycle.settle(self._state.market(ticker))

    def pause(
        self,
        kind: Literal["trading", "exchange"],
        now_ms: int,
        *,
        on: bool,
        shard: int | None = None,
        keep_orders: bool = False,
    ) -> None:
        """A trading pause takes cancels only, an exchange pause nothing; ``shard`` None means all shards.

        ``keep_orders``: also those stay that asked to be cancelled on a pause.
        """
        with self._state.begin(now_ms):
            self._lifecycle.pause(kind, shard, on=on, keep_orders=keep_orders)

    def change_grid(self, ticker: str, grid: PriceGrid, structure: str, now_ms: int) -> None:
        """Resting orders stay, even off the new grid."""
        with self._state.begin(now_ms):
            self._lifecycle.change_grid(self._state.market(ticker), grid, structure)

    def change_fees(self, ticker: str, fees: FeeTerms | None, now_ms: int) -> None:
        """``ticker`` of a series: its terms, silently; of an event: its override, announced; None clears it."""
        with self._state.begin(now_ms):
            self._lifecycle.change_fees(ticker, fees)

    def advance(self, now_ms: int) -> None:
        """Do everything that fell due; idempotent."""
        self._state.run_due(now_ms)
        self._state.now_ms = max(self._state.now_ms, now_ms)

    # ── recorded liquidity (tapes) ──────────────────────────────────────────────────────────────

    def set_ladder(self, ticker: str, bids: Sequence[Level], asks: Sequence[Level], now_ms: int) -> None:
        """The recorded book becomes exactly this (levels in YES prices), by the smallest changes."""
        with self._state.begin(now_ms):
            self._recorded.set_ladder(self._state.market(ticker), bids, asks)

    def ladder_delta(self, ticker: str, side: Side, price_e4: int, delta_e2: int, now_ms: int) -> None:
        """Recorded size joins at the back, or leaves without a trade: from the back first, then ahead of us."""
        with self._state.begin(now_ms):
            self._recorded.delta(self._state.market(ticker), side, price_e4, delta_e2)

    def tape_trade(self, ticker: str, taker_side: Side, price_e4: int, count_e2: int, now_ms: int) -> int:
        """A recorded trade. The recorded level shrinks by ``count_e2`` here (send no delta for that part).

        Account orders are filled out of this volume only, at their own price, after the recorded size that
        stood ahead of them. Returns the count that accounts got.
        """
        with self._state.begin(now_ms):
            trade = TapeTrade(taker_side, price_e4, count_e2)
            return self._recorded.trade(self._state.market(ticker), trade)

    # ── reads: copies, never live objects ───────────────────────────────────────────────────────

    @property
    def now_ms(self) -> int:
        return self._state.now_ms

    def series(self) -> list[SeriesSpec]:
        return list(self._state.series.values())

    def events(self) -> list[EventSpec]:
        return list(self._state.events.values())

    def market(self, ticker: str) -> MarketView:
        """Raises `Refused` 404 for an unknown ticker, as every read here does."""
        return self._state.market(ticker).view()

    def markets(self) -> list[MarketView]:
        return [market.view() for market in self._state.markets.values()]

    def status(self) -> list[ShardStatus]:
        return self._reads.status()

    def book(self, ticker: str) -> BookCut:
        return self._state.market(ticker).book()

    def trades(self, ticker: str | None = None) -> list[TradeView]:
        """Public trades, oldest first."""
        return self._reads.trades(ticker)

    def order(self, order_id: str) -> OrderView:
        return self._reads.order(order_id)

    def orders(self, account: str, *, status: OrderStatus | None = None) -> list[OrderView]:
        """Oldest first. Of house accounts only resting orders are kept."""
        return self._reads.orders(self._state.account(account), status)

    def fills(self, account: str) -> list[FillView]:
        """Oldest first; empty for house accounts."""
        return list(self._state.account(account).fills)

    def positions(self, account: str) -> list[PositionView]:
        return self._reads.positions(self._state.account(account))

    def settlements(self, account: str) -> list[SettlementView]:
        return list(self._state.account(account).settlements)

    def balance(self, account: str) -> list[PurseView]:
        return self._state.account(account).purse_views()

    def queue_position(self, order_id: str) -> int:
        """0.01 contracts ahead of a resting order at its price. Raises `Refused` 404."""
        return self._reads.queue_position(order_id)

    def groups(self, account: str) -> list[GroupView]:
        return self._groups.views(self._state.account(account))

    def group(self, account: str, group_id: str) -> GroupView:
        return self._groups.view(self._state.account(account), group_id)

    def drain_events(self) -> list[EngineEvent]:
        drained, self._state.log = self._state.log, []
        return drained

    def truth(self, account: str) -> dict[str, Any]:
        """One consistent cut with the keys of INTERFACES "Admin port", plus fees, settlements and events' ``n``."""
        return self._reads.truth(self._state.account(account))
