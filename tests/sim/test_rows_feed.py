"""F31, F33, F34, F66: books that say nothing, have no side or are those of the other leg, and a pause of the whole
exchange, in one history each.

Each test was seen to fail with the guard that its docstring names taken out.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from dora_bot.kalshi_listings import MaintenanceWindow, Schedule
from dora_bot.models import Side
from dora_bot.order_book import Book
from dora_bot.paper.grids import DECI_CENT, GRIDS
from dora_bot.paper.specs import OrderRequest
from tests.sim import rows
from tests.sim.feed import SimFeed
from tests.sim.kernel import EPOCH_MS
from tests.sim.rows import ALWAYS, QUOTING_MS, A, B
from tests.sim.scene import Scene
from tests.sim.venue import HOUSE
from tests.sim.wire import Socket

SceneOf = Callable[..., Scene]

MARGIN_MS = 60_000
"""So long before a pause nothing may rest any more (FAULTS B14)."""

CHECKED_MS = 30_000
"""So often the content of a book is compared (FAULTS B03)."""


def feed(world: Scene) -> SimFeed:
    found = world.trading.feed
    assert found is not None
    return found


def socket(world: Scene) -> Socket:
    found = feed(world).socket
    assert found is not None
    return found


def book(world: Scene, ticker: str) -> Book:
    """As the bot believes it to be."""
    state = world.trading.state
    assert state is not None
    found = state.books.book(ticker)
    assert found is not None
    return found


def is_the_exchanges(world: Scene, ticker: str) -> bool:
    mine, told = book(world, ticker), world.venue.engine.book(ticker)
    whole = mine.bids.sizes == dict(told.bids) and mine.asks.sizes == dict(told.asks)
    return whole and not mine.doubt


@pytest.mark.fault("F31")
def test_a_book_that_is_quiet_for_ten_minutes_keeps_its_quotes_and_is_checked(scene: SceneOf) -> None:
    """Guards: `PING_MS`: a quiet line is asked for a pong; `FeedSession.audit`: a quiet book for a snapshot."""
    world = scene()
    rows.still(world)
    rows.both_sides(world, A)
    rows.both_sides(world, B)
    began, line = world.kernel.now_ms, feed(world).line
    connection, changes = feed(world).connection, line.session.counts["deltas"]
    while world.kernel.now_ms < began + 600_000:
        audits = line.session.counts["audits"]
        until_ms = world.kernel.now_ms + CHECKED_MS
        while world.kernel.now_ms < until_ms:
            assert len(rows.orders(world, A)) == len(rows.orders(world, B)) == 2
            rows.wait(world, 500)
        assert line.session.counts["audits"] > audits, "the books were not compared"
    assert feed(world).connection == connection
    assert line.session.counts["deltas"] - changes == 0, "the book was not quiet"
    assert world.halts() == []
    rows.settle(world)


@pytest.mark.fault("F33")
def test_a_side_that_a_snapshot_lacks_is_empty_and_not_quoted_against(scene: SceneOf) -> None:
    """Guards: `Book.replace` takes the snapshot for the whole truth; `one_sided` in strategy/guards."""
    world = scene()
    rows.still(world)
    rows.both_sides(world, A)
    for side in (Side.ASK, Side.BID):
        rows.withdraw(world, A)  # else our own order would be the side
        rows.until(world, "A withdrawn", lambda: not rows.orders(world, A), 10_000)
        socket(world).cut("connection lost")
        rows.remove(world, A, side)
        rows.until(world, "the book again", lambda: is_the_exchanges(world, A), 10_000)
        told = world.venue.engine.book(A)
        assert not (told.asks if side is Side.ASK else told.bids)
        rows.quote(world, A)
        rows.wait(world, 10_000)
        assert not rows.orders(world, A)
        assert len(rows.orders(world, B)) == 2, "the others go on"
    engine = world.venue.engine
    world.venue.step(lambda now: engine.change_grid(A, GRIDS[DECI_CENT], DECI_CENT, now))
    for level in range(100):
        offer(world, A, Side.BID, 4_500 - level * 10, 500)
        offer(world, A, Side.ASK, 5_500 + level * 10, 700)
    socket(world).cut("connection lost")
    rows.until(world, "the deep book", lambda: is_the_exchanges(world, A), 10_000)
    assert len(book(world, A).bids.sizes) >= 100
    world.quotes_within(20_000)
    rows.settle(world)


def offer(world: Scene, ticker: str, side: Side, price_e4: int, count_e2: int) -> None:
    request = OrderRequest(ticker, side, price_e4, count_e2)
    world.venue.step(lambda now: world.venue.engine.create(HOUSE, request, now))


@pytest.mark.fault("F34")
@pytest.mark.parametrize("afresh", [False, True])
def test_a_ladder_of_the_other_leg_is_contradicted_by_rest(
    scene: SceneOf,
    afresh: bool,  # noqa: FBT001  (a case of the test)
) -> None:
    """Guards: `Books._compare`: after two REST reads that differ only a REST read that agrees lets a book be quoted;
    the same after an audit snapshot that differs (`Book.dispute`).
    """
    world = scene()
    rows.still(world)
    for ticker in (A, B):
        told = world.venue.engine.book(ticker)
        assert abs(told.bids[0].price_e4 + told.asks[0].price_e4 - 10_000) > 600, "it is its own mirror image"
    rows.strike(world, ("span/*", "mirror", ALWAYS))
    rows.until(world, "the mirror", lambda: rows.hits(world, "span/*/mirror"), 15_000)
    if afresh:
        socket(world).cut("connection lost")
        rows.until(world, "a new line", lambda: feed(world).up, 5_000, 1)
        socket(world).span = "mirror"
    rows.until(world, "a mirrored snapshot", lambda: socket(world).doubt_ms, 25_000)
    rows.until(world, "both contradicted", lambda: all(book(world, t).disputed for t in (A, B)), CHECKED_MS)
    rows.until(world, "all frozen", lambda: not rows.orders(world), 5_000)
    frozen_ms = world.kernel.now_ms
    rows.wait(world, 60_000)  # snapshots and audits of the feed itself agree with each other all the while
    assert rows.exposing(world, frozen_ms) == []
    assert all(book(world, ticker).disputed for ticker in (A, B))
    rows.strike(world)
    world.quotes_within(60_000)
    rows.settle(world)


@pytest.mark.fault("F66")
def test_nothing_rests_from_a_minute_before_an_announced_pause_until_all_is_read_again(
    tmp_path: Path,
) -> None:
    """Guards: the closures in `Reopening.objection`; and its demand for a status and an account from after the pause."""
    start, end, over = 100_000, 160_000, 175_000
    world = Scene(tmp_path)
    try:
        world.venue.schedule = Schedule((), (MaintenanceWindow(EPOCH_MS + start, EPOCH_MS + end),))
        world.until(QUOTING_MS)
        assert len(rows.orders(world)) == 4
        world.until(start - MARGIN_MS)
        paused_ms = world.kernel.now_ms
        assert not rows.orders(world)
        world.until(start)
        engine = world.venue.engine
        world.venue.step(lambda now: engine.pause("exchange", now, on=True, keep_orders=True))
        rows.strike(world, ("upgrade/*", "refuse", ALWAYS))
        socket(world).cut("connection lost")
        world.until(over)
        assert rows.hits(world, "upgrade/*/refuse") > 0
        world.venue.step(lambda now: engine.pause("exchange", now, on=False))
        rows.strike(world, ("read/a.risk.as_of/*", "reset", 3))
        assert rows.exposing(world, paused_ms) == []
        rows.until(world, "a quote", lambda: rows.exposing(world, paused_ms), 40_000, 20)
        runtime = world.trading.runtime
        assert runtime is not None
        assert runtime.parts.risk.last_as_of_ms > EPOCH_MS + over, "the account was not read since"
        assert rows.hits(world, "read/a.risk.as_of/*/reset") == 3
        world.quotes_within(40_000)
        assert world.halts() == []
        rows.settle(world)
    finally:
        world.close()
