"""The exchange's schedule → when it will be closed, in Unix time.

Its hours are New York wall-clock times, so the same pause moves by an hour in UTC twice a year. Nothing that rests over
the begin of a pause can be cancelled in it, so the tick must know of it beforehand.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dora_bot.errors import WireError
from dora_bot.kalshi_listings import Schedule, TradingSession

Closure = tuple[int, int]
"""From and until, Unix ms."""

DAYS_AHEAD = 8

_NEW_YORK = ZoneInfo("America/New_York")
_MIDNIGHT = "00:00"


def closures(schedule: Schedule, now_ms: int) -> tuple[Closure, ...]:
    """The closed times from yesterday to a week ahead, merged and in order.

    A schedule without any session says nothing about hours; its maintenance windows count all the same. Raises
    `WireError` for a time that is none.
    """
    found = [(w.start_ms, w.end_ms) for w in schedule.maintenance]
    if schedule.sessions:
        today = datetime.fromtimestamp(now_ms / 1_000, UTC).astimezone(_NEW_YORK).date()
        days = [today + timedelta(days=ahead) for ahead in range(-1, DAYS_AHEAD)]
        found += _between(
            _merged(
                _opening(day, s) for day in days for s in schedule.sessions if s.weekday == day.weekday()
            ),
            (_at(days[0], _MIDNIGHT), _at(days[-1] + timedelta(days=1), _MIDNIGHT)),
        )
    return _merged(found)


def _opening(day: date, session: TradingSession) -> tuple[int, int]:
    """One session on one day; a close at 00:00 is the end of that day."""
    last = day + timedelta(days=1) if session.close_time == _MIDNIGHT else day
    return _at(day, session.open_time), _at(last, session.close_time)


def _at(day: date, clock: str) -> int:
    try:
        wall = datetime.combine(day, time.fromisoformat(clock), _NEW_YORK)
    except ValueError as error:
        raise WireError(f"exchange schedule: {clock!r:.20} is not a time of day") from error
    return int(wall.timestamp() * 1_000)


def _merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def _between(spans: tuple[tuple[int, int], ...], whole: tuple[int, int]) -> list[tuple[int, int]]:
    """What the spans leave of the whole."""
    edges = [whole[0], *(edge for span in spans for edge in span), whole[1]]
    return [(edges[at], edges[at + 1]) for at in range(0, len(edges), 2) if edges[at] < edges[at + 1]]
