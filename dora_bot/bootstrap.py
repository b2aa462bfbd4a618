"""The composition root: every part of the bot is built and connected here; `runtime` then runs and stops it.

Starting is recovering: lock, tables, lease, journal, account and exchange are all read and reconciled before the
first exposure write; whatever fails on the way ends the start with one clear error and no order.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

from dora_bot.ceilings import Ceilings
from dora_bot.ceilings_file import read_ceilings
from dora_bot.clock import MeasuredClock, SystemClock
from dora_bot.code_version import code_version
from dora_bot.config import Settings
from dora_bot.config_store import ConfigStore
from dora_bot.drain import Drain
from dora_bot.dynamo import Dynamo
from dora_bot.errors import LeaseLost, StoreError
from dora_bot.events import HaltsChanged, WriteAnswered
from dora_bot.exchange_access import connect_client, connect_transport, feed_settings, load_signer
from dora_bot.exchange_client import KalshiClient
from dora_bot.execution import Executor
from dora_bot.exit_codes import ExitCode
from dora_bot.gate import ExposureGate
from dora_bot.halts import HaltFile
from dora_bot.http_transport import HttpTransport
from dora_bot.inbox import ThreadInbox
from dora_bot.journal import SqliteJournal
from dora_bot.keeper import Keeper
from dora_bot.kill import HALT, OWN_IDS, Sweeper
from dora_bot.lease import Lease
from dora_bot.main import Bot
from dora_bot.market_feed import MarketFeed
from dora_bot.models import AccountLimits, Cancel, Halt, Instant, Outcome, OutcomeKind
from dora_bot.order_diff import OrderLease
from dora_bot.order_groups import OrderGroups
from dora_bot.parts import Parts
from dora_bot.ports import Clock, Feed
from dora_bot.recovery import Recovered, load_state, restored
from dora_bot.rest_feed import RestFeed
from dora_bot.risk_monitor import RiskMonitor
from dora_bot.runtime import RunOptions, Runtime
from dora_bot.service_manager import ServiceManager
from dora_bot.signing import Signer
from dora_bot.state_dir import StateDir
from dora_bot.state_manager import StateManager
from dora_bot.state_store import StateStore
from dora_bot.stop_signals import StopSignals
from dora_bot.tables import require_tables
from dora_bot.telemetry import Telemetry
from dora_bot.threads import Threads
from dora_bot.tick_report import Decisions
from dora_bot.trading_hours import closures
from dora_bot.write_budget import WriteBudget

SWEEP_S = 2.0
"""A sweep by the risk thread, which has more to watch; it tries again half a second later."""
HALTED_SWEEP_S = 10.0
"""A sweep by the risk thread once everything is halted anyway: long enough to try every way of cancelling."""

ACQUIRE_S = 20
"""A lease whose holder died is free after one term of 15 s and a second's margin."""


@dataclass(frozen=True, slots=True)
class Base:
    """What stands before anything trades: identity, storage, the lease, one connection.

    The ways out of the process are its ``new_…`` methods; the simulation replaces them, and nothing else of the wiring.
    """

    settings: Settings
    ceilings: Ceilings
    signer: Signer
    clock: MeasuredClock
    stack: ExitStack
    state_dir: StateDir
    client: KalshiClient
    limits: AccountLimits
    db: Dynamo
    journal: SqliteJournal
    lease: Lease
    telemetry: Telemetry
    halts: HaltFile
    inbox: ThreadInbox
    threads: Threads = field(default_factory=Threads)
    slow_clients: dict[str, KalshiClient] = field(default_factory=dict)

    def new_client(self, thread: str) -> KalshiClient:
        """A client of its own for each thread, so that a slow call of one never delays another."""
        self.slow_clients[thread] = _client(self.settings, self.signer, self.clock, self.stack)
        return self.slow_clients[thread]

    def new_transport(self) -> HttpTransport:
        """The kill path's own connection."""
        transport = connect_transport(self.settings, self.signer, self.clock)
        self.stack.callback(transport.close)
        return transport

    def new_feed(self, fills_since_ms: int) -> MarketFeed | RestFeed:
        """Market data; fills that the feed itself reads are asked for from there on."""
        settings = self.settings
        rest = RestFeed(self.new_client("polling"), self.limits, fills_since_ms)
        if settings.feed == "rest":
            return rest
        where = feed_settings(settings, random.random)
        return MarketFeed(where, self.signer, self.clock, self.inbox, rest)


def run_bot(settings: Settings, options: RunOptions, signals: StopSignals) -> int:
    """Build, start, run and stop the bot. Returns the exit code; raises `DoraError` if it cannot start."""
    with ExitStack() as stack:
        try:
            base = _base(settings, stack, signals, options)
        except LeaseLost:
            if options.standby and signals.received:
                return ExitCode.DONE  # it only stood by
            raise
        return assemble(base, options, signals).run()


def assemble(base: Base, options: RunOptions, signals: StopSignals) -> Runtime:
    """Recover what is known and wire the bot. Raises `DoraError` if storage cannot be read or disagrees."""
    store = StateStore(base.db)
    drain = Drain(base.journal, base.db, lambda: base.lease.grip)
    recovered = load_state(store, base.journal, drain, base.clock)
    base.halts.take(recovered.risk.halts, base.clock.now())
    # What became of cancels under way is seen in the order list that every start reads.
    over = [i.action for i in recovered.unresolved if isinstance(i.action, Cancel)]
    ends = [Outcome(action, OutcomeKind.REFUSED, code="restart") for action in over]
    base.journal.settle(ends, base.clock.now())
    gate = ExposureGate(base.lease.margin_ms, observe=options.observe)
    feed = base.new_feed(recovered.fills_since_ms or base.clock.now().exchange_ms)
    drain.take_halts = lambda halts, now: _take_halts(base, gate, halts, now)
    bot = _bot(base, feed, gate, recovered)
    keeper = _keeper(base, feed, bot, gate, observe=options.observe)
    base.inbox.on_overflow = lambda: feed.resync(frozenset(keeper.resolution.configs))
    sweeper = _sweeper(base)
    life = f"{base.settings.order_prefix}{base.lease.grip.fence}-"
    base.state_dir.remember_life(life)
    parts = Parts(
        threads=base.threads,
        clock=base.clock,
        bot=bot,
        keeper=keeper,
        risk=_risk(base, bot, gate, sweeper, recovered),
        socket=None if isinstance(feed, RestFeed) else feed,
        poll=feed.poll,
        drain=drain,
        lease=base.lease,
        journal=base.journal,
        store=store,
        state_dir=base.state_dir,
        telemetry=base.telemetry,
        sweeper=sweeper,
        life_prefix=life,
        gate=gate,
        clients={"rest": base.client, **base.slow_clients},
        db=base.db,
        manager=base.stack.enter_context(ServiceManager(options.notify_socket)),
    )
    return Runtime(parts, base.settings, options, signals)


def _base(settings: Settings, stack: ExitStack, signals: StopSignals, options: RunOptions) -> Base:
    """In the order in which a start can fail: key and settings, lock, exchange, tables, lease."""
    signer = load_signer(settings)
    ceilings = read_ceilings(settings)
    clock = SystemClock()
    state_dir = stack.enter_context(StateDir.open(settings.state_dir, settings.env))
    client = _client(settings, signer, clock, stack)
    limits = client.get_limits()
    db = Dynamo.connect(settings.table_prefix)
    require_tables(db)
    journal = stack.enter_context(SqliteJournal(state_dir.journal_path))
    hasty = Dynamo.connect(db.prefix, attempts=1, connect_s=0.5, read_s=0.5, meter=db.meter)
    lease = Lease(hasty, settings.env, state_dir.instance_id, fence_floor=journal.fence())
    telemetry = Telemetry(state_dir.path)
    stack.callback(telemetry.close)
    if options.standby:
        telemetry.log.info("standing by until the lease is free", extra={"action": "standby"})
    with ServiceManager(options.notify_socket) as manager:
        waiting = manager.standing_by if options.standby else None
        acquire(lease, journal, clock, signals, stand_by=waiting)
    return Base(
        settings=settings,
        ceilings=ceilings,
        signer=signer,
        clock=clock,
        stack=stack,
        state_dir=state_dir,
        client=client,
        limits=limits,
        db=db,
        journal=journal,
        lease=lease,
        telemetry=telemetry,
        halts=HaltFile(state_dir.path / "halts.jsonl"),
        inbox=ThreadInbox(),
    )


def _take_halts(base: Base, gate: ExposureGate, halts: tuple[Halt, ...], now: Instant) -> HaltsChanged:
    told = base.halts.take(halts, now)
    if told != gate.halts:
        gate.halts = told
        base.inbox.post(told)
    return told


def _bot(base: Base, feed: Feed, gate: ExposureGate, recovered: Recovered) -> Bot:
    now = base.clock.now()
    prefix = base.settings.order_prefix
    base.client.on_late = lambda outcome: base.inbox.post(WriteAnswered(outcome))
    return Bot(
        clock=base.clock,
        inbox=base.inbox,
        feed=feed,
        state=StateManager(prefix, restored(recovered, now), base.ceilings),
        budget=WriteBudget(base.limits, now),
        executor=Executor(base.client, base.journal, gate, base.clock),
        journal=base.journal,
        latch=base.halts,
        telemetry=base.telemetry,
        lease=OrderLease(),
        decisions=Decisions(code_version()),
        next_id=_numbered(f"{prefix}{base.lease.grip.fence}-"),
    )


def _keeper(base: Base, feed: Feed, bot: Bot, gate: ExposureGate, *, observe: bool) -> Keeper:
    client = base.new_client("keeper")
    groups = OrderGroups(
        client,
        base.inbox,
        triggered=lambda: bot.state.groups.settled,
        stopped=lambda: bool(gate.halts.stops or bot.state.halts.stops),
    )
    return Keeper(
        clock=base.clock,
        reader=client,
        groups=None if observe else groups,
        closures=lambda now_ms: closures(client.get_schedule(), now_ms),
        fee_changes=client.get_fee_changes,
        store=ConfigStore(base.db),
        feed=feed,
        inbox=base.inbox,
        ceilings=base.ceilings,
        limits=base.limits,
        on_problem=base.telemetry.problem,
        held=lambda: frozenset(bot.holdings()),
        unchecked=bot.unchecked,
    )


def _risk(base: Base, bot: Bot, gate: ExposureGate, sweeper: Sweeper, recovered: Recovered) -> RiskMonitor:
    return RiskMonitor(
        reader=base.new_client("risk"),
        inbox=base.inbox,
        latch=base.halts,
        halts=base.halts.read,
        gate=gate,
        published=lambda: bot.published,
        cancel_everything=lambda _why: (
            sweeper.sweep(HALTED_SWEEP_S, HALT) if gate.halts.halted else sweeper.sweep(SWEEP_S, OWN_IDS)
        ),
        on_problem=base.telemetry.problem,
        own_prefix=base.settings.order_prefix,
        clock_offset_ms=lambda: base.clock.wall_offset_ms,
        started_ms=recovered.fills_since_ms,
        booked_since_ms=recovered.booked_since_ms,
    )


def _sweeper(base: Base) -> Sweeper:
    return Sweeper(
        base.new_transport(),
        base.clock,
        base.settings.order_prefix,
        emptied=lambda: base.halts.emptied(base.clock.now()),
        subaccount=base.settings.kalshi_subaccount,
    )


def _client(settings: Settings, signer: Signer, clock: MeasuredClock, stack: ExitStack) -> KalshiClient:
    client = connect_client(settings, signer, clock)
    stack.callback(client.close)
    return client


def acquire(
    lease: Lease,
    journal: SqliteJournal,
    clock: Clock,
    signals: StopSignals,
    *,
    stand_by: Callable[[], None] | None = None,
) -> None:
    """Wait until the lease is ours. Raises `LeaseLost` if it stays somebody else's, `StoreError` if nobody answers.

    With ``stand_by`` for as long as it takes: it is called with every try, and only a signal ends it, by `LeaseLost`.
    """
    give_up = clock.now().mono_ms + ACQUIRE_S * 1_000
    while not _taken(lease, clock, give_up, stand_by=stand_by is not None):
        if stand_by is not None:
            stand_by()
        if signals.received:
            raise LeaseLost(f"stopped by {signals.received} while the lease was held by another instance")
        if clock.now().mono_ms > give_up and stand_by is None:
            raise LeaseLost(
                "the lease is held by another instance; stop that one, or wait for its term to end"
            )
        clock.sleep(1.0)
    journal.remember_fence(lease.grip.fence)


def _taken(lease: Lease, clock: Clock, give_up_mono_ms: int, *, stand_by: bool) -> bool:
    """One try; a table that does not answer in its half second is asked again until the patience ends."""
    try:
        return lease.acquire(clock.now(), stand_by=stand_by)
    except StoreError:
        if clock.now().mono_ms > give_up_mono_ms and not stand_by:
            raise
        return False


def _numbered(prefix: str) -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers)}"
