"""Fees: the venue's worked examples, its recorded charges, and the rounding rule's invariants."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.errors import ConfigError
from dora_bot.fees import (
    DIRECT_PRECISION_E6,
    MEMBER_PRECISION_E6,
    FeeRounding,
    OrderFees,
    contract_fee_e6,
    fee_rates,
    fill_fee_e6,
    trade_fee_e6,
)
from dora_bot.models import FeeTerms, Side
from dora_bot.units import parse_count, parse_money, parse_price

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
QUADRATIC = FeeTerms("quadratic")
MAKER_FEES = FeeTerms("quadratic_with_maker_fees")
COMBO = FeeTerms("quadratic_with_combo_maker_fees")
DIRECT_OCTOBER = FeeRounding.october()
DIRECT_AUGUST = FeeRounding.august()
CENT_OCTOBER = FeeRounding.october(MEMBER_PRECISION_E6)


def charges(rule: FeeRounding, *fills: tuple[int, int]) -> list[int]:
    """Net taker fees of the (price_e4, count_e2) fills of one buy order."""
    order = OrderFees(rule)
    return [order.charge(QUADRATIC, Side.BID, price, count, is_taker=True).net_e6 for price, count in fills]


@pytest.mark.parametrize(
    ("fills", "august", "october"),
    [
        ([(5200, 100)], [17_500], [17_500]),
        ([(9900, 100)], [700], [700]),
        ([(5200, 10_000)], [1_747_200], [1_747_200]),
        ([(550, 100)] * 3, [3_700] * 3, [3_700, 3_600, 3_700]),
        ([(5000, 30)] * 3, [5_300] * 3, [5_300, 5_200, 5_300]),
    ],
)
def test_worked_examples_for_direct_members(
    fills: list[tuple[int, int]], august: list[int], october: list[int]
) -> None:
    assert charges(DIRECT_AUGUST, *fills) == august
    assert charges(DIRECT_OCTOBER, *fills) == october


def test_october_example_in_its_parts_at_cent_precision() -> None:
    charge = OrderFees(CENT_OCTOBER).charge(QUADRATIC, Side.BID, 550, 100, is_taker=True)
    assert charge.trade_fee_e6 == 3_639
    assert charge.rounding_e6 == 1_361
    assert charge.net_e6 == 5_000


def test_one_contract_costs_cent_members_two_cents() -> None:
    assert charges(CENT_OCTOBER, (5200, 100)) == [20_000]


def test_the_trade_fee_is_exact_where_floats_are_not() -> None:
    assert trade_fee_e6(QUADRATIC, 5000, 10_000, is_taker=True) == 1_750_000


# ¢ per contract × 100, taker and maker on a maker-fee series, one fill at cent precision (rows: price).
CENT_TABLE = {
    100: [(100, 100), (20, 20), (10, 10), (8, 4), (7, 2)],
    500: [(100, 100), (40, 20), (40, 10), (36, 12), (34, 9)],
    1000: [(100, 100), (80, 20), (70, 20), (64, 16), (63, 16)],
    2000: [(200, 100), (120, 40), (120, 30), (112, 28), (112, 28)],
    3000: [(200, 100), (160, 40), (150, 40), (148, 40), (147, 37)],
    5000: [(200, 100), (180, 60), (180, 50), (176, 44), (175, 44)],
}
SIZES = (1, 5, 10, 25, 100)


def cent_rows() -> Iterator[tuple[int, int, bool, int]]:
    for price, row in CENT_TABLE.items():
        for size, (taker, maker) in zip(SIZES, row, strict=True):
            for mirrored in (price, 10_000 - price):
                yield mirrored, size, True, taker
                yield mirrored, size, False, maker


@pytest.mark.parametrize(("price_e4", "contracts", "is_taker", "expected"), list(cent_rows()))
def test_cent_table(price_e4: int, contracts: int, is_taker: bool, expected: int) -> None:  # noqa: FBT001  (a table column)
    fee = fill_fee_e6(
        MAKER_FEES, Side.BID, price_e4, contracts * 100, is_taker=is_taker, rounding=CENT_OCTOBER
    )
    per_contract_in_hundredths_of_a_cent = fee / contracts / 100
    assert abs(per_contract_in_hundredths_of_a_cent - expected) < 0.5


@pytest.mark.parametrize(
    ("price_e4", "taker", "maker"),
    [(100, 693, 174), (500, 3325, 832), (1000, 6300, 1575), (3000, 14_700, 3675), (5000, 17_500, 4375)],
)
def test_expected_fee_of_a_contract(price_e4: int, taker: int, maker: int) -> None:
    assert contract_fee_e6(MAKER_FEES, price_e4, is_taker=True) == taker
    assert contract_fee_e6(MAKER_FEES, price_e4, is_taker=False) == maker
    assert contract_fee_e6(QUADRATIC, price_e4, is_taker=False) == 0


def test_combo_makers_pay_half_and_multipliers_scale() -> None:
    assert contract_fee_e6(COMBO, 5000, is_taker=False) == 8_750
    assert contract_fee_e6(FeeTerms("quadratic", 500_000), 5000, is_taker=True) == 8_750
    assert contract_fee_e6(FeeTerms("quadratic", 0), 5000, is_taker=True) == 0


@pytest.mark.parametrize("fee_type", ["flat", "", "quadratic_v2"])
def test_an_unknown_fee_type_is_refused(fee_type: str) -> None:
    with pytest.raises(ConfigError, match="unknown fee type"):
        fee_rates(FeeTerms(fee_type))


def shared(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"needs ../shared: {name}")
    return path


def recorded_fills() -> list[dict[str, Any]]:
    path = shared("rest_prod_fixtures_2026/portfolio_fills_redacted.json.gz")
    rows: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))["payload"]["fills"]
    return rows


def step_fees(fill: dict[str, Any]) -> set[int]:
    """Ceil to 0.0001 $ of the model, for each multiplier the venue used."""
    price, count = parse_price(fill["yes_price_dollars"]), parse_count(fill["count_fp"])
    return {
        trade_fee_e6(FeeTerms("quadratic", m), price, count, is_taker=True, step_e6=100)
        for m in (500_000, 1_000_000)
    }


def test_recorded_fees_equal_the_model_up_to_one_step() -> None:
    fills = recorded_fills()
    excess = [
        min(parse_money(f["fee_cost"]) - fee for fee in step_fees(f) if parse_money(f["fee_cost"]) >= fee)
        for f in fills
    ]
    assert len(fills) == 33
    assert excess.count(0) == 29
    assert all(0 <= e <= 100 for e in excess)


def distance_from_recording(fill: dict[str, Any], rule: FeeRounding) -> int:
    """By how much the recorded fee exceeds the nearest computed one (multiplier ½ or 1), 10⁻⁶ $."""
    price, count = parse_price(fill["yes_price_dollars"]), parse_count(fill["count_fp"])
    recorded = parse_money(fill["fee_cost"])
    computed = (
        fill_fee_e6(
            FeeTerms("quadratic", m), Side(fill["book_side"]), price, count, is_taker=True, rounding=rule
        )
        for m in (500_000, 1_000_000)
    )
    return min((recorded - fee for fee in computed), key=abs)


def test_fees_recorded_in_august_follow_the_august_text_to_the_last_digit() -> None:
    assert [distance_from_recording(fill, DIRECT_AUGUST) for fill in recorded_fills()] == [0] * 33


def test_the_october_text_takes_at_most_one_step_less() -> None:
    distances = [distance_from_recording(fill, DIRECT_OCTOBER) for fill in recorded_fills()]
    assert sorted(distances) == [0] * 32 + [100]


@pytest.mark.parametrize("rule", [DIRECT_AUGUST, DIRECT_OCTOBER])
def test_demo_fills_are_reproduced(rule: FeeRounding) -> None:
    fills = json.loads(shared("rest_demo_v2_2026/fills__after_taker.json").read_text())["fills"]
    assert len(fills) == 3
    for fill in fills:
        price, count = parse_price(fill["yes_price_dollars"]), parse_count(fill["count_fp"])
        fee = fill_fee_e6(QUADRATIC, Side(fill["book_side"]), price, count, is_taker=True, rounding=rule)
        assert fee == parse_money(fill["fee_cost"])


prices = st.integers(1, 9_999)
counts = st.integers(1, 100_000)
fills_of_an_order = st.lists(st.tuples(prices, counts, st.booleans()), min_size=1, max_size=12)


@given(
    fills=fills_of_an_order,
    side=st.sampled_from(Side),
    precision=st.sampled_from([DIRECT_PRECISION_E6, MEMBER_PRECISION_E6]),
    terms=st.sampled_from([QUADRATIC, MAKER_FEES, COMBO]),
)
def test_october_rounding_invariants(
    fills: list[tuple[int, int, bool]], side: Side, precision: int, terms: FeeTerms
) -> None:
    order = OrderFees(FeeRounding.october(precision))
    model_total = net_total = 0
    for price, count, is_taker in fills:
        charge = order.charge(terms, side, price, count, is_taker=is_taker)
        assert charge.net_e6 >= 0
        assert 0 <= charge.rounding_e6 < precision
        assert (-side.sign * price * count - charge.net_e6) % precision == 0
        model_total += charge.trade_fee_e6
        net_total += charge.net_e6
        assert 0 <= order.carried_e6 == net_total - model_total


@given(price=prices, count=counts)
def test_the_fee_is_the_same_for_both_legs(price: int, count: int) -> None:
    assert trade_fee_e6(QUADRATIC, price, count, is_taker=True) == trade_fee_e6(
        QUADRATIC, 10_000 - price, count, is_taker=True
    )
