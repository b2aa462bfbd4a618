"""Our belief × a read of the account → corrections. One path for the start, the regular check and after trouble.

The exchange is the truth, but a read is old: it proves only what happened before its ``as_of_ms``. Orders are
looked at before fills, so that an adopted order's missed fills are booked exactly once.
"""

from dataclasses import dataclass, field

from dora_bot import own_orders
from dora_bot.accounting import cash_e6
from dora_bot.cash_check import CashCheck
from dora_bot.events import OPERATOR, AccountRead
from dora_bot.models import ExchangeOrder, Instant
from dora_bot.pnl_check import PnlCheck
from dora_bot.state_manager import StateManager
from dora_bot.units import count_text

REFUTED_MS = 10_000
"""A fill suspected on a finished order is one no more when a read this much newer than its end shows our position."""

MISMATCH_HALT_MS = 60_000
"""A position that differs from the exchange's for this long means that we do not know what we hold."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one reconciliation changed, and what it could not explain."""

    adopted: int = 0
    fills_found: int = 0
    settled: int = 0
    foreign_orders: tuple[ExchangeOrder, ...] = ()
    mismatches: tuple[str, ...] = ()
    halt_reason: str = ""
    halt_evidence: str = ""
    unexplained_pnl_e6: int = 0
    """Told when it begins to be too much."""


@dataclass(slots=True)
class Reconciler:
    """Remembers since when a position has differed; everything else is in the state manager."""

    _differs_since: dict[str, int] = field(default_factory=dict)
    _unmet: set[str] = field(default_factory=set)
    """Markets in which we and the exchange have not agreed since the start: nothing may be risked before (FAULTS I35)."""
    last_as_of_ms: int = 0
    cash: CashCheck = field(default_factory=CashCheck)
    pnl: PnlCheck = field(default_factory=PnlCheck)

    def apply(self, read: AccountRead, state: StateManager, now: Instant) -> Reconciled:
        adopted, foreign = self._orders(read, state, now)
        fills = sum(state.book_fill(fill, now) for fill in read.fills)
        settled = sum(state.book_settlement(settlement) for settlement in read.settlements)
        mismatches, halt = self._positions(read, state, now)
        evidence = self._cash(read, state, now)
        agreed = {p.ticker for p in read.positions} - self._differs_since.keys() - self._unmet
        still = {t for t in agreed if state.moved_ms.get(t, 0) < read.as_of_ms}
        alarm = self.pnl.note(read.positions, state.positions, still, state.fills_booked)
        state.orders.bury(now)
        state.reopening.on_account(read)
        state.groups.on_account(read.as_of_ms)
        self.last_as_of_ms = max(self.last_as_of_ms, read.as_of_ms)
        halt = halt or ("cash differs from the books" if evidence else "")
        unexplained_e6 = self.pnl.unexplained_e6 if alarm else 0
        return Reconciled(
            adopted, fills, settled, foreign, mismatches, halt, evidence, unexplained_pnl_e6=unexplained_e6
        )

    def _cash(self, read: AccountRead, state: StateManager, now: Instant) -> str:
        """Why the account's cash cannot be, empty if it can."""
        if state.halts.resumed_ms:
            self.cash.accept(state.halts.resumed_ms)
        if any(halt.raised_by == OPERATOR for halt in state.halts.stops):
            self.cash.accept()  # people are at work: a deposit, a withdrawal
            return ""
        booked_e6 = sum(cash_e6(position) for position in state.positions.values())
        return self.cash.breach(read.balance, booked_e6, now.mono_ms)

    def _orders(
        self, read: AccountRead, state: StateManager, now: Instant
    ) -> tuple[int, tuple[ExchangeOrder, ...]]:
        listed: dict[str, ExchangeOrder] = {}
        foreign: list[ExchangeOrder] = []
        adopted = 0
        for told in read.orders:
            known = state.orders.find(told.client_order_id, told.order_id)
            if known is not None:
                listed[known.client_order_id] = told
            elif state.orders.is_ours(told):
                missed = sum(
                    f.count_e2 for f in read.fills if f.order_id == told.order_id and not state.knows(f)
                )
                state.orders.adopt(told, max(told.filled_e2 - missed, 0), now)
                listed[told.client_order_id] = told
                adopted += 1
            else:
                foreign.append(told)
        for order in state.orders.live():
            after = own_orders.read(order, listed.get(order.client_order_id), read.as_of_ms, now)
            state.orders.put(after, now, after.evidence)
        return adopted, tuple(foreign)

    def _positions(self, read: AccountRead, state: StateManager, now: Instant) -> tuple[tuple[str, ...], str]:
        told = {p.ticker: p.net_e2 for p in read.positions}
        held = {ticker: p.net_e2 for ticker, p in state.positions.items() if p.net_e2}
        differing: list[str] = []
        disputed: dict[str, str] = {}
        halt = ""
        if not self.last_as_of_ms:
            self._unmet = told.keys() | held.keys()
        for ticker in sorted(told.keys() | held.keys() | self._unmet | state.orders.owing()):
            ours, theirs = held.get(ticker, 0), told.get(ticker, 0)
            if ours == theirs:
                self._differs_since.pop(ticker, None)
                self._unmet.discard(ticker)
                state.orders.acquit(ticker, now, now.exchange_ms - read.as_of_ms + REFUTED_MS)
                continue
            text = f"{ticker}: we believe {count_text(ours)}, the exchange says {count_text(theirs)}"
            if ticker in self._unmet:
                disputed[ticker] = text
            if state.moved_ms.get(ticker, 0) >= read.as_of_ms:
                continue  # the read is older than our last fill: it can say nothing about what we hold now
            since = self._differs_since.setdefault(ticker, now.mono_ms)
            differing.append(text)
            if since < now.mono_ms:  # not in one read only: nothing more is risked there until they agree
                disputed[ticker] = text
            if now.mono_ms - since > MISMATCH_HALT_MS:
                halt = f"position mismatch for over a minute: {text}"
        state.disputed = disputed
        state.differing = dict.fromkeys(self._differs_since, "the last read told of another position")
        return tuple(differing), halt
