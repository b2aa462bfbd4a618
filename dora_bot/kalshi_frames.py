"""Kalshi's WebSocket frames, decoded from bytes. Pure; the feed's hot path, so typed msgspec structs.

Frames are a union tagged by ``type``; one of an unknown type decodes to `OtherFrame`, and one that lacks a
field is a `WireError`, after which `envelope` still tells whose sequence number it used up.
"""

from decimal import Decimal

import msgspec

from dora_bot import wire_values as values
from dora_bot.errors import WireError

# ── frames with a sequence number ───────────────────────────────────────────────────────────────


class DeltaMsg(msgspec.Struct, gc=False):
    market_ticker: str
    price_dollars: str
    delta_fp: str
    side: str
    ts_ms: values.Millis = 0


class DeltaFrame(msgspec.Struct, tag="orderbook_delta", tag_field="type", gc=False):
    sid: values.Whole
    seq: values.Whole
    msg: DeltaMsg
    sending_ts_ms: values.Millis = 0


class SnapshotMsg(msgspec.Struct):
    market_ticker: str
    yes_dollars_fp: list[tuple[str, str]] | None = None
    no_dollars_fp: list[tuple[str, str]] | None = None


class SnapshotFrame(msgspec.Struct, tag="orderbook_snapshot", tag_field="type"):
    sid: values.Whole
    seq: values.Whole
    msg: SnapshotMsg
    id: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class TradeMsg(msgspec.Struct):
    market_ticker: str
    yes_price_dollars: str
    count_fp: str
    ts_ms: values.Millis = 0
    ts: values.Seconds = 0
    taker_book_side: str | None = None
    taker_outcome_side: str | None = None
    taker_side: str | None = None


class TradeFrame(msgspec.Struct, tag="trade", tag_field="type"):
    sid: values.Whole
    msg: TradeMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class LifecycleMsg(msgspec.Struct):
    event_type: str
    market_ticker: str
    close_ts: values.Seconds | None = None
    result: str | None = None
    settlement_value: str | None = None
    price_ranges: list[values.RangeShape] | None = None
    determination_ts: values.Seconds | None = None
    settled_ts: values.Seconds | None = None


class LifecycleFrame(msgspec.Struct, tag="market_lifecycle_v2", tag_field="type"):
    sid: values.Whole
    msg: LifecycleMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class FeeMsg(msgspec.Struct):
    event_ticker: str
    fee_type_override: str | None = None
    fee_multiplier_override: Decimal | None = None


class FeeFrame(msgspec.Struct, tag="event_fee_update", tag_field="type"):
    sid: values.Whole
    msg: FeeMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class GroupMsg(msgspec.Struct):
    event_type: str
    order_group_id: str
    ts_ms: values.Millis = 0


class GroupFrame(msgspec.Struct, tag="order_group_updates", tag_field="type"):
    sid: values.Whole
    msg: GroupMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


# ── frames without one ──────────────────────────────────────────────────────────────────────────


class TickerMsg(msgspec.Struct):
    market_ticker: str
    yes_bid_dollars: str
    yes_ask_dollars: str
    price_dollars: str = "0.0000"
    volume_fp: str = "0.00"
    yes_bid_size_fp: str = "0.00"
    yes_ask_size_fp: str = "0.00"
    ts_ms: values.Millis = 0


class TickerFrame(msgspec.Struct, tag="ticker", tag_field="type"):
    sid: values.Whole
    msg: TickerMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class FillMsg(msgspec.Struct):
    trade_id: str
    order_id: str
    market_ticker: str
    is_taker: bool
    yes_price_dollars: str
    count_fp: str
    fee_cost: str
    ts_ms: values.Millis = 0
    ts: values.Seconds = 0
    client_order_id: str | None = None
    book_side: str | None = None
    outcome_side: str | None = None
    subaccount: int = 0


class FillFrame(msgspec.Struct, tag="fill", tag_field="type"):
    sid: values.Whole
    msg: FillMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class OrderMsg(msgspec.Struct):
    order_id: str
    ticker: str
    status: str
    yes_price_dollars: str
    remaining_count_fp: str
    fill_count_fp: str
    client_order_id: str | None = None
    book_side: str | None = None
    outcome_side: str | None = None
    created_ts_ms: values.Millis | None = None
    last_updated_ts_ms: values.Millis | None = None
    expiration_ts_ms: values.Millis | None = None
    exchange_index: values.Shard | None = None
    order_group_id: str | None = None
    last_update_reason: str | None = None
    subaccount_number: int | None = None

    @property
    def subaccount(self) -> int:
        return self.subaccount_number or 0


class OrderFrame(msgspec.Struct, tag="user_order", tag_field="type"):
    sid: values.Whole
    msg: OrderMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class PositionMsg(msgspec.Struct):
    market_ticker: str
    position_fp: str
    realized_pnl_dollars: str = "0"
    fees_paid_dollars: str = "0"
    subaccount: int = 0


class PositionFrame(msgspec.Struct, tag="market_position", tag_field="type"):
    sid: values.Whole
    msg: PositionMsg
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


# ── replies to commands ─────────────────────────────────────────────────────────────────────────


class SubscribedMsg(msgspec.Struct):
    channel: str
    sid: values.Whole


class SubscribedFrame(msgspec.Struct, tag="subscribed", tag_field="type"):
    msg: SubscribedMsg
    id: values.Whole = 0
    sid: values.Whole = 0
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class OkFrame(msgspec.Struct, tag="ok", tag_field="type"):
    id: values.Whole = 0
    sid: values.Whole = 0
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class UnsubscribedFrame(msgspec.Struct, tag="unsubscribed", tag_field="type"):
    id: values.Whole = 0
    sid: values.Whole = 0
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class ErrorMsg(msgspec.Struct):
    code: int = 0
    msg: str = ""


class ErrorFrame(msgspec.Struct, tag="error", tag_field="type"):
    msg: ErrorMsg
    id: values.Whole = 0
    sid: values.Whole = 0
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


class OtherFrame(msgspec.Struct):
    """What every frame may have, for the types and faults this version does not know."""

    type: str = ""
    sid: values.Whole = 0
    seq: values.Whole = 0
    sending_ts_ms: values.Millis = 0


Frame = (
    DeltaFrame
    | SnapshotFrame
    | TradeFrame
    | LifecycleFrame
    | FeeFrame
    | GroupFrame
    | TickerFrame
    | FillFrame
    | OrderFrame
    | PositionFrame
    | SubscribedFrame
    | OkFrame
    | UnsubscribedFrame
    | ErrorFrame
)
KNOWN_TYPES = frozenset(
    {
        "orderbook_delta",
        "orderbook_snapshot",
        "trade",
        "market_lifecycle_v2",
        "event_fee_update",
        "order_group_updates",
        "ticker",
        "fill",
        "user_order",
        "market_position",
        "subscribed",
        "ok",
        "unsubscribed",
        "error",
    }
)  # fmt: skip  (a list of words reads best as one)
_FRAME: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_OTHER = msgspec.json.Decoder(OtherFrame)


class _MarketMsg(msgspec.Struct):
    market_ticker: str = ""
    ticker: str = ""


class _MarketOf(msgspec.Struct):
    msg: _MarketMsg


_MARKET_OF = msgspec.json.Decoder(_MarketOf)


def decode(data: bytes) -> Frame | OtherFrame:
    """One frame. Raises `WireError` for one of a known type that cannot be used, and for anything not JSON."""
    if len(data) > values.MAX_FRAME_BYTES:
        raise WireError(f"a frame of {len(data)} bytes")
    try:
        return _FRAME.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        other = values.decode(_OTHER, data, values.MAX_FRAME_BYTES)
        if other.type in KNOWN_TYPES:
            raise WireError(f"{other.type}: {values.explain(error)}") from error
        return other


def envelope(data: bytes) -> OtherFrame:
    """Type, sid and seq of a frame that `decode` refused; zeros where even those cannot be read."""
    try:
        return values.decode(_OTHER, data, values.MAX_FRAME_BYTES)
    except WireError:
        return OtherFrame()


def market_of(data: bytes) -> str:
    """The market that a frame which `decode` refused is about; empty where it names none."""
    try:
        named = values.decode(_MARKET_OF, data, values.MAX_FRAME_BYTES).msg
    except WireError:
        return ""
    return named.market_ticker or named.ticker
