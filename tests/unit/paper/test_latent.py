"""Latent values: martingales that agree with the settlement, for any sequence of observation times."""

from collections.abc import Callable
from math import sqrt
from random import Random

import pytest

from dora_bot.paper.latent import Latent, Posterior, Threshold

MINUTE_MS = 60_000
RUNS = 4_000

Make = Callable[[Random], Latent]


def threshold(rng: Random) -> Latent:
    return Threshold(rng, start_ms=0, close_ms=15 * MINUTE_MS, visible=0.15)


def plain_threshold(rng: Random) -> Latent:
    """Everything is known at the close."""
    return Threshold(rng, start_ms=0, close_ms=15 * MINUTE_MS, visible=1.0)


def posterior(rng: Random) -> Latent:
    return Posterior(rng, (0.5, 0.3, 0.2), start_ms=0, rate=0.02 / MINUTE_MS)


@pytest.mark.parametrize("make", [threshold, posterior])
def test_the_expected_value_stays_where_it_started(make: Make) -> None:
    later = []
    for seed in range(RUNS):
        latent = make(Random(seed))
        for now_ms in (20_000, 3 * MINUTE_MS, 14 * MINUTE_MS):
            latent.advance(now_ms)
        latent.jump(0.1)
        later.append(latent.fair(0))
    mean = sum(later) / RUNS
    spread = sqrt(sum((value - mean) ** 2 for value in later) / RUNS)
    assert mean == pytest.approx(0.5, abs=4 * spread / sqrt(RUNS))
    assert spread > 0.1, "values that never move prove nothing"


@pytest.mark.parametrize("make", [threshold, plain_threshold, posterior])
def test_outcomes_come_true_as_often_as_they_were_believed(make: Make) -> None:
    surprise, cases = 0.0, 0
    for seed in range(RUNS):
        latent = make(Random(seed))
        for minute in range(1, 9):
            latent.advance(minute * MINUTE_MS)
        if (early := latent.fair(0)) > 0.65:
            latent.advance(15 * MINUTE_MS)
            surprise += early - (1 if latent.settle() == 0 else 0)
            cases += 1
    assert cases > 100
    assert surprise / cases == pytest.approx(0.0, abs=3 * 0.45 / sqrt(cases))


def test_exclusive_outcomes_always_sum_to_one() -> None:
    latent = Posterior(Random(1), (1.0, 2.0, 3.0, 0.5), start_ms=0, rate=1e-5)
    for now_ms in range(0, 60 * MINUTE_MS, 7_000):
        latent.advance(now_ms)
        assert sum(latent.fair(index) for index in range(4)) == pytest.approx(1.0, abs=1e-9)


def test_time_standing_still_reveals_nothing() -> None:
    latent = threshold(Random(3))
    latent.advance(1_000)
    before = latent.fair(0)
    latent.advance(1_000)
    latent.advance(500)
    assert latent.fair(0) == before


def test_a_threshold_moves_faster_towards_its_close() -> None:
    def mean_move(start_ms: int) -> float:
        total = 0.0
        for seed in range(500):
            latent = threshold(Random(seed))
            latent.advance(start_ms)
            before = latent.fair(0)
            latent.advance(start_ms + 10_000)
            total += abs(latent.fair(0) - before)
        return total / 500

    assert mean_move(14 * MINUTE_MS) > 2 * mean_move(0)
