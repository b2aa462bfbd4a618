"""The composition root: every part of the bot is built and connected here; `runtime` then runs and stops it.

Starting is recovering: lock, tables, lease, journal, account and exchange are all read and reconciled before the
first exposure write; whatever fails on the way ends the start with one clear error and no order.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import count

from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.config_store import ConfigStore
from dora_bot.drain import Drain
from dora_bot.dynamo import Dynamo
from dora_bot.errors import LeaseLost
from dora_bot.exchange_access import allowed_hosts, connect_client, connect_transport, load_signer
from dora_bot.exchange_client import KalshiClient
from dora_bot.execution import Executor
from dora_bot.gate import ExposureGate
from dora_bot.halts import HaltFile
from dora_bot.inbox import ThreadInbox
from dora_bot.journal import SqliteJournal
from dora_bot.keeper import Keeper
from dora_bot.kill import Sweeper
from dora_bot.lease import Lease
from dora_bot.main import Bot
from dora_bot.market_feed import FeedSettings, MarketFeed
from dora_bot.models import Instant, Place
from dora_bot.order_diff import OrderLease
from dora_bot.own_orders import OrderState, OwnOrder, opened
from dora_bot.ports import Clock
from dora_bot.recovery import Recovered, load_state
from dora_bot.rest_feed import RestFeed
from dora_bot.risk_monitor import RiskMonitor
from dora_bot.runtime import Parts, RunOptions, Runtime
from dora_bot.signing import Signer
from dora_bot.state_dir import StateDir
from dora_bot.state_manager import Restored, StateManager
from dora_bot.state_store import StateStore
from dora_bot.tables import require_tables
from dora_bot.telemetry import Telemetry
from dora_bot.valuation import Day, utc_date
from dora_bot.write_budget import WriteBudget

ACQUIRE_S = 20
"""A lease whose holder died is free after one term of 15 s and a second's margin."""


def run_bot(settings: Settings, options: RunOptions) -> int:
    """Build, start, run and stop the bot. Returns the exit code; raises `DoraError` if it cannot start."""
    signer = load_signer(settings)
    ceilings = settings.ceilings()
    with ExitStack() as stack:
        clock = SystemClock()
        state_dir = stack.enter_context(StateDir.open(settings.state_dir))
        client = _client(settings, signer, clock, stack)
        limits = client.get_limits()
        db = Dynamo.connect(settings.table_prefix)
        require_tables(db)
        journal = stack.enter_context(SqliteJournal(state_dir.journal_path))
        lease = _acquire(settings, state_dir.instance_id, journal, clock)
        telemetry = Telemetry(state_dir.path)
        stack.callback(telemetry.close)
        store = StateStore(db)
        drain = Drain(journal, db, lambda: lease.grip)
        recovered = load_state(store, journal, drain, clock)
        inbox = ThreadInbox()
        rest = RestFeed(client, limits, recovered.fills_since_ms or clock.now().exchange_ms)
        socket = None if settings.feed == "rest" else _socket(settings, signer, clock, inbox, rest)
        halts = HaltFile(state_dir.path / "halts.jsonl")
        for halt in recovered.risk.halts:
            halts.latch(halt.reason, halt.raised_by, halt.evidence, clock.now())
        gate = ExposureGate(lease.margin_ms, observe=options.observe)
        state = StateManager(settings.order_prefix, _restored(recovered, clock.now()))
        bot = Bot(
            clock=clock,
            inbox=inbox,
            feed=socket or rest,
            state=state,
            budget=WriteBudget(limits, clock.now()),
            executor=Executor(client, journal, gate, clock),
            journal=journal,
            latch=halts,
            telemetry=telemetry,
            lease=OrderLease(),
            next_id=_numbered(f"{settings.order_prefix}{lease.grip.fence}-"),
        )
        transport = connect_transport(settings, signer, clock)
        stack.callback(transport.close)
        sweeper = Sweeper(transport, clock, settings.order_prefix, allow_account_wide=False)
        keeper = Keeper(
            reader=_client(settings, signer, clock, stack),
            store=ConfigStore(Dynamo.connect(settings.table_prefix)),
            feed=socket or rest,
            inbox=inbox,
            ceilings=ceilings,
            on_problem=telemetry.problem,
            held=lambda: frozenset(bot.holdings()),
        )
        risk = RiskMonitor(
            reader=_client(settings, signer, clock, stack),
            inbox=inbox,
            latch=halts,
            halts=halts.read,
            gate=gate,
            published=lambda: bot.published,
            cancel_everything=lambda _why: sweeper.sweep(5.0),
            on_problem=telemetry.problem,
            started_ms=recovered.fills_since_ms,
        )
        parts = Parts(
            clock,
            bot,
            keeper,
            risk,
            socket,
            drain,
            lease,
            journal,
            store,
            state_dir,
            telemetry,
            sweeper,
            gate,
            client,
            db,
        )
        return Runtime(parts, settings, options).run()


def _client(settings: Settings, signer: Signer, clock: SystemClock, stack: ExitStack) -> KalshiClient:
    """A client of its own for each thread, so that a slow call of one never delays another."""
    client = connect_client(settings, signer, clock)
    stack.callback(client.close)
    return client


def _socket(
    settings: Settings, signer: Signer, clock: SystemClock, inbox: ThreadInbox, rest: RestFeed
) -> MarketFeed:
    where = FeedSettings(settings.kalshi_ws_url, allowed_hosts(settings), random.random)
    return MarketFeed(where, signer, clock, inbox, rest)


def _acquire(settings: Settings, owner: str, journal: SqliteJournal, clock: Clock) -> Lease:
    db = Dynamo.connect(settings.table_prefix, attempts=1, connect_s=0.5, read_s=0.5)
    lease = Lease(db, settings.env, owner, fence_floor=journal.fence())
    give_up = clock.now().mono_ms + ACQUIRE_S * 1_000
    while not lease.acquire(clock.now()):
        if clock.now().mono_ms > give_up:
            raise LeaseLost(
                "the lease is held by another instance; stop that one, or wait for its term to end"
            )
        clock.sleep(1.0)
    journal.remember_fence(lease.grip.fence)
    return lease


def _restored(recovered: Recovered, now: Instant) -> Restored:
    """Writes whose end is not known count as open orders until the exchange says otherwise."""
    doubtful = [
        _in_doubt(i.action, i.time_ms, now) for i in recovered.unresolved if isinstance(i.action, Place)
    ]
    today, risk = utc_date(now.exchange_ms), recovered.risk
    day = Day(today, risk.day_start_equity_e6) if risk.day == today else Day()
    return Restored(recovered.positions, recovered.booked, tuple(doubtful), day)


def _in_doubt(place: Place, sent_ms: int, now: Instant) -> OwnOrder:
    return replace(opened(place, Instant(now.mono_ms, sent_ms)), state=OrderState.UNKNOWN)


def _numbered(prefix: str) -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers)}"
