"""One life of the bot: the production parts on simulated ports, started by the production start gate, until killed."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, cast

from dora_bot.ceilings import Ceilings
from dora_bot.config_store import ConfigStore
from dora_bot.errors import DoraError, StoreError
from dora_bot.exchange_client import KalshiClient
from dora_bot.execution import Executor
from dora_bot.gate import ExposureGate
from dora_bot.keeper import Keeper
from dora_bot.ledger import Totals
from dora_bot.main import Bot
from dora_bot.models import Action, Cancel, Instant, Outcome, OutcomeKind
from dora_bot.order_diff import OrderLease
from dora_bot.reconcile import Reconciled
from dora_bot.records import Row
from dora_bot.recovery import OVERLAP_MS, Recovered, restored
from dora_bot.rest_feed import RestFeed
from dora_bot.risk_monitor import RiskMonitor
from dora_bot.state_manager import StateManager
from dora_bot.state_store import RiskState
from dora_bot.tick_report import TickReport
from dora_bot.write_budget import WriteBudget
from tests.sim.client import LIMITS, SimExchange
from tests.sim.feed import SimFeed
from tests.sim.kernel import Actor, Wake

if TYPE_CHECKING:
    from tests.sim.world import World

STEP_MS = 500
BATCH = 20


class SimInbox:
    """Implements `ports.Inbox`: whoever posts wakes the tick."""

    def __init__(self, world: "World") -> None:
        self._kernel = world.kernel
        self._events: list[object] = []
        self._waiter: Wake | None = None
        self.on_drain: Callable[[list[object]], None] = lambda _events: None

    def post(self, event: object) -> None:
        self._events.append(event)
        if self._waiter is not None:
            self._kernel.at(self._kernel.now_ms, self._waiter)
            self._waiter = None

    def drain(self) -> list[object]:
        events, self._events = self._events, []
        if events:
            self.on_drain(events)
        return events

    def wait(self, seconds: float) -> bool:
        if not self._events:
            self._waiter = Wake(self._kernel.running)
            self._kernel.wait(self._waiter, self._kernel.now_ms + max(round(seconds * 1_000), 1))
            self._waiter = None
        return bool(self._events)

    @property
    def empty(self) -> bool:
        return not self._events


class FaultyJournal:
    """The durable journal behind a disk that sometimes refuses."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._inner = world.journal
        self._refused: list[Row] = []

    def _port(self, name: str) -> None:
        place = f"journal.{name}"
        self._world.on_port(place)
        if self._world.faults.strike(f"{place}/n={self._world.network.number(place)}", ("refuse",), 0.1):
            raise StoreError(f"{place}: the disk refuses")

    def intend(self, actions: Sequence[Action], now: Instant) -> None:
        self._port("intend")
        self._inner.intend(actions, now)

    def settle(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        if outcomes:
            self._port("settle")
            self._inner.settle(outcomes, now)

    def record(self, rows: Sequence[Row]) -> None:
        """What the disk refuses is kept and written before the next rows, as the SQLite journal does."""
        waiting = [*self._refused, *rows]
        if not waiting:
            return
        self._refused = waiting
        self._port("record")
        self._inner.record(waiting)
        self._refused = []


class Life:
    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.actors: list[Actor] = [world.kernel.main]
        self.dead_thread = ""
        kernel, now = world.kernel, world.clock.now()
        self.inbox = SimInbox(world)
        self.client = SimExchange(world.network, "tick")
        rest = RestFeed(cast("KalshiClient", self.client), LIMITS, world.venue.now_ms)
        self.feed = SimFeed(kernel, world.venue, world.faults, self.inbox.post, rest, world.clock.now)
        journal = FaultyJournal(world)
        recovered = self._recovered()
        self.gate = ExposureGate(lambda _now: 10_000)
        numbers = count(1)
        self.bot = Bot(
            clock=world.clock,
            inbox=self.inbox,
            feed=self.feed,
            state=StateManager("sim-", restored(recovered, now)),
            budget=WriteBudget(LIMITS, now),
            executor=Executor(self.client, journal, self.gate, world.clock),
            journal=journal,
            latch=world.latch,
            telemetry=self,
            lease=OrderLease(),
            next_id=lambda: f"sim-{number}-{next(numbers)}",
        )
        self.inbox.on_drain = lambda events: world.judge.on_delivery(events, self.bot.state)
        self.keeper = Keeper(
            reader=SimExchange(world.network, "keeper"),
            store=cast("ConfigStore", world.config),
            feed=self.feed,
            inbox=self.inbox,
            ceilings=Ceilings(),
            limits=LIMITS,
            on_problem=world.on_problem,
            held=lambda: frozenset(self.bot.holdings()),
            unchecked=self.bot.unchecked,
        )
        self.risk = RiskMonitor(
            reader=SimExchange(world.network, "risk"),
            inbox=self.inbox,
            latch=world.latch,
            halts=world.latch.read,
            gate=self.gate,
            published=lambda: self.bot.published,
            cancel_everything=self._sweep,
            on_problem=world.on_problem,
            clock_offset_ms=lambda: 0,
            started_ms=recovered.fills_since_ms,
            booked_since_ms=recovered.booked_since_ms,
        )

    def _recovered(self) -> Recovered:
        """What tables and journal hold; cancels under way are over, as `bootstrap` has it."""
        journal = self.world.journal
        unresolved = tuple(journal.intents.values())
        over = [i.action for i in unresolved if isinstance(i.action, Cancel)]
        ends = [Outcome(a, OutcomeKind.REFUSED, code="restart") for a in over]
        journal.settle(ends, self.world.clock.now())
        since_ms = max(journal.last_fill_ms - OVERLAP_MS, 0)
        return Recovered(
            positions=dict(journal.positions),
            booked=frozenset(journal.booked),
            last_fill_ms=journal.last_fill_ms,
            fills_since_ms=since_ms,
            booked_since_ms=0,
            unresolved=unresolved,
            today=Totals(),
            risk=RiskState(),
        )

    # ── running ─────────────────────────────────────────────────────────────────────────────────

    def run(self, stop: Callable[[], bool]) -> None:
        """Start and tick until told to stop. Raises `Killed`, or `DoraError` if the start gate stays shut."""
        world = self.world
        self.start()
        self.actors += [
            world.kernel.spawn(f"risk-{self.number}", lambda: self._loop("risk", self.risk.step)),
            world.kernel.spawn(
                f"keeper-{self.number}", lambda: self._loop("keeper", self.keeper.step, self._idle)
            ),
            world.kernel.spawn(f"polling-{self.number}", lambda: self._loop("polling", self._poll)),
        ]
        self.bot.run(stop)

    def start(self) -> None:
        """As `Runtime.start`: halts, account, config, metadata; reconciled before the first tick."""
        world, bot = self.world, self.bot
        now = world.clock.now()
        self.risk.take_halts()
        self.feed.start()
        account = self.risk.read_account(now)
        self.keeper.start(now)
        world.judge.on_delivery([account], bot.state)
        bot.observe([account], world.clock.now())
        bot.write_down(bot.state.take_rows(), now)
        bot.published = bot.state.view(world.clock.now())

    def _poll(self, now: Instant) -> None:
        for event in self.feed.poll(now):
            self.inbox.post(event)

    def _idle(self) -> int:
        """Steps of the keeper that would find nothing due; they are left out, for each costs two thread switches."""
        spare_ms = min(job.due_ms for job in self.keeper.jobs) - self.world.kernel.now_ms - 1
        return max(spare_ms // STEP_MS, 0)

    def _loop(self, name: str, step: Callable[[Instant], None], idle: Callable[[], int] = lambda: 0) -> None:
        """As `threads.Loop`: what `step` lets out halts, and the thread is gone."""
        world = self.world
        try:
            while True:
                step(world.clock.now())
                world.kernel.sleep_until(world.kernel.now_ms + STEP_MS * (1 + idle()))
        except Exception as error:  # noqa: BLE001  # policy: halt, as the production loop does
            self.dead_thread = name
            halts = world.latch.latch(f"the {name} thread died", name, repr(error), world.clock.now())
            self.gate.halts = halts
            self.inbox.post(halts)

    def emit(self, report: object) -> None:
        """The `Telemetry` port: the judge looks at every tick."""
        if isinstance(report, TickReport):
            self.world.on_tick(self)
        elif isinstance(report, Reconciled):
            self.world.judge.on_reconciled(self.bot.state)

    def _sweep(self, _why: str) -> None:
        """The kill path: everything that the exchange lists as ours is cancelled, read back until nothing is."""
        client = SimExchange(self.world.network, "sweep")
        for _ in range(10):
            try:
                orders = client.get_open_orders()
                if not orders:
                    return
                client.cancel_orders(
                    [Cancel(o.client_order_id, o.order_id, o.ticker, o.exchange_index) for o in orders]
                )
            except DoraError as error:
                self.world.on_problem("sweep", error)
            self.world.clock.sleep(0.2)

    def die(self) -> None:
        """Every thread of the process ends where it stands."""
        self.feed.close()
        self.world.kernel.kill([a for a in self.actors if a is not self.world.kernel.main])
        self.actors = []
        self.dead_thread = ""
