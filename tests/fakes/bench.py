"""The tick over fakes: one bot with real core parts, an account in memory, and the other threads played by the test."""

from collections.abc import Callable

from dora_bot.events import (
    AccountRead,
    CatalogChanged,
    FeedUp,
    FillSeen,
    OrderSeen,
)
from dora_bot.execution import Executor
from dora_bot.main import Bot
from dora_bot.models import Fill, Hold, Side
from dora_bot.order_diff import OrderLease
from dora_bot.state_manager import Restored, StateManager
from dora_bot.tick_report import TickReport
from dora_bot.views import ConfigChanged
from dora_bot.write_budget import WriteBudget
from tests.fakes.core import config, limits, market, numbered, snapshot
from tests.fakes.exchange import FakeExchange
from tests.fakes.manual_clock import ManualClock
from tests.fakes.ports import FakeFeed, ListInbox, ListTelemetry, MemoryJournal, MemoryLatch, ScriptedGate

RESTORED = Restored({}, frozenset())


class Bench:
    """One market, 40¢ to 50¢, quoted ten a side from the first tick on, unless the test says otherwise."""

    def __init__(self, restored: Restored = RESTORED, *, latency_ms: int = 0) -> None:
        self.clock = ManualClock()
        self.exchange = FakeExchange(self.clock, latency_ms)
        self.inbox = ListInbox(self.clock.sleep)
        self.feed = FakeFeed()
        self.journal = MemoryJournal()
        self.latch = MemoryLatch()
        self.gate = ScriptedGate()
        self.telemetry = ListTelemetry()
        self.state = StateManager("b-", restored)
        self.bot = Bot(
            clock=self.clock,
            inbox=self.inbox,
            feed=self.feed,
            state=self.state,
            budget=WriteBudget(self.exchange.limits, self.clock.now()),
            executor=Executor(self.exchange, self.journal, self.gate, self.clock),
            journal=self.journal,
            latch=self.latch,
            telemetry=self.telemetry,
            lease=OrderLease(),
            next_id=numbered("b-"),
        )
        self.post(CatalogChanged((market(),)), ConfigChanged((config(),), limits()), FeedUp(1), snapshot())

    def post(self, *events: object) -> None:
        for event in events:
            self.inbox.post(event)

    def tick(self, after_ms: int = 500) -> TickReport:
        self.clock.advance(after_ms)
        return self.bot.tick()

    def quoting(self) -> "Bench":
        """After the first tick: both quotes rest, the record of calls is empty."""
        self.tick()
        assert len(self.exchange.resting()) == 2
        self.exchange.calls.clear()
        return self

    def run(self, ticks: int) -> None:
        """The bot's own loop, until that many ticks were begun."""
        begun = len(self.beats())
        self.bot.run(lambda: len(self.beats()) >= begun + ticks)

    def beats(self) -> list[TickReport]:
        return [r for r in self.telemetry.reports if isinstance(r, TickReport)]

    def trade(self, side: Side, count_e2: int, *, fee_e6: int = 0) -> Fill:
        """Somebody trades with our resting quote; the frames are on their way."""
        fill = self.exchange.trade(self.exchange.own(side).order_id, count_e2, fee_e6=fee_e6)
        self.post(FillSeen(fill), OrderSeen(self.exchange.orders[fill.order_id]))
        return fill

    def read_account(self) -> AccountRead:
        now = self.clock.now()
        return AccountRead(
            as_of_ms=now.exchange_ms - self.exchange.lag_ms,
            started=now,
            orders=tuple(self.exchange.get_open_orders()),
            fills=tuple(self.exchange.get_fills(0)),
            positions=tuple(self.exchange.get_positions()),
            settlements=tuple(self.exchange.get_settlements(0)),
            balance=self.exchange.get_balance(),
            fills_since_ms=0,
        )

    def resume(self, halt_id: str) -> None:
        self.post(self.latch.resume(halt_id, "operator", self.clock.now()))

    def hold(self, hold: Hold) -> str:
        """The operator pauses, or allows reducing only; the id that ends it."""
        held = self.latch.latch(f"{hold} by hand", "operator", "", self.clock.now(), hold=hold)
        self.post(held)
        return held.halts[-1].halt_id

    def until(self, done: Callable[[], bool], ticks: int = 200) -> None:
        for _ in range(ticks):
            if done():
                return
            self.tick()
        raise AssertionError(f"not so after {ticks} ticks")
