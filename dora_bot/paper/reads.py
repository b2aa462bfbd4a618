"""Consistent copies of the exchange's state for readers; nothing here changes anything."""

from typing import Any

from dora_bot.paper.accounts import Account
from dora_bot.paper.specs import (
    FillView,
    OrderStatus,
    OrderView,
    PositionView,
    SettlementView,
    ShardStatus,
    TradeView,
    not_found,
)
from dora_bot.paper.state import State
from dora_bot.units import count_text, money_text, price_text


class Reads:
    """Views over the shared state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def order(self, order_id: str) -> OrderView:
        order = self._state.orders.get(order_id)
        if order is None:
            raise not_found()
        return order.view()

    def orders(self, account: Account, status: OrderStatus | None) -> list[OrderView]:
        source = account.resting if status is OrderStatus.RESTING else account.orders
        return [order.view() for order in source.values() if status in {None, order.status}]

    def positions(self, account: Account) -> list[PositionView]:
        return [holding.view() for holding in account.holdings.values() if holding.volume_e2]

    def queue_position(self, order_id: str) -> int:
        order = self._state.orders.get(order_id)
        if order is None or order.status is not OrderStatus.RESTING:
            raise not_found()
        return order.market.book_side(order.side).ahead_of(order)

    def trades(self, ticker: str | None) -> list[TradeView]:
        if ticker is not None:
            return list(self._state.market(ticker).trades)
        found = [trade for market in self._state.markets.values() for trade in market.trades]
        return sorted(found, key=lambda trade: trade.time_ms)

    def status(self) -> list[ShardStatus]:
        state = self._state
        return [
            ShardStatus(
                shard,
                shard not in state.exchange_paused,
                shard not in state.exchange_paused | state.trading_paused,
            )
            for shard in sorted(state.shards)
        ]

    # ── the judge's cut ─────────────────────────────────────────────────────────────────────────

    def truth(self, account: Account) -> dict[str, Any]:
        state = self._state
        cash: dict[str, int] = {}
        for (shard, _), purse in sorted(account.purses.items()):
            cash[str(shard)] = cash.get(str(shard), 0) + purse.cash_e6
        return {
            "exchange_time": state.now_ms,
            "n": state.n,
            "open_orders": [_order_truth(order.view()) for order in account.resting.values()],
            "positions": {
                holding.ticker: count_text(holding.net_e2)
                for holding in account.holdings.values()
                if holding.net_e2
            },
            "cash": money_text(sum(cash.values())),
            "cash_by_shard": {shard: money_text(amount) for shard, amount in cash.items()},
            "fees": money_text(sum(holding.fees_e6 for holding in account.holdings.values())),
            "fills": [_fill_truth(fill) for fill in account.fills],
            "settlements": [_settlement_truth(row) for row in account.settlements],
            "books": {ticker: self._book_truth(ticker) for ticker in state.markets},
            "groups": {
                group.group_id: {
                    "limit": count_text(group.limit_e2),
                    "triggered": group.triggered,
                    "orders": list(group.resting),
                }
                for owner, group in state.groups.values()
                if owner is account
            },
        }

    def _book_truth(self, ticker: str) -> dict[str, Any]:
        market = self._state.markets[ticker]
        book = market.book()
        return {
            "status": market.status.value,
            "bids": [[price_text(level.price_e4), count_text(level.count_e2)] for level in book.bids],
            "asks": [[price_text(level.price_e4), count_text(level.count_e2)] for level in book.asks],
            "clock": book.clock,
        }


def _order_truth(order: OrderView) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        "side": order.side.value,
        "price": price_text(order.price_e4),
        "remaining_count": count_text(order.remaining_e2),
        "filled_count": count_text(order.filled_e2),
        "subaccount": order.subaccount,
    }


def _fill_truth(fill: FillView) -> dict[str, Any]:
    return {
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "client_order_id": fill.client_order_id,
        "ticker": fill.ticker,
        "side": fill.side.value,
        "price": price_text(fill.price_e4),
        "count": count_text(fill.count_e2),
        "fee": money_text(fill.fee_e6),
        "is_taker": fill.is_taker,
        "time": fill.time_ms,
    }


def _settlement_truth(row: SettlementView) -> dict[str, Any]:
    return {
        "ticker": row.ticker,
        "result": row.result,
        "value": price_text(row.value_e4),
        "count": count_text(row.yes_count_e2 - row.no_count_e2),
        "revenue": money_text(row.revenue_e6),
        "fee": money_text(row.fee_e6),
        "time": row.time_ms,
    }
