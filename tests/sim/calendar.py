"""What the exchange announces: a pause of all trading in its schedule, or a market that closes in a minute and a half."""

from collections.abc import Callable
from contextlib import suppress

from dora_bot.kalshi_listings import MaintenanceWindow, Schedule
from dora_bot.paper.specs import Refused
from tests.sim.kernel import EPOCH_MS
from tests.sim.stores import TICKERS
from tests.sim.venue import CLOSE_MS, Venue

KINDS = ("pause", "close")
WEIGHT = 20.0
AHEAD_MS = 800_000
"""A pause is in the schedule so long before, or from the begin: the bot reads it every ten minutes."""

CLOSES_IN_MS = 90_000


class Calendar:
    """One thing in some of the cycles, which last ``cycle_ms`` and begin with their rough part."""

    def __init__(self, venue: Venue, note: Callable[[str, str], None], cycle_ms: int) -> None:
        self._venue = venue
        self._note = note
        self._cycle_ms = cycle_ms
        self._plan(0)

    def _plan(self, number: int) -> None:
        """Long before the cycle begins, or at once for the first ones."""
        kernel, faults = self._venue.kernel, self._venue.faults
        place = f"calendar/{number}"
        begin_ms = number * self._cycle_ms + 100_000 + int(70_000 * faults.share(f"{place}/at"))
        kind = faults.announce(place, KINDS, WEIGHT)
        if kind == "pause":
            lasts_ms = 15_000 + int(30_000 * faults.share(f"{place}/ms"))
            self._announce(begin_ms + 30_000, begin_ms + 30_000 + lasts_ms)
        elif kind == "close":
            ticker = TICKERS[int(faults.share(f"{place}/market") * len(TICKERS))]
            kernel.at(begin_ms, lambda: self._close(ticker))
        later_ms = (number + 1) * self._cycle_ms - AHEAD_MS
        kernel.at(max(later_ms, kernel.now_ms + 1), lambda: self._plan(number + 1))

    def _announce(self, from_ms: int, until_ms: int) -> None:
        """Virtual ms."""
        venue = self._venue
        window = MaintenanceWindow(EPOCH_MS + from_ms, EPOCH_MS + until_ms)
        venue.schedule = Schedule((), (*venue.schedule.maintenance, window))
        for at_ms, on in ((from_ms, True), (until_ms, False)):
            venue.kernel.at(at_ms, lambda on=on: self._pause(on=on))  # type: ignore[misc]  # bound now

    def _pause(self, *, on: bool) -> None:
        self._note("calendar", f"pause {'begins' if on else 'ends'}")
        self._venue.step(lambda now: self._venue.engine.pause("trading", now, on=on))

    def _close(self, ticker: str) -> None:
        """It closes, and a little later the close moves away again."""
        venue = self._venue
        self._note("calendar", f"{ticker} closes in {CLOSES_IN_MS} ms")
        self._set(ticker, venue.now_ms + CLOSES_IN_MS)
        venue.kernel.at(venue.kernel.now_ms + CLOSES_IN_MS + 5_000, lambda: self._set(ticker, CLOSE_MS))

    def _set(self, ticker: str, close_ms: int) -> None:
        def careful(now_ms: int) -> None:
            with suppress(Refused):
                self._venue.engine.set_close(ticker, close_ms, now_ms)

        self._venue.step(careful)
