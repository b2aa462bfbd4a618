"""What the bot knows when it starts: the local journal first, then the tables, in one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dora_bot.drain import Drain
from dora_bot.errors import StoreError
from dora_bot.journal import Intent, SqliteJournal
from dora_bot.ledger import Totals, booking_of, is_booking
from dora_bot.models import Amend, Fill, Instant, Place, Position
from dora_bot.own_orders import OrderState, opened
from dora_bot.ports import Clock
from dora_bot.state_manager import Restored
from dora_bot.state_store import RiskState, StateStore
from dora_bot.valuation import Day, utc_date

OVERLAP_MS = 3_600_000
"""Fills are asked for again from this long before the newest one booked: times tie, and some are told late."""

KNOWN_MS = 86_400_000
"""What was booked is loaded from this far back: how far a fill that is missing may be looked for."""
_FLUSH_MS = 10_000


@dataclass(frozen=True, slots=True)
class Recovered:
    """Ask the exchange for fills from ``fills_since_ms`` on (0: this environment never had one) and skip ``booked``,
    which is complete from ``booked_since_ms`` on: an older fill could be booked twice.

    ``positions`` and ``today`` (realised PnL, fees and fills of this UTC day) are complete up to what was booked.
    ``unresolved`` are writes whose end nobody knows; their orders must be looked up before anything is quoted.
    """

    positions: Mapping[str, Position]
    booked: frozenset[tuple[str, str]]
    last_fill_ms: int
    fills_since_ms: int
    booked_since_ms: int
    unresolved: tuple[Intent, ...]
    today: Totals
    fills_today: tuple[Fill, ...]
    risk: RiskState


def load_state(state: StateStore, journal: SqliteJournal, drain: Drain, clock: Clock) -> Recovered:
    """Empty the journal into DynamoDB, then read what is there. The lease must be held.

    Raises `StoreError` if either does not work, `LeaseLost`, or `InvariantViolation` if they disagree.
    """
    report = drain.flush(clock, _FLUSH_MS)
    if report.error:
        raise StoreError(f"{report.backlog} journalled rows cannot be written: {report.error}")
    now_ms = clock.now().exchange_ms
    risk = state.risk_state()
    known_ms = max(journal.last_fill_ms(), risk.last_fill_ms)
    # The published figure is up to a minute old: another instance may have booked its very first fill since.
    booked_since_ms = max((known_ms or now_ms) - KNOWN_MS, 0)
    recent = [booking_of(row) for row in state.trade_rows_since(booked_since_ms, now_ms) if is_booking(row)]
    fills = [booking.event for booking in recent if isinstance(booking.event, Fill)]
    known_ms = max([known_ms, *(fill.time_ms for fill in fills)])
    since_ms = max(known_ms - OVERLAP_MS, 0)
    today = utc_date(now_ms)
    return Recovered(
        positions=state.positions(),
        booked=journal.booked_fills(booked_since_ms) | {fill.key for fill in fills},
        last_fill_ms=known_ms,
        fills_since_ms=since_ms,
        booked_since_ms=booked_since_ms if known_ms else 0,
        unresolved=tuple(journal.unresolved()),
        today=sum((b.totals for b in recent if b.day == today), Totals()),
        fills_today=tuple(fill for fill in fills if utc_date(fill.time_ms) == today),
        risk=risk,
    )


def restored(recovered: Recovered, now: Instant) -> Restored:
    """Writes whose end is not known: creates count as open orders, amends wait for the order they may still change."""
    creates = [
        replace(opened(i.action, Instant(now.mono_ms, i.time_ms)), state=OrderState.UNKNOWN)
        for i in recovered.unresolved
        if isinstance(i.action, Place)
    ]
    amends = [(i.action, i.time_ms) for i in recovered.unresolved if isinstance(i.action, Amend)]
    today, risk = utc_date(now.exchange_ms), recovered.risk
    day = Day(today, risk.day_start_equity_e6) if risk.day == today else Day()
    return Restored(
        recovered.positions,
        recovered.booked,
        tuple(creates),
        day,
        risk.peak,
        amends=tuple(amends),
        today=() if day.date else recovered.fills_today,
    )
