"""One account of an exchange in memory: it applies writes, remembers every call and ends writes as the test scripts it.

It is not a matching engine: a test says when an order trades. What it tells (fills, frames) the test delivers itself,
in whatever order and as often as the case needs.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dora_bot.errors import WireError
from dora_bot.events import BookSnapshot
from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    Balance,
    BucketLimit,
    Cancel,
    ExchangeOrder,
    ExchangePosition,
    ExchangeStatus,
    Fill,
    Market,
    Outcome,
    OutcomeKind,
    Place,
    Settlement,
    Side,
)
from tests.fakes.manual_clock import ManualClock

LIMITS = AccountLimits("basic", BucketLimit(200, 200), BucketLimit(100, 100))


@dataclass(frozen=True)
class Answer:
    """How the next write ends: ``kind``, and whether the exchange applied it all the same."""

    kind: OutcomeKind
    applied: bool = False
    code: str = ""
    detail: str = ""


REFUSED = Answer(OutcomeKind.REFUSED, code="post_only_cross")
LOST = Answer(OutcomeKind.UNKNOWN, applied=True, code="timeout")
NEVER_SENT = Answer(OutcomeKind.DENIED_LOCALLY, code="connect")
SWALLOWED = Answer(OutcomeKind.UNKNOWN, applied=False, code="timeout")


@dataclass
class FakeExchange:
    """Implements `ports.AccountReader`. ``latency_ms`` is what one write call takes on the clock."""

    clock: ManualClock
    latency_ms: int = 0
    orders: dict[str, ExchangeOrder] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    net: dict[str, int] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)
    calls: list[tuple[str, tuple[Action, ...]]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    markets: dict[str, Market] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    """Markets whose metadata comes with a field missing."""
    status: ExchangeStatus = field(default_factory=lambda: ExchangeStatus(active=True, trading=True))
    limits: AccountLimits = LIMITS
    lag_ms: int = 0
    queue: dict[str, int] = field(default_factory=dict)
    before_write: Callable[[str], None] = lambda _: None

    # ── writes ──────────────────────────────────────────────────────────────────────────────────

    def place_order(self, order: Place) -> Outcome:
        return self.place_orders([order])[0]

    def place_orders(self, orders: Sequence[Place]) -> list[Outcome]:
        return self._write("place", orders)

    def amend_order(self, order: Amend) -> Outcome:
        return self.amend_orders([order])[0]

    def amend_orders(self, orders: Sequence[Amend]) -> list[Outcome]:
        return self._write("amend", orders)

    def cancel_order(self, order: Cancel) -> Outcome:
        return self.cancel_orders([order])[0]

    def cancel_orders(self, orders: Sequence[Cancel]) -> list[Outcome]:
        return self._write("cancel", orders)

    def cancel_all_orders(self) -> None:
        self._read("cancel_all")
        for order_id in list(self.resting()):
            self.orders[order_id] = replace(self.orders[order_id], status="canceled", remaining_e2=0)

    def _write(self, what: str, actions: Sequence[Action]) -> list[Outcome]:
        self.before_write(what)
        self.calls.append((what, tuple(actions)))
        self.clock.advance(self.latency_ms)
        return [self._one(action) for action in actions]

    def _one(self, action: Action) -> Outcome:
        answer = self.answers.popleft() if self.answers else None
        if answer is None:
            return self._apply(action)
        if answer.applied:
            self._apply(action)
        return Outcome(action, answer.kind, code=answer.code, detail=answer.detail)

    def _apply(self, action: Action) -> Outcome:
        now = self.clock.now().exchange_ms
        if isinstance(action, Place):
            order_id = f"o-{action.client_order_id}"
            if order_id in self.orders:
                return Outcome(action, OutcomeKind.UNKNOWN, code="order_already_exists", exists=True)
            self.orders[order_id] = ExchangeOrder(
                order_id=order_id,
                client_order_id=action.client_order_id,
                ticker=action.ticker,
                side=action.side,
                price_e4=action.price_e4,
                remaining_e2=action.count_e2,
                filled_e2=0,
                status="resting",
                created_ms=now,
                expiration_ms=action.expiration_ms,
                exchange_index=action.exchange_index,
            )
            return self._accepted(action, order_id)
        order = self.orders.get(action.order_id)
        if order is None or order.status != "resting":
            return Outcome(action, OutcomeKind.UNKNOWN, code="not_found")
        if isinstance(action, Amend):
            remaining = max(action.total_e2 - order.filled_e2, 0)
            self.orders[action.order_id] = replace(
                order,
                price_e4=action.price_e4,
                remaining_e2=remaining,
                expiration_ms=action.expiration_ms,
                status="resting" if remaining else "canceled",
            )
            return self._accepted(action, action.order_id)
        self.orders[action.order_id] = replace(order, status="canceled", remaining_e2=0)
        return Outcome(
            action, OutcomeKind.ACCEPTED, action.order_id, reduced_by_e2=order.remaining_e2, time_ms=now
        )

    def _accepted(self, action: Action, order_id: str) -> Outcome:
        order = self.orders[order_id]
        return Outcome(
            action,
            OutcomeKind.ACCEPTED,
            order_id,
            filled_e2=order.filled_e2,
            remaining_e2=order.remaining_e2,
            time_ms=self.clock.now().exchange_ms,
        )

    # ── what happens on the exchange by itself ──────────────────────────────────────────────────

    def trade(self, order_id: str, count_e2: int, *, fee_e6: int = 0) -> Fill:
        """Somebody takes ``count_e2`` of a resting order. Returns the fill for the test to deliver."""
        order = self.orders[order_id]
        assert order.status == "resting"
        assert count_e2 <= order.remaining_e2
        left = order.remaining_e2 - count_e2
        self.orders[order_id] = replace(
            order,
            remaining_e2=left,
            filled_e2=order.filled_e2 + count_e2,
            status="resting" if left else "executed",
        )
        self.net[order.ticker] = self.net.get(order.ticker, 0) + order.side.sign * count_e2
        fill = Fill(
            trade_id=f"t{len(self.fills) + 1}",
            order_id=order_id,
            ticker=order.ticker,
            side=order.side,
            price_e4=order.price_e4,
            count_e2=count_e2,
            fee_e6=fee_e6,
            is_taker=False,
            time_ms=self.clock.now().exchange_ms,
            client_order_id=order.client_order_id,
        )
        self.fills.append(fill)
        return fill

    def resting(self) -> dict[str, ExchangeOrder]:
        return {order_id: o for order_id, o in self.orders.items() if o.status == "resting"}

    def own(self, side: Side, ticker: str = "KXA") -> ExchangeOrder:
        """The one resting order on this side of the market."""
        (found,) = [o for o in self.resting().values() if o.side is side and o.ticker == ticker]
        return found

    def sent(self, what: str) -> list[Action]:
        return [action for kind, actions in self.calls if kind == what for action in actions]

    # ── reads ───────────────────────────────────────────────────────────────────────────────────

    def _read(self, what: str) -> None:
        self.reads.append(what)
        if what in self.failing:
            raise self.failing[what]

    def get_order_book(self, ticker: str) -> BookSnapshot:
        self._read("book")
        return BookSnapshot(ticker, (), ())

    def get_order_books(self, tickers: Sequence[str]) -> list[BookSnapshot]:
        return [self.get_order_book(ticker) for ticker in tickers]

    def get_open_orders(self) -> list[ExchangeOrder]:
        self._read("orders")
        return list(self.resting().values())

    def get_fills(self, since_ms: int) -> list[Fill]:
        self._read("fills")
        return [f for f in self.fills if f.time_ms >= since_ms]

    def get_positions(self) -> list[ExchangePosition]:
        self._read("positions")
        return [ExchangePosition(ticker, net) for ticker, net in self.net.items()]

    def get_balance(self) -> Balance:
        self._read("balance")
        return Balance(1_000_000_000)

    def get_settlements(self, since_ms: int) -> list[Settlement]:
        self._read("settlements")
        return [s for s in self.settlements if s.time_ms >= since_ms]

    def get_user_data_timestamp(self) -> int:
        self._read("timestamp")
        return self.clock.now().exchange_ms - self.lag_ms

    def get_limits(self) -> AccountLimits:
        self._read("limits")
        return self.limits

    def get_exchange_status(self) -> ExchangeStatus:
        self._read("status")
        return self.status

    def get_markets(
        self, *, tickers: Sequence[str] = (), series: str = "", event: str = "", status: str = ""
    ) -> list[Market]:
        self._read("markets")
        if self.damaged.intersection(tickers):
            raise WireError("markets[].price_ranges missing")
        return [
            m
            for m in self.markets.values()
            if (not tickers or m.ticker in tickers)
            and series in ("", m.series_ticker)
            and event in ("", m.event_ticker)
            and (status != "open" or m.status == "active")
        ]

    def get_queue_positions(self, tickers: Sequence[str]) -> dict[str, int]:
        self._read("queue")
        return self.queue

    def create_order_group(self, limit_e2: int, exchange_index: int) -> str:
        self._read("create_group")
        return "g1"

    def trigger_order_group(self, group_id: str, exchange_index: int) -> None:
        self._read("trigger_group")

    def reset_order_group(self, group_id: str, exchange_index: int) -> None:
        self._read("reset_group")
