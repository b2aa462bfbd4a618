"""The server's codec, fourth part: messages of the public WebSocket channels and of order groups."""

from dora_bot.models import Side
from dora_bot.paper.events import (
    BookChanged,
    EventFeeUpdated,
    GroupEvent,
    LifecycleEvent,
    LifecycleKind,
    TickerChanged,
    TradePrinted,
)
from dora_bot.paper.specs import BookCut, EventSpec, MarketView
from dora_bot.paper.wire import (
    Json,
    ladder,
    multiplier,
    no_price,
    outcome,
    price_ranges,
    rfc3339,
    stable_uuid,
)
from dora_bot.units import ONE_E4, count_text, format_fixed, price_text

_DOLLAR_E6 = 1_000_000


def delta_message(event: BookChanged, *, yes_price: bool, own: bool) -> Json:
    """One level's change. Asks are the NO ladder, priced in NO terms unless ``yes_price``."""
    price = price_text if event.is_bid or yes_price else no_price
    body: Json = {
        "market_ticker": event.ticker,
        "market_id": stable_uuid(event.ticker),
        "clock": event.clock,
        "price_dollars": price(event.price_e4),
        "delta_fp": count_text(event.delta_e2),
        "side": "yes" if event.is_bid else "no",
        "ts": rfc3339(event.now_ms),
        "ts_ms": event.now_ms,
    }
    if own:
        if event.client_order_id:
            body["client_order_id"] = event.client_order_id
        if event.subaccount:
            body["subaccount"] = event.subaccount
    return body


def snapshot_message(book: BookCut, *, yes_price: bool) -> Json:
    """A whole book; the key of an empty side is absent."""
    body: Json = {
        "market_ticker": book.ticker,
        "market_id": stable_uuid(book.ticker),
        "clock": book.clock,
    }
    if book.bids:
        body["yes_dollars_fp"] = ladder(book.bids, complement=False)
    if book.asks:
        body["no_dollars_fp"] = ladder(book.asks, complement=not yes_price)
    return body


def ticker_message(event: TickerChanged) -> Json:
    return {
        "market_ticker": event.ticker,
        "market_id": stable_uuid(event.ticker),
        "price_dollars": price_text(event.last_price_e4),
        "yes_bid_dollars": price_text(event.bid_e4),
        "yes_ask_dollars": price_text(event.ask_e4 if event.ask_size_e2 else ONE_E4),
        "yes_bid_size_fp": count_text(event.bid_size_e2),
        "yes_ask_size_fp": count_text(event.ask_size_e2),
        "last_trade_size_fp": count_text(event.last_count_e2),
        "volume_fp": count_text(event.volume_e2),
        "open_interest_fp": count_text(event.open_interest_e2),
        "dollar_volume": event.turnover_e6 // _DOLLAR_E6,
        "dollar_open_interest": event.open_interest_e2 // 100,
        "ts": event.now_ms // 1_000,
        "ts_ms": event.now_ms,
        "time": rfc3339(event.now_ms),
    }


def market_ticker_message(market: MarketView, now_ms: int) -> Json:
    """The same message from a market's present state, for ``send_initial_snapshot``."""
    bid, ask = market.best_bid, market.best_ask
    return ticker_message(
        TickerChanged(
            n=0,
            now_ms=now_ms,
            ticker=market.spec.ticker,
            last_price_e4=market.last_price_e4,
            last_count_e2=market.last_count_e2,
            bid_e4=bid.price_e4 if bid.count_e2 else 0,
            bid_size_e2=bid.count_e2,
            ask_e4=ask.price_e4,
            ask_size_e2=ask.count_e2,
            volume_e2=market.volume_e2,
            open_interest_e2=market.open_interest_e2,
            turnover_e6=market.turnover_e6,
        )
    )


def trade_message(event: TradePrinted) -> Json:
    side = outcome(event.taker_side)
    return {
        "trade_id": event.trade_id,
        "market_ticker": event.ticker,
        "yes_price_dollars": price_text(event.price_e4),
        "no_price_dollars": no_price(event.price_e4),
        "count_fp": count_text(event.count_e2),
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": Side(event.taker_side).value,
        "is_block_trade": False,
        "ts": event.now_ms // 1_000,
        "ts_ms": event.now_ms,
    }


def group_message(event: GroupEvent) -> Json:
    body: Json = {"event_type": event.kind.value, "order_group_id": event.group_id, "ts_ms": event.now_ms}
    if event.limit_e2 is not None:
        body["contracts_limit_fp"] = count_text(event.limit_e2)
    return body


def lifecycle_message(event: LifecycleEvent, market: MarketView) -> Json:
    """What `market_lifecycle_v2` says; ``created`` introduces the market as far as that channel does."""
    detail = event.detail
    body: Json = {"market_ticker": event.ticker, "event_type": event.kind.value}
    seconds = {
        "open_ts": detail.open_ms,
        "close_ts": detail.close_ms,
        "determination_ts": detail.determined_ms,
        "settled_ts": detail.settled_ms,
    }
    body |= {name: ms // 1_000 for name, ms in seconds.items() if ms is not None}
    if detail.result is not None:
        body["result"] = detail.result
    if detail.value_e4 is not None:
        body["settlement_value"] = format_fixed(detail.value_e4, 4)
    if detail.is_deactivated is not None:
        body["is_deactivated"] = detail.is_deactivated
    if detail.grid is not None:
        body["price_ranges"] = price_ranges(detail.grid)
    if detail.structure is not None:
        body["price_level_structure"] = detail.structure
    if event.kind is LifecycleKind.CREATED:
        body["exchange_index"] = market.spec.exchange_index
        body["additional_metadata"] = _metadata(market)
    return body


def _metadata(market: MarketView) -> Json:
    spec = market.spec
    sub_title = spec.yes_sub_title or spec.title
    return {
        "name": sub_title,
        "title": spec.title,
        "yes_sub_title": sub_title,
        "no_sub_title": sub_title,
        "rules_primary": spec.rules or f"Pays $1 if: {spec.title}",
        "rules_secondary": "",
        "can_close_early": True,
        "event_ticker": spec.event_ticker,
        "expected_expiration_ts": market.close_ms // 1_000,
    }


def event_message(event: EventSpec, exchange_index: int) -> Json:
    return {
        "event_ticker": event.ticker,
        "exchange_index": exchange_index,
        "title": event.title,
        "subtitle": event.sub_title,
        "collateral_return_type": "MECNET" if event.mutually_exclusive else "",
        "series_ticker": event.series_ticker,
    }


def event_fee_message(event: EventFeeUpdated) -> Json:
    return {
        "event_ticker": event.event_ticker,
        "fee_type_override": event.fees.fee_type if event.fees else None,
        "fee_multiplier_override": multiplier(event.fees) if event.fees else None,
    }
