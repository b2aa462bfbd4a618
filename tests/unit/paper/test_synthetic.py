"""The synthetic world: deterministic, mixed as promised, wide enough, consistent with its settlements, fast."""

from collections import Counter
from time import process_time

import pytest

from dora_bot.errors import ConfigError
from dora_bot.models import MarketStatus
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent, LifecycleEvent, LifecycleKind
from dora_bot.paper.synthetic import SyntheticWorld
from dora_bot.paper.world import build_world

START_MS = 1_767_225_600_000
MINUTE_MS = 60_000


class Running:
    """A world in virtual time."""

    def __init__(self, *, markets: int = 6, seed: int = 1) -> None:
        self.exchange = Exchange(seed)
        self.world = SyntheticWorld(self.exchange, markets=markets, seed=seed, now_ms=START_MS)
        self.now_ms = START_MS

    def run(self, minutes: int) -> list[EngineEvent]:
        """Step whenever something is due."""
        end_ms = self.now_ms + minutes * MINUTE_MS
        events: list[EngineEvent] = []
        while self.now_ms < end_ms:
            self.now_ms = self.world.next_due_ms()
            self.exchange.advance(self.now_ms)
            self.world.step(self.now_ms)
            events += self.exchange.drain_events()
        return events


def test_the_same_seed_gives_the_same_events_and_another_does_not() -> None:
    first, second, other = (Running(seed=seed).run(5) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_a_late_step_does_everything_that_was_due() -> None:
    running = Running()
    late_ms = START_MS + 30_000
    assert running.world.next_due_ms() < late_ms
    running.world.step(late_ms)
    assert running.world.next_due_ms() > late_ms
    assert sum(view.volume_e2 for view in running.exchange.markets()) > 0


@pytest.mark.parametrize("markets", [1, 2, 3, 4, 6, 7, 50, 200])
def test_it_lists_exactly_as_many_markets_as_asked_for_all_quoted(markets: int) -> None:
    running = Running(markets=markets)
    assert len(set(running.world.tickers)) == markets
    for ticker in running.world.tickers:
        view = running.exchange.market(ticker)
        assert view.status is MarketStatus.ACTIVE
        assert 0 < view.best_bid.price_e4 < view.best_ask.price_e4


def test_six_markets_hold_everything_that_makes_markets_hard() -> None:
    running = Running(markets=6)
    views = running.exchange.markets()
    events = {event.ticker: event for event in running.exchange.events()}
    outcomes = Counter(view.spec.event_ticker for view in views)
    exclusive = [name for name, count in outcomes.items() if count >= 3 and events[name].mutually_exclusive]
    assert exclusive
    assert {"deci_cent", "tapered_deci_cent"} <= {view.structure for view in views}
    assert "quadratic_with_maker_fees" in {view.fees.fee_type for view in views}
    assert max(view.spec.exchange_index for view in views) >= 1
    assert len({view.close_ms for view in views}) >= 4


def test_a_series_goes_on_with_a_successor_and_every_closed_market_gets_one_result() -> None:
    running = Running(markets=6)
    first = set(running.world.tickers)
    events = running.run(75)
    closed = first - set(running.world.tickers)
    assert closed == first, "every series rolls within its life"
    assert len(running.world.tickers) == 6
    kinds = Counter(
        (event.ticker, event.kind)
        for event in events
        if isinstance(event, LifecycleEvent) and event.ticker in first
    )
    for ticker in first:
        assert kinds[(ticker, LifecycleKind.DETERMINED)] == 1
        assert kinds[(ticker, LifecycleKind.SETTLED)] == 1


def test_an_exclusive_event_settles_with_exactly_one_yes() -> None:
    running = Running(markets=3)
    first = running.world.tickers
    running.run(75)
    assert sorted(running.exchange.market(ticker).result for ticker in first) == ["no", "no", "yes"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_thirds_of_the_markets_are_wide_most_of_the_time(seed: int) -> None:
    running = Running(markets=12, seed=seed)
    wide: Counter[str] = Counter()
    looks: Counter[str] = Counter()
    for _ in range(240):
        running.now_ms += 5_000
        running.exchange.advance(running.now_ms)
        running.world.step(running.now_ms)
        for ticker in running.world.tickers:
            view = running.exchange.market(ticker)
            spread = view.best_ask.price_e4 - view.best_bid.price_e4
            one_sided = not (view.best_bid.count_e2 and view.best_ask.count_e2)
            wide[ticker] += one_sided or spread >= 300
            looks[ticker] += 1
    listed = sum(looks.values())
    mostly_wide = sum(looks[ticker] for ticker in looks if wide[ticker] >= 0.8 * looks[ticker])
    assert mostly_wide >= 2 / 3 * listed


def test_a_paused_shard_stops_its_traders_and_resuming_brings_them_back() -> None:
    running = Running(markets=6)
    rolling = running.world.tickers[5]
    running.run(1)
    running.exchange.pause("trading", running.now_ms, on=True, shard=2)
    before = running.exchange.market(rolling).volume_e2
    running.run(1)
    assert running.exchange.market(rolling).volume_e2 == before
    running.exchange.pause("trading", running.now_ms, on=False, shard=2)
    running.run(3)
    assert running.exchange.market(rolling).volume_e2 > before


def test_a_market_that_the_operator_determined_early_is_left_alone() -> None:
    running = Running(markets=6)
    ticker = running.world.tickers[4]
    running.run(1)
    running.exchange.determine(ticker, "no", running.now_ms)
    running.run(60)
    assert running.exchange.market(ticker).result == "no"


def test_virtual_time_runs_a_hundred_times_faster_than_the_wall() -> None:
    running = Running(markets=6)
    started = process_time()
    running.run(10)
    assert process_time() - started < 6.0


@pytest.mark.parametrize("markets", [0, -3])
def test_a_number_of_markets_that_makes_no_sense_is_refused(markets: int) -> None:
    with pytest.raises(ConfigError, match="--markets"):
        build_world(Exchange(1), markets=markets, seed=1, now_ms=START_MS)
