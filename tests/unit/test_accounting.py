"""Average cost and cash, exact to the micro-dollar, against a ledger that only adds up what was paid."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.accounting import (
    apply_fill,
    apply_settlement,
    average_cost_e4,
    cash_e6,
    unrealised_e6,
)
from dora_bot.exposure import ends
from dora_bot.models import (
    Fill,
    Position,
    Settlement,
    Side,
)
from dora_bot.units import ONE_E4
from tests.fakes.core import T
from tests.fakes.manual_clock import NOON_MS

PRICES = st.integers(1, ONE_E4 - 1)
COUNTS = st.integers(1, 50_000)
TRADES = st.lists(
    st.tuples(st.sampled_from(Side), PRICES, COUNTS, st.integers(-500, 20_000)), min_size=1, max_size=30
)


def fill(side: Side, price_e4: int, count_e2: int, fee_e6: int = 0) -> Fill:
    return Fill("t", "o", T, side, price_e4, count_e2, fee_e6, False, NOON_MS)


def booked(*fills: Fill) -> Position:
    position = Position(T)
    for one in fills:
        position, _ = apply_fill(position, one)
    return position


@dataclass
class Ledger:
    """Cash and contracts as the exchange keeps them: YES and NO apart, pairs turned into a dollar at once."""

    cash_e6: int = 0
    yes_e2: int = 0
    no_e2: int = 0

    def take(self, one: Fill) -> None:
        if one.side is Side.BID:
            self.cash_e6 -= one.price_e4 * one.count_e2
            self.yes_e2 += one.count_e2
        else:
            self.cash_e6 -= (ONE_E4 - one.price_e4) * one.count_e2
            self.no_e2 += one.count_e2
        pairs = min(self.yes_e2, self.no_e2)
        self.yes_e2 -= pairs
        self.no_e2 -= pairs
        self.cash_e6 += pairs * ONE_E4 - one.fee_e6

    def settle(self, value_e4: int, fee_e6: int) -> None:
        self.cash_e6 += self.yes_e2 * value_e4 + self.no_e2 * (ONE_E4 - value_e4) - fee_e6
        self.yes_e2 = self.no_e2 = 0


@given(TRADES, PRICES)
@pytest.mark.fault("F45")
def test_cash_and_contracts_equal_a_ledger_that_only_adds_up(
    trades: list[tuple[Side, int, int, int]], mark_e4: int
) -> None:
    ledger, position = Ledger(), Position(T)
    for trade in trades:
        one = fill(*trade)
        ledger.take(one)
        before = position
        position, realised = apply_fill(position, one)
        assert position.realised_e6 - before.realised_e6 == realised
        assert position.net_e2 == ledger.yes_e2 - ledger.no_e2
        assert cash_e6(position) == ledger.cash_e6
        equity = ledger.cash_e6 + ledger.yes_e2 * mark_e4 + ledger.no_e2 * (ONE_E4 - mark_e4)
        assert position.realised_e6 - position.fees_e6 + unrealised_e6(position, mark_e4) == equity
        assert (position.net_e2 != 0) or position.cost_e6 == 0
    assert position.version == len(trades)


@given(TRADES, st.integers(0, ONE_E4), st.integers(0, 10_000))
def test_settlement_turns_everything_into_cash(
    trades: list[tuple[Side, int, int, int]], value_e4: int, fee_e6: int
) -> None:
    ledger, fills = Ledger(), [fill(*trade) for trade in trades]
    for one in fills:
        ledger.take(one)
    ledger.settle(value_e4, fee_e6)
    position, _ = apply_settlement(booked(*fills), Settlement(T, value_e4, NOON_MS, fee_e6))
    assert (position.net_e2, position.cost_e6) == (0, 0)
    assert cash_e6(position) == ledger.cash_e6 == position.realised_e6 - position.fees_e6


@given(TRADES)
def test_the_other_legs_trader_is_the_mirror_image(trades: list[tuple[Side, int, int, int]]) -> None:
    ours = booked(*(fill(*trade) for trade in trades))
    mirrored = booked(*(fill(side.other, ONE_E4 - price, n, fee) for side, price, n, fee in trades))
    assert mirrored.net_e2 == -ours.net_e2
    assert cash_e6(mirrored) == cash_e6(ours)
    # What a part that is closed had cost is rounded to a micro-dollar, on either leg toward its own zero.
    assert abs(mirrored.realised_e6 - ours.realised_e6) <= len(trades)


@given(PRICES, COUNTS, PRICES, COUNTS)
def test_the_average_cost_is_that_of_the_leg_that_is_held(p: int, n: int, q: int, m: int) -> None:
    long = booked(fill(Side.BID, p, n), fill(Side.BID, q, m))
    short = booked(fill(Side.ASK, ONE_E4 - p, n), fill(Side.ASK, ONE_E4 - q, m))
    assert average_cost_e4(long) == average_cost_e4(short) == (p * n + q * m) // (n + m)


def test_ten_yes_at_40_and_ten_no_at_55_lock_in_half_a_dollar() -> None:
    position = booked(fill(Side.BID, 4_000, 1_000, 70), fill(Side.ASK, 4_500, 1_000, 30))
    assert (position.net_e2, position.realised_e6, position.fees_e6) == (0, 500_000, 100)
    assert cash_e6(position) == 499_900


def test_a_part_closed_releases_its_share_of_the_cost() -> None:
    position = booked(fill(Side.BID, 4_000, 300), fill(Side.BID, 5_000, 100), fill(Side.ASK, 6_000, 200))
    assert average_cost_e4(booked(fill(Side.BID, 4_000, 300), fill(Side.BID, 5_000, 100))) == 4_250
    assert (position.net_e2, position.cost_e6, position.realised_e6) == (200, 850_000, 350_000)


def test_a_fill_through_zero_closes_one_position_and_opens_the_other() -> None:
    position = booked(fill(Side.BID, 4_000, 100), fill(Side.ASK, 7_000, 300))
    assert (position.net_e2, position.realised_e6) == (-200, 300_000)
    assert average_cost_e4(position) == 3_000


@pytest.mark.fault("F45")
def test_fills_of_a_hundredth_and_fees_of_a_millionth_are_kept_exactly() -> None:
    position = booked(fill(Side.BID, 777, 1, 3), fill(Side.BID, 3, 777, 1))
    assert (position.net_e2, cash_e6(position)) == (778, -(777 + 2_331) - 4)


# ── worst case ──────────────────────────────────────────────────────────────────────────────────

RESTING = st.lists(st.tuples(st.sampled_from(Side), PRICES, COUNTS), max_size=6)


@given(TRADES, RESTING, st.data())
def test_no_sequence_of_fills_and_no_result_loses_more_than_the_worst_case(
    trades: list[tuple[Side, int, int, int]], resting: list[tuple[Side, int, int]], data: st.DataObject
) -> None:
    position = booked(*(fill(side, price, n) for side, price, n, _ in trades))
    worst = ends(position, resting).worst_e6
    after = position
    for side, price, n in data.draw(st.permutations(resting)):
        taken = data.draw(st.integers(0, n))
        if taken:
            after, _ = apply_fill(after, fill(side, price, taken))
    settled, _ = apply_settlement(after, Settlement(T, data.draw(st.sampled_from([0, ONE_E4])), NOON_MS))
    assert settled.realised_e6 - position.realised_e6 >= -worst


@given(TRADES, RESTING)
def test_the_worst_case_is_reached_by_all_fills_on_one_side(
    trades: list[tuple[Side, int, int, int]], resting: list[tuple[Side, int, int]]
) -> None:
    position = booked(*(fill(side, price, n) for side, price, n, _ in trades))
    losses = [0]
    for bad_side, value in ((Side.BID, 0), (Side.ASK, ONE_E4)):
        after = position
        for side, price, n in resting:
            if side is bad_side:
                after, _ = apply_fill(after, fill(side, price, n))
        settled, _ = apply_settlement(after, Settlement(T, value, NOON_MS))
        losses.append(position.realised_e6 - settled.realised_e6)
    assert ends(position, resting).worst_e6 == max(losses)
