"""A session with kalshi-sdk 22.4.0, an independent client: REST, and a WebSocket that minds its sequence."""

import asyncio
from typing import Any

from kalshi import KalshiAuth, KalshiClient, KalshiConfig, KalshiConflictError, KalshiNotFoundError
from kalshi.models.orders import AmendOrderV2Request, CreateOrderV2Request
from kalshi.ws.client import KalshiWebSocket

from tests.conformance.clients.common import (
    BUY_ANYTHING,
    DEEP_BID,
    DEEPER_BID,
    SELL_ANYTHING,
    Report,
    Where,
    say,
    wait_for_balance,
    where,
)

FRAMES = 3


def order(place: Where, name: str, side: str, count: str, price: str, **more: Any) -> CreateOrderV2Request:
    return CreateOrderV2Request(
        ticker=place.ticker,
        client_order_id=f"independent-{name}",
        side=side,
        count=count,
        price=price,
        self_trade_prevention_type="taker_at_cross",
        **more,
    )


def move_book(client: KalshiClient, place: Where) -> None:
    """Two changes of the book, however quiet the market is."""
    rest = order(place, "4", "bid", "1", DEEP_BID, time_in_force="good_till_canceled", post_only=True)
    created = client.orders.create_v2(request=rest)
    client.orders.cancel_v2(created.order_id, market_ticker=place.ticker)


async def read_frames(client: KalshiClient, place: Where, socket: KalshiWebSocket) -> list[str]:
    """The kinds of the first frames of the order book channel."""
    kinds: list[str] = []
    async with socket.connect() as session:
        async for message in await session.subscribe_orderbook_delta(tickers=[place.ticker]):
            kinds.append(message.type)
            if len(kinds) == 1:
                await asyncio.to_thread(move_book, client, place)
            if len(kinds) == FRAMES:
                break
    return kinds


def trade(client: KalshiClient, place: Where, report: Report) -> None:
    resting = order(place, "1", "bid", "1", DEEP_BID, time_in_force="good_till_canceled", post_only=True)
    created = client.orders.create_v2(request=resting)
    report.created_remaining = str(created.remaining_count)
    change = AmendOrderV2Request(ticker=place.ticker, side="bid", price=DEEPER_BID, count="2")
    report.amended_remaining = str(client.orders.amend_v2(created.order_id, request=change).remaining_count)
    try:
        client.orders.create_v2(request=resting)
    except KalshiConflictError as error:
        report.duplicate_status, report.duplicate_code = int(error.status_code or 0), str(error)
    report.resting = [each.order_id for each in client.orders.list(status="resting").items]
    report.cancelled_by = str(
        client.orders.cancel_v2(created.order_id, market_ticker=place.ticker).reduced_by
    )
    try:
        client.orders.cancel_v2(created.order_id, market_ticker=place.ticker)
    except KalshiNotFoundError as error:
        report.gone_status = int(error.status_code or 0)

    taking = {"time_in_force": "immediate_or_cancel"}
    client.orders.create_v2(request=order(place, "2", "bid", "1", BUY_ANYTHING, **taking))
    client.orders.create_v2(request=order(place, "3", "ask", "2", SELL_ANYTHING, **taking))


def main() -> None:
    place = where()
    config = KalshiConfig(base_url=place.rest_url, ws_base_url=place.ws_url, max_retries=0)
    auth = KalshiAuth.from_key_path(place.key_id, place.private_key_path)
    report = Report()
    with KalshiClient(auth=auth, config=config) as client:
        report.cash_before = str(client.portfolio.balance().balance_dollars)
        report.tickers = [market.ticker for market in client.markets.list(status="open", limit=100).items]
        book = client.markets.orderbook(place.ticker)
        report.best_yes_bid = str(max(level.price for level in book.yes))
        report.best_no_bid = str(max(level.price for level in book.no))
        trade(client, place, report)
        report.fills = [
            {
                "trade_id": fill.trade_id,
                "count": str(fill.count),
                "price": str(fill.yes_price),
                "fee": str(fill.fee_cost),
            }
            for fill in client.portfolio.fills(limit=100).items
        ]
        held = client.portfolio.positions(limit=100).market_positions
        report.positions = {position.ticker: str(position.position) for position in held}
        wait_for_balance()
        report.cash_after = str(client.portfolio.balance().balance_dollars)
        socket = KalshiWebSocket(auth=auth, config=config)
        report.frames = asyncio.run(asyncio.wait_for(read_frames(client, place, socket), 30))
    say(report)


if __name__ == "__main__":
    main()
