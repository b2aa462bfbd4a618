"""The rows of the modules ``test_rows_…`` once more, each among random faults of all other kinds (FAULTS 4).

Over and over the row's fault strikes, and somebody does what it takes. The judge holds every invariant throughout; then all
is calm, and the bot quotes again with the exchange's ledger.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from dora_bot.kalshi_listings import MaintenanceWindow, Schedule
from dora_bot.models import Side
from dora_bot.paper.specs import OrderStatus, Refused
from tests.sim import rows
from tests.sim.kernel import EPOCH_MS
from tests.sim.rows import QUOTING_MS, A, B
from tests.sim.scene import Scene
from tests.sim.venue import BOT

RATES = (0.01, 0.05)
TURNS, TURN_MS = 6, 25_000
CALM_MS = 100_000
"""Absence of a create (30 s), cool-downs and the longest absence of a process (60 s) are over by then."""

PAUSE_MS = (115_000, 140_000)

Act = Callable[[Scene, int], None]
Script = tuple[tuple[str, str, int], ...]


# ── what somebody does at every turn ────────────────────────────────────────────────────────────


def nothing(_world: Scene, _turn: int) -> None:
    """The public trades all the while."""


def withdraw_and_quote(world: Scene, turn: int) -> None:
    (rows.quote if turn % 2 else rows.withdraw)(world, A, B)


def halt(world: Scene, _turn: int) -> None:
    """A drill; who operates resumes it by and by."""
    rows.halt(world)


def trade(world: Scene, _turn: int) -> None:
    """Somebody takes a hundredth of what rests, then more."""
    for order_id in rows.orders(world):
        for count_e2 in (1, 777):
            with suppress(Refused):
                world.venue.step(partial(world.venue.engine.fill_order, order_id, count_e2))


def trade_late(world: Scene, _turn: int) -> None:
    """Somebody traded with an order that ended a minute ago, and nothing of ours rests."""
    old_ms = world.venue.now_ms - 60_000
    ended = [
        order
        for order in world.venue.engine.orders(BOT, status=OrderStatus.CANCELED)
        if order.updated_ms < old_ms and not rows.orders(world, order.ticker)
    ]
    if ended:
        with suppress(Refused):
            world.venue.fill_late(ended[-1], 100)


def withdraw_and_trade_late(world: Scene, turn: int) -> None:
    trade_late(world, turn)
    withdraw_and_quote(world, turn)


def close_and_reopen(world: Scene, _turn: int) -> None:
    set_close = partial(world.venue.engine.set_close, A)
    usual_ms = world.venue.engine.market(A).close_ms
    world.venue.step(lambda now: set_close(now + 1, now))
    world.kernel.at(
        world.kernel.now_ms + 12_000, lambda: world.venue.step(lambda now: set_close(usual_ms, now))
    )


def quiet(world: Scene, turn: int) -> None:
    for flow in world.venue.flows:
        flow.running = bool(turn % 2)


def one_side(world: Scene, turn: int) -> None:
    with suppress(Refused):  # the exchange is paused
        rows.remove(world, A, tuple(Side)[turn % 2])


def pause(world: Scene, _turn: int) -> None:
    on = PAUSE_MS[0] <= world.kernel.now_ms < PAUSE_MS[1]
    world.venue.step(partial(world.venue.engine.pause, "exchange", on=on, keep_orders=True))


# ── rows ────────────────────────────────────────────────────────────────────────────────────────


def row(name: str, act: Act, *script: tuple[str, str, int]) -> object:
    return pytest.param(act, script, id=name)


REFUSED = tuple(
    (places, "status_before", 60)
    for places in ("cancel/*", "sweep/*.delete_portfolio_events_orders_*", "sweep/*.put*")
)
"""Nothing but a cancel-all works."""

ROWS = [
    row("F06", withdraw_and_quote, ("odd/create/*", "twice", 2)),
    row("F09", withdraw_and_quote, ("odd/create/*", "poor", 1)),
    row("F18", withdraw_and_quote, ("odd/cancel/*", "misrouted", 2)),
    row("F19", withdraw_and_quote, ("lag/*", "stale", 4)),
    row("F20", withdraw_and_quote, ("cancel/*", "drop_request", 1), ("cancel/*", "drop_reply", 1)),
    row("F21", halt, ("cancel/*", "too_many", 15), ("sweep/*.delete*", "too_many", 30)),
    row("F22", halt, ("cancel/*", "status_before", 15), ("sweep/*.delete*", "status_before", 15)),
    row("F23", withdraw_and_quote, ("eng/cancel/*", "fill_first", 1), ("fill/*", "drop", 2)),
    row("F24-F25", halt, ("spare/*", "newest", 1), *REFUSED),
    row("F26", close_and_reopen, ("market_lifecycle_v2/*", "drop", 2)),
    row("F31", quiet),
    row("F33", one_side, ("orderbook_delta/*", "drop", 1)),
    row("F34", nothing, ("span/*", "mirror", 1)),
    row("F41", trade, ("odd/fills/*", "shift", 2), ("odd/fills/*", "loop", 1)),
    row("F42", withdraw_and_trade_late),
    row("F43", nothing, ("odd/positions/*", "old", 3)),
    row("F44", nothing, ("odd/fills/*", "empty", 4), ("fill/*", "drop", 4)),
    row("F45", trade),
    row("F66", pause),
]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("act", "script"), ROWS)
def test_a_row_among_random_faults_breaks_no_invariant_and_is_recovered_from(
    act: Act, script: Script, rate: float, tmp_path: Path
) -> None:
    world = Scene(tmp_path, rate=rate)
    if act is pause:
        start, end = (EPOCH_MS + at for at in PAUSE_MS)
        world.venue.schedule = Schedule((), (MaintenanceWindow(start, end),))
    try:
        world.until(QUOTING_MS)
        for turn in range(TURNS):
            rows.strike(world, *script)
            act(world, turn)
            rows.wait(world, TURN_MS)
        missed = [entry for entry in script if not rows.hits(world, f"{entry[0]}/{entry[1]}")]
        assert not missed, f"never met: {missed}"
        world.faults.armed = False
        rows.quote(world, A, B)
        for flow in world.venue.flows:
            flow.running = True
        rows.wait(world, CALM_MS)
        world.quotes_within(30_000)
        rows.settle(world)
    finally:
        world.close()
