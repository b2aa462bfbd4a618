"""Chosen actions → exchange calls. Cancels go first and always; exposure writes only through the gate.

Every action ends in exactly one `Outcome`. The intents are durable before the first byte leaves; if they cannot be
made durable, nothing that adds exposure is sent. What was not sent is *denied locally*: provably without effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from dora_bot.errors import StoreError
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
)
from dora_bot.ports import Clock, Exchange, Gate, Journal

Kind = TypeVar("Kind", bound=Action)

LAST_START_MS = 300
"""No exposure write starts later than this into a tick: it would be decided on an old view (FAULTS B07)."""

BATCH = 20
"""Orders in one batch call. A batch must fit the exchange's bucket whole, and half of Basic's holds 25 cancels."""


@dataclass(frozen=True, slots=True)
class Executor:
    """The only path from an approved action to the wire."""

    exchange: Exchange
    journal: Journal
    gate: Gate
    clock: Clock

    def run(self, actions: Sequence[Action], tick_start: Instant) -> list[Outcome]:
        """Send everything and wait for every outcome."""
        if not actions:
            return []
        cancels = [a for a in actions if isinstance(a, Cancel)]
        exposure = [a for a in actions if not isinstance(a, Cancel)]
        undurable = self._intend(actions, tick_start)
        outcomes = self.exchange.cancel_orders(cancels) if cancels else []
        refusal = undurable or self._late(tick_start) or self.gate.refusal(self.clock.now())
        outcomes += _denied(exposure, refusal) if refusal and exposure else self._expose(exposure, tick_start)
        self._settle(outcomes)
        return outcomes

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        try:
            self.journal.settle(outcomes, self.clock.now())
        except StoreError:
            # policy: the intents stay open, and the tick meets the same journal when it records, and stops quoting
            return

    def _intend(self, actions: Sequence[Action], now: Instant) -> str:
        try:
            self.journal.intend(actions, now)
        except StoreError as error:
            return f"journal: {error}"
        return ""

    def _expose(self, actions: Sequence[Action], tick_start: Instant) -> list[Outcome]:
        amends = [a for a in actions if isinstance(a, Amend)]
        places = [a for a in actions if isinstance(a, Place)]
        outcomes = self.exchange.amend_orders(amends) if amends else []
        for batch in _batches(places):
            refusal = self._late(tick_start) or self.gate.refusal(self.clock.now())
            doubtful = {o.action.ticker for o in outcomes if o.kind is OutcomeKind.UNKNOWN}
            held = [p for p in batch if refusal or p.ticker in doubtful]
            sent = [p for p in batch if p not in held]
            outcomes += _denied(held, refusal or "another write of this market has no known end")
            outcomes += self.exchange.place_orders(sent) if sent else []
        return outcomes

    def _late(self, tick_start: Instant) -> str:
        spent = self.clock.now().mono_ms - tick_start.mono_ms
        return f"{spent} ms into the tick" if spent > LAST_START_MS else ""


def _batches(actions: Sequence[Kind]) -> list[Sequence[Kind]]:
    return [actions[at : at + BATCH] for at in range(0, len(actions), BATCH)]


def _denied(actions: Sequence[Action], why: str) -> list[Outcome]:
    return [Outcome(a, OutcomeKind.DENIED_LOCALLY, code="gate", detail=why) for a in actions]
