"""Start-up: what a killed process left behind is in the tables first, and then what is read back is complete."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from dora_bot.drain import Drain
from dora_bot.dynamo import Dynamo
from dora_bot.errors import LeaseLost, StoreError
from dora_bot.items import STATE, TRADE_LOG
from dora_bot.journal import SqliteJournal
from dora_bot.lease import Lease
from dora_bot.ledger import fold
from dora_bot.models import (
    Halt,
    Instant,
    Place,
    Side,
)
from dora_bot.recovery import KNOWN_MS, OVERLAP_MS, Recovered, load_state, restored
from dora_bot.state_store import Published, StateStore
from dora_bot.valuation import Day
from tests.fakes.aws import FaultyProxy
from tests.fakes.bookings import Book
from tests.fakes.manual_clock import NOON_MS, ManualClock

PLACE = Place("c1", "KXA", Side.BID, 4_000, 100, NOON_MS + 55_000, 0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_MS + 60_000)


@pytest.fixture
def lease(db: Dynamo, clock: ManualClock) -> Lease:
    lease = Lease(db, "paper", "one")
    lease.acquire(clock.now())
    return lease


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "journal.sqlite") as opened:
        yield opened


def recover(db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock) -> Recovered:
    return load_state(StateStore(db), journal, Drain(journal, db, lambda: lease.grip), clock)


def test_a_first_start_knows_nothing(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    found = recover(db, journal, lease, clock)
    assert found.positions == {}
    assert found.booked == frozenset()
    assert (found.last_fill_ms, found.fills_since_ms, found.unresolved) == (0, 0, ())
    assert found.risk.halts == ()


def test_the_journal_is_emptied_first_and_everything_is_found(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    book = Book()
    rows = [book.fill(Side.BID, 4_000, 200), book.fill(Side.ASK, 4_500, 100), book.fill(ticker="KXB")]
    journal.record(rows)
    journal.intend([PLACE], Instant(1, NOON_MS))
    found = recover(db, journal, lease, clock)
    assert journal.backlog() == 0
    assert found.positions == book.positions
    assert found.booked == {row.fill.key for row in rows}
    assert found.last_fill_ms == rows[-1].fill.time_ms
    assert found.fills_since_ms == rows[-1].fill.time_ms - OVERLAP_MS
    assert found.booked_since_ms == rows[-1].fill.time_ms - KNOWN_MS
    assert [intent.action for intent in found.unresolved] == [PLACE]
    assert (found.today.realised_e6, found.today.fees_e6, found.today.fills) == (50_000, 21, 3)


def test_fills_are_known_from_further_back_than_they_are_asked_for(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    book = Book()
    old = book.fill()
    book.time_ms += 2 * OVERLAP_MS
    journal.record([old, book.fill()])
    found = recover(db, journal, lease, clock)
    assert old.fill.time_ms < found.fills_since_ms
    assert old.fill.key in found.booked


def test_a_new_host_without_a_journal_finds_the_same(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock, tmp_path: Path
) -> None:
    book = Book()
    journal.record([book.fill(), book.fill()])
    drain = Drain(journal, db, lambda: lease.grip)
    drain.halts = lambda: (Halt("H1", "daily loss", NOON_MS, "risk"),)
    drain.published = lambda: Published(NOON_MS, (), (), 1, 2, book.time_ms - 1)  # older than the newest fill
    drain.step(clock.now())
    with SqliteJournal(tmp_path / "new-host.sqlite") as empty:
        found = recover(db, empty, lease, clock)
    assert found.positions == book.positions
    assert found.booked == {("t1", "o1"), ("t2", "o2")}
    assert found.last_fill_ms == book.time_ms
    assert found.today.fills == 2
    assert [halt.halt_id for halt in found.risk.halts] == ["H1"]


def test_a_first_fill_that_no_published_picture_tells_of_yet_is_known_to_another_host(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock, tmp_path: Path
) -> None:
    row = Book().fill(Side.BID, 4_000, 200)
    journal.record([row])
    Drain(journal, db, lambda: lease.grip).step(clock.now())
    assert StateStore(db).risk_state().last_fill_ms == 0
    with SqliteJournal(tmp_path / "other.sqlite") as empty:
        found = recover(db, empty, lease, clock)
    assert found.booked == {row.fill.key}
    assert found.last_fill_ms == row.fill.time_ms


def test_fills_of_yesterday_are_booked_but_are_not_todays(
    db: Dynamo, journal: SqliteJournal, lease: Lease
) -> None:
    after_midnight = ManualClock(NOON_MS + 12 * 3_600_000 + 600_000)
    book = Book(NOON_MS + 12 * 3_600_000 - 600_000)
    journal.record([book.fill()])
    found = recover(db, journal, lease, after_midnight)
    assert found.booked == {("t1", "o1")}
    assert found.today.fills == 0


def test_the_day_goes_on_after_a_restart_and_begins_anew_at_midnight(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    drain = Drain(journal, db, lambda: lease.grip)
    drain.published = lambda: Published(NOON_MS, (), (), 7_000_000, -2_000_000, NOON_MS)
    drain.step(clock.now())
    found = recover(db, journal, lease, clock)
    assert restored(found, clock.now()).day == Day("2026-11-20", 7_000_000)
    tomorrow = ManualClock(NOON_MS + 86_400_000)
    assert restored(found, tomorrow.now()).day == Day()


def test_the_fills_of_a_day_of_which_the_begin_is_not_known_are_handed_on(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    book = Book(NOON_MS - 86_400_000)
    yesterday = book.fill()
    book.time_ms = NOON_MS
    today = book.fill()
    journal.record([yesterday, today])
    found = recover(db, journal, lease, clock)
    assert [fill.key for fill in restored(found, clock.now()).today] == [today.fill.key]
    drain = Drain(journal, db, lambda: lease.grip)
    drain.published = lambda: Published(NOON_MS, (), (), 7_000_000, -2_000_000, NOON_MS)
    drain.step(clock.now())
    assert restored(recover(db, journal, lease, clock), clock.now()).today == ()


def test_a_halt_set_by_hand_in_the_console_is_a_halt(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
    assert [halt.halt_id for halt in recover(db, journal, lease, clock).risk.halts] == ["console"]


def test_a_damaged_item_stops_the_start_and_is_named(
    db: Dynamo, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    db.put(STATE, {"key": "position#KXA", "market_id": "KXA", "net": "many", "version": Decimal(1)})
    with pytest.raises(StoreError, match=r"net is 'many'.*position#KXA"):
        recover(db, journal, lease, clock)


def test_rows_that_cannot_be_written_stop_the_start_and_stay(
    faulty_db: Dynamo, proxy: FaultyProxy, journal: SqliteJournal, lease: Lease, clock: ManualClock
) -> None:
    journal.record([Book().fill()])
    proxy.fault = lambda operation: "throttle" if operation == "TransactWriteItems" else ""
    with pytest.raises(StoreError, match="1 journalled rows cannot be written"):
        recover(faulty_db, journal, lease, clock)
    assert journal.backlog() == 1


def test_without_the_lease_nothing_is_recovered(
    db: Dynamo, journal: SqliteJournal, clock: ManualClock
) -> None:
    journal.record([Book().fill()])
    with pytest.raises(LeaseLost):
        recover(db, journal, Lease(db, "paper", "two"), clock)


CHILD = """
import itertools, os, signal, sys, threading
from pathlib import Path
from dora_bot.clock import SystemClock
from dora_bot.drain import Drain
from dora_bot.dynamo import Dynamo
from dora_bot.journal import SqliteJournal
from dora_bot.lease import Lease
from dora_bot.models import Instant, Place, Side
from tests.fakes.bookings import Book, order_row
from tests.fakes.manual_clock import NOON_MS

journal, db, clock = SqliteJournal(Path(sys.argv[1])), Dynamo.connect(sys.argv[2]), SystemClock()
lease = Lease(db, "paper", "one")
lease.acquire(clock.now())
drain = Drain(journal, db, lambda: lease.grip)
book = Book()
def tick():
    for number in itertools.count():
        place = Place(f"c{number}", "KXA", Side.BID, 4000, 100, 0, 0)
        journal.intend([place], clock.now())
        journal.record([book.fill(), order_row(number, time_ms=NOON_MS + number)])
        print(number, flush=True)
        clock.sleep(0.003)
threading.Thread(target=tick, daemon=True).start()
while True:
    drain.step(clock.now())
"""


@pytest.mark.process
@pytest.mark.parametrize("lines", [3, 17, 40, 71])
def test_a_process_killed_while_it_books_and_drains_loses_and_doubles_nothing(
    db: Dynamo, tmp_path: Path, lines: int
) -> None:
    path, clock = tmp_path / "journal.sqlite", ManualClock(NOON_MS + 60_000)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), db.prefix], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    booked_for_sure = len([line for line in told if line.endswith("\n")])
    assert booked_for_sure >= lines
    lease = Lease(db, "paper", "one")
    assert lease.acquire(clock.now())  # its own lease, at once
    with SqliteJournal(path) as journal:
        found = recover(db, journal, lease, clock)
        assert journal.backlog() == 0
    fills = found.positions["KXA"].version
    assert fills in (booked_for_sure, booked_for_sure + 1)
    assert len(found.booked) == fills
    assert fold(db.query(TRADE_LOG, "2026-11-20")).positions == found.positions
    assert len(found.unresolved) in (fills, fills + 1)
