"""A world for one history at a time: the test says what happens when, alone or with faults by chance around it."""

from collections import Counter
from pathlib import Path

from dora_bot.models import Outcome
from tests.sim.client import Flight
from tests.sim.host import Host
from tests.sim.kernel import Process
from tests.sim.life import Life
from tests.sim.stores import TICKERS
from tests.sim.world import World

UNENDING = 10**9


class Scene(World):
    """``keys`` strike, nobody resumes a halt, and nothing calms down by itself. Times are virtual ms from the begin.

    With a ``rate`` faults strike by chance instead, and an operator looks after what they halt.
    """

    def __init__(
        self,
        folder: Path,
        *keys: str,
        seed: int = 1,
        twin: bool = False,
        dog: bool = False,
        rate: float = 0.0,
    ) -> None:
        super().__init__(seed, rate, folder, None if rate else frozenset(keys), twin=twin, dog=dog)
        self._target = UNENDING
        self.seen: list[str] = []
        """The ports in the order in which they were called."""
        self.sent: list[Flight] = []
        """The requests of the trading path in the order in which they left."""
        self.told: list[Outcome] = []
        """What became of them, as the bot was told."""

    def until(self, at_ms: int) -> None:
        """Let time pass, or stop at a violation."""
        self.kernel.at(at_ms, self.kernel.look)
        self.kernel.run(lambda: self.kernel.now_ms >= at_ms or bool(self.judge.violations))
        assert not self.judge.violations, self.judge.violations

    def close(self) -> None:
        for life in self.lives:
            self.kernel.kill(life.process)
        self.judge.closed = True
        self._target = 0
        self.kernel.run(lambda: not self.lives)

    def on_port(self, host: Host, name: str) -> None:
        self.seen.append(name)
        super().on_port(host, name)

    def on_send(self, flight: Flight, life: Life) -> None:
        self.sent.append(flight)
        super().on_send(flight, life)

    def on_outcome(self, outcome: Outcome, life: Life) -> None:
        self.told.append(outcome)
        super().on_outcome(outcome, life)

    # ── what is there ───────────────────────────────────────────────────────────────────────────

    @property
    def trading(self) -> Life:
        """The one process that ticks."""
        (life,) = [life for life in self.lives if life.ticking]
        return life

    @property
    def resting(self) -> int:
        """Orders of the bot that rest at the exchange."""
        return self.judge.resting

    def halts(self) -> list[str]:
        return [halt.reason for host in self.hosts for halt in host.latch.halts.values()]

    def quiet_ms(self, within_ms: int) -> int:
        """How long it takes from now until no order rests; fails if it takes longer than that."""
        assert self.resting, "nothing rests: there is nothing to show"
        began = self.kernel.now_ms
        while self.resting:
            assert self.kernel.now_ms - began < within_ms, f"{self.resting} orders rest after {within_ms} ms"
            self.until(self.kernel.now_ms + 50)
        return self.kernel.now_ms - began

    def quotes_within(self, within_ms: int) -> None:
        """Every market has an order of ours before so much time has passed."""
        give_up = self.kernel.now_ms + within_ms
        while not all(self.judge.quoted(ticker) for ticker in TICKERS):
            assert self.kernel.now_ms < give_up, f"not every market is quoted after {within_ms} ms"
            self.until(self.kernel.now_ms + 100)

    def quoted_shares(self, ms: int) -> dict[str, float]:
        """In how much of the coming time each market has an order of ours, looked at every 100 ms."""
        looks = ms // 100
        seen: Counter[str] = Counter()
        for _ in range(looks):
            self.until(self.kernel.now_ms + 100)
            seen.update(ticker for ticker in TICKERS if self.judge.quoted(ticker))
        return {ticker: seen[ticker] / looks for ticker in TICKERS}

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    def kill(self, life: Life) -> None:
        self.kernel.kill(life.process)

    def pause(self, process: Process, ms: int) -> None:
        process.paused_until_ms = self.kernel.now_ms + ms

    def ask_to_stop(self, life: Life) -> None:
        life.signals.received, life.asked_ms = "SIGTERM", self.kernel.now_ms

    def _operate(self) -> None:
        """Without chance nobody does anything."""
        if self.faults.rate:
            super()._operate()

    def _calm(self) -> None:
        """It does not."""
