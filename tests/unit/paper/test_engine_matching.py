"""Matching rules through the exchange: priority, price, times in force, self-trade prevention, post-only."""

import pytest

from dora_bot.models import PriceGrid, PriceRange
from dora_bot.paper.events import BookChanged, FillMade, OrderChanged, TickerChanged, TradePrinted
from dora_bot.paper.specs import OrderStatus, Reason
from tests.fakes.paper_bench import ASK, BID, FOK, IOC, Bench, only, refusal


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_order_that_meets_nobody_rests(bench: Bench) -> None:
    receipt = bench.order("ann", BID, 47, 10, client_order_id="a1")
    assert (receipt.filled_e2, receipt.remaining_e2, receipt.average_price_e4) == (0, 1000, 0)
    assert bench.bids() == [(4700, 1000)]
    assert bench.view(receipt.order_id).status is OrderStatus.RESTING


def test_a_taker_gets_the_resting_price(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    receipt = bench.order("bob", BID, 99, 1, time_in_force=IOC)
    assert (receipt.filled_e2, receipt.remaining_e2) == (100, 0)
    assert (receipt.average_price_e4, receipt.average_fee_e4) == (5200, 175)
    order = bench.view(receipt.order_id)
    assert (order.price_e4, order.taker_cost_e6, order.taker_fees_e6) == (9900, 520_000, 17_500)


def test_better_prices_first_then_earlier_orders(bench: Bench) -> None:
    late_best = [bench.order(name, ASK, cents, 2).order_id for name, cents in (("ann", 53), ("bob", 52))]
    second_at_best = bench.order("ann", ASK, 52, 2).order_id
    bench.drain()
    bench.order("cat", BID, 60, 5)
    trades = bench.drain(TradePrinted)
    assert [(t.maker_order_id, t.price_e4, t.count_e2) for t in trades] == [
        (late_best[1], 5200, 200),
        (second_at_best, 5200, 200),
        (late_best[0], 5300, 100),
    ]
    assert bench.asks() == [(5300, 100)]


def test_a_crossing_order_rests_with_what_is_left(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    receipt = bench.order("bob", BID, 52, 3)
    assert (receipt.filled_e2, receipt.remaining_e2) == (100, 200)
    assert bench.bids() == [(5200, 200)]
    assert bench.asks() == []


def test_hundredths_of_a_contract_trade(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 7.77)
    assert bench.order("bob", BID, 52, 0.01, time_in_force=IOC).filled_e2 == 1
    assert bench.asks() == [(5200, 776)]


@pytest.mark.parametrize("price_e4", [5150, 0, 10_000, -100, 10_100])
def test_prices_off_the_grid_are_refused(bench: Bench, price_e4: int) -> None:
    assert refusal(lambda: bench.order("ann", BID, price_e4 / 100, 1)) == (400, "invalid_price", None)


def test_the_grid_decides_which_prices_are_valid(bench: Bench) -> None:
    tapered = PriceGrid((PriceRange(0, 1000, 10), PriceRange(1000, 9000, 100), PriceRange(9000, 10_000, 10)))
    bench.exchange.change_grid("M", tapered, "tapered_deci_cent", bench.now_ms)
    assert bench.order("ann", BID, 5.5, 1).remaining_e2 == 100
    assert refusal(lambda: bench.order("ann", BID, 15.5, 1))[1] == "invalid_price"


def test_the_rest_of_an_ioc_is_cancelled(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    receipt = bench.order("bob", BID, 52, 3, time_in_force=IOC)
    order = bench.view(receipt.order_id)
    assert (receipt.filled_e2, receipt.remaining_e2) == (100, 0)
    assert (order.status, order.filled_e2) == (OrderStatus.CANCELED, 100)
    assert bench.bids() == []


def test_an_ioc_without_counterparty_is_accepted_and_over(bench: Bench) -> None:
    receipt = bench.order("bob", BID, 52, 3, time_in_force=IOC)
    assert (receipt.filled_e2, receipt.remaining_e2) == (0, 0)
    assert bench.view(receipt.order_id).status is OrderStatus.CANCELED


def test_a_fill_or_kill_fills_whole_or_not_at_all(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    bench.order("ann", ASK, 53, 1)
    killed = bench.order("bob", BID, 53, 2.01, time_in_force=FOK)
    assert (killed.filled_e2, killed.remaining_e2) == (0, 0)
    assert bench.asks() == [(5200, 100), (5300, 100)]
    filled = bench.order("bob", BID, 53, 2, time_in_force=FOK)
    assert (filled.filled_e2, filled.average_price_e4) == (200, 5250)


def test_a_fill_or_kill_looks_no_further_than_its_price(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    bench.order("ann", ASK, 54, 9)
    assert bench.order("bob", BID, 53, 2, time_in_force=FOK).filled_e2 == 0


@pytest.mark.parametrize(("stp", "filled"), [("taker_at_cross", 100), ("maker", 200)])
def test_a_fill_or_kill_that_meets_itself_keeps_its_partial_fills(
    bench: Bench, stp: str, filled: int
) -> None:
    bench.order("ann", ASK, 50, 1)
    own = bench.order("bob", ASK, 51, 1).order_id
    bench.order("ann", ASK, 52, 1)
    receipt = bench.order("bob", BID, 60, 5, time_in_force=FOK, stp=stp)
    assert (receipt.filled_e2, receipt.remaining_e2) == (filled, 0)
    assert (own in bench.resting("bob")) is (stp == "taker_at_cross")


def test_taker_at_cross_cancels_the_incoming_rest(bench: Bench) -> None:
    bench.order("ann", ASK, 51, 1)
    own = bench.order("bob", ASK, 52, 1).order_id
    receipt = bench.order("bob", BID, 60, 5)
    order = bench.view(receipt.order_id)
    assert (receipt.filled_e2, receipt.remaining_e2) == (100, 0)
    assert (order.status, order.reason) == (OrderStatus.CANCELED, Reason.SELF_TRADE)
    assert bench.resting("bob") == [own]


def test_maker_prevention_cancels_the_resting_order_and_goes_on(bench: Bench) -> None:
    own = bench.order("bob", ASK, 51, 1).order_id
    bench.order("ann", ASK, 52, 1)
    receipt = bench.order("bob", BID, 60, 3, stp="maker")
    assert (receipt.filled_e2, receipt.remaining_e2) == (100, 200)
    assert bench.view(own).reason is Reason.SELF_TRADE
    assert bench.bids() == [(6000, 200)]


def test_self_trade_prevention_spans_subaccounts(bench: Bench) -> None:
    bench.order("bob", ASK, 52, 1)
    bench.exchange.transfer("bob", 10_000_000, (0, 0), (0, 1), bench.now_ms)
    receipt = bench.order("bob", BID, 52, 1, subaccount=1)
    assert (receipt.filled_e2, receipt.remaining_e2) == (0, 0)


def test_a_crossing_post_only_order_is_refused_and_recorded(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)

    def again() -> object:
        return bench.order("bob", BID, 52, 1, post_only=True, client_order_id="p1")

    assert refusal(again) == (400, "invalid_order", "post only cross")
    (stored,) = bench.exchange.orders("bob")
    assert (stored.status, stored.reason) == (OrderStatus.CANCELED, Reason.POST_ONLY)
    assert (stored.client_order_id, stored.filled_e2, stored.remaining_e2) == ("p1", 0, 0)
    assert refusal(again) == (409, "order_already_exists", None)
    (changed,) = bench.drain(OrderChanged)[-1:]
    assert (changed.account, changed.reason) == ("bob", Reason.POST_ONLY)


def test_a_post_only_order_one_tick_away_rests(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    assert bench.order("bob", BID, 51, 1, post_only=True).remaining_e2 == 100


def test_reduce_only_needs_ioc(bench: Bench) -> None:
    assert refusal(lambda: bench.order("bob", ASK, 40, 1, reduce_only=True))[:2] == (400, "invalid_order")


def test_reduce_only_closes_at_most_the_holding(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 2)
    bench.order("bob", BID, 52, 2)
    bench.order("ann", BID, 50, 9)
    receipt = bench.order("bob", ASK, 50, 5, time_in_force=IOC, reduce_only=True)
    assert receipt.filled_e2 == 200
    assert bench.net("bob") == 0
    assert bench.view(receipt.order_id).reason is Reason.REDUCE_ONLY


def test_reduce_only_without_a_holding_is_cancelled(bench: Bench) -> None:
    bench.order("ann", BID, 50, 9)
    receipt = bench.order("bob", ASK, 50, 5, time_in_force=IOC, reduce_only=True)
    assert (receipt.filled_e2, receipt.remaining_e2) == (0, 0)
    assert bench.view(receipt.order_id).reason is Reason.REDUCE_ONLY


def test_queue_positions_count_what_stands_ahead_at_the_price(bench: Bench) -> None:
    first = bench.order("ann", BID, 47, 2).order_id
    second = bench.order("bob", BID, 47, 3).order_id
    bench.order("ann", BID, 48, 9)
    assert bench.exchange.queue_position(first) == 0
    assert bench.exchange.queue_position(second) == 200
    bench.order("cat", ASK, 47, 10)
    assert bench.exchange.queue_position(second) == 100
    bench.cancel("ann", first)
    assert bench.exchange.queue_position(second) == 0
    assert refusal(lambda: bench.exchange.queue_position(first))[0] == 404


def test_one_match_as_events(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 3, client_order_id="maker")
    bench.drain()
    bench.order("bob", BID, 52, 1, client_order_id="taker")
    events = bench.drain()
    (book,) = only(events, BookChanged)
    assert (book.is_bid, book.price_e4, book.delta_e2, book.client_order_id) == (False, 5200, -100, "maker")
    fills = only(events, FillMade)
    assert [(f.account, f.fill.is_taker, f.fill.post_position_e2) for f in fills] == [
        ("ann", False, -100),
        ("bob", True, 100),
    ]
    assert len({f.fill.trade_id for f in fills} | {t.trade_id for t in only(events, TradePrinted)}) == 1
    orders = {change.account: change.order for change in only(events, OrderChanged)}
    assert orders["ann"].remaining_e2 == 200
    assert orders["bob"].status is OrderStatus.EXECUTED
    (ticker,) = only(events, TickerChanged)
    assert (ticker.last_price_e4, ticker.ask_size_e2, ticker.volume_e2, ticker.open_interest_e2) == (
        5200,
        200,
        100,
        100,
    )


def test_a_change_behind_the_best_price_is_no_ticker_news(bench: Bench) -> None:
    bench.order("ann", BID, 47, 1)
    bench.drain()
    bench.order("ann", BID, 46, 1)
    assert bench.drain(TickerChanged) == []


def test_events_are_numbered_without_gaps_and_share_a_clock_per_call(bench: Bench) -> None:
    bench.order("ann", ASK, 52, 1)
    bench.order("ann", ASK, 53, 1)
    bench.order("bob", BID, 53, 2)
    events = bench.drain()
    numbers = [event.n for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    clocks = [event.clock for event in events if isinstance(event, BookChanged)]
    assert clocks[2] == clocks[3] > clocks[1] > clocks[0]
    assert bench.exchange.book("M").clock == clocks[-1]


def test_house_traders_leave_only_public_traces(bench: Bench) -> None:
    placed = bench.order("house", ASK, 52, 1_000_000)
    bench.order("bob", BID, 52, 1)
    private = bench.drain(FillMade, OrderChanged)
    assert {event.account for event in private} == {"bob"}
    assert bench.exchange.fills("house") == []
    assert bench.net("house") == -100
    bench.cancel("house", placed.order_id)
    assert bench.exchange.orders("house") == []
