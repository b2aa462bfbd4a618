"""Models → Kalshi requests, V2 only. Pure; every byte it builds is pinned by hand-written golden tests.

Prices and counts travel as strings, times as whole seconds, and the side is always the YES leg's
(``bid`` buys YES, ``ask`` sells YES, which is buying NO at 1 − price). Every order names its shard,
because an unrouted one is looked for on shard 0 and not found.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from dora_bot.models import (
    Amend,
    Cancel,
    Place,
    TimeInForce,
)
from dora_bot.units import count_text, price_text

PRIMARY = 0
"""The subaccount that every account has. Reads of positions mean it unless told, reads of orders mean all of them."""
SELF_TRADE_PREVENTION = "taker_at_cross"
ORDERS = "/portfolio/events/orders"
GROUPS = "/portfolio/order_groups"
MAX_BOOK_TICKERS = 100
PAGE_LIMIT = 1_000
EVENT_PAGE_LIMIT = 200
INCENTIVE_PAGE_LIMIT = 10_000
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request below the API's base path. ``kind`` names its endpoint class in counts and logs."""

    kind: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def target(self) -> str:
        pairs = "&".join(f"{name}={_escape(value, keep=',')}" for name, value in self.query)
        return f"{self.path}?{pairs}" if pairs else self.path


# ── order writes ────────────────────────────────────────────────────────────────────────────────


def create_order(order: Place, subaccount: int = PRIMARY) -> Request:
    return Request("create", "POST", ORDERS, body=_json(_create_fields(order, subaccount)))


def create_orders(orders: Sequence[Place], subaccount: int = PRIMARY) -> Request:
    return Request(
        "batch_create",
        "POST",
        f"{ORDERS}/batched",
        body=_json({"orders": [_create_fields(o, subaccount) for o in orders]}),
    )


def amend_order(order: Amend, subaccount: int = PRIMARY) -> Request:
    fields: dict[str, object] = {
        "ticker": order.ticker,
        "side": order.side.value,
        "price": price_text(order.price_e4),
        "count": count_text(order.total_e2),
        "client_order_id": order.client_order_id,
        "exchange_index": order.exchange_index,
    }
    if order.expiration_ms:
        fields["expiration_time"] = order.expiration_ms // 1000
    path = f"{ORDERS}/{_segment(order.order_id)}/amend"
    return Request("amend", "POST", path, _on(subaccount), _json(fields))


def decrease_order(order: Cancel, reduce_to_e2: int, subaccount: int = PRIMARY) -> Request:
    """A partial cancel: leave ``reduce_to_e2`` resting, in place in the queue."""
    fields = {
        "reduce_to": count_text(reduce_to_e2),
        "market_ticker": order.ticker,
        "exchange_index": order.exchange_index,
    }
    path = f"{ORDERS}/{_segment(order.order_id)}/decrease"
    return Request("decrease", "POST", path, _on(subaccount), _json(fields))


def cancel_order(order: Cancel, subaccount: int = PRIMARY) -> Request:
    routing = (("exchange_index", str(order.exchange_index)), ("market_ticker", order.ticker))
    path = f"{ORDERS}/{_segment(order.order_id)}"
    return Request("cancel", "DELETE", path, (*_on(subaccount), *routing))


def cancel_orders(orders: Sequence[Cancel], subaccount: int = PRIMARY) -> Request:
    items = [
        {"order_id": o.order_id, "subaccount": subaccount, "exchange_index": o.exchange_index} for o in orders
    ]
    return Request("batch_cancel", "DELETE", f"{ORDERS}/batched", body=_json({"orders": items}))


def cancel_all_orders(subaccount: int = PRIMARY) -> Request:
    return Request("cancel_all", "DELETE", ORDERS, _on(subaccount))


def _create_fields(order: Place, subaccount: int) -> dict[str, object]:
    fields: dict[str, object] = {
        "ticker": order.ticker,
        "client_order_id": order.client_order_id,
        "side": order.side.value,
        "count": count_text(order.count_e2),
        "price": price_text(order.price_e4),
        "time_in_force": order.time_in_force.value,
        "self_trade_prevention_type": SELF_TRADE_PREVENTION,
        "post_only": order.post_only,
        "cancel_order_on_pause": True,
        "subaccount": subaccount,
        "exchange_index": order.exchange_index,
    }
    if order.time_in_force is TimeInForce.GTC and order.expiration_ms:
        fields["expiration_time"] = order.expiration_ms // 1000
    if order.order_group_id:
        fields["order_group_id"] = order.order_group_id
    if order.reduce_only:
        fields["reduce_only"] = True
    return fields


# ── order groups ────────────────────────────────────────────────────────────────────────────────


def create_order_group(limit_e2: int, exchange_index: int, subaccount: int = PRIMARY) -> Request:
    fields = {
        "contracts_limit_fp": count_text(limit_e2),
        "subaccount": subaccount,
        "exchange_index": exchange_index,
    }
    return Request("group_create", "POST", f"{GROUPS}/create", body=_json(fields))


def limit_order_group(
    group_id: str, limit_e2: int, exchange_index: int, subaccount: int = PRIMARY
) -> Request:
    body = _json({"contracts_limit_fp": count_text(limit_e2)})
    return _group_change("limit", group_id, exchange_index, subaccount, body)


def trigger_order_group(group_id: str, exchange_index: int, subaccount: int = PRIMARY) -> Request:
    return _group_change("trigger", group_id, exchange_index, subaccount, b"{}")


def reset_order_group(group_id: str, exchange_index: int, subaccount: int = PRIMARY) -> Request:
    return _group_change("reset", group_id, exchange_index, subaccount, b"{}")


def delete_order_group(group_id: str, exchange_index: int, subaccount: int = PRIMARY) -> Request:
    return Request(
        "group_delete", "DELETE", f"{GROUPS}/{_segment(group_id)}", _on_shard(exchange_index, subaccount)
    )


def get_order_groups(subaccount: int = PRIMARY) -> Request:
    return Request("groups", "GET", GROUPS, _on(subaccount))


def _group_change(change: str, group_id: str, exchange_index: int, subaccount: int, body: bytes) -> Request:
    path = f"{GROUPS}/{_segment(group_id)}/{change}"
    return Request(f"group_{change}", "PUT", path, _on_shard(exchange_index, subaccount), body)


# ── reads ───────────────────────────────────────────────────────────────────────────────────────


def get_order_book(ticker: str) -> Request:
    return Request("book", "GET", f"/markets/{_segment(ticker)}/orderbook", (("depth", "0"),))


def get_order_books(tickers: Sequence[str]) -> Request:
    """At most `MAX_BOOK_TICKERS`; the key is repeated, not comma-separated."""
    return Request("books", "GET", "/markets/orderbooks", tuple(("tickers", ticker) for ticker in tickers))


def get_open_orders(subaccount: int = PRIMARY) -> Request:
    query = (("status", "resting"), ("limit", str(PAGE_LIMIT)), *_on(subaccount))
    return Request("orders", "GET", "/portfolio/orders", query)


def get_order(order_id: str) -> Request:
    return Request("order", "GET", f"/portfolio/orders/{_segment(order_id)}")


def get_fills(since_ms: int, subaccount: int = PRIMARY) -> Request:
    query = (("min_ts", str(max(since_ms, 0) // 1000)), ("limit", str(PAGE_LIMIT)), *_on(subaccount))
    return Request("fills", "GET", "/portfolio/fills", query)


def get_positions(subaccount: int = PRIMARY) -> Request:
    query = (("settlement_status", "unsettled"), ("limit", str(PAGE_LIMIT)), *_on(subaccount))
    return Request("positions", "GET", "/portfolio/positions", query)


def get_settlements(since_ms: int, subaccount: int = PRIMARY) -> Request:
    query = (("min_ts", str(max(since_ms, 0) // 1000)), ("limit", str(PAGE_LIMIT)), *_on(subaccount))
    return Request("settlements", "GET", "/portfolio/settlements", query)


def get_balance(subaccount: int = PRIMARY) -> Request:
    return Request("balance", "GET", "/portfolio/balance", _on(subaccount))


def get_queue_positions(tickers: Sequence[str], subaccount: int = PRIMARY) -> Request:
    query = (("market_tickers", ",".join(tickers)), *_on(subaccount))
    return Request("queue_positions", "GET", "/portfolio/orders/queue_positions", query)


def get_markets(filters: Mapping[str, str]) -> Request:
    """``filters``: tickers (comma list), series_ticker, event_ticker, status (open, closed, settled …)."""
    query = (("limit", str(PAGE_LIMIT)), *((name, value) for name, value in filters.items() if value))
    return Request("markets", "GET", "/markets", query)


def get_events(tickers: Sequence[str]) -> Request:
    query = (("limit", str(EVENT_PAGE_LIMIT)), ("tickers", ",".join(tickers)))
    return Request("events", "GET", "/events", query)


def get_event(ticker: str) -> Request:
    return Request("event", "GET", f"/events/{_segment(ticker)}", (("exclude_markets", "true"),))


def get_series(ticker: str) -> Request:
    return Request("series", "GET", f"/series/{_segment(ticker)}")


def get_trades(ticker: str, since_ms: int) -> Request:
    query = (("ticker", ticker), ("min_ts", str(max(since_ms, 0) // 1000)), ("limit", str(PAGE_LIMIT)))
    return Request("trades", "GET", "/markets/trades", query)


def get_incentives() -> Request:
    query = (("status", "active"), ("limit", str(INCENTIVE_PAGE_LIMIT)))
    return Request("incentives", "GET", "/incentive_programs", query)


EXCHANGE_STATUS = Request("status", "GET", "/exchange/status")
EXCHANGE_SCHEDULE = Request("schedule", "GET", "/exchange/schedule")
USER_DATA_TIMESTAMP = Request("user_data_timestamp", "GET", "/exchange/user_data_timestamp")
ACCOUNT_LIMITS = Request("limits", "GET", "/account/limits")
ENDPOINT_COSTS = Request("endpoint_costs", "GET", "/account/endpoint_costs")
SERIES_FEE_CHANGES = Request("fee_changes", "GET", "/series/fee_changes")
EVENT_FEE_CHANGES = Request("fee_changes", "GET", "/events/fee_changes")


def next_page(request: Request, cursor: str) -> Request:
    kept = tuple(item for item in request.query if item[0] != "cursor")
    return Request(request.kind, request.method, request.path, (*kept, ("cursor", cursor)))


def _on(subaccount: int) -> tuple[tuple[str, str], ...]:
    return (("subaccount", str(subaccount)),)


def _on_shard(exchange_index: int, subaccount: int) -> tuple[tuple[str, str], ...]:
    return (*_on(subaccount), ("exchange_index", str(exchange_index)))


def _segment(text: str) -> str:
    """One path segment. The signature covers the path as sent, so it is escaped here, once."""
    return _escape(text)


def _escape(text: str, keep: str = "") -> str:
    """Percent-encoding; letters, digits and ``-._~`` stand for themselves."""
    plain = _UNRESERVED | set(keep)
    return "".join(c if c in plain else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text)


def _json(fields: object) -> bytes:
    return msgspec.json.encode(fields)
