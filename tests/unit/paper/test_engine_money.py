"""Money: netting in one market, collateral behind orders, fees, shards, subaccounts and settlement."""

from dataclasses import replace

import pytest

from dora_bot.fees import MEMBER_PRECISION_E6, FeeRounding
from dora_bot.models import FeeTerms, Level, PriceGrid
from dora_bot.paper.events import EventFeeUpdated, PositionChanged
from dora_bot.paper.specs import EngineOptions, PurseView, Receipt
from tests.fakes.paper_bench import ASK, BID, DOLLAR_E6, GTC, IOC, Bench, refusal


@pytest.fixture
def bench() -> Bench:
    """Without fees, so that collateral shows in round numbers."""
    bench = Bench()
    bench.exchange.change_fees("S", FeeTerms("quadratic", 0), bench.now_ms)
    return bench


def trade(bench: Bench, buyer: str, seller: str, cents: float, contracts: float) -> None:
    bench.order(seller, ASK, cents, contracts)
    receipt = bench.order(buyer, BID, cents, contracts, time_in_force=IOC)
    assert receipt.filled_e2 == round(contracts * 100)


START = 1_000 * DOLLAR_E6


# ── netting ─────────────────────────────────────────────────────────────────────────────────────


def test_buying_yes_costs_its_price_and_selling_it_opens_no(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 10)
    assert bench.cash("ann") == START - 6 * DOLLAR_E6
    assert bench.cash("bob") == START - 4 * DOLLAR_E6
    assert (bench.position("ann").net_e2, bench.position("ann").exposure_e6) == (1000, 6 * DOLLAR_E6)
    assert (bench.position("bob").net_e2, bench.position("bob").exposure_e6) == (-1000, 4 * DOLLAR_E6)


def test_the_opposite_leg_closes_first_and_frees_its_collateral_at_once(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 10)
    trade(bench, "cat", "ann", 70, 4)
    ann = bench.position("ann")
    assert ann.net_e2 == 600
    assert bench.cash("ann") == START - 6_000_000 + 2_800_000
    assert (ann.exposure_e6, ann.realised_e6) == (3_600_000, 400_000)


def test_selling_beyond_the_holding_opens_no_with_the_rest(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 10)
    trade(bench, "cat", "ann", 70, 15)
    ann = bench.position("ann")
    assert ann.net_e2 == -500
    # 10 closed at 0.70 bring 7 $, 5 NO at 0.30 cost 1.50 $.
    assert bench.cash("ann") == START - 6_000_000 + 7_000_000 - 1_500_000
    assert (ann.exposure_e6, ann.realised_e6) == (1_500_000, 1_000_000)


def test_average_cost_over_several_purchases(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 10)
    trade(bench, "ann", "bob", 40, 10)
    trade(bench, "cat", "ann", 50, 5)
    ann = bench.position("ann")
    assert (ann.net_e2, ann.exposure_e6, ann.realised_e6) == (1500, 7_500_000, 0)
    assert (ann.traded_e6, ann.volume_e2) == (12_500_000, 2500)


def test_positions_are_announced_with_each_fill(bench: Bench) -> None:
    bench.drain()
    trade(bench, "ann", "bob", 60, 10)
    changed = {event.account: event.position.net_e2 for event in bench.drain(PositionChanged)}
    assert changed == {"ann": 1000, "bob": -1000}


# ── collateral ──────────────────────────────────────────────────────────────────────────────────


def test_resting_orders_lock_their_purchase_value(bench: Bench) -> None:
    bid = bench.order("ann", BID, 47, 10).order_id
    bench.order("ann", ASK, 52, 10)
    assert bench.locked("ann") == 4_700_000 + 4_800_000
    assert bench.cash("ann") == START
    bench.cancel("ann", bid)
    assert bench.locked("ann") == 4_800_000


def test_a_fill_turns_the_lock_into_a_position(bench: Bench) -> None:
    bench.order("ann", BID, 47, 10)
    bench.order("bob", ASK, 47, 4)
    assert bench.locked("ann") == 6 * 470_000
    assert bench.cash("ann") == START - 4 * 470_000


def test_orders_that_close_a_holding_lock_nothing(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 10)
    bench.order("ann", ASK, 70, 10)
    assert bench.locked("ann") == 0
    bench.order("ann", ASK, 65, 4)
    # The best-priced asks close: 4 at 0.65, 6 of the 10 at 0.70; the other 4 would open NO at 0.30.
    assert bench.locked("ann") == 4 * 300_000


def test_cash_bounds_what_can_rest(bench: Bench) -> None:
    bench.order("ann", BID, 50, 1_999)
    assert refusal(lambda: bench.order("ann", BID, 50, 1.01)) == (400, "insufficient_balance", None)
    assert bench.order("ann", BID, 50, 1).remaining_e2 == 100
    assert bench.cash("ann") == bench.locked("ann")


def test_a_member_without_cash_can_still_close(bench: Bench) -> None:
    trade(bench, "ann", "bob", 50, 2_000)
    assert bench.cash("ann") == 0
    assert refusal(lambda: bench.order("ann", BID, 1, 0.01))[1] == "insufficient_balance"
    bench.order("cat", BID, 45, 2_000)
    assert bench.order("ann", ASK, 45, 2_000, time_in_force=IOC).filled_e2 == 200_000
    assert bench.cash("ann") == 900 * DOLLAR_E6


def test_an_order_that_takes_away_what_another_closes_needs_cash_for_both(bench: Bench) -> None:
    trade(bench, "ann", "bob", 50, 2_000)
    bench.order("ann", ASK, 70, 2_000)
    assert refusal(lambda: bench.order("ann", ASK, 60, 2_000))[1] == "insufficient_balance"


def test_a_reduce_only_order_may_not_uncover_a_resting_one(bench: Bench) -> None:
    trade(bench, "ann", "bob", 50, 2_000)
    bench.order("ann", ASK, 70, 2_000)
    bench.order("cat", BID, 45, 2_000)

    def flatten() -> Receipt:
        return bench.order("ann", ASK, 45, 9_000, time_in_force=IOC, reduce_only=True)

    assert refusal(flatten)[1] == "insufficient_balance"
    bench.exchange.cancel_all("ann", bench.now_ms)
    assert flatten().filled_e2 == 200_000


def test_closing_needs_no_free_cash_even_when_rounding_has_eaten_into_the_lock() -> None:
    bench = Bench(cash=9_500)
    bench.exchange.change_grid("M", PriceGrid.linear(10), "deci_cent", bench.now_ms)
    bench.order("ann", BID, 47.5, 0.02)
    bench.order("house", ASK, 47.5, 0.01)
    assert bench.cash("ann") - bench.locked("ann") == -50
    bench.order("house", BID, 49.9, 0.01)
    assert bench.order("ann", ASK, 49.9, 0.01, time_in_force=IOC).filled_e2 == 1


def test_markets_of_one_shard_share_the_purse(bench: Bench) -> None:
    spec = replace(bench.exchange.market("M").spec, ticker="M3")
    bench.exchange.add_market(spec, bench.now_ms)
    bench.order("ann", BID, 50, 1_500)
    assert refusal(lambda: bench.order("ann", BID, 50, 501, ticker="M3"))[1] == "insufficient_balance"
    assert bench.order("ann", BID, 50, 500, ticker="M3").remaining_e2 == 50_000


def test_an_amended_closing_order_closes_once(bench: Bench) -> None:
    trade(bench, "ann", "bob", 50, 10)
    order_id = bench.order("ann", ASK, 60, 10).order_id
    assert bench.amend("ann", order_id, ASK, 70, 10).remaining_e2 == 1_000
    assert bench.locked("ann") == 0
    # 10 more would open NO at 0.20 each.
    bench.exchange.adjust_cash("ann", 1_500_000 - bench.cash("ann"), bench.now_ms)
    assert refusal(lambda: bench.amend("ann", order_id, ASK, 80, 20))[1] == "insufficient_balance"
    bench.exchange.adjust_cash("ann", 500_000, bench.now_ms)
    assert bench.amend("ann", order_id, ASK, 80, 20).remaining_e2 == 2_000


def test_an_amended_order_is_counted_once(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 50, 2_000).order_id
    bench.amend("ann", order_id, BID, 40, 2_000)
    assert bench.locked("ann") == 800 * DOLLAR_E6
    assert refusal(lambda: bench.amend("ann", order_id, BID, 51, 2_000))[1] == "insufficient_balance"


def test_shards_have_separate_purses(bench: Bench) -> None:
    bench.exchange.adjust_cash("ann", -999 * DOLLAR_E6, bench.now_ms, shard=2)
    assert refusal(lambda: bench.order("ann", BID, 50, 3, ticker="M2"))[1] == "insufficient_balance"
    assert bench.order("ann", BID, 50, 3).remaining_e2 == 300
    assert bench.locked("ann", shard=2) == 0


def test_subaccounts_have_separate_purses_and_positions(bench: Bench) -> None:
    assert refusal(lambda: bench.order("ann", BID, 50, 1, subaccount=1))[1] == "insufficient_balance"
    bench.exchange.transfer("ann", 5 * DOLLAR_E6, (0, 0), (0, 1), bench.now_ms)
    bench.order("bob", ASK, 50, 10)
    bench.order("ann", BID, 50, 10, subaccount=1)
    assert bench.position("ann").subaccount == 1
    assert PurseView(0, 1, 0, 0) in bench.exchange.balance("ann")
    assert bench.exchange.fills("ann")[0].subaccount == 1


def test_a_transfer_moves_free_cash_only(bench: Bench) -> None:
    bench.order("ann", BID, 50, 1_999)

    def move(dollars: int) -> None:
        bench.exchange.transfer("ann", dollars * DOLLAR_E6, (0, 0), (2, 0), bench.now_ms)

    assert refusal(lambda: move(1))[1] == "insufficient_balance"
    bench.exchange.adjust_cash("ann", DOLLAR_E6, bench.now_ms)
    move(1)
    assert bench.cash("ann", shard=2) == START + DOLLAR_E6


# ── fees ────────────────────────────────────────────────────────────────────────────────────────


def test_fees_follow_the_series_and_reach_fill_order_position_and_cash() -> None:
    bench = Bench(fee_type="quadratic_with_maker_fees")
    maker = bench.order("ann", ASK, 52, 1).order_id
    taker = bench.order("bob", BID, 52, 1).order_id
    assert bench.exchange.fills("bob")[0].fee_e6 == bench.view(taker).taker_fees_e6 == 17_500
    assert bench.position("bob").fees_e6 == 17_500
    assert bench.cash("bob") == START - 520_000 - 17_500
    assert bench.exchange.fills("ann")[0].fee_e6 == bench.view(maker).maker_fees_e6 == 4_400


def test_maker_fees_are_reserved_with_the_order() -> None:
    bench = Bench(fee_type="quadratic_with_maker_fees")
    bench.order("ann", BID, 50, 100)
    assert bench.locked("ann") == 50 * DOLLAR_E6 + 437_500


def test_a_taker_needs_cash_for_the_fee_too() -> None:
    bench = Bench(cash=50 * DOLLAR_E6)
    bench.order("bob", ASK, 50, 99)
    bench.order("cat", ASK, 50, 1)
    assert refusal(lambda: bench.order("ann", BID, 50, 100))[1] == "insufficient_balance"
    assert bench.order("ann", BID, 50, 96).filled_e2 == 9_600


def test_the_taker_fee_is_reserved_at_its_dearest_price() -> None:
    bench = Bench(cash=DOLLAR_E6)
    bench.order("bob", ASK, 50, 1)
    assert refusal(lambda: bench.order("ann", BID, 99, 1))[1] == "insufficient_balance"
    assert bench.order("ann", BID, 98, 1).filled_e2 == 100


def test_rounding_is_carried_over_the_fills_of_one_order() -> None:
    bench = Bench()
    for _ in range(3):
        bench.order("ann", ASK, 50, 0.3)
    bench.order("bob", BID, 50, 0.9)
    assert [fill.fee_e6 for fill in bench.exchange.fills("bob")] == [5_300, 5_200, 5_300]


def test_members_with_cent_accounts_pay_up_to_the_cent() -> None:
    bench = Bench(options=EngineOptions(rounding=FeeRounding.october(MEMBER_PRECISION_E6)))
    bench.order("ann", ASK, 52, 1)
    bench.order("bob", BID, 52, 1)
    assert bench.exchange.fills("bob")[0].fee_e6 == 20_000


def test_an_event_override_beats_the_series_and_can_be_cleared() -> None:
    bench = Bench()
    override = FeeTerms("quadratic", 500_000)
    bench.drain()
    bench.exchange.change_fees("E", override, bench.now_ms)
    assert bench.exchange.market("M").fees == override
    (announced,) = bench.drain(EventFeeUpdated)
    assert (announced.event_ticker, announced.fees) == ("E", override)
    trade(bench, "ann", "bob", 50, 1)
    bench.exchange.change_fees("E", None, bench.now_ms)
    trade(bench, "ann", "bob", 50, 1)
    assert [fill.fee_e6 for fill in bench.exchange.fills("ann")] == [8_800, 17_500]


def test_a_fee_type_without_a_formula_is_charged_as_the_dearest() -> None:
    bench = Bench(fee_type="flat")
    trade(bench, "ann", "bob", 50, 1)
    assert bench.exchange.market("M").fees.fee_type == "flat"
    assert bench.exchange.fills("ann")[0].fee_e6 == 17_500
    assert bench.exchange.fills("bob")[0].fee_e6 == 8_800


def test_recorded_liquidity_keeps_the_books_balanced() -> None:
    bench = Bench(fee_type="quadratic_with_maker_fees")
    anonymous = ""
    bench.exchange.set_ladder("M", [], [Level(5200, 10_000)], bench.now_ms)
    bench.order("ann", BID, 52, 30)
    bench.order("bob", BID, 48, 30)
    bench.exchange.tape_trade("M", ASK, 4700, 700, bench.now_ms)
    fees = sum(fill.fee_e6 for name in ("ann", "bob") for fill in bench.exchange.fills(name))
    everyone = ("ann", "bob", anonymous)
    assert sum(bench.net(name) for name in everyone) == 0
    assert sum(bench.cash(name) for name in everyone) + fees + 3_700 * 10_000 == 2 * START
    bench.exchange.determine("M", "yes", bench.now_ms)
    bench.exchange.settle("M", bench.now_ms)
    assert sum(bench.cash(name) for name in everyone) + fees == 2 * START


# ── settlement ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("result", "value", "ann", "bob"),
    [("yes", None, 10, 0), ("no", None, 0, 10), ("scalar", 3000, 3, 7)],
)
def test_settlement_pays_the_net_position(
    bench: Bench, result: str, value: int | None, ann: int, bob: int
) -> None:
    trade(bench, "ann", "bob", 60, 10)
    bench.exchange.determine("M", result, bench.now_ms, value_e4=value)
    bench.wait(59_999)
    assert bench.cash("ann") == START - 6_000_000
    bench.wait(1)
    assert bench.cash("ann") == START + (ann - 6) * DOLLAR_E6
    assert bench.cash("bob") == START + (bob - 4) * DOLLAR_E6
    (row,) = bench.exchange.settlements("bob")
    assert (row.no_count_e2, row.no_cost_e6, row.yes_count_e2) == (1000, 4_000_000, 0)
    assert (row.revenue_e6, row.fee_e6, row.result) == (bob * DOLLAR_E6, 0, result)
    assert bench.position("ann").net_e2 == 0
    assert bench.position("ann").realised_e6 == (ann - 6) * DOLLAR_E6
    assert bench.position("ann").settled_ms == bench.now_ms


def test_a_closed_position_settles_without_a_row(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 10)
    trade(bench, "bob", "ann", 60, 10)
    bench.exchange.determine("M", "yes", bench.now_ms)
    bench.exchange.settle("M", bench.now_ms)
    assert bench.exchange.settlements("ann") == []
    assert bench.cash("ann") == START


def test_scalar_payouts_are_rounded_down_to_cents_and_the_rest_is_a_fee(bench: Bench) -> None:
    trade(bench, "ann", "bob", 60, 0.05)
    before = bench.cash("ann")
    bench.exchange.determine("M", "scalar", bench.now_ms, value_e4=3700)
    bench.exchange.settle("M", bench.now_ms)
    (row,) = bench.exchange.settlements("ann")
    assert (row.revenue_e6, row.fee_e6) == (18_500, 8_500)
    assert bench.cash("ann") - before == 10_000


def test_orders_of_a_settled_market_are_gone(bench: Bench) -> None:
    bench.order("ann", BID, 40, 1, time_in_force=GTC)
    bench.exchange.determine("M", "yes", bench.now_ms)
    bench.exchange.settle("M", bench.now_ms)
    assert bench.resting("ann") == []
    assert bench.locked("ann") == 0
