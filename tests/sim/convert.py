"""The engine's views → the bot's values: what the HTTP and WebSocket layers carry, without bytes in between."""

from dora_bot.events import BookDelta, BookSnapshot, LifecycleSeen, OrderSeen
from dora_bot.models import ExchangeOrder, ExchangePosition, Fill, Market, Settlement
from dora_bot.paper.events import BookChanged, LifecycleEvent, OrderChanged
from dora_bot.paper.specs import BookCut, FillView, MarketView, OrderView, PositionView, SettlementView


def order_of(view: OrderView) -> ExchangeOrder:
    return ExchangeOrder(
        order_id=view.order_id,
        client_order_id=view.client_order_id,
        ticker=view.ticker,
        side=view.side,
        price_e4=view.price_e4,
        remaining_e2=view.remaining_e2,
        filled_e2=view.filled_e2,
        status=view.status.value,
        created_ms=view.created_ms,
        updated_ms=view.updated_ms,
        expiration_ms=view.expiration_ms,
        exchange_index=view.exchange_index,
    )


def order_seen(event: OrderChanged) -> OrderSeen:
    return OrderSeen(order_of(event.order), event.reason.value)


def fill_of(view: FillView, source: str) -> Fill:
    return Fill(
        trade_id=view.trade_id,
        order_id=view.order_id,
        ticker=view.ticker,
        side=view.side,
        price_e4=view.price_e4,
        count_e2=view.count_e2,
        fee_e6=view.fee_e6,
        is_taker=view.is_taker,
        time_ms=view.time_ms,
        client_order_id=view.client_order_id,
        source=source,
    )


def position_of(view: PositionView) -> ExchangePosition:
    return ExchangePosition(view.ticker, view.net_e2, view.realised_e6, view.fees_e6)


def settlement_of(view: SettlementView) -> Settlement:
    return Settlement(view.ticker, view.value_e4, view.time_ms, view.fee_e6)


def delta_of(event: BookChanged) -> BookDelta:
    return BookDelta(event.ticker, event.is_bid, event.price_e4, event.delta_e2, event.now_ms)


def snapshot_of(cut: BookCut, *, audit: bool = False, by_rest: bool = False) -> BookSnapshot:
    return BookSnapshot(
        cut.ticker, cut.bids, cut.asks, sid=0 if by_rest else 1, seq=0 if by_rest else 1, audit=audit
    )


def market_of(view: MarketView) -> Market:
    return Market(
        ticker=view.spec.ticker,
        event_ticker=view.spec.event_ticker,
        series_ticker=view.series_ticker,
        status=view.status,
        grid=view.grid,
        fees=view.fees,
        open_ms=view.spec.open_ms,
        close_ms=view.close_ms,
        exchange_index=view.spec.exchange_index,
        title=view.spec.title,
        result=view.result,
    )


def lifecycle_of(event: LifecycleEvent) -> LifecycleSeen:
    detail = event.detail
    return LifecycleSeen(
        event.ticker,
        event.kind.value,
        close_ms=detail.close_ms,
        result=detail.result or "",
        settlement_value_e4=detail.value_e4,
        grid=detail.grid,
        time_ms=event.now_ms,
    )
