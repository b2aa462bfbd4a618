"""Public market data: series, events, markets, books, trades, candlesticks."""

from collections.abc import Callable, Mapping

from dora_bot.models import MarketStatus
from dora_bot.paper.candles import candlesticks
from dora_bot.paper.problems import invalid_parameter, not_found
from dora_bot.paper.rest_base import MAX_TICKERS, Call, Endpoint, Reply, page
from dora_bot.paper.specs import EventSpec, MarketView, Refused, SeriesSpec
from dora_bot.paper.wire import (
    STATUS_FILTERS,
    Json,
    event_body,
    market_body,
    orderbook_body,
    series_body,
    trade_body,
)
from dora_bot.paper.wire_requests import invalid_parameters

_COMPATIBLE_TIMES = {
    "created": ("", "unopened", "open"),
    "close": ("", "closed"),
    "settled": ("", "settled"),
    "updated": ("",),
}
"""Which pairs of timestamp filters go with which status filter."""


# ── series and events ───────────────────────────────────────────────────────────────────────────


def _series(call: Call, ticker: str) -> SeriesSpec:
    found = next((s for s in call.venue.engine.series() if s.ticker == ticker), None)
    if found is None:
        raise not_found()
    return found


def get_series_list(call: Call) -> Reply:
    category = call.get("category")
    chosen = [s for s in call.venue.engine.series() if not category or s.category == category]
    return Reply(200, {"series": [series_body(s) for s in chosen]})


def get_series(call: Call) -> Reply:
    return Reply(200, {"series": series_body(_series(call, call.path["series_ticker"]))})


def _event_json(call: Call, event: EventSpec, markets: list[MarketView]) -> Json:
    series = _series(call, event.series_ticker)
    updated_ms = max((m.updated_ms or m.spec.created_ms for m in markets), default=0)
    shard = markets[0].spec.exchange_index if markets else series.exchange_index
    return event_body(event, category=series.category, exchange_index=shard, updated_ms=updated_ms)


def _markets_of(call: Call, event_ticker: str) -> list[MarketView]:
    return [m for m in call.venue.engine.markets() if m.spec.event_ticker == event_ticker]


def _market_bodies(call: Call, markets: list[MarketView]) -> list[Json]:
    return [market_body(market, compat=call.venue.compat) for market in markets]


def get_events(call: Call) -> Reply:
    limit = call.limit("GetEvents", maximum=200, default=200)
    statuses = _status_filter(call, "GetEvents")
    series, tickers = call.get("series_ticker"), frozenset(call.listed("tickers"))
    chosen = [
        event
        for event in call.venue.engine.events()
        if (not series or event.series_ticker == series) and (not tickers or event.ticker in tickers)
    ]
    if statuses is not None:
        chosen = [e for e in chosen if any(m.status in statuses for m in _markets_of(call, e.ticker))]
    events, cursor = page(call, chosen, lambda event: event.ticker, limit)
    bodies = []
    for event in events:
        markets = _markets_of(call, event.ticker)
        body = _event_json(call, event, markets)
        if call.flag("with_nested_markets"):
            body["markets"] = _market_bodies(call, markets)
        bodies.append(body)
    return Reply(200, {"events": bodies, "cursor": cursor})


def get_event(call: Call) -> Reply:
    nested, without = call.flag("with_nested_markets"), call.flag("exclude_markets")
    if nested and without:
        raise invalid_parameters("with_nested_markets and exclude_markets are exclusive")
    ticker = call.path["event_ticker"]
    event = next((e for e in call.venue.engine.events() if e.ticker == ticker), None)
    if event is None:
        raise not_found()
    markets = _markets_of(call, ticker)
    body = _event_json(call, event, markets)
    bodies = [] if without else _market_bodies(call, markets)
    if nested:
        body["markets"] = bodies
    return Reply(200, {"event": body, "markets": [] if nested else bodies})


# ── markets ─────────────────────────────────────────────────────────────────────────────────────


def _status_filter(call: Call, operation: str) -> frozenset[MarketStatus] | None:
    text = call.get("status")
    if text and text not in STATUS_FILTERS:
        raise invalid_parameter(operation, "Status", "oneof")
    return STATUS_FILTERS.get(text)


_TIME_OF: Mapping[str, Callable[[MarketView], int]] = {
    "created": lambda m: m.spec.created_ms or m.spec.open_ms,
    "close": lambda m: m.close_ms,
    "settled": lambda m: m.settled_ms,
    "updated": lambda m: m.updated_ms,
}


def _in_time(call: Call, market: MarketView) -> bool:
    for name, read in _TIME_OF.items():
        seconds = read(market) / 1_000
        low = call.number(f"min_{name}_ts", "GetMarkets")
        high = call.number(f"max_{name}_ts", "GetMarkets")
        if (low is not None and seconds < low) or (high is not None and seconds > high):
            return False
    return True


def _check_time_filters(call: Call) -> None:
    status = call.get("status")
    for name, statuses in _COMPATIBLE_TIMES.items():
        given = call.get(f"min_{name}_ts") or call.get(f"max_{name}_ts")
        if given and status not in statuses:
            raise invalid_parameters(f"{name} timestamps cannot be combined with status {status}")


def get_markets(call: Call) -> Reply:
    limit = call.limit("GetMarkets")
    statuses = _status_filter(call, "GetMarkets")
    _check_time_filters(call)
    event, series = call.get("event_ticker"), call.get("series_ticker")
    tickers, only_combos = frozenset(call.listed("tickers")), call.get("mve_filter") == "only"
    chosen = [
        market
        for market in call.venue.engine.markets()
        if (statuses is None or market.status in statuses)
        and (not event or market.spec.event_ticker == event)
        and (not series or market.series_ticker == series)
        and (not tickers or market.spec.ticker in tickers)
        and not only_combos
        and _in_time(call, market)
    ]
    markets, cursor = page(call, chosen, lambda market: market.spec.ticker, limit)
    return Reply(200, {"markets": _market_bodies(call, markets), "cursor": cursor})


def get_market(call: Call) -> Reply:
    market = call.venue.engine.market(call.path["ticker"])
    return Reply(200, {"market": market_body(market, compat=call.venue.compat)})


# ── books and trades ────────────────────────────────────────────────────────────────────────────


def get_orderbook(call: Call) -> Reply:
    depth = call.number("depth", "GetMarketOrderbook") or 0
    if not 0 <= depth <= 100:
        raise invalid_parameter("GetMarketOrderbook", "Depth", "lte" if depth > 0 else "gte")
    book = call.book(call.path["ticker"])
    return Reply(200, {"orderbook_fp": orderbook_body(book, depth)})


def get_orderbooks(call: Call) -> Reply:
    """Up to 100 books; unknown tickers are left out."""
    tickers = call.listed("tickers")
    if not 1 <= len(tickers) <= MAX_TICKERS:
        raise invalid_parameter("GetMarketOrderbooks", "Tickers", "max" if tickers else "required")
    bodies = []
    for ticker in dict.fromkeys(tickers):
        try:
            book = call.book(ticker)
        except Refused:
            continue
        bodies.append({"ticker": ticker, "orderbook_fp": orderbook_body(book)})
    return Reply(200, {"orderbooks": bodies})


def get_trades(call: Call) -> Reply:
    limit = call.limit("GetTrades")
    low, high = call.number("min_ts", "GetTrades"), call.number("max_ts", "GetTrades")
    blocks_only = call.flag("is_block_trade")
    chosen = [
        trade
        for trade in reversed(call.venue.engine.trades(call.get("ticker") or None))
        if (low is None or trade.time_ms >= low * 1_000)
        and (high is None or trade.time_ms <= high * 1_000)
        and not blocks_only
    ]
    trades, cursor = page(call, chosen, lambda trade: trade.trade_id, limit)
    return Reply(200, {"trades": [trade_body(trade) for trade in trades], "cursor": cursor})


def _candles(call: Call, ticker: str) -> Json:
    period = call.number("period_interval", "GetMarketCandlesticks") or 0
    start, end = (call.number(name, "GetMarketCandlesticks") for name in ("start_ts", "end_ts"))
    if period not in (1, 60, 1_440) or start is None or end is None:
        raise invalid_parameters("start_ts, end_ts and a period_interval of 1, 60 or 1440 are required")
    market = call.venue.engine.market(ticker)
    trades = call.venue.engine.trades(ticker)
    return {"ticker": ticker, "candlesticks": candlesticks(market, trades, start, end, period)}


def get_candlesticks(call: Call) -> Reply:
    return Reply(200, _candles(call, call.path["ticker"]))


def get_candlesticks_batch(call: Call) -> Reply:
    tickers = call.listed("market_tickers")
    if not 1 <= len(tickers) <= MAX_TICKERS:
        raise invalid_parameter(
            "BatchGetMarketCandlesticks", "MarketTickers", "max" if tickers else "required"
        )
    rows = [_candles(call, ticker) for ticker in tickers]
    return Reply(
        200, {"markets": [{"market_ticker": r["ticker"], "candlesticks": r["candlesticks"]} for r in rows]}
    )


ENDPOINTS = tuple(
    Endpoint("GET", pattern, handler, scope="")
    for pattern, handler in (
        ("/series", get_series_list),
        ("/series/{series_ticker}", get_series),
        ("/series/{series_ticker}/markets/{ticker}/candlesticks", get_candlesticks),
        ("/events", get_events),
        ("/events/{event_ticker}", get_event),
        ("/markets", get_markets),
        ("/markets/trades", get_trades),
        ("/markets/orderbooks", get_orderbooks),
        ("/markets/candlesticks", get_candlesticks_batch),
        ("/markets/{ticker}", get_market),
        ("/markets/{ticker}/orderbook", get_orderbook),
    )
)
