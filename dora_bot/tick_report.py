"""What one tick did, for log, metrics, dashboard and tape; and which decisions are worth writing down."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dora_bot.ceilings import Ceilings
from dora_bot.config import GlobalConfig, MarketConfig
from dora_bot.models import (
    Amend,
    Cancel,
    Fill,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
    Quote,
)
from dora_bot.records import DecisionRow
from dora_bot.risk_manager import Verdict
from dora_bot.views import Decision, Stance, View


@dataclass(frozen=True, slots=True)
class TickReport:
    number: int
    started: Instant
    done: Instant
    view: View
    stance: Stance
    decided: Mapping[str, Decision]
    verdict: Verdict
    outcomes: tuple[Outcome, ...]
    fills: tuple[Fill, ...] = ()
    woken: Instant | None = None

    @property
    def reaction_ms(self) -> int | None:
        """From the moment an event woke the tick until its first write was answered; None where nothing was sent."""
        if self.woken is None or not self.outcomes:
            return None
        return self.done.mono_ms - self.woken.mono_ms

    @property
    def took_ms(self) -> int:
        return self.done.mono_ms - self.started.mono_ms

    def count(self, kind: type[Place] | type[Amend] | type[Cancel]) -> int:
        """How many actions of a kind the exchange accepted."""
        return sum(isinstance(o.action, kind) and o.kind is OutcomeKind.ACCEPTED for o in self.outcomes)

    def renewals(self) -> int:
        return sum(o.action.reason == "renew" and o.kind is OutcomeKind.ACCEPTED for o in self.outcomes)

    def ended(self, kind: OutcomeKind) -> int:
        """How many actions ended so."""
        return sum(o.kind is kind for o in self.outcomes)

    def line(self) -> dict[str, object]:
        """The object that ``dora run --json`` prints: facts of this tick, no state."""
        return {
            "tick": self.number,
            "time_ms": self.started.exchange_ms,
            "took_ms": self.took_ms,
            "posture": self.stance.posture.name,
            "reasons": list(self.stance.reasons),
            "markets": len(self.decided),
            "quotes": sum(len(d.quotes) for d in self.decided.values()),
            "placed": self.count(Place),
            "amended": self.count(Amend),
            "renewed": self.renewals(),
            "cancelled": self.count(Cancel),
            "fills": len(self.fills),
            "unknown": self.ended(OutcomeKind.UNKNOWN),
            "refused": self.ended(OutcomeKind.REFUSED),
            "vetoed": [f"{r.action.ticker} {r.check}: {r.reason}" for r in self.verdict.refused],
        }


def config_hash(market: MarketConfig, everywhere: GlobalConfig | None, ceilings: Ceilings) -> str:
    """Names everything that was configured for a market at a moment: the history of its items tells what it was."""
    told = (market.model_dump_json(), everywhere.model_dump_json() if everywhere else "", ceilings.source)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Decisions:
    """Remembers the last decision of each market: only a change is worth a row. ``code`` names the program."""

    code: str = ""

    _last: dict[str, tuple[str, tuple[Quote, ...]]] = field(default_factory=dict)

    def changed(
        self,
        view: View,
        decided: Mapping[str, Decision],
        outcomes: Sequence[Outcome],
        account_as_of_ms: int = 0,
    ) -> list[DecisionRow]:
        rows = []
        for ticker, decision in decided.items():
            # The numbers in a reason change with every book; its first word group names the kind.
            key = (decision.reason.split(" ", 1)[0], decision.quotes)
            if self._last.get(ticker) == key:
                continue
            self._last[ticker] = key
            market = view.markets[ticker]
            own = [o.action for o in outcomes if o.action.ticker == ticker and o.kind is OutcomeKind.ACCEPTED]
            rows.append(
                DecisionRow(
                    ticker=ticker,
                    time_ms=view.now.exchange_ms,
                    bids=market.book.bids[:3],
                    asks=market.book.asks[:3],
                    inventory_e2=market.position.net_e2,
                    quotes=decision.quotes,
                    placed=sum(isinstance(a, Place) for a in own),
                    cancelled=sum(isinstance(a, Cancel) for a in own),
                    reason=decision.reason,
                    book_version=market.book.version,
                    # Our estimate of the exchange's time may lie a little behind a change that just came.
                    book_age_ms=max(view.now.exchange_ms - market.book.changed_ms, 0),
                    account_age_ms=max(view.now.exchange_ms - account_as_of_ms, 0),
                    config=config_hash(market.config, view.global_config, view.ceilings),
                    code=self.code,
                )
            )
        return rows
