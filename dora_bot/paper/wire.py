"""The server's codec, first part: scalars, and the bodies of public market data.

It is independent of the bot's own codec on purpose: a mistake in one must not be mirrored by the other.
Only the fixed-point primitives of `dora_bot.units` are shared.
"""

import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from dora_bot.models import (
    FeeTerms,
    Level,
    MarketStatus,
    PriceGrid,
    Side,
)
from dora_bot.paper.specs import BookCut, EventSpec, MarketView, SeriesSpec, TradeView
from dora_bot.units import ONE_E4, count_text, price_text

Json = dict[str, Any]

_NAMESPACE = uuid.UUID("6f0e4e0c-6a54-4f5e-8f0e-2b6a0d3c9b11")
_PREVIOUS_DECADE = "2016-01-01T00:00:00Z"


@lru_cache(maxsize=65_536)
def stable_uuid(name: str) -> str:
    """A UUID that is the same in every run: market ids from tickers, user ids from accounts."""
    return str(uuid.uuid5(_NAMESPACE, name))


@lru_cache(maxsize=4_096)
def rfc3339(unix_ms: int) -> str:
    """UTC with as many fraction digits as needed, as the venue sends: ``…47Z``, ``…47.5Z``, ``…47.957Z``."""
    seconds, millis = divmod(unix_ms, 1_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{millis:03d}".rstrip("0") + "Z" if millis else f"{whole}Z"


def no_price(price_e4: int) -> str:
    """The NO leg of a YES price."""
    return price_text(ONE_E4 - price_e4)


def outcome(side: Side) -> str:
    """Which outcome an order of this side buys: bid is YES, ask is NO."""
    return "yes" if side is Side.BID else "no"


def action(side: Side) -> str:
    """The legacy verb of an order on the YES leg; resting V2 orders report ``side: yes``."""
    return "buy" if side is Side.BID else "sell"


def multiplier(fees: FeeTerms) -> float | int:
    """The fee multiplier as the JSON number the venue sends."""
    return fees.multiplier_e6 // 1_000_000 if not fees.multiplier_e6 % 1_000_000 else fees.multiplier_e6 / 1e6


def ladder(levels: tuple[Level, ...], *, complement: bool) -> list[list[str]]:
    """Price and count strings, worst first and best last; ``complement`` turns asks into NO bids."""
    price = no_price if complement else price_text
    return [[price(level.price_e4), count_text(level.count_e2)] for level in reversed(levels)]


def orderbook_body(book: BookCut, depth: int = 0) -> Json:
    """Both bid ladders, the best ``depth`` levels of each (0 = all)."""
    bids, asks = (side[:depth] if depth else side for side in (book.bids, book.asks))
    return {"yes_dollars": ladder(bids, complement=False), "no_dollars": ladder(asks, complement=True)}


def price_ranges(grid: PriceGrid) -> list[Json]:
    return [
        {"start": price_text(r.start_e4), "end": price_text(r.end_e4), "step": price_text(r.step_e4)}
        for r in grid.ranges
    ]


def market_body(market: MarketView, *, compat: bool = False) -> Json:
    """A market. An empty side shows bid 0.0000 or ask 1.0000, an untouched market 0.0000 for both (recorded)."""
    spec = market.spec
    untouched = not (market.best_bid.count_e2 or market.best_ask.count_e2 or market.volume_e2)
    bid = market.best_bid if market.best_bid.count_e2 else Level(0, 0)
    ask = market.best_ask if market.best_ask.count_e2 else Level(0 if untouched else ONE_E4, 0)
    volume = count_text(market.volume_e2)
    close = rfc3339(market.close_ms)
    created = spec.created_ms or spec.open_ms
    body: Json = {
        "ticker": spec.ticker,
        "event_ticker": spec.event_ticker,
        "market_type": "binary",
        "title": spec.title,
        "yes_sub_title": spec.yes_sub_title or spec.title,
        "no_sub_title": spec.yes_sub_title or spec.title,
        "created_time": rfc3339(created),
        "updated_time": rfc3339(market.updated_ms or created),
        "open_time": rfc3339(spec.open_ms),
        "close_time": close,
        "expected_expiration_time": close,
        "expiration_time": close,
        "latest_expiration_time": close,
        "settlement_timer_seconds": spec.settlement_timer_s,
        "status": market.status.value,
        "notional_value_dollars": "1.0000",
        "yes_bid_dollars": price_text(bid.price_e4),
        "yes_bid_size_fp": count_text(bid.count_e2),
        "yes_ask_dollars": price_text(ask.price_e4),
        "yes_ask_size_fp": count_text(ask.count_e2),
        "no_bid_dollars": no_price(ask.price_e4),
        "no_ask_dollars": no_price(bid.price_e4),
        "last_price_dollars": price_text(market.last_price_e4),
        "previous_yes_bid_dollars": price_text(market.previous_bid_e4),
        "previous_yes_ask_dollars": price_text(market.previous_ask_e4),
        "previous_price_dollars": price_text(market.previous_price_e4),
        "volume_fp": volume,
        "volume_24h_fp": volume,
        "open_interest_fp": count_text(market.open_interest_e2),
        "result": market.result,
        "can_close_early": True,
        "early_close_condition": "This market may close early once its outcome is known.",
        "expiration_value": "",
        "rules_primary": spec.rules or f"Pays $1 if: {spec.title}",
        "rules_secondary": "",
        "price_level_structure": market.structure,
        "price_ranges": price_ranges(market.grid),
        "settlement_bounds_type": "default",
        "exchange_index": spec.exchange_index,
    }
    if market.value_e4 is not None:
        body["settlement_value_dollars"] = price_text(market.value_e4)
    if market.settled_ms:
        body["settlement_ts"] = rfc3339(market.settled_ms)
    if compat:
        body["liquidity_dollars"] = "0.0000"
    return body


STATUS_FILTERS: dict[str, frozenset[MarketStatus]] = {
    "unopened": frozenset({MarketStatus.INITIALIZED}),
    "open": frozenset({MarketStatus.ACTIVE}),
    "paused": frozenset({MarketStatus.INACTIVE}),
    "closed": frozenset(
        {MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.DISPUTED, MarketStatus.AMENDED}
    ),
    "settled": frozenset({MarketStatus.FINALIZED}),
}
"""What the ``status`` query of markets and events means, in market statuses."""


def series_body(series: SeriesSpec) -> Json:
    return {
        "ticker": series.ticker,
        "frequency": series.frequency,
        "title": series.title,
        "category": series.category,
        "categories": [series.category],
        "tags": [],
        "settlement_sources": [],
        "contract_url": "",
        "contract_terms_url": "",
        "fee_type": series.fees.fee_type,
        "fee_multiplier": multiplier(series.fees),
        "additional_prohibitions": [],
        "exchange_index": series.exchange_index,
    }


def event_body(event: EventSpec, *, category: str, exchange_index: int, updated_ms: int) -> Json:
    return {
        "event_ticker": event.ticker,
        "series_ticker": event.series_ticker,
        "title": event.title,
        "sub_title": event.sub_title,
        "collateral_return_type": "MECNET" if event.mutually_exclusive else "",
        "mutually_exclusive": event.mutually_exclusive,
        "category": category,
        "settlement_sources": [],
        "last_updated_ts": rfc3339(updated_ms),
        "fee_type_override": event.fees.fee_type if event.fees else None,
        "fee_multiplier_override": multiplier(event.fees) if event.fees else None,
        "exchange_index": exchange_index,
    }


def trade_body(trade: TradeView) -> Json:
    side = outcome(trade.taker_side)
    return {
        "trade_id": trade.trade_id,
        "ticker": trade.ticker,
        "count_fp": count_text(trade.count_e2),
        "yes_price_dollars": price_text(trade.price_e4),
        "no_price_dollars": no_price(trade.price_e4),
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": trade.taker_side.value,
        "is_block_trade": False,
        "created_time": rfc3339(trade.time_ms),
    }


def historical_cutoff_body() -> Json:
    """Nothing has moved to the archive: a paper exchange is younger than every retention period."""
    names = (
        "market_settled_ts",
        "trades_created_ts",
        "orders_updated_ts",
        "market_positions_last_updated_ts",
    )
    return dict.fromkeys(names, _PREVIOUS_DECADE)
