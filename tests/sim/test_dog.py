"""One history each: the watchdog on another machine, beside a bot that lives and one that does not (FAULTS B06, I26)."""

from pathlib import Path

from dora_bot.paper.specs import AmendRequest
from tests.sim.scene import Scene
from tests.sim.venue import BOT

QUOTING_MS = 20_000
LONGEST_MS = 54_000
GOAL_MS = 45_000
"""Half a minute without a sign of life, two looks, a sweep: before the last order expires by itself."""


def outlive(world: Scene) -> None:
    """The orders expire as late as those of a bot with many markets."""
    engine = world.venue.engine
    for flow in world.venue.flows:
        flow.running = False
    world.until(world.kernel.now_ms + 3_000)
    expiration_ms = (world.venue.now_ms + LONGEST_MS) // 1_000 * 1_000
    for order in list(world.venue.account().resting.values()):
        total_e2 = order.filled_e2 + order.remaining_e2
        change = AmendRequest(
            order.order_id, order.ticker, order.side, order.price_e4, total_e2,
            expiration_ms=expiration_ms, shard=order.exchange_index,
        )  # fmt: skip
        world.venue.step(lambda now, change=change: engine.amend(BOT, change, now))  # type: ignore[misc]  # bound now


def test_the_watchdog_cancels_what_a_dead_bot_left_behind(tmp_path: Path) -> None:
    world = Scene(tmp_path, dog=True)
    world.until(QUOTING_MS)
    world.hosts[0].stays_down = True
    world.kill(world.trading)
    outlive(world)
    assert world.quiet_ms(GOAL_MS) > 0
    assert world.dog is not None
    assert world.dog.trips == 1
    world.close()


def test_the_watchdog_leaves_a_bot_alone_that_quotes_for_ten_minutes(tmp_path: Path) -> None:
    world = Scene(tmp_path, dog=True)
    world.until(600_000)
    assert world.resting
    assert world.dog is not None
    assert world.dog.trips == 0
    world.close()
