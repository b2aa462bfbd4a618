"""Every REST endpoint of the paper exchange, in one table."""

from dora_bot.paper import (
    rest_account,
    rest_exchange,
    rest_groups,
    rest_market_data,
    rest_orders,
    rest_portfolio,
)
from dora_bot.paper.rest_base import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *rest_exchange.ENDPOINTS,
    *rest_market_data.ENDPOINTS,
    *rest_orders.ENDPOINTS,
    *rest_portfolio.ENDPOINTS,
    *rest_groups.ENDPOINTS,
    *rest_account.ENDPOINTS,
)
