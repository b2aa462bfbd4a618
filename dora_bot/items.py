"""The shape of what is stored: the four tables with their keys, and every row and position as an item.

DynamoDB and people see dollars and contracts as exact decimals and times as UTC RFC 3339; inside the bot these
are integers. This module is the only place where the one becomes the other on the way to the tables.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from dora_bot.accounting import average_cost_e4
from dora_bot.errors import StoreError
from dora_bot.models import (
    ExchangeOrder,
    Halt,
    Hold,
    Level,
    Position,
    Quote,
    Side,
)
from dora_bot.records import (
    DecisionRow,
    FillRow,
    OrderRow,
    SettlementRow,
)
from dora_bot.units import count_text, price_text
from dora_bot.valuation import utc_date

Item = dict[str, Any]
"""One DynamoDB item with Python values: str, bool, Decimal, list, dict, None."""


@dataclass(frozen=True, slots=True)
class Table:
    """``suffix`` follows the environment's prefix; all keys are strings."""

    suffix: str
    hash_key: str
    range_key: str = ""
    ttl: str = ""


MARKET_CONFIG = Table("market_config", "market_id")
STATE = Table("state", "key", ttl="expires_at")
TRADE_LOG = Table("trade_log", "date", "timestamp#order_id")
DECISION_LOG = Table("decision_log", "date", "timestamp#market_id", ttl="expires_at")
TABLES = (MARKET_CONFIG, STATE, TRADE_LOG, DECISION_LOG)

POSITION_PREFIX = "position#"
DECISION_DAYS = 14
SETTLED_DAYS = 60
"""A settled market takes no more bookings; its position item expires, its rows in the trade log stay."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ACTION_WORD = {Side.BID: "buy", Side.ASK: "sell"}


# ── numbers and times ───────────────────────────────────────────────────────────────────────────


def price(value_e4: int) -> Decimal:
    return Decimal(value_e4).scaleb(-4)


def count(value_e2: int) -> Decimal:
    return Decimal(value_e2).scaleb(-2)


def money(value_e6: int) -> Decimal:
    return Decimal(value_e6).scaleb(-6)


def scaled(item: Mapping[str, Any], name: str, places: int) -> int:
    """A stored number (or its text) as an integer of 10^-places units. Raises `StoreError` naming attribute and item."""
    try:
        value = Decimal(str(item[name])).scaleb(places)
        whole = int(value)
    except KeyError as error:
        raise StoreError(f"{name} is missing in the item {_label(item)}") from error
    except (ArithmeticError, ValueError) as error:
        raise StoreError(f"{name} is {item[name]!r:.40}, not a number, in the item {_label(item)}") from error
    if whole != value:
        raise StoreError(f"{name} has more than {places} decimals in the item {_label(item)}")
    return whole


def text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise StoreError(f"{name} is {value!r:.40}, not text, in the item {_label(item)}")
    return value


def timestamp(time_ms: int) -> str:
    """``1763646082123`` → ``2025-11-20T13:41:22.123Z``; sorts as text in the order of time."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def parse_timestamp(value: str) -> int:
    """Unix ms of a time written by `timestamp`. Raises `StoreError`."""
    try:
        moment = datetime.fromisoformat(value)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError) as error:
        raise StoreError(f"{value!r:.40} is not a UTC time") from error


def days_between(first: str, last: str) -> list[str]:
    """All days from ``first`` to ``last`` (``2026-11-20``), both included."""
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return [f"{start + timedelta(days=n):%Y-%m-%d}" for n in range((end - start).days + 1)]


# ── trade log ───────────────────────────────────────────────────────────────────────────────────


def fill_item(row: FillRow) -> Item:
    """The key is made of the exchange's own time and ids, so writing it only if absent books it exactly once."""
    fill = row.fill
    return {
        **_trade_key(fill.time_ms, fill.order_id, fill.trade_id),
        "market_id": fill.ticker,
        "side": _ACTION_WORD[fill.side],
        "price": price(fill.price_e4),
        "size": count(fill.count_e2),
        "fill_price": price(fill.price_e4),
        "fill_size": count(fill.count_e2),
        "status": "filled",
        "pnl_realized": money(row.realised_e6),
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "client_order_id": fill.client_order_id,
        "fee": money(fill.fee_e6),
        "is_taker": fill.is_taker,
        "source": fill.source,
        "position_version": Decimal(row.position.version),
    }


def settlement_item(row: SettlementRow) -> Item:
    """A settlement trades the whole position away at the settlement value: a long sells, a short buys."""
    settlement = row.settlement
    return {
        **_trade_key(settlement.time_ms, settlement.ticker, "settled"),
        "market_id": settlement.ticker,
        "side": "buy" if row.net_e2 < 0 else "sell",
        "price": price(settlement.value_e4),
        "size": count(abs(row.net_e2)),
        "fill_price": price(settlement.value_e4),
        "fill_size": count(abs(row.net_e2)),
        "status": "settled",
        "pnl_realized": money(row.realised_e6),
        "fee": money(settlement.fee_e6),
        "source": "settlement",
        "position_version": Decimal(row.position.version),
    }


def order_item(row: OrderRow) -> Item:
    """An order is placed once, so that row has the bare key; what happens to it later is told apart by its status."""
    name = row.order_id or row.client_order_id
    return {
        **_trade_key(row.time_ms, name, "" if row.status == "placed" else row.status),
        "market_id": row.ticker,
        "side": _ACTION_WORD[row.side],
        "price": price(row.price_e4),
        "size": count(row.count_e2),
        "status": row.status,
        "order_id": row.order_id,
        "client_order_id": row.client_order_id,
        "reason": row.reason,
    }


def _trade_key(time_ms: int, order_id: str, suffix: str) -> Item:
    tail = f"#{suffix}" if suffix else ""
    return {"date": utc_date(time_ms), "timestamp#order_id": f"{timestamp(time_ms)}#{order_id}{tail}"}


# ── positions and open orders ───────────────────────────────────────────────────────────────────


def position_item(position: Position) -> Item:
    """The truth about one market, written only together with the row that led to it."""
    return {
        "key": POSITION_PREFIX + position.ticker,
        "market_id": position.ticker,
        "net": count(position.net_e2),
        "cost": money(position.cost_e6),
        "realized_pnl": money(position.realised_e6),
        "fees": money(position.fees_e6),
        "version": Decimal(position.version),
    }


def settled_position_item(row: SettlementRow) -> Item:
    expires = row.settlement.time_ms // 1000 + SETTLED_DAYS * 86_400
    return {**position_item(row.position), "settled": True, "expires_at": Decimal(expires)}


def position_of(item: Mapping[str, Any]) -> Position:
    """Raises `StoreError` naming what is wrong with the item."""
    return Position(
        ticker=text(item, "market_id"),
        net_e2=scaled(item, "net", 2),
        cost_e6=scaled(item, "cost", 6),
        realised_e6=scaled(item, "realized_pnl", 6),
        fees_e6=scaled(item, "fees", 6),
        version=scaled(item, "version", 0),
    )


def positions_map(positions: Iterable[Position]) -> dict[str, Item]:
    """The published view for people: open positions by market, average cost on the leg that is held."""
    return {p.ticker: _position_view(p) for p in positions if p.net_e2}


def _position_view(position: Position) -> Item:
    net, average, zero = position.net_e2, price(average_cost_e4(position)), Decimal(0)
    return {
        "yes_qty": count(max(net, 0)),
        "no_qty": count(max(-net, 0)),
        "avg_cost_yes": average if net > 0 else zero,
        "avg_cost_no": average if net < 0 else zero,
    }


def open_order_view(order: ExchangeOrder) -> Item:
    return {
        "market_id": order.ticker,
        "client_order_id": order.client_order_id,
        "side": _ACTION_WORD[order.side],
        "price": price(order.price_e4),
        "size": count(order.remaining_e2),
        "expires": timestamp(order.expiration_ms) if order.expiration_ms else "",
    }


def halt_item(halt: Halt) -> Item:
    return {
        "halt_id": halt.halt_id,
        "reason": halt.reason,
        "raised_at": timestamp(halt.raised_ms),
        "raised_by": halt.raised_by,
        "evidence": halt.evidence,
        "hold": str(halt.hold),
        "scope": halt.scope,
        "acknowledged": halt.acknowledged,
    }


def halt_of(item: Mapping[str, Any]) -> Halt:
    """Raises `StoreError` for a damaged one: a halt must not be lost by misreading it."""
    return Halt(
        halt_id=text(item, "halt_id"),
        reason=text(item, "reason"),
        raised_ms=parse_timestamp(text(item, "raised_at")),
        raised_by=text(item, "raised_by"),
        evidence=text(item, "evidence"),
        hold=Hold(item.get("hold", Hold.HALTED)),
        scope=str(item.get("scope", "")),
        acknowledged=str(item.get("acknowledged", "")),
    )


# ── decisions ───────────────────────────────────────────────────────────────────────────────────


def decision_items(rows: Sequence[DecisionRow], per_item: int = 100) -> list[Item]:
    """One item per market with its decisions as columns, at most ``per_item`` (a write is billed by the KB)."""
    items = []
    for ticker, own in groupby(sorted(rows, key=lambda r: (r.ticker, r.time_ms)), key=lambda r: r.ticker):
        mine = list(own)
        items += [_decision_item(ticker, mine[at : at + per_item]) for at in range(0, len(mine), per_item)]
    return items


def _decision_item(ticker: str, rows: Sequence[DecisionRow]) -> Item:
    first = rows[0].time_ms
    return {
        "date": utc_date(first),
        "timestamp#market_id": f"{timestamp(first)}#{ticker}",
        "market_id": ticker,
        "timestamps": [timestamp(row.time_ms) for row in rows],
        "order_book_snapshot": [_book_text(row.bids, row.asks) for row in rows],
        "inventory": [count(row.inventory_e2) for row in rows],
        "target_quotes": [_quotes_text(row.quotes) for row in rows],
        "orders_placed": [Decimal(row.placed) for row in rows],
        "orders_cancelled": [Decimal(row.cancelled) for row in rows],
        "reason": [row.reason for row in rows],
        "book_version": [Decimal(row.book_version) for row in rows],
        "book_age_ms": [Decimal(row.book_age_ms) for row in rows],
        "account_age_ms": [Decimal(row.account_age_ms) for row in rows],
        "config": [row.config for row in rows],
        "code": [row.code for row in rows],
        "expires_at": Decimal(first // 1000 + DECISION_DAYS * 86_400),
    }


def _book_text(bids: Sequence[Level], asks: Sequence[Level]) -> str:
    sides = {
        "bids": [[price_text(level.price_e4), count_text(level.count_e2)] for level in bids],
        "asks": [[price_text(level.price_e4), count_text(level.count_e2)] for level in asks],
    }
    return json.dumps(sides, separators=(",", ":"))


def _quotes_text(quotes: Sequence[Quote]) -> str:
    wished = [[quote.side.value, price_text(quote.price_e4), count_text(quote.count_e2)] for quote in quotes]
    return json.dumps(wished, separators=(",", ":"))


def _label(item: Mapping[str, Any]) -> str:
    for name in ("timestamp#order_id", "key", "market_id"):
        if name in item:
            return str(item[name])
    return f"with the attributes {sorted(item)}"
