"""Amend, decrease, cancel, cancel-all and expiry, and every refusal of order entry."""

from collections.abc import Callable

import pytest

from dora_bot.paper.events import BookChanged, OrderChanged
from dora_bot.paper.specs import DecreaseRequest, EngineOptions, OrderStatus, Reason
from tests.fakes.paper_bench import ASK, BID, FOK, IOC, START_MS, Bench, Refusal, refusal

NOT_FOUND = (404, "not_found", None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def decrease(bench: Bench, order_id: str, **change: int) -> int:
    return bench.exchange.decrease("ann", DecreaseRequest(order_id, **change), bench.now_ms).remaining_e2


# ── amend ───────────────────────────────────────────────────────────────────────────────────────


def test_amend_counts_what_is_filled_and_what_shall_remain(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 10).order_id
    bench.order("bob", ASK, 47, 4)
    receipt = bench.amend("ann", order_id, BID, 47, 8)
    assert (receipt.filled_e2, receipt.remaining_e2, receipt.matched_e2) == (400, 400, 0)
    assert bench.bids() == [(4700, 400)]
    assert bench.view(order_id).initial_e2 == 800


def test_a_smaller_size_keeps_the_queue_place(bench: Bench) -> None:
    first = bench.order("ann", BID, 47, 10).order_id
    second = bench.order("bob", BID, 47, 10).order_id
    bench.amend("ann", first, BID, 47, 3)
    assert bench.exchange.queue_position(first) == 0
    assert bench.exchange.queue_position(second) == 300


def test_a_new_expiry_alone_keeps_the_queue_place_and_sends_no_delta(bench: Bench) -> None:
    first = bench.order("ann", BID, 47, 10).order_id
    bench.order("bob", BID, 47, 10)
    bench.drain()
    bench.amend("ann", first, BID, 47, 10, expiration_ms=START_MS + 5_000)
    assert bench.exchange.queue_position(first) == 0
    assert bench.drain(BookChanged) == []
    bench.wait(5_000)
    assert bench.view(first).reason is Reason.EXPIRY


@pytest.mark.parametrize(("cents", "total"), [(47, 11), (48, 10)])
def test_a_larger_size_or_another_price_goes_to_the_back(bench: Bench, cents: int, total: int) -> None:
    first = bench.order("ann", BID, 47, 10).order_id
    bench.order("bob", BID, 47, 10)
    bench.order("bob", BID, 48, 10)
    bench.amend("ann", first, BID, cents, total)
    assert bench.exchange.queue_position(first) == 1000


def test_a_larger_size_is_one_delta(bench: Bench) -> None:
    first = bench.order("ann", BID, 47, 10).order_id
    bench.drain()
    bench.amend("ann", first, BID, 47, 12)
    assert [event.delta_e2 for event in bench.drain(BookChanged)] == [200]


def test_an_amend_can_cross_and_fill(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 5).order_id
    bench.order("bob", ASK, 50, 3)
    receipt = bench.amend("ann", order_id, BID, 51, 5)
    assert (receipt.filled_e2, receipt.remaining_e2) == (300, 200)
    assert (receipt.average_price_e4, receipt.average_fee_e4) == (5000, 175)
    assert bench.bids() == [(5100, 200)]


def test_an_amend_can_fill_the_order_whole(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 3).order_id
    bench.order("bob", ASK, 50, 3)
    assert bench.amend("ann", order_id, BID, 50, 3).remaining_e2 == 0
    assert bench.view(order_id).status is OrderStatus.EXECUTED


def test_a_post_only_order_is_not_amended_into_a_cross(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 5, post_only=True).order_id
    bench.order("bob", ASK, 50, 3)
    assert refusal(lambda: bench.amend("ann", order_id, BID, 50, 5)) == (
        400,
        "invalid_order",
        "post only cross",
    )
    assert bench.bids() == [(4700, 500)]


def test_an_amend_may_change_the_client_order_id_and_spends_it(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 5, client_order_id="one").order_id
    bench.amend("ann", order_id, BID, 47, 5, client_order_id="one", updated_client_order_id="two")
    assert bench.view(order_id).client_order_id == "two"
    again = [
        lambda: bench.order("ann", BID, 40, 1, client_order_id="one"),
        lambda: bench.order("ann", BID, 40, 1, client_order_id="two"),
    ]
    assert [refusal(call)[1] for call in again] == ["order_already_exists"] * 2


def test_expiry_zero_clears_and_none_keeps(bench: Bench) -> None:
    keeps = bench.order("ann", BID, 46, 5, expiration_ms=START_MS + 1_000).order_id
    clears = bench.order("ann", BID, 47, 5, expiration_ms=START_MS + 1_000).order_id
    bench.amend("ann", keeps, BID, 46, 4)
    bench.amend("ann", clears, BID, 47, 5, expiration_ms=0)
    bench.wait(1_000)
    assert bench.resting("ann") == [clears]


AMEND_REFUSALS: list[tuple[Callable[[Bench, str], object], Refusal]] = [
    (lambda b, o: b.amend("ann", o, ASK, 47, 10), (400, "order_side_mismatch", None)),
    (lambda b, o: b.amend("ann", o, BID, 47, 10, ticker="M2"), (400, "order_ticker_mismatch", None)),
    (
        lambda b, o: b.amend("ann", o, BID, 47, 10, client_order_id="other"),
        (400, "order_id_and_client_order_id_mismatch", None),
    ),
    (
        lambda b, o: b.amend("ann", o, BID, 47, 10, updated_client_order_id="used"),
        (409, "order_already_exists", None),
    ),
    (lambda b, o: b.amend("ann", o, BID, 47.5, 10), (400, "invalid_price", None)),
    (lambda b, o: b.amend("ann", o, BID, 47, 4), (400, "invalid_order_size", None)),
    (
        lambda b, o: b.amend("ann", o, BID, 47, 10, expiration_ms=START_MS),
        (400, "invalid_parameters", "Expiration timestamp must be in the future"),
    ),
    (lambda b, o: b.amend("ann", o, BID, 47, 1_000_000), (400, "insufficient_balance", None)),
    (lambda b, o: b.amend("ann", o, BID, 47, 10, shard=2), NOT_FOUND),
    (lambda b, o: b.amend("ann", o, BID, 47, 10, subaccount=1), NOT_FOUND),
    (lambda b, o: b.amend("bob", o, BID, 47, 10), NOT_FOUND),
    (lambda b, _: b.amend("ann", "unknown", BID, 47, 10), NOT_FOUND),
]


@pytest.mark.parametrize(("amend", "expected"), AMEND_REFUSALS)
def test_amend_refusals_change_nothing(
    bench: Bench, amend: Callable[[Bench, str], object], expected: Refusal
) -> None:
    bench.cancel("ann", bench.order("ann", BID, 30, 1, client_order_id="used").order_id)
    order_id = bench.order("ann", BID, 47, 10, client_order_id="mine").order_id
    bench.order("bob", ASK, 47, 4)
    before = bench.view(order_id), bench.bids(), bench.locked("ann")
    assert refusal(lambda: amend(bench, order_id)) == expected
    assert (bench.view(order_id), bench.bids(), bench.locked("ann")) == before


# ── decrease ────────────────────────────────────────────────────────────────────────────────────


def test_decrease_by_and_to(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 10).order_id
    bench.order("bob", BID, 47, 10)
    assert decrease(bench, order_id, reduce_by_e2=300) == 700
    assert decrease(bench, order_id, reduce_to_e2=200) == 200
    assert bench.exchange.queue_position(order_id) == 0
    order = bench.view(order_id)
    assert (order.reason, order.initial_e2) == (Reason.DECREASE, 200)


def test_decrease_to_nothing_cancels(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 10).order_id
    assert decrease(bench, order_id, reduce_to_e2=0) == 0
    assert bench.view(order_id).status is OrderStatus.CANCELED
    assert bench.bids() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "invalid_parameters"),
        ({"reduce_by_e2": 1, "reduce_to_e2": 1}, "invalid_parameters"),
        ({"reduce_by_e2": 0}, "invalid_order_size"),
        ({"reduce_by_e2": 1001}, "invalid_order_size"),
        ({"reduce_to_e2": 1000}, "invalid_order_size"),
        ({"reduce_to_e2": -1}, "invalid_order_size"),
    ],
)
def test_decrease_refusals(bench: Bench, change: dict[str, int], code: str) -> None:
    order_id = bench.order("ann", BID, 47, 10).order_id
    assert refusal(lambda: decrease(bench, order_id, **change))[:2] == (400, code)


# ── cancel ──────────────────────────────────────────────────────────────────────────────────────


def test_cancel_says_by_how_much(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 10).order_id
    bench.order("bob", ASK, 47, 4)
    assert bench.cancel("ann", order_id) == 600
    order = bench.view(order_id)
    assert (order.status, order.reason, order.filled_e2, order.remaining_e2) == (
        OrderStatus.CANCELED,
        Reason.NONE,
        400,
        0,
    )


def test_unknown_cancelled_executed_misrouted_and_foreign_orders_look_alike(bench: Bench) -> None:
    cancelled = bench.order("ann", BID, 47, 1).order_id
    bench.cancel("ann", cancelled)
    executed = bench.order("ann", BID, 47, 1).order_id
    bench.order("bob", ASK, 47, 1)
    sharded = bench.order("ann", BID, 47, 1, ticker="M2").order_id
    other_subaccount = bench.order("ann", BID, 40, 1).order_id
    foreign = bench.order("bob", BID, 41, 1).order_id
    calls = [
        lambda: bench.cancel("ann", "00000000-0000-0000-0000-000000000000"),
        lambda: bench.cancel("ann", cancelled),
        lambda: bench.cancel("ann", executed),
        lambda: bench.cancel("ann", sharded),
        lambda: bench.cancel("ann", other_subaccount, subaccount=3),
        lambda: bench.cancel("ann", foreign),
    ]
    assert [refusal(call) for call in calls] == [NOT_FOUND] * len(calls)
    assert bench.cancel("ann", sharded, shard=2) == 100


def test_cancel_all_reaches_every_shard_and_subaccount(bench: Bench) -> None:
    bench.exchange.transfer("ann", 10_000_000, (0, 0), (0, 5), bench.now_ms)
    bench.order("ann", BID, 47, 1)
    bench.order("ann", BID, 47, 1, ticker="M2")
    bench.order("ann", BID, 47, 1, subaccount=5)
    others = bench.order("bob", BID, 47, 1).order_id
    assert bench.exchange.cancel_all("ann", bench.now_ms) == 3
    assert bench.resting("ann") == []
    assert bench.resting("bob") == [others]


def test_cancel_all_of_one_subaccount(bench: Bench) -> None:
    bench.exchange.transfer("ann", 10_000_000, (0, 0), (0, 5), bench.now_ms)
    kept = bench.order("ann", BID, 47, 1).order_id
    bench.order("ann", BID, 47, 1, subaccount=5)
    bench.exchange.cancel_all("ann", bench.now_ms, subaccount=5)
    assert bench.resting("ann") == [kept]
    swept = bench.order("ann", BID, 46, 1, subaccount=5).order_id
    spared = bench.order("ann", BID, 46, 1).order_id
    bench.wait(1_000)
    assert swept not in bench.resting("ann")
    assert bench.resting("ann") == [kept, spared]


def test_orders_placed_within_a_minute_of_cancel_all_die_too(bench: Bench) -> None:
    bench.exchange.cancel_all("ann", bench.now_ms)
    bench.wait(59_000)
    early = bench.order("ann", BID, 47, 1)
    assert early.remaining_e2 == 100
    bench.wait(1_000)
    assert bench.view(early.order_id).status is OrderStatus.CANCELED
    late = bench.order("ann", BID, 47, 1).order_id
    bench.wait(60_000)
    assert bench.resting("ann") == [late]


def test_the_tail_of_cancel_all_can_be_switched_off() -> None:
    bench = Bench(options=EngineOptions(cancel_all_tail_ms=0))
    bench.exchange.cancel_all("ann", bench.now_ms)
    bench.order("ann", BID, 47, 1)
    bench.wait(5_000)
    assert len(bench.resting("ann")) == 1


# ── expiry ──────────────────────────────────────────────────────────────────────────────────────


def test_an_order_expires_at_its_time_whoever_calls_first(bench: Bench) -> None:
    order_id = bench.order("ann", BID, 47, 1, expiration_ms=START_MS + 2_000).order_id
    bench.wait(1_999)
    assert bench.resting("ann") == [order_id]
    bench.drain()
    bench.now_ms += 500
    assert bench.order("bob", ASK, 47, 1).filled_e2 == 0
    (expired, _) = bench.drain(OrderChanged)
    assert (expired.reason, expired.now_ms) == (Reason.EXPIRY, START_MS + 2_000)


def test_expiries_can_be_noticed_late() -> None:
    bench = Bench(options=EngineOptions(expiry_late_ms=700))
    bench.order("ann", BID, 47, 1, expiration_ms=START_MS + 1_000)
    bench.wait(1_699)
    assert len(bench.resting("ann")) == 1
    bench.wait(1)
    assert bench.resting("ann") == []


def test_advance_is_idempotent(bench: Bench) -> None:
    bench.order("ann", BID, 47, 1, expiration_ms=START_MS + 1_000)
    bench.wait(1_000)
    bench.drain()
    bench.wait(0)
    assert bench.drain() == []


# ── refusals of create ──────────────────────────────────────────────────────────────────────────

CREATE_REFUSALS: list[tuple[Callable[[Bench], object], Refusal]] = [
    (lambda b: b.order("ann", BID, 47, 1, ticker="NONE"), NOT_FOUND),
    (lambda b: b.order("nobody", BID, 47, 1), NOT_FOUND),
    (lambda b: b.order("ann", BID, 47, 1, shard=2), NOT_FOUND),
    (lambda b: b.order("ann", BID, 47, 0), (400, "invalid_order_size", None)),
    (lambda b: b.order("ann", BID, 47, -1), (400, "invalid_order_size", None)),
    (lambda b: b.order("ann", BID, 51.5, 1), (400, "invalid_price", None)),
    (
        lambda b: b.order("ann", BID, 47, 1, time_in_force=IOC, expiration_ms=START_MS + 1),
        (400, "invalid_parameters", "Cannot specify both immediate_or_cancel and expiration_ts"),
    ),
    (
        lambda b: b.order("ann", BID, 47, 1, time_in_force=FOK, expiration_ms=START_MS + 1),
        (400, "invalid_parameters", "Cannot specify both fill_or_kill and expiration_ts"),
    ),
    (
        lambda b: b.order("ann", BID, 47, 1, expiration_ms=START_MS),
        (400, "invalid_parameters", "Expiration timestamp must be in the future"),
    ),
    (lambda b: b.order("ann", BID, 99, 10_099), (400, "insufficient_balance", None)),
    (lambda b: b.order("ann", BID, 47, 1, client_order_id="spent"), (409, "order_already_exists", None)),
    (lambda b: b.order("ann", BID, 47, 1, order_group_id="none"), NOT_FOUND),
]


@pytest.mark.parametrize(("create", "expected"), CREATE_REFUSALS)
def test_create_refusals_record_nothing(
    bench: Bench, create: Callable[[Bench], object], expected: Refusal
) -> None:
    bench.cancel("ann", bench.order("ann", BID, 47, 1, client_order_id="spent").order_id)
    before = bench.exchange.orders("ann")
    assert refusal(lambda: create(bench)) == expected
    assert bench.exchange.orders("ann") == before


def test_a_refused_request_does_not_spend_its_client_order_id(bench: Bench) -> None:
    refusal(lambda: bench.order("ann", BID, 51.5, 1, client_order_id="again"))
    assert bench.order("ann", BID, 51, 1, client_order_id="again").remaining_e2 == 100


def test_client_order_ids_are_per_account(bench: Bench) -> None:
    bench.order("ann", BID, 47, 1, client_order_id="same")
    assert bench.order("bob", BID, 47, 1, client_order_id="same").remaining_e2 == 100
