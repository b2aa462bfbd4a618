"""How often the bot may write (I06): judged on what it sends and how that is answered."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from dora_bot.models import Amend, Cancel, Outcome, OutcomeKind, Place

if TYPE_CHECKING:
    from tests.sim.life import Life

SECOND_MS = 1_000
A_SECOND = 4
IN_A_ROW = 5
FREEZE_MS = 30_000


class Pace:
    def __init__(self, broken: Callable[[str, str], None]) -> None:
        self._broken = broken
        self._sent_ms: dict[str, deque[int]] = {}
        self._refused: dict[tuple[str, str], int] = {}
        """By host and market: how many exposure writes were refused in a row."""
        self._frozen: dict[tuple[str, str], tuple[int, int]] = {}
        """(the tick in which the fifth was refused, until when)."""

    def on_start(self, host: str) -> None:
        """A new process knows of no refusal."""
        for known in (self._refused, self._frozen):
            for key in [key for key in known if key[0] == host]:
                del known[key]

    def on_exposure(self, life: "Life", action: Place | Amend, now_ms: int) -> None:
        ticker = action.ticker
        sent = self._sent_ms.setdefault(ticker, deque(maxlen=A_SECOND))
        if len(sent) == A_SECOND and now_ms - sent[0] < SECOND_MS:
            self._broken(
                "I06", f"{action.client_order_id}: {A_SECOND + 1} writes in {ticker} in {now_ms - sent[0]} ms"
            )
        sent.append(now_ms)
        tick, until_ms = self._frozen.get((life.host.name, ticker), (0, 0))
        if now_ms < until_ms and life.ticks > tick:
            self._broken(
                "I06", f"{action.client_order_id}: {ticker} was refused {IN_A_ROW} times before {until_ms}"
            )

    def on_outcome(self, life: "Life", outcome: Outcome, now_ms: int) -> None:
        if isinstance(outcome.action, Cancel):
            return
        key = life.host.name, outcome.action.ticker
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._refused.pop(key, None)
        elif outcome.kind is OutcomeKind.REFUSED:
            self._refused[key] = self._refused.get(key, 0) + 1
            if self._refused[key] >= IN_A_ROW:
                self._frozen[key] = life.ticks, now_ms + FREEZE_MS
