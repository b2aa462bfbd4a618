"""The running bot: its threads, its start gate, its stop.

The tick runs on the main thread; feed, polling, risk, keeper, drain, lease and status each on their own. Stopping is proving:
every order is cancelled, read back as gone, late fills are booked, everything is flushed, then the lease is released.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from dora_bot.ceilings import Ceilings
from dora_bot.config import Settings
from dora_bot.errors import ConfigError, DoraError, ExchangeUnreachable, LeaseLost, RateLimited, StoreError
from dora_bot.events import AccountRead
from dora_bot.exit_codes import ExitCode
from dora_bot.kill import OWN_IDS, STOP, Swept
from dora_bot.models import Balance, Instant
from dora_bot.own_orders import OrderState
from dora_bot.parts import Parts
from dora_bot.status import end_lines, status
from dora_bot.stop_signals import StopSignals
from dora_bot.threads import STILL_MS, Loop, Watch
from dora_bot.tick_report import TickReport
from dora_bot.units import money_text

STOP_TICKS_MS = 3_000
SWEEP_S = 10.0
SETTLE_MS = 3_000
FLUSH_MS = 10_000
FIRST_READ_MS = 15_000
"""So long a start waits for reads that are not older than itself; they lie behind by some seconds at times."""
FIRST_READ_PAUSE_S = 0.2
HEARTBEAT_MS = 30_000
LOOP_HANG_MS = 60_000
"""A thread of ours that stands still this long never goes on: then the freeze becomes a halt."""
FEED_MS = 500
"""How often the service manager is told that the bot lives."""
SWITCH_S = 0.0005
"""How long one thread may compute while another waits; at Python's 5 ms the feed could hold up a cancel."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """``seconds`` and ``ticks``: 0 = no limit. ``observe``: decide and log, send no order that adds exposure.

    ``json``: one line a tick on stdout. ``standby``: wait for the lease as long as another instance holds it.
    """

    seconds: float = 0
    ticks: int = 0
    observe: bool = False
    json: bool = False
    standby: bool = False
    notify_socket: str = ""
    """Where the service manager listens, see `service_manager`."""


@dataclass(slots=True)
class Runtime:
    parts: Parts
    settings: Settings
    options: RunOptions
    signals: StopSignals
    loops: list[Loop] = field(default_factory=list)
    stop_reason: str = ""
    exit_code: ExitCode = ExitCode.DONE
    started_mono_ms: int = 0
    heartbeat_due_ms: int = 0
    posture: str = ""
    ticked_mono_ms: int = 0
    fed_mono_ms: int = 0
    risk_watch: Watch = field(default_factory=Watch)
    watches: dict[str, Watch] = field(default_factory=lambda: defaultdict(Watch))

    def run(self) -> int:
        p = self.parts
        self.started_mono_ms = p.clock.now().mono_ms
        sys.setswitchinterval(SWITCH_S)
        try:
            self.start()
            p.bot.run(self.should_stop)
        finally:
            self.stop()
        return self.exit_code

    # ── start ───────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """The start gate: halts, config, metadata and the account are read and reconciled, then the threads run."""
        p = self.parts
        now = p.clock.now()
        p.risk.take_halts()
        if p.socket:
            p.socket.start()
        account, _ = p.threads.both(lambda: self.first_read(now), lambda: p.keeper.start(now))
        require_bankroll(account.balance, p.keeper.ceilings)
        p.bot.observe([*p.bot.inbox.drain(), account], p.clock.now())
        p.bot.write_down(p.bot.state.take_rows(), now)
        p.bot.published = p.bot.state.view(p.clock.now())
        # Durable before the first quote: a crash a second later must not begin the day anew (FAULTS I36).
        p.store.publish(p.published())
        p.drain.published = p.published
        p.drain.halts = lambda: p.gate.halts.halts
        p.telemetry.on_report = self.after_tick
        for name, every_s, step in (
            ("risk", 0.5, self.judge),
            ("sweep", 0.25, lambda _now: p.risk.cancel_when_wanted()),
            ("account", 0.5, p.risk.read_when_due),
            ("keeper", 0.5, p.keeper.step),
            ("polling", 0.1, self.poll),
            ("drain", 0.25, self.drain),
            ("lease", 0.5, self.renew),
            ("status", 0.5, self.tell_status),
        ):
            self.loops.append(p.threads.loop(name, every_s, step, p.clock, self.on_thread_death))
        for loop in self.loops:
            loop.start()
        p.manager.ready(f"{len(p.bot.published.markets)} markets")
        p.telemetry.log.info(
            "started",
            extra={
                "action": "start",
                "env": self.settings.env,
                "version": p.bot.decisions.code,
                "exchange": self.settings.kalshi_rest_url,
                "table_prefix": self.settings.table_prefix,
                "subaccount": self.settings.kalshi_subaccount,
                "ceilings": p.keeper.ceilings.source,
                **p.plan(),
            },
        )

    def first_read(self, now: Instant) -> AccountRead:
        """A read that shows all that the process before this one did: an older one may lack orders that rest.

        Raises `ExchangeUnreachable` if the exchange's reads stay older than this start.
        """
        p, give_up = self.parts, now.mono_ms + FIRST_READ_MS
        while p.risk.reader.get_user_data_timestamp() < now.exchange_ms:
            if p.clock.now().mono_ms > give_up:
                raise ExchangeUnreachable(
                    "account reads are older than this start: orders of ours may be missing"
                )
            p.clock.sleep(FIRST_READ_PAUSE_S)
        return p.risk.read_account(p.clock.now())

    # ── the loops' bodies ───────────────────────────────────────────────────────────────────────

    def should_stop(self) -> bool:
        p = self.parts
        self.feed_watchdog(p.clock.now())
        self.stop_reason = self.stop_reason or self.signals.received
        if self.options.ticks and p.bot.ticks >= self.options.ticks:
            self.stop_reason = self.stop_reason or f"{self.options.ticks} ticks are done"
        if self.options.seconds:
            elapsed = (p.clock.now().mono_ms - self.started_mono_ms) / 1_000
            if elapsed >= self.options.seconds:
                self.stop_reason = self.stop_reason or f"{self.options.seconds:g} s are over"
        return bool(self.stop_reason)

    def after_tick(self, report: TickReport) -> None:
        """On the tick's thread: it alone says that the bot lives, and it is who watches the risk thread."""
        p = self.parts
        if self.options.json:
            p.telemetry.print_line(json.dumps(report.line()))
        if p.gate.stopping:
            return
        self.posture, self.ticked_mono_ms = report.stance.posture.name, report.done.mono_ms
        self.feed_watchdog(report.done)
        still_ms = self.risk_watch.still_ms(p.risk.judged, report.done)
        if still_ms > STILL_MS and not p.gate.halts.halted:
            self.halt("the risk thread hangs", f"no new view judged for {still_ms} ms", "tick")

    def feed_watchdog(self, now: Instant) -> None:
        """On the tick's thread, also between two ticks of a slow beat; one that fails, or is late, starves it."""
        p = self.parts
        limits = p.bot.published.global_config if p.bot.published else None
        on_time_ms = (limits.loop_interval_ms if limits else 0) + STILL_MS
        if now.mono_ms - self.fed_mono_ms >= FEED_MS and now.mono_ms - self.ticked_mono_ms <= on_time_ms:
            self.fed_mono_ms = now.mono_ms
            p.manager.alive(self.posture)

    def judge(self, now: Instant) -> None:
        """The risk thread's step, and its look at the other threads: one that is gone must not pass for a quiet one."""
        p = self.parts
        p.risk.watch(now)
        self.look_at_threads(now)
        if p.socket is not None and p.socket.refused:
            p.risk.halt("the exchange refuses the WebSocket", p.socket.refused, now)
        elif p.socket is not None and not p.socket.alive and not p.gate.stopping:
            p.risk.halt("the feed thread died", "it ended without being asked to", now)

    def look_at_threads(self, now: Instant) -> None:
        """One that stands still freezes the bot until it goes on; after a minute it is a halt."""
        p = self.parts
        if p.gate.stopping:
            p.gate.hung = ""
            return
        pulses = {loop.name: loop.pulse for loop in self.loops if loop.name != "risk"}
        if p.socket is not None and p.socket.alive:
            pulses["feed"] = p.socket.pulse
        still = {name: self.watches[name].still_ms(pulse, now) for name, pulse in pulses.items()}
        hung = [name for name, still_ms in still.items() if still_ms > STILL_MS]
        told = f"the {' and the '.join(hung)} thread stands still" if hung else ""
        if told != p.gate.hung:
            p.telemetry.log.warning("threads", extra={"action": "watch", "reason": told or "all go on"})
        p.gate.hung = told
        for name in hung:
            if still[name] > LOOP_HANG_MS and name != "feed":  # without a feed nothing is quoted anyway
                p.risk.halt(f"the {name} thread hangs", f"it stands still for {still[name]} ms", now)

    def poll(self, now: Instant) -> None:
        """Books and fills by REST, beside the tick: while they are slow to come it must cancel what they would prove."""
        for event in self.parts.poll(now):
            self.parts.bot.inbox.post(event)

    def drain(self, now: Instant) -> None:
        try:
            report = self.parts.drain.step(now)
        except LeaseLost as error:  # the renewal may learn of it later than a booking does
            self.lease_lost(error)
            return
        except StoreError as error:  # the journal cannot be used; the tick knows, and quotes nothing
            self.parts.telemetry.problem("drain", error)
            return
        if report.error:
            self.parts.telemetry.problem("drain", DoraError(report.error))
        if now.mono_ms >= self.heartbeat_due_ms:
            self.heartbeat_due_ms = now.mono_ms + HEARTBEAT_MS
            self.heartbeat(now)

    def heartbeat(self, now: Instant) -> None:
        p = self.parts
        view = p.bot.published
        if view is None:
            return
        try:
            details = {
                "ticks": Decimal(p.bot.ticks),
                "env": self.settings.env,
                "version": p.bot.decisions.code,
                "ceilings": p.keeper.ceilings.source,
            }
            p.store.beat(p.state_dir.instance_id, now.exchange_ms, details)
        except DoraError as error:
            p.telemetry.problem("heartbeat", error)

    def renew(self, now: Instant) -> None:
        try:
            self.parts.lease.step(now)
        except LeaseLost as error:
            self.lease_lost(error)
        except DoraError as error:
            self.parts.telemetry.problem("lease", error)

    def lease_lost(self, error: LeaseLost) -> None:
        """Another instance owns the account: leave it, which is no reason for a halt."""
        self.exit_code = ExitCode.LEASE
        self.stop_reason = self.stop_reason or str(error)

    def tell_status(self, now: Instant) -> None:
        """A disk that takes no status is no reason to stop trading; what has to be durable asks it for itself."""
        try:
            self.publish_status(now)
        except StoreError as error:
            self.parts.telemetry.problem("status", error)

    def publish_status(self, now: Instant) -> None:
        p = self.parts
        view = p.bot.published
        if view is not None:
            body = status(view, p.telemetry.scores, self.parts.surroundings(self.settings.env, now))
            p.state_dir.publish_status(json.dumps(body).encode())

    def on_thread_death(self, name: str, error: Exception) -> None:
        """A slow thread ended by an error nobody expected: nothing may go on without it."""
        self.parts.telemetry.log.error("thread died", extra={"action": name, "reason": repr(error)})
        self.halt(f"the {name} thread died", repr(error), name)

    def halt(self, reason: str, evidence: str, by: str) -> None:
        p = self.parts
        halts = p.bot.latch.latch(reason, by, evidence, p.clock.now())
        p.gate.halts = halts
        p.bot.inbox.post(halts)

    # ── stop ────────────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Cancel, prove, book, flush, release; each part is tried whatever became of the one before."""
        p = self.parts
        p.gate.stopping = True
        p.manager.stopping(self.stop_reason or self.signals.received or "stopping")
        p.bot.stopping = self.stop_reason or self.signals.received or "stopping"
        self._tried("cancel", self._withdraw)
        lease_lost = self.exit_code is ExitCode.LEASE
        if lease_lost:  # other orders and the tables are the next holder's now
            p.sweeper.prefix = p.life_prefix
        reach = OWN_IDS if lease_lost else STOP
        swept = self._tried("sweep", lambda: p.sweeper.sweep(SWEEP_S, reach))
        proof = swept.told(p.clock.now().exchange_ms) if isinstance(swept, Swept) else str(swept)
        if isinstance(swept, Swept) and not (swept.verified and swept.open_orders == 0):
            self.exit_code = self.exit_code or ExitCode.FAILED
        for loop in self.loops:
            if loop.name in ("risk", "account", "keeper"):  # the account is now read here
                loop.stop(3.0)
        if p.keeper.groups is not None:
            self._tried("order groups", p.keeper.groups.delete_all)
        self._tried("last fills", self._book_late_fills)
        if p.socket:
            p.socket.stop()
        for loop in self.loops:
            loop.stop(3.0)
        if not lease_lost:
            self._tried("flush", lambda: p.drain.flush(p.clock, FLUSH_MS))
        self._tried("status", lambda: self.publish_status(p.clock.now()))
        self._tried("lease", p.lease.release)
        if self.exit_code is ExitCode.DONE and p.gate.halts.halted:
            self.exit_code = ExitCode.HALTED
        p.telemetry.log.info("stopped", extra={"action": "stop", "reason": p.bot.stopping, "orders": proof})
        if not self.options.json:
            self._tried("report", lambda: self._report(swept))

    def _report(self, swept: object) -> None:
        view = self.parts.bot.published
        if view is None:
            return
        told = status(
            view,
            self.parts.telemetry.scores,
            self.parts.surroundings(self.settings.env, self.parts.clock.now()),
        )
        left = str(swept.open_orders) if isinstance(swept, Swept) else "not known how many"
        with suppress(OSError):  # the terminal may be what went away
            sys.stdout.write("\n".join(end_lines(told, self.parts.bot.stopping, left)) + "\n")
            sys.stdout.flush()

    def _withdraw(self) -> None:
        """Ticks that wish nothing cancel everything; the kill path then reads back, with its own connection."""
        p = self.parts
        deadline = p.clock.now().mono_ms + STOP_TICKS_MS
        while p.bot.published is not None and p.clock.now().mono_ms < deadline:
            p.bot.tick()
            if not any(o.state is not OrderState.UNKNOWN for o in p.bot.state.orders.live()):
                break
            p.clock.sleep(0.1)

    def _book_late_fills(self) -> None:
        """Read the account until it is newer than the last cancel, so that no fill is left behind."""
        p = self.parts
        cancelled = p.clock.now()
        p.risk.last_as_of_ms = 0
        while True:
            late = p.clock.now().mono_ms - cancelled.mono_ms > SETTLE_MS
            try:
                read = p.risk.read_account(p.clock.now())
            except RateLimited:
                if late:
                    raise
            else:
                p.bot.observe([*p.bot.inbox.drain(), read], p.clock.now())
                if late or read.as_of_ms > cancelled.exchange_ms:
                    break
            p.clock.sleep(0.2)
        p.bot.tick()

    def _tried(self, what: str, step: Callable[[], object]) -> object:
        try:
            return step()
        except Exception as error:  # noqa: BLE001  # policy: the stop goes on with the next step and ends with code 1
            self.parts.telemetry.problem(what, error)
            self.exit_code = self.exit_code or ExitCode.FAILED
            return f"failed: {error}"


def require_bankroll(balance: Balance, ceilings: Ceilings) -> None:
    """Raises `ConfigError` if the account holds more cash than the ceilings allow to be put at risk."""
    most = ceilings.bankroll_e6
    if most is not None and balance.total_e6 > most:
        raise ConfigError(
            f"the account holds ${money_text(balance.total_e6)}, more than the ceilings' bankroll of "
            f"${money_text(most)}; move the rest out of this (sub)account"
        )
