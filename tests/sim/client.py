"""The bot's client over the simulated network: every call takes virtual time, and each of its phases can fail.

A write leaves, is applied (at once, late, after the client gave up, or never) and is answered or not. What the
exchange answers is encoded and read by the production code that decides which of the four outcomes it is.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from dora_bot import kalshi_outcomes as outcomes
from dora_bot.clock import MeasuredClock
from dora_bot.errors import AuthRefused, ExchangeError, ExchangeUnreachable, RateLimited, WireError
from dora_bot.events import BookSnapshot, FeeChange
from dora_bot.exchange_client import PATIENCE_S
from dora_bot.http_transport import LATE
from dora_bot.kalshi_listings import Schedule
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
    Place,
    Settlement,
)
from dora_bot.paper.specs import FillView, Refused
from dora_bot.pulse import waiting
from tests.sim import account_reads, convert
from tests.sim.faults import Faults
from tests.sim.front import KEY_REFUSED, TIER
from tests.sim.kernel import Kernel, Wake
from tests.sim.misbehaviour import perform
from tests.sim.venue import BOT, Venue

TIMEOUT_MS = 2_000
PATIENCE_MS = round(PATIENCE_S * 1_000)
TOO_MANY = b'{"error":"too many requests"}'
HOLD_MS = 24_000
"""The longest a request waits in the network after the client gave up; a signature lives 30 s."""

HIDDEN_MS = 110_000
"""The longest that a fill may be missing in reads that have everything else: their overlap and more."""

LIMITS = AccountLimits(
    TIER.name, BucketLimit(TIER.read_capacity, TIER.read), BucketLimit(TIER.write_capacity, TIER.write)
)
WRITE_FAULTS = (
    "refuse", "drop_request", "drop_reply", "status_before", "status_after", "late_reply", "hang", "hold",
    "too_many", "garbage",
)  # fmt: skip
BATCH_FAULTS = (*WRITE_FAULTS, "half", "missing", "shuffled")
READ_FAULTS = ("reset", "hang", "status", "too_many", "garbage")

Body = dict[str, Any]
Result = TypeVar("Result")


@dataclass(eq=False)
class Flight:
    """One request on its way. ``actions`` may still be applied until ``landed``."""

    place: str
    actions: Sequence[Action]
    kind: str
    sent_ms: int
    wake: Wake
    landed: bool = False
    status: int = 0
    body: bytes = b""
    follow: Callable[[], None] | None = None
    """Nobody waits any more: what is done when the answer comes, or when its deadline passes."""


@dataclass(eq=False)
class Network:
    """What the clients of all threads share, and what the judge looks at."""

    kernel: Kernel
    venue: Venue
    faults: Faults
    on_send: Callable[[Flight], None]
    on_outcome: Callable[[Outcome], None]
    on_port: Callable[[str], None]
    flights: list[Flight] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    hidden: dict[str, int] = field(default_factory=dict)
    """By trade: until when reads leave it out (virtual ms)."""
    clock: MeasuredClock | None = None
    """The process's clock: every reply tells it the second in which the exchange made it."""

    def hides(self, fill: FillView) -> bool:
        """Whether a read lacks this fill now: decided once for each, for a time of its own."""
        if fill.trade_id not in self.hidden:
            place = f"omit/{fill.client_order_id}.{self.number(f'omit/{fill.client_order_id}')}"
            until = 0
            if self.faults.strike(place, ("hidden",), 0.5):
                until = self.kernel.now_ms + 5_000 + int(HIDDEN_MS * self.faults.share(f"{place}/ms"))
            self.hidden[fill.trade_id] = until
        return self.faults.armed and self.kernel.now_ms < self.hidden[fill.trade_id]

    def heard(self, sent_ms: int) -> None:
        """A reply to a request sent at ``sent_ms`` (virtual) is here."""
        if self.clock is not None:
            doubt = (999 + self.kernel.now_ms - sent_ms) // 2
            second_ms = self.venue.now_ms // 1_000 * 1_000
            self.clock.observe(second_ms + doubt, self.clock.now().mono_ms, doubt)

    def number(self, name: str) -> int:
        self.counts[name] += 1
        return self.counts[name]


class SimExchange:
    """Implements `ports.AccountReader` for one thread (``who``) of the bot."""

    calls_sent = 0

    def __init__(self, network: Network, who: str) -> None:
        self.on_late: Callable[[Outcome], None] | None = None
        self._net = network
        self._kernel = network.kernel
        self._venue = network.venue
        self._who = who

    # ── writes ──────────────────────────────────────────────────────────────────────────────────

    def place_order(self, order: Place) -> Outcome:
        return self.place_orders([order])[0]

    def place_orders(self, orders: Sequence[Place]) -> list[Outcome]:
        flight = self._launch(f"create/{orders[0].client_order_id}", orders, batch=True)
        return self._finish(flight, outcomes.batch_created)

    def amend_order(self, order: Amend) -> Outcome:
        return self.amend_orders([order])[0]

    def amend_orders(self, orders: Sequence[Amend]) -> list[Outcome]:
        flights = [self._launch(self._nth("amend", order), [order], batch=False) for order in orders]
        return [self._finish(flight, _amended)[0] for flight in flights]

    def cancel_order(self, order: Cancel) -> Outcome:
        return self.cancel_orders([order])[0]

    def cancel_orders(self, orders: Sequence[Cancel]) -> list[Outcome]:
        sendable = [order for order in orders if order.order_id]
        told: Iterator[Outcome] = iter(())
        if sendable:
            flight = self._launch(self._nth("cancel", sendable[0]), sendable, batch=True)
            told = iter(self._finish(flight, outcomes.batch_cancelled))
        return [
            next(told) if order.order_id else outcomes.denied_locally(order, "no_order_id", "")
            for order in orders
        ]

    def cancel_all_orders(self) -> None:
        self._read(
            "cancel_all", lambda: self._venue.step(lambda now: self._venue.engine.cancel_all(BOT, now))
        )

    def _nth(self, what: str, action: Action) -> str:
        name = f"{what}/{action.client_order_id}"
        return f"{name}/n={self._net.number(name)}"

    def _launch(self, place: str, actions: Sequence[Action], *, batch: bool) -> Flight:
        self._net.on_port(place.split("/", 1)[0])
        faults, now = self._net.faults, self._kernel.now_ms
        kind = faults.strike(place, BATCH_FAULTS if batch else WRITE_FAULTS)
        flight = Flight(place, actions, kind, now, Wake(self._kernel.running))
        if kind == "refuse":
            flight.wake.fired = True
            return flight
        out = 3 + int(30 * faults.share(f"{place}/out"))
        back = 3 + int(30 * faults.share(f"{place}/back"))
        if kind == "hold":
            out = TIMEOUT_MS + int(HOLD_MS * faults.share(f"{place}/hold"))
        if kind == "late_reply":
            back = TIMEOUT_MS + 3_000
        out += self._venue.front.slow_ms(now)
        self._net.flights.append(flight)
        self._net.on_send(flight)
        self._kernel.at(now + out, lambda: self._land(flight, back))
        return flight

    def _land(self, flight: Flight, back_ms: int) -> None:
        """The request reaches the exchange; what it does there is answered ``back_ms`` later."""
        flight.landed = True
        self._net.flights.remove(flight)
        kind = flight.kind
        if kind in ("drop_request", "hang"):
            pass
        elif kind == "status_before":
            flight.status = 503
        elif kind == "too_many":
            flight.status, flight.body = 429, TOO_MANY
        elif status := self._turned_away(flight):
            flight.status, flight.body = status, TOO_MANY if status == 429 else b""
        else:
            self._apply(flight)
        if kind in ("drop_reply", "half"):
            flight.status = 0
        elif kind == "status_after":
            flight.status, flight.body = 504, b"<html>gateway timeout</html>"
        elif kind == "garbage":
            flight.body = flight.body[: len(flight.body) // 2]
        if kind != "hang":
            self._kernel.at(self._kernel.now_ms + back_ms, lambda: self._come_back(flight))

    def _come_back(self, flight: Flight) -> None:
        if flight.follow is not None:
            flight.follow()
        else:
            self._kernel.at(self._kernel.now_ms, flight.wake)

    def _turned_away(self, flight: Flight) -> int:
        return self._venue.front.refusal(
            flight.place, flight.actions, self._kernel.now_ms, self._venue.now_ms
        )

    def _apply(self, flight: Flight) -> None:
        actions = flight.actions
        if flight.kind == "half":
            actions = actions[: (len(actions) + 1) // 2]
        items = [self._item(action, f"{flight.place}.{at}") for at, action in enumerate(actions)]
        if flight.kind == "missing":
            items = items[:-1]
        if flight.kind == "shuffled":
            items = items[::-1]
        if isinstance(actions[0], Amend):
            flight.status = items[0].pop("status", 200)
            flight.body = msgspec.json.encode(items[0])
        else:
            flight.status = 201 if isinstance(actions[0], Place) else 200
            flight.body = msgspec.json.encode({"orders": items})

    def _item(self, action: Action, place: str) -> Body:
        ids = {"client_order_id": action.client_order_id}
        if not isinstance(action, Place):
            ids["order_id"] = action.order_id
        try:
            return self._venue.step(lambda now: perform(self._venue, action, place, now))
        except Refused as no:
            error = {"code": no.code, "message": no.message, "details": no.details}
            return {**ids, "status": no.status, "error": error} if isinstance(action, Amend) else {
                **ids, "reduced_by": "0.00", "error": error,
            }  # fmt: skip

    def _finish(self, flight: Flight, read: Callable[[Any, int, bytes], list[Outcome]]) -> list[Outcome]:
        """The outcomes; after the production client's patience unknown, and told later if there is somebody to tell."""
        if flight.kind == "refuse":
            found = [outcomes.denied_locally(a, "connect", "connection refused") for a in flight.actions]
        else:
            deadline = flight.sent_ms + TIMEOUT_MS
            patience_end = deadline if self.on_late is None else flight.sent_ms + PATIENCE_MS
            if not flight.wake.fired:
                with waiting(patience_end - flight.sent_ms):
                    self._kernel.wait(flight.wake, patience_end)
            if self._kernel.now_ms < patience_end:
                found = self._answer(flight, read)
            elif self.on_late is None:
                found = [outcomes.unknown(a, "timeout", flight.kind) for a in flight.actions]
            else:
                found = [outcomes.unknown(a, LATE, flight.kind) for a in flight.actions]
                self._follow(flight, read, deadline)
        for outcome in found:
            self._net.on_outcome(outcome)
        return found

    def _answer(self, flight: Flight, read: Callable[[Any, int, bytes], list[Outcome]]) -> list[Outcome]:
        if flight.landed and flight.status:
            self._net.heard(flight.sent_ms)
            return read(flight.actions, flight.status, flight.body)
        return [outcomes.unknown(a, "reset", flight.kind) for a in flight.actions]

    def _follow(
        self, flight: Flight, read: Callable[[Any, int, bytes], list[Outcome]], deadline: int
    ) -> None:
        """As the transport does: who asked is told the end within the deadline, on another thread."""
        process, on_late = flight.wake.actor.process, self.on_late

        def tell(found: list[Outcome]) -> None:
            flight.follow = lambda: None
            if process.dead or on_late is None:
                return
            for outcome in found:
                self._net.on_outcome(outcome)
                on_late(outcome)

        def too_late() -> None:
            if flight.follow is come:
                tell([outcomes.unknown(a, "timeout", flight.kind) for a in flight.actions])

        def come() -> None:
            tell(self._answer(flight, read))

        flight.follow = come
        self._kernel.at(deadline, too_late)

    # ── reads ───────────────────────────────────────────────────────────────────────────────────

    def _read(self, name: str, answer: Callable[[], Result]) -> Result:
        self._net.on_port(name)
        place = f"read/{self._who}.{name}"
        place = f"{place}/n={self._net.number(place)}"
        kind = self._net.faults.strike(place, READ_FAULTS)
        start = self._kernel.now_ms
        with waiting(TIMEOUT_MS):
            if kind == "hang":
                self._kernel.sleep_until(start + TIMEOUT_MS)
                raise ExchangeUnreachable(f"{place}: timeout")
            slow_ms = self._venue.front.slow_ms(start)
            self._kernel.sleep_until(start + 3 + slow_ms + int(25 * self._net.faults.share(f"{place}/out")))
            if self._venue.front.read_refused(place, name, start):
                raise RateLimited(place)
            found = answer()
            self._kernel.sleep_until(self._kernel.now_ms + 3)
        if kind == "reset":
            raise ExchangeUnreachable(f"{place}: reset")
        self._net.heard(start)
        if self._venue.front.kind(start) == KEY_REFUSED:
            raise AuthRefused(f"{place}: 401 authentication_error")
        if kind == "too_many":
            raise RateLimited(place)
        if kind == "garbage":
            raise WireError(f"{place}: not JSON")
        if kind == "status":
            raise ExchangeError(f"{place}: 500")
        return found

    def get_order_book(self, ticker: str) -> BookSnapshot:
        return self.get_order_books([ticker])[0]

    def get_order_books(self, tickers: Sequence[str]) -> list[BookSnapshot]:
        engine = self._venue.engine
        return self._read(
            "books",
            lambda: self._venue.step(
                lambda _: [convert.snapshot_of(engine.book(ticker), by_rest=True) for ticker in tickers]
            ),
        )

    def get_open_orders(self) -> list[ExchangeOrder]:
        return self._read(
            "orders", lambda: [convert.order_of(v) for v in self._venue.account().resting.values()]
        )

    def get_fills(self, since_ms: int) -> list[Fill]:
        return self._read("fills", lambda: account_reads.fills(self._net, since_ms))

    def get_positions(self) -> list[ExchangePosition]:
        return self._read("positions", lambda: account_reads.positions(self._net))

    def get_settlements(self, since_ms: int) -> list[Settlement]:
        def answer() -> list[Settlement]:
            views = self._venue.account().money.settlements
            return [convert.settlement_of(v) for v in views if v.time_ms >= since_ms]

        return self._read("settlements", answer)

    def get_balance(self) -> Balance:
        def answer() -> Balance:
            purses = self._venue.account().money.purses
            return Balance(
                sum(p.cash_e6 for p in purses), tuple((p.exchange_index, p.cash_e6) for p in purses)
            )

        return self._read("balance", answer)

    def get_user_data_timestamp(self) -> int:
        return self._read("as_of", self._venue.as_of_ms)

    def get_limits(self) -> AccountLimits:
        return self._read("limits", lambda: LIMITS)

    def get_exchange_status(self) -> ExchangeStatus:
        def answer() -> ExchangeStatus:
            shards = self._venue.engine.status()
            return ExchangeStatus(
                active=any(s.exchange_active for s in shards), trading=any(s.trading_active for s in shards)
            )

        return self._read("status", answer)

    def get_markets(
        self, *, tickers: Sequence[str] = (), series: str = "", event: str = "", status: str = ""
    ) -> list[Market]:
        engine = self._venue.engine
        return self._read("markets", lambda: [convert.market_of(engine.market(t)) for t in tickers])

    def get_queue_positions(self, tickers: Sequence[str]) -> dict[str, int]:
        return self._read("queue", dict)

    def get_fee_changes(self) -> list[FeeChange]:
        return []  # none is ever announced: they change at once

    def get_schedule(self) -> Schedule:
        return self._read("schedule", lambda: self._venue.schedule)

    def create_order_group(self, limit_e2: int, exchange_index: int) -> str:
        engine = self._venue.engine
        return self._write_group(
            lambda now: engine.create_group(BOT, limit_e2, now, shard=exchange_index).group_id
        )

    def limit_order_group(self, group_id: str, limit_e2: int, exchange_index: int) -> None:
        engine = self._venue.engine
        self._write_group(
            lambda now: engine.set_group_limit(BOT, group_id, limit_e2, now, shard=exchange_index)
        )

    def trigger_order_group(self, group_id: str, exchange_index: int) -> None:
        engine = self._venue.engine
        self._write_group(lambda now: engine.trigger_group(BOT, group_id, now, shard=exchange_index))

    def reset_order_group(self, group_id: str, exchange_index: int) -> None:
        engine = self._venue.engine
        self._write_group(lambda now: engine.reset_group(BOT, group_id, now, shard=exchange_index))

    def delete_order_group(self, group_id: str, exchange_index: int) -> None:
        engine = self._venue.engine
        self._write_group(lambda now: engine.delete_group(BOT, group_id, now, shard=exchange_index))

    def _write_group(self, act: Callable[[int], Result]) -> Result:
        try:
            return self._read("group", lambda: self._venue.step(act))
        except Refused as no:
            raise ExchangeError(no.code) from no


def _amended(orders: Sequence[Amend], status: int, body: bytes) -> list[Outcome]:
    return [outcomes.amended(orders[0], status, body)]
