"""The real profile is as unkind as measured; fast has no delays at all; both repeat from their seed."""

import statistics

import pytest

from dora_bot.errors import Usage
from dora_bot.paper.profiles import Profile


def test_order_round_trips_have_the_measured_quantiles() -> None:
    profile = Profile("real", seed=7)
    trips = sorted(sum(profile.request_delays_s()) * 1_000 for _ in range(20_000))
    assert statistics.median(trips) == pytest.approx(47, rel=0.03)
    assert trips[int(len(trips) * 0.95)] == pytest.approx(109, rel=0.05)


def test_part_of_the_delay_lies_before_and_part_after_application() -> None:
    profile = Profile("real", seed=7)
    for _ in range(1_000):
        before, after = profile.request_delays_s()
        assert 0.29 <= before / (before + after) <= 0.71


def test_account_reads_lag_between_400_and_1000_ms_and_hold_for_a_second() -> None:
    profile = Profile("real", seed=7)
    lags = [profile.read_lag_ms(now) for now in range(0, 100_000, 250)]
    assert 400 <= min(lags) < max(lags) <= 1_000
    assert all(len(set(lags[at : at + 4])) == 1 for at in range(0, 400, 4))


def test_fast_adds_nothing() -> None:
    profile = Profile("fast", seed=7)
    assert profile.request_delays_s() == (0.0, 0.0)
    assert profile.read_lag_ms(0) == 0
    assert profile.frame_delay_s() == 0.0


def test_the_same_seed_draws_the_same() -> None:
    first, second, other = Profile("real", 1), Profile("real", 1), Profile("real", 2)
    draws = [[p.request_delays_s() for _ in range(5)] for p in (first, second, other)]
    assert draws[0] == draws[1] != draws[2]


def test_an_unknown_profile_is_a_usage_error() -> None:
    with pytest.raises(Usage, match="there are: fast, real"):
        Profile("kind", 1)
