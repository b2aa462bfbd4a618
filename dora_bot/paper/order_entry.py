"""Order entry: create, amend, decrease, cancel, cancel-all – the venue's rules around the matching."""

from functools import partial

from dora_bot.models import TimeInForce
from dora_bot.paper.accounts import Account, claim_for
from dora_bot.paper.market import MarketState
from dora_bot.paper.matching import Executed, Matching
from dora_bot.paper.order_checks import (
    check_active,
    check_cancellable,
    check_count,
    check_expiration,
    check_group,
    check_new_client_id,
    check_not_paused,
    check_price,
    check_terms,
    find_resting,
)
from dora_bot.paper.orders import Order
from dora_bot.paper.specs import (
    AmendRequest,
    DecreaseRequest,
    OrderRequest,
    OrderStatus,
    Reason,
    Receipt,
    Reduced,
    Refused,
    not_found,
)
from dora_bot.paper.state import TAPE_ACCOUNT, State

TAIL_DELAY_MS = 500
"""How long an order lives that was created inside the tail of a cancel-all."""

EXPIRY_RETRY_MS = 1_000
"""How often expiries that are suspended look whether they still are."""


class OrderEntry:
    """The write operations of members; every method is one step's body and may raise `Refused`."""

    def __init__(self, state: State, matching: Matching) -> None:
        self._state = state
        self._matching = matching

    # ── create ──────────────────────────────────────────────────────────────────────────────────

    def create(self, account: Account, request: OrderRequest) -> Receipt:
        state = self._state
        market = state.market(request.ticker)
        self._admit(account, market, request)
        group = check_group(state, account, request, market)
        crosses = market.crosses(request.side, request.price_e4)
        if not account.house:
            self._check_funds(account, market, request, may_take=crosses and not request.post_only)
        order = self._record(account, market, request)
        order.group = group
        ghost_ms = state.bend.ghost_ms
        if request.post_only and (crosses or ghost_ms is not None):
            self._matching.end(order, Reason.POST_ONLY)
            if ghost_ms:
                state.at(state.now_ms + ghost_ms, partial(self._report, order))
            else:
                self._report(order)
            raise Refused(400, "invalid_order", details="post only cross")
        return self._receipt(order, self._run(order, request))

    def _admit(self, account: Account, market: MarketState, request: OrderRequest) -> None:
        """Everything that can be refused without looking at money or the book."""
        state = self._state
        shard = market.spec.exchange_index
        if request.shard is not None and request.shard != shard:
            raise not_found()
        check_not_paused(state, shard)
        check_active(market)
        if not account.house and request.client_order_id:
            check_new_client_id(account, request.client_order_id)
        check_count(request.count_e2)
        check_price(market, request.price_e4)
        check_terms(state, request)

    @staticmethod
    def _check_funds(account: Account, market: MarketState, request: OrderRequest, *, may_take: bool) -> None:
        holding = account.holding(market.spec, request.subaccount)
        count = request.count_e2
        if request.reduce_only:
            count = min(count, holding.closable_e2(request.side))
        claim = claim_for(request.side, request.price_e4, count, market.charged, may_take=may_take)
        if not holding.affords(claim):
            raise Refused(400, "insufficient_balance")

    def _record(self, account: Account, market: MarketState, request: OrderRequest) -> Order:
        state = self._state
        limit = (request.side, request.price_e4, request.count_e2)
        order = Order(state.new_id(), account, market, limit, request.subaccount, state.now_ms)
        order.client_order_id = request.client_order_id
        order.stp = request.stp
        order.post_only = request.post_only
        order.cancel_on_pause = request.cancel_on_pause
        order.expiration_ms = request.expiration_ms or 0
        if not account.house:
            account.orders[order.order_id] = order
            state.orders[order.order_id] = order
            if request.client_order_id:
                account.client_ids.add(request.client_order_id)
        return order

    def _run(self, order: Order, request: OrderRequest) -> Executed:
        """Match, then let the rest rest or end, as the time in force says."""
        cap = order.holding.closable_e2(order.side) if request.reduce_only else None
        if cap == 0 or (request.time_in_force is TimeInForce.FOK and not self._matching.could_fill(order)):
            done = Executed()
        else:
            done = self._matching.execute(order, cap)
        if order.status is not OrderStatus.RESTING:
            pass  # self-trade prevention or its group has ended it
        elif order.remaining_e2 == 0:
            order.status, order.reason = OrderStatus.EXECUTED, Reason.TRADE
        elif request.time_in_force is TimeInForce.GTC:
            self._come_to_rest(order)
        else:
            capped = cap is not None and done.count_e2 >= cap
            self._matching.end(order, Reason.REDUCE_ONLY if capped else Reason.NONE)
        self._report(order)
        return done

    def _come_to_rest(self, order: Order) -> None:
        if order.filled_e2:
            order.reason = Reason.TRADE
        self._matching.rest(order)
        if order.expiration_ms:
            self._schedule_expiry(order)
        if self._is_swept(order):
            self._state.at(self._state.now_ms + TAIL_DELAY_MS, partial(self._sweep, order))

    def _report(self, order: Order) -> None:
        self._state.order_changed(order)

    def _receipt(self, order: Order, done: Executed) -> Receipt:
        return Receipt(
            order.order_id,
            order.client_order_id,
            order.filled_e2,
            order.remaining_e2,
            done.count_e2,
            done.cost_e6,
            done.fee_e6,
            self._state.now_ms,
        )

    # ── expiry and the tail of a cancel-all ─────────────────────────────────────────────────────

    def _schedule_expiry(self, order: Order) -> None:
        due_ms = order.expiration_ms + (self._state.expiry_late_ms or 0)
        self._state.at(due_ms, partial(self._expire, order, order.expiration_ms))

    def _expire(self, order: Order, expiration_ms: int) -> None:
        """Unless the order is gone or was given another expiry since, or expiries run late by now."""
        if order.status is not OrderStatus.RESTING or order.expiration_ms != expiration_ms:
            return
        state, late_ms = self._state, self._state.expiry_late_ms
        due_ms = state.now_ms + EXPIRY_RETRY_MS if late_ms is None else expiration_ms + late_ms
        if due_ms > state.now_ms:
            state.at(due_ms, partial(self._expire, order, expiration_ms))
        else:
            self._matching.cancel(order, Reason.EXPIRY)

    def _is_swept(self, order: Order) -> bool:
        account, now_ms = order.owner, self._state.now_ms
        if not account.sweeps:
            return False
        account.sweeps = [sweep for sweep in account.sweeps if sweep[1] > now_ms]
        return any(subaccount in {None, order.subaccount} for subaccount, _ in account.sweeps)

    def _sweep(self, order: Order) -> None:
        if order.status is OrderStatus.RESTING:
            self._matching.cancel(order, Reason.NONE)

    # ── amend ───────────────────────────────────────────────────────────────────────────────────

    def amend(self, account: Account, request: AmendRequest) -> Receipt:
        state = self._state
        order = find_resting(account, request.order_id, request.shard, request.subaccount)
        check_not_paused(state, request.shard)
        check_active(order.market)
        self._check_amend(order, request)
        remaining = request.total_e2 - order.filled_e2
        self._check_amend_funds(order, request.price_e4, remaining)
        self._apply_terms(order, request)
        done = self._apply_amend(order, request.price_e4, remaining)
        self._report(order)
        return self._receipt(order, done)

    def _check_amend(self, order: Order, request: AmendRequest) -> None:
        if request.ticker != order.market.spec.ticker:
            raise Refused(400, "order_ticker_mismatch")
        if request.side is not order.side:
            raise Refused(400, "order_side_mismatch")
        if request.client_order_id and request.client_order_id != order.client_order_id:
            raise Refused(400, "order_id_and_client_order_id_mismatch")
        if request.updated_client_order_id and request.updated_client_order_id != order.client_order_id:
            check_new_client_id(order.owner, request.updated_client_order_id)
        check_count(request.total_e2 - order.filled_e2)
        # A grid change leaves orders on prices that are off the new grid; those may keep their price.
        if request.price_e4 != order.price_e4:
            check_price(order.market, request.price_e4)
        if request.expiration_ms:
            check_expiration(self._state, request.expiration_ms)

    def _check_amend_funds(self, order: Order, price_e4: int, remaining_e2: int) -> None:
        """A post-only order must not cross; any order must stay affordable."""
        moved = price_e4 != order.price_e4
        crosses = moved and order.market.crosses(order.side, price_e4)
        if crosses and order.post_only:
            raise Refused(400, "invalid_order", details="post only cross")
        if order.owner.house or not (moved or remaining_e2 > order.remaining_e2):
            return
        claim = claim_for(order.side, price_e4, remaining_e2, order.market.charged, may_take=crosses)
        if not order.holding.affords(claim, order):
            raise Refused(400, "insufficient_balance")

    def _apply_terms(self, order: Order, request: AmendRequest) -> None:
        if request.updated_client_order_id:
            order.client_order_id = request.updated_client_order_id
            order.owner.client_ids.add(request.updated_client_order_id)
        if request.expiration_ms is not None and request.expiration_ms != order.expiration_ms:
            order.expiration_ms = request.expiration_ms
            if order.expiration_ms:
                self._schedule_expiry(order)

    def _apply_amend(self, order: Order, price_e4: int, remaining_e2: int) -> Executed:
        """Keep the place for a smaller size or none at all; otherwise go to the back, or trade."""
        matching = self._matching
        change = remaining_e2 - order.remaining_e2
        order.reason = Reason.AMEND
        order.initial_e2 = order.filled_e2 + remaining_e2
        if price_e4 == order.price_e4:
            if change < 0:
                matching.shrink(order, -change)
            elif change > 0:
                matching.requeue(order, change)
            return Executed()
        matching.lift(order)
        order.price_e4, order.remaining_e2 = price_e4, remaining_e2
        done = matching.execute(order)
        if order.status is OrderStatus.RESTING:
            if order.remaining_e2:
                matching.rest(order)
            else:
                order.status, order.reason = OrderStatus.EXECUTED, Reason.TRADE
        return done

    # ── decrease and cancel ─────────────────────────────────────────────────────────────────────

    def decrease(self, account: Account, request: DecreaseRequest) -> Reduced:
        order = find_resting(account, request.order_id, request.shard, request.subaccount)
        check_not_paused(self._state, request.shard)
        check_active(order.market)
        by_e2 = self._reduction(order, request)
        if by_e2 == order.remaining_e2:
            self._matching.cancel(order, Reason.DECREASE)
        else:
            self._matching.shrink(order, by_e2)
            order.initial_e2 -= by_e2
            order.reason = Reason.DECREASE
            self._report(order)
        return self._reduced(order, by_e2)

    @staticmethod
    def _reduction(order: Order, request: DecreaseRequest) -> int:
        """By how much; only ever less than what rests, and exactly one way of saying it."""
        by_e2, to_e2 = request.reduce_by_e2, request.reduce_to_e2
        if (by_e2 is None) == (to_e2 is None):
            raise Refused(400, "invalid_parameters", details="exactly one of reduce_by and reduce_to")
        wanted = by_e2 if by_e2 is not None else order.remaining_e2 - (to_e2 or 0)
        if not 0 < wanted <= order.remaining_e2:
            raise Refused(400, "invalid_order_size")
        return wanted

    def cancel(self, account: Account, order_id: str, shard: int, subaccount: int | None) -> Reduced:
        order = find_resting(account, order_id, shard, subaccount)
        check_not_paused(self._state, shard, cancels_too=False)
        check_cancellable(order.market)
        return self._reduced(order, self._matching.cancel(order, Reason.NONE))

    def cancel_all(self, account: Account, subaccount: int | None) -> int:
        """Every order that may be cancelled now, on all shards; later ones within the tail go too."""
        state = self._state
        bend, cancelled = state.bend, 0
        reached = list(account.resting.values())
        for order in reached[: len(reached) - bend.spare_newest] if bend.spare_newest else reached:
            shard = order.market.spec.exchange_index
            if subaccount not in {None, order.subaccount} or not bend.reaches(shard):
                continue
            try:
                check_not_paused(state, shard, cancels_too=False)
                check_cancellable(order.market)
            except Refused:
                continue  # what cannot be cancelled now stays; the reply is 204 all the same
            self._matching.cancel(order, Reason.NONE)
            cancelled += 1
        tail_ms = state.options.cancel_all_tail_ms if bend.tail_ms is None else bend.tail_ms
        if tail_ms and not account.house:
            account.sweeps.append((subaccount, state.now_ms + tail_ms))
        return cancelled

    # ── by the operator ─────────────────────────────────────────────────────────────────────────

    def fill_order(self, order_id: str, count_e2: int) -> int:
        """Let the anonymous counterparty trade with a resting order, whatever stands ahead of it."""
        state = self._state
        return self._matching.fill(self._find_any(order_id), count_e2, state.accounts[TAPE_ACCOUNT])

    def operator_cancel(self, order_id: str) -> None:
        self._matching.cancel(self._find_any(order_id), Reason.NONE)

    def _find_any(self, order_id: str) -> Order:
        order = self._state.orders.get(order_id)
        if order is None or order.status is not OrderStatus.RESTING:
            raise not_found()
        return order

    def _reduced(self, order: Order, by_e2: int) -> Reduced:
        return Reduced(order.order_id, order.client_order_id, by_e2, order.remaining_e2, self._state.now_ms)
