"""Builders for what the core decides on: a plain market, its config, books, orders and whole views."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from typing import Any

from dora_bot.ceilings import Ceilings
from dora_bot.config import GlobalConfig, MarketConfig, global_config, market_config
from dora_bot.events import BookSnapshot
from dora_bot.exposure import ends, losses_e6, open_size
from dora_bot.models import (
    Action,
    BookView,
    ExchangeStatus,
    FeeTerms,
    Halt,
    Hold,
    Instant,
    Level,
    Market,
    MarketStatus,
    Position,
    PriceGrid,
    Side,
)
from dora_bot.own_orders import OrderState, OwnOrder
from dora_bot.valuation import Day
from dora_bot.views import MarketView, Posture, Stance, View
from tests.fakes.manual_clock import NOON_MS

T = "KXA"
NOW = Instant(1_000_000, NOON_MS)
RUN = Stance(Posture.RUN)
CENTS = PriceGrid.linear(100)
FREE = FeeTerms("quadratic")

ITEM: Mapping[str, Any] = MappingProxyType(
    {
        "market_id": T,
        "enabled": True,
        "max_inventory_yes": 100,
        "max_inventory_no": 100,
        "min_spread": "0.04",
        "quote_size": 10,
    }
)
"""A good config item as a person would type it; the smallest that is complete."""

GLOBAL_ITEM: Mapping[str, Any] = MappingProxyType(
    {
        "key": "global_config",
        "max_total_exposure": 1_000,
        "max_daily_loss": 50,
        "loop_interval_ms": 500,
        "trading_enabled": True,
    }
)


def later(milliseconds: int, since: Instant = NOW) -> Instant:
    return Instant(since.mono_ms + milliseconds, since.exchange_ms + milliseconds)


def market(ticker: str = T, **changes: Any) -> Market:
    plain = Market(
        ticker=ticker,
        event_ticker="EVT",
        series_ticker="SER",
        status=MarketStatus.ACTIVE,
        grid=CENTS,
        fees=FREE,
    )
    return replace(plain, **changes)


def config(**changes: Any) -> MarketConfig:
    """A valid config; changes by their names in DynamoDB (dollars, contracts)."""
    return market_config({**ITEM, **changes}, Ceilings())


def limits(**changes: Any) -> GlobalConfig:
    return global_config({**GLOBAL_ITEM, **changes}, Ceilings())


def levels(*pairs: tuple[int, int]) -> tuple[Level, ...]:
    return tuple(Level(price, size) for price, size in pairs)


def book(
    bid: int | None = 4_000, ask: int | None = 5_000, *, proven: bool = True, size: int = 10_000
) -> BookView:
    return BookView(
        bids=levels((bid, size)) if bid else (), asks=levels((ask, size)) if ask else (), proven=proven
    )


def snapshot(bid: int = 4_000, ask: int = 5_000, ticker: str = T, size: int = 10_000) -> BookSnapshot:
    return BookSnapshot(ticker, levels((bid, size)), levels((ask, size)), sid=1, seq=1, time_ms=NOON_MS)


def own(
    side: Side = Side.BID,
    price_e4: int = 4_100,
    total_e2: int = 1_000,
    state: OrderState = OrderState.RESTING,
    **changes: Any,
) -> OwnOrder:
    plain = OwnOrder(
        client_order_id=f"c-{side}",
        ticker=T,
        side=side,
        price_e4=price_e4,
        total_e2=total_e2,
        state=state,
        written=NOW,
        order_id=f"o-{side}",
        expiration_ms=NOW.exchange_ms + 50_000,
    )
    return replace(plain, **changes)


def market_view(
    *orders: OwnOrder,
    net_e2: int = 0,
    cost_e6: int | None = None,
    seen: BookView | None = None,
    of: Market | None = None,
    with_config: MarketConfig | None = None,
    frozen: str = "",
) -> MarketView:
    """A market's view with its worst cases computed from the orders, as the state manager freezes it."""
    told = of or market()
    position = Position(told.ticker, net_e2, net_e2 * 4_500 if cost_e6 is None else cost_e6)
    resting = [open_size(order) for order in orders]
    return MarketView(
        ticker=told.ticker,
        market=told,
        config=with_config or config(market_id=told.ticker),
        book=seen or book(),
        position=position,
        orders=tuple(orders),
        long_worst_e2=net_e2 + sum(n for s, _, n in resting if s is Side.BID),
        short_worst_e2=net_e2 - sum(n for s, _, n in resting if s is Side.ASK),
        worst_loss_e6=ends(position, resting).worst_e6,
        unrealised_e6=0,
        frozen=frozen,
    )


def view(*markets: MarketView, **changes: Any) -> View:
    plain = View(
        now=NOW,
        markets={m.ticker: m for m in markets},
        global_config=limits(),
        status=ExchangeStatus(active=True, trading=True),
        halts=(),
        feed_up=True,
        exposure_e6=sum(losses_e6(markets).values()),
        equity_e6=0,
        daily_pnl_e6=0,
        day=Day("2026-11-20", 0),
        positions={m.ticker: m.position for m in markets},
    )
    return replace(plain, **changes)


def halt(reason: str = "because", halt_id: str = "H1", hold: Hold = Hold.HALTED, scope: str = "") -> Halt:
    return Halt(halt_id, reason, NOON_MS, "test", hold=hold, scope=scope)


def numbered(prefix: str = "n-") -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers)}"


@dataclass(frozen=True)
class Sent:
    """An action with the words a test compares: kind, side, price, size."""

    kind: str
    side: str
    price_e4: int
    size_e2: int


def said(action: Action) -> Sent:
    size = getattr(action, "count_e2", getattr(action, "total_e2", 0))
    return Sent(type(action).__name__, str(getattr(action, "side", "")), getattr(action, "price_e4", 0), size)
