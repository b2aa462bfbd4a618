"""One history each: that the bot goes on quoting where it may (L01 to L05), since never to quote is no way to pass."""

from pathlib import Path

import pytest

from tests.sim.scene import Scene
from tests.sim.stores import TICKERS

QUOTING_MS = 20_000


@pytest.fixture
def world(tmp_path: Path) -> "Scene":
    scene = Scene(tmp_path)
    scene.until(QUOTING_MS)
    return scene


def test_a_market_that_is_refused_five_times_rests_for_half_a_minute_and_the_other_goes_on(
    world: Scene,
) -> None:
    """L04, I06."""
    frozen, other = TICKERS
    world.venue.refusing.add(frozen)
    shares = world.quoted_shares(50_000)
    assert world.judge.counts["outcome refused"] >= 5
    assert world.halts() == []
    assert shares[other] >= 0.99
    world.venue.refusing.clear()
    world.quotes_within(35_000)
    world.close()


def test_a_book_in_which_nothing_happens_for_ten_minutes_keeps_its_quotes(world: Scene) -> None:
    """L05."""
    for flow in world.venue.flows:
        flow.running = False
    world.until(QUOTING_MS + 10_000)
    assert world.quoted_shares(600_000) == dict.fromkeys(TICKERS, 1.0)
    world.close()


def test_quotes_are_back_fifteen_seconds_after_the_line_is(world: Scene) -> None:
    """L03."""
    world.faults.script = [
        ["span/*", "close", 1],
        ["upgrade/*", "refuse", 99],
        ["read/a.*.books/*", "reset", 99],
    ]
    while world.resting:
        world.until(world.kernel.now_ms + 100)
    world.faults.script = []
    feed = world.trading.feed
    while feed is None or not feed.up:
        world.until(world.kernel.now_ms + 100)
    back_ms = world.kernel.now_ms
    world.quotes_within(15_000)
    assert world.kernel.now_ms - back_ms < 15_000
    world.close()
