"""Fees as charged beside fees as modelled: what is rounding, and what is another rule."""

from dataclasses import replace

import pytest

from dora_bot.events import CatalogChanged
from dora_bot.fee_watch import SYSTEMATIC, TOLERANCE_E6, FeeWatch
from dora_bot.fees import OrderFees
from dora_bot.models import FeeTerms, Fill, Side
from dora_bot.risk_manager import market_stance
from dora_bot.views import Posture, Stance
from tests.fakes.bench import Bench
from tests.fakes.core import T, market
from tests.fakes.manual_clock import NOON_MS

MAKER = FeeTerms("quadratic_with_maker_fees")
MARKET = market(fees=MAKER)


def fill(number: int, fee_e6: int, count_e2: int = 1_000) -> Fill:
    return Fill(f"t{number}", f"o{number}", T, Side.BID, 4_100, count_e2, fee_e6, False, NOON_MS, "")


@pytest.mark.parametrize("count_e2", [1, 7, 777, 1_000])
def test_what_the_exchange_rounds_and_gives_back_is_no_difference(count_e2: int) -> None:
    watch, order = FeeWatch(), OrderFees()
    for number in range(50):
        fee = order.charge(MAKER, Side.BID, 4_100, count_e2, is_taker=False).net_e6
        watch.note(fill(number, fee, count_e2), MARKET)
        assert watch.objection(MARKET) == ""
    assert abs(watch.charged_e6 - watch.modelled_e6) <= 50 * TOLERANCE_E6
    assert watch.charged_e6 > 0


def test_a_fee_that_is_off_three_times_in_a_row_is_another_rule_until_a_fill_agrees() -> None:
    watch = FeeWatch()
    for number in range(SYSTEMATIC):
        assert watch.objection(MARKET) == ""
        watch.note(fill(number, 100_000), MARKET)
    assert "0.100000 were charged, 0.042333 expected" in watch.objection(MARKET)
    assert watch.objection(replace(MARKET, series_ticker="KXOTHER")) == ""
    assert watch.objection(replace(MARKET, fees=FeeTerms("quadratic"))) == ""  # the exchange tells new terms
    watch.note(fill(9, 42_400), MARKET)
    assert watch.objection(MARKET) == ""


def test_one_fill_that_is_off_among_others_is_none() -> None:
    watch = FeeWatch()
    for number in range(20):
        watch.note(fill(number, 42_400 if number % 3 else 100_000), MARKET)
        assert watch.objection(MARKET) == ""


def test_a_market_whose_fees_are_not_as_modelled_only_reduces() -> None:
    bench = Bench()
    bench.post(CatalogChanged((MARKET,)))
    bench.tick()
    for number in range(SYSTEMATIC):
        bench.state.book_fill(fill(number, 500_000), bench.clock.now())
    view = bench.state.view(bench.clock.now()).markets[T]
    stance = market_stance(view, Stance(Posture.RUN))
    assert stance.posture is Posture.REDUCE_ONLY
    assert "not as modelled" in stance.reasons[0]
