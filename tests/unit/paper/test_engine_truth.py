"""The judge's cut, and the read views that the HTTP layer serves."""

import pytest

from dora_bot.paper.specs import OrderStatus
from tests.fakes.paper_bench import ASK, BID, START_MS, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench(fee_type="quadratic_with_maker_fees")


def test_truth_is_one_consistent_cut(bench: Bench) -> None:
    group = bench.exchange.create_group("ann", 5_000, bench.now_ms).group_id
    resting = bench.order("ann", BID, 47, 3, client_order_id="mine", order_group_id=group).order_id
    bench.order("bob", ASK, 47, 1)
    truth = bench.exchange.truth("ann")
    (fill,) = bench.exchange.fills("ann")
    assert truth["exchange_time"] == START_MS
    assert truth["open_orders"] == [
        {
            "order_id": resting,
            "client_order_id": "mine",
            "ticker": "M",
            "side": "bid",
            "price": "0.4700",
            "remaining_count": "2.00",
            "filled_count": "1.00",
            "subaccount": 0,
        }
    ]
    assert truth["positions"] == {"M": "1.00"}
    # 1,000 on each of two shards, one contract at 0.47, a maker fee of 0.0044.
    assert truth["cash"] == "1999.525600"
    assert truth["cash_by_shard"] == {"0": "999.525600", "2": "1000.000000"}
    assert truth["fees"] == "0.004400"
    assert truth["fills"] == [
        {
            "trade_id": fill.trade_id,
            "order_id": resting,
            "client_order_id": "mine",
            "ticker": "M",
            "side": "bid",
            "price": "0.4700",
            "count": "1.00",
            "fee": "0.004400",
            "is_taker": False,
            "time": START_MS,
        }
    ]
    book = bench.exchange.book("M")
    assert truth["books"]["M"] == {
        "status": "active",
        "bids": [["0.4700", "2.00"]],
        "asks": [],
        "clock": book.clock,
    }
    assert truth["groups"] == {group: {"limit": "50.00", "triggered": False, "orders": [resting]}}


def test_truth_shows_settlements(bench: Bench) -> None:
    bench.order("ann", BID, 47, 1)
    bench.order("bob", ASK, 47, 1)
    bench.exchange.determine("M", "no", bench.now_ms)
    bench.exchange.settle("M", bench.now_ms)
    assert bench.exchange.truth("bob")["settlements"] == [
        {
            "ticker": "M",
            "result": "no",
            "value": "0.0000",
            "count": "-1.00",
            "revenue": "1.000000",
            "fee": "0.000000",
            "time": START_MS,
        }
    ]
    assert bench.exchange.truth("bob")["positions"] == {}


def test_orders_by_status(bench: Bench) -> None:
    gone = bench.order("ann", BID, 46, 1).order_id
    bench.cancel("ann", gone)
    stays = bench.order("ann", BID, 47, 1).order_id
    by_status = {
        status: [order.order_id for order in bench.exchange.orders("ann", status=status)]
        for status in (None, *OrderStatus)
    }
    assert by_status == {
        None: [gone, stays],
        OrderStatus.RESTING: [stays],
        OrderStatus.CANCELED: [gone],
        OrderStatus.EXECUTED: [],
    }


def test_public_trades_and_the_market_summary(bench: Bench) -> None:
    for cents in (47, 48):
        bench.order("ann", BID, cents, 2)
        bench.order("bob", ASK, cents, 2)
    assert [(trade.price_e4, trade.taker_side) for trade in bench.exchange.trades("M")] == [
        (4700, ASK),
        (4800, ASK),
    ]
    assert bench.exchange.trades() == bench.exchange.trades("M")
    market = bench.exchange.market("M")
    assert (market.last_price_e4, market.volume_e2, market.open_interest_e2) == (4800, 400, 400)
    assert market.turnover_e6 == 1_900_000


def test_ids_come_from_the_seed() -> None:
    ids = [Bench(seed=seed).order("ann", BID, 47, 1).order_id for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert [len(part) for part in ids[0].split("-")] == [8, 4, 4, 4, 12]


def test_copies_do_not_change_afterwards(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 2).order_id
    order, book = bench.view(order_id), bench.exchange.book("M")
    bench.order("bob", ASK, 47, 1)
    assert (order.remaining_e2, book.bids[0].count_e2) == (200, 200)
