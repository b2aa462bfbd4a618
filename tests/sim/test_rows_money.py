"""F41–F45, F47: fills that come late, by pages or not at all, positions that lag, and a result that changes, in one history each.

Each test was seen to fail with the guard that its docstring names taken out.
"""

from collections.abc import Callable

import pytest

from dora_bot.models import Side
from dora_bot.paper.grids import DECI_CENT, GRIDS
from dora_bot.paper.specs import FillView, OrderRequest
from dora_bot.views import View
from tests.sim import rows
from tests.sim.rows import ALWAYS, A, B
from tests.sim.scene import Scene
from tests.sim.venue import BOT, HOUSE

SceneOf = Callable[..., Scene]

READ_MS = 10_000
"""Two reads of the account (FAULTS B10)."""

UNSAID = ("fill/*", "drop", ALWAYS), ("user_orders/*", "drop", ALWAYS)
"""The private channels tell nothing."""


def fills(world: Scene) -> list[FillView]:
    return world.venue.engine.fills(BOT)


def view(world: Scene) -> View:
    runtime = world.trading.runtime
    assert runtime is not None
    assert runtime.parts.bot.published is not None
    return runtime.parts.bot.published


def booked(world: Scene, ticker: str, within_ms: int = READ_MS) -> int:
    """Wait until the bot believes to hold what the account holds. Returns how long it took."""
    return rows.until(
        world, "booked", lambda: rows.held_e2(world, ticker) == rows.net_e2(world, ticker), within_ms
    )


FILLS = 250
"""The thousands of the catalogue are read in the unit tests; here a page holds a hundred."""


@pytest.mark.fault("F41")
def test_fills_that_come_by_moving_pages_are_all_booked_and_pages_that_go_round_are_none(
    scene: SceneOf,
) -> None:
    """Guard: `KalshiClient._pages` takes each row once, and raises for a cursor that goes round."""
    world = scene()
    rows.still(world)
    rows.strike(world, *UNSAID, ("odd/fills/*", "loop", 3), ("odd/fills/*", "shift", ALWAYS))
    before, made = rows.held_e2(world, A), len(fills(world))
    while len(fills(world)) < made + FILLS:
        rows.fill(world, A, Side.BID, 1)
    rows.until(world, "lists that go round", lambda: rows.hits(world, "odd/fills/*/loop") == 3, 30_000)
    assert rows.held_e2(world, A) == before, "a listing that goes round for ever is none"
    booked(world, A)
    assert rows.hits(world, "odd/fills/*/shift") > 0
    assert rows.held_e2(world, A) == before + FILLS
    assert world.halts() == []
    rows.settle(world)


@pytest.mark.fault("F42")
def test_a_fill_long_after_its_cancel_is_booked_on_the_order_that_ended(scene: SceneOf) -> None:
    """Guard: TOMBSTONE_MS: finished orders are kept (`OrderStore.bury`)."""
    world = scene()
    rows.still(world)
    rows.both_sides(world, A)
    bid = rows.order(world, A, Side.BID)
    rows.withdraw(world, A)
    rows.until(world, "the cancel", lambda: not rows.orders(world, A), 10_000)
    rows.wait(world, 90_000)
    before = rows.net_e2(world, A)
    world.venue.fill_late(bid, 300)
    assert rows.net_e2(world, A) == before + 300
    booked(world, A)
    state = world.trading.state
    assert state is not None
    known = state.orders.find(bid.client_order_id, "")
    assert known is not None
    assert known.booked_e2 == bid.filled_e2 + 300
    assert not known.live
    rows.quote(world, A)
    world.quotes_within(20_000)
    assert world.halts() == []
    rows.settle(world)


@pytest.mark.fault("F43")
def test_positions_that_lag_are_no_reason_to_doubt_or_to_trade(scene: SceneOf) -> None:
    """Guard: `Reconciler._positions` believes a difference only in a second read."""
    world = scene()
    rows.still(world)
    rows.both_sides(world, B)
    rows.strike(world, ("odd/positions/*", "old", ALWAYS))
    before, told = len(fills(world)), world.judge.counts["positions told otherwise"]
    for turn in range(8):
        rows.fill(world, B, Side.BID if turn % 2 else Side.ASK, 100)
        until_ms = world.kernel.now_ms + 11_300
        while world.kernel.now_ms < until_ms:
            assert rows.orders(world, B), "the market was frozen"
            rows.wait(world, 100)
    assert world.judge.counts["positions told otherwise"] > told
    assert len(fills(world)) == before + 8, "a correction was traded"
    assert world.halts() == []
    rows.settle(world)


@pytest.mark.fault("F44")
def test_a_position_that_no_fill_explains_freezes_its_market_and_halts_after_a_minute(
    scene: SceneOf,
) -> None:
    """Guard: `Reconciler._positions` holds the exchange's positions against ours."""
    world = scene()
    rows.both_sides(world, A)
    world.venue.flows[0].running = False
    rows.wait(world, 10_000)
    rows.strike(world, *UNSAID, ("odd/fills/*", "empty", ALWAYS))
    world.venue.flows[1].running = False
    rows.fill(world, A, Side.ASK, 300)
    rows.until(world, "A withdrawn", lambda: not rows.orders(world, A), 13_000)
    assert len(rows.orders(world, B)) == 2, "the others go on"
    frozen_ms = world.kernel.now_ms
    rows.until(world, "a halt", world.halts, 75_000)
    assert rows.exposing(world, frozen_ms, A) == []
    assert any("mismatch" in reason for reason in world.halts())
    assert world.quiet_ms(5_000) > 0
    rows.strike(world)
    booked(world, A)
    world.resume()
    world.quotes_within(30_000)
    rows.settle(world)


@pytest.mark.fault("F45")
def test_a_hundredth_of_a_contract_and_a_millionth_of_a_dollar_are_booked_exactly(scene: SceneOf) -> None:
    """Guard: fees are what the exchange charged for each fill (`apply_fill`), rebates included."""
    world = scene()
    rows.still(world)
    engine = world.venue.engine
    world.venue.step(lambda now: engine.change_grid(B, GRIDS[DECI_CENT], DECI_CENT, now))
    better = OrderRequest(B, Side.ASK, rows.order(world, B, Side.ASK).price_e4 - 30, 5_000)
    world.venue.step(lambda now: engine.create(HOUSE, better, now))
    rows.until(world, "a finer price", lambda: rows.order(world, B, Side.ASK).price_e4 % 100, 20_000)
    before = len(fills(world))
    for side in Side:
        for count_e2 in (1, 1, 1, 777, 1, 1, 1):
            rows.both_sides(world, B)
            rows.fill(world, B, side, count_e2)
            rows.wait(world, 2_000)
    charged = [(one.order_id, one.price_e4, one.count_e2, one.fee_e6) for one in fills(world)[before:]]
    assert len(charged) == 14
    assert any(fee % 100 for *_, fee in charged), "no fee had six decimals"
    assert len(set(charged)) > len({one[:3] for one in charged}), "nothing was given back"
    rows.settle(world)


@pytest.mark.fault("F47")
def test_a_result_that_is_disputed_and_changed_is_booked_when_it_is_paid(scene: SceneOf) -> None:
    """Guard: cash moves by the exchange's settlements only (`book_settlement`), not by a result."""
    world = scene()
    rows.still(world)
    rows.both_sides(world, A)
    rows.fill(world, A, Side.BID, 400)
    booked(world, A)
    held, engine = rows.net_e2(world, A), world.venue.engine
    assert held
    decided_ms = world.kernel.now_ms
    for change in (
        lambda now: engine.determine(A, "yes", now),
        lambda now: engine.dispute(A, now),
        lambda now: engine.amend_result(A, "scalar", now, value_e4=5_000),
    ):
        world.venue.step(change)
        rows.wait(world, 50_000)
        assert rows.net_e2(world, A) == held, "it was paid already"
        assert rows.held_e2(world, A) == held
        assert view(world).markets[A].worst_loss_e6 > 0, "the position counts until it is paid"
    assert rows.exposing(world, decided_ms + 5_000, A) == []
    rows.until(world, "the payment", lambda: not rows.net_e2(world, A), 20_000)
    booked(world, A, 20_000)
    assert world.halts() == []
    assert [one.value_e4 for one in engine.settlements(BOT)] == [5_000]
    rows.settle(world)
