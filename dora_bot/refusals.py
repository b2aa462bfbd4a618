"""A market rests: for a while after its orders were refused, and while it has been written to too often in a second."""

from collections import deque

from dora_bot.models import Amend, Cancel, Instant, Outcome, OutcomeKind, Place, Side

COOL_MS = 1_000
"""After one refusal: time for a newer book, so that the next try is not the same one."""

FREEZE_MS = 30_000
"""After this many refusals in a row, or for want of cash, the market rests this long (FAULTS I06, F09)."""

FREEZE_AFTER = 5
_LONG = frozenset({"insufficient_balance", "available_balance_too_low"})
_PAUSE = frozenset({"trading_is_paused", "exchange_is_paused"})
PAUSE_MS = 3_000

CROSSED = "post_only_cross"
"""A code of its own in the exchange's vocabulary, but seen as ``invalid_order`` with the details ``post only cross``."""
CROSSES = 3
MINUTE_MS = 60_000
"""A side may be refused as crossing this often a minute (FAULTS F08): the book that it is quoted on is not the truth."""

SECOND_MS = 1_000
WRITES = 4
"""So many writes that could raise its risk may go to one market in a second (FAULTS I06)."""
A_TICK = 2
"""A tick writes at most once to each side of a market: with less than this left it waits."""


class Refusals:
    """Per market: how many exposure writes were refused in a row, and until when it rests; when the last were over.

    A write was sent before it was over, so the limit of `WRITES` holds at the exchange, too.
    """

    def __init__(self) -> None:
        self._done_ms: dict[str, deque[int]] = {}
        self._crosses: dict[tuple[str, Side], deque[int]] = {}
        self._in_a_row: dict[str, int] = {}
        self._rest: dict[str, tuple[int, str]] = {}

    def note(self, outcome: Outcome, now: Instant) -> None:
        ticker = outcome.action.ticker
        if isinstance(outcome.action, Cancel):
            return
        if outcome.kind is not OutcomeKind.DENIED_LOCALLY:
            self._done_ms.setdefault(ticker, deque(maxlen=WRITES)).append(now.mono_ms)
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._in_a_row.pop(ticker, None)
        elif outcome.kind is OutcomeKind.REFUSED:
            count = self._in_a_row.get(ticker, 0) + 1
            self._in_a_row[ticker] = count
            rest = COOL_MS
            if outcome.code in _PAUSE:
                rest = PAUSE_MS
            if CROSSED in (outcome.code, outcome.detail.rpartition(": ")[2].replace(" ", "_")):
                rest = max(rest, self._crossed(outcome.action, now))
            if count >= FREEZE_AFTER or outcome.code in _LONG:
                rest = max(rest, FREEZE_MS)
            self._rest[ticker] = (
                now.mono_ms + rest,
                f"cooling down after {outcome.code} {outcome.detail}".strip(),
            )

    def _crossed(self, action: Place | Amend, now: Instant) -> int:
        """How long the market rests for this: until the first of the last three is a minute ago."""
        times = self._crosses.setdefault((action.ticker, action.side), deque(maxlen=CROSSES))
        times.append(now.mono_ms)
        return times[0] + MINUTE_MS - now.mono_ms if len(times) == CROSSES else 0

    def resting(self, ticker: str, now: Instant) -> str:
        """Why the market rests now, empty if it does not."""
        until, reason = self._rest.get(ticker, (0, ""))
        if now.mono_ms < until:
            return reason
        lately = sum(now.mono_ms - done_ms < SECOND_MS for done_ms in self._done_ms.get(ticker, ()))
        return f"{lately} writes in the last second" if lately > WRITES - A_TICK else ""
