"""The vocabulary: frozen values that every module shares. Units are in the names, see `dora_bot.units`.

Everything is seen on the YES leg, as the exchange's V2 orders are: a *bid* buys YES at ``price_e4``,
an *ask* sells YES at ``price_e4``, which is buying NO at 1 − price. YES and NO in one market net.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from dora_bot.units import ONE_E4


class Side(StrEnum):
    BID = "bid"
    ASK = "ask"

    @property
    def sign(self) -> int:
        """+1 where a fill adds YES, −1 where it removes YES."""
        return 1 if self is Side.BID else -1

    @property
    def other(self) -> "Side":
        return Side.ASK if self is Side.BID else Side.BID


class TimeInForce(StrEnum):
    GTC = "good_till_canceled"
    IOC = "immediate_or_cancel"
    FOK = "fill_or_kill"


class MarketStatus(StrEnum):
    """The exchange's life cycle of a market; `UNKNOWN` stands for a value this version has not met."""

    INITIALIZED = "initialized"
    ACTIVE = "active"
    INACTIVE = "inactive"
    CLOSED = "closed"
    DETERMINED = "determined"
    DISPUTED = "disputed"
    AMENDED = "amended"
    FINALIZED = "finalized"
    UNKNOWN = "unknown"


class Instant(NamedTuple):
    """One reading of both clocks. Ages use ``mono_ms``; ``exchange_ms`` is Unix time as the exchange sees it."""

    mono_ms: int
    exchange_ms: int


@dataclass(frozen=True, slots=True)
class PriceRange:
    """One band of a market's grid: prices start, start + step, … up to end, all in 0.0001 $."""

    start_e4: int
    end_e4: int
    step_e4: int


@dataclass(frozen=True, slots=True)
class PriceGrid:
    """The prices a market accepts, from ``price_ranges``; always strictly inside (0, 1)."""

    ranges: tuple[PriceRange, ...]
    prices: tuple[int, ...] = field(init=False, repr=False, compare=False)
    members: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {
            price
            for band in self.ranges
            for price in range(band.start_e4, band.end_e4 + 1, band.step_e4)
            if 0 < price < ONE_E4
        }
        object.__setattr__(self, "prices", tuple(sorted(found)))
        object.__setattr__(self, "members", frozenset(found))
        if not found:
            raise ValueError(f"a price grid without prices: {self.ranges}")

    @classmethod
    def linear(cls, step_e4: int) -> "PriceGrid":
        return cls((PriceRange(0, ONE_E4, step_e4),))

    def contains(self, price_e4: int) -> bool:
        return price_e4 in self.members

    def floor(self, price_e4: int) -> int:
        """The highest grid price ≤ the given one (the lowest grid price if there is none)."""
        return self.prices[max(bisect_right(self.prices, price_e4) - 1, 0)]

    def ceil(self, price_e4: int) -> int:
        """The lowest grid price ≥ the given one (the highest grid price if there is none)."""
        at = bisect_right(self.prices, price_e4 - 1)
        return self.prices[min(at, len(self.prices) - 1)]

    def step(self, price_e4: int, ticks: int) -> int:
        """The price ``ticks`` grid points up (or down, if negative), held inside the grid."""
        at = bisect_right(self.prices, price_e4) - 1 + ticks
        return self.prices[min(max(at, 0), len(self.prices) - 1)]

    def ticks_between(self, low_e4: int, high_e4: int) -> int:
        """How many grid points one must climb from low to high; negative where high < low."""
        return bisect_right(self.prices, high_e4) - bisect_right(self.prices, low_e4)


class Level(NamedTuple):
    price_e4: int
    count_e2: int


# ── what the exchange tells ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """A market's fee rule: the exchange's ``fee_type`` and its multiplier × 10⁶."""

    fee_type: str
    multiplier_e6: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Market:
    """Metadata of one market, as fresh as the keeper's last read. Times are Unix ms, 0 = unknown."""

    ticker: str
    event_ticker: str
    series_ticker: str
    status: MarketStatus
    grid: PriceGrid
    fees: FeeTerms
    open_ms: int = 0
    close_ms: int = 0
    exchange_index: int = 0
    exclusive_event: bool = False
    title: str = ""
    last_price_e4: int = 0
    volume_e2: int = 0
    result: str = ""


@dataclass(frozen=True, slots=True)
class BookView:
    """A book at one moment, best price first on both sides, our own resting size taken out.

    ``proven`` is false while the book may differ from the exchange's; nothing may be quoted on it then.
    ``changed_ms`` is the exchange time of the last change, ``version`` grows with every change.
    """

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    proven: bool = False
    changed_ms: int = 0
    version: int = 0

    @property
    def best_bid(self) -> Level | None:
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        return self.asks[0] if self.asks else None


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one of our orders. Keyed by (trade_id, order_id); ``fee_e6`` as charged."""

    trade_id: str
    order_id: str
    ticker: str
    side: Side
    price_e4: int
    count_e2: int
    fee_e6: int
    is_taker: bool
    time_ms: int
    client_order_id: str = ""
    source: str = "ws"

    @property
    def key(self) -> tuple[str, str]:
        return (self.trade_id, self.order_id)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A market paid out: YES holders got ``value_e4`` a contract, NO holders the rest of the dollar, less ``fee_e6``."""

    ticker: str
    value_e4: int
    time_ms: int
    fee_e6: int = 0


@dataclass(frozen=True, slots=True)
class ExchangeOrder:
    """An order as the exchange lists it. ``status`` is resting, canceled, executed or unknown."""

    order_id: str
    client_order_id: str
    ticker: str
    side: Side
    price_e4: int
    remaining_e2: int
    filled_e2: int
    status: str
    created_ms: int = 0
    updated_ms: int = 0
    expiration_ms: int = 0
    exchange_index: int = 0
    order_group_id: str = ""


@dataclass(frozen=True, slots=True)
class ExchangePosition:
    """Signed YES contracts as the exchange reports them, with its own running totals."""

    ticker: str
    net_e2: int
    realised_e6: int = 0
    fees_e6: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """Cash by shard (``exchange_index``), in 10⁻⁶ $."""

    total_e6: int
    by_shard_e6: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class BucketLimit:
    capacity: int
    refill_per_s: int


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Token buckets of the account's tier and what calls cost; cancels and creates: one order of a batch."""

    tier: str
    read: BucketLimit
    write: BucketLimit
    default_cost: int = 10
    cancel_cost: int = 2
    create_cost: int = 10
    amend_cost: int = 10


@dataclass(frozen=True, slots=True)
class Position:
    """Net YES contracts in one market with the exact money that went through it.

    ``cost_e6`` is the open contracts' purchase value; of a short (long NO) the YES value received, negative.
    ``realised_e6`` excludes fees. ``version`` counts the bookings, for conditional writes. Cash: see `accounting`.
    """

    ticker: str
    net_e2: int = 0
    cost_e6: int = 0
    realised_e6: int = 0
    fees_e6: int = 0
    version: int = 0


class Hold(StrEnum):
    """What a latched stop forbids: everything until a person resumes, quoting, or only what adds risk."""

    HALTED = "HALTED"
    PAUSED = "PAUSED"
    REDUCE_ONLY = "REDUCE_ONLY"

    @classmethod
    def _missing_(cls, _value: object) -> "Hold":
        """What another version may have written counts as the most that there is."""
        return cls.HALTED


@dataclass(frozen=True, slots=True)
class Halt:
    """A latched stop. ``scope``: all if empty, else a ticker or ``event#EVENT``. ``acknowledged``: by whom, when."""

    halt_id: str
    reason: str
    raised_ms: int
    raised_by: str
    evidence: str = ""
    hold: Hold = Hold.HALTED
    scope: str = ""
    acknowledged: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeStatus:
    """``trading`` is false while it pauses everywhere, ``active`` while the whole exchange does; else by shard."""

    active: bool
    trading: bool
    paused_shards: frozenset[int] = frozenset()


# ── what the bot wants and does ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Quote:
    """A limit order we wish were resting, one per (ticker, side); beyond ``limit_e4`` it would lose its edge."""

    ticker: str
    side: Side
    price_e4: int
    count_e2: int
    limit_e4: int | None = None

    def forbids(self, price_e4: int) -> bool:
        """Would an order at this price give the edge away?"""
        return self.limit_e4 is not None and (price_e4 - self.limit_e4) * self.side.sign > 0


@dataclass(frozen=True, slots=True)
class Place:
    """Create a post-only order. ``client_order_id`` is spent for ever once this was journalled."""

    client_order_id: str
    ticker: str
    side: Side
    price_e4: int
    count_e2: int
    expiration_ms: int
    exchange_index: int
    order_group_id: str = ""
    reason: str = ""
    post_only: bool = True
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Amend:
    """Change a resting order. ``total_e2`` is what the exchange calls count: already filled + wanted remaining."""

    client_order_id: str
    order_id: str
    ticker: str
    side: Side
    price_e4: int
    total_e2: int
    expiration_ms: int
    exchange_index: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    client_order_id: str
    order_id: str
    ticker: str
    exchange_index: int
    reason: str = ""


Action = Place | Amend | Cancel


class OutcomeKind(StrEnum):
    """The four ends of a write (docs/outcomes.md); there is no fifth."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DENIED_LOCALLY = "denied_locally"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended. The numbers are meaningful for ACCEPTED only.

    ``code`` is the exchange's error code (or a local one such as ``timeout``), ``exists`` marks a 409
    ``order_already_exists``: the order lives or lived and must be looked up, so the kind is UNKNOWN.
    """

    action: Action
    kind: OutcomeKind
    order_id: str = ""
    filled_e2: int | None = None
    remaining_e2: int | None = None
    reduced_by_e2: int | None = None
    time_ms: int = 0
    code: str = ""
    detail: str = ""
    exists: bool = False
    took_ms: float = 0.0
