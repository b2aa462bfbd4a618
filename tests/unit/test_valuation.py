"""Marks are what closing now would bring; only a book that deserves trust moves one; the day begins at midnight UTC."""

import pytest

from dora_bot import valuation
from dora_bot.fees import trade_fee_e6
from dora_bot.models import BookView, Position
from dora_bot.valuation import Day, Mark
from tests.fakes.core import FREE, T, book, market
from tests.fakes.manual_clock import NOON_MS

OLD = Mark(4_400, 4_600)


def test_a_proven_two_sided_book_moves_the_mark() -> None:
    assert valuation.mark(book(4_000, 5_000), OLD) == Mark(4_000, 5_000)
    assert valuation.mark(book(4_400, 4_600), OLD) is OLD


@pytest.mark.parametrize(
    "seen",
    [
        book(proven=False),
        book(None, 5_000),
        book(4_000, None),
        book(None, None),
        book(5_000, 5_000),
        book(5_100, 5_000),
    ],
)
def test_a_lost_or_emptied_book_cannot_look_like_a_loss(seen: BookView) -> None:
    assert valuation.mark(seen, OLD) is OLD
    assert valuation.mark(seen, None) is None


@pytest.mark.parametrize(("net", "price"), [(1_000, 4_000), (-1_000, 5_000)])
def test_a_position_is_worth_the_opposite_best_less_the_taker_fee(net: int, price: int) -> None:
    held = Position(T, net, net * 4_500)
    fee = trade_fee_e6(FREE, price, 1_000, is_taker=True)
    expected = net * price - net * 4_500 - fee
    assert valuation.liquidation_e6(held, Mark(4_000, 5_000), FREE) == expected
    assert expected == -500_000 - fee


def test_without_a_position_or_a_mark_there_is_nothing_to_value() -> None:
    assert valuation.liquidation_e6(Position(T), Mark(4_000, 5_000), FREE) == 0
    assert valuation.liquidation_e6(Position(T, 100, 400_000), None, FREE) == 0
    assert valuation.middle_e6(Position(T), OLD) == valuation.middle_e6(Position(T, 1, 1), None) == 0


def test_the_middle_is_a_second_figure_without_fee() -> None:
    assert valuation.middle_e6(Position(T, 1_000, 4_000_000), Mark(4_000, 5_000)) == 500_000


@pytest.mark.parametrize(("result", "value"), [("yes", 10_000), ("no", 0)])
def test_a_determined_market_is_worth_its_result_without_a_fee(result: str, value: int) -> None:
    settled = valuation.settled_mark(market(result=result))
    assert settled == Mark(value, value)
    assert valuation.liquidation_e6(Position(T, 100, 400_000), settled, FREE) == 100 * value - 400_000


@pytest.mark.parametrize("result", ["", "scalar", "void"])
def test_any_other_result_is_no_mark(result: str) -> None:
    assert valuation.settled_mark(market(result=result)) is None


def test_the_day_rolls_at_midnight_utc_from_the_equity_at_hand() -> None:
    last_ms = 1_795_219_199_999  # 2026-11-20T23:59:59.999Z
    assert valuation.utc_date(NOON_MS) == valuation.utc_date(last_ms) == "2026-11-20"
    assert valuation.utc_date(last_ms + 1) == "2026-11-21"
    day = Day("2026-11-20", 5)
    assert day.rolled("2026-11-20", 99) is day
    assert day.rolled("2026-11-21", 99) == Day("2026-11-21", 99)


def test_banked_is_realised_less_fees_over_all_markets() -> None:
    positions = {"A": Position("A", realised_e6=10, fees_e6=3), "B": Position("B", realised_e6=-4, fees_e6=1)}
    assert valuation.banked_e6(positions) == 2
