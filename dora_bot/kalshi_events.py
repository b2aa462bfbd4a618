"""Decoded WebSocket frames → events, and the commands the feed sends. Pure; numbers are memoised, since prices
and sizes repeat.
"""

from collections.abc import Sequence

import msgspec

from dora_bot import wire_values as values
from dora_bot.errors import WireError
from dora_bot.events import (
    BookDelta,
    FeeChange,
    FeesAnnounced,
    FillSeen,
    GroupSeen,
    LifecycleSeen,
    OrderSeen,
    PositionSeen,
    PublicTrade,
    TickerSeen,
)
from dora_bot.kalshi_frames import (
    DeltaMsg,
    FeeMsg,
    FillFrame,
    FillMsg,
    GroupMsg,
    LifecycleMsg,
    OrderFrame,
    OrderMsg,
    PositionFrame,
    PositionMsg,
    TickerMsg,
    TradeMsg,
)
from dora_bot.models import (
    ExchangeOrder,
    ExchangePosition,
    Fill,
    Level,
)
from dora_bot.units import ONE_E4

MAX_LEVELS = ONE_E4
AccountFrame = FillFrame | OrderFrame | PositionFrame
"""What happened on a subaccount, which its message names."""


def _inside(text: str) -> int:
    return values.price(text, "price_dollars")


def _size(text: str) -> int:
    return values.signed_count(text, "delta_fp")


PRICES = values.Memo(_inside)
SIZES = values.Memo(_size)


def book_delta(msg: DeltaMsg, yes_priced: bool) -> BookDelta:  # noqa: FBT001  (the hot path: by position)
    """``yes_priced``: the NO side stands in YES prices, as asked for by ``use_yes_price``."""
    price_e4 = PRICES[msg.price_dollars]
    side = msg.side
    if side == "yes":
        return BookDelta(msg.market_ticker, True, price_e4, SIZES[msg.delta_fp], msg.ts_ms)
    if side == "no":
        at_e4 = price_e4 if yes_priced else ONE_E4 - price_e4
        return BookDelta(msg.market_ticker, False, at_e4, SIZES[msg.delta_fp], msg.ts_ms)
    raise WireError(f"side: neither yes nor no: {side!r:.40}")


def ladder(pairs: list[tuple[str, str]] | None, where: str, *, mirror: bool) -> tuple[Level, ...]:
    """One side of a snapshot; an absent one is empty. ``mirror`` turns NO prices into YES prices."""
    if not pairs:
        return ()
    if len(pairs) > MAX_LEVELS:
        raise WireError(f"{where}: {len(pairs)} levels")
    found: dict[int, int] = {}
    for price, count in pairs:
        size = SIZES[count]
        if size < 0:
            raise WireError(f"{where}: a negative size: {count!r:.40}")
        price_e4 = PRICES[price]
        key = ONE_E4 - price_e4 if mirror else price_e4
        if key in found:
            raise WireError(f"{where}: one price twice: {price!r:.40}")
        found[key] = size
    return tuple(Level(price_e4, size) for price_e4, size in found.items() if size)


def public_trade(msg: TradeMsg) -> PublicTrade:
    outcome = msg.taker_outcome_side or msg.taker_side
    return PublicTrade(
        values.ticker(msg.market_ticker, "market_ticker"),
        values.price(msg.yes_price_dollars, "yes_price_dollars"),
        values.count(msg.count_fp, "count_fp"),
        values.side(msg.taker_book_side, outcome, "taker_book_side"),
        msg.ts_ms or msg.ts * 1000,
    )


def ticker_seen(msg: TickerMsg) -> TickerSeen:
    return TickerSeen(
        values.ticker(msg.market_ticker, "market_ticker"),
        values.dollars_e4(msg.yes_bid_dollars, "yes_bid_dollars"),
        values.dollars_e4(msg.yes_ask_dollars, "yes_ask_dollars"),
        values.dollars_e4(msg.price_dollars, "price_dollars"),
        values.count(msg.volume_fp, "volume_fp"),
        msg.ts_ms,
        values.count(msg.yes_bid_size_fp, "yes_bid_size_fp"),
        values.count(msg.yes_ask_size_fp, "yes_ask_size_fp"),
    )


def account_seen(frame: AccountFrame, subaccount: int) -> list[object]:
    """A key without a lock is told of other subaccounts, too: theirs is not ours to book."""
    if frame.msg.subaccount != subaccount:
        return []
    if isinstance(frame, FillFrame):
        return [fill_seen(frame.msg)]
    if isinstance(frame, OrderFrame):
        return [order_seen(frame.msg)]
    return [position_seen(frame.msg, frame.sending_ts_ms)]


def fill_seen(msg: FillMsg) -> FillSeen:
    time_ms = msg.ts_ms or msg.ts * 1000
    if not time_ms:
        raise WireError("ts_ms missing")
    return FillSeen(
        Fill(
            trade_id=values.identifier(msg.trade_id, "trade_id"),
            order_id=values.identifier(msg.order_id, "order_id"),
            ticker=values.ticker(msg.market_ticker, "market_ticker"),
            side=values.side(msg.book_side, msg.outcome_side, "book_side"),
            price_e4=values.price(msg.yes_price_dollars, "yes_price_dollars"),
            count_e2=values.count(msg.count_fp, "count_fp"),
            fee_e6=values.money(msg.fee_cost, "fee_cost"),
            is_taker=msg.is_taker,
            time_ms=time_ms,
            client_order_id=values.client_id(msg.client_order_id),
        )
    )


def order_seen(msg: OrderMsg) -> OrderSeen:
    order = ExchangeOrder(
        order_id=values.identifier(msg.order_id, "order_id"),
        client_order_id=values.client_id(msg.client_order_id),
        ticker=values.ticker(msg.ticker, "ticker"),
        side=values.side(msg.book_side, msg.outcome_side, "book_side"),
        price_e4=values.price(msg.yes_price_dollars, "yes_price_dollars"),
        remaining_e2=values.count(msg.remaining_count_fp, "remaining_count_fp"),
        filled_e2=values.count(msg.fill_count_fp, "fill_count_fp"),
        status=values.order_state(msg.status),
        created_ms=msg.created_ts_ms or 0,
        updated_ms=msg.last_updated_ts_ms or 0,
        expiration_ms=msg.expiration_ts_ms or 0,
        exchange_index=msg.exchange_index or 0,
        order_group_id=values.client_id(msg.order_group_id),
    )
    return OrderSeen(order, (msg.last_update_reason or "")[:80])


def position_seen(msg: PositionMsg, time_ms: int) -> PositionSeen:
    position = ExchangePosition(
        values.ticker(msg.market_ticker, "market_ticker"),
        values.signed_count(msg.position_fp, "position_fp"),
        values.money(msg.realized_pnl_dollars, "realized_pnl_dollars"),
        values.money(msg.fees_paid_dollars, "fees_paid_dollars"),
    )
    return PositionSeen(position, time_ms)


def lifecycle_seen(msg: LifecycleMsg, time_ms: int) -> LifecycleSeen:
    value = msg.settlement_value
    stamp = msg.determination_ts or msg.settled_ts
    return LifecycleSeen(
        values.ticker(msg.market_ticker, "market_ticker"),
        msg.event_type[:40],
        close_ms=None if msg.close_ts is None else msg.close_ts * 1000,
        result=(msg.result or "")[:20],
        settlement_value_e4=None if value is None else values.dollars_e4(value, "settlement_value"),
        grid=None if msg.price_ranges is None else values.grid(msg.price_ranges, "price_ranges"),
        time_ms=stamp * 1000 if stamp else time_ms,
    )


def fees_announced(msg: FeeMsg, time_ms: int) -> FeesAnnounced:
    """An event's override was set or cleared, and is in force."""
    kind, multiplier = msg.fee_type_override, msg.fee_multiplier_override
    change = FeeChange(
        "",
        values.ticker(msg.event_ticker, "event_ticker"),
        None if kind is None else values.word(kind),
        None if multiplier is None else values.multiplier_e6(multiplier, "fee_multiplier_override"),
        time_ms,
    )
    return FeesAnnounced((change,))


def group_seen(msg: GroupMsg) -> GroupSeen:
    return GroupSeen(values.identifier(msg.order_group_id, "order_group_id"), msg.event_type[:40], msg.ts_ms)


# ── commands ────────────────────────────────────────────────────────────────────────────────────


def subscribe(command_id: int, channel: str, tickers: Sequence[str] = ()) -> bytes:
    params: dict[str, object] = {"channels": [channel]}
    if tickers:
        params["market_tickers"] = list(tickers)
    if channel == "orderbook_delta":
        # Explicit, because the exchange has announced that the default will flip.
        params["use_yes_price"] = True
    return _command(command_id, "subscribe", params)


def update(command_id: int, sid: int, action: str, tickers: Sequence[str]) -> bytes:
    """``action``: add_markets, delete_markets or get_snapshot."""
    params = {"sids": [sid], "market_tickers": list(tickers), "action": action}
    return _command(command_id, "update_subscription", params)


def unsubscribe(command_id: int, sid: int) -> bytes:
    return _command(command_id, "unsubscribe", {"sids": [sid]})


def _command(command_id: int, name: str, params: dict[str, object]) -> bytes:
    return msgspec.json.encode({"id": command_id, "cmd": name, "params": params})
