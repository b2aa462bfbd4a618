"""Find the trades in a tape that recorded none.

What is known: between two ``ticker`` frames the volume grew by V (the exchange counts both sides of a trade,
so V/2 contracts changed hands), and a trade takes size away at the touch. What is not known: which of the
decreases at the touch were trades; they add up to three to five times the volume, the rest are cancels.
So V/2 is spread over the interval's touch decreases: first the one that is the ticker's last trade (same
price and size), then all others in proportion to their size. Never more than V/2 in total, never more than
a decrease; volume that fits no decrease is left out, which errs against our own fills.
"""

from collections.abc import Iterable
from typing import NamedTuple

from dora_bot.models import Level


class _Decrease(NamedTuple):
    number: int
    price_e4: int
    size_e2: int
    time_ms: int


class TradeFinder:
    """Follows one market's book between snapshots and books traded volume on its level decreases."""

    def __init__(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        self._bids = {level.price_e4: level.count_e2 for level in bids}
        self._asks = {level.price_e4: level.count_e2 for level in asks}
        self._pending: list[_Decrease] = []
        self._volume_e2: int | None = None

    def note(self, index: int, is_bid: bool, price_e4: int, delta_e2: int, time_ms: int) -> None:  # noqa: FBT001 (a level's coordinates, as in every book call)
        """Apply the change numbered ``index``; remember it where it takes size at the touch."""
        side = self._bids if is_bid else self._asks
        if delta_e2 < 0 and price_e4 == (max if is_bid else min)(side, default=None):
            self._pending.append(_Decrease(index, price_e4, -delta_e2, time_ms))
        left = side.get(price_e4, 0) + delta_e2
        if left > 0:
            side[price_e4] = left
        else:
            side.pop(price_e4, None)

    def settle(self, volume_e2: int, last: Level, time_ms: int) -> list[tuple[int, int]]:
        """A ticker says the volume is ``volume_e2`` at ``time_ms``: (index, traded) of the changes it covers."""
        grown = 0 if self._volume_e2 is None else max(volume_e2 - self._volume_e2, 0)
        self._volume_e2 = volume_e2
        covered = [d for d in self._pending if d.time_ms <= time_ms]
        self._pending = [d for d in self._pending if d.time_ms > time_ms]
        return _spread(covered, grown // 2, last)


def _spread(decreases: list[_Decrease], traded_e2: int, last: Level) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for decrease in reversed(decreases):
        if decrease.price_e4 == last.price_e4 and 0 < decrease.size_e2 == last.count_e2 <= traded_e2:
            found.append((decrease.number, decrease.size_e2))
            traded_e2 -= decrease.size_e2
            decreases.remove(decrease)
            break
    total = sum(decrease.size_e2 for decrease in decreases)
    rest = min(traded_e2, total)
    for decrease in decreases:
        share = rest * decrease.size_e2 // total
        if share:
            found.append((decrease.number, share))
    return found
