"""The risk thread: judges the last published view, reconciles with the exchange through its own client, may halt.

It shares nothing with trading but the published view, the inbox and the halt latch, so it still works when the
tick hangs in a call. It never trades; when the tick no longer answers, it latches a halt and cancels by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from dora_bot import risk_manager
from dora_bot.clock_guard import ClockGuard
from dora_bot.errors import SIGNATURE_EXPIRED, AuthRefused, DoraError, RateLimited, StoreError
from dora_bot.events import AccountRead, HaltsChanged
from dora_bot.gate import ExposureGate
from dora_bot.models import Balance, Cancel, Hold, Instant
from dora_bot.ports import AccountReader, HaltLatch, Inbox
from dora_bot.pulse import Pulse
from dora_bot.threads import Watch
from dora_bot.units import price_text
from dora_bot.views import View

READ_MS = 5_000
STALL_MS = 3_000
"""A tick that is silent this long is frozen (nothing that adds exposure leaves) and its orders are cancelled."""
HANG_MS = 15_000
"""Silence that no exchange call explains (a tick's calls last at most 6 s together): then it is a halt."""
FILL_OVERLAP_MS = 60_000
"""Fills are re-read this far back: times tie and reads lag, and booking is exactly-once anyway."""
WIDER = 4
"""While a fill seems to be missing each read goes so many times further back than the one before."""

BALANCE_MS = 1_500

ENFORCE_MS = 1_500
"""So long the tick may take to cancel after a halt; then this thread cancels, too, by every way there is."""


@dataclass(slots=True)
class RiskMonitor:
    reader: AccountReader
    inbox: Inbox
    latch: HaltLatch
    halts: Callable[[], HaltsChanged]
    gate: ExposureGate
    published: Callable[[], View | None]
    cancel_everything: Callable[[str], object]
    on_problem: Callable[[str, Exception], None]
    own_prefix: str
    """What the client order ids of our own orders begin with."""
    clock_offset_ms: Callable[[], int]
    """Exchange time less the machine's own."""
    started_ms: int
    """The first read asks for fills from here on."""
    booked_since_ms: int
    """None older than this is ever asked for: it could be booked twice."""
    window_ms: int = FILL_OVERLAP_MS
    reads: int = 0
    last_read_ms: int = 0
    last_as_of_ms: int = 0
    read_due_ms: int = 0
    auth_refusals: int = 0
    balance: Balance = field(default_factory=lambda: Balance(0))
    balance_due_ms: int = 0
    enforce_due_ms: int | None = None
    cancel_wanted: str = ""
    """Why everything is to be cancelled in the tick's place; empty: it is not."""
    judged: Pulse = field(default_factory=Pulse)
    """Beats with every new view that was judged: a thread that judges the same one for ever gives no sign of life."""
    judged_mono_ms: int = -1
    clock_guard: ClockGuard = field(default_factory=ClockGuard)
    tick_watch: Watch = field(default_factory=Watch)

    def watch(self, now: Instant) -> None:
        """Halts first (a file read), then the published view. No call: `runtime` reads and cancels in other threads."""
        try:
            self.take_halts()
        except StoreError as error:
            self.halt("the halts cannot be read", str(error), now)
        self._judge_clock(now)
        self.judge(now)

    def _judge_clock(self, now: Instant) -> None:
        offset_ms = self.clock_offset_ms()
        if evidence := self.clock_guard.breach(offset_ms, now):
            self.halt("the machine's clock is wrong", evidence, now)
        if warning := self.clock_guard.warning(offset_ms):
            self.on_problem("clock", DoraError(warning))

    def read_when_due(self, now: Instant) -> None:
        """The account every 5 s; its reads may take seconds each, so `runtime` gives them a thread of their own."""
        if now.mono_ms >= self.read_due_ms:
            self.read_due_ms = now.mono_ms + READ_MS
            try:
                read = self.read_account(now)
                self.inbox.post(read)
                self.auth_refusals = 0
                self._cancel_foreign(read)
            except AuthRefused as error:
                self.auth_refusals += 1
                self.on_problem("account", error)
                if self.auth_refusals >= 3:
                    late = SIGNATURE_EXPIRED in str(error)
                    reason = (
                        "signatures reach the exchange too late" if late else "the exchange refuses the key"
                    )
                    self.halt(reason, str(error), now)
            except DoraError as error:
                self.on_problem("account", error)

    def _cancel_foreign(self, read: AccountRead) -> None:
        """Where the account is the bot's alone, an order that it does not own is an accident (FAULTS I15)."""
        view = self.published()
        if view is None or view.global_config is None or view.global_config.foreign_orders != "cancel":
            return
        foreign = [o for o in read.orders if not o.client_order_id.startswith(self.own_prefix)]
        if not foreign:
            return
        told = ", ".join(f"{o.ticker} {o.side} {price_text(o.price_e4)}" for o in foreign[:5])
        self.on_problem("foreign orders", DoraError(f"{len(foreign)} foreign orders are cancelled: {told}"))
        self.reader.cancel_orders(
            [Cancel(o.client_order_id, o.order_id, o.ticker, o.exchange_index, "foreign") for o in foreign]
        )

    def take_halts(self) -> None:
        found = self.halts()
        view = self.published()
        # The tick latches, too: a halt of its own that was lifted before this thread looked must be lifted there.
        if found != self.gate.halts or (view is not None and set(view.halts) != set(found.halts)):
            self.gate.halts = found
            self.inbox.post(found)

    def judge(self, now: Instant) -> None:
        view = self.published()
        if view is None:
            return
        for breach in risk_manager.breaches(view):
            self.halt(breach.reason, breach.evidence, now, hold=breach.hold, scope=breach.scope)
        if view.now.mono_ms > self.judged_mono_ms:
            self.judged_mono_ms = view.now.mono_ms
            self.judged.beat()
        silent = now.mono_ms - view.now.mono_ms
        stood_still = self.tick_watch.still_ms(Pulse(view.now.mono_ms), now)
        beat = view.global_config.loop_interval_ms if view.global_config else 0
        if silent <= STALL_MS + beat or self.gate.stopping:  # at a stop the sweep takes the tick's place
            self.gate.stalled = ""
            self._enforce(view, now)
            return
        self.gate.stalled = f"the tick has not answered for {silent} ms"
        if stood_still > HANG_MS + beat:  # not where the whole process did, which ends by itself
            self.halt("the tick loop does not answer", f"silent for {silent} ms", now)
        self.cancel_wanted = "tick loop stalled"

    def _enforce(self, view: View, now: Instant) -> None:
        """Halted, and orders of ours still live: the tick's cancels do not work (FAULTS F22)."""
        orders = [o for m in view.markets.values() for o in m.orders if o.live]
        if not self.gate.halts.halted or self.gate.stopping or not (orders or view.stray_orders):
            self.enforce_due_ms = None
            return
        if self.enforce_due_ms is None:
            self.enforce_due_ms = now.mono_ms + ENFORCE_MS
        elif now.mono_ms >= self.enforce_due_ms:
            self.enforce_due_ms = now.mono_ms + ENFORCE_MS
            self.cancel_wanted = "halted, and orders rest"

    def cancel_when_wanted(self) -> None:
        """Takes as long as its calls. What fails is wanted again at the next look."""
        why, self.cancel_wanted = self.cancel_wanted, ""
        if not why:
            return
        try:
            self.cancel_everything(why)
        except DoraError as error:
            self.on_problem("cancel", error)

    def halt(
        self, reason: str, evidence: str, now: Instant, *, hold: Hold = Hold.HALTED, scope: str = ""
    ) -> None:
        self.gate.halts = self.latch.latch(reason, "risk", evidence, now, hold=hold, scope=scope)
        self.inbox.post(self.gate.halts)

    def read_account(self, now: Instant) -> AccountRead:
        """One consistent-enough picture: complete up to its ``as_of_ms``, which is read first."""
        as_of = self.reader.get_user_data_timestamp()
        since = self.fills_since_ms()
        orders = self.reader.get_open_orders()
        read = AccountRead(
            as_of_ms=as_of,
            started=now,
            orders=tuple(orders),
            fills=tuple(self.reader.get_fills(since)),
            positions=tuple(self.reader.get_positions()),
            settlements=tuple(self.reader.get_settlements(since)),
            balance=self.read_balance(now),
            fills_since_ms=since,
        )
        self.reads += 1
        self.last_as_of_ms = as_of
        self.last_read_ms = now.mono_ms
        return read

    def fills_since_ms(self) -> int:
        """From the last read that worked, however long ago: what was filled in between must not be left out.

        A read can leave out a fill and later ones not reach back to it. So while something is unexplained they go
        further back each time, to the beginning of what is known, and then start over.
        """
        if not self.last_as_of_ms:
            return self.started_ms
        view, known_ms = self.published(), self.last_as_of_ms - self.booked_since_ms
        wider = view is not None and view.unexplained and self.window_ms < known_ms
        self.window_ms = self.window_ms * WIDER if wider else FILL_OVERLAP_MS
        return self.last_as_of_ms - min(self.window_ms, known_ms)

    def read_balance(self, now: Instant) -> Balance:
        """The balance has a bucket of its own that refills once a second; in between the last one serves.

        It also serves where that bucket is empty all the same: another program of the account may read it, and that
        must not cost us the orders, fills and positions of this read.
        """
        if now.mono_ms >= self.balance_due_ms:
            self.balance_due_ms = now.mono_ms + BALANCE_MS
            try:
                self.balance = self.reader.get_balance()
            except RateLimited as error:
                if not self.reads:
                    raise
                self.on_problem("balance", error)
        return self.balance
