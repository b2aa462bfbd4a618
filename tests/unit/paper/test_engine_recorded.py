"""Recorded liquidity: honest queues, fills out of traded volume only, and a book that never crosses itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_bot.models import Level, Side
from dora_bot.paper.events import BookChanged, TradePrinted
from dora_bot.paper.specs import Refused
from tests.fakes.paper_bench import ASK, BID, IOC, Bench


@pytest.fixture
def bench() -> Bench:
    """Market M plays a tape: 100 contracts at 48, 47 (bids) and 52, 53 (asks)."""
    bench = Bench()
    set_ladder(bench, [(48, 100), (47, 100)], [(52, 100), (53, 100)])
    bench.drain()
    return bench


Levels = list[tuple[int, int]]


def set_ladder(bench: Bench, bids: Levels, asks: Levels) -> None:
    """Levels as (cents, contracts)."""
    bench.exchange.set_ladder(
        "M",
        [Level(cents * 100, contracts * 100) for cents, contracts in bids],
        [Level(cents * 100, contracts * 100) for cents, contracts in asks],
        bench.now_ms,
    )


def delta(bench: Bench, side: Side, cents: int, contracts: int) -> None:
    bench.exchange.ladder_delta("M", side, cents * 100, contracts * 100, bench.now_ms)


def sold(bench: Bench, cents: int, contracts: int) -> int:
    """A recorded seller hits the recorded bid."""
    return bench.exchange.tape_trade("M", ASK, cents * 100, contracts * 100, bench.now_ms)


def bought(bench: Bench, cents: int, contracts: int) -> int:
    return bench.exchange.tape_trade("M", BID, cents * 100, contracts * 100, bench.now_ms)


def test_the_ladder_is_the_book(bench: Bench) -> None:
    assert bench.bids() == [(4800, 10_000), (4700, 10_000)]
    assert bench.asks() == [(5200, 10_000), (5300, 10_000)]


def test_a_new_snapshot_changes_only_what_differs(bench: Bench) -> None:
    set_ladder(bench, [(48, 100), (47, 60)], [(52, 100), (54, 5)])
    changes = {(e.is_bid, e.price_e4): e.delta_e2 for e in bench.drain(BookChanged)}
    assert changes == {(True, 4700): -4_000, (False, 5300): -10_000, (False, 5400): 500}


def test_our_order_waits_behind_what_stood_there(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 48, 5).order_id
    assert bench.exchange.queue_position(order_id) == 10_000
    assert sold(bench, 48, 100) == 0
    assert bench.exchange.queue_position(order_id) == 0
    assert sold(bench, 48, 3) == 300
    assert bench.view(order_id).remaining_e2 == 200


def test_one_trade_passes_the_queue_and_reaches_us(bench: Bench) -> None:
    bench.order("ann", BID, 48, 5)
    bench.drain()
    assert sold(bench, 48, 102) == 200
    trades = bench.drain(TradePrinted)
    assert sorted((t.count_e2, t.maker_account, t.taker_side) for t in trades) == [
        (200, "ann", ASK),
        (10_000, "", ASK),
    ]
    assert bench.exchange.market("M").volume_e2 == 10_200


def test_size_that_leaves_without_a_trade_leaves_behind_us_first(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 48, 5).order_id
    delta(bench, BID, 48, 30)
    delta(bench, BID, 48, -30)
    assert bench.exchange.queue_position(order_id) == 10_000
    delta(bench, BID, 48, -40)
    assert bench.exchange.queue_position(order_id) == 6_000
    delta(bench, BID, 48, -500)
    assert bench.exchange.queue_position(order_id) == 0
    assert bench.bids() == [(4800, 500), (4700, 10_000)]


def test_size_that_joins_later_stands_behind_us(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 48, 5).order_id
    delta(bench, BID, 48, 100)
    assert bench.exchange.queue_position(order_id) == 10_000
    assert sold(bench, 48, 103) == 300


def test_the_recorded_level_shrinks_by_the_whole_trade_whoever_was_filled(bench: Bench) -> None:
    bench.order("ann", BID, 48, 5)
    delta(bench, BID, 48, 20)
    assert sold(bench, 48, 110) == 500
    assert bench.bids()[0] == (4800, 1_000)


def test_a_contract_fills_one_account_only(bench: Bench) -> None:
    bench.order("ann", BID, 49, 5)
    bench.order("bob", BID, 49, 5)
    assert sold(bench, 48, 7) == 700
    assert (bench.net("ann"), bench.net("bob")) == (500, 200)
    assert bench.net("cat") == 0


def test_a_seller_meets_our_better_price_first_and_pays_it(bench: Bench) -> None:
    bench.order("ann", BID, 50, 5)
    assert sold(bench, 48, 20) == 500
    (fill,) = bench.exchange.fills("ann")
    assert (fill.price_e4, fill.is_taker) == (5000, False)
    assert bench.bids() == [(4800, 8_000), (4700, 10_000)]


def test_trades_on_the_other_side_do_not_reach_us(bench: Bench) -> None:
    bench.order("ann", BID, 48, 5)
    bench.order("ann", BID, 50, 5)
    assert bought(bench, 52, 100) == 0


def test_a_recorded_level_that_would_cross_us_is_held_back(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 50, 5).order_id
    delta(bench, ASK, 49, 30)
    delta(bench, ASK, 50, 10)
    assert bench.asks()[0] == (5200, 10_000)
    assert bench.view(order_id).filled_e2 == 0
    bench.cancel("ann", order_id)
    assert bench.asks()[:2] == [(4900, 3_000), (5000, 1_000)]


def test_a_held_back_level_follows_the_recording(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 50, 5).order_id
    delta(bench, ASK, 49, 30)
    delta(bench, ASK, 49, -10)
    bench.cancel("ann", order_id)
    assert bench.asks()[0] == (4900, 2_000)


def test_a_held_back_level_fills_us_when_volume_really_traded_there(bench: Bench) -> None:
    bench.order("ann", BID, 50, 5)
    delta(bench, ASK, 49, 30)
    assert bought(bench, 49, 3) == 300
    (fill,) = bench.exchange.fills("ann")
    assert fill.price_e4 == 5000
    assert bought(bench, 49, 27) == 200
    assert bench.asks()[0] == (5200, 10_000)


def test_a_level_held_back_stays_silent_while_the_market_lives_on(bench: Bench) -> None:
    bench.order("ann", BID, 50, 5)
    delta(bench, ASK, 49, 30)
    bench.drain()
    bench.order("bob", BID, 40, 1)
    assert [(e.is_bid, e.price_e4) for e in bench.drain(BookChanged)] == [(True, 4000)]


def test_a_trade_below_our_bid_fills_us_even_where_no_level_was_seen(bench: Bench) -> None:
    bench.order("ann", BID, 50, 5)
    assert bought(bench, 50, 3) == 300
    assert bought(bench, 51, 3) == 0


def test_our_order_drives_visible_levels_into_hiding_when_it_is_filled_past_them(bench: Bench) -> None:
    """Our order takes what it crosses, then rests; the recording knows nothing of that."""
    receipt = bench.order("ann", BID, 52, 120)
    assert (receipt.filled_e2, receipt.remaining_e2) == (10_000, 2_000)
    assert bench.asks() == [(5300, 10_000)]
    delta(bench, ASK, 52, 7)
    assert bench.asks() == [(5300, 10_000)]


def test_taking_recorded_size_shrinks_it(bench: Bench) -> None:
    assert bench.order("ann", BID, 52, 30, time_in_force=IOC).filled_e2 == 3_000
    assert bench.asks()[0] == (5200, 7_000)


def test_activation_empties_the_recorded_book_too(bench: Bench) -> None:
    bench.exchange.set_status("M", "inactive", bench.now_ms)
    bench.exchange.set_status("M", "active", bench.now_ms)
    assert bench.bids() == bench.asks() == []
    set_ladder(bench, [(48, 1)], [])
    assert bench.bids() == [(4800, 100)]


# ── any tape ────────────────────────────────────────────────────────────────────────────────────

sides = st.sampled_from(Side)
cents = st.integers(46, 54)
contracts = st.integers(1, 30)
steps = st.one_of(
    st.tuples(st.just("delta"), sides, cents, st.integers(-30, 30)),
    st.tuples(st.just("trade"), sides, cents, contracts),
    st.tuples(st.just("quote"), sides, cents, contracts),
    st.tuples(st.just("cancel"), sides, cents, contracts),
)


class Recording:
    """What the tape alone says: sizes by side and price."""

    def __init__(self) -> None:
        self.sizes: dict[Side, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}

    def change(self, side: Side, price: int, by: int) -> None:
        left = self.sizes[side].get(price, 0) + by
        self.sizes[side].pop(price, None)
        if left > 0:
            self.sizes[side][price] = left

    def levels(self, side: Side) -> list[tuple[int, int]]:
        return sorted(((p * 100, c * 100) for p, c in self.sizes[side].items()), reverse=side is BID)


@settings(max_examples=200, deadline=None)
@given(tape=st.lists(steps, max_size=40))
def test_accounts_live_off_traded_volume_and_leave_the_recording_alone(tape: list[tuple[Any, ...]]) -> None:
    bench, recording = Bench(), Recording()
    for kind, side, price, size in tape:
        filled_before = sum(fill.count_e2 for name in ("ann", "bob") for fill in bench.exchange.fills(name))
        allowed = 0
        if kind == "delta":
            delta(bench, side, price, size)
            recording.change(side, price, size)
        elif kind == "trade":
            allowed = size * 100
            got = bench.exchange.tape_trade("M", side, price * 100, allowed, bench.now_ms)
            recording.change(side.other, price, -size)
            assert 0 <= got <= allowed
        elif kind == "quote":
            post(bench, "ann" if size % 2 else "bob", side, price, size)
        else:
            for order_id in bench.resting("ann")[:1]:
                bench.cancel("ann", order_id)
        filled = sum(fill.count_e2 for name in ("ann", "bob") for fill in bench.exchange.fills(name))
        assert filled - filled_before <= allowed
        assert_no_account_is_crossed(bench)
    bench.exchange.cancel_all("ann", bench.now_ms)
    bench.exchange.cancel_all("bob", bench.now_ms)
    assert bench.bids() == recording.levels(Side.BID)
    assert bench.asks() == recording.levels(Side.ASK)


def post(bench: Bench, account: str, side: Side, price: int, size: int) -> None:
    try:
        bench.order(account, side, price, size, post_only=True)
    except Refused as refusal:
        assert refusal.details == "post only cross"  # noqa: PT017  (only this refusal is expected, or none)


def assert_no_account_is_crossed(bench: Bench) -> None:
    bids, asks = bench.bids(), bench.asks()
    assert all(count > 0 for _, count in bids + asks)
    for name in ("ann", "bob"):
        for order_id in bench.resting(name):
            order = bench.view(order_id)
            if order.side is Side.BID and asks:
                assert order.price_e4 < asks[0][0]
            elif order.side is Side.ASK and bids:
                assert order.price_e4 > bids[0][0]
