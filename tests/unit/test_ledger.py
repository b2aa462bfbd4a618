"""The ledger: rows in any order fold to what was booked; a missing, doubled or altered row does not go unnoticed."""

import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.errors import StoreError
from dora_bot.items import fill_item, order_item, settlement_item
from dora_bot.ledger import Ledger, Totals, fold
from dora_bot.models import Side
from dora_bot.records import FillRow, SettlementRow
from tests.fakes.bookings import Book, order_row

Money = FillRow | SettlementRow

TRADES = st.lists(
    st.tuples(
        st.sampled_from(["KXA", "KXB", "KXC"]),
        st.one_of(
            st.tuples(
                st.sampled_from(list(Side)),
                st.integers(1, 9_999),
                st.integers(1, 50_000),
                st.integers(0, 10**6),
            ),
            st.integers(0, 10_000),
        ),
    ),
    max_size=40,
)


def items(rows: Iterable[Money]) -> list[dict[str, Any]]:
    return [fill_item(row) if isinstance(row, FillRow) else settlement_item(row) for row in rows]


def booked(trades: list[Any]) -> tuple[Book, list[Money]]:
    book = Book()
    rows: list[Money] = []
    settled: set[str] = set()
    for ticker, trade in trades:
        if ticker in settled:
            continue
        if isinstance(trade, int):
            settled.add(ticker)
            rows.append(book.settle(trade, ticker=ticker))
        else:
            side, price, count, fee = trade
            rows.append(book.fill(side, price, count, ticker=ticker, fee_e6=fee))
    return book, rows


def brute_cash_e6(rows: Iterable[Money]) -> int:
    """Cash by the exchange's own rule, without any notion of cost: pay what is bought, lock a dollar a short."""
    net: dict[str, int] = {}
    cash = 0
    for row in rows:
        if isinstance(row, FillRow):
            fill = row.fill
            change = fill.side.sign * fill.count_e2
            cash -= change * fill.price_e4 + fill.fee_e6
            ticker = fill.ticker
        else:
            ticker = row.settlement.ticker
            change = -net.get(ticker, 0)
            cash -= change * row.settlement.value_e4 + row.settlement.fee_e6
        net[ticker] = net.get(ticker, 0) + change
    return cash + sum(min(held, 0) * 10_000 for held in net.values())


@given(TRADES, st.randoms())
def test_rows_in_any_order_fold_to_what_was_booked(trades: list[Any], shuffle: random.Random) -> None:
    book, rows = booked(trades)
    stored = [*items(rows), order_item(order_row(1))]
    shuffle.shuffle(stored)
    ledger = fold(stored)
    assert ledger.positions == book.positions
    assert ledger.cash_e6 == brute_cash_e6(rows)
    assert ledger.total.realised_e6 == sum(row.realised_e6 for row in rows)
    assert ledger.total.fees_e6 == sum(p.fees_e6 for p in book.positions.values())
    assert sum(ledger.by_day.values(), Totals()) == ledger.total


@given(TRADES, st.data())
def test_any_row_left_out_or_doubled_is_noticed_or_was_the_last_of_its_market(
    trades: list[Any], data: st.DataObject
) -> None:
    _, rows = booked(trades)
    if not rows:
        return
    at = data.draw(st.integers(0, len(rows) - 1))
    with pytest.raises(StoreError, match=r"doubled|twice"):
        fold(items([*rows, rows[at]]))
    later = [row for row in rows[at + 1 :] if row.position.ticker == rows[at].position.ticker]
    if later:
        with pytest.raises(StoreError, match="missing"):
            fold(items([*rows[:at], *rows[at + 1 :]]))


@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("fill_price", Decimal("0.41"), "realised"),
        ("fill_price", Decimal("1.01"), "cannot be"),
        ("fill_size", Decimal("1.01"), "realised"),
        ("fill_size", Decimal(-1), "cannot be"),
        ("side", "buy", "realised"),
        ("side", "bid", "cannot be"),
        ("fee", "free", "not a number"),
        ("pnl_realized", Decimal("0.5"), "realised"),
        ("position_version", Decimal(7), "missing"),
        ("date", "2026-11-21", "filed under"),
        ("market_id", "KXB", "missing"),
        ("trade_id", None, "trade_id is None"),
    ],
)
def test_one_altered_attribute_is_noticed(attribute: str, value: object, problem: str) -> None:
    book = Book()
    rows = items([book.fill(Side.BID, 4_000, 200), book.fill(Side.ASK, 4_500, 100)])
    rows[1][attribute] = value
    with pytest.raises(StoreError, match=problem):
        fold(rows)


def test_a_trade_counted_as_two_bookings_is_noticed_though_the_numbers_add_up() -> None:
    book = Book()
    first = book.fill()
    book.trades, book.time_ms = 0, book.time_ms + 5  # the same trade again, as if at another time
    with pytest.raises(StoreError, match="trade t1 is booked twice"):
        fold(items([first, book.fill()]))


def test_a_settlement_of_another_size_is_noticed() -> None:
    book = Book()
    rows = items([book.fill(Side.BID, 4_000, 200), book.settle(10_000)])
    rows[1]["fill_size"] = Decimal(1)
    with pytest.raises(StoreError, match=r"1\.00 contracts were settled, 2\.00 were held"):
        fold(rows)


def test_numbers_as_text_fold_alike() -> None:
    book = Book()
    rows = items([book.fill(), book.fill(Side.ASK, 5_000, 300), book.settle(0)])
    as_text = [{k: str(v) if isinstance(v, Decimal) else v for k, v in row.items()} for row in rows]
    assert fold(as_text) == fold(rows)


def test_a_fold_continues_from_an_opening_position() -> None:
    book = Book()
    first: list[Money] = [book.fill(), book.fill(Side.ASK)]
    second: list[Money] = [book.fill(), book.settle(10_000)]
    opening = fold(items(first))
    assert fold(items(second), opening.positions).positions == book.positions


def test_a_booking_counts_on_the_utc_day_of_its_own_time_however_late_it_was_learnt() -> None:
    book = Book(time_ms=1_795_219_199_998)  # the next booking has 2026-11-20T23:59:59.999Z
    rows = items([book.fill(fee_e6=1), book.fill(fee_e6=2)])
    ledger = fold(reversed(rows))
    assert {day: totals.fees_e6 for day, totals in ledger.by_day.items()} == {
        "2026-11-20": 1,
        "2026-11-21": 2,
    }


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) == Ledger()
    assert Ledger().cash_e6 == 0
