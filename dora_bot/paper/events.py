"""The engine's output: immutable events in one total order, for WebSocket channels and the journal.

``n`` is the global event number, ``now_ms`` the exchange time of the change. Events of house accounts
(the world's traders) are only those the public sees: book changes and trades.
"""

from enum import StrEnum
from typing import NamedTuple

from dora_bot.models import FeeTerms, Side
from dora_bot.paper.specs import FillView, LifecycleDetail, OrderView, PositionView, Reason


class BookChanged(NamedTuple):
    """One level changed by ``delta_e2``. ``account`` and the ids name the order that caused it, if one did."""

    n: int
    now_ms: int
    ticker: str
    is_bid: bool
    price_e4: int
    delta_e2: int
    clock: int
    account: str = ""
    order_id: str = ""
    client_order_id: str = ""
    subaccount: int = 0


class TradePrinted(NamedTuple):
    """A public trade. Accounts and order ids are for the journal only; empty on a recorded (tape) side."""

    n: int
    now_ms: int
    trade_id: str
    ticker: str
    price_e4: int
    count_e2: int
    taker_side: Side
    maker_account: str
    maker_order_id: str
    taker_account: str
    taker_order_id: str


class FillMade(NamedTuple):
    """One side of an execution, for its account."""

    n: int
    now_ms: int
    account: str
    fill: FillView


class OrderChanged(NamedTuple):
    """An order was created, filled, amended or finished; ``order`` is its state after that."""

    n: int
    now_ms: int
    account: str
    order: OrderView
    reason: Reason


class PositionChanged(NamedTuple):
    n: int
    now_ms: int
    account: str
    position: PositionView


class LifecycleKind(StrEnum):
    CREATED = "created"
    ACTIVATED = "activated"
    DEACTIVATED = "deactivated"
    CLOSE_DATE_UPDATED = "close_date_updated"
    DETERMINED = "determined"
    SETTLED = "settled"
    PRICE_LEVEL_STRUCTURE_UPDATED = "price_level_structure_updated"


class LifecycleEvent(NamedTuple):
    """What `market_lifecycle_v2` announces. Opening and closing times passing are not announced."""

    n: int
    now_ms: int
    ticker: str
    kind: LifecycleKind
    detail: LifecycleDetail


class EventCreated(NamedTuple):
    """A new event (`event_lifecycle`)."""

    n: int
    now_ms: int
    event_ticker: str


class EventFeeUpdated(NamedTuple):
    """An event's fee override was set (or cleared, None): `event_fee_update`."""

    n: int
    now_ms: int
    event_ticker: str
    fees: FeeTerms | None


class GroupKind(StrEnum):
    CREATED = "created"
    TRIGGERED = "triggered"
    RESET = "reset"
    DELETED = "deleted"
    LIMIT_UPDATED = "limit_updated"


class GroupEvent(NamedTuple):
    """An order group changed; ``limit_e2`` is set for created and limit_updated."""

    n: int
    now_ms: int
    account: str
    group_id: str
    kind: GroupKind
    limit_e2: int | None
    subaccount: int
    exchange_index: int


class TickerChanged(NamedTuple):
    """Top of book or totals of a market changed; 0 where a side is empty."""

    n: int
    now_ms: int
    ticker: str
    last_price_e4: int
    last_count_e2: int
    bid_e4: int
    bid_size_e2: int
    ask_e4: int
    ask_size_e2: int
    volume_e2: int
    open_interest_e2: int
    turnover_e6: int


EngineEvent = (
    BookChanged
    | TradePrinted
    | FillMade
    | OrderChanged
    | PositionChanged
    | LifecycleEvent
    | EventCreated
    | EventFeeUpdated
    | GroupEvent
    | TickerChanged
)
