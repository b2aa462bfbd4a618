"""The account's cash against our books, exact to the exchange's own rounding (FAULTS B11).

The books say how cash must have *moved*; where it began is taken from the exchange, once two reads in a row agree on it. From
then on every difference that stays the same for a minute is a movement that nobody booked. A fill that one of the two
knows and the other does not makes differences, too, but those come and go: a single read that agrees ends them.

People may move cash while the bot stands still or is paused by an operator, and whoever lifts a halt accepts what is there
(docs/adr/0016).
"""

from dataclasses import dataclass, field

from dora_bot.models import Balance
from dora_bot.units import money_text

ROUNDING_E6 = 100
"""The exchange tells balances rounded down to 0.0001 $."""
PATIENCE_MS = 60_000
SIGHTINGS = 3


@dataclass(slots=True)
class CashCheck:
    """``difference_e6``: the exchange's cash less ours at the last read; None until it is known where cash began."""

    difference_e6: int | None = None
    _base_e6: int | None = None
    _candidate_e6: int | None = None
    _last: Balance | None = None
    _accepted_ms: int = 0
    _seen: list[tuple[int, int, int]] = field(default_factory=list)
    """Differences since the last agreement: (10⁻⁶ $, since when on the monotonic clock, how often)."""

    def accept(self, at_ms: int = 0) -> None:
        """Begin anew from what the exchange says next. With a time: once for that time."""
        if at_ms and at_ms == self._accepted_ms:
            return
        self._accepted_ms = at_ms or self._accepted_ms
        self._base_e6 = self._candidate_e6 = self.difference_e6 = None
        self._seen.clear()

    def breach(self, balance: Balance, booked_e6: int, mono_ms: int) -> str:
        """The evidence for a halt, empty if there is none. ``booked_e6``: how cash moved by all that was ever booked."""
        if balance is self._last:  # read once, told twice: the books may have moved on since
            return ""
        self._last = balance
        start_e6 = balance.total_e6 - booked_e6
        if self._base_e6 is None:
            if self._candidate_e6 is not None and _same(start_e6, self._candidate_e6):
                self._base_e6 = max(start_e6, self._candidate_e6)
            self._candidate_e6 = start_e6
            return ""
        self.difference_e6 = start_e6 - self._base_e6
        if _same(self.difference_e6, 0):
            self._seen.clear()
            return ""
        since_ms, times = self._sighted(self.difference_e6, mono_ms)
        if times < SIGHTINGS or mono_ms - since_ms <= PATIENCE_MS:
            return ""
        ours, theirs = money_text(self._base_e6 + booked_e6), money_text(balance.total_e6)
        return f"the exchange says {theirs}, our books say {ours}, for {(mono_ms - since_ms) // 1_000} s"

    def _sighted(self, difference_e6: int, mono_ms: int) -> tuple[int, int]:
        for at, (value, since_ms, times) in enumerate(self._seen):
            if _same(value, difference_e6):
                self._seen[at] = (value, since_ms, times + 1)
                return since_ms, times + 1
        self._seen.append((difference_e6, mono_ms, 1))
        return mono_ms, 1


def _same(one_e6: int, other_e6: int) -> bool:
    return abs(one_e6 - other_e6) < ROUNDING_E6
