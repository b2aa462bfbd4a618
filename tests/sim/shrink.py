"""A failing run made small, and kept: the fewest fault keys first, then the fewest actors, then the shortest time.

A failure is known by its seed, rate, keys, what was left out of the world, and the ticks it takes. Those that were found
and mended are in ``regressions.json`` and are replayed on every change.
"""

import gc
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tests.sim.world import ACTORS, Result, World

MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of its own is made in it)
"""A disk that need not turn for every sync, where there is one."""

REGRESSIONS = Path(__file__).parent / "regressions.json"
MARGIN_TICKS = 50
GC_THRESHOLD = 50_000
"""A world has few cycles that die and many objects that live; looking for the former at Python's 700 costs a tenth."""


@dataclass(frozen=True)
class Case:
    """One history. ``keys`` None: faults strike by ``rate``; else exactly these do. ``without`` names actors left out."""

    seed: int
    rate: float
    ticks: int
    keys: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    def run(self) -> Result:
        """The same case gives the same digest."""
        folder = MEMORY if MEMORY.exists() else None
        gc.set_threshold(GC_THRESHOLD)
        with tempfile.TemporaryDirectory(prefix="dora-sim-", dir=folder) as name:
            return World(self.seed, self.rate, Path(name), self.keys, self.without).run(self.ticks)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        names = frozenset(stored["keys"]), frozenset(stored["without"])
        return cls(stored["seed"], stored["rate"], stored["ticks"], *names)

    def store(self, commit: str, invariant: str) -> dict[str, Any]:
        return {
            "commit": commit,
            "invariant": invariant,
            "seed": self.seed,
            "rate": self.rate,
            "ticks": self.ticks,
            "keys": sorted(self.keys or ()),
            "without": sorted(self.without),
        }


def regressions() -> list[dict[str, Any]]:
    """Every stored failure, as `Case.store` has it."""
    return list(json.loads(REGRESSIONS.read_text()))


def shrink(result: Result, tries: int = 150) -> Case:
    """The smallest case found that still breaks the same invariant."""
    wanted = result.violations[0].invariant
    left = tries

    def fails(case: Case) -> Result | None:
        nonlocal left
        left -= 1
        again = case.run()
        return again if any(v.invariant == wanted for v in again.violations) else None

    case = Case(result.seed, result.rate, result.ticks + MARGIN_TICKS, frozenset(result.keys))
    keys = _fewest(
        list(result.keys), lambda some: bool(fails(replace(case, keys=frozenset(some)))), lambda: left
    )
    case = replace(case, keys=frozenset(keys))
    for actor in ACTORS:
        smaller = replace(case, without=case.without | {actor})
        if left > 0 and fails(smaller):
            case = smaller
    if left > 0 and (again := fails(case)):
        case = replace(case, ticks=again.ticks + 1)
    return case


def _fewest(keys: list[str], fails: Callable[[Sequence[str]], bool], left: Callable[[], int]) -> list[str]:
    """Delta debugging: parts that are not needed go, in ever smaller parts."""
    parts = 2
    while len(keys) > 1 and left() > 0:
        size = -(-len(keys) // parts)
        for at in range(0, len(keys), size):
            rest = keys[:at] + keys[at + size :]
            if fails(rest):
                keys, parts = rest, max(parts - 1, 2)
                break
            if left() <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(keys))
    return keys
