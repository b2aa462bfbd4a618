"""The lease: one holder, counted on its own clock; whoever slept through it can write nothing."""

import pytest

from dora_bot.dynamo import ConditionFailed, Dynamo
from dora_bot.errors import LeaseLost, StoreError
from dora_bot.items import STATE
from dora_bot.lease import RENEW_MS, TERM_MS, Lease
from tests.fakes.aws import FaultyProxy
from tests.fakes.manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def write_as_holder(db: Dynamo, lease: Lease) -> None:
    """A write that demands the lease, as every booking does."""
    grip = lease.grip
    db.transact([db.check_action(STATE, {"key": grip.key}, grip.condition)])


def test_the_first_holder_gets_a_term_and_renewals_extend_it(db: Dynamo, clock: ManualClock) -> None:
    lease = Lease(db, "paper", "one")
    assert lease.margin_ms(clock.now()) < 0
    assert lease.acquire(clock.now())
    assert lease.margin_ms(clock.now()) == TERM_MS
    lease.step(clock.advance(RENEW_MS - 1))
    assert lease.margin_ms(clock.now()) == TERM_MS - RENEW_MS + 1
    lease.step(clock.advance(1))
    assert lease.margin_ms(clock.now()) == TERM_MS
    write_as_holder(db, lease)


def test_another_instance_is_turned_away_as_soon_as_the_holder_renews(db: Dynamo, clock: ManualClock) -> None:
    holder, other = Lease(db, "paper", "one"), Lease(db, "paper", "two")
    holder.acquire(clock.now())
    assert not other.acquire(clock.now())
    assert not other.acquire(clock.advance(RENEW_MS - 1))
    holder.step(clock.advance(1))
    with pytest.raises(LeaseLost, match="instance one, which is alive"):
        other.acquire(clock.now())


def test_a_dead_holders_lease_is_taken_after_a_watched_term_with_a_higher_fence(
    db: Dynamo, clock: ManualClock
) -> None:
    dead, heir = Lease(db, "paper", "one"), Lease(db, "paper", "two")
    dead.acquire(clock.now())
    assert not heir.acquire(
        clock.advance(60_000)
    )  # however old it looks: the watch begins with the first look
    assert not heir.acquire(clock.advance(TERM_MS))
    assert dead.margin_ms(clock.now()) < 0
    assert heir.acquire(clock.advance(2_000))
    assert heir.grip.fence == dead.grip.fence + 1
    write_as_holder(db, heir)


def test_a_holder_that_slept_books_nothing_and_learns_that_it_lost(db: Dynamo, clock: ManualClock) -> None:
    sleeper, heir = Lease(db, "paper", "one"), Lease(db, "paper", "two")
    sleeper.acquire(clock.now())
    heir.acquire(clock.now())
    heir.acquire(clock.advance(40_000))
    assert sleeper.margin_ms(clock.now()) < 0
    with pytest.raises(ConditionFailed):
        write_as_holder(db, sleeper)
    with pytest.raises(LeaseLost, match="taken by another instance since fence 1"):
        sleeper.step(clock.now())
    with pytest.raises(LeaseLost):
        _ = sleeper.grip
    assert sleeper.margin_ms(clock.now()) < 0


def test_the_same_instance_retakes_its_own_lease_at_once_with_a_new_fence(
    db: Dynamo, clock: ManualClock
) -> None:
    before = Lease(db, "paper", "one")
    before.acquire(clock.now())
    again = Lease(db, "paper", "one")
    assert again.acquire(clock.now())
    assert again.grip.fence == before.grip.fence + 1
    with pytest.raises(ConditionFailed):
        write_as_holder(db, before)


def test_a_released_lease_is_free_at_once_and_the_fence_goes_on(db: Dynamo, clock: ManualClock) -> None:
    first, second = Lease(db, "paper", "one"), Lease(db, "paper", "two")
    first.acquire(clock.now())
    first.release()
    assert first.margin_ms(clock.now()) < 0
    assert second.acquire(clock.now())
    assert second.grip.fence == 2
    with pytest.raises(LeaseLost):
        first.release()


def test_the_fence_never_falls_even_if_somebody_deleted_the_item(db: Dynamo, clock: ManualClock) -> None:
    lease = Lease(db, "paper", "one", fence_floor=41)
    lease.acquire(clock.now())
    assert lease.grip.fence == 42


def test_two_leases_of_different_names_do_not_meet(db: Dynamo, clock: ManualClock) -> None:
    assert Lease(db, "a", "one").acquire(clock.now())
    assert Lease(db, "b", "two").acquire(clock.now())


def test_while_dynamodb_is_away_the_margin_shrinks_and_the_next_second_tries_again(
    faulty_db: Dynamo, proxy: FaultyProxy, clock: ManualClock
) -> None:
    lease = Lease(faulty_db, "paper", "one")
    lease.acquire(clock.now())
    proxy.fault = lambda _operation: "refuse"
    with pytest.raises(StoreError):
        lease.step(clock.advance(RENEW_MS))
    calls = len(proxy.seen)
    lease.step(clock.advance(500))
    assert len(proxy.seen) == calls
    with pytest.raises(StoreError):
        lease.step(clock.advance(500))
    assert lease.margin_ms(clock.now()) == TERM_MS - RENEW_MS - 1_000
    proxy.fault = lambda _operation: ""
    lease.step(clock.advance(300_000))
    assert lease.margin_ms(clock.now()) == TERM_MS


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_a_lost_reply_neither_loses_the_lease_nor_takes_it_twice(
    db: Dynamo, proxy: FaultyProxy, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    retrying = Dynamo.connect(db.prefix, attempts=2)
    lost: list[str] = []

    def lose_one(called: str) -> str:
        if called == operation and not lost:
            lost.append(called)
            return "drop_reply"
        return ""

    proxy.fault = lose_one
    lease = Lease(retrying, "paper", "one")
    assert lease.acquire(clock.now())
    lease.step(clock.advance(RENEW_MS))
    assert lost == [operation]
    assert lease.grip.fence == 1
    assert lease.margin_ms(clock.now()) == TERM_MS
    write_as_holder(db, lease)
    retrying.close()


def test_one_that_stands_by_watches_on_while_the_holder_lives_and_takes_over_within_a_term_and_a_bit(
    db: Dynamo,
) -> None:
    clock = ManualClock()
    holder, heir = Lease(db, "paper", "holder"), Lease(db, "paper", "heir")
    holder.acquire(clock.now())
    died = clock.now().mono_ms
    for _ in range(60):
        assert not heir.acquire(clock.advance(1_000), stand_by=True)
        holder.step(clock.now())
        died = clock.now().mono_ms
    while not heir.acquire(clock.advance(1_000), stand_by=True):
        assert clock.now().mono_ms - died < 20_000
    with pytest.raises(LeaseLost):
        holder.step(clock.advance(RENEW_MS))
