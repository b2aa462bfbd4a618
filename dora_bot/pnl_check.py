"""PnL three ways: our books, the exchange's own realised PnL and fees, and the balance, with what none of them explains.

Market by market the exchange's running totals are compared with ours. Where they began to differ before this process looked
is taken as given (trades from before our books); what comes on top is unexplained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dora_bot.models import ExchangePosition, Position

ALARM_E6 = 10_000
"""A cent for each fill booked: rounding of averages costs far less."""


@dataclass(slots=True)
class PnlCheck:
    """``unexplained_e6``: by how much the exchange's net of realised PnL and fees exceeds ours, all markets together."""

    unexplained_e6: int = 0
    alarm: bool = False
    _base_e6: dict[str, int] = field(default_factory=dict)
    _over_e6: dict[str, int] = field(default_factory=dict)
    _begun: bool = False

    def note(
        self,
        told: Iterable[ExchangePosition],
        ours: Mapping[str, Position],
        agreed: Iterable[str],
        fills: int,
    ) -> bool:
        """Take a read in. ``agreed``: markets of whose contracts both say the same; ``fills``: booked in this process.

        Returns whether the alarm begins now.
        """
        sure = set(agreed)
        for theirs in told:
            if theirs.ticker not in sure:
                continue
            position = ours.get(theirs.ticker, Position(theirs.ticker))
            over_e6 = theirs.realised_e6 - theirs.fees_e6 - position.realised_e6 + position.fees_e6
            if theirs.ticker not in self._base_e6:
                self._base_e6[theirs.ticker] = 0 if self._begun else over_e6
            self._over_e6[theirs.ticker] = over_e6 - self._base_e6[theirs.ticker]
        self._begun = True
        self.unexplained_e6 = sum(self._over_e6.values())
        was, self.alarm = self.alarm, abs(self.unexplained_e6) > ALARM_E6 * max(fills, 1)
        return self.alarm and not was
