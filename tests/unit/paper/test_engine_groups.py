"""Order groups: the rolling 15-second cap, triggering, resetting, limits, shards."""

from collections.abc import Callable

import pytest

from dora_bot.paper.events import GroupEvent, GroupKind
from tests.fakes.paper_bench import ASK, BID, IOC, Bench, Refusal, refusal

TRIGGERED = (400, "exceeded_order_group_risk_limit", None)
NOT_FOUND = (404, "not_found", None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def group(bench: Bench) -> str:
    """A group of ``ann`` on shard 0 with a limit of 10 contracts."""
    return bench.exchange.create_group("ann", 1_000, bench.now_ms).group_id


def quote(bench: Bench, group: str, cents: float, contracts: float) -> str:
    return bench.order("ann", BID, cents, contracts, order_group_id=group).order_id


def hit(bench: Bench, contracts: float) -> int:
    return bench.order("bob", ASK, 1, contracts, time_in_force=IOC).filled_e2


def test_reaching_the_limit_cancels_all_and_refuses_new_orders(bench: Bench, group: str) -> None:
    quote(bench, group, 47, 10)
    other = quote(bench, group, 46, 5)
    free = bench.order("ann", BID, 45, 5).order_id
    bench.drain()
    assert hit(bench, 12) == 1_200  # 10 in the group, then the order outside it
    assert bench.resting("ann") == [free]
    assert bench.view(other).filled_e2 == 0
    assert bench.exchange.group("ann", group).triggered
    assert refusal(lambda: quote(bench, group, 40, 1)) == TRIGGERED
    assert bench.order("ann", BID, 40, 1).remaining_e2 == 100
    (event,) = bench.drain(GroupEvent)
    assert (event.account, event.group_id, event.kind) == ("ann", group, GroupKind.TRIGGERED)


def test_the_rest_of_the_order_that_reached_the_limit_goes_too(bench: Bench, group: str) -> None:
    order_id = quote(bench, group, 47, 25)
    assert hit(bench, 10) == 1_000
    assert bench.view(order_id).remaining_e2 == 0
    assert bench.bids() == []


def test_a_taker_stops_when_its_group_triggers(bench: Bench, group: str) -> None:
    bench.order("bob", ASK, 47, 10)
    bench.order("bob", ASK, 48, 10)
    receipt = bench.order("ann", BID, 50, 20, order_group_id=group)
    assert (receipt.filled_e2, receipt.remaining_e2) == (1_000, 0)


def test_matches_older_than_15_seconds_do_not_count(bench: Bench, group: str) -> None:
    quote(bench, group, 47, 30)
    hit(bench, 9)
    bench.wait(15_000)
    hit(bench, 9)
    assert not bench.exchange.group("ann", group).triggered
    bench.wait(14_999)
    hit(bench, 1)
    assert bench.exchange.group("ann", group).triggered


def test_reset_zeroes_the_counter_and_lets_orders_in(bench: Bench, group: str) -> None:
    quote(bench, group, 47, 10)
    hit(bench, 10)
    bench.exchange.reset_group("ann", group, bench.now_ms)
    quote(bench, group, 47, 9)
    hit(bench, 9)
    assert not bench.exchange.group("ann", group).triggered


def test_trigger_by_hand(bench: Bench, group: str) -> None:
    quote(bench, group, 47, 5)
    bench.exchange.trigger_group("ann", group, bench.now_ms)
    assert bench.resting("ann") == []
    assert refusal(lambda: quote(bench, group, 47, 5)) == TRIGGERED


def test_delete_cancels_its_orders_and_forgets_it(bench: Bench, group: str) -> None:
    quote(bench, group, 47, 5)
    bench.drain()
    bench.exchange.delete_group("ann", group, bench.now_ms)
    assert bench.resting("ann") == []
    assert bench.exchange.groups("ann") == []
    assert [event.kind for event in bench.drain(GroupEvent)] == [GroupKind.DELETED]
    assert refusal(lambda: quote(bench, group, 47, 5)) == NOT_FOUND


def test_a_lower_limit_may_trigger_at_once(bench: Bench, group: str) -> None:
    quote(bench, group, 47, 9)
    hit(bench, 5)
    bench.drain()
    bench.exchange.set_group_limit("ann", group, 600, bench.now_ms)
    assert not bench.exchange.group("ann", group).triggered
    bench.exchange.set_group_limit("ann", group, 500, bench.now_ms)
    assert bench.exchange.group("ann", group).triggered
    assert [(event.kind, event.limit_e2) for event in bench.drain(GroupEvent)] == [
        (GroupKind.LIMIT_UPDATED, 600),
        (GroupKind.LIMIT_UPDATED, 500),
        (GroupKind.TRIGGERED, None),
    ]


def test_the_view_names_limit_and_resting_orders(bench: Bench, group: str) -> None:
    orders = (quote(bench, group, 47, 5), quote(bench, group, 46, 5))
    view = bench.exchange.group("ann", group)
    assert (view.limit_e2, view.order_ids, view.exchange_index, view.triggered) == (1_000, orders, 0, False)


REFUSALS: list[tuple[Callable[[Bench, str], object], Refusal]] = [
    (lambda b, g: b.exchange.reset_group("ann", g, b.now_ms, shard=2), NOT_FOUND),
    (lambda b, g: b.exchange.trigger_group("bob", g, b.now_ms), NOT_FOUND),
    (lambda b, _: b.exchange.delete_group("ann", "none", b.now_ms), NOT_FOUND),
    (lambda b, g: b.exchange.group("bob", g), NOT_FOUND),
    (lambda b, g: b.order("ann", BID, 40, 1, ticker="M2", order_group_id=g), NOT_FOUND),
    (lambda b, g: b.order("bob", BID, 40, 1, order_group_id=g), NOT_FOUND),
    (
        lambda b, g: b.exchange.set_group_limit("ann", g, 99, b.now_ms),
        (400, "invalid_parameters", "contracts limit must be between 1 and 1000000"),
    ),
    (
        lambda b, _: b.exchange.create_group("ann", 100_000_001, b.now_ms),
        (400, "invalid_parameters", "contracts limit must be between 1 and 1000000"),
    ),
]


@pytest.mark.parametrize(("call", "expected"), REFUSALS)
def test_group_refusals(
    bench: Bench, group: str, call: Callable[[Bench, str], object], expected: Refusal
) -> None:
    assert refusal(lambda: call(bench, group)) == expected
