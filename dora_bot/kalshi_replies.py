"""Kalshi's REST replies about books and the account → models. Pure. A field the bot needs that is missing or mistyped is a `WireError`
that names it (``markets[].price_ranges missing``); fields it does not know are ignored.

REST books give NO bids in NO prices; here they become asks on the YES leg (price 1 − p), nowhere else.
"""

import msgspec

from dora_bot import wire_values as values
from dora_bot.errors import WireError
from dora_bot.events import BookSnapshot
from dora_bot.models import (
    Balance,
    ExchangeOrder,
    ExchangePosition,
    Fill,
    Level,
    Settlement,
)
from dora_bot.units import ONE_E4

_MAX_LEVELS = ONE_E4


# ── books ───────────────────────────────────────────────────────────────────────────────────────


class _Ladders(msgspec.Struct):
    yes_dollars: list[tuple[str, str]] | None = None
    no_dollars: list[tuple[str, str]] | None = None


class _Book(msgspec.Struct):
    orderbook_fp: _Ladders


class _NamedBook(msgspec.Struct):
    ticker: str
    orderbook_fp: _Ladders


class _Books(msgspec.Struct):
    orderbooks: list[_NamedBook]


_BOOK = msgspec.json.Decoder(_Book)
_BOOKS = msgspec.json.Decoder(_Books)


def order_book(ticker: str, body: bytes) -> BookSnapshot:
    return _snapshot(ticker, values.decode(_BOOK, body).orderbook_fp)


def order_books(body: bytes) -> list[BookSnapshot]:
    named = values.decode(_BOOKS, body).orderbooks
    return [_snapshot(values.ticker(b.ticker, "orderbooks[].ticker"), b.orderbook_fp) for b in named]


def _snapshot(ticker: str, ladders: _Ladders) -> BookSnapshot:
    bids = levels(ladders.yes_dollars, "yes_dollars")
    no_bids = levels(ladders.no_dollars, "no_dollars")
    asks = tuple(Level(ONE_E4 - price_e4, count_e2) for price_e4, count_e2 in no_bids)
    return BookSnapshot(ticker, bids, asks)


def levels(pairs: list[tuple[str, str]] | None, where: str) -> tuple[Level, ...]:
    """One ladder in its own prices; an absent one is empty, a level of size 0 is not a level."""
    if not pairs:
        return ()
    if len(pairs) > _MAX_LEVELS:
        raise WireError(f"{where}: {len(pairs)} levels")
    found = [
        Level(values.price(price, f"{where}[][0]"), values.count(count, f"{where}[][1]"))
        for price, count in pairs
    ]
    if len({level.price_e4 for level in found}) != len(found):
        raise WireError(f"{where}: one price twice")
    return tuple(level for level in found if level.count_e2)


# ── the account ─────────────────────────────────────────────────────────────────────────────────


class _Order(msgspec.Struct):
    order_id: str
    ticker: str
    status: str
    yes_price_dollars: str
    remaining_count_fp: str
    fill_count_fp: str
    client_order_id: str | None = None
    book_side: str | None = None
    outcome_side: str | None = None
    created_time: str | None = None
    last_update_time: str | None = None
    expiration_time: str | None = None
    exchange_index: values.Shard | None = None
    order_group_id: str | None = None


class _OrderReply(msgspec.Struct):
    order: _Order


class _Orders(msgspec.Struct):
    orders: list[_Order]
    cursor: str | None = None


class _Fill(msgspec.Struct):
    order_id: str
    count_fp: str
    yes_price_dollars: str
    fee_cost: str
    is_taker: bool
    trade_id: str | None = None
    fill_id: str | None = None
    ticker: str | None = None
    market_ticker: str | None = None
    book_side: str | None = None
    outcome_side: str | None = None
    created_time: str | None = None
    ts: values.Seconds | None = None
    client_order_id: str | None = None


class _Fills(msgspec.Struct):
    fills: list[_Fill]
    cursor: str | None = None


class _Position(msgspec.Struct):
    ticker: str
    position_fp: str
    realized_pnl_dollars: str = "0"
    fees_paid_dollars: str = "0"


class _Positions(msgspec.Struct):
    market_positions: list[_Position]
    cursor: str | None = None


_CENT_E6 = 10_000


class _Settlement(msgspec.Struct):
    ticker: str
    market_result: str
    settled_time: str
    revenue: values.Whole
    yes_count_fp: str
    no_count_fp: str
    value: int | None = None


class _Settlements(msgspec.Struct):
    settlements: list[_Settlement]
    cursor: str | None = None


class _ShardBalance(msgspec.Struct):
    exchange_index: values.Shard
    balance: str


class _Balance(msgspec.Struct):
    balance_dollars: str
    balance_breakdown: list[_ShardBalance] | None = None


class _QueuePosition(msgspec.Struct):
    order_id: str
    queue_position_fp: str


class _QueuePositions(msgspec.Struct):
    queue_positions: list[_QueuePosition] | None


_ORDER = msgspec.json.Decoder(_OrderReply)
_ORDERS = msgspec.json.Decoder(_Orders)
_FILLS = msgspec.json.Decoder(_Fills)
_POSITIONS = msgspec.json.Decoder(_Positions)
_SETTLEMENTS = msgspec.json.Decoder(_Settlements)
_BALANCE = msgspec.json.Decoder(_Balance)
_QUEUE = msgspec.json.Decoder(_QueuePositions)


def order(body: bytes) -> ExchangeOrder:
    return _order(values.decode(_ORDER, body).order)


def orders(body: bytes) -> tuple[list[ExchangeOrder], str]:
    page = values.decode(_ORDERS, body)
    return [_order(item) for item in page.orders], page.cursor or ""


def _order(item: _Order) -> ExchangeOrder:
    return ExchangeOrder(
        order_id=values.identifier(item.order_id, "orders[].order_id"),
        client_order_id=values.client_id(item.client_order_id),
        ticker=values.ticker(item.ticker, "orders[].ticker"),
        side=values.side(item.book_side, item.outcome_side, "orders[].book_side"),
        price_e4=values.price(item.yes_price_dollars, "orders[].yes_price_dollars"),
        remaining_e2=values.count(item.remaining_count_fp, "orders[].remaining_count_fp"),
        filled_e2=values.count(item.fill_count_fp, "orders[].fill_count_fp"),
        status=values.order_state(item.status),
        created_ms=values.optional_time_ms(item.created_time, "orders[].created_time"),
        updated_ms=values.optional_time_ms(item.last_update_time, "orders[].last_update_time"),
        expiration_ms=values.optional_time_ms(item.expiration_time, "orders[].expiration_time"),
        exchange_index=item.exchange_index or 0,
        order_group_id=values.client_id(item.order_group_id),
    )


def fills(body: bytes) -> tuple[list[Fill], str]:
    page = values.decode(_FILLS, body)
    return [_fill(item) for item in page.fills], page.cursor or ""


def _fill(item: _Fill) -> Fill:
    ticker = item.market_ticker or item.ticker
    trade_id = item.trade_id or item.fill_id
    if ticker is None or trade_id is None:
        raise WireError(f"fills[].{'ticker' if ticker is None else 'trade_id'} missing")
    moment = values.optional_time_ms(item.created_time, "fills[].created_time") or (item.ts or 0) * 1000
    if not moment:
        raise WireError("fills[].created_time missing")
    return Fill(
        trade_id=values.identifier(trade_id, "fills[].trade_id"),
        order_id=values.identifier(item.order_id, "fills[].order_id"),
        ticker=values.ticker(ticker, "fills[].ticker"),
        side=values.side(item.book_side, item.outcome_side, "fills[].book_side"),
        price_e4=values.price(item.yes_price_dollars, "fills[].yes_price_dollars"),
        count_e2=values.count(item.count_fp, "fills[].count_fp"),
        fee_e6=values.money(item.fee_cost, "fills[].fee_cost"),
        is_taker=item.is_taker,
        time_ms=moment,
        client_order_id=values.client_id(item.client_order_id),
        source="rest",
    )


def positions(body: bytes) -> tuple[list[ExchangePosition], str]:
    page = values.decode(_POSITIONS, body)
    found = [
        ExchangePosition(
            values.ticker(item.ticker, "market_positions[].ticker"),
            values.signed_count(item.position_fp, "market_positions[].position_fp"),
            values.money(item.realized_pnl_dollars, "market_positions[].realized_pnl_dollars"),
            values.money(item.fees_paid_dollars, "market_positions[].fees_paid_dollars"),
        )
        for item in page.market_positions
    ]
    return found, page.cursor or ""


def settlements(body: bytes) -> tuple[list[Settlement], str]:
    page = values.decode(_SETTLEMENTS, body)
    return [_settlement(item) for item in page.settlements], page.cursor or ""


def _settlement(item: _Settlement) -> Settlement:
    fixed = {"yes": ONE_E4, "no": 0}.get(item.market_result)
    if fixed is None and item.value is None:
        raise WireError(f"settlements[].value missing for a {item.market_result!r:.20} result")
    value_e4 = fixed if item.value is None or fixed is not None else item.value * 100
    if value_e4 is None or not 0 <= value_e4 <= ONE_E4:
        raise WireError(f"settlements[].value: {item.value!r:.40} cents a contract")
    yes_e2 = values.count(item.yes_count_fp, "settlements[].yes_count_fp")
    no_e2 = values.count(item.no_count_fp, "settlements[].no_count_fp")
    return Settlement(
        values.ticker(item.ticker, "settlements[].ticker"),
        value_e4,
        values.time_ms(item.settled_time, "settlements[].settled_time"),
        # Its ``fee_cost`` are the fees of the trades, which the fills have charged. What settling cost is what was not paid.
        value_e4 * yes_e2 + (ONE_E4 - value_e4) * no_e2 - item.revenue * _CENT_E6,
    )


def balance(body: bytes) -> Balance:
    found = values.decode(_BALANCE, body)
    shards = tuple(
        (shard.exchange_index, values.money(shard.balance, "balance_breakdown[].balance"))
        for shard in found.balance_breakdown or ()
    )
    return Balance(values.money(found.balance_dollars, "balance_dollars"), shards)


def queue_positions(body: bytes) -> dict[str, int]:
    return {
        values.identifier(item.order_id, "queue_positions[].order_id"): values.count(
            item.queue_position_fp, "queue_positions[].queue_position_fp"
        )
        for item in values.decode(_QUEUE, body).queue_positions or ()
    }
