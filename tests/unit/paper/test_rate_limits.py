"""Token buckets to the last token, with a clock that the test moves."""

import pytest

from dora_bot.paper.rate_limits import (
    BALANCE,
    EVERY_WRITE_BUCKET,
    READ,
    TIERS,
    WRITE,
    AccountBuckets,
    endpoint_cost,
    shard_bucket,
)

T0 = 1_781_159_348_000


def spend(buckets: AccountBuckets, name: str, cost: int, now: int) -> int:
    """How many calls of this cost go through at one instant."""
    calls = 0
    while buckets.take([name], cost, now):
        calls += 1
    return calls


@pytest.mark.parametrize(
    ("tier", "read", "write"),
    [
        ("basic", 60, 10),
        ("advanced", 90, 90),
        ("expert", 60, 180),
        ("premier", 120, 360),
        ("prestige", 1_200, 2_880),
    ],
)
def test_a_full_bucket_is_its_documented_capacity(tier: str, read: int, write: int) -> None:
    buckets = AccountBuckets(TIERS[tier])
    assert spend(buckets, READ, 10, T0) == read
    assert spend(buckets, WRITE, 10, T0) == write


def test_refill_is_continuous_and_exact() -> None:
    buckets = AccountBuckets(TIERS["basic"])
    assert spend(buckets, WRITE, 10, T0) == 10
    assert not buckets.take([WRITE], 10, T0 + 99)
    assert buckets.take([WRITE], 10, T0 + 100)
    assert spend(buckets, WRITE, 2, T0 + 300) == 10
    assert spend(buckets, WRITE, 10, T0 + 60_000) == 10


def test_a_refused_call_costs_nothing() -> None:
    buckets = AccountBuckets(TIERS["basic"])
    assert not buckets.take([WRITE], 101, T0)
    assert buckets.take([WRITE], 100, T0)


def test_several_buckets_are_billed_all_or_none() -> None:
    buckets = AccountBuckets(TIERS["basic"])
    assert buckets.take([shard_bucket(2)], 100, T0)
    assert not buckets.take(EVERY_WRITE_BUCKET, 10, T0)
    assert buckets.take([WRITE], 100, T0)
    assert buckets.take(EVERY_WRITE_BUCKET, 10, T0 + 100)


def test_each_shard_has_a_full_budget_and_shard_0_is_the_unscoped_one() -> None:
    buckets = AccountBuckets(TIERS["basic"])
    assert shard_bucket(0) == WRITE
    assert [spend(buckets, shard_bucket(shard), 10, T0) for shard in range(4)] == [10, 10, 10, 10]


@pytest.mark.parametrize(("tier", "wait_ms"), [("basic", 1_000), ("premier", 200)])
def test_balance_has_a_bucket_of_its_own_without_burst(tier: str, wait_ms: int) -> None:
    buckets = AccountBuckets(TIERS[tier])
    assert spend(buckets, BALANCE, 10, T0) == 1
    assert not buckets.take([BALANCE], 10, T0 + wait_ms - 1)
    assert spend(buckets, BALANCE, 10, T0 + wait_ms) == 1
    assert buckets.levels(T0 + wait_ms)[READ] == buckets.tier.read_capacity


def test_a_clock_that_steps_back_gives_nothing() -> None:
    buckets = AccountBuckets(TIERS["basic"])
    assert buckets.take([WRITE], 100, T0)
    assert not buckets.take([WRITE], 1, T0 - 5_000)


def test_costs_of_the_published_list() -> None:
    assert endpoint_cost("POST", "/portfolio/events/orders") == 10
    assert endpoint_cost("DELETE", "/portfolio/events/orders/{order_id}") == 2
    assert endpoint_cost("POST", "/portfolio/events/orders/{order_id}/amend") == 10
    assert endpoint_cost("GET", "/portfolio/orders/{order_id}") == 2


def test_the_limits_reply_is_the_recorded_shape() -> None:
    assert AccountBuckets(TIERS["basic"]).limits_body() == {
        "grants": [],
        "read": {"bucket_capacity": 600, "refill_rate": 200},
        "usage_tier": "basic",
        "write": {"bucket_capacity": 100, "refill_rate": 100},
    }
