"""One history each: quotes on a book that nobody proves any more (FAULTS B02)."""

from pathlib import Path

import pytest

from tests.sim.scene import Scene

QUOTING_MS = 20_000
DOWN_MS = 75_000
"""By then the line has been down for a while, and the bot quotes on what it reads."""


@pytest.mark.parametrize("how", ["hang", "reset", "garbage"])
def test_reads_that_fail_while_the_line_is_down_leave_no_quote_seven_seconds_after_the_last_one(
    how: str, tmp_path: Path
) -> None:
    """A read that hangs for two seconds told what had become too old only when it was over."""
    world = Scene(tmp_path)
    world.until(QUOTING_MS)
    world.faults.script = [["span/*", "close", 1], ["upgrade/*", "refuse", 100]]
    world.until(DOWN_MS)
    feed = world.trading.feed
    assert feed is not None
    assert not feed.up
    world.faults.script += [["read/a.*.books/*", how, 100]]
    assert world.quiet_ms(7_000) > 0
    assert world.faults.kinds[f"read/{how}"] > 0
    world.close()
