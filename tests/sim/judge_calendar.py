"""Around pauses and closes (I38, B14): by what was announced to the bot, and what truly rests.

Exchange times, Unix ms.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dora_bot.events import AccountRead, CatalogChanged, ClosuresRead, LifecycleSeen, StatusChanged
from dora_bot.models import Amend, Place
from dora_bot.paper.specs import OrderView

if TYPE_CHECKING:
    from tests.sim.life import Life

BEFORE_MS = 60_000
"""So long before a pause or a close nothing of ours rests."""

NEVER_MS = 1 << 62


class CalendarJudge:
    def __init__(self, broken: Callable[[str, str], None], resting: Mapping[str, OrderView]) -> None:
        """``resting``: the orders of the bot that truly rest."""
        self._broken = broken
        self._resting = resting
        self.on_start(0)

    def on_start(self, now_ms: int) -> None:
        """A new process knows nothing of what the one before was told."""
        self._began_ms = now_ms
        self._closures: tuple[tuple[int, int], ...] = ()
        self._told_ms = now_ms
        self._closes: dict[str, tuple[int, int]] = {}
        """By market: when it closes, and when the bot was told so."""
        self._open = True
        self._opened_ms = 0
        self._read_ms = 0

    def on_event(self, event: object, now_ms: int) -> None:
        """The bot's tick takes it in."""
        if isinstance(event, ClosuresRead):
            if event.closures != self._closures:
                self._closures, self._told_ms = event.closures, now_ms
        elif isinstance(event, StatusChanged):
            open_now = event.status.active and event.status.trading
            if open_now:
                self._opened_ms = now_ms
            self._open = open_now
        elif isinstance(event, AccountRead):  # reconciled: that of the start comes by no inbox
            self._read_ms = max(self._read_ms, event.as_of_ms)
        elif isinstance(event, LifecycleSeen) and event.close_ms:
            self._on_close(event.ticker, event.close_ms, now_ms)
        elif isinstance(event, CatalogChanged):
            for market in event.markets:
                self._on_close(market.ticker, market.close_ms or NEVER_MS, now_ms)

    def _on_close(self, ticker: str, close_ms: int, now_ms: int) -> None:
        if self._closes.get(ticker, (0, 0))[0] != close_ms:
            self._closes[ticker] = close_ms, now_ms

    def on_exposure(self, action: Place | Amend, now_ms: int) -> None:
        name = action.client_order_id
        for start_ms, end_ms in self._closures:
            if start_ms - BEFORE_MS <= now_ms < end_ms:
                self._broken("B14", f"{name} {start_ms - now_ms} ms before a pause that lasts till {end_ms}")
            elif end_ms <= now_ms and self._began_ms < end_ms:
                if self._opened_ms < end_ms:
                    self._broken("I38", f"{name} after a pause, before trading was seen again")
                elif self._read_ms < end_ms:
                    self._broken("I38", f"{name} after a pause, before the account was read again")
        if not self._open:
            self._broken("I38", f"{name} although the exchange was seen closed")
        close_ms, _ = self._closes.get(action.ticker, (NEVER_MS, 0))
        if close_ms - BEFORE_MS <= now_ms:
            self._broken("B14", f"{name} {close_ms - now_ms} ms before {action.ticker} closes")

    def check(self, life: "Life", now_ms: int, landed_ms: Mapping[str, int], bound_ms: int) -> None:
        """Of what was announced in time, nothing rests from a minute before; with faults ``bound_ms`` longer."""
        if life.process.paused_until_ms:
            return  # it may have slept through all of it
        for order in self._resting.values():
            begins = [(start, self._told_ms) for start, end in self._closures if now_ms < end]
            begins.append(self._closes.get(order.ticker, (NEVER_MS, 0)))
            for start_ms, told_ms in begins:
                since_ms = max(
                    start_ms - BEFORE_MS, told_ms, self._began_ms, landed_ms.get(order.order_id, 0)
                )
                if now_ms - since_ms > bound_ms:
                    left_ms = start_ms - now_ms
                    self._broken(
                        "B14", f"{order.client_order_id} rests {left_ms} ms before {order.ticker} stops"
                    )
