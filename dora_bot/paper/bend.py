"""Departures from the exchange's rules, for fault injection: never from matching or money."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bend:
    """How the exchange departs from its rules for one call; the default departs from none.

    ``spare_newest``: how many orders a cancel-all leaves. ``only_shards``: the shards it reaches.
    ``tail_ms``: its tail instead of the usual one. ``ghost_ms``: a post-only create is a cross whatever the book
    says, and its canceled order is announced this much later. ``group_refusal``: (status, code) for creates
    in a group.
    """

    spare_newest: int = 0
    only_shards: frozenset[int] | None = None
    tail_ms: int | None = None
    ghost_ms: int | None = None
    group_refusal: tuple[int, str] | None = None

    def reaches(self, shard: int) -> bool:
        """Whether a cancel-all gets to this shard."""
        return self.only_shards is None or shard in self.only_shards


NO_BEND = Bend()
