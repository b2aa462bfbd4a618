"""Kalshi's REST replies about markets, events, series and trades → models. Pure; the same manners as
`kalshi_replies`. A market's fee terms and exclusivity stand in its event and series, not in itself.
"""

from decimal import Decimal

import msgspec

from dora_bot import wire_values as values
from dora_bot.events import PublicTrade
from dora_bot.models import FeeTerms, Market, MarketStatus

# ── markets, events, series ─────────────────────────────────────────────────────────────────────


class _MarketShape(msgspec.Struct):
    ticker: str
    event_ticker: str
    status: str
    price_ranges: list[values.RangeShape]
    open_time: str | None = None
    close_time: str | None = None
    exchange_index: values.Shard | None = None
    title: str | None = None
    yes_sub_title: str | None = None
    last_price_dollars: str = "0.0000"
    volume_fp: str = "0.00"
    result: str | None = None


class _Markets(msgspec.Struct):
    markets: list[_MarketShape]
    cursor: str | None = None


class EventShape(msgspec.Struct):
    event_ticker: str
    series_ticker: str
    mutually_exclusive: bool | None = None
    collateral_return_type: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Decimal | None = None
    exchange_index: values.Shard | None = None


class _Event(msgspec.Struct):
    event: EventShape


class _Events(msgspec.Struct):
    events: list[EventShape]
    cursor: str | None = None


class SeriesShape(msgspec.Struct):
    ticker: str
    fee_type: str
    fee_multiplier: Decimal


class _Series(msgspec.Struct):
    series: SeriesShape


_MARKETS = msgspec.json.Decoder(_Markets)
_EVENT = msgspec.json.Decoder(_Event)
_EVENTS = msgspec.json.Decoder(_Events)
_SERIES = msgspec.json.Decoder(_Series)

MarketShape = _MarketShape


def markets(body: bytes) -> tuple[list[MarketShape], str]:
    """One page of market shapes, to be completed by `market`, and the cursor of the next page."""
    page = values.decode(_MARKETS, body)
    return page.markets, page.cursor or ""


def event(body: bytes) -> EventShape:
    return values.decode(_EVENT, body).event


def events(body: bytes) -> list[EventShape]:
    return values.decode(_EVENTS, body).events


def series(body: bytes) -> SeriesShape:
    return values.decode(_SERIES, body).series


def market(shape: MarketShape, event_of: EventShape, series_of: SeriesShape) -> Market:
    """A market completed with what only its event and series know: fee terms, exclusivity, shard."""
    shard = shape.exchange_index if shape.exchange_index is not None else event_of.exchange_index
    return Market(
        ticker=values.ticker(shape.ticker, "markets[].ticker"),
        event_ticker=values.ticker(shape.event_ticker, "markets[].event_ticker"),
        series_ticker=values.ticker(event_of.series_ticker, "events[].series_ticker"),
        status=_market_status(shape.status),
        grid=values.grid(shape.price_ranges, "markets[].price_ranges"),
        fees=_fee_terms(event_of, series_of),
        open_ms=values.optional_time_ms(shape.open_time, "markets[].open_time"),
        close_ms=values.optional_time_ms(shape.close_time, "markets[].close_time"),
        exchange_index=shard or 0,
        exclusive_event=bool(event_of.mutually_exclusive) or event_of.collateral_return_type == "MECNET",
        title=(shape.title or shape.yes_sub_title or "")[:200],
        last_price_e4=values.dollars_e4(shape.last_price_dollars, "markets[].last_price_dollars"),
        volume_e2=values.count(shape.volume_fp, "markets[].volume_fp"),
        result=(shape.result or "")[:20],
    )


def _market_status(text: str) -> MarketStatus:
    return MarketStatus(text) if text in MarketStatus.__members__.values() else MarketStatus.UNKNOWN


def _fee_terms(event_of: EventShape, series_of: SeriesShape) -> FeeTerms:
    multiplier = series_of.fee_multiplier
    if event_of.fee_multiplier_override is not None:
        multiplier = event_of.fee_multiplier_override
    return FeeTerms(
        values.word(event_of.fee_type_override or series_of.fee_type),
        values.multiplier_e6(multiplier, "series.fee_multiplier"),
    )


# ── trades ──────────────────────────────────────────────────────────────────────────────────────


class _Trade(msgspec.Struct):
    trade_id: str
    ticker: str
    count_fp: str
    yes_price_dollars: str
    created_time: str
    taker_book_side: str | None = None
    taker_outcome_side: str | None = None
    taker_side: str | None = None


class _Trades(msgspec.Struct):
    trades: list[_Trade]
    cursor: str | None = None


_TRADES = msgspec.json.Decoder(_Trades)


def trades(body: bytes) -> tuple[list[tuple[str, PublicTrade]], str]:
    """One page of (trade id, trade), newest first, and the next cursor."""
    page = values.decode(_TRADES, body)
    found = [(values.identifier(item.trade_id, "trades[].trade_id"), _trade(item)) for item in page.trades]
    return found, page.cursor or ""


def _trade(item: _Trade) -> PublicTrade:
    outcome = item.taker_outcome_side or item.taker_side
    return PublicTrade(
        values.ticker(item.ticker, "trades[].ticker"),
        values.price(item.yes_price_dollars, "trades[].yes_price_dollars"),
        values.count(item.count_fp, "trades[].count_fp"),
        values.side(item.taker_book_side, outcome, "trades[].taker_book_side"),
        values.time_ms(item.created_time, "trades[].created_time"),
    )
