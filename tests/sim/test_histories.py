"""One history for each way in which orders, cancels, frames, reads and markets go wrong (FAULTS 4.1 to 4.5, 4.7).

Nothing else fails in it, so what is shown is that row's. The judge holds every invariant throughout; at the end the
fault has struck as often as it should, every market is quoted again, and the ledger is the exchange's.
"""

from pathlib import Path

import pytest

from tests.sim.scene import Scene

QUOTING_MS = 20_000
"""By then a bot that was started has its quotes in every market."""

PATIENCE_MS = 400_000
"""Until then the fault has found its places: cancels are rare where nothing fails."""

AGAIN_MS = 90_000
"""What froze or halted nothing is quoted again by then, absence of a create (30 s) and cool-downs (60 s) included."""

STILL_MS = 30_000

Script = tuple[tuple[str, str, int], ...]


def row(name: str, *script: tuple[str, str, int]) -> object:
    return pytest.param(script, id=name)


ROWS = [
    row("F01", ("create/*", "drop_reply", 3)),
    row("F02", ("create/*", "refuse", 3)),
    row("F03", ("create/*", "status_after", 2), ("create/*", "status_before", 2)),
    row("F04", ("create/*", "late_reply", 3)),
    row("F05", ("create/*", "hold", 3)),
    row("F07", ("happens/*", "pause", 1), ("happens/*", "exchange_pause", 1)),
    row("F08", ("eng/create/*", "ghost", 3)),
    row("F10", ("create/*", "garbage", 3)),
    row("F11", ("eng/create/*", "other", 3)),
    row("F12", ("create/*", "shuffled", 2), ("create/*", "missing", 2)),
    row("F13", ("create/*", "half", 3)),
    row("F14", ("amend/*", "drop_reply", 5)),
    row("F15", ("eng/amend/*", "fill_first", 5)),
    row("F16", ("eng/create/*", "fill_first", 3)),
    row("F17", ("eng/cancel/*", "fill_all", 3), ("fill/*", "delay", 3)),
    row("F27", ("orderbook_delta/*", "gap", 3)),
    row("F28", ("orderbook_delta/*", "ok", 5), ("orderbook_delta/*", "error", 5)),
    row("F29", ("orderbook_delta/*", "dup", 5), ("orderbook_delta/*", "reorder", 5)),
    row("F30", ("span/*", "half_open", 1)),
    row(
        "F32",
        ("orderbook_delta/*", "overflow", 1),
        ("orderbook_delta/*", "terminal", 1),
        ("span/*", "mute", 1),
    ),
    row("F35", ("orderbook_delta/*", "negative_size", 3)),
    row("F36", ("span/*", "close", 1), ("upgrade/*", "flap", 20), ("upgrade/*", "refuse", 5)),
    row("F37", ("span/*", "close", 1), ("upgrade/*", "denied", 2)),
    row("F38", ("span/*", "slow", 2)),
    row("F39", ("span/*", "close", 1), ("upgrade/*", "refuse", 6)),
    row("F40", ("fill/*", "dup", 5)),
    row("F46", ("happens/*", "foreign_order", 1), ("happens/*", "foreign_fill", 1)),
    row("F48", ("spell/*", "writes_429", 2)),
    row("F49", ("spell/*", "reads_429", 2)),
    row("F50", ("spell/*", "balance_429", 2)),
    row("F52", ("spell/*", "slow", 4)),
    row("F67", ("happens/*", "close", 1), ("happens/*", "deactivate", 1)),
    row("F68", ("happens/*", "grid", 2), ("happens/*", "fees", 1)),
]


@pytest.mark.fault(
    "F01",
    "F02",
    "F03",
    "F04",
    "F05",
    "F07",
    "F08",
    "F10",
    "F11",
    "F12",
    "F13",
    "F14",
    "F15",
    "F16",
    "F17",
    "F27",
    "F28",
    "F29",
    "F30",
    "F32",
    "F35",
    "F36",
    "F37",
    "F38",
    "F39",
    "F40",
    "F46",
    "F48",
    "F49",
    "F50",
    "F52",
    "F67",
    "F68",
)  # fmt: skip  (a list of words reads best as one)
@pytest.mark.parametrize("script", ROWS)
def test_a_row_of_the_catalogue_breaks_no_invariant_and_is_recovered_from(
    script: Script, tmp_path: Path
) -> None:
    world = Scene(tmp_path)
    try:
        world.until(QUOTING_MS)
        assert world.resting, "nothing rests: there is nothing to show"
        world.faults.script = [list(entry) for entry in script]
        while any(left for *_, left in world.faults.script):
            assert world.kernel.now_ms < PATIENCE_MS, f"never met: {world.faults.script}"
            world.until(world.kernel.now_ms + 1_000)
        # What a spell, a pause or an omission began lasts on for a while; it counts until it is over.
        world.until(world.kernel.now_ms + AGAIN_MS)
        world.quotes_within(AGAIN_MS)
        assert world.halts() == []
        for flow in world.venue.flows:
            flow.running = False
        world.until(world.kernel.now_ms + STILL_MS)
        world.judge.check_ledger([life for life in world.lives if life.ticking])
        assert world.judge.violations == []
    finally:
        world.close()
