"""F18–F26: cancels that are refused, answered wrongly, late or not at all, in one history each.

A quote is withdrawn by its config item. Each test was seen to fail with the guard that its docstring names taken out.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest

from dora_bot.kill import EVERYTHING, Sweeper
from dora_bot.models import OutcomeKind
from tests.sim import rows
from tests.sim.rows import ALWAYS, A, B
from tests.sim.scene import Scene

NOTICED_MS = 1_000
"""By then the bot has read what a person did."""

SceneOf = Callable[..., Scene]

GONE_MS = 10_000
"""A withdrawn quote is gone by then, although something goes wrong twice; orders live 30 s and longer."""


def withdrawn(world: Scene, ticker: str, within_ms: int = GONE_MS) -> int:
    return rows.until(world, f"{ticker} withdrawn", lambda: not rows.orders(world, ticker), within_ms)


def resting(world: Scene, ticker: str) -> set[str]:
    found = set(rows.orders(world, ticker))
    assert len(found) == 2, f"both sides of {ticker} should rest"
    return found


@pytest.mark.fault("F18")
def test_a_404_for_an_order_that_rests_is_sent_again_with_its_shard(scene: SceneOf) -> None:
    """Guards: 404 on an item is unknown (`_item_error`); cancels carry `exchange_index`."""
    world = scene()
    before = resting(world, B)
    assert {one.exchange_index for one in rows.orders(world, B).values()} == {2}
    rows.strike(world, ("odd/cancel/*", "misrouted", 4))
    rows.withdraw(world, B)
    rows.until(world, "two cancels lost", lambda: rows.hits(world, "odd/cancel/*/misrouted") == 4, GONE_MS)
    assert resting(world, B) == before
    withdrawn(world, B, 3_000)
    sent = rows.cancels(world, before)
    assert len(sent) >= 3
    assert {action.exchange_index for flight in sent for action in flight.actions} == {2}
    lost = [one for one in world.told if one.code == "not_found"]
    assert {one.kind for one in lost} == {OutcomeKind.UNKNOWN}
    rows.settle(world)


@pytest.mark.fault("F19")
def test_an_order_that_lists_keep_showing_after_its_cancel_has_no_second_life(scene: SceneOf) -> None:
    """Guard: a finished order never comes back (`read` in own_orders looks at live orders only)."""
    world = scene()
    before = resting(world, A)
    rows.strike(world, ("lag/*", "stale", ALWAYS))
    rows.withdraw(world, A)
    withdrawn(world, A)
    gone_ms = world.kernel.now_ms
    listed = rows.until(
        world, "the lists without them", lambda: not before & world.venue.account().resting.keys(), 10_000
    )
    assert listed > 400, "no list showed what was cancelled"
    rows.quote(world, A)
    world.quotes_within(15_000)
    rows.wait(world, 10_000)
    assert [one for one in rows.cancels(world, before) if one.sent_ms > gone_ms] == []
    reads = world.trading.runtime.parts.risk.reads  # type: ignore[union-attr]  # it trades
    assert reads >= 5
    assert world.halts() == []
    rows.settle(world)


@pytest.mark.fault("F20")
@pytest.mark.parametrize("kind", ["drop_request", "drop_reply"])
def test_a_cancel_whose_reply_is_lost_is_repeated_until_the_order_is_known_gone(
    scene: SceneOf, kind: str
) -> None:
    """Guard: RECANCEL_AFTER_MS: what is closing is cancelled again (`_cancel_is_due` in order_diff)."""
    world = scene()
    before = resting(world, A)
    rows.strike(world, ("cancel/*", kind, 2), ("user_orders/*", "drop", ALWAYS))
    rows.withdraw(world, A)
    rows.until(world, "two replies lost", lambda: rows.hits(world, f"cancel/*/{kind}") == 2, GONE_MS, 50)
    assert (not rows.orders(world, A)) == (kind == "drop_reply")
    rows.wait(world, 3_000)
    assert not rows.orders(world, A)
    tries = rows.cancels(world, before)
    assert len(tries) >= 3
    assert all(later.sent_ms - earlier.sent_ms >= 1_000 for earlier, later in pairwise(tries))
    rows.quote(world, A)
    world.quotes_within(20_000)
    rows.settle(world)


WRITES = ("cancel/*", "sweep/*.delete*", "sweep/*.put*")
"""Every way of cancelling: the tick's, the kill path's single, batch and account-wide cancels, and its group triggers."""

REFILL = 100
"""Write tokens a second; a cancel costs 2."""


@pytest.mark.fault("F21")
def test_a_halt_is_done_in_time_while_every_cancel_is_answered_429(scene: SceneOf) -> None:
    """Guard: a refused cancel leaves the order resting (`_after_cancel` in own_orders)."""
    world = scene()
    rows.still(world)
    before = resting(world, A) | resting(world, B)
    rows.strike(world, *((places, "too_many", ALWAYS) for places in WRITES))
    rows.halt(world)
    began, told = world.kernel.now_ms, len(world.sent)
    rows.wait(world, 20_000)
    assert set(rows.orders(world)) == before, "nothing was to be had in these 20 s"
    singles = rows.hits(world, "sweep/*.delete_portfolio_events_orders_*-*/too_many")
    assert rows.hits(world, "sweep/*orders_batched/*/too_many") > 0
    ticks = sum(len(flight.actions) for flight in world.sent[told:])
    swept = 2 * singles  # batched and one by one in turn
    assert ticks > 0
    assert swept > 0
    assert 2 * (ticks + swept) <= 20 * REFILL
    rows.strike(world)
    assert world.quiet_ms(30_000 - (world.kernel.now_ms - began)) < 5_000
    assert rows.exposing(world, began + 500) == []


@pytest.mark.fault("F22")
@pytest.mark.parametrize("left", ["sweep/*.put*", "sweep/*.delete_portfolio_events_orders/*"])
def test_a_halt_does_not_need_single_cancels(scene: SceneOf, left: str) -> None:
    """Guards: the group trigger (`groups_after_s` of HALT in kill), and the cancel-all (`account_after_s`)."""
    world = scene()
    rows.still(world)
    resting(world, A)
    resting(world, B)
    failing = [
        "cancel/*", "sweep/*.put*", "sweep/*orders_batched/*", "sweep/*.delete_portfolio_events_orders_*",
        "sweep/*.delete_portfolio_events_orders/*",
    ]  # fmt: skip
    failing.remove(left)
    rows.strike(world, *((places, "status_before", ALWAYS) for places in failing))
    rows.halt(world)
    began = world.kernel.now_ms
    assert world.quiet_ms(15_000) > 0
    assert rows.hits(world, "cancel/*/status_before") > 0
    assert rows.hits(world, "sweep/*/status_before") > 0
    rows.wait(world, 10_000)
    assert rows.exposing(world, began + 500) == []
    assert not rows.orders(world)


@pytest.mark.fault("F24")
def test_a_cancel_all_is_not_believed(scene: SceneOf) -> None:
    """Guard: `_Sweep.run` goes on until two newer reads show nothing, whatever a cancel-all answered."""
    world = scene()
    before = resting(world, A) | resting(world, B)
    refused = ("cancel/*", "sweep/*orders_batched/*")
    rows.strike(world, ("spare/*", "newest", 1), *((places, "status_before", ALWAYS) for places in refused))
    swept = sweeper(world).sweep(30.0, EVERYTHING)
    assert rows.hits(world, "spare/*/newest") == 1, "no order survived"
    assert rows.hits(world, "sweep/*orders_batched/*/status_before") > 0
    assert swept.account_wide
    assert swept.verified
    assert not before & rows.orders(world).keys()
    world.quotes_within(90_000)
    rows.settle(world)


@pytest.mark.fault("F25")
def test_nothing_is_placed_for_a_minute_after_a_cancel_all(scene: SceneOf) -> None:
    """Guard: `HaltsChanged.tail` keeps exposure writes back while the exchange would cancel them again."""
    world = scene()
    resting(world, A)
    began = world.kernel.now_ms
    assert sweeper(world).sweep(30.0, EVERYTHING).account_wide
    rows.wait(world, began + 60_000 - world.kernel.now_ms)
    late = rows.exposing(world, began + NOTICED_MS)
    assert late == [], "the exchange would have cancelled it"
    world.quotes_within(20_000)
    rows.settle(world)


def sweeper(world: Scene) -> Sweeper:
    """What `dora cancel-all` uses."""
    runtime = world.trading.runtime
    assert runtime is not None
    return runtime.parts.sweeper


@pytest.mark.fault("F23")
def test_what_a_cancel_did_not_take_away_counts_as_filled_until_fills_are_read(scene: SceneOf) -> None:
    """Guard: `_after_cancel` in own_orders counts total − reduced_by as reported."""
    world = scene()
    rows.still(world)
    resting(world, B)
    rows.flat_below_a_cap(world, B)
    rows.strike(
        world,
        ("eng/cancel/*.0", "fill_first", 1),
        ("fill/*", "drop", ALWAYS), ("user_orders/*", "drop", ALWAYS), ("lag/*", "stale", ALWAYS),
    )  # fmt: skip
    narrower = rows.narrow(world, B)
    withdrawn(world, B)
    filled = rows.net_e2(world, B)
    assert rows.hits(world, "eng/cancel/*/fill_first") == 1
    assert 0 < filled < 1_000
    rows.widen(world, B, narrower)
    rows.until(world, "a new ask", lambda: rows.orders(world, B), 3_000)
    rows.wait(world, 1_500)
    assert rows.held_e2(world, B) == 0, "the bot knows of no fill"
    assert rows.bids_e2(world, B) <= 1_000 - filled
    rows.until(world, "the fill booked", lambda: rows.held_e2(world, B) == filled, 20_000)
    rows.until(world, "a smaller bid", lambda: rows.bids_e2(world, B), 5_000)
    assert rows.bids_e2(world, B) <= 1_000 - filled
    rows.settle(world)


@pytest.mark.fault("F26")
def test_cancels_after_the_close_are_few_and_the_exchange_ends_the_orders(scene: SceneOf) -> None:
    """Guard: RECANCEL_CLOSED_MS in own_orders; without it one a second is sent."""
    world = scene()
    rows.still(world)
    before = resting(world, A)
    engine, begun = world.venue.engine, world.kernel.now_ms
    rows.strike(world, ("market_lifecycle_v2/*", "drop", ALWAYS))
    world.venue.step(lambda now: engine.set_close(A, now + 1, now))
    rows.withdraw(world, A)
    rows.until(world, "the exchange's own cancel", lambda: not rows.orders(world, A), 60_000)
    refused = [one for one in world.told if one.code == "market_inactive"]
    assert refused
    sent = rows.cancels(world, before)
    assert all(later.sent_ms - earlier.sent_ms >= 10_000 for earlier, later in pairwise(sent))
    assert {engine.order(one).reason.value for one in before} == {"CloseCancel"}
    rows.wait(world, 10_000)
    assert rows.exposing(world, begun + 5_000, A) == []
    assert world.halts() == []
    rows.settle(world)
