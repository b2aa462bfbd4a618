"""Fees as charged beside fees as modelled: what is rounding, and what is another rule."""

from dataclasses import replace

import pytest

from dora_bot.events import FEE_DOUBT_MS, CatalogChanged, FeeChange, FeesAnnounced
from dora_bot.fee_watch import SYSTEMATIC, TOLERANCE_E6, FeeWatch
from dora_bot.fees import OrderFees
from dora_bot.models import FeeTerms, Fill, Instant, Side
from dora_bot.risk_manager import market_stance
from dora_bot.views import Posture, Stance
from tests.fakes.bench import Bench
from tests.fakes.core import NOW, T, later, market
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
        assert watch.objection(MARKET, NOW) == ""
    assert abs(watch.charged_e6 - watch.modelled_e6) <= 50 * TOLERANCE_E6
    assert watch.charged_e6 > 0


def test_a_fee_that_is_off_three_times_in_a_row_is_another_rule_until_a_fill_agrees() -> None:
    watch = FeeWatch()
    for number in range(SYSTEMATIC):
        assert watch.objection(MARKET, NOW) == ""
        watch.note(fill(number, 100_000), MARKET)
    assert "0.100000 were charged, 0.042333 expected" in watch.objection(MARKET, NOW)
    assert watch.objection(replace(MARKET, series_ticker="KXOTHER"), NOW) == ""
    assert (
        watch.objection(replace(MARKET, fees=FeeTerms("quadratic")), NOW) == ""
    )  # the exchange tells new terms
    assert watch.objection(MARKET, NOW) == "", (
        "the old terms are back, and nothing was charged under them since"
    )
    watch.note(fill(9, 42_400), MARKET)
    assert watch.objection(MARKET, NOW) == ""


def test_one_fill_that_is_off_among_others_is_none() -> None:
    watch = FeeWatch()
    for number in range(20):
        watch.note(fill(number, 42_400 if number % 3 else 100_000), MARKET)
        assert watch.objection(MARKET, NOW) == ""


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


HOUR_MS = 3_600_000
CHANGE = FeeChange("SER", "", "quadratic_with_maker_fees", 1_000_000, NOW.exchange_ms + HOUR_MS)


@pytest.mark.parametrize("change", [CHANGE, replace(CHANGE, series_ticker="", event_ticker="EVT")])
def test_from_an_announced_change_on_its_markets_only_reduce_until_their_terms_are_read_anew(
    change: FeeChange,
) -> None:
    watch, plain = FeeWatch(), market()
    watch.on_announced(FeesAnnounced((change,)), NOW)
    assert watch.objection(plain, later(HOUR_MS - FEE_DOUBT_MS - 1)) == ""
    watch.on_catalog(later(HOUR_MS - 1).exchange_ms)
    at = later(HOUR_MS)
    assert watch.objection(plain, at) == f"the fees of {change.ticker} have changed and were not read yet"
    assert watch.objection(market(series_ticker="KXOTHER", event_ticker="KXOTHER-1"), at) == ""
    watch.on_catalog(at.exchange_ms + FEE_DOUBT_MS)  # perhaps a moment too early by the exchange's clock
    assert watch.objection(plain, at)
    watch.on_catalog(at.exchange_ms + FEE_DOUBT_MS + 1)
    assert watch.objection(plain, at) == ""


def test_a_quote_is_priced_by_the_new_terms_and_by_none_in_between() -> None:
    bench = Bench().quoting()
    now = bench.clock.now()
    bench.post(FeesAnnounced((replace(CHANGE, from_ms=now.exchange_ms + 2_000),)))
    quoted, read = [], False
    for _ in range(12):
        bench.tick()
        at: Instant = bench.clock.now()
        if at.exchange_ms > now.exchange_ms + 4_000 and not read:
            bench.post(CatalogChanged((market(fees=MAKER),), at.exchange_ms))
            read = True
        quoted.append(len(bench.exchange.resting()))
    assert quoted == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2]


def test_an_override_told_by_a_frame_without_a_time_is_of_now() -> None:
    watch = FeeWatch()
    watch.on_announced(FeesAnnounced((FeeChange("", "EVT", None, None, 0),)), NOW)
    watch.on_catalog(NOW.exchange_ms - 1)
    assert watch.objection(market(), NOW)
    watch.on_catalog(later(FEE_DOUBT_MS + 1).exchange_ms)
    assert watch.objection(market(), later(FEE_DOUBT_MS + 1)) == ""
