"""The paper exchange without I/O: matching, money, life cycle. Time is an argument (Unix ms), randomness a seed.

`Exchange` is single-threaded. Calls must come with non-decreasing ``now_ms``; every call first does what fell
due until then (expiries, closes, settlements). Refusals are raised as `Refused`; everything that changes
appends events, which `drain_events` hands over in one total order. The same calls give the same events.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dora_bot.models import FeeTerms, Level, PriceGrid, Side
from dora_bot.paper.events import EngineEvent
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

__all__ = ["Exchange"]


class Exchange:
    """One exchange with all its shards, markets and accounts."""

    def __init__(self, seed: int = 0, options: EngineOptions | None = None) -> None:
        raise NotImplementedError

    # ── the world ───────────────────────────────────────────────────────────────────────────────

    def add_series(self, spec: SeriesSpec) -> None:
        raise NotImplementedError

    def add_event(self, spec: EventSpec, now_ms: int) -> None:
        raise NotImplementedError

    def add_market(self, spec: MarketSpec, now_ms: int) -> None:
        """Initialized until ``open_ms``, then active. Announces ``created``."""
        raise NotImplementedError

    def open_account(
        self, account: str, cash_e6_by_shard: Mapping[int, int] | None = None, *, house: bool = False
    ) -> None:
        """A house account is a trader of the world: no collateral, fees or client id checks, no private events."""
        raise NotImplementedError

    def adjust_cash(
        self, account: str, delta_e6: int, now_ms: int, *, shard: int = 0, subaccount: int = 0
    ) -> None:
        """A deposit or withdrawal by the operator."""
        raise NotImplementedError

    def transfer(
        self, account: str, amount_e6: int, source: tuple[int, int], target: tuple[int, int], now_ms: int
    ) -> None:
        """Move free cash between (shard, subaccount) purses. Raises `Refused` (insufficient_balance)."""
        raise NotImplementedError

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    def create(self, account: str, request: OrderRequest, now_ms: int) -> Receipt:
        raise NotImplementedError

    def amend(self, account: str, request: AmendRequest, now_ms: int) -> Receipt:
        raise NotImplementedError

    def decrease(self, account: str, request: DecreaseRequest, now_ms: int) -> Reduced:
        raise NotImplementedError

    def cancel(
        self, account: str, order_id: str, now_ms: int, *, shard: int = 0, subaccount: int | None = None
    ) -> Reduced:
        """404 for unknown, finished and wrong shard alike; refused while the exchange is paused or after the close."""
        raise NotImplementedError

    def cancel_all(self, account: str, now_ms: int, *, subaccount: int | None = None) -> int:
        """Cancel on all shards and kill what the account creates within the tail. Returns the number cancelled."""
        raise NotImplementedError

    def fill_order(self, order_id: str, count_e2: int, now_ms: int) -> int:
        """Operator: someone trades with this resting order at its price, past the queue. Returns the filled count."""
        raise NotImplementedError

    def operator_cancel(self, order_id: str, now_ms: int) -> None:
        raise NotImplementedError

    # ── order groups ────────────────────────────────────────────────────────────────────────────

    def create_group(
        self, account: str, limit_e2: int, now_ms: int, *, shard: int = 0, subaccount: int = 0
    ) -> GroupView:
        raise NotImplementedError

    def delete_group(self, account: str, group_id: str, now_ms: int, *, shard: int = 0) -> None:
        raise NotImplementedError

    def reset_group(self, account: str, group_id: str, now_ms: int, *, shard: int = 0) -> None:
        raise NotImplementedError

    def trigger_group(self, account: str, group_id: str, now_ms: int, *, shard: int = 0) -> None:
        raise NotImplementedError

    def set_group_limit(
        self, account: str, group_id: str, limit_e2: int, now_ms: int, *, shard: int = 0
    ) -> None:
        raise NotImplementedError

    # ── life cycle, by the operator ─────────────────────────────────────────────────────────────

    def set_status(self, ticker: str, status: Literal["active", "inactive"], now_ms: int) -> None:
        """Deactivate, or activate again, which cancels every resting order."""
        raise NotImplementedError

    def set_close(self, ticker: str, close_ms: int, now_ms: int) -> None:
        """Move the close; into the future, a closed market reopens."""
        raise NotImplementedError

    def determine(self, ticker: str, result: str, now_ms: int, *, value_e4: int | None = None) -> None:
        """``result`` yes, no or scalar (then with ``value_e4``). Settles when the settlement timer has run."""
        raise NotImplementedError

    def dispute(self, ticker: str, now_ms: int) -> None:
        raise NotImplementedError

    def amend_result(self, ticker: str, result: str, now_ms: int, *, value_e4: int | None = None) -> None:
        """The disputed (or determined) result changes; the settlement timer starts again."""
        raise NotImplementedError

    def settle(self, ticker: str, now_ms: int) -> None:
        """Pay out now, whatever the timer says."""
        raise NotImplementedError

    def pause(
        self, kind: Literal["trading", "exchange"], now_ms: int, *, on: bool, shard: int | None = None
    ) -> None:
        """A trading pause takes cancels only, an exchange pause nothing; ``shard`` None means all shards."""
        raise NotImplementedError

    def change_grid(self, ticker: str, grid: PriceGrid, structure: str, now_ms: int) -> None:
        """Resting orders stay, even off the new grid."""
        raise NotImplementedError

    def change_fees(self, ticker: str, fees: FeeTerms | None, now_ms: int) -> None:
        """``ticker`` of a series: its terms, silently; of an event: its override, announced; None clears it."""
        raise NotImplementedError

    def advance(self, now_ms: int) -> None:
        """Do everything that fell due; idempotent."""
        raise NotImplementedError

    # ── recorded liquidity (tapes) ──────────────────────────────────────────────────────────────

    def set_ladder(self, ticker: str, bids: Sequence[Level], asks: Sequence[Level], now_ms: int) -> None:
        """The recorded book becomes exactly this (levels in YES prices), by the smallest changes."""
        raise NotImplementedError

    def ladder_delta(self, ticker: str, side: Side, price_e4: int, delta_e2: int, now_ms: int) -> None:
        """Recorded size joins at the back, or leaves without a trade: from the back first, then ahead of us."""
        raise NotImplementedError

    def tape_trade(self, ticker: str, taker_side: Side, price_e4: int, count_e2: int, now_ms: int) -> int:
        """A recorded trade. The recorded level shrinks by ``count_e2`` here (send no delta for that part).

        Account orders are filled out of this volume only, at their own price, after the recorded size that
        stood ahead of them. Returns the count that accounts got.
        """
        raise NotImplementedError

    # ── reads: copies, never live objects ───────────────────────────────────────────────────────

    @property
    def now_ms(self) -> int:
        raise NotImplementedError

    def series(self) -> list[SeriesSpec]:
        raise NotImplementedError

    def events(self) -> list[EventSpec]:
        raise NotImplementedError

    def market(self, ticker: str) -> MarketView:
        """Raises `Refused` 404 for an unknown ticker, as every read here does."""
        raise NotImplementedError

    def markets(self) -> list[MarketView]:
        raise NotImplementedError

    def status(self) -> list[ShardStatus]:
        raise NotImplementedError

    def book(self, ticker: str) -> BookCut:
        raise NotImplementedError

    def trades(self, ticker: str | None = None) -> list[TradeView]:
        """Public trades, oldest first."""
        raise NotImplementedError

    def order(self, order_id: str) -> OrderView:
        raise NotImplementedError

    def orders(self, account: str, *, status: OrderStatus | None = None) -> list[OrderView]:
        """Oldest first. Of house accounts only resting orders are kept."""
        raise NotImplementedError

    def fills(self, account: str) -> list[FillView]:
        """Oldest first; empty for house accounts."""
        raise NotImplementedError

    def positions(self, account: str) -> list[PositionView]:
        raise NotImplementedError

    def settlements(self, account: str) -> list[SettlementView]:
        raise NotImplementedError

    def balance(self, account: str) -> list[PurseView]:
        raise NotImplementedError

    def queue_position(self, order_id: str) -> int:
        """0.01 contracts ahead of a resting order at its price. Raises `Refused` 404."""
        raise NotImplementedError

    def groups(self, account: str) -> list[GroupView]:
        raise NotImplementedError

    def group(self, account: str, group_id: str) -> GroupView:
        raise NotImplementedError

    def drain_events(self) -> list[EngineEvent]:
        raise NotImplementedError

    def truth(self, account: str) -> dict[str, Any]:
        """One consistent cut with the keys of INTERFACES "Admin port", plus fees, settlements and events' ``n``."""
        raise NotImplementedError
