"""One tick, and the loop around it. The same code trades live and on paper: only the ports differ.

    observe → freeze → stance → wish → diff → veto → budget → act → record

A halt needs no path of its own: HALTED wishes nothing, so the diff cancels everything until the exchange agrees.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dora_bot import risk_manager, strategy
from dora_bot.errors import StoreError
from dora_bot.events import AccountRead, BookLost, GroupsChanged, WriteAnswered
from dora_bot.execution import Executor
from dora_bot.models import AccountLimits, Instant, Outcome
from dora_bot.order_diff import OrderLease, diff, outran, pulse, withdraw
from dora_bot.ports import Clock, Feed, HaltLatch, Inbox, Journal, Telemetry
from dora_bot.reconcile import Reconciler
from dora_bot.records import FillRow, Row
from dora_bot.state_manager import StateManager
from dora_bot.tick_report import Decisions, TickReport
from dora_bot.views import Decision, Posture, Stance, View
from dora_bot.write_budget import SAFE_WAIT_MS, Wanted, WriteBudget

MIN_EVENT_GAP_MS = 20
"""Two ticks that events asked for are at least this far apart."""

SWEEP_MS = 0.5
"""A sweep arrives as several changes at once; judging the book after the first would judge its middle."""

STOP_CHECK_MS = 100
"""A request to stop is noticed within this time also in the middle of a quiet beat."""


@dataclass(slots=True)
class Bot:
    clock: Clock
    inbox: Inbox
    feed: Feed
    state: StateManager
    budget: WriteBudget
    executor: Executor
    journal: Journal
    latch: HaltLatch
    telemetry: Telemetry
    lease: OrderLease
    next_id: Callable[[], str]
    wish: strategy.Strategy = strategy.quote
    reconciler: Reconciler = field(default_factory=Reconciler)
    decisions: Decisions = field(default_factory=Decisions)
    published: View | None = None
    stopping: str = ""
    undurable: str = ""
    backlog: deque[object] = field(default_factory=deque)
    woken: Instant | None = None
    ticks: int = 0

    def tick(self) -> TickReport:
        now = self.clock.now()
        self.observe(self.inbox.drain(), now)
        if self.stopping:  # the sweep of a stop triggers groups, too
            self.state.groups.stand_still(now)
        view = self.published = self.state.view(now)
        stance = self.stance(view, now)
        decided = {
            ticker: self.wish(m, risk_manager.market_stance(m, stance), m.config)
            for ticker, m in view.markets.items()
        }
        verdict = risk_manager.vet(self.differences(view, decided, now), view, stance)
        actions = self.budget.choose(verdict.approved, now)
        self.state.reserve(actions, now)
        outcomes = self.executor.run(actions, now)
        done = self.clock.now()
        self.state.settle(outcomes, done)
        self.budget.note(outcomes, done)
        as_of_ms = self.reconciler.last_as_of_ms
        rows = [*self.state.take_rows(), *self.decisions.changed(view, decided, outcomes, as_of_ms)]
        self.write_down(rows, done)
        self.ticks += 1
        fills = tuple(row.fill for row in rows if isinstance(row, FillRow))
        report = TickReport(
            self.ticks, now, done, view, stance, decided, verdict, tuple(outcomes), fills, self.woken
        )
        self.telemetry.emit(report)
        return report

    def write_down(self, rows: list[Row], now: Instant) -> None:
        """Queue the rows; while the journal refuses them they wait in it, and nothing is quoted."""
        try:
            self.journal.record(rows)
            self.journal.settle(self.state.take_resolved(), now)
            self.undurable = ""
        except StoreError as error:
            self.undurable = f"journal: {error}"

    def observe(self, events: Iterable[object], now: Instant) -> None:
        """Take in everything that happened; a read of the account is reconciled, the rest is applied.

        An event that fails is given up with its tick; those behind it wait for the next one.
        """
        self.backlog.extend(events)
        while self.backlog:
            event = self.backlog.popleft()
            if isinstance(event, AccountRead):
                result = self.reconciler.apply(event, self.state, now)
                self.telemetry.emit(result)
                if result.halt_reason:
                    self.raise_halt(result.halt_reason, result.halt_evidence or "reconcile", now)
            elif isinstance(event, AccountLimits):
                self.budget.resize(event)
            elif isinstance(event, WriteAnswered):
                self.take_late(event.outcome, now)
            else:
                if isinstance(event, GroupsChanged):
                    self.lease = replace(self.lease, group_of_shard=event.groups)
                self.state.apply(event, now)
        if doubted := self.state.take_doubted():
            self.feed.resync(frozenset(doubted))
            for ticker, reason in doubted.items():
                self.telemetry.emit(BookLost((ticker,), reason))

    def take_late(self, outcome: Outcome, now: Instant) -> None:
        """The end of a write that a tick had stopped waiting for, unless other evidence has settled it since."""
        self.budget.note([outcome], now)
        if self.state.orders.awaits(outcome):
            self.state.settle([outcome], now)
            self.telemetry.emit(outcome)

    def stance(self, view: View, now: Instant) -> Stance:
        for breach in risk_manager.breaches(view):
            halts = self.latch.latch(
                breach.reason, "tick", breach.evidence, now, hold=breach.hold, scope=breach.scope
            )
            self.state.apply(halts, now)
        stance = risk_manager.stance(view)
        for reason in (self.stopping, self.undurable, self.executor.gate.no_quotes(now)):
            if reason:
                stance = Stance(min(stance.posture, Posture.PAUSED), (reason, *stance.reasons))
        return stance

    def raise_halt(self, reason: str, evidence: str, now: Instant) -> None:
        self.state.apply(self.latch.latch(reason, "tick", evidence, now), now)

    def differences(self, view: View, decided: Mapping[str, Decision], now: Instant) -> list[Wanted]:
        wanted = withdraw(view.stray_orders, now)
        lease = self.lease = self.lease.fitted(2 * len(view.markets), self.budget.limits)
        for ticker, market in view.markets.items():
            wanted += diff(decided[ticker].quotes, market, lease, self.next_id, now)
        return wanted + pulse(view, wanted, lease, now)

    def run(self, stop: Callable[[], bool]) -> None:
        """Tick on a fixed beat until told to stop; late ticks are skipped, never caught up in a burst."""
        due = self.clock.now().mono_ms
        while not stop():
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  # policy: halt; from now on every tick only cancels
                self.raise_halt("the tick failed", f"{type(error).__name__}: {error}", self.clock.now())
            limits = self.published.global_config if self.published else None
            beat = limits.loop_interval_ms if limits else 500
            late = self.clock.now().mono_ms - due
            if late >= 0:  # a tick that an event asked for comes before its beat, and must not put it off
                due += beat * (1 + late // beat)
            soon = self.clock.now().mono_ms + SAFE_WAIT_MS
            self.wait(min(due, soon) if self.budget.cancels_wait else due, stop)

    def wait(self, due_mono_ms: int, stop: Callable[[], bool]) -> None:
        """Sleep on the inbox until the beat; a fill of ours or a book that outran a quote ends it early."""
        self.woken = None
        now = self.clock.now()
        earliest = now.mono_ms + MIN_EVENT_GAP_MS
        while now.mono_ms < due_mono_ms and not stop():
            self.inbox.wait(min(due_mono_ms - now.mono_ms, STOP_CHECK_MS) / 1_000)
            now = self.clock.now()
            fills = self.state.fills_booked
            self.observe(self.inbox.drain(), now)
            if self.state.fills_booked > fills or self.outrun():
                self.woken = now
                self.clock.sleep(max(earliest - now.mono_ms, SWEEP_MS) / 1_000)
                return

    def holdings(self) -> set[str]:
        """Markets in which we hold contracts or orders, as of the last tick: they stay watched whatever config says."""
        view = self.published
        if view is None:
            return self.state.holdings()
        held = {ticker for ticker, position in view.positions.items() if position.net_e2}
        return held | {t for t, m in view.markets.items() if m.orders} | {o.ticker for o in view.stray_orders}

    def unchecked(self) -> frozenset[str]:
        """Markets whose book REST has not agreed with yet, as of the last tick."""
        return self.published.unchecked if self.published else frozenset()

    def outrun(self) -> bool:
        """Did a book leave a resting quote of ours behind since the last tick, or become fit to be quoted on?"""
        touched = self.state.books.take_touched()
        if self.published is None:
            return False
        for ticker in touched:
            then = self.published.markets.get(ticker)
            if then is None:
                continue
            book = self.state.book(ticker)
            if book.proven and not then.book.proven:
                return True
            if self.state.has_resting(ticker) and outran(then.book, book, then.config):
                return True
        return False
