"""Everything that reaches the tick through the inbox: what the feed heard and what the slow threads learned."""

from dataclasses import dataclass
from typing import NamedTuple

from dora_bot.models import (
    Balance,
    ExchangeOrder,
    ExchangePosition,
    ExchangeStatus,
    Fill,
    Halt,
    Hold,
    Instant,
    Level,
    Market,
    Outcome,
    PriceGrid,
    Settlement,
    Side,
)


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """A whole book, YES leg, best first not required. ``seq`` 0 and ``sid`` 0: it came by REST."""

    ticker: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    sid: int = 0
    seq: int = 0
    time_ms: int = 0
    audit: bool = False


class BookDelta(NamedTuple):
    """One level's change, YES leg (a NO delta is already turned into an ask at 1 − price)."""

    ticker: str
    is_bid: bool
    price_e4: int
    delta_e2: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class BookLost:
    """The books of these tickers may be wrong from here on (gap, terminal error, unsubscribed)."""

    tickers: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class FeedUp:
    """The socket is connected and subscribed; books follow as snapshots."""

    connection: int


@dataclass(frozen=True, slots=True)
class FeedDown:
    """The socket is gone: every book is unproven, private events may have been missed."""

    reason: str


@dataclass(frozen=True, slots=True)
class PublicTrade:
    ticker: str
    price_e4: int
    count_e2: int
    taker_side: Side
    time_ms: int


@dataclass(frozen=True, slots=True)
class TickerSeen:
    """The exchange's own summary of a book, for content checks and the last price."""

    ticker: str
    bid_e4: int
    ask_e4: int
    last_e4: int
    volume_e2: int
    time_ms: int
    bid_size_e2: int = 0
    ask_size_e2: int = 0


@dataclass(frozen=True, slots=True)
class FillSeen:
    fill: Fill


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """A `user_order` frame: the exchange's word on one order, with its reason if it gave one."""

    order: ExchangeOrder
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PositionSeen:
    position: ExchangePosition
    time_ms: int


@dataclass(frozen=True, slots=True)
class LifecycleSeen:
    """A market changed state, close time or grid. ``kind`` is the exchange's event_type."""

    ticker: str
    kind: str
    close_ms: int | None = None
    result: str = ""
    settlement_value_e4: int | None = None
    grid: PriceGrid | None = None
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """An order group was created, triggered, reset, deleted or limited."""

    group_id: str
    kind: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class GroupsChanged:
    """Our order groups as (shard, group id), and (shard, limit); a shard without a group takes no quotes."""

    groups: tuple[tuple[int, str], ...]
    limits_e2: tuple[tuple[int, int], ...]


# ── events from the slow threads ────────────────────────────────────────────────────────────────


OPERATOR = "operator"
"""Who raised a halt that a person asked for."""

CANCEL_ALL_TAIL_MS = 60_000
"""The exchange may also cancel what is placed within this time after a cancel-all."""


@dataclass(frozen=True, slots=True)
class HaltsChanged:
    """The halts in force now; empty means an operator resumed. ``resumed_ms``: when a halt was last lifted.

    ``emptied_ms``: when the kill path last sent a cancel-all, which goes on cancelling new orders for a minute.
    """

    halts: tuple[Halt, ...]
    resumed_ms: int = 0
    emptied_ms: int = 0

    @property
    def stops(self) -> tuple[Halt, ...]:
        """Those under which nothing that adds exposure may leave."""
        return tuple(h for h in self.halts if not h.scope and h.hold is not Hold.REDUCE_ONLY)

    def tail(self, exchange_ms: int) -> str:
        """Why what is placed now would be cancelled again; empty if it would not."""
        left_ms = self.emptied_ms + CANCEL_ALL_TAIL_MS - exchange_ms
        if not 0 < left_ms <= CANCEL_ALL_TAIL_MS:
            return ""
        return f"a cancel-all goes on cancelling new orders for {-(-left_ms // 1_000)} s"

    def reason_in(self, market: Market, *holds: Hold) -> str:
        """Why one of these holds is on the market or its event alone; empty if none is."""
        scopes = (market.ticker, f"event#{market.event_ticker}")
        found = (f"{h.halt_id}: {h.reason}" for h in self.halts if h.scope in scopes and h.hold in holds)
        return next(found, "")

    @property
    def halted(self) -> bool:
        return any(h.hold is Hold.HALTED for h in self.stops)


@dataclass(frozen=True, slots=True)
class WriteAnswered:
    """A write that the tick had stopped waiting for has come to its end."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CatalogChanged:
    """Fresh metadata of every market the bot knows, by ticker, as of a time of the exchange (Unix ms)."""

    markets: tuple[Market, ...]
    as_of_ms: int = 0


FEE_DOUBT_MS = 1_000
"""Terms that were read so shortly after a change may be those before it."""


@dataclass(frozen=True, slots=True)
class FeeChange:
    """A change of fee terms, to come or just made; None = the event's override ends. One of the tickers is empty."""

    series_ticker: str
    event_ticker: str
    fee_type: str | None
    multiplier_e6: int | None
    from_ms: int

    @property
    def ticker(self) -> str:
        return self.series_ticker or self.event_ticker


@dataclass(frozen=True, slots=True)
class FeesAnnounced:
    """Changes of fee terms that the exchange told of, by its list of them or by a frame."""

    changes: tuple[FeeChange, ...]


@dataclass(frozen=True, slots=True)
class ClosuresRead:
    """When the exchange's schedule has it closed, as (from, until) in Unix ms, in order."""

    closures: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StatusChanged:
    status: ExchangeStatus


@dataclass(frozen=True, slots=True)
class AccountRead:
    """One read of the account by the risk thread: evidence for everything the exchange knew at ``as_of_ms``.

    ``fills`` cover everything since ``fills_since_ms``; a read that lost a page is none.
    """

    as_of_ms: int
    started: Instant
    orders: tuple[ExchangeOrder, ...]
    fills: tuple[Fill, ...]
    positions: tuple[ExchangePosition, ...]
    settlements: tuple[Settlement, ...]
    balance: Balance
    fills_since_ms: int
