"""One history each: what becomes of the orders when processes, threads, clocks and the database fail (FAULTS 4.6, 4.7)."""

from collections.abc import Callable

import pytest

from dora_bot.exit_codes import ExitCode
from dora_bot.items import MARKET_CONFIG
from tests.sim import rows
from tests.sim.rows import QUOTING_MS
from tests.sim.scene import Scene
from tests.sim.stores import TICKERS, market_item
from tests.sim.tables import PREFIX

SceneOf = Callable[..., Scene]


# ── two instances ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("F55")
def test_an_instance_that_slept_through_its_lease_sends_nothing_and_the_other_trades(scene: SceneOf) -> None:
    world = scene(twin=True)
    sleeper = world.trading
    assert world.resting
    world.pause(sleeper.process, 40_000)
    world.until(QUOTING_MS + 39_000)
    taker = next(life for life in world.lives if life.host is not sleeper.host)
    assert taker.ticking
    ticks, sent = sleeper_ticks(sleeper), world.judge.counts["outcome accepted"]
    world.until(QUOTING_MS + 60_000)
    assert sleeper.code is ExitCode.LEASE
    assert sleeper_ticks(sleeper) > ticks
    assert world.judge.counts["outcome accepted"] > sent
    world.quotes_within(5_000)


def sleeper_ticks(life: object) -> int:
    return life.runtime.parts.bot.ticks  # type: ignore[attr-defined,no-any-return]  # a life that was started


def test_only_one_of_two_instances_ever_trades_and_the_other_takes_over_from_a_dead_one(
    scene: SceneOf,
) -> None:
    world = scene(twin=True)
    dead = world.trading
    dead.host.stays_down = True
    world.kill(dead)
    world.until(QUOTING_MS + 60_000)
    assert world.trading.host is not dead.host
    world.quotes_within(5_000)


# ── a process ends ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("F60")
def test_a_killed_bot_that_never_comes_back_leaves_no_order_after_a_minute(scene: SceneOf) -> None:
    world = scene()
    world.hosts[0].stays_down = True
    world.kill(world.trading)
    assert world.quiet_ms(60_000) > 0


@pytest.mark.fault("F60")
@pytest.mark.parametrize("away_ms", [2_000, 60_000])
def test_a_killed_bot_that_comes_back_finds_its_orders_and_quotes_again(scene: SceneOf, away_ms: int) -> None:
    world = scene()
    assert world.resting
    host = world.hosts[0]
    host.stays_down = True
    world.kill(world.trading)
    world.until(QUOTING_MS + away_ms)
    host.stays_down = False
    host.start()
    world.until(world.kernel.now_ms + 1_000)
    world.quotes_within(90_000)
    assert world.trading.number == 2


@pytest.mark.fault("F60")
def test_a_start_waits_for_reads_that_show_what_the_process_before_it_did(scene: SceneOf) -> None:
    """Guard: `Runtime.first_read`; the lists that lie behind lack the quotes that were placed last."""
    world = scene()
    rows.withdraw(world, *TICKERS)
    rows.until(world, "no order", lambda: not world.resting, 30_000)
    rows.strike(world, ("lag/*", "stale", rows.ALWAYS))
    rows.quote(world, *TICKERS)
    rows.until(world, "the quotes again", lambda: world.resting, 30_000)
    host = world.hosts[0]
    host.stays_down = True
    world.kill(world.trading)
    rows.wait(world, 1_000)
    host.stays_down = False
    host.start()
    assert not rows.orders(world).keys() & world.venue.account().resting.keys(), "the lists show the quotes"
    world.until(world.kernel.now_ms + 30_000)
    world.quotes_within(5_000)


@pytest.mark.fault("F59")
def test_a_stop_in_the_middle_of_a_batch_create_leaves_no_order_within_three_seconds(scene: SceneOf) -> None:
    world = scene()
    life = world.trading
    while not any(flight.place.startswith("create/") for flight in world.flights):
        world.until(world.kernel.now_ms + 1)
        assert world.kernel.now_ms < 300_000, "nothing was ever created"
    world.ask_to_stop(life)
    assert world.quiet_ms(3_000) > 0
    world.until(world.kernel.now_ms + 20_000)
    assert life.code is ExitCode.DONE


@pytest.mark.fault("F61")
def test_a_process_that_stood_still_sends_nothing_that_it_decided_before(scene: SceneOf) -> None:
    world = scene()
    ticks = world.ticks
    world.pause(world.trading.process, 20_000)
    world.until(QUOTING_MS + 20_000)
    assert world.ticks == ticks
    world.until(QUOTING_MS + 21_000)
    assert 0 < world.ticks - ticks <= 10
    world.quotes_within(15_000)


# ── a thread ends or hangs ──────────────────────────────────────────────────────────────────────


def raise_unexpectedly() -> None:
    raise LookupError("nobody foresaw this")


@pytest.mark.fault("F62")
@pytest.mark.parametrize("how", ["dies", "hangs", "repeats itself"])
def test_a_risk_thread_that_fails_is_noticed_and_halts(scene: SceneOf, how: str) -> None:
    world = scene()
    risk = world.trading.runtime.parts.risk  # type: ignore[union-attr]  # it trades
    if how == "dies":
        risk.halts = raise_unexpectedly
    elif how == "hangs":
        risk.halts = lambda: world.kernel.sleep_until(10**9)
    else:
        view = risk.published()
        risk.published = lambda: view
    world.quiet_ms(3_000 + 5_000)
    assert world.halts()


@pytest.mark.fault("F63")
def test_a_feed_that_ended_is_noticed_within_three_seconds(scene: SceneOf) -> None:
    world = scene()
    feed = world.trading.feed
    assert feed is not None
    feed.alive = feed.up = False
    world.quiet_ms(3_000 + 5_000)
    assert "the feed thread died" in world.halts()


# ── the database ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("F53")
@pytest.mark.parametrize("kind", ["throttle", "error_before", "hang_before"])
def test_five_minutes_without_dynamodb_stop_the_quotes_and_lose_nothing(scene: SceneOf, kind: str) -> None:
    world = scene()
    line = world.hosts[0].line
    line.down = kind
    world.until(QUOTING_MS + 30_000)
    assert world.resting == 0
    world.until(QUOTING_MS + 300_000)
    line.down = ""
    world.quotes_within(10_000)
    assert world.trading.number == 1


@pytest.mark.fault("F54")
@pytest.mark.parametrize("operation", ["put_item", "update_item", "transact_write_items"])
def test_a_write_whose_reply_was_lost_is_recognised_as_the_own_one(scene: SceneOf, operation: str) -> None:
    world = scene(f"ddb/a.{operation}/n=1.0/error_after")
    world.until(60_000)
    assert world.faults.kinds["ddb/error_after"] == 1
    assert world.trading.number == 1
    world.quotes_within(15_000)


@pytest.mark.fault("F56")
@pytest.mark.parametrize(
    "change", [{"max_inventory_yes": "NaN"}, {"quote_size": -10}, {"quote_size": "plenty"}]
)
def test_a_bad_config_item_leaves_the_last_good_one_and_later_only_reduces(
    scene: SceneOf, change: dict[str, object]
) -> None:
    world = scene()
    ticker = TICKERS[0]
    world.tables.put(PREFIX + MARKET_CONFIG.suffix, market_item(ticker) | change, world.kernel.now_ms)
    world.until(QUOTING_MS + 30_000)
    world.quotes_within(5_000)
    world.until(QUOTING_MS + 640_000)
    view = world.trading.runtime.parts.bot.published  # type: ignore[union-attr]  # it trades
    assert view is not None
    assert view.markets[ticker].reduce_only


# ── the clock ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault("F65")
@pytest.mark.parametrize("step_ms", [45_000, -45_000])
def test_a_stepped_wall_clock_moves_no_expiry_and_halts(scene: SceneOf, step_ms: int) -> None:
    world = scene()
    world.hosts[0].machine.set(step_ms)
    world.quiet_ms(15_000)
    assert any("clock" in reason for reason in world.halts())


@pytest.mark.fault("F65")
def test_a_wall_clock_that_runs_too_fast_is_noticed_before_signatures_are_refused(scene: SceneOf) -> None:
    world = scene()
    world.hosts[0].machine.set(0, 2_000_000 // 60)
    world.until(QUOTING_MS + 60_000)
    assert world.resting
    world.until(QUOTING_MS + 270_000)
    assert any("clock" in reason for reason in world.halts())
    assert world.resting == 0
