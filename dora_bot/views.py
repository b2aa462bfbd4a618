"""What the tick decides on: the frozen picture of one moment. Strategies and risk see nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from dora_bot.ceilings import Ceilings
from dora_bot.config import GlobalConfig, MarketConfig
from dora_bot.models import (
    BookView,
    ExchangeStatus,
    Halt,
    Instant,
    Market,
    Position,
    Quote,
)
from dora_bot.own_orders import OwnOrder
from dora_bot.valuation import Day, Peak

PAPER_CEILINGS: Final = Ceilings()


class Posture(IntEnum):
    """How much the bot may do; the smaller the number, the less."""

    HALTED = 0
    PAUSED = 1
    REDUCE_ONLY = 2
    RUN = 3


@dataclass(frozen=True, slots=True)
class Stance:
    """The posture with every reason that lowered it."""

    posture: Posture
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MarketView:
    """One market.

    ``orders`` are those that may still change the position; finished ones whose fills were not seen yet are among
    them. ``long_worst_e2`` and ``short_worst_e2`` are the positions if every bid (ask) of those were filled.
    ``frozen`` says why nothing of ours may rest there, ``on_hold`` why what rests may not be replaced or added to
    for now, ``reduce_only`` why nothing but the position may be traded away; empty if there is no reason.
    """

    ticker: str
    market: Market
    config: MarketConfig
    book: BookView
    position: Position
    orders: tuple[OwnOrder, ...]
    long_worst_e2: int
    short_worst_e2: int
    worst_loss_e6: int
    unrealised_e6: int
    frozen: str = ""
    on_hold: str = ""
    reduce_only: str = ""

    @property
    def pnl_e6(self) -> int:
        """What the market made or lost since its first fill: realised, less fees, and closing now."""
        return self.position.realised_e6 - self.position.fees_e6 + self.unrealised_e6


@dataclass(frozen=True, slots=True)
class View:
    """The whole bot at ``now``. PnL in 10⁻⁶ $: ``daily`` since midnight UTC on liquidation marks.

    ``peak`` is the highest equity that counts for the trailing limit, none until every position had a mark.
    ``event_pnl_e6`` is what each event made since its first fill, over all its markets that are known.
    ``closed`` says why nothing may rest anywhere, around a pause of the exchange. ``unchecked``: markets whose book
    REST has not agreed with yet. ``disputed``: markets whose position is not the exchange's, each with the difference.
    ``tripped``: evidence that somebody else triggered an order group of ours; empty if nobody did.
    """

    now: Instant
    markets: Mapping[str, MarketView]
    global_config: GlobalConfig | None
    status: ExchangeStatus
    halts: tuple[Halt, ...]
    feed_up: bool
    exposure_e6: int
    equity_e6: int
    daily_pnl_e6: int
    day: Day
    positions: Mapping[str, Position]
    peak: Peak | None = None
    event_pnl_e6: Mapping[str, int] = field(default_factory=dict)
    stray_orders: tuple[OwnOrder, ...] = ()
    closed: str = ""
    unchecked: frozenset[str] = frozenset()
    ceilings: Ceilings = PAPER_CEILINGS
    disputed: Mapping[str, str] = field(default_factory=dict)
    tripped: str = ""

    @property
    def unexplained(self) -> bool:
        """Does a fill seem to be missing: a position that differs, or one that was reported and did not come?"""
        orders = (o for m in self.markets.values() for o in m.orders)
        return bool(self.disputed) or any(o.owed_e2 for o in (*orders, *self.stray_orders))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a strategy wishes for one market, and in one line why."""

    quotes: tuple[Quote, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """Event: the validated configuration in force, templates already unfolded into their markets.

    ``outdated``: markets whose item has been wrong for too long to go on adding risk under its last good value.
    """

    markets: tuple[MarketConfig, ...]
    global_config: GlobalConfig | None
    outdated: frozenset[str] = frozenset()
