"""What all parts of the engine share: the registries, the event log, exchange time and what falls due.

Every public call is one step: `begin` brings time up to date (running what fell due first) and gives the step
its book clock; `finish` closes it with the ticker events of the markets it touched.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from dora_bot.models import FeeTerms, Side
from dora_bot.paper.accounts import Account, Holding
from dora_bot.paper.bend import NO_BEND, Bend
from dora_bot.paper.events import (
    BookChanged,
    EngineEvent,
    FillMade,
    GroupEvent,
    GroupKind,
    LifecycleEvent,
    LifecycleKind,
    OrderChanged,
    PositionChanged,
    TickerChanged,
    TradePrinted,
)
from dora_bot.paper.market import MarketState
from dora_bot.paper.orders import Order, OrderGroup
from dora_bot.paper.specs import (
    EngineOptions,
    EventSpec,
    FillView,
    LifecycleDetail,
    SeriesSpec,
    TradeView,
    not_found,
)

TAPE_ACCOUNT = ""
"""The name of the counterparty behind recorded liquidity."""


class State:
    """Registries and the clockwork; the rules live in the modules that use it."""

    def __init__(self, seed: int, options: EngineOptions) -> None:
        self.options = options
        self.bend: Bend = NO_BEND
        self.expiry_late_ms: int | None = options.expiry_late_ms
        """How late expiries are noticed; None: not at all for now."""
        self.rng = Random(seed)
        self.now_ms = 0
        self.clock = 0
        self.n = 0
        self.log: list[EngineEvent] = []
        self.series: dict[str, SeriesSpec] = {}
        self.events: dict[str, EventSpec] = {}
        self.markets: dict[str, MarketState] = {}
        self.accounts: dict[str, Account] = {TAPE_ACCOUNT: Account(TAPE_ACCOUNT, house=True)}
        self.orders: dict[str, Order] = {}
        self.groups: dict[str, tuple[Account, OrderGroup]] = {}
        self.trading_paused: set[int] = set()
        self.exchange_paused: set[int] = set()
        self.shards: set[int] = {0}
        self.arrange: Callable[[MarketState], None] = lambda _market: None
        """Run on every touched market at the end of a step; recorded liquidity hides and shows itself here."""
        self._touched: dict[str, MarketState] = {}
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._due_count = 0

    # ── steps and time ──────────────────────────────────────────────────────────────────────────

    def begin(self, now_ms: int) -> "State":
        """Open a step: ``with state.begin(now_ms): …``."""
        self.run_due(now_ms)
        self.now_ms = max(self.now_ms, now_ms)
        self.clock += 1
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Close the step; also after a refusal, which may have left something behind."""
        for market in self._touched.values():
            self.arrange(market)
            summary = market.summary()
            if summary != market.shown:
                market.shown = summary
                self.n += 1
                self.log.append(TickerChanged(self.n, self.now_ms, market.spec.ticker, *summary))
        self._touched.clear()

    def at(self, due_ms: int, action: Callable[[], None]) -> None:
        """Run ``action`` as its own step when exchange time reaches ``due_ms``."""
        self._due_count += 1
        heappush(self._due, (due_ms, self._due_count, action))

    def run_due(self, now_ms: int) -> None:
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, action = heappop(self._due)
            self.now_ms = max(self.now_ms, due_ms)
            self.clock += 1
            action()
            self.finish()

    def touch(self, market: MarketState) -> None:
        self._touched[market.spec.ticker] = market
        market.updated_ms = self.now_ms

    def new_id(self) -> str:
        """A UUID-shaped id from the seed."""
        text = f"{self.rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"

    # ── look-ups ────────────────────────────────────────────────────────────────────────────────

    def account(self, name: str) -> Account:
        found = self.accounts.get(name)
        if found is None:
            raise not_found()
        return found

    def market(self, ticker: str) -> MarketState:
        found = self.markets.get(ticker)
        if found is None:
            raise not_found()
        return found

    def fee_terms(self, event: EventSpec) -> FeeTerms:
        return event.fees or self.series[event.series_ticker].fees

    # ── the event log ───────────────────────────────────────────────────────────────────────────

    def book_changed(
        self, market: MarketState, side: Side, price_e4: int, delta_e2: int, order: Order
    ) -> None:
        self.touch(market)
        market.clock = self.clock
        self.n += 1
        self.log.append(
            BookChanged(
                self.n, self.now_ms, market.spec.ticker, side is Side.BID, price_e4, delta_e2, self.clock,
                order.owner.name, order.order_id, order.client_order_id, order.subaccount,
            )
        )  # fmt: skip

    def trade_printed(self, trade: TradeView, maker: tuple[str, str], taker: tuple[str, str]) -> None:
        """``maker`` and ``taker`` are (account, order id)."""
        market = self.markets[trade.ticker]
        market.trades.append(trade)
        market.volume_e2 += trade.count_e2
        market.turnover_e6 += trade.price_e4 * trade.count_e2
        market.last_price_e4 = trade.price_e4
        market.last_count_e2 = trade.count_e2
        self.touch(market)
        self.n += 1
        self.log.append(
            TradePrinted(
                self.n, self.now_ms, trade.trade_id, trade.ticker, trade.price_e4, trade.count_e2,
                trade.taker_side, *maker, *taker,
            )
        )  # fmt: skip

    def fill_made(self, fill: FillView) -> None:
        self.n += 1
        self.log.append(FillMade(self.n, self.now_ms, fill.account, fill))

    def order_changed(self, order: Order) -> None:
        order.updated_ms = self.now_ms
        if not order.owner.house:
            self.n += 1
            self.log.append(OrderChanged(self.n, self.now_ms, order.owner.name, order.view(), order.reason))

    def position_changed(self, account: Account, holding: Holding) -> None:
        self.n += 1
        self.log.append(PositionChanged(self.n, self.now_ms, account.name, holding.view()))

    def announce(self, market: MarketState, kind: LifecycleKind, detail: LifecycleDetail) -> None:
        self.touch(market)
        self.n += 1
        self.log.append(LifecycleEvent(self.n, self.now_ms, market.spec.ticker, kind, detail))

    def group_changed(
        self, account: Account, group: OrderGroup, kind: GroupKind, limit_e2: int | None = None
    ) -> None:
        self.n += 1
        self.log.append(
            GroupEvent(
                self.n,
                self.now_ms,
                account.name,
                group.group_id,
                kind,
                limit_e2,
                group.subaccount,
                group.shard,
            )
        )
