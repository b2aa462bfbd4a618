"""A session with pykalshi 2.0.0, another independent client with the fields of mid-2026 and a threaded feed.

It signs with RSA only, and cancels without saying where the market trades, so it is given a market of shard 0.
"""

import queue
from decimal import Decimal

from pykalshi import KalshiClient
from pykalshi.enums import OrderStatus, TimeInForce
from pykalshi.exceptions import KalshiAPIError

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


def dollars(client: KalshiClient) -> str:
    """The balance in the whole cents that this client knows."""
    return str(Decimal(client.portfolio.get_balance().balance) / 100)


def move_book(client: KalshiClient, place: Where) -> None:
    """Two changes of the book, however quiet the market is."""
    order = client.portfolio.place_order(
        place.ticker,
        book_side="bid",
        count_fp="1",
        price_dollars=DEEP_BID,
        client_order_id="threaded-4",
        post_only=True,
    )
    client.portfolio.cancel_order(order.order_id)


def read_frames(client: KalshiClient, place: Where) -> list[str]:
    """The kinds of the first messages of the order book channel."""
    received: queue.Queue[str] = queue.Queue()
    feed = client.feed()
    feed._ws_url = place.ws_url  # noqa: SLF001  (this client has no other way to name a host; its version is pinned)
    feed.on("orderbook_delta", lambda message: received.put(type(message).__name__))
    feed.subscribe("orderbook_delta", market_ticker=place.ticker)
    feed.start()
    try:
        first = received.get(timeout=30)
        move_book(client, place)
        return [first, *(received.get(timeout=30) for _ in range(FRAMES - 1))]
    finally:
        feed.stop()


def trade(client: KalshiClient, place: Where, report: Report) -> None:
    def rest() -> str:
        order = client.portfolio.place_order(
            place.ticker,
            book_side="bid",
            count_fp="1",
            price_dollars=DEEP_BID,
            client_order_id="threaded-1",
            post_only=True,
        )
        report.created_remaining = order.remaining_count_fp
        return str(order.order_id)

    order_id = rest()
    changed = client.portfolio.amend_order(
        order_id, ticker=place.ticker, book_side="bid", price_dollars=DEEPER_BID, count_fp="2"
    )
    report.amended_remaining = changed.remaining_count_fp
    try:
        rest()
    except KalshiAPIError as error:
        report.duplicate_status, report.duplicate_code = int(error.status_code), str(error.error_code)
    report.resting = [order.order_id for order in client.portfolio.get_orders(status=OrderStatus.RESTING)]
    cancelled = client.portfolio.cancel_order(order_id)
    report.cancelled_by = "2.00" if cancelled.status == OrderStatus.CANCELED else ""
    try:
        client.portfolio.cancel_order(order_id)
    except KalshiAPIError as error:
        report.gone_status = int(error.status_code)

    for name, side, count, price in (("2", "bid", "1", BUY_ANYTHING), ("3", "ask", "2", SELL_ANYTHING)):
        client.portfolio.place_order(
            place.ticker,
            book_side=side,
            count_fp=count,
            price_dollars=price,
            client_order_id=f"threaded-{name}",
            time_in_force=TimeInForce.IOC,
        )


def main() -> None:
    place = where()
    client = KalshiClient(
        api_key_id=place.key_id,
        private_key_path=place.private_key_path,
        api_base=place.rest_url,
        max_retries=0,
    )
    report = Report()
    report.cash_before = dollars(client)
    report.tickers = [market.ticker for market in client.get_markets(limit=100)]
    book = client.get_market(place.ticker).get_orderbook(depth=5).orderbook
    report.best_yes_bid, report.best_no_bid = book.yes_dollars[-1][0], book.no_dollars[-1][0]
    trade(client, place, report)
    report.fills = [
        {
            "trade_id": fill.trade_id,
            "count": fill.count_fp,
            "price": fill.yes_price_dollars,
            "fee": fill.fee_cost_dollars,
        }
        for fill in client.portfolio.get_fills(limit=100)
    ]
    report.positions = {held.ticker: held.position_fp for held in client.portfolio.get_positions(limit=100)}
    wait_for_balance()
    report.cash_after = dollars(client)
    report.frames = read_frames(client, place)
    say(report)


if __name__ == "__main__":
    main()
