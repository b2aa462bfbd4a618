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
