"""What is quoted on which book: I16 and B02 by the proof that arrived, I18 by the orders that truly rest."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dora_bot.models import Amend, Cancel, Outcome, OutcomeKind, Place, Side
from dora_bot.order_book import Ladder
from dora_bot.paper.specs import OrderView
from dora_bot.views import View
from tests.sim.clocks import BOOT_MS

if TYPE_CHECKING:
    from tests.sim.life import Life

EVIDENCE_MS = 5_000
CANCEL_MS = 7_000
"""After the last evidence of a book, the cancel of what rests on it has been tried (FAULTS B02)."""

HOUSE_MS = 500
"""The simulated feed looks that often whether its line is dead."""

STILL_MS = 1_000
"""So long an order of ours must have been left alone for its size to be compared."""


class Proofs:
    def __init__(self, broken: Callable[[str, str], None], resting: Mapping[str, OrderView]) -> None:
        """``resting``: the orders of the bot that truly rest."""
        self._broken = broken
        self._resting = resting
        self._tried_ms: dict[str, int] = {}
        """By order: when its cancel was last tried, whatever became of it."""
        self._swept_ms = 0
        self._told_ms: dict[str, int] = {}
        """By order: since when this process can know that it rests, and cancel it."""
        self.sizes = 0
        """How many levels of ours were looked for in a view."""

    def on_start(self) -> None:
        self._told_ms.clear()

    def on_told(self, client_order_id: str, now_ms: int) -> None:
        self._told_ms.setdefault(client_order_id, now_ms)

    def on_cancel(self, client_order_id: str, now_ms: int) -> None:
        self._tried_ms[client_order_id] = now_ms

    def on_outcome(self, outcome: Outcome, now_ms: int) -> None:
        if isinstance(outcome.action, Cancel):
            self.on_cancel(outcome.action.client_order_id, now_ms)
        elif outcome.kind is OutcomeKind.ACCEPTED:
            self.on_told(outcome.action.client_order_id, now_ms)

    def on_sweep(self, now_ms: int) -> None:
        """Everything of ours is being cancelled, or its group triggered."""
        self._swept_ms = now_ms

    def on_exposure(self, life: "Life", action: Place | Amend) -> None:
        """I16: when the tick began that decided this, the book was proven, by evidence of the last five seconds."""
        feed, view = life.feed, life.runtime.parts.bot.published if life.runtime else None
        assert feed is not None
        assert view is not None
        began_ms, ticker = view.now.mono_ms - BOOT_MS, action.ticker
        if feed.up and feed.proof.noticed_ms.get(ticker, began_ms) < began_ms:
            why = f"unproven since {feed.proof.noticed_ms[ticker]}"
        elif began_ms - feed.proof.proven_ms(ticker, feed.evidence_ms) > EVIDENCE_MS + HOUSE_MS:
            why = f"last proven at {feed.proof.proven_ms(ticker, feed.evidence_ms)}"
        else:
            return
        self._broken("I16", f"{action.client_order_id} decided at {began_ms} on a book {why}")

    def check_stale(self, life: "Life", now_ms: int) -> None:
        """B02: nothing rests on a book unproven for more than seven seconds without a try to cancel it."""
        feed = life.feed
        if feed is None or now_ms < life.process.paused_until_ms:
            return
        for order in self._resting.values():
            known_ms = self._told_ms.get(order.client_order_id)
            if known_ms is None:
                continue
            proven_ms = feed.proof.proven_ms(order.ticker, feed.evidence_ms)
            since_ms = max(proven_ms, known_ms, life.process.paused_until_ms)
            tried_ms = max(self._tried_ms.get(order.client_order_id, -1), self._swept_ms)
            if now_ms - since_ms > CANCEL_MS and tried_ms < proven_ms:
                self._broken("B02", f"{order.client_order_id} rests on a book last proven at {proven_ms}")

    def check_own_size(self, life: "Life", view: View, now_ms: int) -> None:
        """I18: where nothing of ours has changed lately, the view shows the book less our own orders."""
        state = life.state
        assert state is not None
        mine: dict[tuple[str, Side], dict[int, int]] = {}
        young: set[str] = set()
        for order in self._resting.values():
            level = mine.setdefault((order.ticker, order.side), {})
            level[order.price_e4] = level.get(order.price_e4, 0) + order.remaining_e2
            if now_ms - order.updated_ms < STILL_MS:
                young.add(order.ticker)
        for (ticker, side), own in mine.items():
            book, market = state.books.book(ticker), view.markets.get(ticker)
            if ticker in young or book is None or market is None or not market.book.proven:
                continue
            ladder, shown = (
                (book.bids, market.book.bids) if side is Side.BID else (book.asks, market.book.asks)
            )
            self.sizes += len(own)
            if _shows_own(ladder, dict(shown), own):
                self._broken("I18", f"the {side} of {ticker} is decided on with our own {own} in it: {shown}")


def _shows_own(ladder: Ladder, shown: dict[int, int], own: dict[int, int]) -> bool:
    return any(
        shown.get(price, 0) > max(ladder.sizes.get(price, 0) - count, 0) for price, count in own.items()
    )
