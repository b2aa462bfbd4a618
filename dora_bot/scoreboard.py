"""Running totals of a run: what the report, the status and the metrics count."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from dora_bot.models import (
    Amend,
    Cancel,
    Fill,
    OutcomeKind,
    Place,
)
from dora_bot.reconcile import Reconciled
from dora_bot.tick_report import TickReport

KEPT = 20_000
"""Tick times remembered for the percentiles: almost three hours at 500 ms."""


@dataclass(slots=True)
class Scoreboard:
    """Written by the tick thread only; readers on other threads see whole numbers, at worst one tick old."""

    ticks: int = 0
    placed: int = 0
    amended: int = 0
    cancelled: int = 0
    renewals: int = 0
    unknown: int = 0
    refused: int = 0
    fills: int = 0
    contracts_e2: int = 0
    last_fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=10))
    tick_ms: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    reaction_ms: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    reasons: dict[str, str] = field(default_factory=dict)
    mismatches: tuple[str, ...] = ()
    foreign: int = 0
    last: TickReport | None = None

    def add(self, report: TickReport) -> None:
        self.ticks += 1
        self.placed += report.count(Place)
        self.amended += report.count(Amend) - report.renewals()
        self.renewals += report.renewals()
        self.cancelled += report.count(Cancel)
        self.unknown += report.ended(OutcomeKind.UNKNOWN)
        self.refused += report.ended(OutcomeKind.REFUSED)
        self.tick_ms.append(report.took_ms)
        if report.reaction_ms is not None:
            self.reaction_ms.append(report.reaction_ms)
        for fill in report.fills:
            self.fills += 1
            self.contracts_e2 += fill.count_e2
            self.last_fills.append(fill)
        self.reasons = {ticker: decision.reason for ticker, decision in report.decided.items()}
        self.last = report

    def add_reconciled(self, result: Reconciled) -> None:
        self.mismatches = result.mismatches
        self.foreign = len(result.foreign_orders)


def percentile(values: Sequence[int], share: float) -> int:
    """The value that ``share`` of all are not above; 0 for none."""
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
