"""The sole owner of what the bot believes: our orders, positions, PnL, and everything the slow threads told.

`apply` takes events in the order they arrived, `reserve` and `settle` bracket our own writes, `view` freezes the
result. Nothing here asks anybody anything. Rows for the journal collect until `take_rows`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from dora_bot import own_orders, valuation
from dora_bot.accounting import apply_fill, apply_settlement
from dora_bot.ceilings import Ceilings
from dora_bot.config import GlobalConfig, MarketConfig, disabled
from dora_bot.events import (
    BookDelta,
    BookLost,
    BookSnapshot,
    CatalogChanged,
    ClosuresRead,
    FeedDown,
    FeedUp,
    FeesAnnounced,
    FillSeen,
    GroupsChanged,
    GroupSeen,
    HaltsChanged,
    LifecycleSeen,
    OrderSeen,
    PositionSeen,
    PublicTrade,
    StatusChanged,
    TickerSeen,
)
from dora_bot.exposure import ends, losses_e6, open_size
from dora_bot.fee_watch import FeeWatch
from dora_bot.group_watch import GroupWatch
from dora_bot.models import (
    Action,
    Amend,
    BookView,
    ExchangeStatus,
    Fill,
    Hold,
    Instant,
    Market,
    MarketStatus,
    Outcome,
    Position,
    Settlement,
    Side,
)
from dora_bot.order_book import Books
from dora_bot.order_store import OrderStore
from dora_bot.own_orders import OrderState, OwnOrder
from dora_bot.records import FillRow, Row, SettlementRow
from dora_bot.refusals import Refusals
from dora_bot.reopening import Reopening
from dora_bot.views import PAPER_CEILINGS, ConfigChanged, MarketView, View

CLOSE_MARGIN_MS = 65_000
"""Quotes go this long before the close, so that none rests from 60 s before it on; in it cancels are refused (B14)."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was known before this process started. ``amends`` without a known end, with when each was sent (Unix ms).

    ``today``: the fills of this UTC day, where it is not known what it began with.
    """

    positions: Mapping[str, Position]
    fill_keys: frozenset[tuple[str, str]]
    orders: tuple[OwnOrder, ...] = ()
    day: valuation.Day = field(default_factory=valuation.Day)
    peak: valuation.Peak | None = None
    amends: tuple[tuple[Amend, int], ...] = ()
    today: tuple[Fill, ...] = ()


class StateManager:
    def __init__(self, own_prefix: str, restored: Restored, ceilings: Ceilings = PAPER_CEILINGS) -> None:
        self._ceilings, self._own_prefix = ceilings, own_prefix
        self.books = Books()
        self.orders = OrderStore(own_prefix, restored.orders, restored.amends)
        self.positions: dict[str, Position] = dict(restored.positions)
        self._fill_keys = set(restored.fill_keys)
        self._markets: dict[str, Market] = {}
        self._configs: dict[str, MarketConfig] = {}
        self._global: GlobalConfig | None = None
        self._status = ExchangeStatus(active=True, trading=True)
        self.halts = HaltsChanged(())
        self._refusals = Refusals()
        self._doubted: dict[str, str] = {}
        self._feed_up = False
        self._rows: list[Row] = []
        self._today, self._peak = valuation.Today(restored.day, [*restored.today]), restored.peak
        self._outdated: frozenset[str] = frozenset()
        self.groups, self.fees, self.reopening = GroupWatch(), FeeWatch(), Reopening()
        self._marks: dict[str, valuation.Mark | None] = {}
        self._last_configs: dict[str, MarketConfig] = {}
        self.fills_booked = 0
        self.moved_ms: dict[str, int] = {}
        self.disputed: dict[str, str] = {}
        self.differing: dict[str, str] = {}
        self._handlers: dict[type, Callable[..., None]] = {
            BookDelta: self._on_book,
            BookSnapshot: self._on_book,
            BookLost: self._on_book,
            TickerSeen: self._on_ticker,
            FillSeen: self._on_fill,
            OrderSeen: self._on_order,
            LifecycleSeen: self._on_lifecycle,
            CatalogChanged: self._on_catalog,
            ConfigChanged: self._on_config,
            StatusChanged: self._on_status,
            ClosuresRead: self.reopening.on_closures,
            HaltsChanged: self._on_halts,
            PositionSeen: self._on_confirmation,
            PublicTrade: self._on_confirmation,
            GroupSeen: self.groups.on_group,
            GroupsChanged: self.groups.on_groups,
            FeesAnnounced: self.fees.on_announced,
            FeedUp: self._on_feed_up,
            FeedDown: self._on_feed_down,
        }

    # ── events ──────────────────────────────────────────────────────────────────────────────────

    def apply(self, event: object, now: Instant) -> None:
        """Take one event in; a kind that is not known here is a programming error and raises KeyError."""
        self._handlers[type(event)](event, now)

    def _on_book(self, event: BookDelta | BookSnapshot | BookLost, now: Instant) -> None:
        polled = isinstance(event, BookSnapshot) and not event.sid and not event.audit
        if polled and self._feed_up:
            return  # read before the socket came back: what that has told since is newer
        if isinstance(event, BookLost) and not event.tickers:
            self.books.lose_all(event.reason)
        elif contradiction := self.books.apply(event, now):
            assert not isinstance(event, BookLost)
            self._doubted[event.ticker] = contradiction

    def _on_confirmation(self, _event: PositionSeen | PublicTrade, _now: Instant) -> None:
        """Fills drive positions and the account read verifies them; these frames add nothing to that."""

    def _on_ticker(self, event: TickerSeen, _now: Instant) -> None:
        market = self._markets.get(event.ticker)
        if market is not None:
            self._markets[event.ticker] = replace(
                market, last_price_e4=event.last_e4, volume_e2=event.volume_e2
            )

    def _on_feed_up(self, _event: FeedUp, _now: Instant) -> None:
        # What was read by REST until now is as old as that; the new connection's snapshots follow.
        self.books.lose_all("a new connection")
        self._feed_up = True

    def _on_feed_down(self, event: FeedDown, _now: Instant) -> None:
        self._feed_up = False
        self.books.lose_all(event.reason)

    def _on_catalog(self, event: CatalogChanged, _now: Instant) -> None:
        self.fees.on_catalog(event.as_of_ms)
        for market in event.markets:
            old = self._markets.get(market.ticker)
            self._markets[market.ticker] = (
                market if old is None else replace(market, last_price_e4=old.last_price_e4)
            )

    def _on_config(self, event: ConfigChanged, _now: Instant) -> None:
        self._configs = {c.market_id: c for c in event.markets}
        self._global = event.global_config
        self._outdated = event.outdated

    def _on_status(self, event: StatusChanged, now: Instant) -> None:
        self._status = event.status
        self.reopening.on_status(event.status, now)

    def _on_halts(self, event: HaltsChanged, _now: Instant) -> None:
        self.halts = event

    def _on_lifecycle(self, event: LifecycleSeen, _now: Instant) -> None:
        market = self._markets.get(event.ticker)
        if market is None:
            return
        status = _LIFECYCLE_STATUS.get(event.kind, market.status)
        self._markets[event.ticker] = replace(
            market,
            status=status,
            close_ms=event.close_ms or market.close_ms,
            grid=event.grid or market.grid,
            result=event.result or market.result,
        )

    def _on_order(self, event: OrderSeen, now: Instant) -> None:
        order = self.orders.find(event.order.client_order_id, event.order.order_id)
        if order is not None:
            self.orders.put(own_orders.seen(order, event.order, now, reason=event.reason), now, event.reason)

    def _on_fill(self, event: FillSeen, now: Instant) -> None:
        self.book_fill(event.fill, now)

    # ── money ───────────────────────────────────────────────────────────────────────────────────

    def book_fill(self, fill: Fill, now: Instant) -> bool:
        """Book one execution; false if it was booked before, from whichever source."""
        if fill.key in self._fill_keys:
            return False
        self._fill_keys.add(fill.key)
        position, realised = apply_fill(self.positions.get(fill.ticker, Position(fill.ticker)), fill)
        self.positions[fill.ticker] = position
        self.moved_ms[fill.ticker] = max(fill.time_ms, self.moved_ms.get(fill.ticker, 0))
        self.fills_booked += 1
        market = self._markets.get(fill.ticker)
        self.fees.note(fill, market)
        self._today.note(fill)
        client_order_id = self.orders.fill(fill, now) or fill.client_order_id
        if market is not None and client_order_id.startswith(self._own_prefix):
            self.groups.on_fill(market.exchange_index, fill.time_ms, fill.count_e2)
        self._rows.append(FillRow(replace(fill, client_order_id=client_order_id), position, realised))
        return True

    def book_settlement(self, settlement: Settlement) -> bool:
        """Book the payout of a market we hold; false if there is nothing (left) to pay out."""
        position = self.positions.get(settlement.ticker)
        if position is None or position.net_e2 == 0:
            return False
        after, realised = apply_settlement(position, settlement)
        self.positions[settlement.ticker] = after
        self._rows.append(SettlementRow(settlement, position.net_e2, after, realised))
        return True

    # ── our own writes ──────────────────────────────────────────────────────────────────────────

    def reserve(self, actions: Iterable[Action], now: Instant) -> None:
        """Count the actions as if they had already worked, before their first byte leaves (FAULTS I03)."""
        self.orders.reserve(actions, now)

    def settle(self, outcomes: Iterable[Outcome], now: Instant) -> None:
        for outcome in outcomes:
            self._refusals.note(outcome, now)
            self.groups.note(outcome, now)
            self.orders.settle(outcome, now)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def knows(self, fill: Fill) -> bool:
        """Was this fill booked?"""
        return fill.key in self._fill_keys

    def take_doubted(self) -> dict[str, str]:
        """Markets whose book was contradicted since the last call, and by what: they need a new snapshot."""
        doubted, self._doubted = self._doubted, {}
        return doubted

    def holdings(self) -> set[str]:
        """Markets in which there is a position or a live order."""
        return {t for t, p in self.positions.items() if p.net_e2} | {o.ticker for o in self.orders.live()}

    def has_resting(self, ticker: str) -> bool:
        return any(o.state is OrderState.RESTING for o in self.orders.of_market(ticker))

    def book(self, ticker: str) -> BookView:
        """The market's book without our own size."""
        return self.books.view(ticker, self.orders.of_market(ticker))

    # ── out ─────────────────────────────────────────────────────────────────────────────────────

    def take_rows(self) -> list[Row]:
        rows: list[Row] = [*self._rows, *self.orders.rows]
        self._rows, self.orders.rows = [], []
        return rows

    def take_resolved(self) -> list[Outcome]:
        """Writes whose unknown outcome evidence has settled since the last call."""
        resolved, self.orders.resolved = self.orders.resolved, []
        return resolved

    def view(self, now: Instant) -> View:
        """Everything as it is believed to be at ``now``, frozen."""
        by_ticker = self.orders.counted()
        wanted = set(self._configs) | {t for t, p in self.positions.items() if p.net_e2} | set(by_ticker)
        views = {
            ticker: self._market_view(self._markets[ticker], tuple(by_ticker.get(ticker, ())), now)
            for ticker in sorted(wanted)
            if ticker in self._markets
        }
        unrealised = {
            t: views[t].unrealised_e6 if t in views else self._unrealised(t) for t in self.positions
        }
        equity = valuation.banked_e6(self.positions) + sum(unrealised.values())
        day = self._today.roll(now.exchange_ms, equity, self.positions, self._mark)
        if all(self._marked(t) for t, p in self.positions.items() if p.net_e2):
            self._peak = valuation.risen(self._peak, equity, self.halts.resumed_ms, now.exchange_ms)
        return View(
            now=now,
            markets=views,
            global_config=self._global,
            status=self._status,
            halts=self.halts.halts,
            closed=self.reopening.objection(now) or self.halts.tail(now.exchange_ms),
            feed_up=self._feed_up,
            exposure_e6=sum(losses_e6(views.values()).values()),
            equity_e6=equity,
            daily_pnl_e6=equity - day.start_equity_e6,
            day=day,
            positions=MappingProxyType(dict(self.positions)),
            peak=self._peak,
            event_pnl_e6=MappingProxyType(valuation.event_pnl_e6(self.positions, self._markets, unrealised)),
            unchecked=self.books.unchecked(),
            stray_orders=tuple(
                o for t, orders in by_ticker.items() if t not in views for o in orders if o.live
            ),
            disputed=self.disputed,
            tripped=self.groups.judge(now, stopped=bool(self.halts.stops)),
            ceilings=self._ceilings,
        )

    def _config_of(self, ticker: str) -> MarketConfig:
        """The market's config; without an item it counts as disabled, and what we hold there is still counted."""
        found = self._configs.get(ticker)
        if found is not None:
            self._last_configs[ticker] = found
            return found
        last = self._last_configs.get(ticker)
        return disabled(ticker) if last is None else last.model_copy(update={"enabled": False})

    def _market_view(self, market: Market, orders: tuple[OwnOrder, ...], now: Instant) -> MarketView:
        config = self._config_of(market.ticker)
        book = self.books.view(market.ticker, orders)
        self._marks[market.ticker] = valuation.mark(book, self._marks.get(market.ticker))
        position = self.positions.get(market.ticker, Position(market.ticker))
        resting = [open_size(order) for order in orders]
        return MarketView(
            ticker=market.ticker,
            market=market,
            config=config,
            book=book,
            position=position,
            orders=orders,
            long_worst_e2=position.net_e2 + sum(n for s, _, n in resting if s is Side.BID),
            short_worst_e2=position.net_e2 - sum(n for s, _, n in resting if s is Side.ASK),
            worst_loss_e6=ends(position, resting).worst_e6,
            unrealised_e6=self._unrealised(market.ticker),
            frozen=self._frozen(market, now),
            on_hold=self._on_hold(market, orders, now),
            reduce_only=self._reduce_only(market, now),
        )

    def _unrealised(self, ticker: str) -> int:
        market, position = self._markets.get(ticker), self.positions.get(ticker)
        if market is None or position is None:
            return 0
        return valuation.liquidation_e6(position, self._mark(ticker), market.fees)

    def _mark(self, ticker: str) -> valuation.Mark | None:
        market, seen = self._markets.get(ticker), self._marks.get(ticker)
        return (valuation.settled_mark(market) or seen or valuation.last_mark(market)) if market else None

    def _marked(self, ticker: str) -> bool:
        market = self._markets.get(ticker)
        return self._marks.get(ticker) is not None or bool(market and valuation.settled_mark(market))

    def _reduce_only(self, market: Market, now: Instant) -> str:
        """Why this market may only get smaller; empty if it may be quoted as the whole bot may."""
        outdated = "its config item is not valid" if market.ticker in self._outdated else ""
        return self.halts.reason_in(market, Hold.REDUCE_ONLY) or outdated or self.fees.objection(market, now)

    def _on_hold(self, market: Market, orders: tuple[OwnOrder, ...], now: Instant) -> str:
        """Why no exposure may be written for this market now, though what rests may stay."""
        doubtful = next((o for o in orders if o.state in (OrderState.UNKNOWN, OrderState.IN_FLIGHT)), None)
        if doubtful is not None:
            return f"the fate of {doubtful.client_order_id} is unknown"
        return self.differing.get(market.ticker, "") or self._refusals.resting(market.ticker, now)

    def _frozen(self, market: Market, now: Instant) -> str:
        """Why nothing of ours may rest in this market now."""
        held = self.halts.reason_in(market, Hold.PAUSED, Hold.HALTED) or self.groups.objection(
            market.exchange_index
        )
        if held:
            return held
        if market.ticker in self.disputed:
            return f"position in dispute: {self.disputed[market.ticker]}"
        if market.exchange_index in self._status.paused_shards:
            return f"shard {market.exchange_index} is paused"
        if market.close_ms and now.exchange_ms > market.close_ms - CLOSE_MARGIN_MS:
            return "the market is about to close"
        return ""


_LIFECYCLE_STATUS = {
    "activated": MarketStatus.ACTIVE,
    "deactivated": MarketStatus.INACTIVE,
    "determined": MarketStatus.DETERMINED,
    "settled": MarketStatus.FINALIZED,
}
