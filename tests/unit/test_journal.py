"""The local journal: what was committed is there after a kill, in order, once; what the disk refuses is an error."""

import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_bot.errors import InvariantViolation, StoreError
from dora_bot.journal import SqliteJournal
from dora_bot.models import (
    Amend,
    Cancel,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)
from dora_bot.records import Row
from tests.fakes.bookings import Book, decision_row, order_row
from tests.fakes.manual_clock import NOON_MS

NOW = Instant(1_000, NOON_MS)
PLACE = Place("c1", "KXA", Side.BID, 4_000, 100, NOON_MS + 55_000, 0)
AMEND = Amend("c1", "o1", "KXA", Side.BID, 4_100, 100, NOON_MS + 55_000, 0)
CANCEL = Cancel("c1", "o1", "KXA", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(path) as opened:
        yield opened


def rows(journal: SqliteJournal) -> list[Row]:
    return [queued.row for queued in journal.pending(1_000)]


def test_an_intent_stays_open_until_its_outcome_is_known(journal: SqliteJournal) -> None:
    journal.intend([PLACE, AMEND, CANCEL], NOW)
    assert [intent.action for intent in journal.unresolved()] == [AMEND, CANCEL, PLACE]
    journal.settle(
        [
            Outcome(PLACE, OutcomeKind.ACCEPTED, order_id="o1"),
            Outcome(AMEND, OutcomeKind.REFUSED),
            Outcome(CANCEL, OutcomeKind.DENIED_LOCALLY),
        ],
        NOW,
    )
    assert journal.unresolved() == []


def test_an_unknown_outcome_stays_open_and_says_so_until_evidence_settles_it(journal: SqliteJournal) -> None:
    journal.intend([PLACE], NOW)
    assert [intent.unknown for intent in journal.unresolved()] == [False]
    journal.settle([Outcome(PLACE, OutcomeKind.UNKNOWN, code="timeout")], NOW)
    assert [intent.unknown for intent in journal.unresolved()] == [True]
    journal.settle([Outcome(PLACE, OutcomeKind.REFUSED)], NOW)
    assert journal.unresolved() == []


def test_an_amend_of_the_same_order_replaces_the_intent_before(journal: SqliteJournal) -> None:
    later = Amend("c1", "o1", "KXA", Side.BID, 4_200, 100, NOON_MS + 56_000, 0)
    journal.intend([AMEND], NOW)
    journal.intend([later], NOW)
    assert [intent.action for intent in journal.unresolved()] == [later]


def test_rows_come_back_equal_in_the_order_of_recording_and_leave_when_drained(
    journal: SqliteJournal,
) -> None:
    book = Book()
    recorded: list[Row] = [
        order_row(1),
        book.fill(),
        book.fill(Side.ASK),
        order_row(2, "cancelled"),
        book.settle(10_000),
    ]
    journal.record(recorded[:2])
    journal.record(recorded[2:])
    assert rows(journal) == recorded
    assert journal.pending(2) == journal.pending(5)[:2]
    journal.mark_drained([queued.seq for queued in journal.pending(3)])
    assert rows(journal) == recorded[3:]
    assert journal.backlog() == 2


def test_decisions_wait_apart_so_that_they_never_hold_up_a_fill(journal: SqliteJournal) -> None:
    fill = Book().fill()
    journal.record([decision_row(1), fill, decision_row(2)])
    assert rows(journal) == [fill]
    assert [queued.row for queued in journal.pending_decisions(10)] == [decision_row(1), decision_row(2)]
    assert journal.backlog() == 3


def test_a_fill_booked_before_is_refused_with_everything_recorded_with_it(journal: SqliteJournal) -> None:
    fill = Book().fill()
    journal.record([fill])
    with pytest.raises(InvariantViolation, match="booked twice"):
        journal.record([order_row(1), fill])
    assert rows(journal) == [fill]


def test_a_drained_fill_is_still_known_as_booked_after_a_restart(path: Path) -> None:
    fill = Book().fill()
    with SqliteJournal(path) as journal:
        journal.record([fill])
        journal.mark_drained([journal.pending(1)[0].seq])
    with SqliteJournal(path) as journal:
        assert journal.booked_fills(0) == {fill.fill.key}
        assert journal.booked_fills(fill.fill.time_ms + 1) == frozenset()
        assert journal.last_fill_ms() == fill.fill.time_ms
        with pytest.raises(InvariantViolation):
            journal.record([fill])


def test_a_settlement_is_booked_once_and_is_not_a_fill(journal: SqliteJournal) -> None:
    book = Book()
    journal.record([book.fill()])
    newest = journal.last_fill_ms()
    journal.record([book.settle(10_000)])
    assert journal.last_fill_ms() == newest
    assert len(journal.booked_fills(0)) == 1
    with pytest.raises(InvariantViolation):
        journal.record([book.settle(10_000)])


def test_pruning_forgets_old_fills_but_never_the_newest(journal: SqliteJournal) -> None:
    book = Book()
    old, new = book.fill(), book.fill()
    journal.record([old, new])
    journal.prune(NOON_MS + 1_000_000, 0)
    assert journal.booked_fills(0) == {new.fill.key}
    assert journal.last_fill_ms() == new.fill.time_ms


def test_pruning_forgets_intents_that_are_too_old_to_rest(journal: SqliteJournal) -> None:
    journal.intend([PLACE], Instant(1, NOON_MS - 1))
    journal.intend([CANCEL], NOW)
    journal.prune(0, NOON_MS)
    assert [intent.action for intent in journal.unresolved()] == [CANCEL]


def test_the_fence_is_remembered(path: Path) -> None:
    with SqliteJournal(path) as journal:
        assert journal.fence() == 0
        journal.remember_fence(7)
    with SqliteJournal(path) as journal:
        assert journal.fence() == 7


def test_checkpoints_keep_the_log_short_while_the_journal_is_used(journal: SqliteJournal, path: Path) -> None:
    book = Book()
    for _ in range(30):
        journal.record([book.fill() for _ in range(50)])
        journal.checkpoint()
        journal.mark_drained([queued.seq for queued in journal.pending(1_000)])
    assert path.with_name(path.name + "-wal").stat().st_size < 1_000_000


def test_two_threads_write_and_drain_at_once_and_nothing_is_lost(journal: SqliteJournal) -> None:
    drained: list[Row] = []
    done = threading.Event()

    def drain() -> None:
        while not done.is_set() or journal.backlog():
            chunk = journal.pending(7)
            drained.extend(queued.row for queued in chunk)
            journal.mark_drained([queued.seq for queued in chunk])
            journal.checkpoint()

    thread = threading.Thread(target=drain)
    thread.start()
    written: list[Row] = [order_row(number) for number in range(300)]
    for row in written:
        journal.intend([PLACE], NOW)
        journal.record([row])
    done.set()
    thread.join()
    assert drained == written


def test_a_file_that_is_no_journal_is_named(path: Path) -> None:
    path.write_text("this is not a database, but long enough to look like a file with a header" * 20)
    with pytest.raises(StoreError, match=r"journal\.sqlite.*not a database"):
        SqliteJournal(path)


def test_a_journal_of_another_version_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match="another version"):
        SqliteJournal(path)


CHILD = """
import os, resource, signal, sys
from pathlib import Path
from dora_bot.errors import StoreError
from dora_bot.journal import SqliteJournal
from dora_bot.models import (
    Instant,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)
from tests.fakes.bookings import Book, order_row
journal = SqliteJournal(Path(sys.argv[1]))
book, now = Book(), Instant(1, 2)
"""


def run_child(path: Path, body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD + textwrap.dedent(body), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_process_killed_between_intent_and_outcome_leaves_the_intent(path: Path) -> None:
    died = run_child(
        path,
        """
        first, second = (Place(name, "KXA", Side.BID, 4000, 100, 0, 0) for name in ("c1", "c2"))
        journal.record([book.fill(), order_row(1)])
        journal.intend([first, second], now)
        journal.settle([Outcome(first, OutcomeKind.ACCEPTED)], now)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    with SqliteJournal(path) as journal:
        assert [intent.action.client_order_id for intent in journal.unresolved()] == ["c2"]
        assert rows(journal) == [Book().fill(), order_row(1)]
        assert journal.booked_fills(0) == {("t1", "o1")}


def test_a_process_killed_inside_a_commit_leaves_all_of_it_or_nothing(path: Path) -> None:
    died = run_child(
        path,
        """
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        while True:
            journal.record([book.fill(), book.fill(), book.fill()])
        """,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    with SqliteJournal(path) as journal:
        kept = journal.pending(1_000_000)
        assert len(kept) > 30
        assert len(kept) % 3 == 0
        assert len(journal.booked_fills(0)) == len(kept)


def test_a_full_disk_is_a_store_error_and_what_it_refused_comes_first_when_there_is_room(path: Path) -> None:
    told = run_child(
        path,
        """
        journal.record([order_row(1)])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, -1))
        tried = 1
        try:
            while True:
                tried += 1
                journal.record([order_row(tried)])
        except StoreError as error:
            print("refused:", error)
        try:
            for number in range(1_000):
                journal.intend([Place(f"c{number}", "KXA", Side.BID, 4000, 100, 0, 0)], now)
        except StoreError:
            print("intent refused")
        print("reading goes on", journal.backlog() == len(journal.pending(10_000)) == tried - 1)
        try:
            journal.record([order_row(tried + 1)])
        except StoreError:
            print("refused again")
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        journal.record([order_row(tried + 2)])
        print("all there", [q.row for q in journal.pending(10_000)] == [order_row(n) for n in range(1, tried + 3)])
        """,
    )
    assert told.returncode == 0, told.stderr
    assert "refused: journal" in told.stdout
    for line in ("intent refused", "reading goes on True", "refused again", "all there True"):
        assert line in told.stdout
