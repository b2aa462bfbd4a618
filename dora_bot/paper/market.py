"""One market: its book as FIFO queues per price level, its life-cycle state and its running totals."""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterator

from dora_bot.errors import ConfigError
from dora_bot.fees import fee_rates
from dora_bot.models import (
    FeeTerms,
    Level,
    MarketStatus,
    Side,
)
from dora_bot.paper.orders import Order
from dora_bot.paper.specs import BookCut, MarketSpec, MarketView, TradeView

TRADES_KEPT = 10_000
EMPTY = Level(0, 0)


class Queue:
    """The orders at one price, first come first served."""

    __slots__ = ("members", "orders", "total_e2")

    def __init__(self) -> None:
        self.orders: OrderedDict[str, Order] = OrderedDict()
        self.total_e2 = 0
        self.members = 0
        """How many of the orders belong to accounts, i.e. are not recorded liquidity."""


class BookSide:
    """All queues of one side; ``prices`` ascending."""

    __slots__ = ("members", "prices", "queues", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.queues: dict[int, Queue] = {}
        self.prices: list[int] = []
        self.members = 0

    def best(self) -> int:
        """The best price, 0 if the side is empty."""
        if not self.prices:
            return 0
        return self.prices[-1] if self.side is Side.BID else self.prices[0]

    def best_level(self) -> Level:
        price = self.best()
        return Level(price, self.queues[price].total_e2) if price else EMPTY

    def best_first(self) -> Iterator[int]:
        return reversed(self.prices) if self.side is Side.BID else iter(self.prices)

    def best_member_price(self) -> int:
        """The best price at which an account rests, 0 if none does."""
        if not self.members:
            return 0
        return next(price for price in self.best_first() if self.queues[price].members)

    def front(self, price_e4: int) -> Order:
        return next(iter(self.queues[price_e4].orders.values()))

    def add(self, order: Order) -> None:
        """Join the back of the queue at the order's price."""
        queue = self.queues.get(order.price_e4)
        if queue is None:
            queue = self.queues[order.price_e4] = Queue()
            insort(self.prices, order.price_e4)
        queue.orders[order.order_id] = order
        queue.total_e2 += order.remaining_e2
        if not order.recorded:
            queue.members += 1
            self.members += 1

    def shrink(self, order: Order, by_e2: int) -> None:
        """Take size off an order in place; at 0 it leaves the queue."""
        queue = self.queues[order.price_e4]
        order.remaining_e2 -= by_e2
        queue.total_e2 -= by_e2
        if order.remaining_e2 == 0:
            self._leave(queue, order)

    def remove(self, order: Order) -> None:
        """Take the order out whole; its remaining count is left as it is."""
        queue = self.queues[order.price_e4]
        queue.total_e2 -= order.remaining_e2
        self._leave(queue, order)

    def _leave(self, queue: Queue, order: Order) -> None:
        del queue.orders[order.order_id]
        if not order.recorded:
            queue.members -= 1
            self.members -= 1
        if not queue.orders:
            del self.queues[order.price_e4]
            del self.prices[bisect_left(self.prices, order.price_e4)]

    def ahead_of(self, order: Order) -> int:
        """0.01 contracts before this order at its price."""
        ahead = 0
        for other in self.queues[order.price_e4].orders.values():
            if other is order:
                break
            ahead += other.remaining_e2
        return ahead

    def levels(self) -> tuple[Level, ...]:
        return tuple(Level(price, self.queues[price].total_e2) for price in self.best_first())


def chargeable(terms: FeeTerms) -> FeeTerms:
    """The terms the exchange charges by: a type without a published formula costs the dearest known one."""
    try:
        fee_rates(terms)
    except ConfigError:
        return FeeTerms("quadratic_with_combo_maker_fees", terms.multiplier_e6)
    return terms


class MarketState:
    """A market's book and state. ``hidden`` is recorded liquidity held back behind account orders."""

    __slots__ = (
        "asks", "bids", "charged", "clock", "close_ms", "determined_ms", "fees", "grid", "hidden", "last_count_e2",
        "last_price_e4", "open_interest_e2", "recorded", "result", "series_ticker", "settled_ms", "shown", "spec", "status",
        "structure", "timer", "trades", "turnover_e6", "updated_ms", "value_e4", "volume_e2",
    )  # fmt: skip

    def __init__(self, spec: MarketSpec, series_ticker: str, fees: FeeTerms, now_ms: int) -> None:
        self.spec = spec
        self.series_ticker = series_ticker
        self.status = MarketStatus.INITIALIZED
        self.grid = spec.grid
        self.structure = spec.structure
        self.close_ms = spec.close_ms
        self.fees = fees
        self.charged = chargeable(fees)
        self.bids = BookSide(Side.BID)
        self.asks = BookSide(Side.ASK)
        self.hidden: dict[Side, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
        self.recorded = False
        """Does a tape supply liquidity here?"""
        self.clock = 0
        self.last_price_e4 = 0
        self.last_count_e2 = 0
        self.volume_e2 = 0
        self.open_interest_e2 = 0
        self.turnover_e6 = 0
        self.trades: deque[TradeView] = deque(maxlen=TRADES_KEPT)
        self.result = ""
        self.value_e4: int | None = None
        self.determined_ms = 0
        self.settled_ms = 0
        self.updated_ms = now_ms
        self.timer = 0
        """Counts settlement timers, so that a restarted one makes the older one void."""
        self.shown: tuple[int, ...] = ()
        """What the last ticker event said."""

    def book_side(self, side: Side) -> BookSide:
        return self.bids if side is Side.BID else self.asks

    def set_fees(self, fees: FeeTerms) -> None:
        self.fees = fees
        self.charged = chargeable(fees)

    def crosses(self, side: Side, price_e4: int) -> bool:
        """Would an order at this price trade at once?"""
        if side is Side.BID:
            return bool(self.asks.prices) and price_e4 >= self.asks.prices[0]
        return bool(self.bids.prices) and price_e4 <= self.bids.prices[-1]

    def summary(self) -> tuple[int, ...]:
        """The fields of a ticker event, in its order."""
        bid, ask = self.bids.best_level(), self.asks.best_level()
        return (
            self.last_price_e4, self.last_count_e2, bid.price_e4, bid.count_e2, ask.price_e4, ask.count_e2,
            self.volume_e2, self.open_interest_e2, self.turnover_e6,
        )  # fmt: skip

    def book(self) -> BookCut:
        return BookCut(self.spec.ticker, self.bids.levels(), self.asks.levels(), self.clock)

    def view(self) -> MarketView:
        return MarketView(
            spec=self.spec,
            series_ticker=self.series_ticker,
            status=self.status,
            grid=self.grid,
            structure=self.structure,
            close_ms=self.close_ms,
            fees=self.fees,
            best_bid=self.bids.best_level(),
            best_ask=self.asks.best_level(),
            last_price_e4=self.last_price_e4,
            last_count_e2=self.last_count_e2,
            volume_e2=self.volume_e2,
            open_interest_e2=self.open_interest_e2,
            turnover_e6=self.turnover_e6,
            result=self.result,
            value_e4=self.value_e4,
            determined_ms=self.determined_ms,
            settled_ms=self.settled_ms,
            updated_ms=self.updated_ms,
        )
