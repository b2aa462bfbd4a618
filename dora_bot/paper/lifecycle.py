"""A market's life: opening, pauses, closing, determination, disputes and paying out, and changes of its rules.

Opening and closing times pass silently, as on the venue; what is announced is announced by an event.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

from dora_bot.models import FeeTerms, MarketStatus, PriceGrid
from dora_bot.paper.accounts import Holding
from dora_bot.paper.events import EventCreated, EventFeeUpdated, LifecycleKind
from dora_bot.paper.market import MarketState
from dora_bot.paper.matching import Matching
from dora_bot.paper.specs import (
    EventSpec,
    LifecycleDetail,
    MarketSpec,
    OrderStatus,
    Reason,
    Refused,
    SettlementView,
)
from dora_bot.paper.state import State
from dora_bot.units import ONE_E4

CENT_E6 = 10_000
TRADABLE = frozenset({MarketStatus.ACTIVE, MarketStatus.INACTIVE, MarketStatus.INITIALIZED})
DECIDED = frozenset({MarketStatus.DETERMINED, MarketStatus.DISPUTED, MarketStatus.AMENDED})
RESULT_VALUES = {"yes": ONE_E4, "no": 0}


class Lifecycle:
    """The operator's and the calendar's actions on markets."""

    def __init__(self, state: State, matching: Matching) -> None:
        self._state = state
        self._matching = matching

    # ── opening and closing ─────────────────────────────────────────────────────────────────────

    def add_event(self, spec: EventSpec) -> None:
        state = self._state
        if spec.ticker in state.events or spec.series_ticker not in state.series:
            raise ValueError(f"event {spec.ticker} exists, or its series {spec.series_ticker} does not")
        state.events[spec.ticker] = spec
        state.n += 1
        state.log.append(EventCreated(state.n, state.now_ms, spec.ticker))

    def add_market(self, spec: MarketSpec) -> None:
        state = self._state
        if spec.ticker in state.markets:
            raise ValueError(f"market {spec.ticker} exists")
        event = state.events[spec.event_ticker]
        market = MarketState(spec, event.series_ticker, state.fee_terms(event), state.now_ms)
        state.markets[spec.ticker] = market
        state.shards.add(spec.exchange_index)
        detail = LifecycleDetail(
            open_ms=spec.open_ms, close_ms=spec.close_ms, grid=spec.grid, structure=spec.structure
        )
        state.announce(market, LifecycleKind.CREATED, detail)
        if spec.open_ms <= state.now_ms:
            self._open(market)
        else:
            state.at(spec.open_ms, partial(self._open, market))
        self._schedule_close(market)

    def _open(self, market: MarketState) -> None:
        if market.status is MarketStatus.INITIALIZED:
            market.status = MarketStatus.ACTIVE
            self._state.touch(market)

    def _schedule_close(self, market: MarketState) -> None:
        self._state.at(market.close_ms, partial(self._close, market, market.close_ms))

    def _close(self, market: MarketState, close_ms: int) -> None:
        """The close time passed, unless it was moved since."""
        if market.close_ms == close_ms and market.status in TRADABLE:
            market.status = MarketStatus.CLOSED
            self._state.touch(market)
            self._schedule_close_cancel(market)

    def _schedule_close_cancel(self, market: MarketState) -> None:
        due_ms = self._state.now_ms + self._state.options.close_cancel_ms
        self._state.at(due_ms, partial(self._close_cancel, market))

    def _close_cancel(self, market: MarketState) -> None:
        if market.status not in TRADABLE:
            self._matching.cancel_market(market, Reason.CLOSE)

    def set_close(self, market: MarketState, close_ms: int) -> None:
        self._expect(market, TRADABLE | {MarketStatus.CLOSED})
        state = self._state
        market.close_ms = close_ms
        state.announce(market, LifecycleKind.CLOSE_DATE_UPDATED, LifecycleDetail(close_ms=close_ms))
        if market.status is MarketStatus.CLOSED and close_ms > state.now_ms:
            self._activate(market)
        if close_ms > state.now_ms:
            self._schedule_close(market)
        else:
            self._close(market, close_ms)

    def set_status(self, market: MarketState, status: Literal["active", "inactive"]) -> None:
        state = self._state
        if status == "inactive":
            self._expect(market, {MarketStatus.ACTIVE})
            market.status = MarketStatus.INACTIVE
            state.announce(market, LifecycleKind.DEACTIVATED, LifecycleDetail(is_deactivated=True))
        else:
            self._expect(market, {MarketStatus.INACTIVE})
            self._activate(market)

    def _activate(self, market: MarketState) -> None:
        """Trading is possible again, with an empty book."""
        market.status = MarketStatus.ACTIVE
        self._matching.cancel_market(market, Reason.HALT)
        detail = LifecycleDetail(is_deactivated=False)
        self._state.announce(market, LifecycleKind.ACTIVATED, detail)

    # ── the result and the money ────────────────────────────────────────────────────────────────

    def determine(self, market: MarketState, result: str, value_e4: int | None) -> None:
        """Also before the close: then the market stops trading without a word about its close time."""
        self._expect(market, TRADABLE | {MarketStatus.CLOSED})
        was_open = market.status is not MarketStatus.CLOSED
        self._decide(market, result, value_e4, MarketStatus.DETERMINED)
        if was_open:
            self._schedule_close_cancel(market)

    def dispute(self, market: MarketState) -> None:
        self._expect(market, {MarketStatus.DETERMINED, MarketStatus.AMENDED})
        market.status = MarketStatus.DISPUTED
        market.timer += 1
        self._state.touch(market)

    def amend_result(self, market: MarketState, result: str, value_e4: int | None) -> None:
        self._expect(market, DECIDED)
        self._decide(market, result, value_e4, MarketStatus.AMENDED)

    def _decide(self, market: MarketState, result: str, value_e4: int | None, status: MarketStatus) -> None:
        state = self._state
        value = RESULT_VALUES.get(result, value_e4)
        if value is None or not 0 <= value <= ONE_E4 or result not in {"yes", "no", "scalar"}:
            raise Refused(400, "invalid_parameters", details=f"result {result!r} with value {value_e4}")
        market.status = status
        market.result, market.value_e4 = result, value
        market.determined_ms = state.now_ms
        market.timer += 1
        detail = LifecycleDetail(determined_ms=state.now_ms, result=result, value_e4=value)
        state.announce(market, LifecycleKind.DETERMINED, detail)
        due_ms = state.now_ms + market.spec.settlement_timer_s * 1000
        state.at(due_ms, partial(self._settle_by_timer, market, market.timer))

    def _settle_by_timer(self, market: MarketState, timer: int) -> None:
        if market.timer == timer and market.status in DECIDED:
            self.settle(market)

    def settle(self, market: MarketState) -> None:
        """Pay the net holdings of every account and finish the market."""
        self._expect(market, DECIDED)
        state = self._state
        self._matching.cancel_market(market, Reason.CLOSE)
        value = market.value_e4 or 0
        for account in state.accounts.values():
            for (ticker, _), holding in list(account.holdings.items()):
                if ticker != market.spec.ticker or holding.net_e2 == 0:
                    continue
                row = self._settlement(market, holding, value)
                fee = 0 if account.house else row.fee_e6
                holding.pay_out(row.revenue_e6, fee, state.now_ms)
                if not account.house:
                    account.settlements.append(row)
                    state.position_changed(account, holding)
        market.open_interest_e2 = 0
        market.status = MarketStatus.FINALIZED
        market.settled_ms = state.now_ms
        state.announce(market, LifecycleKind.SETTLED, LifecycleDetail(settled_ms=state.now_ms))

    def _settlement(self, market: MarketState, holding: Holding, value_e4: int) -> SettlementView:
        """Only the net position pays; scalar payouts are rounded down to cents, the rest is their fee."""
        spec = market.spec
        is_yes = holding.net_e2 > 0
        count = abs(holding.net_e2)
        revenue = (value_e4 if is_yes else ONE_E4 - value_e4) * count
        return SettlementView(
            ticker=spec.ticker,
            event_ticker=spec.event_ticker,
            subaccount=holding.subaccount,
            exchange_index=spec.exchange_index,
            result=market.result,
            value_e4=value_e4,
            yes_count_e2=count if is_yes else 0,
            yes_cost_e6=holding.cost_e6 if is_yes else 0,
            no_count_e2=0 if is_yes else count,
            no_cost_e6=0 if is_yes else holding.cost_e6,
            revenue_e6=revenue,
            fee_e6=revenue % CENT_E6,
            time_ms=self._state.now_ms,
            traded_fee_e6=holding.fees_e6,
        )

    # ── pauses ──────────────────────────────────────────────────────────────────────────────────

    def pause(
        self, kind: Literal["trading", "exchange"], shard: int | None, *, on: bool, keep_orders: bool
    ) -> None:
        """Orders that asked for it are cancelled when a pause begins, unless all are to be kept."""
        state = self._state
        paused = state.trading_paused if kind == "trading" else state.exchange_paused
        shards = set(state.shards) if shard is None else {shard}
        if not on:
            paused -= shards
            return
        paused |= shards
        for market in state.markets.values():
            if keep_orders or market.spec.exchange_index not in shards:
                continue
            for side in (market.bids, market.asks):
                for price in list(side.best_first()):
                    for order in list(side.queues[price].orders.values()):
                        if order.cancel_on_pause and order.status is OrderStatus.RESTING:
                            self._matching.cancel(order, Reason.HALT)

    # ── changes of rules ────────────────────────────────────────────────────────────────────────

    def change_grid(self, market: MarketState, grid: PriceGrid, structure: str) -> None:
        market.grid, market.structure = grid, structure
        detail = LifecycleDetail(grid=grid, structure=structure)
        self._state.announce(market, LifecycleKind.PRICE_LEVEL_STRUCTURE_UPDATED, detail)

    def change_fees(self, ticker: str, fees: FeeTerms | None) -> None:
        """Of a series (silently) or of an event (announced; None ends the override)."""
        state = self._state
        if ticker in state.series:
            if fees is None:
                raise ValueError("a series always has fee terms")
            state.series[ticker] = replace(state.series[ticker], fees=fees)
        elif ticker in state.events:
            state.events[ticker] = replace(state.events[ticker], fees=fees)
            state.n += 1
            state.log.append(EventFeeUpdated(state.n, state.now_ms, ticker, fees))
        else:
            raise Refused(404, "not_found")
        for market in state.markets.values():
            market.set_fees(state.fee_terms(state.events[market.spec.event_ticker]))

    def _expect(self, market: MarketState, statuses: frozenset[MarketStatus] | set[MarketStatus]) -> None:
        if market.status not in statuses:
            raise Refused(409, "invalid_market_state", details=f"{market.spec.ticker} is {market.status}")
