"""Recorded liquidity: a tape's ladder inside the live book, with an honest queue for our orders.

The recorded sizes stand in the same FIFO queues as account orders, in chunks between them. New size joins at
the back. Size that leaves without a trade leaves from the back first (risk-averse: those behind us go before
those ahead of us). A recorded trade eats the queue from the front, so an account order is reached only by
volume that passed what stood ahead of it, and each traded contract fills at most one account's contract.

The recorded ladder always follows the recording, whatever accounts were filled. A recorded level that would
cross an account's resting order is *hidden* while that order stands there; it can fill it only when volume
really traded at that level.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dora_bot.models import Level, Side
from dora_bot.paper.market import MarketState
from dora_bot.paper.matching import Matching
from dora_bot.paper.orders import Order
from dora_bot.paper.specs import TradeView
from dora_bot.paper.state import TAPE_ACCOUNT, State


class TapeTrade(NamedTuple):
    taker_side: Side
    price_e4: int
    count_e2: int


class RecordedLiquidity:
    """The tape's operations on one exchange's books."""

    def __init__(self, state: State, matching: Matching) -> None:
        self._state = state
        self._matching = matching
        self._tape = state.accounts[TAPE_ACCOUNT]
        state.arrange = self._arrange

    # ── the ladder ──────────────────────────────────────────────────────────────────────────────

    def set_ladder(self, market: MarketState, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        for side, levels in ((Side.BID, bids), (Side.ASK, asks)):
            wanted = dict(levels)
            for price in sorted(wanted.keys() | set(self._recorded_prices(market, side))):
                missing = wanted.get(price, 0) - self._recorded(market, side, price)
                self.delta(market, side, price, missing)

    def delta(self, market: MarketState, side: Side, price_e4: int, delta_e2: int) -> None:
        """Grow or shrink a recorded level; it never goes below nothing."""
        market.recorded = True
        hidden = market.hidden[side]
        if price_e4 in hidden or self._crosses_account(market, side, price_e4):
            left = hidden.get(price_e4, 0) + delta_e2
            if left > 0:
                hidden[price_e4] = left
            else:
                hidden.pop(price_e4, None)
            self._state.touch(market)
        elif delta_e2 > 0:
            self._join(market, side, price_e4, delta_e2)
        elif delta_e2 < 0:
            self._leave(market, side, price_e4, -delta_e2)

    def _chunks(self, market: MarketState, side: Side, price_e4: int) -> list[Order]:
        """The visible recorded chunks at a price, front first."""
        queue = market.book_side(side).queues.get(price_e4)
        return [order for order in queue.orders.values() if order.recorded] if queue is not None else []

    def _recorded(self, market: MarketState, side: Side, price_e4: int) -> int:
        shown = sum(chunk.remaining_e2 for chunk in self._chunks(market, side, price_e4))
        return shown + market.hidden[side].get(price_e4, 0)

    def _recorded_prices(self, market: MarketState, side: Side) -> Iterator[int]:
        for price in market.book_side(side).prices:
            if self._chunks(market, side, price):
                yield price
        yield from market.hidden[side]

    def _join(self, market: MarketState, side: Side, price_e4: int, count_e2: int) -> None:
        book = market.book_side(side)
        queue = book.queues.get(price_e4)
        last = next(reversed(queue.orders.values())) if queue is not None else None
        if queue is not None and last is not None and last.recorded:
            last.remaining_e2 += count_e2
            queue.total_e2 += count_e2
            chunk = last
        else:
            state = self._state
            chunk = Order(
                f"recorded-{state.n}", self._tape, market, (side, price_e4, count_e2), 0, state.now_ms
            )
            chunk.recorded = True
            book.add(chunk)
        self._state.book_changed(market, side, price_e4, count_e2, chunk)

    def _leave(self, market: MarketState, side: Side, price_e4: int, count_e2: int) -> None:
        """Recorded size goes without a trade: the backmost first."""
        book = market.book_side(side)
        for chunk in reversed(self._chunks(market, side, price_e4)):
            gone = min(count_e2, chunk.remaining_e2)
            if gone <= 0:
                return
            book.shrink(chunk, gone)
            count_e2 -= gone
            self._state.book_changed(market, side, price_e4, -gone, chunk)

    # ── hiding ──────────────────────────────────────────────────────────────────────────────────

    def _crosses_account(self, market: MarketState, side: Side, price_e4: int) -> bool:
        """Would a recorded level here trade with an order that an account has resting?"""
        best = market.book_side(side.other).best_member_price()
        return best != 0 and price_e4 * side.sign >= best * side.sign

    def _arrange(self, market: MarketState) -> None:
        """Hide the recorded levels that cross account orders, show those that no longer do."""
        if not market.recorded:
            return
        for side in (Side.BID, Side.ASK):
            for price in sorted(market.hidden[side]):
                if not self._crosses_account(market, side, price):
                    self._join(market, side, price, market.hidden[side].pop(price))
            for price in list(market.book_side(side).best_first()):
                if not self._crosses_account(market, side, price):
                    break
                self._hide(market, side, price)

    def _hide(self, market: MarketState, side: Side, price_e4: int) -> None:
        total = self._recorded(market, side, price_e4)
        self._leave(market, side, price_e4, total)
        market.hidden[side][price_e4] = total

    # ── trades ──────────────────────────────────────────────────────────────────────────────────

    def trade(self, market: MarketState, trade: TapeTrade) -> int:
        """Let a recorded trade happen here. Returns what accounts got of it.

        A seller hits every account bid at or above the trade's price before the recorded level, and the
        recorded queue ahead of it. A buyer's trade below an account's bid (the level it lifted is hidden)
        proves that somebody was selling there who would have met that bid first.
        """
        got = self._fill_accounts(market, trade.taker_side.other, trade)
        if not got:
            got = self._fill_accounts(market, trade.taker_side, trade)
        if got < trade.count_e2:
            self._print(market, trade._replace(count_e2=trade.count_e2 - got))
        return got

    def _fill_accounts(self, market: MarketState, side: Side, trade: TapeTrade) -> int:
        """Run the volume down the queues of one side, best price first, down to the trade's price."""
        left, got = trade.count_e2, 0
        book = market.book_side(side)
        at_trade_price = side is trade.taker_side.other
        recorded_left = trade.count_e2 if at_trade_price else 0
        for price in list(book.best_first()):
            if left <= 0 or price * side.sign < trade.price_e4 * side.sign:
                break
            queue = book.queues.get(price)
            for order in list(queue.orders.values()) if queue is not None else ():
                if left <= 0:
                    break
                if not order.recorded:
                    filled = self._matching.fill(order, left, self._tape)
                    got += filled
                    left -= filled
                    continue
                # Recorded size ahead absorbs the volume; it shrinks only where the recording says so.
                absorbed = min(left, order.remaining_e2)
                left -= absorbed
                if price == trade.price_e4 and recorded_left:
                    recorded_left -= absorbed
                    book.shrink(order, absorbed)
                    self._state.book_changed(market, side, price, -absorbed, order)
        if at_trade_price and recorded_left:
            self.delta(market, side, trade.price_e4, -recorded_left)
        return got

    def _print(self, market: MarketState, trade: TapeTrade) -> None:
        state = self._state
        view = TradeView(
            state.new_id(), market.spec.ticker, trade.price_e4, trade.count_e2, trade.taker_side, state.now_ms
        )
        state.trade_printed(view, (TAPE_ACCOUNT, ""), (TAPE_ACCOUNT, ""))
