"""The exchange's time is learnt from its replies, and a stepped wall clock does not matter."""

import pytest

from dora_bot.clock import SystemClock


def offset_after(clock: SystemClock, *errors: tuple[int, int]) -> float:
    """Tell the clock that the exchange is ``error`` ms ahead of it, ± uncertainty; how far is it now moved?"""
    begin = clock.now()
    started_ahead = begin.exchange_ms - begin.mono_ms
    for error, uncertainty in errors:
        now = clock.now()
        clock.observe(now.mono_ms + started_ahead + error, now.mono_ms, uncertainty)
    now = clock.now()
    return now.exchange_ms - now.mono_ms - started_ahead


def test_both_clocks_are_read_at_once_and_move_together() -> None:
    clock = SystemClock()
    first = clock.now()
    clock.sleep(0.02)
    second = clock.now()
    assert second.mono_ms - first.mono_ms >= 19
    assert second.exchange_ms - first.exchange_ms == second.mono_ms - first.mono_ms


def test_an_exact_reading_sets_the_offset() -> None:
    assert offset_after(SystemClock(), (-1_234, 1)) == pytest.approx(-1_234, abs=2)


def test_coarse_readings_narrow_each_other() -> None:
    clock = SystemClock()
    # True error 300: a reply's Date says [0, 1000], the next one [-500, 500], a third [250, 450].
    assert offset_after(clock, (500, 500), (0, 500), (350, 100)) == pytest.approx(350, abs=2)
    assert clock.uncertainty_ms <= 101


def test_a_coarse_reading_does_not_move_a_fine_one() -> None:
    assert offset_after(SystemClock(), (40, 2), (400, 500)) == pytest.approx(40, abs=4)


def test_a_reading_that_contradicts_everything_replaces_it() -> None:
    assert offset_after(SystemClock(), (5, 2), (60_000, 10)) == pytest.approx(60_000, abs=11)


def test_the_wall_offset_is_what_was_measured() -> None:
    clock = SystemClock()
    now = clock.now()
    clock.observe(now.exchange_ms + 2_000, now.mono_ms, 1)
    assert clock.wall_offset_ms == pytest.approx(2_000, abs=20)


def test_sleeping_for_no_time_returns_at_once() -> None:
    clock = SystemClock()
    begin = clock.now().mono_ms
    clock.sleep(-1.0)
    assert clock.now().mono_ms - begin < 100
