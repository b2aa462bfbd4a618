"""Price-time matching and what one execution does to both sides: book, orders, money, groups.

Execution is at the resting order's price. An order meets its own account's orders never: self-trade
prevention cancels the taker's rest, or the maker.
"""

from dataclasses import dataclass

from dora_bot.paper.accounts import Account, claim_for, leg_price
from dora_bot.paper.events import GroupKind
from dora_bot.paper.market import BookSide, MarketState
from dora_bot.paper.orders import Order, OrderGroup
from dora_bot.paper.specs import FillView, OrderStatus, Reason, TradeView
from dora_bot.paper.state import State


@dataclass(slots=True)
class Executed:
    """What one order matched in one go: contracts, their YES value and the order's fees on them."""

    count_e2: int = 0
    cost_e6: int = 0
    fee_e6: int = 0


class Matching:
    """The book's mechanics over the shared state."""

    def __init__(self, state: State) -> None:
        self._state = state

    # ── taking ──────────────────────────────────────────────────────────────────────────────────

    def execute(self, taker: Order, cap_e2: int | None = None) -> Executed:
        """Match an order that is not in the book against it, at most ``cap_e2``; leaves the rest to the caller."""
        done = Executed()
        book = taker.market.book_side(taker.side.other)
        limit = taker.price_e4 * taker.side.sign
        while taker.remaining_e2 and (cap_e2 is None or done.count_e2 < cap_e2):
            price = book.best()
            if not price or price * taker.side.sign > limit:
                break
            maker = book.front(price)
            if maker.owner is taker.owner:
                if taker.stp == "taker_at_cross":
                    self.end(taker, Reason.SELF_TRADE)
                    break
                self.cancel(maker, Reason.SELF_TRADE)
                continue
            count = min(taker.remaining_e2, maker.remaining_e2)
            if cap_e2 is not None:
                count = min(count, cap_e2 - done.count_e2)
            self._trade(maker, taker, count, done)
            if taker.group is not None and taker.group.triggered:
                self.end(taker, Reason.NONE)
                break
        return done

    def could_fill(self, taker: Order) -> bool:
        """May a fill-or-kill order go ahead: enough to trade with, or its own order in the way.

        An order that meets its own account before it is full is not rolled back; it runs like an IOC.
        """
        book = taker.market.book_side(taker.side.other)
        needed = taker.remaining_e2
        for price in book.best_first():
            if price * taker.side.sign > taker.price_e4 * taker.side.sign:
                break
            for maker in book.queues[price].orders.values():
                if maker.owner is taker.owner:
                    return True
                needed -= maker.remaining_e2
                if needed <= 0:
                    return True
        return False

    def fill(self, maker: Order, count_e2: int, counterparty: Account) -> int:
        """Somebody trades with this resting order at its price, whatever stands ahead. Returns the count."""
        count = min(count_e2, maker.remaining_e2)
        if count <= 0:
            return 0
        state = self._state
        taker = Order(
            state.new_id(),
            counterparty,
            maker.market,
            (maker.side.other, maker.price_e4, count),
            0,
            state.now_ms,
        )
        self._trade(maker, taker, count, Executed())
        return count

    def _trade(self, maker: Order, taker: Order, count_e2: int, done: Executed) -> None:
        state, market, price = self._state, maker.market, maker.price_e4
        market.book_side(maker.side).shrink(maker, count_e2)
        state.book_changed(market, maker.side, price, -count_e2, maker)
        taker.remaining_e2 -= count_e2
        trade = TradeView(state.new_id(), market.spec.ticker, price, count_e2, taker.side, state.now_ms)
        state.trade_printed(trade, (maker.owner.name, maker.order_id), (taker.owner.name, taker.order_id))
        self._book(maker, trade, is_taker=False)
        fee = self._book(taker, trade, is_taker=True)
        done.count_e2 += count_e2
        done.cost_e6 += price * count_e2
        done.fee_e6 += fee
        maker.reason = Reason.TRADE
        if maker.remaining_e2 == 0:
            maker.status = OrderStatus.EXECUTED
            self._forget(maker)
        else:
            self.reserve(maker)
        state.order_changed(maker)
        for order in (maker, taker):
            if order.group is not None:
                self._count_match(order.owner, order.group, count_e2)

    def _book(self, order: Order, trade: TradeView, *, is_taker: bool) -> int:
        """One side of a trade: fee, position, cash, the fill record. Returns the fee."""
        state, market, count = self._state, order.market, trade.count_e2
        holding, private = order.holding, not order.owner.house
        order.filled_e2 += count
        fee = 0
        if private:
            account = order.fee_account(state.options.rounding)
            charge = account.charge(market.charged, order.side, trade.price_e4, count, is_taker=is_taker)
            fee = charge.net_e6
        long_before = max(holding.net_e2, 0)
        holding.trade(order.side, trade.price_e4, count, fee, state.now_ms)
        market.open_interest_e2 += max(holding.net_e2, 0) - long_before
        if private:
            cost = leg_price(order.side, trade.price_e4) * count
            if is_taker:
                order.taker_cost_e6 += cost
                order.taker_fees_e6 += fee
            else:
                order.maker_cost_e6 += cost
                order.maker_fees_e6 += fee
            spec = market.spec
            fill = FillView(
                trade.trade_id, order.order_id, order.client_order_id, order.owner.name, order.subaccount,
                spec.ticker, spec.exchange_index, order.side, trade.price_e4, count, is_taker, fee,
                holding.net_e2, state.now_ms,
            )  # fmt: skip
            order.owner.fills.append(fill)
            holding.relock()
            state.fill_made(fill)
            state.position_changed(order.owner, holding)
        return fee

    # ── resting and leaving ─────────────────────────────────────────────────────────────────────

    def rest(self, order: Order) -> None:
        """The order joins the back of the queue at its price."""
        order.market.book_side(order.side).add(order)
        order.owner.resting[order.order_id] = order
        order.owner.orders[order.order_id] = order
        self._state.orders[order.order_id] = order
        if order.group is not None:
            order.group.resting[order.order_id] = order
        if not order.owner.house:
            order.holding.rest(order)
            self.reserve(order)
        self._state.book_changed(order.market, order.side, order.price_e4, order.remaining_e2, order)

    def lift(self, order: Order) -> None:
        """Take a live order out of its queue, to be matched again."""
        order.market.book_side(order.side).remove(order)
        self._forget(order)
        self._state.book_changed(order.market, order.side, order.price_e4, -order.remaining_e2, order)

    def reserve(self, order: Order) -> None:
        """Lock what the resting order needs now."""
        if order.owner.house:
            return
        claim = claim_for(
            order.side, order.price_e4, order.remaining_e2, order.market.charged, may_take=False
        )
        order.holding.reserve_again(order, claim.reserve_e6)
        order.holding.relock()

    def shrink(self, order: Order, by_e2: int) -> None:
        """Take size off a resting order; it keeps its place."""
        self.book_side(order).shrink(order, by_e2)
        self._state.book_changed(order.market, order.side, order.price_e4, -by_e2, order)
        self.reserve(order)

    def requeue(self, order: Order, more_e2: int) -> None:
        """A larger order at the same price goes to the back of its queue."""
        side = self.book_side(order)
        side.remove(order)
        order.remaining_e2 += more_e2
        side.add(order)
        self._state.book_changed(order.market, order.side, order.price_e4, more_e2, order)
        self.reserve(order)

    def cancel(self, order: Order, reason: Reason) -> int:
        """Take a resting order out for good. Returns what rested."""
        count = order.remaining_e2
        self.lift(order)
        self.end(order, reason)
        self._state.order_changed(order)
        return count

    def end(self, order: Order, reason: Reason) -> None:
        """Nothing of the order is left to trade."""
        order.remaining_e2 = 0
        order.status = OrderStatus.CANCELED
        order.reason = reason

    @staticmethod
    def book_side(order: Order) -> BookSide:
        return order.market.book_side(order.side)

    def _forget(self, order: Order) -> None:
        owner = order.owner
        owner.resting.pop(order.order_id, None)
        if order.group is not None:
            order.group.resting.pop(order.order_id, None)
        if owner.house:
            owner.orders.pop(order.order_id, None)
            self._state.orders.pop(order.order_id, None)
        else:
            order.holding.unrest(order)
            order.holding.relock()

    def cancel_market(self, market: MarketState, reason: Reason) -> None:
        """Cancel every order of a market, oldest queue places first, recorded liquidity included."""
        for side in (market.bids, market.asks):
            for price in list(side.best_first()):
                for order in list(side.queues[price].orders.values()):
                    self.cancel(order, reason)
        for hidden in market.hidden.values():
            hidden.clear()

    # ── order groups ────────────────────────────────────────────────────────────────────────────

    def _count_match(self, account: Account, group: OrderGroup, count_e2: int) -> None:
        group.match(count_e2, self._state.now_ms)
        if not group.triggered and group.is_over(self._state.now_ms):
            self.trigger(account, group)

    def trigger(self, account: Account, group: OrderGroup) -> None:
        """Cancel the group's resting orders and refuse new ones until it is reset."""
        group.triggered = True
        self._state.group_changed(account, group, GroupKind.TRIGGERED)
        self.cancel_group(group)

    def cancel_group(self, group: OrderGroup) -> None:
        for order in list(group.resting.values()):
            self.cancel(order, Reason.NONE)
