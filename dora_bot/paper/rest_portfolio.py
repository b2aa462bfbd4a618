"""Account reads: orders, fills, positions, settlements, balance, queue positions.

All but the queue positions come from the replica, which lags behind the engine as the venue's reads do.
"""

from dora_bot.paper.problems import invalid_parameter, not_found
from dora_bot.paper.rate_limits import BALANCE
from dora_bot.paper.rest_base import MAX_TICKERS, Bill, Call, Endpoint, Reply, page
from dora_bot.paper.specs import OrderStatus, OrderView, PositionView
from dora_bot.paper.wire_account import (
    balance_body,
    event_position_bodies,
    fill_body,
    order_body,
    position_body,
    position_value_e6,
    settlement_body,
)
from dora_bot.paper.wire_requests import invalid_parameters
from dora_bot.units import count_text


def _tickers(call: Call, operation: str) -> frozenset[str]:
    tickers = call.listed("ticker")
    if len(tickers) > MAX_TICKERS:
        raise invalid_parameter(operation, "Ticker", "max")
    return frozenset(tickers)


def _between(call: Call, operation: str, unix_ms: int) -> bool:
    """Whether a time lies within ``min_ts`` and ``max_ts`` (Unix seconds, both included)."""
    low, high = call.number("min_ts", operation), call.number("max_ts", operation)
    seconds = unix_ms / 1_000
    return (low is None or seconds >= low) and (high is None or seconds <= high)


def _on_shard(call: Call, operation: str, shard: int) -> bool:
    wanted = call.number("exchange_index", operation)
    return wanted is None or wanted == shard


def get_orders(call: Call) -> Reply:
    limit = call.limit("GetOrders")
    status, subaccount, tickers = call.get("status"), call.subaccount(), _tickers(call, "GetOrders")
    if status and status not in tuple(OrderStatus):
        raise invalid_parameter("GetOrders", "Status", "oneof")
    data = call.data()
    events = frozenset(call.listed("event_ticker"))
    source = data.resting if status == OrderStatus.RESTING else data.orders
    chosen = [
        order
        for order in reversed(source.values())
        if (not status or order.status == status)
        and (not tickers or order.ticker in tickers)
        and subaccount in (None, order.subaccount)
        and (not events or call.venue.engine.market(order.ticker).spec.event_ticker in events)
        and _on_shard(call, "GetOrders", order.exchange_index)
        and _between(call, "GetOrders", order.created_ms)
    ]
    orders, cursor = page(call, chosen, lambda order: order.order_id, limit)
    return Reply(200, {"orders": [order_body(order) for order in orders], "cursor": cursor})


def get_order(call: Call) -> Reply:
    order = call.data().orders.get(call.path["order_id"])
    if order is None or call.subaccount() not in (None, order.subaccount):
        raise not_found()
    return Reply(200, {"order": order_body(order)})


def get_fills(call: Call) -> Reply:
    limit = call.limit("GetFills")
    tickers, order_id, subaccount = _tickers(call, "GetFills"), call.get("order_id"), call.subaccount()
    chosen = [
        fill
        for fill in reversed(call.data().fills)
        if (not tickers or fill.ticker in tickers)
        and (not order_id or fill.order_id == order_id)
        and subaccount in (None, fill.subaccount)
        and _on_shard(call, "GetFills", fill.exchange_index)
        and _between(call, "GetFills", fill.time_ms)
    ]
    fills, cursor = page(call, chosen, lambda fill: f"{fill.trade_id}/{fill.order_id}", limit)
    return Reply(200, {"fills": [fill_body(fill) for fill in fills], "cursor": cursor})


def get_positions(call: Call) -> Reply:
    """Positions of one subaccount, the primary unless given, unlike orders and fills."""
    limit = call.limit("GetPositions")
    wanted = call.get("settlement_status") or "unsettled"
    if wanted not in ("unsettled", "settled", "all"):
        raise invalid_parameter("GetPositions", "SettlementStatus", "oneof")
    filters = call.listed("count_filter")
    tickers, event, subaccount = (
        _tickers(call, "GetPositions"),
        call.get("event_ticker"),
        call.primary_subaccount(),
    )
    counts = {"position": lambda p: p.net_e2, "total_traded": lambda p: p.traded_e6}
    if set(filters) - set(counts):
        raise invalid_parameter("GetPositions", "CountFilter", "oneof")
    chosen = [
        position
        for position in call.data().positions.values()
        if wanted in ("all", "settled" if position.settled_ms else "unsettled")
        and position.subaccount == subaccount
        and (not tickers or position.ticker in tickers)
        and (not event or position.event_ticker == event)
        and _on_shard(call, "GetPositions", position.exchange_index)
        and all(counts[name](position) for name in filters)
    ]
    positions, cursor = page(call, chosen, lambda position: position.ticker, limit)
    return Reply(
        200,
        {
            "market_positions": [position_body(position) for position in positions],
            "event_positions": event_position_bodies(positions),
            "cursor": cursor,
        },
    )


def get_settlements(call: Call) -> Reply:
    limit = call.limit("GetSettlements")
    tickers, event, subaccount = _tickers(call, "GetSettlements"), call.get("event_ticker"), call.subaccount()
    chosen = [
        settlement
        for settlement in reversed(call.data().money.settlements)
        if (not tickers or settlement.ticker in tickers)
        and (not event or settlement.event_ticker == event)
        and subaccount in (None, settlement.subaccount)
        and _between(call, "GetSettlements", settlement.time_ms)
    ]
    rows, cursor = page(call, chosen, lambda row: f"{row.ticker}/{row.subaccount}", limit)
    return Reply(200, {"settlements": [settlement_body(row) for row in rows], "cursor": cursor})


def get_balance(call: Call) -> Reply:
    subaccount = call.primary_subaccount()
    as_of_ms = call.venue.stale.as_of_ms(call.now_ms)
    data = call.data()
    purses = [
        purse
        for purse in data.money.purses
        if purse.subaccount == subaccount and _on_shard(call, "GetBalance", purse.exchange_index)
    ]
    worth = sum(
        _mark(call, position)
        for position in data.positions.values()
        if position.subaccount == subaccount and not position.settled_ms
    )
    return Reply(200, balance_body(purses, worth, as_of_ms))


def _mark(call: Call, position: PositionView) -> int:
    """A position at the price it could be closed at, the last price where nobody bids for it."""
    market = call.venue.engine.market(position.ticker)
    best = market.best_bid if position.net_e2 >= 0 else market.best_ask
    return position_value_e6(position, best.price_e4 if best.count_e2 else market.last_price_e4)


def _queue_row(call: Call, order: OrderView) -> dict[str, str]:
    return {
        "order_id": order.order_id,
        "market_ticker": order.ticker,
        "queue_position_fp": count_text(call.venue.engine.queue_position(order.order_id)),
    }


def get_queue_position(call: Call) -> Reply:
    order = call.venue.engine.order(call.path["order_id"])
    if order.account != call.account or order.status is not OrderStatus.RESTING:
        raise not_found()
    return Reply(200, {"queue_position_fp": _queue_row(call, order)["queue_position_fp"]})


def get_queue_positions(call: Call) -> Reply:
    tickers, event = frozenset(call.listed("market_tickers")), call.get("event_ticker")
    if not tickers and not event:
        raise invalid_parameters("market_tickers or event_ticker is required")
    engine, subaccount = call.venue.engine, call.primary_subaccount()
    rows = [
        _queue_row(call, order)
        for order in engine.orders(call.account, status=OrderStatus.RESTING)
        if (order.ticker in tickers or (event and engine.market(order.ticker).spec.event_ticker == event))
        and order.subaccount == subaccount
    ]
    return Reply(200, {"queue_positions": rows})


def _bill_balance(call: Call, cost: int) -> Bill:  # noqa: ARG001  (the signature of every biller)
    return (BALANCE,), cost


_BALANCE_SCOPE = "read::portfolio_balance"

ENDPOINTS = (
    Endpoint("GET", "/portfolio/orders", get_orders),
    Endpoint("GET", "/portfolio/orders/queue_positions", get_queue_positions),
    Endpoint("GET", "/portfolio/orders/{order_id}", get_order),
    Endpoint("GET", "/portfolio/orders/{order_id}/queue_position", get_queue_position),
    Endpoint("GET", "/portfolio/fills", get_fills),
    Endpoint("GET", "/portfolio/positions", get_positions),
    Endpoint("GET", "/portfolio/settlements", get_settlements),
    Endpoint("GET", "/portfolio/balance", get_balance, _BALANCE_SCOPE, _bill_balance),
)
