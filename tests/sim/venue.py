"""The exchange of the simulation: the paper exchange's own engine, its lagging account reads, and people who trade."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TypeVar

from dora_bot.kalshi_listings import Schedule
from dora_bot.models import FeeTerms, PriceGrid, Side, TimeInForce
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent, FillMade, OrderChanged
from dora_bot.paper.grids import GRIDS, LINEAR_CENT
from dora_bot.paper.profiles import Profile
from dora_bot.paper.replica import AccountData, Replica
from dora_bot.paper.specs import EventSpec, MarketSpec, OrderRequest, OrderView, Refused, SeriesSpec
from tests.sim import wire
from tests.sim.faults import Faults
from tests.sim.front import Front
from tests.sim.kernel import EPOCH_MS, Kernel
from tests.sim.stores import SHARDS, TICKERS

BOT = "bot"
HOUSE = "house"
CASH_E6 = 10**12
YEAR_MS = 365 * 86_400_000
CLOSE_MS = EPOCH_MS + YEAR_MS
"""When a market closes, unless its close was moved."""

STEP_MS = 350
"""Mean time between two things that happen in one market."""

HEARD_MS = 40_000
"""Two reads of the catalogue and a failed one: by then a new grid is known, whatever frames were lost."""

GONE = 404

Result = TypeVar("Result")


class Lag(Profile):
    """How far account reads lie behind: 0.4–1 s, and now and then some seconds."""

    def __init__(self, kernel: Kernel, faults: Faults) -> None:
        super().__init__("fast", faults.seed)
        self._kernel = kernel
        self._faults = faults

    def read_lag_ms(self, now_ms: int) -> int:
        second = self._kernel.now_ms // 1_000
        usual = 400 + int(600 * self._faults.share(f"lag/{second}"))
        stale = self._faults.strike(f"lag/span={second // 4}", ("stale",), 0.5)
        return usual + (4_000 if stale else 0)


class Venue:
    """All changes go through `step`, so that events leave in one order, stamped with virtual time."""

    def __init__(self, kernel: Kernel, faults: Faults) -> None:
        self.kernel = kernel
        self.faults = faults
        self.engine = Exchange(faults.seed)
        self.front = Front(faults)
        self._grids: dict[str, list[tuple[int, PriceGrid]]] = {}
        self.schedule = Schedule((), ())
        self.unexpected: set[int] = set()
        """Numbers of fills that nobody could expect."""
        self._posing: tuple[str, str] | None = None
        self.watchers: list[Callable[[list[EngineEvent]], None]] = []
        self.refusing: set[str] = set()
        """Markets in which every order of the bot is refused."""
        self._list_markets()
        self.engine.open_account(HOUSE, house=True)
        self.engine.open_account(BOT, dict.fromkeys(SHARDS.values(), CASH_E6 // len(SHARDS)))
        self.exchange = wire.Exchange(self)
        self._replica = Replica(self.engine, Lag(kernel, faults))
        self._replica.watch(BOT, EPOCH_MS)
        self.flows = [Flow(self, ticker, faults.stream(f"flow/{ticker}")) for ticker in TICKERS]
        self.publish()

    def _list_markets(self) -> None:
        engine = self.engine
        for ticker, fee_type in zip(TICKERS, ("quadratic", "quadratic_with_maker_fees"), strict=True):
            engine.add_series(SeriesSpec(f"{ticker}S", ticker, "Test", "custom", FeeTerms(fee_type)))
            engine.add_event(EventSpec(f"{ticker}E", f"{ticker}S", ticker), EPOCH_MS)
            times = (EPOCH_MS, CLOSE_MS)
            spec = MarketSpec(ticker, f"{ticker}E", ticker, GRIDS[LINEAR_CENT], LINEAR_CENT, *times)
            engine.add_market(replace(spec, exchange_index=SHARDS[ticker]), EPOCH_MS)

    @property
    def now_ms(self) -> int:
        return EPOCH_MS + self.kernel.now_ms

    def step(self, act: Callable[[int], Result]) -> Result:
        """Run something that may change the engine, and hand out what changed, also if it was refused."""
        now_ms = self.now_ms
        self.engine.advance(now_ms)
        try:
            return act(now_ms)
        finally:
            self.publish()

    def publish(self) -> None:
        events = self.engine.drain_events()
        if self._posing:
            events = self._posed(events)
        if events:
            self._replica.record(events, self.engine.now_ms)
            self.exchange.publish(events)
            for watcher in self.watchers:
                watcher(events)

    def fill_late(self, order: OrderView, count_e2: int) -> None:
        """The exchange books a trade on an order that has long ended. Of a market in which no order of ours rests."""
        self._posing = (order.order_id, order.client_order_id)
        limit = 9_900 if order.side is Side.BID else 100
        force = TimeInForce.IOC
        trade = OrderRequest(order.ticker, order.side, limit, count_e2, time_in_force=force)
        self.step(lambda now: self.engine.create(BOT, trade, now))
        self._posing = None

    def _posed(self, events: list[EngineEvent]) -> list[EngineEvent]:
        """What another order of ours did, told as if the one that ended had done it."""
        assert self._posing is not None
        order_id, client_order_id = self._posing
        found: list[EngineEvent] = []
        for event in events:
            if isinstance(event, FillMade) and event.account == BOT:
                self.unexpected.add(event.n)
                posed = event.fill._replace(order_id=order_id, client_order_id=client_order_id)
                found.append(event._replace(fill=posed))
            elif not (isinstance(event, OrderChanged) and event.account == BOT):
                found.append(event)
        return found

    def grids(self, ticker: str) -> list[PriceGrid]:
        """The market's grid, and the one before it for as long as nobody need have heard of the change."""
        market, found = self.engine.market(ticker), self._grids.setdefault(ticker, [])
        if not found or found[-1][1] != market.grid:
            found.append((self.now_ms, market.grid))
        late = self.now_ms - found[-1][0] < HEARD_MS
        return [grid for _, grid in (found[-2:] if late else found[-1:])]

    def account(self) -> AccountData:
        """The bot's account as reads show it now."""
        self.step(lambda _: None)
        return self._replica.read(BOT, self.now_ms)

    def as_of_ms(self) -> int:
        self.step(lambda _: None)
        return self._replica.as_of_ms(self.now_ms)


class Flow:
    """One market's public: a maker around a wandering value, takers who pay its spread, sometimes nobody."""

    def __init__(self, venue: Venue, ticker: str, rng: Random) -> None:
        self._venue = venue
        self._ticker = ticker
        self._rng = rng
        self._fair_e4 = 5_000
        self._orders: list[str] = []
        self.running = True
        self._requote(EPOCH_MS)
        self._later()

    def _later(self) -> None:
        kernel = self._venue.kernel
        kernel.at(kernel.now_ms + 1 + int(self._rng.expovariate(1 / STEP_MS)), self._act)

    def _act(self) -> None:
        self._later()
        if self.running:
            self._venue.step(self._move)

    def _move(self, now_ms: int) -> None:
        rng = self._rng
        what = rng.random()
        if what < 0.2:
            drift = rng.choice((-300, -100, -100, 100, 100, 300))
            back = 100 if self._fair_e4 < 3_000 else -100 if self._fair_e4 > 7_000 else 0
            self._fair_e4 += drift + back
            self._requote(now_ms)
        elif what < 0.7:
            buys = rng.random() < 0.5
            # Small or large, up to what leaves the maker's second level standing.
            size = 100 * rng.randint(1, 30 if what < 0.3 else 8) + rng.randint(0, 1) * rng.randint(0, 99)
            limit = self._fair_e4 + (1_000 if buys else -1_000)
            self._send(Side.BID if buys else Side.ASK, limit, size, TimeInForce.IOC, now_ms)

    def _requote(self, now_ms: int) -> None:
        engine = self._venue.engine
        kept: list[str] = []
        for order_id in self._orders:
            try:
                engine.cancel(HOUSE, order_id, now_ms, shard=SHARDS[self._ticker])
            except Refused as no:
                kept += [order_id] if no.status != GONE else []  # nothing may be cancelled now
        self._orders = kept
        if kept:
            return
        half = self._rng.choice((200, 300, 300, 400))
        for level in (0, 300):
            for side in Side:
                price = self._fair_e4 - side.sign * (half + level)
                order_id = self._send(side, price, 100 * self._rng.randint(20, 90), TimeInForce.GTC, now_ms)
                if order_id:
                    self._orders.append(order_id)

    def _send(self, side: Side, price_e4: int, count_e2: int, force: TimeInForce, now_ms: int) -> str:
        request = OrderRequest(self._ticker, side, price_e4, count_e2, time_in_force=force)
        try:
            receipt = self._venue.engine.create(HOUSE, request, now_ms)
        except Refused:
            return ""  # the market or the exchange is paused
        return receipt.order_id if receipt.remaining_e2 and force is TimeInForce.GTC else ""
