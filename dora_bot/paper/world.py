"""The counterparties of the paper exchange: `build_world` makes them, `World.step` lets them act.

A world is deterministic: the same seed and the same sequence of ``now_ms`` give the same orders. It has no
clock and does no I/O in a step, so the server drives it at wall rate and the checks at any rate.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from dora_bot.errors import ConfigError
from dora_bot.paper.engine import Exchange
from dora_bot.paper.recording import load_recording
from dora_bot.paper.synthetic import SyntheticWorld
from dora_bot.paper.tape_world import TapeWorld

SHIPPED_TAPE = Path(__file__).parent / "tapes" / "synthetic.frames.jsonl.gz"
"""The tape every installation has (`scripts/make_tape.py`)."""


class World(Protocol):
    """Whoever trades on the exchange besides the accounts under test."""

    @property
    def tickers(self) -> tuple[str, ...]:
        """The markets of this world that have not closed yet, in a stable order."""
        ...

    def next_due_ms(self) -> int:
        """When something is due next (Unix ms); `step` before that does nothing."""
        ...

    def step(self, now_ms: int) -> None:
        """Do everything that is due up to ``now_ms``, in order."""
        ...


def build_world(
    exchange: Exchange,
    *,
    markets: int,
    seed: int,
    now_ms: int,
    tapes: Sequence[Path] = (),
    speed: float = 1.0,
) -> World:
    """Recorded markets where ``tapes`` are given, else ``markets`` synthetic ones, all listed and quoted.

    ``speed`` divides the gaps between recorded events and has no effect on a synthetic world. Raises
    `ConfigError` for an unreadable tape or a speed or number of markets that makes no sense.
    """
    if tapes:
        if not speed > 0:
            raise ConfigError(f"--speed must be above 0, not {speed}")
        recordings = [load_recording(path) for path in tapes]
        return TapeWorld(exchange, recordings, start_ms=now_ms, speed=speed)
    if markets < 1:
        raise ConfigError(f"--markets must be at least 1, not {markets}")
    return SyntheticWorld(exchange, markets=markets, seed=seed, now_ms=now_ms)
