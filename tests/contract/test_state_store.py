"""The state table and the trade log as start-up, operators and reports read them."""

from decimal import Decimal

import pytest

from dora_bot.dynamo import Dynamo
from dora_bot.errors import StoreError
from dora_bot.items import STATE, TRADE_LOG, fill_item, order_item, position_item
from dora_bot.models import Halt, Hold, Position
from dora_bot.state_store import Published, RiskState, StateStore
from dora_bot.valuation import Peak
from tests.fakes.bookings import Book, order_row
from tests.fakes.manual_clock import NOON_MS

DAY_MS = 86_400_000


@pytest.fixture
def store(db: Dynamo) -> StateStore:
    return StateStore(db)


def test_positions_are_read_whole_and_the_other_items_are_not_taken_for_any(
    store: StateStore, db: Dynamo
) -> None:
    held, flat = Position("KXA", -300, -1_200_000, 5, 6, 7), Position("KXB", version=2)
    db.batch_put(STATE, [position_item(held), position_item(flat), {"key": "positions", "positions": {}}])
    assert store.positions() == {"KXA": held, "KXB": flat}
    assert store.position("KXA") == held
    assert store.position("KXNEVER") == Position("KXNEVER")


def test_rows_are_read_by_day_and_from_a_time_on_across_midnight(store: StateStore, db: Dynamo) -> None:
    book = Book(NOON_MS + DAY_MS // 2 - 2)  # the fills are 1 ms before, at, and 1 ms after midnight
    db.batch_put(TRADE_LOG, [fill_item(book.fill()) for _ in range(3)])
    db.batch_put(TRADE_LOG, [order_item(order_row(1, time_ms=NOON_MS))])

    def trades(rows: object) -> list[str]:
        assert hasattr(rows, "__iter__")
        return [str(row.get("trade_id", row["status"])) for row in rows]

    assert trades(store.trade_rows("2026-11-20", "2026-11-20")) == ["placed", "t1"]
    assert trades(store.trade_rows("2026-11-20", "2026-11-21")) == ["placed", "t1", "t2", "t3"]
    midnight = NOON_MS + DAY_MS // 2
    assert trades(store.trade_rows_since(midnight - 1, midnight)) == ["t1", "t2", "t3"]
    assert trades(store.trade_rows_since(midnight, midnight)) == ["t2", "t3"]
    # Our clock may be behind the exchange's: what it already calls tomorrow is found as well.
    assert trades(store.trade_rows_since(midnight - 1, midnight - 1_000)) == ["t1", "t2", "t3"]


def test_an_empty_risk_state_is_a_day_without_a_past(store: StateStore) -> None:
    assert store.risk_state() == RiskState()


def test_the_peak_and_milder_halts_come_back_as_they_were(store: StateStore, db: Dynamo) -> None:
    peak = Peak(12_345_678, NOON_MS - 1)
    store.publish(Published(NOON_MS, (), (), 0, 0, 0, peak))
    halts = (Halt("H1", "loss limit of KXA", NOON_MS, "tick", "-5", Hold.REDUCE_ONLY, "KXA"),)
    store.set_halts(halts)
    assert (store.risk_state().peak, store.risk_state().halts) == (peak, halts)
    assert db.get(STATE, {"key": "risk_state"})["trading_halted"] is False


def test_a_halt_set_by_hand_counts_beside_milder_ones(store: StateStore, db: Dynamo) -> None:
    store.set_halts((Halt("H1", "lunch", NOON_MS, "operator", hold=Hold.PAUSED),))
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
    assert [(h.halt_id, h.hold) for h in store.risk_state().halts] == [
        ("H1", Hold.PAUSED),
        ("console", Hold.HALTED),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        {"daily_pnl": "much"},
        {"last_fill_timestamp": "yesterday"},
        {"halts": [{"halt_id": "H1"}]},
    ],
)
def test_a_damaged_risk_state_is_an_error_and_never_taken_for_none(
    store: StateStore, db: Dynamo, damage: dict[str, object]
) -> None:
    db.put(STATE, {"key": "risk_state", **damage})
    with pytest.raises(StoreError):
        store.risk_state()


def test_a_heartbeat_and_other_single_items_replace_the_one_before(store: StateStore) -> None:
    store.beat("one", NOON_MS, {"ticks": Decimal(5), "note": "first"})
    store.beat("one", NOON_MS + 1, {"ticks": Decimal(6)})
    expected = {"key": "heartbeat#one", "at": "2026-11-20T12:00:00.001Z", "ticks": Decimal(6)}
    assert store.item("heartbeat#one") == expected
    store.put_item("refill#1", {"amount": Decimal(100)})
    assert store.item("refill#1") == {"key": "refill#1", "amount": Decimal(100)}
    assert store.item("nothing") == {}
