"""One life of the bot: production's own wiring, start gate, threads and stop, on simulated ways out of the process."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dora_bot import bootstrap, pulse
from dora_bot.bootstrap import Base
from dora_bot.ceilings import Ceilings
from dora_bot.config import Settings
from dora_bot.errors import DoraError, StoreError
from dora_bot.events import AccountRead, HaltsChanged
from dora_bot.exchange_client import KalshiClient
from dora_bot.exit_codes import ExitCode
from dora_bot.http_transport import HttpTransport
from dora_bot.inbox import ThreadInbox
from dora_bot.journal import SqliteJournal
from dora_bot.lease import Lease
from dora_bot.market_feed import MarketFeed
from dora_bot.models import Action, Instant, Outcome
from dora_bot.ports import Clock
from dora_bot.reconcile import Reconciled, Reconciler
from dora_bot.records import Row
from dora_bot.rest_feed import RestFeed
from dora_bot.runtime import RunOptions, Runtime
from dora_bot.scoreboard import Scoreboard
from dora_bot.signing import Signer
from dora_bot.state_dir import StateDir
from dora_bot.state_manager import StateManager
from dora_bot.stop_signals import StopSignals
from dora_bot.telemetry import Telemetry
from dora_bot.threads import Loop, Threads
from dora_bot.tick_report import TickReport
from tests.sim.client import LIMITS, Network, SimExchange
from tests.sim.clocks import SimClock
from tests.sim.feed import SimFeed
from tests.sim.kernel import Actor, Kernel, Killed, Process, Wake
from tests.sim.tables import SimDynamo, TableClient
from tests.sim.transport import SimTransport
from tests.sim.wishes import Wishes

if TYPE_CHECKING:
    from tests.sim.host import Host

LOG_HEAD = 32
"""Bytes of the header of SQLite's log; it changes when the log is begun anew."""

SELDOM = {"status": 40}
"""Threads that only tell people something do so at every so many turns."""

DEAREST_E6 = 9_000_000
"""The machine's ceiling for what one order may risk: a quote of full size reaches it at the ends of the prices only."""

First = TypeVar("First")
Second = TypeVar("Second")


class SimInbox(ThreadInbox):
    """The production inbox, in which waiting takes virtual time. ``on_drain`` sees what the tick takes in."""

    def __init__(self, kernel: Kernel, on_drain: Callable[[list[object]], None]) -> None:
        super().__init__()
        self._kernel = kernel
        self._on_drain = on_drain
        self._waiter: Wake | None = None

    def post(self, event: object) -> None:
        super().post(event)
        if self._waiter is not None:
            self._kernel.at(self._kernel.now_ms, self._waiter)
            self._waiter = None

    def drain(self) -> list[object]:
        events = super().drain()
        if events:
            self._on_drain(events)
        return events

    def wait(self, seconds: float) -> bool:
        if self.empty:
            self._waiter = Wake(self._kernel.running)
            self._kernel.wait(self._waiter, self._kernel.now_ms + max(round(seconds * 1_000), 1))
            self._waiter = None
        return not self.empty

    @property
    def empty(self) -> bool:
        return not self._events


class SimJournal(SqliteJournal):
    """The production journal on a disk that sometimes refuses, and at which the process may die."""

    host: "Host"

    def __init__(self, host: "Host") -> None:
        self.host = host
        self._held: list[Row] = []
        super().__init__(host.folder / "journal.sqlite")
        self._log = os.open(host.folder / "journal.sqlite-wal", os.O_RDONLY)

    def close(self) -> None:
        super().close()
        os.close(self._log)

    def _port(self, name: str) -> None:
        world, place = self.host.world, f"journal.{name}"
        world.on_port(self.host, place)
        if world.faults.strike(f"{place}/n={world.number(place)}", ("refuse",), 0.1):
            raise StoreError(f"{place}: the disk refuses")

    def intend(self, actions: Sequence[Action], now: Instant) -> None:
        self._port("intend")
        super().intend(actions, now)

    def settle(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        if outcomes:
            self._port("settle")
            super().settle(outcomes, now)

    def record(self, rows: Sequence[Row]) -> None:
        """What the disk refuses is kept and written before the next rows, as production does after its own refusals."""
        self._held += rows
        if self._held:
            self._port("record")
            super().record(self._held)
            self._held = []

    def checkpoint(self) -> None:
        super().checkpoint()
        if self.host.life is not None:
            head = os.pread(self._log, LOG_HEAD, 0)
            self.host.life.synced = (head, os.fstat(self._log).st_size)

    def mark_drained(self, seqs: Sequence[int]) -> None:
        self._port("mark_drained")
        super().mark_drained(seqs)


class SimLoop(Loop):
    """One slow thread; ends as the production loop does."""

    def __init__(self, kernel: Kernel, process: Process, *args: Any) -> None:
        super().__init__(*args)
        self._kernel = kernel
        self._process = process
        self._actor: Actor | None = None
        self._rest: Wake | None = None
        self._turns = 0

    def start(self) -> None:
        self._actor = self._kernel.spawn(self.name, self._live, self._process)

    def stop(self, patience_s: float) -> None:
        self._stop.set()
        if self._rest is not None:
            self._kernel.at(self._kernel.now_ms, self._rest)
        give_up = self._kernel.now_ms + round(patience_s * 1_000)
        while self._actor and not self._actor.ended and self._kernel.now_ms < give_up:
            self._kernel.sleep_until(self._kernel.now_ms + 10)

    def _live(self) -> None:
        pulse.adopt(self.pulse)
        try:
            while not (self._stop.is_set() or self._process.dead):
                self.pulse.beat()
                if self._turns % SELDOM.get(self.name, 1) == 0:
                    self.step(self.clock.now())
                self._turns += 1
                self.pulse.beat()
                self._rest = Wake(self._kernel.running)
                self._kernel.wait(self._rest, self._kernel.now_ms + round(self.every_s * 1_000))
        except Exception as error:  # noqa: BLE001  # policy: as the production loop: halt, then this thread ends
            self.on_death(self.name, error)


class SimThreads(Threads):
    def __init__(self, life: "Life") -> None:
        self._life = life

    def loop(
        self,
        name: str,
        every_s: float,
        step: Callable[[Instant], None],
        clock: Clock,
        on_death: Callable[[str, Exception], None],
    ) -> Loop:
        life = self._life

        def died(thread: str, error: Exception) -> None:
            life.dead_thread = thread
            on_death(thread, error)

        kernel = life.host.world.kernel
        return SimLoop(kernel, life.process, name, every_s, step, clock, died)

    def both(self, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
        return first(), second()


class SimTelemetry(Telemetry):
    """Nothing is written anywhere; the judge looks at every tick."""

    def __init__(self, life: "Life") -> None:
        self._life = life
        self.scores = Scoreboard()
        self.on_report: Callable[[TickReport], None] = lambda _report: None
        self.log = self  # type: ignore[assignment]  # what is logged goes nowhere

    def emit(self, report: object) -> None:
        if isinstance(report, TickReport):
            self.scores.add(report)
            self._life.host.world.on_tick(self._life, report)
            self.on_report(report)

    def problem(self, where: str, error: Exception) -> None:
        self._life.host.world.on_problem(where, error)

    def info(self, *_: object, **__: object) -> None:
        """As a logger has it."""

    error = warning = info


class WatchedReconciler(Reconciler):
    """The production reconciler, whose reads the judge sees."""

    on_read: Callable[[AccountRead, StateManager], None]

    def apply(self, read: AccountRead, state: StateManager, now: Instant) -> Reconciled:
        result = super().apply(read, state, now)
        self.on_read(read, state)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class SimBase(Base):
    life: "Life"

    def new_client(self, thread: str) -> KalshiClient:
        self.slow_clients[thread] = client = self.life.client(thread)
        return client

    def new_transport(self) -> HttpTransport:
        return cast("HttpTransport", SimTransport(self.life.network, f"{self.life.host.name}.kill"))

    def new_feed(self, fills_since_ms: int) -> MarketFeed | RestFeed:
        world = self.life.host.world
        rest = RestFeed(self.client, LIMITS, fills_since_ms)
        self.life.feed = SimFeed(
            world.kernel, world.venue, world.faults, self.inbox.post, rest, self.clock.now
        )
        return cast("MarketFeed", self.life.feed)


class Life:
    """The process: `run` is its main thread. ``code`` is how it ended, None while it lives and if it was killed."""

    def __init__(self, host: "Host", number: int) -> None:
        self.host = host
        self.number = number
        self.process = Process()
        self.signals = StopSignals()
        self.asked_ms: int | None = None
        self.dead_thread = ""
        self.code: ExitCode | None = None
        self.runtime: Runtime | None = None
        self.feed: SimFeed | None = None
        self.inbox = SimInbox(host.world.kernel, self._taken)
        self.synced = (b"", 0)
        """The journal's log at its last checkpoint: its header and how much of it is on the disk for good."""
        self.stack = ExitStack()
        world = host.world
        self.network = Network(
            world.kernel,
            world.venue,
            world.faults,
            lambda flight: world.on_send(flight, self),
            lambda outcome: world.on_outcome(outcome, self),
            lambda name: world.on_port(host, name),
            world.flights,
            world.counts,
            world.hidden,
        )
        self.clock = SimClock(world.kernel, host.machine)
        self.network.clock = self.clock

    @property
    def state(self) -> StateManager | None:
        return self.runtime.parts.bot.state if self.runtime else None

    @property
    def ticks(self) -> int:
        """How many are done."""
        return self.runtime.parts.bot.ticks if self.runtime else 0

    def client(self, thread: str) -> KalshiClient:
        return cast("KalshiClient", SimExchange(self.network, f"{self.host.name}.{thread}"))

    def run(self) -> None:
        """Build, start, run and stop, as `bootstrap.run_bot`; then the host is told that it is over."""
        why = ""
        try:
            runtime = bootstrap.assemble(self._base(), RunOptions(), self.signals)
            self._watch(runtime)
            self.runtime = runtime
            self.code = ExitCode(runtime.run())
        except Killed:
            why = "killed"
        except (DoraError, self.host.world.unexpected) as error:
            self.code = ExitCode.FAILED
            why = f"{type(error).__name__}: {error}"
        self.host.on_end(self, why)

    def _watch(self, runtime: Runtime) -> None:
        judge, bot = self.host.world.judge, runtime.parts.bot
        reconciler = WatchedReconciler()
        reconciler.on_read = lambda read, state: judge.on_read(read, state, self)
        bot.reconciler = reconciler
        bot.wish = Wishes(self).quote
        runtime.parts.risk.halts = self._read_halts

    def _read_halts(self) -> HaltsChanged:
        """The risk thread looks at the latch's file, which the disk may not give."""
        world, place = self.host.world, "halts.read"
        world.on_port(self.host, place)
        if world.faults.strike(f"{place}/n={world.number(place)}", ("refuse",), 0.02):
            raise StoreError(f"{place}: the disk refuses")
        return self.host.latch.read()

    def _base(self) -> Base:
        host, world = self.host, self.host.world
        settings = Settings(state_dir=host.folder)
        state_dir = self.stack.enter_context(StateDir.open(host.folder, settings.env))
        client = self.client("tick")
        limits = client.get_limits()
        journal = self.stack.enter_context(SimJournal(host))
        lease = Lease(self._dynamo(1, 500), settings.env, state_dir.instance_id, fence_floor=journal.fence())
        bootstrap.acquire(lease, journal, self.clock, self.signals)
        world.judge.note("lease", f"{host.name} holds it under fence {lease.grip.fence}")
        return SimBase(
            life=self,
            settings=settings,
            signer=cast("Signer", None),
            ceilings=Ceilings(max_order_notional_e6=DEAREST_E6),
            clock=self.clock,
            stack=self.stack,
            state_dir=state_dir,
            client=client,
            limits=limits,
            db=self._dynamo(3, 2_000),
            journal=journal,
            lease=lease,
            telemetry=SimTelemetry(self),
            halts=host.latch,
            inbox=self.inbox,
            threads=SimThreads(self),
        )

    def _taken(self, events: list[object]) -> None:
        if self.state is not None:
            self.host.world.judge.on_delivery(events, self.state, self)

    def _dynamo(self, attempts: int, patience_ms: int) -> SimDynamo:
        client = TableClient(
            self.host.world.tables,
            lambda operation, act: self.host.line.call(operation, act, attempts, patience_ms),
            lambda: self.host.world.kernel.now_ms,
            attempts,
            patience_ms,
        )
        client.stale_ms = self.host.line.stale_ms
        return SimDynamo(client)

    @property
    def ticking(self) -> bool:
        """It was started, and trades or stops."""
        return self.runtime is not None and not self.process.dead and self.code is None

    def die(self) -> None:
        """What the system does when a process has ended: files are closed, locks are free."""
        if self.feed is not None:
            self.feed.close()
        self.stack.close()
