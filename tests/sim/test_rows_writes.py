"""F06, F09: creates that are said to exist, or to be too dear, in one history each.

Each test was seen to fail with the guard that its docstring names taken out.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest

from dora_bot.models import OutcomeKind
from tests.sim import rows
from tests.sim.rows import ALWAYS, A, B
from tests.sim.scene import Scene

SceneOf = Callable[..., Scene]

RESOLVED_MS = 40_000
"""What is unknown is known by then (FAULTS B04)."""


def withdrawn(world: Scene) -> int:
    """A is not quoted any more. Returns the moment."""
    rows.both_sides(world, A)
    rows.both_sides(world, B)
    rows.withdraw(world, A)
    rows.until(world, "A withdrawn", lambda: not rows.orders(world, A), 10_000)
    return world.kernel.now_ms


@pytest.mark.fault("F06")
def test_a_create_said_to_exist_already_is_looked_up_and_adopted(scene: SceneOf) -> None:
    """Guard: `order_already_exists` is not a refusal (`_REFUSING_CODES` in kalshi_outcomes)."""
    world = scene()
    rows.still(world)
    begun_ms = withdrawn(world)
    rows.strike(world, ("odd/create/*", "twice", 2), ("user_orders/*", "drop", ALWAYS))
    rows.quote(world, A)
    rows.until(world, "both exist", lambda: rows.hits(world, "odd/create/*/twice") == 2, 10_000)
    rows.both_sides(world, A)
    state = world.trading.state
    assert state is not None
    rows.until(world, "adopted", lambda: not any(o.in_doubt for o in state.orders.live()), RESOLVED_MS)
    told = [one for one in world.told if one.exists]
    assert [one.kind for one in told] == [OutcomeKind.UNKNOWN] * 2
    assert {one.order_id for one in state.orders.of_market(A)} == rows.orders(world, A).keys()
    assert len(rows.exposing(world, begun_ms, A)) == 1, "nothing was sent while it was in doubt"
    rows.settle(world)


@pytest.mark.fault("F09")
def test_a_create_refused_for_want_of_cash_that_is_there_is_seldom_tried_again(scene: SceneOf) -> None:
    """Guard: `_LONG` in refusals: such a market rests for half a minute."""
    world = scene()
    rows.still(world)
    begun_ms = withdrawn(world)
    rows.strike(world, ("odd/create/*", "poor", ALWAYS))
    rows.quote(world, A)
    rows.until(world, "a refusal", lambda: rows.hits(world, "odd/create/*/poor"), 10_000)
    reads = world.counts["read/a.risk.balance"]
    rows.wait(world, 100_000)
    assert {one.kind for one in world.told if one.code == "insufficient_balance"} == {OutcomeKind.REFUSED}
    tries = [flight.sent_ms for flight in rows.exposing(world, begun_ms, A)]
    assert 3 <= len(tries) <= 4
    assert all(later - earlier >= 30_000 for earlier, later in pairwise(tries))
    assert world.counts["read/a.risk.balance"] >= reads + 10, "the balance was not read again"
    assert len(rows.orders(world, B)) == 2, "the others go on"
    rows.strike(world)
    world.quotes_within(40_000)
    assert world.halts() == []
    rows.settle(world)
