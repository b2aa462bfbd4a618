"""Everything around the bot: exchange, network, tables, machines, operator; faults come and go in cycles.

A cycle is a rough part and a calm one. In the calm part no fault strikes: the bot must come back to quoting (the
liveness of FAULTS section 2), then trading stands still and its ledger must equal the exchange's.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dora_bot.models import Outcome
from dora_bot.state_store import StateStore
from dora_bot.tick_report import TickReport
from tests.sim.calendar import Calendar
from tests.sim.client import Flight
from tests.sim.dog import Dog
from tests.sim.editor import Editor
from tests.sim.faults import Faults
from tests.sim.host import CLOCK_MS, Host
from tests.sim.judge import Judge, Violation
from tests.sim.kernel import Kernel, Killed
from tests.sim.life import Life
from tests.sim.misbehaviour import Happenings
from tests.sim.stores import TICKERS, configured
from tests.sim.tables import SimDynamo, TableClient
from tests.sim.venue import Venue

ROUGH_MS = 300_000
SETTLE_MS = 100_000
MEASURE_MS = 60_000
STILL_MS = 25_000
CYCLE_MS = ROUGH_MS + SETTLE_MS + MEASURE_MS + STILL_MS
QUOTED_SHARE = 0.9
OPERATOR_MS = 20_000
LOOK_MS = 1_000
STUCK_MS = 600_000
TERM_MS = 30_000
PAUSE_MS = 40_000
"""The longest that a process stands still, as a machine does that is moved or swaps."""

KILL_WEIGHT = 0.02
RAISE_WEIGHT = 0.01
PAUSE_WEIGHT = 0.005
TERM_WEIGHT = 0.5
TWIN_SHARE = 0.3
"""How many of the runs have a second instance."""

DOG_SHARE = 0.5
"""How many have a watchdog."""

ACTORS = ("twin", "dog", *(f"flow {ticker}" for ticker in TICKERS))
"""What may be left out of a world to make a failure smaller."""

BOOK_CHECK_TICKS = 7
SWEEPING = frozenset({"kill.delete", "kill.put", "cancel_all"})
EXPOSING = frozenset({"create", "amend"})


class Unexpected(Exception):  # noqa: N818  (the defect that nobody foresaw)
    """Injected: an exception no policy knows."""


@dataclass(frozen=True)
class Result:
    seed: int
    rate: float
    ticks: int
    digest: str
    violations: tuple[Violation, ...]
    counts: Counter[str]
    pairs: Counter[tuple[str, str]]
    faults: Counter[str]
    keys: tuple[str, ...]
    records: tuple[str, ...]
    virtual_s: int


class World:
    unexpected = Unexpected

    def __init__(
        self,
        seed: int,
        rate: float,
        folder: Path,
        replay: frozenset[str] | None = None,
        without: frozenset[str] = frozenset(),
        *,
        twin: bool | None = None,
        dog: bool | None = None,
    ) -> None:
        """``replay``: exactly these faults strike; ``without``: actors that are left out, see `ACTORS`.

        ``twin``, ``dog``: whether there is a second instance, a watchdog; if not said, the seed decides.
        """
        self.folder = folder
        self.kernel = Kernel()
        self.faults = Faults(seed, rate, replay)
        self.tables = configured()
        self.venue = Venue(self.kernel, self.faults)
        self.flights: list[Flight] = []
        self.counts: Counter[str] = Counter()
        self.hidden: dict[str, int] = {}
        twin = self.faults.share("twin") < TWIN_SHARE if twin is None else twin
        twin = twin and "twin" not in without
        names = ["a", "b"] if twin else ["a"]
        self.hosts = [Host(self, name) for name in names]
        for flow, ticker in zip(self.venue.flows, TICKERS, strict=True):
            flow.running = f"flow {ticker}" not in without
        self._trading = [flow for flow in self.venue.flows if flow.running]
        self.judge = Judge(self.venue, self.tables, self.hosts, self.flights)
        self.venue.watchers.append(self.judge.on_events)
        self.happenings = Happenings(
            self.venue, self.judge.note, lambda: bool(self.judge.counts["outcome accepted"])
        )
        self.calendar = Calendar(self.venue, self.judge.note, CYCLE_MS)
        self.editor = Editor(self.kernel, self.faults, self.tables, self.judge.note)
        dog = self.faults.share("dog") < DOG_SHARE if dog is None else dog
        self.dog = Dog(self) if dog and "dog" not in without else None
        self.ticks = 0
        self.calls = 0
        self.problems: Counter[str] = Counter()
        self._target = 0
        self._measured: Counter[tuple[str, bool]] = Counter()
        self._measuring = False
        if rate == 0 and replay is None:
            self.judge.halt_bound_ms = 5_000
        self.kernel.at(ROUGH_MS, self._calm)
        self.kernel.at(OPERATOR_MS, self._operate)
        self.kernel.at(TERM_MS, self._ask_to_stop)
        self.kernel.at(LOOK_MS, self._look)
        for host in self.hosts:
            self.kernel.at(0, host.start)
            self.kernel.at(CLOCK_MS, host.set_clock)

    # ── running ─────────────────────────────────────────────────────────────────────────────────

    def run(self, ticks: int) -> Result:
        """Live, die and live again until so many ticks are done or an invariant is broken."""
        self._target = ticks
        with redirect_stdout(StringIO()):  # what a process prints when it ends
            self.kernel.run(lambda: self.over)
            self.judge.closed = True
            for life in self.lives:
                self.kernel.kill(life.process)
            self.kernel.run(lambda: not self.lives)
        if not self.faults.hits and self.venue.front.overdrawn:
            self.judge.broken("I30", f"{self.venue.front.overdrawn} writes were more than the bucket holds")
        self.judge.counts["own sizes compared"] = self.judge.proofs.sizes
        if self.dog is not None:
            self.judge.counts["trips"] = self.dog.trips
            if self.dog.trips and not self.faults.hits:
                self.judge.broken("I26", f"the watchdog took a healthy bot for dead {self.dog.trips} times")
        self.judge.counts["configs taken"] = sum(told.config.taken for told in self.judge.told.values())
        self.judge.counts["halts"] = sum(len(host.latch.raised) for host in self.hosts)
        self.judge.counts["resumes"] = sum(host.latch.resumed for host in self.hosts)
        return self._result()

    @property
    def over(self) -> bool:
        return self.ticks >= self._target or bool(self.judge.violations)

    @property
    def lives(self) -> list[Life]:
        return [host.life for host in self.hosts if host.life is not None]

    def _result(self) -> Result:
        faults, judge = self.faults, self.judge
        return Result(
            seed=faults.seed,
            rate=faults.rate,
            ticks=self.ticks,
            digest=judge.digest,
            violations=tuple(judge.violations),
            counts=judge.counts,
            pairs=judge.pairs,
            faults=faults.kinds,
            keys=tuple(faults.hits),
            records=tuple(judge.records),
            virtual_s=self.kernel.now_ms // 1_000,
        )

    def number(self, name: str) -> int:
        self.counts[name] += 1
        return self.counts[name]

    # ── what the parts report ───────────────────────────────────────────────────────────────────

    def on_port(self, host: Host, name: str) -> None:
        """Any call into a port may be the last one of the process, raise what nobody expects, or be slept through."""
        life = host.life
        if life is None or life.process.dead:
            raise Killed
        self.calls += 1
        if name in SWEEPING:
            self.judge.proofs.on_sweep(self.kernel.now_ms)
        if self.faults.strike(f"kill/{name}={self.calls}", ("process",), KILL_WEIGHT):
            self.judge.note("kill", f"{host.name} {name}")
            self.kernel.kill(life.process)
            raise Killed
        if self.faults.strike(f"raise/{name}={self.calls}", ("exception",), RAISE_WEIGHT):
            raise Unexpected(name)
        place = f"pause/{name}={self.calls}"
        # Between the look at the lease and the first byte no process can be kept from being stopped: not there.
        if name not in EXPOSING and self.faults.strike(place, ("process",), PAUSE_WEIGHT):
            until_ms = self.kernel.now_ms + int(PAUSE_MS * self.faults.share(f"{place}/ms"))
            self.judge.note("pause", f"{host.name} {name} until {until_ms}")
            life.process.paused_until_ms = until_ms
            self.kernel.sleep_until(until_ms)

    def on_problem(self, job: str, error: Exception) -> None:
        self.problems[f"{job} {type(error).__name__}"] += 1

    def on_send(self, flight: Flight, life: Life) -> None:
        self.judge.on_send(flight, life)

    def on_outcome(self, outcome: Outcome, life: Life) -> None:
        self.judge.on_outcome(outcome, life)

    def on_start(self, life: Life) -> None:
        self.judge.on_start(life)

    def on_end(self, life: Life, why: str) -> None:
        self.judge.on_end(life, why)

    def on_tick(self, life: Life, report: TickReport) -> None:
        if life.process.dead:
            raise Killed
        state, feed = life.state, life.feed
        assert state is not None
        assert feed is not None
        self.ticks += 1
        self.judge.on_tick(state, life)
        if self.ticks % BOOK_CHECK_TICKS == 0 and life.inbox.empty:
            self.judge.check_book(state, feed)
            if not self.faults.armed or not self.faults.rate:
                self.judge.proofs.check_own_size(life, report.view, self.venue.now_ms)
        if self.over:
            self.kernel.look()
        if self._measuring:
            for ticker in TICKERS:
                self._measured[ticker, self.judge.quoted(ticker)] += 1

    # ── the cycle ───────────────────────────────────────────────────────────────────────────────

    def _in(self, delay_ms: int, act: Callable[[], None]) -> None:
        self.kernel.at(self.kernel.now_ms + delay_ms, act)

    def _calm(self) -> None:
        self.faults.armed = False
        self.judge.note("phase", "calm")
        self._in(SETTLE_MS, self._measure)

    def _measure(self) -> None:
        self._measured.clear()
        self._measuring = True
        self._in(MEASURE_MS, self._still)

    def _still(self) -> None:
        """Enough was measured: now nobody trades, so that the last reads see everything."""
        self._measuring = False
        for ticker in TICKERS:
            yes, no = self._measured[ticker, True], self._measured[ticker, False]
            if yes < QUOTED_SHARE * (yes + no) or not yes:
                self.judge.broken("L01", f"{ticker} was quoted at {yes} of {yes + no} ticks without faults")
        self.judge.counts["calm spells"] += 1
        for flow in self.venue.flows:
            flow.running = False
        self._in(STILL_MS, self._compare)

    def _compare(self) -> None:
        self.judge.check_ledger([life for life in self.lives if life.ticking])
        for flow in self._trading:
            flow.running = True
        self.faults.armed = True
        self.judge.note("phase", "rough")
        self._in(ROUGH_MS, self._calm)

    def _look(self) -> None:
        self._in(LOOK_MS, self._look)
        for told in self.judge.told.values():
            told.config.look()
        for life in self.lives:
            if life.ticking:
                self.judge.look(life)

    # ── people ──────────────────────────────────────────────────────────────────────────────────

    def _operate(self) -> None:
        """Every 20 s a person looks: halts are resumed by their ids, a process with a dead thread is restarted."""
        self._in(OPERATOR_MS, self._operate)
        if self.kernel.now_ms > STUCK_MS + 10 * 500 * self._target:
            self.judge.broken("L03", f"{self.ticks} ticks in {self.kernel.now_ms} ms")
        self.resume()
        for life in self.lives:
            if life.dead_thread:
                self.judge.note("operator", f"restarts {life.host.name}: {life.dead_thread} died")
                self.kernel.kill(life.process)

    def resume(self) -> None:
        """A person lifts every halt by its id."""
        now = self.hosts[0].operator_now()
        if not any(host.latch.halts for host in self.hosts):
            return
        for host in self.hosts:
            told = [f"{halt.halt_id}: {halt.reason}" for halt in host.latch.halts.values()]
            self.judge.note("operator", f"resumes {told} on {host.name}")
            host.latch.resume_all(now)
        db = SimDynamo(TableClient(self.tables, lambda _, act: act(), lambda: self.kernel.now_ms))
        StateStore(db).set_halts(())

    def _ask_to_stop(self) -> None:
        """Now and then the system asks a process to end, as at every deployment."""
        self._in(TERM_MS, self._ask_to_stop)
        for life in self.lives:
            place = f"term/{life.host.name}={self.kernel.now_ms}"
            if not life.signals.received and self.faults.strike(place, ("signal",), TERM_WEIGHT):
                self.judge.note("signal", f"{life.host.name} SIGTERM")
                life.signals.received = "SIGTERM"
                life.asked_ms = self.kernel.now_ms
