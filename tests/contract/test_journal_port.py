"""What every `ports.Journal` promises; the fake of the core's tests and the real one alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_bot.errors import InvariantViolation
from dora_bot.journal import SqliteJournal
from dora_bot.models import Action, Amend, Cancel, Instant, Outcome, OutcomeKind, Place, Side
from dora_bot.ports import Journal
from dora_bot.records import Row
from tests.fakes.bookings import Book, decision_row, order_row
from tests.fakes.manual_clock import NOON_MS
from tests.fakes.ports import MemoryJournal

NOW = Instant(1_000, NOON_MS)
PLACE = Place("c1", "KXA", Side.BID, 4_000, 100, NOON_MS + 50_000, 0)
AMEND = Amend("c1", "o1", "KXA", Side.BID, 4_100, 100, NOON_MS + 50_000, 0)
CANCEL = Cancel("c2", "o2", "KXA", 0)


class Fake:
    journal: Journal

    def __init__(self) -> None:
        self.memory = MemoryJournal()
        self.journal = self.memory

    def unresolved(self) -> list[Action]:
        return self.memory.unresolved()

    def recorded(self) -> list[Row]:
        return self.memory.recorded()


class Real:
    journal: Journal

    def __init__(self, path: Path) -> None:
        self.sqlite = SqliteJournal(path)
        self.journal = self.sqlite

    def unresolved(self) -> list[Action]:
        return [intent.action for intent in self.sqlite.unresolved()]

    def recorded(self) -> list[Row]:
        queued = [*self.sqlite.pending(1_000), *self.sqlite.pending_decisions(1_000)]
        return [one.row for one in sorted(queued, key=lambda one: one.seq)]


Looked = Fake | Real
"""A journal and the two ways to look into it."""


@pytest.fixture(params=["fake", "real"])
def looked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Looked]:
    if request.param == "fake":
        yield Fake()
        return
    real = Real(tmp_path / "journal.sqlite")
    yield real
    real.sqlite.close()


def names(actions: list[Action]) -> set[tuple[str, str]]:
    return {(type(a).__name__, a.client_order_id) for a in actions}


def test_intents_are_open_until_their_outcome_proves_something(looked: Looked) -> None:
    looked.journal.intend([PLACE, CANCEL], NOW)
    assert names(looked.unresolved()) == {("Place", "c1"), ("Cancel", "c2")}
    looked.journal.settle([Outcome(PLACE, OutcomeKind.UNKNOWN), Outcome(CANCEL, OutcomeKind.REFUSED)], NOW)
    assert names(looked.unresolved()) == {("Place", "c1")}
    looked.journal.settle([Outcome(PLACE, OutcomeKind.ACCEPTED, "o1")], NOW)
    assert looked.unresolved() == []


def test_a_create_and_an_amend_of_one_order_are_two_intents(looked: Looked) -> None:
    looked.journal.intend([PLACE], NOW)
    looked.journal.intend([AMEND], NOW)
    looked.journal.settle([Outcome(AMEND, OutcomeKind.ACCEPTED, "o1")], NOW)
    assert names(looked.unresolved()) == {("Place", "c1")}


def test_rows_of_every_kind_come_back_equal_and_in_order(looked: Looked) -> None:
    book = Book()
    rows: list[Row] = [order_row(1), book.fill(), decision_row(1), book.fill(Side.ASK), book.settle(10_000)]
    looked.journal.record(rows[:2])
    looked.journal.record(rows[2:])
    looked.journal.record([])
    assert looked.recorded() == rows


def test_what_was_booked_once_is_refused_with_everything_beside_it(looked: Looked) -> None:
    fill = Book().fill()
    looked.journal.record([fill])
    with pytest.raises(InvariantViolation, match="booked twice"):
        looked.journal.record([order_row(1), fill])
    assert looked.recorded() == [fill]
