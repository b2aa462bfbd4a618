"""A small paper exchange to try rules on: one series, one event, markets, members with cash and a house."""

from collections.abc import Callable
from typing import Any

import pytest

from dora_bot.models import (
    FeeTerms,
    PriceGrid,
    Side,
    TimeInForce,
)
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent
from dora_bot.paper.specs import (
    AmendRequest,
    EngineOptions,
    EventSpec,
    MarketSpec,
    OrderRequest,
    OrderStatus,
    OrderView,
    PositionView,
    Receipt,
    Refused,
    SeriesSpec,
)

START_MS = 1_000_000
CLOSE_MS = 100_000_000
DOLLAR_E6 = 1_000_000
BID, ASK = Side.BID, Side.ASK
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK

Refusal = tuple[int, str, str | None]


def refusal(call: Callable[[], object]) -> Refusal:
    """(status, code, details) of the refusal that the call must raise."""
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.status, caught.value.code, caught.value.details


class Bench:
    """Market ``M`` on shard 0 and ``M2`` on shard 2, both on whole cents; members ``ann bob cat`` with 1,000 $.

    Prices are given in cents and counts in contracts where a method says so; time stands still until `wait`.
    """

    def __init__(
        self,
        *,
        fee_type: str = "quadratic",
        cash: int = 1_000 * DOLLAR_E6,
        options: EngineOptions | None = None,
        seed: int = 7,
        members: tuple[str, ...] = ("ann", "bob", "cat"),
    ) -> None:
        self.now_ms = START_MS
        self.exchange = exchange = Exchange(seed, options)
        exchange.add_series(SeriesSpec("S", "Series", "Tests", "daily", FeeTerms(fee_type)))
        exchange.add_event(EventSpec("E", "S", "Event"), START_MS)
        for ticker, shard in (("M", 0), ("M2", 2)):
            exchange.add_market(
                MarketSpec(
                    ticker, "E", ticker, PriceGrid.linear(100), "linear_cent", START_MS, CLOSE_MS, shard
                ),
                START_MS,
            )
        for name in members:
            exchange.open_account(name, {0: cash, 2: cash})
        exchange.open_account("house", house=True)
        exchange.drain_events()

    # ── actions ─────────────────────────────────────────────────────────────────────────────────

    def order(
        self, account: str, side: Side, cents: float, contracts: float, *, ticker: str = "M", **terms: Any
    ) -> Receipt:
        request = OrderRequest(
            ticker, side, round(cents * 100), round(contracts * 100), **{"stp": "taker_at_cross", **terms}
        )
        return self.exchange.create(account, request, self.now_ms)

    def amend(
        self, account: str, order_id: str, side: Side, cents: float, total: float, **terms: Any
    ) -> Receipt:
        request = AmendRequest(
            order_id, terms.pop("ticker", "M"), side, round(cents * 100), round(total * 100), **terms
        )
        return self.exchange.amend(account, request, self.now_ms)

    def cancel(self, account: str, order_id: str, **routing: Any) -> int:
        return self.exchange.cancel(account, order_id, self.now_ms, **routing).reduced_by_e2

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.exchange.advance(self.now_ms)

    # ── observations ────────────────────────────────────────────────────────────────────────────

    def view(self, order_id: str) -> OrderView:
        return self.exchange.order(order_id)

    def resting(self, account: str) -> list[str]:
        return [order.order_id for order in self.exchange.orders(account, status=OrderStatus.RESTING)]

    def bids(self, ticker: str = "M") -> list[tuple[int, int]]:
        return [(price, count) for price, count in self.exchange.book(ticker).bids]

    def asks(self, ticker: str = "M") -> list[tuple[int, int]]:
        return [(price, count) for price, count in self.exchange.book(ticker).asks]

    def net(self, account: str, ticker: str = "M") -> int:
        return sum(p.net_e2 for p in self.exchange.positions(account) if p.ticker == ticker)

    def position(self, account: str) -> PositionView:
        (only,) = self.exchange.positions(account)
        return only

    def cash(self, account: str, shard: int = 0) -> int:
        return sum(p.cash_e6 for p in self.exchange.balance(account) if p.exchange_index == shard)

    def locked(self, account: str, shard: int = 0) -> int:
        return sum(p.locked_e6 for p in self.exchange.balance(account) if p.exchange_index == shard)

    def drain(self, *kinds: type[EngineEvent]) -> list[Any]:
        """Take the events so far; only those of the given kinds, if any are named."""
        return only(self.exchange.drain_events(), *kinds)


def only(events: list[EngineEvent], *kinds: type[EngineEvent]) -> list[Any]:
    """The events of the given kinds, all if none is named."""
    return [event for event in events if not kinds or isinstance(event, kinds)]
