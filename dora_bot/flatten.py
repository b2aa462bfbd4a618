"""Close positions now, and never open one: own orders away first, then reduce-only orders that do not rest.

The exchange caps a reduce-only order by the position it finds, so repeating one whose reply was lost cannot turn a
long into a short. Prices are bounded by the best price seen first: a book that runs away is not chased.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dora_bot.errors import ExchangeError
from dora_bot.events import BookSnapshot
from dora_bot.models import Cancel, Market, OutcomeKind, Place, Side, TimeInForce
from dora_bot.ports import AccountReader, Clock
from dora_bot.units import price_text

QUIET_MS = 1_500
"""A running bot takes a pause within a second; no order of its own seen for this long means that it did."""

_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class Flattened:
    """One market: signed contracts before and after, and why some are left."""

    ticker: str
    before_e2: int
    left_e2: int
    reason: str = ""


@dataclass(slots=True)
class Flattener:
    """``ticker``: this market only, all if empty. ``within_e4``: how far from the best price an order may go."""

    exchange: AccountReader
    clock: Clock
    prefix: str
    within_e4: int
    ticker: str = ""
    say: Callable[[str], None] = lambda _: None

    def positions(self) -> dict[str, int]:
        """Raises `ExchangeError` if they cannot be read."""
        held = {p.ticker: p.net_e2 for p in self.exchange.get_positions() if p.net_e2}
        return {t: net for t, net in held.items() if self.ticker in ("", t)}

    def withdraw(self, patience_s: float) -> int:
        """Cancel own orders until none was seen for a while. Returns how many still rest; -1: not readable."""
        started = quiet_since = self.clock.now().mono_ms
        left = -1
        while (now := self.clock.now().mono_ms) - started < patience_s * 1_000:
            if left == 0 and now - quiet_since >= QUIET_MS:
                return 0
            try:
                orders = [
                    Cancel(o.client_order_id, o.order_id, o.ticker, o.exchange_index, "flatten")
                    for o in self.exchange.get_open_orders()
                    if o.client_order_id.startswith(self.prefix) and self.ticker in ("", o.ticker)
                ]
                left = len(orders)
                if orders:
                    quiet_since = now
                    self.exchange.cancel_orders(orders)
            except ExchangeError as error:
                left, quiet_since = -1, now
                self.say(f"trying again: {error}")
            self.clock.sleep(_PAUSE_S)
        return left

    def close(self, patience_s: float) -> list[Flattened]:
        """Close every position in question. Raises `ExchangeError` if positions or markets cannot be read at first."""
        before = self.positions()
        markets = {m.ticker: m for m in self.exchange.get_markets(tickers=sorted(before))}
        give_up = self.clock.now().mono_ms + patience_s * 1_000
        bounds: dict[str, int] = {}
        reasons: dict[str, str] = {}
        left = dict(before)
        sent = 0
        while left and self.clock.now().mono_ms < give_up:
            for ticker, net in left.items():
                sent += 1
                reasons[ticker] = self._reduce(markets[ticker], net, bounds, sent)
            self.clock.sleep(_PAUSE_S)
            left = self._left(left)
        return [
            Flattened(t, net, left.get(t, 0), reasons.get(t, "") if left.get(t) else "")
            for t, net in sorted(before.items())
        ]

    def _left(self, known: dict[str, int]) -> dict[str, int]:
        try:
            return self.positions()
        except ExchangeError as error:
            self.say(f"trying again: {error}")
            return known

    def _reduce(self, market: Market, net_e2: int, bounds: dict[str, int], number: int) -> str:
        """One order for all of it. Returns why something may be left, empty if nothing is known of that."""
        side = Side.ASK if net_e2 > 0 else Side.BID
        try:
            best_e4 = _best(self.exchange.get_order_book(market.ticker), side)
        except ExchangeError as error:
            return str(error)
        if best_e4 is None:
            return "nobody takes the other side"
        bound = bounds.setdefault(market.ticker, best_e4 + side.sign * self.within_e4)
        price = market.grid.ceil(bound) if side is Side.ASK else market.grid.floor(bound)
        now = self.clock.now()
        outcome = self.exchange.place_order(
            Place(
                client_order_id=f"{self.prefix}flatten-{now.exchange_ms}-{number}",
                ticker=market.ticker,
                side=side,
                price_e4=price,
                count_e2=abs(net_e2),
                expiration_ms=0,
                exchange_index=market.exchange_index,
                reason="flatten",
                post_only=False,
                time_in_force=TimeInForce.IOC,
                reduce_only=True,
            )
        )
        if outcome.kind is OutcomeKind.ACCEPTED:
            return f"too little within {price_text(price)}"
        return f"{outcome.code} {outcome.detail}".strip()


def _best(book: BookSnapshot, side: Side) -> int | None:
    """The best price on the side that an order of ours would meet."""
    if side is Side.ASK:
        return max((level.price_e4 for level in book.bids), default=None)
    return min((level.price_e4 for level in book.asks), default=None)
