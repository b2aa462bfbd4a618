"""One history each: what rests before a pause or a close that was announced, and what is quoted after it (I38, B14)."""

from pathlib import Path

from tests.sim.kernel import EPOCH_MS
from tests.sim.scene import Scene
from tests.sim.stores import TICKERS

BEFORE_MS = 60_000
BACK_MS = 30_000
"""A look at the exchange's status every ten seconds, and the account read after it."""


def test_nothing_rests_from_a_minute_before_a_scheduled_pause_until_it_is_over(tmp_path: Path) -> None:
    world = Scene(tmp_path, "calendar/0/pause")
    (window,) = world.venue.schedule.maintenance
    begins_ms, ends_ms = window.start_ms - EPOCH_MS, window.end_ms - EPOCH_MS
    world.until(begins_ms - BEFORE_MS - 8_000)
    assert world.resting, "nothing rests: there is nothing to show"
    world.until(begins_ms - BEFORE_MS)
    while world.kernel.now_ms < ends_ms:
        assert world.resting == 0
        world.until(world.kernel.now_ms + 500)
    world.quotes_within(BACK_MS)
    world.close()


def test_nothing_rests_in_a_market_from_a_minute_before_its_close_and_the_other_goes_on(
    tmp_path: Path,
) -> None:
    world = Scene(tmp_path, "calendar/0/close")
    closes = {ticker: world.venue.engine.market(ticker).close_ms for ticker in TICKERS}
    usual_ms = max(closes.values())
    while usual_ms == min(closes.values()):
        world.until(world.kernel.now_ms + 1_000)
        closes = {ticker: world.venue.engine.market(ticker).close_ms for ticker in TICKERS}
    closing, other = sorted(TICKERS, key=closes.__getitem__)
    assert world.judge.quoted(closing)
    world.until(closes[closing] - EPOCH_MS - BEFORE_MS)
    while world.venue.now_ms < closes[closing]:
        assert not world.judge.quoted(closing)
        world.until(world.kernel.now_ms + 500)
    assert world.judge.quoted(other)
    world.until(world.kernel.now_ms + 5_000)
    world.quotes_within(BACK_MS)
    world.close()
