"""The drain: every fill is in DynamoDB exactly once, whatever is lost, retried, throttled or killed."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dora_bot.drain import HALTS_MS, Drain
from dora_bot.dynamo import Dynamo
from dora_bot.errors import InvariantViolation, LeaseLost
from dora_bot.halts import HaltFile
from dora_bot.items import DECISION_LOG, STATE, TRADE_LOG
from dora_bot.journal import SqliteJournal
from dora_bot.lease import Lease
from dora_bot.ledger import fold
from dora_bot.models import ExchangeOrder, Halt, Side
from dora_bot.state_store import OPEN_ORDERS, POSITIONS, Published, StateStore
from dora_bot.valuation import utc_date
from tests.fakes.aws import FaultyProxy
from tests.fakes.bookings import Book, decision_row, order_row
from tests.fakes.manual_clock import NOON_MS, ManualClock

if TYPE_CHECKING:
    from dora_bot.records import Row

DAY = "2026-11-20"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def lease(db: Dynamo, clock: ManualClock) -> Lease:
    lease = Lease(db, "paper", "one")
    lease.acquire(clock.now())
    return lease


@pytest.fixture
def drain(journal: SqliteJournal, db: Dynamo, lease: Lease) -> Drain:
    return Drain(journal, db, lambda: lease.grip)


@pytest.fixture
def faulty_drain(journal: SqliteJournal, faulty_db: Dynamo, lease: Lease) -> Drain:
    return Drain(journal, faulty_db, lambda: lease.grip)


def stored(db: Dynamo) -> list[str]:
    return [row["timestamp#order_id"] for row in db.query(TRADE_LOG, DAY)]


def assert_booked(db: Dynamo, book: Book) -> None:
    """The fold of the log and the stored positions both equal what was booked."""
    assert fold(db.query(TRADE_LOG, DAY)).positions == book.positions
    assert StateStore(db).positions() == book.positions


def test_rows_move_in_order_with_the_position_they_led_to(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock
) -> None:
    book = Book()
    rows: list[Row] = [
        order_row(1),
        book.fill(),
        order_row(1, "amended"),
        book.fill(Side.ASK),
        book.fill(ticker="KXB"),
    ]
    journal.record(rows)
    report = drain.step(clock.now())
    assert (report.moved, report.backlog, report.error) == (5, 0, "")
    assert len(stored(db)) == 5
    assert_booked(db, book)
    journal.record([book.settle(10_000)])
    assert drain.step(clock.now()).moved == 1
    assert_booked(db, book)
    assert db.get(STATE, {"key": "position#KXA"})["settled"] is True


def test_a_lost_reply_is_recognised_as_the_own_write(
    faulty_drain: Drain, journal: SqliteJournal, db: Dynamo, proxy: FaultyProxy, clock: ManualClock
) -> None:
    book = Book()
    journal.record([book.fill(), book.fill()])
    proxy.fault = lambda operation: "drop_reply" if operation == "TransactWriteItems" else ""
    report = faulty_drain.step(clock.now())
    assert "transact_write_items" in report.error
    assert report.backlog == 2
    assert len(stored(db)) == 1  # it was applied; the drain does not know
    proxy.fault = lambda _operation: ""
    assert faulty_drain.step(clock.now()).backlog == 0
    assert_booked(db, book)


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_of_failures_books_everything_once(
    faulty_drain: Drain, journal: SqliteJournal, db: Dynamo, proxy: FaultyProxy, clock: ManualClock, seed: int
) -> None:
    chance, book = random.Random(seed), Book()
    proxy.fault = lambda _operation: chance.choice(["", "", "drop_reply", "refuse", "throttle"])
    hit = 0
    for number in range(12):
        journal.record([order_row(number), book.fill(chance.choice(list(Side)), chance.randint(1, 9_999))])
        hit += bool(faulty_drain.step(clock.advance(500)).error)
    proxy.fault = lambda _operation: ""
    assert faulty_drain.flush(clock, 10_000).backlog == 0
    assert hit > 0
    assert len(stored(db)) == 24
    assert_booked(db, book)


def test_while_dynamodb_throttles_everything_waits_in_order(
    faulty_drain: Drain, journal: SqliteJournal, db: Dynamo, proxy: FaultyProxy, clock: ManualClock
) -> None:
    book = Book()
    proxy.fault = lambda _operation: "throttle"
    for _ in range(3):
        journal.record([book.fill(), order_row(1)])
        report = faulty_drain.step(clock.advance(500))
    assert report.backlog == 6
    assert "Throttling" in report.error
    assert stored(db) == []
    proxy.fault = lambda _operation: ""
    assert faulty_drain.step(clock.now()).backlog == 0
    assert_booked(db, book)


def test_the_local_log_stays_short_while_dynamodb_is_away(
    faulty_drain: Drain, journal: SqliteJournal, proxy: FaultyProxy, clock: ManualClock, tmp_path: Path
) -> None:
    proxy.fault = lambda _operation: "refuse"
    for number in range(40):
        for _ in range(25):
            journal.record([order_row(number)])
        assert faulty_drain.step(clock.advance(500)).error
    assert journal.backlog() == 1_000
    assert (tmp_path / "journal.sqlite-wal").stat().st_size < 1_000_000


def test_what_fails_once_a_minute_is_not_tried_every_step(
    faulty_drain: Drain, proxy: FaultyProxy, clock: ManualClock
) -> None:
    faulty_drain.published = lambda: Published(NOON_MS, (), (), 0, 0, 0)
    proxy.fault = lambda _operation: "throttle"
    for _ in range(20):
        faulty_drain.step(clock.advance(500))
    assert len(proxy.seen) == 2
    proxy.fault = lambda _operation: ""
    faulty_drain.step(clock.advance(5_000))
    assert proxy.seen[-1] == "BatchWriteItem"


def test_a_fill_that_another_instance_booked_otherwise_stops_the_bot(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock, tmp_path: Path, lease: Lease
) -> None:
    first, second = Book(), Book()
    journal.record([first.fill(count_e2=100)])
    drain.step(clock.now())
    with SqliteJournal(tmp_path / "other.sqlite") as other:
        other.record([second.fill(count_e2=200)])  # the same trade, another size
        with pytest.raises(
            InvariantViolation, match=r"booked otherwise already.*fill_size 1.* there, 2.* here"
        ):
            Drain(other, db, lambda: lease.grip).step(clock.now())
    assert_booked(db, first)


def test_a_trade_that_is_booked_already_is_never_booked_as_a_further_one(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock, tmp_path: Path, lease: Lease
) -> None:
    """A bot that forgot its booked fills counts one again, on top of the stored position."""
    book, again = Book(), Book()
    journal.record([book.fill()])
    drain.step(clock.now())
    again.positions.update(book.positions)
    with SqliteJournal(tmp_path / "forgetful.sqlite") as forgetful:
        forgetful.record([again.fill()])
        with pytest.raises(InvariantViolation, match=r"position_version 1 there, 2 here"):
            Drain(forgetful, db, lambda: lease.grip).step(clock.now())
    assert_booked(db, book)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_position_that_is_not_the_one_before_stops_the_bot(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock, before: int
) -> None:
    book = Book()
    journal.record([book.fill() for _ in range(before)])
    drain.step(clock.now())
    book.fill()  # booked nowhere
    journal.record([book.fill()])
    expected = f"position#KXA is stored with version {before}, the next row would make it {before + 2}"
    with pytest.raises(InvariantViolation, match=expected):
        drain.step(clock.now())
    assert len(stored(db)) == before
    assert journal.backlog() == 1


def test_without_the_lease_nothing_is_booked_and_nothing_is_lost(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock
) -> None:
    heir = Lease(db, "paper", "two")
    heir.acquire(clock.now())
    assert heir.acquire(clock.advance(20_000))
    journal.record([Book().fill()])
    with pytest.raises(LeaseLost):
        drain.step(clock.now())
    assert stored(db) == []
    assert journal.backlog() == 1


def test_decisions_go_once_a_minute_and_at_stop(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock
) -> None:
    drain.step(clock.now())
    journal.record([decision_row(1), decision_row(2), decision_row(3, "KXB")])
    assert drain.step(clock.advance(59_000)).backlog == 3
    assert drain.step(clock.advance(1_000)).backlog == 0
    journal.record([decision_row(9)])
    assert drain.flush(clock, 1_000).backlog == 0
    found = list(db.query(DECISION_LOG, DAY))
    assert [(item["market_id"], len(item["reason"])) for item in found] == [
        ("KXA", 2),
        ("KXB", 1),
        ("KXA", 1),
    ]


def test_the_picture_for_people_is_published_once_a_minute_and_at_stop(
    drain: Drain, db: Dynamo, clock: ManualClock
) -> None:
    book, store = Book(), StateStore(db)
    book.fill(Side.BID, 4_000, 200)
    order = ExchangeOrder(
        "o9", "c9", "KXA", Side.ASK, 4_500, 300, 0, "resting", expiration_ms=NOON_MS + 55_000
    )
    asked = []

    def published() -> Published:
        asked.append(1)
        return Published(
            clock.now().exchange_ms, tuple(book.positions.values()), (order,), 5_000_000, -1_250_000, NOON_MS
        )

    drain.published = published
    drain.step(clock.now())
    drain.step(clock.advance(30_000))
    assert len(asked) == 1
    assert store.item(POSITIONS)["positions"]["KXA"]["yes_qty"] == 2
    assert store.item(OPEN_ORDERS)["orders"]["o9"]["price"] == Decimal("0.45")
    assert store.item(f"pnl#{DAY}")["daily_pnl"] == Decimal("-1.25")
    risk = store.risk_state()
    assert (risk.day, risk.day_start_equity_e6, risk.daily_pnl_e6, risk.last_fill_ms) == (
        DAY,
        5_000_000,
        -1_250_000,
        NOON_MS,
    )
    drain.flush(clock, 1_000)
    assert len(asked) == 2


def test_what_a_new_day_began_with_is_written_at_once(drain: Drain, db: Dynamo, clock: ManualClock) -> None:
    began = {DAY: 5_000_000, "2026-11-21": 4_000_000}
    drain.published = lambda: Published(
        clock.now().exchange_ms, (), (), began[utc_date(clock.now().exchange_ms)], 0, 0
    )
    drain.step(clock.now())
    to_midnight_ms = 86_400_000 - clock.now().exchange_ms % 86_400_000
    drain.step(clock.advance(to_midnight_ms - 1_000))
    assert StateStore(db).risk_state().day_start_equity_e6 == 5_000_000
    drain.step(clock.advance(1_000))
    assert StateStore(db).risk_state().day_start_equity_e6 == 4_000_000


def test_halts_are_told_at_once_and_again_until_they_arrive(
    faulty_drain: Drain, db: Dynamo, proxy: FaultyProxy, clock: ManualClock
) -> None:
    halts: tuple[Halt, ...] = ()
    faulty_drain.halts = lambda: halts
    faulty_drain.step(clock.now())
    halts = (Halt("H1", "daily loss", NOON_MS, "risk", "-$101"),)
    proxy.fault = lambda _operation: "refuse"
    assert faulty_drain.step(clock.advance(500)).error
    proxy.fault = lambda _operation: ""
    assert not faulty_drain.step(clock.advance(500)).error
    assert StateStore(db).risk_state().halts == halts
    calls = len(proxy.seen)
    faulty_drain.step(clock.advance(500))
    assert len(proxy.seen) == calls
    halts = ()
    faulty_drain.step(clock.advance(500))
    assert db.get(STATE, {"key": "risk_state"})["trading_halted"] is False
    assert StateStore(db).risk_state().halts == ()


def test_halts_that_others_write_are_taken_within_seconds_and_a_resumed_one_is_told(
    drain: Drain, db: Dynamo, clock: ManualClock, tmp_path: Path
) -> None:
    latch, store = HaltFile(tmp_path / "halts.jsonl"), StateStore(db)
    drain.halts, drain.take_halts = lambda: latch.read().halts, latch.take
    latch.latch("own", "risk", "", clock.now())
    drain.step(clock.now())
    assert store.risk_state().halts == latch.read().halts
    store.set_halts([Halt("H1", "from another directory", NOON_MS - 5, "operator")])
    drain.step(clock.advance(HALTS_MS))
    assert [(h.halt_id, h.reason) for h in latch.read().halts] == [
        ("H1", "own"),
        ("H2", "from another directory"),
    ]
    assert store.risk_state().halts == latch.read().halts
    latch.resume("H2", "operator", clock.now())
    drain.step(clock.advance(HALTS_MS))
    assert [h.reason for h in store.risk_state().halts] == ["own"]


def test_a_halt_set_in_the_console_is_taken_and_its_end_clears_it_there(
    drain: Drain, db: Dynamo, clock: ManualClock, tmp_path: Path
) -> None:
    latch = HaltFile(tmp_path / "halts.jsonl")
    drain.halts, drain.take_halts = lambda: latch.read().halts, latch.take
    for name in ("H1", "H2"):
        drain.step(clock.advance(HALTS_MS))
        db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
        drain.step(clock.advance(HALTS_MS))
        assert [(h.halt_id, h.raised_by) for h in latch.read().halts] == [(name, "console")]
        latch.resume(name, "operator", clock.now())
        drain.step(clock.advance(HALTS_MS))
        assert db.get(STATE, {"key": "risk_state"})["trading_halted"] is False
        assert latch.read().halts == ()


def test_a_halt_set_in_the_console_while_a_lift_is_told_is_taken_and_not_overwritten(
    drain: Drain, db: Dynamo, clock: ManualClock, tmp_path: Path
) -> None:
    latch, store = HaltFile(tmp_path / "halts.jsonl"), StateStore(db)
    drain.halts, drain.take_halts = lambda: latch.read().halts, latch.take
    latch.latch("own", "risk", "", clock.now())
    drain.step(clock.now())
    # `dora resume` writes the file and the table; before the bot's next step a person sets the halt by hand.
    latch.resume("H1", "operator", clock.now())
    store.set_halts(())
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
    for _ in range(3):
        drain.step(clock.advance(250))
    assert [h.raised_by for h in latch.read().halts] == ["console"]
    assert store.risk_state().halts == latch.read().halts


def test_a_damaged_risk_state_keeps_no_booking_from_its_place(
    drain: Drain, journal: SqliteJournal, db: Dynamo, clock: ManualClock, tmp_path: Path
) -> None:
    latch, book = HaltFile(tmp_path / "halts.jsonl"), Book()
    drain.take_halts = latch.take
    db.update(STATE, {"key": "risk_state"}, {"halts": [{"reason": "no id"}]})
    journal.record([book.fill()])
    assert "halt_id" in drain.step(clock.now()).error
    assert_booked(db, book)


def test_halts_that_could_not_be_read_yet_are_not_overwritten(
    faulty_drain: Drain, db: Dynamo, proxy: FaultyProxy, clock: ManualClock, tmp_path: Path
) -> None:
    latch = HaltFile(tmp_path / "halts.jsonl")
    faulty_drain.halts, faulty_drain.take_halts = lambda: latch.read().halts, latch.take
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
    proxy.fault = lambda operation: "refuse" if operation == "GetItem" else ""
    assert faulty_drain.step(clock.now()).error
    proxy.fault = lambda _operation: ""
    assert db.get(STATE, {"key": "risk_state"}) == {"key": "risk_state", "trading_halted": True}
    faulty_drain.step(clock.advance(HALTS_MS))
    assert [h.raised_by for h in latch.read().halts] == ["console"]


def test_giving_up_a_flush_says_what_is_left(
    faulty_drain: Drain, journal: SqliteJournal, proxy: FaultyProxy, clock: ManualClock
) -> None:
    journal.record([Book().fill()])
    proxy.fault = lambda _operation: "refuse"
    began = clock.now().mono_ms
    report = faulty_drain.flush(clock, 3_000)
    assert report.backlog == 1
    assert report.error
    assert 3_000 <= clock.now().mono_ms - began <= 3_400
