"""A market's life: opening, pauses, deactivation, close, determination, disputes, settlement, rule changes."""

import pytest

from dora_bot.models import MarketStatus, PriceGrid
from dora_bot.paper.events import LifecycleEvent, LifecycleKind, OrderChanged
from dora_bot.paper.specs import DecreaseRequest, MarketSpec, OrderStatus, Reason
from tests.fakes.paper_bench import ASK, BID, CLOSE_MS, START_MS, Bench, refusal

INACTIVE = (409, "market_inactive", None)
TRADING_PAUSED = (409, "trading_is_paused", None)
EXCHANGE_PAUSED = (409, "exchange_is_paused", None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def kinds(bench: Bench) -> list[LifecycleKind]:
    return [event.kind for event in bench.drain(LifecycleEvent)]


def status(bench: Bench, ticker: str = "M") -> MarketStatus:
    return bench.exchange.market(ticker).status


def close(bench: Bench) -> None:
    bench.wait(CLOSE_MS - bench.now_ms)


# ── opening ─────────────────────────────────────────────────────────────────────────────────────


def test_a_market_is_announced_when_created_but_not_when_it_opens(bench: Bench) -> None:
    grid = PriceGrid.linear(10)
    spec = MarketSpec("NEW", "E", "New", grid, "deci_cent", START_MS + 1_000, CLOSE_MS)
    bench.exchange.add_market(spec, bench.now_ms)
    (created,) = bench.drain(LifecycleEvent)
    assert (created.kind, created.detail.open_ms, created.detail.grid) == ("created", START_MS + 1_000, grid)
    assert status(bench, "NEW") is MarketStatus.INITIALIZED
    assert refusal(lambda: bench.order("ann", BID, 47, 1, ticker="NEW")) == INACTIVE
    bench.wait(1_000)
    assert status(bench, "NEW") is MarketStatus.ACTIVE
    assert kinds(bench) == []
    assert bench.order("ann", BID, 47.1, 1, ticker="NEW").remaining_e2 == 100


# ── deactivation ────────────────────────────────────────────────────────────────────────────────


def test_a_deactivated_market_keeps_its_orders_and_takes_only_cancels(bench: Bench) -> None:
    first = bench.order("ann", BID, 47, 1).order_id
    second = bench.order("ann", BID, 46, 1).order_id
    bench.exchange.set_status("M", "inactive", bench.now_ms)
    assert kinds(bench)[-1] is LifecycleKind.DEACTIVATED
    assert bench.resting("ann") == [first, second]
    assert refusal(lambda: bench.order("bob", ASK, 47, 1)) == INACTIVE
    assert refusal(lambda: bench.amend("ann", first, BID, 47, 2)) == INACTIVE
    assert bench.cancel("ann", first) == 100


def test_activation_cancels_what_rested(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 1).order_id
    bench.exchange.set_status("M", "inactive", bench.now_ms)
    bench.drain()
    bench.exchange.set_status("M", "active", bench.now_ms)
    assert kinds(bench) == [LifecycleKind.ACTIVATED]
    assert bench.view(order_id).status is OrderStatus.CANCELED
    assert bench.bids() == []
    assert bench.locked("ann") == 0
    assert bench.order("ann", BID, 47, 1).remaining_e2 == 100


# ── close ───────────────────────────────────────────────────────────────────────────────────────


def test_after_the_close_nothing_is_taken_not_even_cancels(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    bench.drain()
    close(bench)
    assert status(bench) is MarketStatus.CLOSED
    assert kinds(bench) == []
    reduce = DecreaseRequest(order_id, reduce_by_e2=100)
    calls = [
        lambda: bench.order("ann", BID, 47, 1),
        lambda: bench.amend("ann", order_id, BID, 47, 1),
        lambda: bench.exchange.decrease("ann", reduce, bench.now_ms),
        lambda: bench.cancel("ann", order_id),
    ]
    assert [refusal(call) for call in calls] == [INACTIVE] * 4
    assert bench.exchange.cancel_all("ann", bench.now_ms) == 0
    assert bench.resting("ann") == [order_id]


def test_the_exchange_cancels_resting_orders_seconds_after_the_close(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    bench.order("house", ASK, 52, 2)
    close(bench)
    bench.wait(5_999)
    assert bench.bids() == [(4700, 200)]
    bench.drain()
    bench.wait(1)
    (changed,) = bench.drain(OrderChanged)
    assert (changed.order.order_id, changed.reason) == (order_id, Reason.CLOSE)
    assert bench.bids() == bench.asks() == []


def test_the_close_can_be_moved_earlier_and_later(bench: Bench) -> None:
    bench.drain()
    bench.exchange.set_close("M", START_MS + 500, bench.now_ms)
    assert kinds(bench) == [LifecycleKind.CLOSE_DATE_UPDATED]
    bench.exchange.set_close("M", START_MS + 900, bench.now_ms)
    bench.wait(500)
    assert status(bench) is MarketStatus.ACTIVE
    bench.wait(400)
    assert status(bench) is MarketStatus.CLOSED


def test_a_closed_market_reopens_when_its_close_moves_into_the_future(bench: Bench) -> None:
    bench.order("ann", BID, 47, 2)
    bench.exchange.set_close("M", bench.now_ms, bench.now_ms)
    assert status(bench) is MarketStatus.CLOSED
    bench.drain()
    bench.exchange.set_close("M", bench.now_ms + 60_000, bench.now_ms)
    assert kinds(bench) == [LifecycleKind.CLOSE_DATE_UPDATED, LifecycleKind.ACTIVATED]
    assert bench.resting("ann") == []
    fresh = bench.order("ann", BID, 47, 2).order_id
    bench.wait(10_000)
    assert bench.resting("ann") == [fresh]
    bench.wait(50_000)
    assert status(bench) is MarketStatus.CLOSED


# ── result ──────────────────────────────────────────────────────────────────────────────────────


def test_determined_then_settled_by_the_timer(bench: Bench) -> None:
    close(bench)
    bench.drain()
    bench.exchange.determine("M", "yes", bench.now_ms)
    (determined,) = bench.drain(LifecycleEvent)
    assert (determined.kind, determined.detail.result, determined.detail.value_e4) == (
        "determined",
        "yes",
        10_000,
    )
    assert status(bench) is MarketStatus.DETERMINED
    bench.wait(60_000)
    assert status(bench) is MarketStatus.FINALIZED
    assert kinds(bench) == [LifecycleKind.SETTLED]
    assert bench.exchange.market("M").settled_ms == bench.now_ms


def test_a_market_determined_early_stops_trading_at_once(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    bench.drain()
    bench.exchange.determine("M", "no", bench.now_ms)
    assert kinds(bench) == [LifecycleKind.DETERMINED]
    assert refusal(lambda: bench.cancel("ann", order_id)) == INACTIVE
    bench.wait(6_000)
    assert bench.view(order_id).reason is Reason.CLOSE


def test_a_dispute_stops_the_timer_and_an_amended_result_restarts_it(bench: Bench) -> None:
    bench.order("ann", ASK, 60, 1)
    bench.order("bob", BID, 60, 1)
    bench.exchange.determine("M", "yes", bench.now_ms)
    bench.wait(30_000)
    bench.exchange.dispute("M", bench.now_ms)
    assert status(bench) is MarketStatus.DISPUTED
    bench.wait(300_000)
    bench.exchange.amend_result("M", "no", bench.now_ms)
    assert status(bench) is MarketStatus.AMENDED
    bench.wait(59_999)
    assert status(bench) is MarketStatus.AMENDED
    bench.wait(1)
    (row,) = bench.exchange.settlements("ann")
    assert (row.result, row.revenue_e6) == ("no", 1_000_000)


def test_an_amended_result_without_dispute_restarts_the_timer(bench: Bench) -> None:
    bench.exchange.determine("M", "yes", bench.now_ms)
    bench.wait(30_000)
    bench.exchange.amend_result("M", "no", bench.now_ms)
    bench.wait(30_000)
    assert status(bench) is MarketStatus.AMENDED


@pytest.mark.parametrize(("result", "value"), [("scalar", None), ("scalar", 10_001), ("maybe", 5_000)])
def test_impossible_results_are_refused(bench: Bench, result: str, value: int | None) -> None:
    refused = refusal(lambda: bench.exchange.determine("M", result, bench.now_ms, value_e4=value))
    assert refused[:2] == (400, "invalid_parameters")
    assert status(bench) is MarketStatus.ACTIVE


def test_operator_actions_in_the_wrong_state_are_refused(bench: Bench) -> None:
    calls = [
        lambda: bench.exchange.set_status("M", "active", bench.now_ms),
        lambda: bench.exchange.settle("M", bench.now_ms),
        lambda: bench.exchange.dispute("M", bench.now_ms),
    ]
    assert [refusal(call)[:2] for call in calls] == [(409, "invalid_market_state")] * 3


# ── pauses ──────────────────────────────────────────────────────────────────────────────────────


def test_a_trading_pause_takes_cancels_only(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    bench.exchange.pause("trading", bench.now_ms, on=True)
    assert refusal(lambda: bench.order("ann", BID, 47, 1)) == TRADING_PAUSED
    assert refusal(lambda: bench.amend("ann", order_id, BID, 47, 1)) == TRADING_PAUSED
    reduce = DecreaseRequest(order_id, reduce_by_e2=100)
    assert refusal(lambda: bench.exchange.decrease("ann", reduce, bench.now_ms)) == TRADING_PAUSED
    assert bench.resting("ann") == [order_id]
    assert bench.cancel("ann", order_id) == 200
    bench.exchange.pause("trading", bench.now_ms, on=False)
    assert bench.order("ann", BID, 47, 1).remaining_e2 == 100


def test_an_exchange_pause_takes_nothing(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    group = bench.exchange.create_group("ann", 1_000, bench.now_ms).group_id
    bench.exchange.pause("exchange", bench.now_ms, on=True)
    calls = [
        lambda: bench.order("ann", BID, 47, 1),
        lambda: bench.cancel("ann", order_id),
        lambda: bench.exchange.trigger_group("ann", group, bench.now_ms),
    ]
    assert [refusal(call) for call in calls] == [EXCHANGE_PAUSED] * 3
    assert bench.exchange.cancel_all("ann", bench.now_ms) == 0


def test_pauses_are_per_shard(bench: Bench) -> None:
    bench.exchange.pause("trading", bench.now_ms, on=True, shard=2)
    assert refusal(lambda: bench.order("ann", BID, 47, 1, ticker="M2")) == TRADING_PAUSED
    assert bench.order("ann", BID, 47, 1).remaining_e2 == 100
    assert [tuple(shard) for shard in bench.exchange.status()] == [(0, True, True), (2, True, False)]
    bench.exchange.pause("exchange", bench.now_ms, on=True, shard=0)
    assert bench.exchange.status()[0][1:] == (False, False)


def test_orders_that_asked_for_it_are_cancelled_by_a_pause(bench: Bench) -> None:
    asked = bench.order("ann", BID, 47, 2, cancel_on_pause=True).order_id
    stays = bench.order("ann", BID, 46, 2).order_id
    elsewhere = bench.order("ann", BID, 46, 2, ticker="M2", cancel_on_pause=True).order_id
    bench.exchange.pause("trading", bench.now_ms, on=True, shard=0)
    assert bench.view(asked).reason is Reason.HALT
    assert bench.resting("ann") == [stays, elsewhere]


def test_expiry_goes_on_during_a_pause(bench: Bench) -> None:
    bench.order("ann", BID, 47, 2, expiration_ms=START_MS + 1_000)
    bench.exchange.pause("exchange", bench.now_ms, on=True)
    bench.wait(1_000)
    assert bench.resting("ann") == []


# ── rules ───────────────────────────────────────────────────────────────────────────────────────


def test_a_grid_change_is_announced_and_leaves_orders_alone(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    bench.drain()
    grid = PriceGrid.linear(500)
    bench.exchange.change_grid("M", grid, "coarse", bench.now_ms)
    (event,) = bench.drain(LifecycleEvent)
    assert (event.kind, event.detail.grid, event.detail.structure) == (
        "price_level_structure_updated",
        grid,
        "coarse",
    )
    assert bench.resting("ann") == [order_id]
    assert refusal(lambda: bench.order("ann", BID, 47, 2))[1] == "invalid_price"
    assert bench.amend("ann", order_id, BID, 47, 1).remaining_e2 == 100


# ── the operator's hand ─────────────────────────────────────────────────────────────────────────


def test_the_operator_can_fill_an_order_past_the_queue(bench: Bench) -> None:
    bench.order("bob", BID, 47, 9)
    order_id = bench.order("ann", BID, 47, 2).order_id
    assert bench.exchange.fill_order(order_id, 150, bench.now_ms) == 150
    assert bench.exchange.fill_order(order_id, 150, bench.now_ms) == 50
    assert refusal(lambda: bench.exchange.fill_order(order_id, 1, bench.now_ms))[0] == 404
    (first, second) = bench.exchange.fills("ann")
    assert (first.price_e4, first.is_taker, second.count_e2) == (4700, False, 50)
    assert bench.bids() == [(4700, 900)]


def test_the_operator_can_cancel_any_order(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    bench.exchange.operator_cancel(order_id, bench.now_ms)
    assert bench.view(order_id).status is OrderStatus.CANCELED
