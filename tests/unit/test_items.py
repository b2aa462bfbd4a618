"""Items: exact decimals, keys that sort by time and book once, and back again."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.errors import StoreError
from dora_bot.items import (
    days_between,
    decision_items,
    fill_item,
    order_item,
    parse_timestamp,
    position_item,
    position_of,
    positions_map,
    settled_position_item,
    settlement_item,
    timestamp,
)
from dora_bot.models import Position, Side
from dora_bot.valuation import utc_date
from tests.fakes.bookings import Book, decision_row, order_row
from tests.fakes.manual_clock import NOON_MS

MONEY = st.integers(-(10**15), 10**15)


def test_a_fill_is_stored_under_the_exchanges_own_time_and_ids() -> None:
    assert fill_item(Book().fill(Side.ASK, 4_725, 1_250, fee_e6=1_234)) == {
        "date": "2026-11-20",
        "timestamp#order_id": "2026-11-20T12:00:00.001Z#o1#t1",
        "market_id": "KXA",
        "side": "sell",
        "price": Decimal("0.4725"),
        "size": Decimal("12.5"),
        "fill_price": Decimal("0.4725"),
        "fill_size": Decimal("12.5"),
        "status": "filled",
        "pnl_realized": Decimal(0),
        "trade_id": "t1",
        "order_id": "o1",
        "client_order_id": "c1",
        "fee": Decimal("0.001234"),
        "is_taker": False,
        "source": "ws",
        "position_version": Decimal(1),
    }


def test_a_settlement_sells_a_long_and_buys_back_a_short() -> None:
    book = Book()
    book.fill(Side.ASK, 4_000, 300)
    row = settlement_item(book.settle(10_000))
    assert (row["side"], row["fill_price"], row["fill_size"]) == ("buy", Decimal(1), Decimal(3))
    assert row["status"] == "settled"
    assert row["pnl_realized"] == Decimal("-1.8")
    assert row["timestamp#order_id"] == "2026-11-20T12:00:00.002Z#KXA#settled"


def test_an_order_is_placed_under_the_bare_key_and_ends_under_another() -> None:
    assert order_item(order_row(1))["timestamp#order_id"] == "2026-11-20T12:00:00.000Z#o1"
    assert (
        order_item(order_row(1, "cancelled"))["timestamp#order_id"] == "2026-11-20T12:00:00.000Z#o1#cancelled"
    )


@given(
    net=st.integers(-(10**9), 10**9), cost=MONEY, realised=MONEY, fees=MONEY, version=st.integers(0, 10**6)
)
def test_a_position_comes_back_exactly(net: int, cost: int, realised: int, fees: int, version: int) -> None:
    position = Position("KXA", net, cost, realised, fees, version)
    assert position_of(position_item(position)) == position


def test_only_the_position_of_a_settled_market_expires() -> None:
    book = Book()
    book.fill()
    settled = settled_position_item(book.settle(0))
    assert settled["expires_at"] == NOON_MS // 1_000 + 60 * 86_400
    assert position_of(settled).version == 2
    assert "expires_at" not in position_item(Position("KXA"))


@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("net", None, "net is missing"),
        ("net", "three", "not a number"),
        ("cost", Decimal("NaN"), "not a number"),
        ("cost", Decimal("0.0000001"), "more than 6 decimals"),
        ("version", Decimal("1.5"), "more than 0 decimals"),
        ("market_id", Decimal(1), "not text"),
    ],
)
def test_a_damaged_position_names_attribute_and_item(attribute: str, value: object, problem: str) -> None:
    item = position_item(Position("KXA", 100))
    if value is None:
        del item[attribute]
    else:
        item[attribute] = value
    with pytest.raises(StoreError, match=problem) as caught:
        position_of(item)
    assert "position#KXA" in str(caught.value)


def test_people_see_open_positions_on_the_leg_that_is_held() -> None:
    book = Book()
    book.fill(Side.BID, 4_000, 200)
    book.fill(Side.ASK, 3_000, 100, ticker="KXB")
    book.fill(Side.BID, 3_000, 100, ticker="KXC")
    book.fill(Side.ASK, 3_000, 100, ticker="KXC")
    zero = Decimal(0)
    assert positions_map(book.positions.values()) == {
        "KXA": {"yes_qty": Decimal(2), "no_qty": zero, "avg_cost_yes": Decimal("0.4"), "avg_cost_no": zero},
        "KXB": {"yes_qty": zero, "no_qty": Decimal(1), "avg_cost_yes": zero, "avg_cost_no": Decimal("0.7")},
    }


def test_decisions_are_columns_of_one_item_per_market_and_expire() -> None:
    items = decision_items([decision_row(2), decision_row(1), decision_row(3, "KXB", "halted")])
    assert [item["market_id"] for item in items] == ["KXA", "KXB"]
    first = items[0]
    assert first["timestamp#market_id"] == "2026-11-20T12:00:00.001Z#KXA"
    assert first["timestamps"] == ["2026-11-20T12:00:00.001Z", "2026-11-20T12:00:00.002Z"]
    assert first["inventory"] == [Decimal(-3), Decimal(-3)]
    assert json.loads(first["order_book_snapshot"][0]) == {
        "bids": [["0.4000", "1.00"]],
        "asks": [["0.4500", "2.00"]],
    }
    assert json.loads(first["target_quotes"][1]) == [["bid", "0.4100", "5.00"], ["ask", "0.4400", "5.00"]]
    assert (first["orders_placed"], first["orders_cancelled"]) == ([Decimal(2)] * 2, [Decimal(1)] * 2)
    assert first["expires_at"] == NOON_MS // 1_000 + 14 * 86_400
    assert [len(item["reason"]) for item in decision_items([decision_row(n) for n in range(250)])] == [
        100,
        100,
        50,
    ]


@given(st.integers(0, 4_000_000_000_000))
def test_times_come_back_and_sort_as_text(time_ms: int) -> None:
    assert parse_timestamp(timestamp(time_ms)) == time_ms
    assert timestamp(time_ms) < timestamp(time_ms + 1)
    assert utc_date(time_ms) == timestamp(time_ms)[:10]


def test_the_day_ends_at_midnight_utc() -> None:
    midnight = parse_timestamp("2026-11-21T00:00:00.000Z")
    assert utc_date(midnight - 1) == "2026-11-20"
    assert utc_date(midnight) == "2026-11-21"
    assert days_between("2026-11-30", "2026-12-02") == ["2026-11-30", "2026-12-01", "2026-12-02"]


@pytest.mark.parametrize("value", ["", "yesterday", "2026-11-20T12:00:00"])
def test_what_is_no_utc_time_is_refused(value: str) -> None:
    with pytest.raises(StoreError):
        parse_timestamp(value)
