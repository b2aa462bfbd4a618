"""What goes into and comes out of the paper exchange: world specs, requests, receipts, read views, refusals.

Units as everywhere: ``*_e4`` prices in 0.0001 $, ``*_e2`` counts in 0.01 contract, ``*_e6`` money in 10⁻⁶ $,
``*_ms`` Unix milliseconds (0 = never). Prices and sides are on the YES leg.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from dora_bot.fees import OCTOBER, FeeRounding
from dora_bot.models import (
    FeeTerms,
    Level,
    MarketStatus,
    PriceGrid,
    Side,
    TimeInForce,
)

SelfTradePrevention = Literal["taker_at_cross", "maker"]


class Refused(Exception):  # noqa: N818  (an answer of the exchange, not a failure of ours)
    """The exchange says no: an HTTP ``status`` and the error body's code, message and details."""

    def __init__(self, status: int, code: str, message: str = "", details: str | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message or code.replace("_", " ")
        self.details = details
        super().__init__(f"{status} {code} {details or ''}".rstrip())


def not_found() -> Refused:
    """Unknown, finished or on another shard: deliberately one indistinguishable answer."""
    return Refused(404, "not_found")


# ── the world ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    ticker: str
    title: str
    category: str
    frequency: str
    fees: FeeTerms
    exchange_index: int = 0


@dataclass(frozen=True, slots=True)
class EventSpec:
    """``fees`` overrides the series' terms; None means the series' terms hold."""

    ticker: str
    series_ticker: str
    title: str
    mutually_exclusive: bool = False
    sub_title: str = ""
    fees: FeeTerms | None = None


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """A market as created. ``structure`` is the name of the grid (``price_level_structure``)."""

    ticker: str
    event_ticker: str
    title: str
    grid: PriceGrid
    structure: str
    open_ms: int
    close_ms: int
    exchange_index: int = 0
    settlement_timer_s: int = 60
    created_ms: int = 0
    yes_sub_title: str = ""
    rules: str = ""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The exchange's habits that no source pins down, and how it rounds.

    ``rounding``: how fees are rounded, and to which precision balances move.
    ``close_cancel_ms``: how long after the close resting orders are cancelled (recorded: about 6 s).
    ``cancel_all_tail_ms``: how long after a cancel-all the account's new orders are still killed.
    ``expiry_late_ms``: how late expiries are noticed.
    """

    rounding: FeeRounding = OCTOBER
    close_cancel_ms: int = 6_000
    cancel_all_tail_ms: int = 60_000
    expiry_late_ms: int = 0


# ── requests ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order to create. ``shard`` None routes by ticker; a shard other than the market's is a 404."""

    ticker: str
    side: Side
    price_e4: int
    count_e2: int
    time_in_force: TimeInForce = TimeInForce.GTC
    stp: SelfTradePrevention = "taker_at_cross"
    client_order_id: str = ""
    post_only: bool = False
    reduce_only: bool = False
    expiration_ms: int | None = None
    cancel_on_pause: bool = False
    order_group_id: str = ""
    subaccount: int = 0
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class AmendRequest:
    """``total_e2`` = filled + wanted remaining. ``expiration_ms`` None keeps, 0 clears. Empty ids mean not given."""

    order_id: str
    ticker: str
    side: Side
    price_e4: int
    total_e2: int
    client_order_id: str = ""
    updated_client_order_id: str = ""
    expiration_ms: int | None = None
    shard: int = 0
    subaccount: int | None = None


@dataclass(frozen=True, slots=True)
class DecreaseRequest:
    """Exactly one of ``reduce_by_e2`` and ``reduce_to_e2``; reducing to 0 cancels."""

    order_id: str
    reduce_by_e2: int | None = None
    reduce_to_e2: int | None = None
    shard: int = 0
    subaccount: int | None = None


# ── replies ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a create or amend did at once. ``cost_e6`` and ``fee_e6`` are totals over ``filled_e2``.

    For amends, ``filled_e2`` is the order's whole filled count, as the exchange reports it, and the totals
    cover the fills made by the amend itself (``matched_e2``).
    """

    order_id: str
    client_order_id: str
    filled_e2: int
    remaining_e2: int
    matched_e2: int
    cost_e6: int
    fee_e6: int
    ts_ms: int

    @property
    def average_price_e4(self) -> int:
        """Mean fill price on the YES leg, rounded half up to 0.0001 $; 0 without fills."""
        return _mean(self.cost_e6, self.matched_e2)

    @property
    def average_fee_e4(self) -> int:
        """Mean fee per contract, rounded half up to 0.0001 $; 0 without fills."""
        return _mean(self.fee_e6, self.matched_e2)


def _mean(total_e6: int, count_e2: int) -> int:
    return (2 * total_e6 + count_e2) // (2 * count_e2) if count_e2 else 0


class Reduced(NamedTuple):
    """A cancel or decrease: ``reduced_by_e2`` left the book, ``remaining_e2`` still rests."""

    order_id: str
    client_order_id: str
    reduced_by_e2: int
    remaining_e2: int
    ts_ms: int


# ── read views ──────────────────────────────────────────────────────────────────────────────────


class OrderStatus(StrEnum):
    RESTING = "resting"
    CANCELED = "canceled"
    EXECUTED = "executed"


class Reason(StrEnum):
    """``last_update_reason`` as sent; a plain user cancel has no listed value, so it is empty."""

    NONE = ""
    DECREASE = "Decrease"
    AMEND = "Amend"
    SELF_TRADE = "SelfTradeCancel"
    EXPIRY = "ExpiryCancel"
    CLOSE = "CloseCancel"
    HALT = "HaltCancel"
    TRADE = "Trade"
    POST_ONLY = "PostOnlyCrossCancel"
    REDUCE_ONLY = "ReduceOnlyCancel"


class OrderView(NamedTuple):
    """A copy of one order. Costs are purchase value: price for a bid, 1 − price for an ask, per contract."""

    order_id: str
    client_order_id: str
    account: str
    subaccount: int
    ticker: str
    exchange_index: int
    side: Side
    price_e4: int
    initial_e2: int
    filled_e2: int
    remaining_e2: int
    status: OrderStatus
    reason: Reason
    stp: SelfTradePrevention
    taker_cost_e6: int
    maker_cost_e6: int
    taker_fees_e6: int
    maker_fees_e6: int
    created_ms: int
    updated_ms: int
    expiration_ms: int
    order_group_id: str
    cancel_on_pause: bool


class FillView(NamedTuple):
    """One execution of one account's order."""

    trade_id: str
    order_id: str
    client_order_id: str
    account: str
    subaccount: int
    ticker: str
    exchange_index: int
    side: Side
    price_e4: int
    count_e2: int
    is_taker: bool
    fee_e6: int
    post_position_e2: int
    time_ms: int


class PositionView(NamedTuple):
    """Signed YES contracts; ``exposure_e6`` is what the open contracts cost (YES or NO leg), never negative.

    ``realised_e6`` excludes fees. ``settled_ms`` > 0 once the market was paid out.
    """

    ticker: str
    event_ticker: str
    subaccount: int
    exchange_index: int
    net_e2: int
    exposure_e6: int
    traded_e6: int
    realised_e6: int
    fees_e6: int
    volume_e2: int
    updated_ms: int
    settled_ms: int


class SettlementView(NamedTuple):
    """A paid-out position. Counts and costs are of the net holding, so one leg is 0.

    ``fee_e6`` is what rounding keeps of the payout, ``traded_fee_e6`` what the market's trades had cost before.
    """

    ticker: str
    event_ticker: str
    subaccount: int
    exchange_index: int
    result: str
    value_e4: int
    yes_count_e2: int
    yes_cost_e6: int
    no_count_e2: int
    no_cost_e6: int
    revenue_e6: int
    fee_e6: int
    time_ms: int
    traded_fee_e6: int


class TradeView(NamedTuple):
    trade_id: str
    ticker: str
    price_e4: int
    count_e2: int
    taker_side: Side
    time_ms: int


class PurseView(NamedTuple):
    """Cash of one (shard, subaccount): ``locked_e6`` of it stands behind resting orders."""

    exchange_index: int
    subaccount: int
    cash_e6: int
    locked_e6: int


class GroupView(NamedTuple):
    group_id: str
    subaccount: int
    exchange_index: int
    limit_e2: int
    triggered: bool
    order_ids: tuple[str, ...]


class BookCut(NamedTuple):
    """A whole book, best price first on both sides, containing every change with a clock ≤ ``clock``."""

    ticker: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    clock: int


class ShardStatus(NamedTuple):
    exchange_index: int
    exchange_active: bool
    trading_active: bool


@dataclass(frozen=True, slots=True)
class MarketView:
    """A market now. Best levels have count 0 where a side is empty; ``volume_e2`` is contracts traded.

    ``previous_*`` are those of a day ago; no paper exchange is that old, so they stay 0.
    """

    spec: MarketSpec
    series_ticker: str
    status: MarketStatus
    grid: PriceGrid
    structure: str
    close_ms: int
    fees: FeeTerms
    best_bid: Level
    best_ask: Level
    last_price_e4: int
    last_count_e2: int
    volume_e2: int
    open_interest_e2: int
    turnover_e6: int
    result: str
    value_e4: int | None
    determined_ms: int
    settled_ms: int
    updated_ms: int
    previous_bid_e4: int = 0
    previous_ask_e4: int = 0
    previous_price_e4: int = 0


@dataclass(frozen=True, slots=True)
class LifecycleDetail:
    """What a life-cycle announcement carries besides its kind; None where it does not apply."""

    open_ms: int | None = None
    close_ms: int | None = None
    determined_ms: int | None = None
    settled_ms: int | None = None
    result: str | None = None
    value_e4: int | None = None
    is_deactivated: bool | None = None
    grid: PriceGrid | None = None
    structure: str | None = None
    fees: FeeTerms | None = field(default=None)
