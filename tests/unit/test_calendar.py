"""Scheduled pauses: New York hours in both halves of the year, quotes gone a minute before, back after a look."""

from datetime import UTC, datetime

import pytest

from dora_bot.errors import WireError
from dora_bot.events import ClosuresRead, StatusChanged
from dora_bot.kalshi_listings import MaintenanceWindow, Schedule, TradingSession
from dora_bot.models import ExchangeStatus
from dora_bot.reopening import BLIND_MS, CANCEL_BEFORE_MS
from dora_bot.trading_hours import closures
from dora_bot.views import Posture
from tests.fakes.bench import Bench

THURSDAY = 3
WEEK = (
    *(TradingSession(day, "00:00", "00:00") for day in range(7) if day != THURSDAY),
    TradingSession(THURSDAY, "00:00", "03:00"),
    TradingSession(THURSDAY, "05:00", "00:00"),
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        ("2026-11-20T12:00", "2026-11-26T08:00", "2026-11-26T10:00"),
        ("2026-07-13T12:00", "2026-07-16T07:00", "2026-07-16T09:00"),
        ("2026-11-26T09:00", "2026-11-26T08:00", "2026-11-26T10:00"),
    ],
)
def test_the_thursday_pause_is_in_new_york_time(now: str, start: str, end: str) -> None:
    assert (ms(start), ms(end)) in closures(Schedule(WEEK, ()), ms(now))
    assert all(till - since == 7_200_000 for since, till in closures(Schedule(WEEK, ()), ms(now)))


def test_maintenance_counts_and_melts_into_the_hours_it_touches() -> None:
    window = MaintenanceWindow(ms("2026-11-26T09:30"), ms("2026-11-26T11:00"))
    alone = MaintenanceWindow(ms("2026-11-21T01:00"), ms("2026-11-21T02:00"))
    found = closures(Schedule(WEEK, (window, alone)), ms("2026-11-20T12:00"))
    assert (ms("2026-11-26T08:00"), ms("2026-11-26T11:00")) in found
    assert (alone.start_ms, alone.end_ms) in found


def test_a_schedule_without_hours_closes_nothing_and_a_day_without_any_is_closed() -> None:
    assert closures(Schedule((), ()), ms("2026-11-20T12:00")) == ()
    weekdays = tuple(TradingSession(day, "00:00", "00:00") for day in range(5))
    assert (ms("2026-11-21T05:00"), ms("2026-11-23T05:00")) in closures(
        Schedule(weekdays, ()), ms("2026-11-20T12:00")
    )


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(WireError, match="'25:61' is not a time"):
        closures(Schedule((TradingSession(0, "25:61", "00:00"),), ()), ms("2026-11-20T12:00"))


# ── in the tick ─────────────────────────────────────────────────────────────────────────────────

OPEN = StatusChanged(ExchangeStatus(active=True, trading=True))
SHUT = StatusChanged(ExchangeStatus(active=True, trading=False))


def resting(bench: Bench) -> int:
    return len(bench.exchange.resting())


def test_quotes_go_a_minute_before_and_return_after_status_and_account_were_seen() -> None:
    bench = Bench().quoting()
    start = bench.clock.now().exchange_ms + CANCEL_BEFORE_MS + 2_000
    bench.post(ClosuresRead(((start, start + 10_000),)))
    bench.tick(1_000)
    assert resting(bench) == 2
    report = bench.tick(1_000)
    assert (resting(bench), report.stance.posture) == (0, Posture.PAUSED)
    bench.post(OPEN)
    bench.tick(CANCEL_BEFORE_MS + 9_999)
    assert resting(bench) == 0

    assert "not seen trading yet" in bench.tick(1).stance.reasons[0]
    bench.clock.advance(1_000)
    bench.post(OPEN)
    assert "account was not read" in bench.tick(0).stance.reasons[0]
    bench.clock.advance(5_000)
    bench.post(bench.read_account())
    assert bench.tick().stance.posture is Posture.RUN
    assert resting(bench) == 2


def test_an_unscheduled_pause_ends_with_a_read_of_the_account_that_is_newer_than_it() -> None:
    bench = Bench().quoting()
    bench.post(SHUT)
    bench.tick()
    old = bench.read_account()
    bench.clock.advance(30_000)
    bench.post(OPEN, old)
    assert "account was not read" in bench.tick().stance.reasons[0]
    assert resting(bench) == 0
    bench.clock.advance(30_000)
    bench.post(bench.read_account())
    assert bench.tick().stance.posture is Posture.RUN


def test_an_account_that_cannot_be_read_is_quoted_on_for_a_minute_and_no_longer() -> None:
    bench = Bench().quoting()
    bench.post(bench.read_account())
    assert bench.tick(BLIND_MS - 2_000).stance.posture is Posture.RUN
    report = bench.tick(3_000)
    assert (report.stance.posture, report.stance.reasons) == (
        Posture.PAUSED,
        ("the account was not read for a minute",),
    )
    assert resting(bench) == 0
    bench.post(bench.read_account())
    assert bench.tick().stance.posture is Posture.RUN


def test_a_status_that_goes_on_as_before_demands_nothing() -> None:
    bench = Bench().quoting()
    bench.post(OPEN)
    assert bench.tick().stance.posture is Posture.RUN
    assert resting(bench) == 2
