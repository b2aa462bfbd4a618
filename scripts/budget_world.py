"""The production tick against the paper exchange's engine in virtual time, with its rate limits and round trips.

For benchmarks of the write budget: no network, no faults and no threads, so that a minute of sixty markets takes
seconds and the same seed gives the same traders to every budget that is tried.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import cast

from dora_bot.ceilings import Ceilings
from dora_bot.config import global_config, market_config
from dora_bot.events import CatalogChanged, FeedUp, FillSeen
from dora_bot.execution import Executor
from dora_bot.main import Bot
from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    BucketLimit,
    Cancel,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
)
from dora_bot.order_diff import OrderLease
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import BookChanged, FillMade, OrderChanged
from dora_bot.paper.profiles import Profile
from dora_bot.paper.rate_limits import (
    CANCEL_COST,
    DEFAULT_COST,
    SHARDS,
    TIERS,
    WRITE,
    AccountBuckets,
    shard_bucket,
)
from dora_bot.paper.specs import AmendRequest, FillView, OrderRequest, Receipt, Refused
from dora_bot.paper.synthetic import SyntheticWorld
from dora_bot.ports import Exchange as ExchangePort
from dora_bot.state_manager import Restored, StateManager
from dora_bot.tick_report import TickReport
from dora_bot.views import ConfigChanged, Decision
from dora_bot.write_budget import SAFE_WAIT_MS, WriteBudget
from tests.fakes.ports import FakeFeed, ListInbox, MemoryJournal, MemoryLatch, ScriptedGate
from tests.sim import convert

EPOCH_MS = 1_795_176_000_000
BOT = "bot"
CASH_E6 = 10**12
BEAT_MS = 500
ITEM = {
    "enabled": True,
    "max_inventory_yes": 200,
    "max_inventory_no": 200,
    "min_spread": "0.02",
    "quote_size": 10,
}
GLOBAL = {
    "key": "global_config",
    "max_total_exposure": 100_000,
    "max_daily_loss": 100_000,
    "loop_interval_ms": BEAT_MS,
    "trading_enabled": True,
}
MakeBudget = Callable[[AccountLimits, Instant], WriteBudget]


@dataclass
class Measured:
    """What one run did. ``fills`` carries each fill with the latent fair value (0.0001 $) of its moment, ``stale`` those of
    orders that stood at a worse price than the last tick wished, or where it wished for none.
    """

    tokens: int = 0
    refused_429: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    fills: list[tuple[FillView, float]] = field(default_factory=list)
    stale: list[tuple[FillView, float]] = field(default_factory=list)
    unserved_ms: int = 0
    least_tokens: float = 1e9
    quoted: int = 0
    sides: int = 0

    @property
    def captured(self) -> float:
        """Dollars that all fills were better than the fair value of their moment."""
        return sum(_edge(fill, fair) for fill, fair in self.fills)

    @property
    def adverse(self) -> float:
        """Dollars lost by those that were worse than it."""
        return _lost(self.fills)

    @property
    def adverse_stale(self) -> float:
        """Dollars of it that stale quotes lost."""
        return _lost(self.stale)


def _lost(fills: Sequence[tuple[FillView, float]]) -> float:
    return sum(-min(_edge(fill, fair), 0.0) for fill, fair in fills)


def _edge(fill: FillView, fair_e4: float) -> float:
    return fill.side.sign * (fair_e4 - fill.price_e4) * fill.count_e2 / 1e6


class VirtualClock:
    """Implements `ports.Clock`; sleeping lets the world act."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.now_ms = 0
        self._advance = advance

    def now(self) -> Instant:
        return Instant(self.now_ms, EPOCH_MS + self.now_ms)

    def sleep(self, seconds: float) -> None:
        self._advance(self.now_ms + max(round(seconds * 1_000), 1))


class BudgetWorld:
    """One seed's exchange, traders and bot. ``make`` builds the budget under test."""

    def __init__(self, seed: int, markets: int, tier: str, make: MakeBudget) -> None:
        self.measured = Measured()
        self._decided: Mapping[str, Decision] = {}
        self.engine = Exchange(seed)
        self.engine.open_account(BOT, dict.fromkeys(SHARDS, CASH_E6))
        self.world = SyntheticWorld(self.engine, markets=markets, seed=seed, now_ms=EPOCH_MS)
        self.tickers = self.world.tickers
        self.buckets = AccountBuckets(TIERS[tier])
        self.profile = Profile("real", seed)
        self.clock = VirtualClock(self.advance)
        self.inbox = ListInbox(self.clock.sleep, capacity=10**9)
        self.engine.drain_events()
        self.bot = self._bot(make)
        self._introduce()

    def _bot(self, make: MakeBudget) -> Bot:
        tier = self.buckets.tier
        limits = AccountLimits(
            tier.name,
            BucketLimit(tier.read_capacity, tier.read),
            BucketLimit(tier.write_capacity, tier.write),
        )
        journal, numbers = MemoryJournal(), count(1)
        calls = cast("ExchangePort", Calls(self))  # the tick makes no other calls than these
        return Bot(
            clock=self.clock,
            inbox=self.inbox,
            feed=FakeFeed(),
            state=StateManager("b-", Restored({}, frozenset())),
            budget=make(limits, self.clock.now()),
            executor=Executor(calls, journal, ScriptedGate(), self.clock),
            journal=journal,
            latch=MemoryLatch(),
            telemetry=self,
            lease=OrderLease(),
            next_id=lambda: f"b-{next(numbers)}",
        )

    def _introduce(self) -> None:
        """What keeper and feed tell a bot that starts."""
        catalog = tuple(convert.market_of(self.engine.market(t)) for t in self.tickers)
        configs = tuple(market_config({**ITEM, "market_id": t}, Ceilings()) for t in self.tickers)
        events = (
            CatalogChanged(catalog),
            ConfigChanged(configs, global_config(GLOBAL, Ceilings())),
            FeedUp(1),
            *(convert.snapshot_of(self.engine.book(t)) for t in self.tickers),
        )
        for event in events:
            self.inbox.post(event)

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def advance(self, to_ms: int) -> None:
        """Let the traders act at their own times up to a moment, and hand the frames to the bot."""
        while self.world.next_due_ms() - EPOCH_MS <= to_ms:
            self.clock.now_ms = max(self.world.next_due_ms() - EPOCH_MS, self.clock.now_ms)
            self.engine.advance(EPOCH_MS + self.clock.now_ms)
            self.world.step(EPOCH_MS + self.clock.now_ms)
            self.publish()
        self.clock.now_ms = max(to_ms, self.clock.now_ms)
        self.engine.advance(EPOCH_MS + self.clock.now_ms)
        self.publish()

    def publish(self) -> None:
        for event in self.engine.drain_events():
            if isinstance(event, BookChanged):
                self.inbox.post(convert.delta_of(event))
            elif isinstance(event, OrderChanged) and event.account == BOT:
                self.inbox.post(convert.order_seen(event))
            elif isinstance(event, FillMade) and event.account == BOT:
                self.inbox.post(FillSeen(convert.fill_of(event.fill, "ws")))
                self._note(event.fill)

    def _note(self, fill: FillView) -> None:
        valued = (fill, 10_000 * self.world.fair(fill.ticker))
        self.measured.fills.append(valued)
        decided = self._decided.get(fill.ticker)
        quotes = decided.quotes if decided else ()
        if not any(q.side is fill.side and (q.price_e4 - fill.price_e4) * q.side.sign >= 0 for q in quotes):
            self.measured.stale.append(valued)

    def run(self, seconds: int) -> Measured:
        """Tick on the beat, sooner where cancels wait for tokens. Raises `RuntimeError` if the bot halted."""
        due = 0
        while self.clock.now_ms < seconds * 1_000:
            self.bot.tick()
            due += BEAT_MS * max((self.clock.now_ms - due) // BEAT_MS + 1, 0)
            soon = self.clock.now_ms + SAFE_WAIT_MS
            self.advance(min(due, soon) if self.bot.budget.cancels_wait else due)
        published = self.bot.published
        if published is None or published.halts:
            raise RuntimeError(f"the bot halted: {published and published.halts}")
        return self.measured

    def emit(self, report: object) -> None:
        """`ports.Telemetry`: after each tick."""
        if not isinstance(report, TickReport):
            return
        self._decided = report.decided
        measured, budget = self.measured, self.bot.budget
        measured.least_tokens = min(measured.least_tokens, budget.tokens_left)
        for ticker, market in report.view.markets.items():
            measured.unserved_ms = max(measured.unserved_ms, budget.unserved_ms(ticker, report.view.now))
            measured.quoted += sum(o.live for o in market.orders)
            measured.sides += 2


class Calls:
    """The trading calls: a round trip of profile ``real``, billed and applied in its middle."""

    def __init__(self, world: BudgetWorld) -> None:
        self._world = world

    def place_orders(self, orders: Sequence[Place]) -> list[Outcome]:
        return self._call([(WRITE, DEFAULT_COST * len(orders), orders)])

    def amend_orders(self, orders: Sequence[Amend]) -> list[Outcome]:
        return self._call([(shard_bucket(o.exchange_index), DEFAULT_COST, [o]) for o in orders])

    def cancel_orders(self, orders: Sequence[Cancel]) -> list[Outcome]:
        parts = [orders[at : at + 20] for at in range(0, len(orders), 20)]
        return self._call([(WRITE, CANCEL_COST * len(part), part) for part in parts])

    def _call(self, requests: Sequence[tuple[str, int, Sequence[Action]]]) -> list[Outcome]:
        """Requests side by side; the answers in the order of the actions, once the last has come."""
        world, started = self._world, self._world.clock.now_ms
        delays = [world.profile.request_delays_s() for _ in requests]
        found: dict[int, list[Outcome]] = {}
        for at in sorted(range(len(requests)), key=lambda n: delays[n][0]):
            world.advance(started + round(delays[at][0] * 1_000))
            found[at] = self._land(*requests[at])
        world.advance(started + round(max(sum(delay) for delay in delays) * 1_000))
        return [outcome for at in range(len(requests)) for outcome in found[at]]

    def _land(self, bucket: str, cost: int, actions: Sequence[Action]) -> list[Outcome]:
        world = self._world
        if not world.buckets.take([bucket], cost, EPOCH_MS + world.clock.now_ms):
            world.measured.refused_429 += 1
            return [Outcome(a, OutcomeKind.REFUSED, code="http_429") for a in actions]
        world.measured.tokens += cost
        return [self._apply(action) for action in actions]

    def _apply(self, action: Action) -> Outcome:
        world = self._world
        try:
            outcome = _perform(world.engine, action, EPOCH_MS + world.clock.now_ms)
        except Refused as refused:
            unknown = refused.status in (404, 409)
            kind = OutcomeKind.UNKNOWN if unknown else OutcomeKind.REFUSED
            outcome = Outcome(action, kind, code=refused.code)
        world.measured.writes[f"{type(action).__name__} {outcome.kind}"] += 1
        world.publish()
        return outcome


def _perform(engine: Exchange, action: Action, now_ms: int) -> Outcome:
    if isinstance(action, Cancel):
        reduced = engine.cancel(BOT, action.order_id, now_ms, shard=action.exchange_index)
        return Outcome(
            action, OutcomeKind.ACCEPTED, action.order_id, reduced_by_e2=reduced.reduced_by_e2, time_ms=now_ms
        )
    expires = action.expiration_ms // 1_000 * 1_000
    if isinstance(action, Amend):
        change = AmendRequest(
            action.order_id,
            action.ticker,
            action.side,
            action.price_e4,
            action.total_e2,
            expiration_ms=expires,
            shard=action.exchange_index,
        )
        return _accepted(action, engine.amend(BOT, change, now_ms))
    request = OrderRequest(
        action.ticker,
        action.side,
        action.price_e4,
        action.count_e2,
        client_order_id=action.client_order_id,
        post_only=True,
        expiration_ms=expires,
        shard=action.exchange_index,
    )
    return _accepted(action, engine.create(BOT, request, now_ms))


def _accepted(action: Action, receipt: Receipt) -> Outcome:
    return Outcome(
        action,
        OutcomeKind.ACCEPTED,
        receipt.order_id,
        filled_e2=receipt.filled_e2,
        remaining_e2=receipt.remaining_e2,
        time_ms=receipt.ts_ms,
    )
