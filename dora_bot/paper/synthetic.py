"""The synthetic world: latent values move, and the traders of `traders` act on what they know of them.

One heap holds everything that will happen. Whatever is due runs at its own due time for the latent values
(so a late step changes nothing about them) and at ``now_ms`` for the exchange.
"""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import exp
from random import Random

from dora_bot.models import (
    Level,
    MarketStatus,
    Side,
    TimeInForce,
)
from dora_bot.paper.engine import Exchange
from dora_bot.paper.latent import Latent, Posterior, Threshold
from dora_bot.paper.market_mix import EventPlan, Profile, SeriesPlan, default_mix, plan_event
from dora_bot.paper.specs import MarketSpec, OrderRequest, Refused
from dora_bot.paper.traders import Maker, Takers

TAKERS = "house-takers"
_SWEEP_S = 600.0
_REACTION_S = (0.08, 0.4)
_NOTICE_S = (1.0, 4.0)
_VERDICT_S = (10.0, 40.0)
_VISIBLE = 0.15
"""How a threshold market's variance is revealed; gives the 4 ¢/√min of recorded 15-minute markets at its start."""


def maker_account(number: int) -> str:
    return f"house-maker-{number}"


class SyntheticWorld:
    """Series of events that follow each other for ever; see `market_mix` for which."""

    def __init__(self, exchange: Exchange, *, markets: int, seed: int, now_ms: int) -> None:
        self._exchange = exchange
        self._seed = seed
        self._now_ms = now_ms
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._booths: dict[str, tuple[Booth, EventRun]] = {}
        plans = default_mix(markets)
        exchange.open_account(TAKERS, house=True)
        for number in range(max(plan.profile.makers for plan in plans)):
            exchange.open_account(maker_account(number), house=True)
        for plan in plans:
            exchange.add_series(plan.series)
            life_ms = self.stream(plan.series.ticker).randint(plan.life_ms // 3, plan.life_ms)
            self._open_event(plan, now_ms, now_ms + life_ms // 1000 * 1000)
        self.step(now_ms)

    @property
    def tickers(self) -> tuple[str, ...]:
        return tuple(self._booths)

    def fair(self, ticker: str) -> float:
        """The latent probability of YES now, for measurements. Raises `KeyError` once the market closed."""
        booth, run = self._booths[ticker]
        return run.latent.fair(booth.index)

    def profile(self, ticker: str) -> Profile:
        """How a market trades. Raises `KeyError` once the market closed."""
        return self._booths[ticker][1].profile

    def next_due_ms(self) -> int:
        return self._agenda[0][0]

    def step(self, now_ms: int) -> None:
        self._now_ms = max(now_ms, self._now_ms)
        while self._agenda[0][0] <= now_ms:
            due_ms, _, action = heappop(self._agenda)
            action(due_ms)

    # ── what the events use ─────────────────────────────────────────────────────────────────────

    @property
    def now_ms(self) -> int:
        return self._now_ms

    @property
    def exchange(self) -> Exchange:
        return self._exchange

    def stream(self, name: str) -> Random:
        """A random stream of its own, the same for the same seed and name."""
        return Random(f"{self._seed}/{name}")

    def at(self, due_ms: int, action: Callable[[int], None]) -> None:
        heappush(self._agenda, (due_ms, next(self._order), action))

    # ── events follow each other ────────────────────────────────────────────────────────────────

    def _open_event(self, plan: SeriesPlan, open_ms: int, close_ms: int) -> None:
        rng = self.stream(f"{plan.series.ticker}/{close_ms}")
        event = plan_event(plan, rng, open_ms=open_ms, close_ms=close_ms)
        self._exchange.add_event(event.event, self._now_ms)
        for spec in event.markets:
            self._exchange.add_market(spec, self._now_ms)
        run = EventRun(self, plan, event, rng)
        self._booths |= {booth.spec.ticker: (booth, run) for booth in run.booths}
        run.start(open_ms)
        self.at(close_ms, partial(self._close_event, plan, run))

    def _close_event(self, plan: SeriesPlan, run: "EventRun", due_ms: int) -> None:
        """At the close: no more traders, the verdict a little later, and the series' next event."""
        run.stop()
        for booth in run.booths:
            del self._booths[booth.spec.ticker]
        verdict_ms = due_ms + round(1000 * run.rng.uniform(*_VERDICT_S))
        self.at(verdict_ms, lambda _: run.determine())
        self._open_event(plan, due_ms, due_ms + plan.life_ms)


class EventRun:
    """One event while it lives: its latent value, its markets' traders and its news."""

    def __init__(self, world: SyntheticWorld, plan: SeriesPlan, event: EventPlan, rng: Random) -> None:
        self.rng = rng
        self._world = world
        self.profile = plan.profile
        self._open = True
        start_ms = min(spec.open_ms for spec in event.markets)
        self.latent: Latent = (
            Threshold(rng, start_ms=start_ms, close_ms=event.close_ms, visible=_VISIBLE)
            if plan.threshold
            else Posterior(rng, event.prior, start_ms=start_ms, rate=plan.profile.evidence / 60_000)
        )
        self.booths = tuple(Booth(world, spec, index) for index, spec in enumerate(event.markets))

    def start(self, open_ms: int) -> None:
        """Makers quote at once, everybody else comes in their own time."""
        self._later(open_ms, self.profile.news, self._news)
        for booth in self.booths:
            self._start_booth(booth, open_ms)

    def _start_booth(self, booth: "Booth", open_ms: int) -> None:
        profile, world = self.profile, self._world
        rng = world.stream(booth.spec.ticker)
        fair = self.latent.fair(booth.index)
        width = max(exp(profile.width_sigma * rng.gauss(0.0, 1.0)), 0.9)
        for number in range(profile.makers):
            maker = Maker(maker_account(number), profile, rng, width * rng.uniform(0.95, 1.3), fair)
            booth.makers.append(maker)
            world.at(open_ms, partial(self._make, booth, maker))
        takers = Takers(profile, rng, TAKERS)
        self._later(open_ms, profile.noise, partial(self._noise, booth, takers))
        self._later(open_ms, profile.informed, partial(self._informed, booth, takers))
        self._later(open_ms, _SWEEP_S, partial(self._sweep, booth, takers))

    def _later(self, after_ms: int, mean_s: float, action: Callable[[int], None]) -> None:
        self._world.at(after_ms + 1 + round(1000 * self.rng.expovariate(1 / mean_s)), action)

    def stop(self) -> None:
        self._open = False

    def determine(self) -> None:
        """Announce the outcome of every market that closed and that nobody determined before."""
        truth = self.latent.settle()
        for booth in self.booths:
            booth.determine("yes" if booth.index == truth else "no")

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    def _make(self, booth: "Booth", maker: Maker, due_ms: int) -> None:
        if self._open:
            self.latent.advance(due_ms)
            maker.look(booth, self.latent.fair(booth.index))
            self._later(due_ms, self.profile.wake, partial(self._make, booth, maker))

    def _noise(self, booth: "Booth", takers: Takers, due_ms: int) -> None:
        if self._open:
            self.latent.advance(due_ms)
            wait_s = takers.noise(booth, self.latent.fair(booth.index))
            self._world.at(due_ms + 1 + round(1000 * wait_s), partial(self._noise, booth, takers))

    def _informed(self, booth: "Booth", takers: Takers, due_ms: int) -> None:
        if self._open:
            self._look(booth, takers, due_ms)
            self._later(due_ms, self.profile.informed, partial(self._informed, booth, takers))

    def _look(self, booth: "Booth", takers: Takers, due_ms: int) -> None:
        if self._open:
            self.latent.advance(due_ms)
            takers.informed(booth, self.latent.fair(booth.index))

    def _sweep(self, booth: "Booth", takers: Takers, due_ms: int) -> None:
        if self._open:
            takers.sweep(booth)
            self._later(due_ms, _SWEEP_S, partial(self._sweep, booth, takers))

    def _soon(self, after_ms: int, span_s: tuple[float, float], action: Callable[[int], None]) -> None:
        self._world.at(after_ms + round(1000 * self.rng.uniform(*span_s)), action)

    def _notice(self, booth: "Booth", maker: Maker, due_ms: int) -> None:
        """News reaches a maker: it quotes what it sees now."""
        if self._open:
            self.latent.advance(due_ms)
            maker.seen = self.latent.fair(booth.index)
            maker.look(booth, maker.seen)

    def _news(self, due_ms: int) -> None:
        """The value jumps: the informed are there within half a second, the makers a little later."""
        if not self._open:
            return
        self.latent.advance(due_ms)
        self.latent.jump(self.profile.news_strength * self.rng.expovariate(1.0))
        for booth in self.booths:
            takers = Takers(self.profile, self.rng, TAKERS)
            self._soon(due_ms, _REACTION_S, partial(self._look, booth, takers))
            for maker in booth.makers:
                self._soon(due_ms, _NOTICE_S, partial(self._notice, booth, maker))
        self._later(due_ms, self.profile.news, self._news)


class Booth:
    """One market as its traders use it (their `Desk`)."""

    def __init__(self, world: SyntheticWorld, spec: MarketSpec, index: int) -> None:
        self.spec = spec
        self.index = index
        self.grid = spec.grid
        self.makers: list[Maker] = []
        self._world = world
        self._exchange = world.exchange

    def best(self) -> tuple[Level, Level]:
        view = self._exchange.market(self.spec.ticker)
        return view.best_bid, view.best_ask

    def rest(self, account: str, side: Side, price_e4: int, count_e2: int) -> str:
        request = OrderRequest(self.spec.ticker, side, price_e4, count_e2, post_only=True)
        try:
            return self._exchange.create(account, request, self._world.now_ms).order_id
        except Refused:
            return ""

    def take(self, account: str, side: Side, price_e4: int, count_e2: int) -> int:
        request = OrderRequest(self.spec.ticker, side, price_e4, count_e2, TimeInForce.IOC)
        try:
            return self._exchange.create(account, request, self._world.now_ms).filled_e2
        except Refused:
            return 0

    def resting(self, order_id: str) -> int:
        try:
            return self._exchange.order(order_id).remaining_e2
        except Refused:
            return 0

    def cancel(self, account: str, order_id: str) -> None:
        """A refusal (paused, closed, gone meanwhile) leaves the order to the exchange."""
        try:
            self._exchange.cancel(account, order_id, self._world.now_ms, shard=self.spec.exchange_index)
        except Refused:
            return

    def determine(self, result: str) -> None:
        if self._exchange.market(self.spec.ticker).status is MarketStatus.CLOSED:
            self._exchange.determine(self.spec.ticker, result, self._world.now_ms)
