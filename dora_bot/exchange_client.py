"""`KalshiClient`: the exchange's REST API as the ports `Exchange` and `AccountReader`.

Writes never raise for what the exchange or the network does: each ends in exactly one outcome, and none is
ever sent twice. Reads raise one of `dora_bot.errors` and never return less than all pages.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from dora_bot import kalshi_listings as listings
from dora_bot import kalshi_markets as catalog_replies
from dora_bot import kalshi_outcomes as outcomes
from dora_bot import kalshi_replies as replies
from dora_bot import kalshi_wire as wire
from dora_bot.clock import MeasuredClock
from dora_bot.errors import (
    SIGNATURE_EXPIRED,
    AuthRefused,
    ExchangeError,
    ExchangeUnreachable,
    MarketClosed,
    RateLimited,
    WireError,
)
from dora_bot.events import BookSnapshot, FeeChange, PublicTrade
from dora_bot.execution import BATCH
from dora_bot.http_transport import Call, Failure, HttpTransport, Reply
from dora_bot.market_catalog import MarketCatalog
from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    Balance,
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
)

PATIENCE_S = 0.7
"""How long a tick waits for a write. Its exposure writes start within 300 ms, so its I/O lasts a second (FAULTS B07)."""
_MAX_PAGES = 500
_CLOSED_CODES = frozenset({"market_inactive", "market_closed", "market_already_closed"})
_Item = TypeVar("_Item")
_Write = TypeVar("_Write", Place, Amend, Cancel)


class KalshiClient:
    """One account's calls. Thread-safe; give each independent thread its own, so that they do not queue."""

    def __init__(
        self, transport: HttpTransport, clock: MeasuredClock, subaccount: int = wire.PRIMARY
    ) -> None:
        """Every order, cancel and read of the account is for the ``subaccount`` and names it."""
        self._subaccount = subaccount
        self._transport = transport
        self._clock = clock
        self._calls: Counter[str] = Counter()
        self._catalog = MarketCatalog(self.read, self.read_all, self._pages, clock)
        self.on_late: Callable[[Outcome], None] | None = None
        """With it a write is waited for `PATIENCE_S` only. One that is answered later is unknown for the time being,
        and this is told its outcome, on another thread.
        """

    def close(self) -> None:
        self._transport.close()

    def stats(self) -> Mapping[str, int]:
        """Requests sent by endpoint class (`wire.Request.kind`), and ``kind!code`` for those that failed."""
        return dict(self._calls)

    @property
    def calls_sent(self) -> int:
        return sum(count for kind, count in self._calls.copy().items() if "!" not in kind)

    # ── writes ──────────────────────────────────────────────────────────────────────────────────

    def place_order(self, order: Place) -> Outcome:
        return self._write(order, wire.create_order(order, self._subaccount), outcomes.created)

    def place_orders(self, orders: Sequence[Place]) -> list[Outcome]:
        return self._batch(orders, wire.create_orders, outcomes.batch_created)

    def amend_order(self, order: Amend) -> Outcome:
        return self.amend_orders([order])[0]

    def amend_orders(self, orders: Sequence[Amend]) -> list[Outcome]:
        sendable = [order for order in orders if order.order_id]
        requests = [wire.amend_order(order, self._subaccount) for order in sendable]
        answers = iter(
            self._writes(requests, lambda n, answer: [self._outcome(sendable[n], answer, outcomes.amended)])
        )
        return [next(answers) if order.order_id else _no_id(order) for order in orders]

    def cancel_order(self, order: Cancel) -> Outcome:
        if not order.order_id:
            return _no_id(order)
        return self._write(order, wire.cancel_order(order, self._subaccount), outcomes.cancelled)

    def cancel_orders(self, orders: Sequence[Cancel]) -> list[Outcome]:
        sendable = [order for order in orders if order.order_id]
        answers = iter(self._batch(sendable, wire.cancel_orders, outcomes.batch_cancelled))
        return [next(answers) if order.order_id else _no_id(order) for order in orders]

    def decrease_order(self, order: Cancel, reduce_to_e2: int) -> Outcome:
        """A partial cancel that keeps the queue place: ``reduce_to_e2`` stays."""
        if not order.order_id:
            return _no_id(order)
        return self._write(
            order, wire.decrease_order(order, reduce_to_e2, self._subaccount), outcomes.decreased
        )

    def cancel_all_orders(self) -> None:
        reply = self._checked(wire.cancel_all_orders(self._subaccount))
        if reply.status != 204:
            raise ExchangeError(f"cancel-all answered {reply.status}, not 204")

    # ── order groups ────────────────────────────────────────────────────────────────────────────

    def create_order_group(self, limit_e2: int, exchange_index: int) -> str:
        return listings.new_order_group(
            self.read(wire.create_order_group(limit_e2, exchange_index, self._subaccount))
        )

    def get_order_groups(self) -> list[listings.OrderGroup]:
        return listings.order_groups(self.read(wire.get_order_groups(self._subaccount)))

    def limit_order_group(self, group_id: str, limit_e2: int, exchange_index: int) -> None:
        self._checked(wire.limit_order_group(group_id, limit_e2, exchange_index, self._subaccount))

    def trigger_order_group(self, group_id: str, exchange_index: int) -> None:
        self._checked(wire.trigger_order_group(group_id, exchange_index, self._subaccount))

    def reset_order_group(self, group_id: str, exchange_index: int) -> None:
        self._checked(wire.reset_order_group(group_id, exchange_index, self._subaccount))

    def delete_order_group(self, group_id: str, exchange_index: int) -> None:
        self._checked(wire.delete_order_group(group_id, exchange_index, self._subaccount))

    # ── the account ─────────────────────────────────────────────────────────────────────────────

    def get_open_orders(self) -> list[ExchangeOrder]:
        return self._pages(
            wire.get_open_orders(self._subaccount), replies.orders, lambda order: order.order_id
        )

    def get_order(self, order_id: str) -> ExchangeOrder:
        return replies.order(self.read(wire.get_order(order_id)))

    def get_fills(self, since_ms: int) -> list[Fill]:
        found = self._pages(wire.get_fills(since_ms, self._subaccount), replies.fills, lambda fill: fill.key)
        return sorted((f for f in found if f.time_ms >= since_ms), key=lambda fill: (fill.time_ms, fill.key))

    def get_positions(self) -> list[ExchangePosition]:
        return self._pages(
            wire.get_positions(self._subaccount), replies.positions, lambda position: position.ticker
        )

    def get_settlements(self, since_ms: int) -> list[Settlement]:
        found = self._pages(
            wire.get_settlements(since_ms, self._subaccount),
            replies.settlements,
            lambda paid: (paid.ticker, paid.time_ms),
        )
        return sorted(
            (s for s in found if s.time_ms >= since_ms), key=lambda paid: (paid.time_ms, paid.ticker)
        )

    def get_balance(self) -> Balance:
        return replies.balance(self.read(wire.get_balance(self._subaccount)))

    def get_queue_positions(self, tickers: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for some in _chunks(tickers, wire.MAX_BOOK_TICKERS):
            found |= replies.queue_positions(self.read(wire.get_queue_positions(some, self._subaccount)))
        return found

    def get_user_data_timestamp(self) -> int:
        return listings.user_data_timestamp(self.read(wire.USER_DATA_TIMESTAMP))

    def get_limits(self) -> AccountLimits:
        return listings.account_limits(self.read(wire.ACCOUNT_LIMITS), self.read(wire.ENDPOINT_COSTS))

    # ── markets ─────────────────────────────────────────────────────────────────────────────────

    def get_order_book(self, ticker: str) -> BookSnapshot:
        return replies.order_book(ticker, self.read(wire.get_order_book(ticker)))

    def get_order_books(self, tickers: Sequence[str]) -> list[BookSnapshot]:
        """Books in the order asked for, 100 to a request; markets the exchange left out are left out."""
        found: dict[str, BookSnapshot] = {}
        for some in _chunks(tickers, wire.MAX_BOOK_TICKERS):
            found |= {b.ticker: b for b in replies.order_books(self.read(wire.get_order_books(some)))}
        return [found[ticker] for ticker in tickers if ticker in found]

    def get_markets(
        self, *, tickers: Sequence[str] = (), series: str = "", event: str = "", status: str = ""
    ) -> list[Market]:
        return self._catalog.markets(tickers=tickers, series=series, event=event, status=status)

    def get_trades(self, ticker: str, since_ms: int) -> list[PublicTrade]:
        """The public tape from ``since_ms`` on, oldest first."""
        found = self._pages(wire.get_trades(ticker, since_ms), catalog_replies.trades, lambda pair: pair[0])
        return sorted((t for _, t in found if t.time_ms >= since_ms), key=lambda trade: trade.time_ms)

    # ── the exchange ────────────────────────────────────────────────────────────────────────────

    def get_exchange_status(self) -> ExchangeStatus:
        """A 5xx may carry the status too: then it is read like any other."""
        reply = self._answered(wire.EXCHANGE_STATUS)
        try:
            return listings.exchange_status(reply.body)
        except WireError:
            self._raise_unless_ok(wire.EXCHANGE_STATUS, reply)
            raise

    def get_schedule(self) -> listings.Schedule:
        return listings.schedule(self.read(wire.EXCHANGE_SCHEDULE))

    def get_incentives(self) -> list[listings.Incentive]:
        return self._pages(
            wire.get_incentives(), listings.incentives, lambda incentive: incentive.incentive_id
        )

    def get_fee_changes(self) -> list[FeeChange]:
        """Scheduled changes of series' and events' fee terms; `get_markets` reads a series anew once its change is due."""
        changes = listings.series_fee_changes(self.read(wire.SERIES_FEE_CHANGES))
        changes += self._pages(wire.EVENT_FEE_CHANGES, listings.event_fee_changes, lambda change: change)
        self._catalog.expected = tuple(changes)
        return changes

    # ── sending ─────────────────────────────────────────────────────────────────────────────────

    def read(self, request: wire.Request) -> bytes:
        """The body of a 2xx reply. Raises one of `dora_bot.errors` for anything else."""
        return self._checked(request).body

    def read_all(self, requests: Sequence[wire.Request]) -> list[bytes]:
        """Several reads side by side, answers in their order. Raises for the first that failed, as `read`."""
        bodies: list[bytes] = []
        for request, answer in zip(requests, self._send_all(requests), strict=True):
            if isinstance(answer, Failure):
                raise ExchangeUnreachable(f"{request.method} {request.path}: {answer.code}: {answer.detail}")
            self._raise_unless_ok(request, answer)
            bodies.append(answer.body)
        return bodies

    def _checked(self, request: wire.Request) -> Reply:
        reply = self._answered(request)
        self._raise_unless_ok(request, reply)
        return reply

    def _answered(self, request: wire.Request) -> Reply:
        answer = self._send_all([request])[0]
        if request.method == "GET" and _came_too_late(answer):
            answer = self._send_all([request])[0]  # the clock was set right by the refusal's own date
        if isinstance(answer, Failure):
            raise ExchangeUnreachable(f"{request.method} {request.path}: {answer.code}: {answer.detail}")
        return answer

    def _send_all(self, requests: Sequence[wire.Request]) -> list[Reply | Failure]:
        answers = self._transport.call_all([Call(r.method, r.target, r.body) for r in requests])
        for request, answer in zip(requests, answers, strict=True):
            self._calls[request.kind] += 1
            self._count(request, answer)
        return answers

    def _count(self, request: wire.Request, answer: Reply | Failure) -> None:
        if isinstance(answer, Failure):
            self._calls[f"{request.kind}!{answer.code}"] += 1
        elif answer.status >= 300:
            self._calls[f"{request.kind}!{answer.status}"] += 1

    def _write(
        self, order: _Write, request: wire.Request, read: Callable[[_Write, int, bytes], Outcome]
    ) -> Outcome:
        return self._writes([request], lambda _, answer: [self._outcome(order, answer, read)])[0]

    def _writes(
        self, requests: Sequence[wire.Request], read: Callable[[int, Reply | Failure], list[Outcome]]
    ) -> list[Outcome]:
        """The outcomes of all requests, side by side; ``read`` makes them of the answer to the n-th request."""

        def late(number: int, answer: Reply | Failure) -> None:
            assert self.on_late is not None
            self._count(requests[number], answer)
            for outcome in read(number, answer):
                self.on_late(outcome)

        calls = [Call(r.method, r.target, r.body) for r in requests]
        if self.on_late is None:
            answers = self._transport.call_all(calls)
        else:
            answers = self._transport.call_all(calls, PATIENCE_S, late)
        found: list[Outcome] = []
        for number, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            self._calls[request.kind] += 1
            self._count(request, answer)
            found += read(number, answer)
        return found

    def _outcome(
        self, order: _Write, answer: Reply | Failure, read: Callable[[_Write, int, bytes], Outcome]
    ) -> Outcome:
        if isinstance(answer, Failure):
            return _failed(order, answer)
        outcome = read(order, answer.status, answer.body)
        if outcome.time_ms:
            # The engine stamped it between our send and now: a far finer reading than the Date header.
            doubt = answer.took_ms // 2 + 1
            self._clock.observe(outcome.time_ms + doubt, answer.heard_mono_ms, doubt)
        return replace(outcome, took_ms=answer.took_ms)

    def _batch(
        self,
        orders: Sequence[_Write],
        request: Callable[[Sequence[_Write], int], wire.Request],
        read: Callable[[Sequence[_Write], int, bytes], list[Outcome]],
    ) -> list[Outcome]:
        """One call where it fits into one, else several side by side: many orders take no longer than few."""
        parts = _chunks(orders, BATCH)

        def outcomes_of(number: int, answer: Reply | Failure) -> list[Outcome]:
            if isinstance(answer, Failure):
                return [_failed(order, answer) for order in parts[number]]
            told = read(parts[number], answer.status, answer.body)
            return [replace(outcome, took_ms=answer.took_ms) for outcome in told]

        return self._writes([request(part, self._subaccount) for part in parts], outcomes_of)

    def _pages(
        self,
        request: wire.Request,
        read: Callable[[bytes], tuple[list[_Item], str]],
        key: Callable[[_Item], object],
    ) -> list[_Item]:
        """All pages, each item once. A cursor seen before would go round for ever: that raises `WireError`,
        since a listing cut short must never pass for a whole one.
        """
        found: dict[object, _Item] = {}
        cursors = {""}
        page = request
        for _ in range(_MAX_PAGES):
            items, cursor = read(self.read(page))
            known = len(found)
            for item in items:
                found.setdefault(key(item), item)
            if not cursor:
                return list(found.values())
            if cursor in cursors or (items and len(found) == known):
                break
            cursors.add(cursor)
            page = wire.next_page(request, cursor)
        raise WireError(f"the pages of {request.path} repeat themselves")

    def _raise_unless_ok(self, request: wire.Request, reply: Reply) -> None:
        if 200 <= reply.status < 300:
            return
        found = outcomes.problem(reply.status, reply.body)
        text = f"{request.method} {request.path}: {reply.status} {found.code}: {found.detail}"
        if reply.status in (401, 403, 410):
            raise AuthRefused(text)
        if reply.status == 429:
            raise RateLimited(text)
        if found.code in _CLOSED_CODES:
            raise MarketClosed(text)
        if reply.status >= 500:
            raise ExchangeUnreachable(text)
        raise ExchangeError(text)


def _failed(action: Action, failure: Failure) -> Outcome:
    kind = OutcomeKind.UNKNOWN if failure.sent else OutcomeKind.DENIED_LOCALLY
    return Outcome(action, kind, code=failure.code, detail=failure.detail, took_ms=failure.took_ms)


def _came_too_late(answer: Reply | Failure) -> bool:
    """Refused for the time in its signature."""
    return isinstance(answer, Reply) and answer.status == 401 and SIGNATURE_EXPIRED.encode() in answer.body


def _no_id(action: Amend | Cancel) -> Outcome:
    return outcomes.denied_locally(action, "no_order_id", "the exchange's id of this order is not known yet")


def _chunks(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
