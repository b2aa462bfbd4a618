"""Which faults strike: decided by a stable name of the place, so that taking one away leaves the others where they are.

A place is named like ``create/sim-1-57``; what strikes there is part of the key: ``create/sim-1-57/drop_reply``. A run
is its seed and rate, or its seed and an explicit set of keys.
"""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b
from random import Random
from typing import Any

_SCALE = 1 << 64


class Faults:
    def __init__(self, seed: int, rate: float, replay: frozenset[str] | None = None) -> None:
        """``rate`` is the chance of a fault at each place; with ``replay`` exactly its keys strike."""
        self.seed = seed
        self.rate = rate
        self.armed = True
        self.hits: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.script: list[list[Any]] = []
        """(places, kind, how often): these strike besides, wherever such a place is met; counted down."""
        self._key = str(seed).encode()
        self._replay = None if replay is None else dict(key.rsplit("/", 1) for key in replay)

    def stream(self, name: str) -> Random:
        """The random stream of one subsystem."""
        return Random(f"{self.seed}/{name}")

    def share(self, name: str) -> float:
        """A number in [0, 1) that belongs to this name for ever."""
        digest = blake2b(name.encode(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "big") / _SCALE

    def strike(self, place: str, kinds: Sequence[str], weight: float = 1.0) -> str:
        """The kind of fault that strikes at this place, empty for none."""
        return self.announce(place, kinds, weight) if self.armed else ""

    def announce(self, place: str, kinds: Sequence[str], weight: float = 1.0) -> str:
        """As `strike`, of what will happen later: also while nothing strikes now."""
        if self.script and (kind := self._scripted(place, kinds)):
            pass
        elif self._replay is not None:
            kind = self._replay.get(place, "")
        elif self.rate and self.share(place) < self.rate * weight:
            kind = kinds[int(self.share(f"{place}?") * len(kinds))]
        else:
            kind = ""
        if kind:
            self.hits.append(f"{place}/{kind}")
            self.kinds[f"{place.split('/', 1)[0]}/{kind}"] += 1
        return kind

    def _scripted(self, place: str, kinds: Sequence[str]) -> str:
        for entry in self.script:
            places, kind, left = entry
            if left and kind in kinds and fnmatchcase(place, places):
                entry[2] -= 1
                return str(kind)
        return ""
