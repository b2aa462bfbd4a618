"""A session with Kalshi's own client, kalshi-python-sync 3.34.0 (REST only; its models are strict)."""

import json
from typing import Any

import kalshi_python_sync as kalshi
from kalshi_python_sync.exceptions import ApiException

from tests.conformance.clients.common import (
    BUY_ANYTHING,
    DEEP_BID,
    DEEPER_BID,
    SELL_ANYTHING,
    Report,
    say,
    wait_for_balance,
    where,
)


def refused(error: ApiException) -> tuple[int, str]:
    return int(error.status), json.loads(error.body)["error"]["code"]


def rest_and_cancel(orders: Any, ticker: str, report: Report) -> None:
    """One post-only order: created, amended, refused a second time, found, cancelled, gone."""
    resting: dict[str, Any] = {
        "ticker": ticker,
        "side": "bid",
        "count": "1.00",
        "price": DEEP_BID,
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        "post_only": True,
        "client_order_id": "official-1",
    }
    created = orders.create_order_v2(**resting)
    report.created_remaining = created.remaining_count
    amended = orders.amend_order_v2(
        order_id=created.order_id, ticker=ticker, side="bid", price=DEEPER_BID, count="2.00"
    )
    report.amended_remaining = amended.remaining_count
    try:
        orders.create_order_v2(**resting)
    except ApiException as error:
        report.duplicate_status, report.duplicate_code = refused(error)
    report.resting = [order.order_id for order in orders.get_orders(status="resting").orders]
    report.cancelled_by = orders.cancel_order_v2(order_id=created.order_id, market_ticker=ticker).reduced_by
    try:
        orders.cancel_order_v2(order_id=created.order_id, market_ticker=ticker)
    except ApiException as error:
        report.gone_status = int(error.status)


def take(orders: Any, ticker: str, name: str, **terms: str) -> None:
    orders.create_order_v2(
        ticker=ticker,
        client_order_id=f"official-{name}",
        time_in_force="immediate_or_cancel",
        self_trade_prevention_type="taker_at_cross",
        **terms,
    )


def main() -> None:
    place = where()
    configuration = kalshi.Configuration(host=place.rest_url)
    configuration.api_key_id, configuration.private_key_pem = place.key_id, place.private_key
    client = kalshi.KalshiClient(configuration)
    markets, orders, portfolio = (
        kalshi.MarketApi(client),
        kalshi.OrdersApi(client),
        kalshi.PortfolioApi(client),
    )
    report = Report()
    report.cash_before = portfolio.get_balance().balance_dollars
    report.tickers = [market.ticker for market in markets.get_markets(status="open", limit=100).markets]
    book = markets.get_market_orderbook(ticker=place.ticker, depth=5).orderbook_fp
    report.best_yes_bid, report.best_no_bid = book.yes_dollars[-1][0], book.no_dollars[-1][0]

    rest_and_cancel(orders, place.ticker, report)
    take(orders, place.ticker, "2", side="bid", count="1.00", price=BUY_ANYTHING)
    take(orders, place.ticker, "3", side="ask", count="2.00", price=SELL_ANYTHING)
    report.fills = [
        {
            "trade_id": fill.trade_id,
            "count": fill.count_fp,
            "price": fill.yes_price_dollars,
            "fee": fill.fee_cost,
        }
        for fill in portfolio.get_fills(limit=100).fills
    ]
    held = portfolio.get_positions(limit=100).market_positions
    report.positions = {position.ticker: position.position_fp for position in held}
    wait_for_balance()
    report.cash_after = portfolio.get_balance().balance_dollars
    say(report)


if __name__ == "__main__":
    main()
