"""The exchange as one object: the engine and everything around it that is not HTTP or sockets.

All state changes go through `applied`, which hands the engine's events to the replica, the WebSocket hub and
the journal in one order. There is one thread: the event loop.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from dora_bot.paper.auth import ApiKey, KeyRing, SkewWindow
from dora_bot.paper.conditions import Condition
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent, OrderChanged, PositionChanged, TradePrinted
from dora_bot.paper.exchange_clock import ExchangeClock
from dora_bot.paper.faults import Fault, FaultBox, Operation
from dora_bot.paper.frame_faults import FrameFaults
from dora_bot.paper.journal import ExchangeJournal
from dora_bot.paper.operations import Operations
from dora_bot.paper.problems import too_many_requests
from dora_bot.paper.profiles import Profile
from dora_bot.paper.rate_limits import TIERS, AccountBuckets
from dora_bot.paper.read_faults import StaleReads
from dora_bot.paper.replica import Replica
from dora_bot.paper.rest_base import Bill
from dora_bot.paper.specs import OrderView, Refused
from dora_bot.paper.wire import stable_uuid
from dora_bot.paper.ws_frames import Frame
from dora_bot.paper.ws_hub import Hub
from dora_bot.paper.ws_session import WsSession
from dora_bot.units import count_text, price_text

TRADER = "trader"
"""The account whose key the launch announces."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """What the command line chooses about the exchange itself."""

    tier: str = "basic"
    profile: str = "real"
    seed: int = 1
    compat: bool = False
    window: SkewWindow = field(default_factory=SkewWindow)


class Venue:
    """One running exchange: engine, clock, accounts with their keys and budgets, listeners, journal, faults."""

    def __init__(self, engine: Exchange, clock: ExchangeClock, options: VenueOptions) -> None:
        self.engine = engine
        self.clock = clock
        self.options = options
        self.compat = options.compat
        self.profile = Profile(options.profile, options.seed)
        self.keys = KeyRing(options.window)
        self.buckets: dict[str, AccountBuckets] = {}
        self.journal = ExchangeJournal()
        self.faults = FaultBox(options.seed, self.now_ms, self._holds)
        self.operations = Operations(self._find_order)
        self.replica = Replica(engine, self.profile)
        self.stale = StaleReads(self)
        self.hub = Hub(engine)
        self.frame_faults = FrameFaults(self)
        self.sessions: dict[int, WsSession] = {}
        self.turn: Callable[[int], None] = lambda _now_ms: None
        """Lets the world and the self-acting faults act; whoever drives the exchange sets it."""
        self.maintenance: list[tuple[int, int]] = []
        """What the schedule announces, from and until in Unix ms; pausing is another thing."""
        self.failure: Exception | None = None
        """What broke the exchange, if anything did; the driver stops on it."""
        self._transfer_ids: set[tuple[str, str]] = set()
        self._ids = 0

    # ── accounts ────────────────────────────────────────────────────────────────────────────────

    def open_account(self, account: str, cash_e6_by_shard: dict[int, int]) -> None:
        """An account of a client, with its own buckets and a place in the replica."""
        self.engine.open_account(account, cash_e6_by_shard)
        self.buckets[account] = AccountBuckets(TIERS[self.options.tier])
        self.replica.watch(account, self.now_ms())

    def add_key(self, key: ApiKey) -> None:
        self.keys.add(key)

    def charge(self, account: str, bill: Bill, operation: Operation) -> None:
        """Bill a call. Raises the 429 problem and takes nothing where a bucket cannot pay, or a fault says so."""
        names, cost = bill
        if self.strike("rate.deny", {**operation, "bucket": frozenset(names)}) is not None:
            raise too_many_requests()
        if not self.buckets[account].take(names, cost, self.now_ms()):
            raise too_many_requests()

    def spend_transfer_id(self, account: str, transfer_id: str) -> bool:
        """Whether this client transfer id is new; it is used up from here on."""
        new = (account, transfer_id) not in self._transfer_ids
        self._transfer_ids.add((account, transfer_id))
        return new

    def new_id(self, kind: str) -> str:
        """A UUID that the next run with the same seed repeats."""
        self._ids += 1
        return stable_uuid(f"{self.options.seed}/{kind}/{self._ids}")

    # ── time and change ─────────────────────────────────────────────────────────────────────────

    def now_ms(self) -> int:
        """The exchange's time; never before what the engine has already seen."""
        return max(self.clock.now_ms(), self.engine.now_ms)

    def applied(self, act: Callable[[int], Result]) -> Result:
        """Run something that may change the engine, and publish what changed even if it was refused.

        What fell due before is published first: a snapshot taken by ``act`` holds it already.
        """
        now_ms = self.now_ms()
        self.engine.advance(now_ms)
        self.publish()
        try:
            return act(now_ms)
        finally:
            self.publish()

    def publish(self) -> None:
        events = self.engine.drain_events()
        if events:
            self.replica.record(events, self.engine.now_ms)
            self._journal_matches(events)
            self._journal_accounts(events)
            self.stale.keep_books(self.engine.now_ms)
            self.hub.publish(events)

    def _journal_matches(self, events: Iterable[EngineEvent]) -> None:
        for event in events:
            if isinstance(event, TradePrinted):
                self.journal.record(
                    "match",
                    event.now_ms,
                    trade_id=event.trade_id,
                    ticker=event.ticker,
                    price=price_text(event.price_e4),
                    count=count_text(event.count_e2),
                    taker_side=event.taker_side.value,
                    maker=event.maker_account,
                    maker_order_id=event.maker_order_id,
                    taker=event.taker_account,
                    taker_order_id=event.taker_order_id,
                )

    def _journal_accounts(self, events: Iterable[EngineEvent]) -> None:
        """Each account's changed orders and positions as they are after one step: a consistent cut an entry."""
        orders: dict[str, dict[str, dict[str, str]]] = {}
        positions: dict[str, dict[str, str]] = {}
        for event in events:
            if isinstance(event, OrderChanged):
                order = event.order
                orders.setdefault(event.account, {})[order.order_id] = {
                    "ticker": order.ticker,
                    "client_order_id": order.client_order_id,
                    "side": order.side.value,
                    "price": price_text(order.price_e4),
                    "remaining_count": count_text(order.remaining_e2),
                    "status": order.status.value,
                    "reason": order.reason.value,
                    "expiration_ms": str(order.expiration_ms),
                }
            elif isinstance(event, PositionChanged):
                told = positions.setdefault(event.account, {})
                told[event.position.ticker] = count_text(event.position.net_e2)
        for account in sorted(orders.keys() | positions.keys()):
            self.journal.record(
                "account",
                self.engine.now_ms,
                account=account,
                orders=orders.get(account, {}),
                positions=positions.get(account, {}),
            )

    # ── connections ─────────────────────────────────────────────────────────────────────────────

    def join(self, session: WsSession) -> None:
        """A connection is up."""
        self.sessions[session.connection] = session

    def leave(self, session: WsSession) -> None:
        session.close()
        self.frame_faults.forget(session.connection)
        self.sessions.pop(session.connection, None)

    def frame_sent(self, connection: int, frame: Frame, now_ms: int) -> None:
        head = (frame.sid, frame.seq, frame.type, frame.ticker)
        self.journal.frame(now_ms, connection, head, dropped=False)

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def strike(
        self, kind: str, operation: Operation, phase: str | None = None, *, how: str = "", **about: object
    ) -> Fault | None:
        """The fault of this kind that strikes the operation, if one does; journalled with ``about``."""
        if not self.faults:
            return None
        fault = self.faults.strike(kind, operation, phase, how)
        if fault is not None:
            self.fault_hit(fault, **about)
        return fault

    def fault_hit(self, fault: Fault, **about: object) -> None:
        """A fault strikes: into the journal."""
        self.journal.record("fault", self.now_ms(), fault_id=fault.fault_id, fault=fault.kind, **about)

    def _holds(self, text: str) -> bool:
        return Condition(text).holds(self, TRADER)

    def _find_order(self, order_id: str) -> OrderView | None:
        try:
            return self.engine.order(order_id)
        except Refused:
            return None
