"""Everything around the bot: exchange, network, disk, operator, supervisor; faults come and go in cycles.

A cycle is a rough part and a calm one. In the calm part no fault strikes: the bot must come back to quoting (the
liveness of FAULTS section 2), then trading stands still and its ledger must equal the exchange's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dora_bot.errors import DoraError
from dora_bot.models import Outcome
from tests.sim.client import Network
from tests.sim.faults import Faults
from tests.sim.judge import Judge, Violation
from tests.sim.kernel import Kernel, Killed, SimClock
from tests.sim.life import Life
from tests.sim.stores import TICKERS, SimConfigStore, SimJournal, SimLatch
from tests.sim.venue import Venue

ROUGH_MS = 300_000
SETTLE_MS = 100_000
MEASURE_MS = 60_000
STILL_MS = 25_000
QUOTED_SHARE = 0.9
OPERATOR_MS = 20_000
KILL_WEIGHT = 0.02
RAISE_WEIGHT = 0.01
BOOK_CHECK_TICKS = 7


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
    def __init__(self, seed: int, rate: float, folder: Path, replay: frozenset[str] | None = None) -> None:
        self.kernel = Kernel()
        self.clock = SimClock(self.kernel)
        self.faults = Faults(seed, rate, replay)
        self.journal = SimJournal()
        self.latch = SimLatch(folder / "halts.jsonl")
        self.config = SimConfigStore()
        self.venue = Venue(self.kernel, self.faults)
        cap_e6 = int(self.config.limits["max_total_exposure"]) * 1_000_000
        self.judge = Judge(self.venue, self.journal, self.latch, cap_e6)
        self.network = Network(
            self.kernel, self.venue, self.faults, self.judge.on_send, self._on_outcome, self.on_port
        )
        self.judge.network = self.network
        self.venue.watchers.append(self.judge.on_events)
        self.life: Life | None = None
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

    # ── running ─────────────────────────────────────────────────────────────────────────────────

    def run(self, ticks: int) -> Result:
        """Live, die and live again until so many ticks are done or an invariant is broken."""
        self._target = ticks
        lives = 0
        while not self._over():
            lives += 1
            self.kernel.main.killed = False
            self.judge.forget_life()
            self.judge.note("start", f"life {lives}")
            self.life = Life(self, lives)
            try:
                self.life.run(self._over)
            except Killed:
                self.judge.counts["killed"] += 1
            except (DoraError, Unexpected) as error:
                self.judge.counts["start refused"] += 1
                self.judge.note("start", f"refused: {error}")
            self.kernel.main.killed = False
            self.life.die()
            down_ms = 2_000 + int(10_000 * self.faults.share(f"down/life={lives}"))
            self.kernel.sleep_until(self.kernel.now_ms + down_ms)
        self.judge.counts["restarts"] = lives - 1
        self.judge.counts["halts"] = len(self.latch.raised)
        self.judge.counts["resumes"] = self.latch.resumed
        return self._result()

    def _over(self) -> bool:
        return self.ticks >= self._target or bool(self.judge.violations)

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

    # ── what the parts report ───────────────────────────────────────────────────────────────────

    def on_port(self, name: str) -> None:
        """Any call into a port may be the last one of the process, or raise what nobody expects."""
        self.calls += 1
        if self.faults.strike(f"kill/{name}={self.calls}", ("process",), KILL_WEIGHT):
            assert self.life is not None
            self.judge.note("kill", name)
            self.kernel.kill(self.life.actors)
            raise Killed
        if self.faults.strike(f"raise/{name}={self.calls}", ("exception",), RAISE_WEIGHT):
            raise Unexpected(name)

    def on_problem(self, job: str, error: Exception) -> None:
        self.problems[f"{job} {type(error).__name__}"] += 1

    def on_tick(self, life: Life) -> None:
        self.ticks += 1
        state = life.bot.state
        self.judge.on_tick(state)
        if self.ticks % BOOK_CHECK_TICKS == 0 and life.inbox.empty:
            self.judge.check_book(state, life.feed)
        if self._measuring:
            for ticker in TICKERS:
                self._measured[ticker, self.judge.quoted(ticker)] += 1

    def _on_outcome(self, outcome: Outcome) -> None:
        assert self.life is not None
        order = self.life.bot.state.orders.find(outcome.action.client_order_id, "")
        self.judge.on_outcome(outcome, order)

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
        assert self.life is not None
        self.judge.check_ledger(self.life.bot.state)
        for flow in self.venue.flows:
            flow.running = True
        self.faults.armed = True
        self.judge.note("phase", "rough")
        self._in(ROUGH_MS, self._calm)

    def _operate(self) -> None:
        """Every 20 s a person looks: halts are resumed by their ids, a process with a dead thread is restarted."""
        self._in(OPERATOR_MS, self._operate)
        if self.latch.halts:
            self.judge.note("operator", f"resumes {list(self.latch.halts)}")
            self.latch.resume_all(self.clock.now())
        if self.life is not None and self.life.dead_thread and self.life.actors:
            self.life.dead_thread = ""
            self.judge.note("operator", "restarts")
            self.kernel.kill(self.life.actors)
