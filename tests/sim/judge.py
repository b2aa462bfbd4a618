"""The invariants of FAULTS section 3 as predicates over exchange truth, the journal and the latch: never over belief.

The judge sees every request as it leaves (with what the network will do to it), every event of the engine, every
outcome told to the bot and every tick. It only notes; the run stops at the first violation.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dora_bot.accounting import apply_fill
from dora_bot.events import AccountRead, FillSeen, OrderSeen
from dora_bot.exit_codes import ExitCode
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    Fill,
    Outcome,
    Place,
    Position,
    Side,
)
from dora_bot.paper.events import EngineEvent, FillMade, LifecycleEvent, LifecycleKind, OrderChanged
from dora_bot.paper.specs import OrderView
from dora_bot.state_manager import StateManager
from dora_bot.units import ONE_E4
from tests.sim.client import Flight
from tests.sim.convert import fill_of
from tests.sim.feed import SimFeed
from tests.sim.judge_durable import Durable
from tests.sim.judge_pace import Pace
from tests.sim.judge_proof import Proofs
from tests.sim.stores import TICKERS
from tests.sim.tables import Tables
from tests.sim.told import Told
from tests.sim.venue import BOT, CASH_E6, Venue
from tests.sim.wire import book_sum

if TYPE_CHECKING:
    from tests.sim.host import Host
    from tests.sim.life import Life

FOREIGN = "web-"
"""What begins so was ordered by another hand on the account."""

LIFE_MS = 55_000
ASKED_MS = 100
"""So long after it was asked to stop an exposure write may still leave (I24)."""

NEVER = frozenset({"drop_request", "hang", "status_before", "too_many"})
"""Kinds of fault by which a request is never applied."""

FORGOTTEN_MS = 60_000
DIVERGED_MS = 30_000
"""A feed that tells wrong or nothing is found out within this (FAULTS B03)."""

KEPT = 50


@dataclass(frozen=True)
class Violation:
    invariant: str
    at_ms: int
    text: str


class Judge:
    def __init__(self, venue: Venue, tables: Tables, hosts: "Sequence[Host]", flights: list[Flight]) -> None:
        self.venue = venue
        self.hosts = hosts
        self.flights = flights
        self.durable = Durable(tables, self.broken)
        self.pace = Pace(self.broken)
        self.violations: list[Violation] = []
        self.records: deque[str] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.halt_bound_ms = 30_000
        self.closed = False
        """Set when the run is over: what ends now was ended by us."""
        self._digest = hashlib.sha256()
        self._resting: dict[str, OrderView] = {}
        self.proofs = Proofs(self.broken, self._resting)
        self.told = {host.name: Told(tables, self.broken, self._resting) for host in hosts}
        self._landed_ms: dict[str, int] = {}
        self._positions = {ticker: Position(ticker) for ticker in TICKERS}
        self._known = dict(self._positions)
        """As `_positions`, but of what another hand traded only what the bot was told: caps hold for what can be known."""
        self._untold: dict[tuple[str, str], Fill] = {}
        self._fills: set[tuple[str, str]] = set()
        self._used: set[str] = set()
        self._stray_since: dict[str, int] = {}
        self._met: dict[str, set[str]] = {}

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def note(self, kind: str, text: str) -> None:
        line = f"{self.venue.kernel.now_ms} {kind} {text}"
        self.records.append(line)
        self._digest.update(line.encode())

    def broken(self, invariant: str, text: str) -> None:
        self.note("VIOLATION", f"{invariant} {text}")
        self.violations.append(Violation(invariant, self.venue.kernel.now_ms, text))
        self.venue.kernel.look()

    # ── requests ────────────────────────────────────────────────────────────────────────────────

    def on_send(self, flight: Flight, life: "Life") -> None:
        self.note("send", f"{flight.place} {flight.kind} {[_short(a) for a in flight.actions]}")
        now_ms = self.venue.kernel.now_ms
        for action in flight.actions:
            if isinstance(action, Cancel):
                self.proofs.on_cancel(action.client_order_id, now_ms)
                continue
            self.durable.on_exposure(life, action, now_ms)
            self.pace.on_exposure(life, action, now_ms)
            self.proofs.on_exposure(life, action)
            self.told[life.host.name].on_exposure(action, self.venue.now_ms)
            if action.ticker not in self._met[life.host.name]:
                self.broken("I35", f"{_short(action)} before its position was once the exchange's")
            self._check_permission(action, life)
            self._check_terms(action)
        if flight.kind not in NEVER and not isinstance(flight.actions[0], Cancel):
            for ticker in {a.ticker for a in flight.actions}:
                self._check_worst(ticker, flight, self.told[life.host.name])
            self._check_exposure(flight, self.told[life.host.name])

    def _check_permission(self, action: Place | Amend, life: "Life") -> None:
        if stops := life.host.latch.stops:
            self.broken("I22", f"{_short(action)} although {stops[0].halt_id} is in force")
        if life.asked_ms is not None and self.venue.kernel.now_ms - life.asked_ms > ASKED_MS:
            late = self.venue.kernel.now_ms - life.asked_ms
            self.broken("I24", f"{_short(action)} {late} ms after SIGTERM")
        for flight in self.flights:
            if flight.kind not in NEVER and flight.sent_ms < self.venue.kernel.now_ms:
                for other in flight.actions:
                    if other.ticker == action.ticker and self._matters(other):
                        self.broken("I11", f"{_short(action)} while {_short(other)} may still land")
        if isinstance(action, Place):
            if action.client_order_id in self._used:
                self.broken("I12", f"{action.client_order_id} is used twice")
            self._used.add(action.client_order_id)

    def _matters(self, action: Action) -> bool:
        """Would it change anything if it still landed? An amend of an order that has ended would not."""
        return isinstance(action, Place) or (isinstance(action, Amend) and action.order_id in self._resting)

    def _check_terms(self, action: Place | Amend) -> None:
        left = action.expiration_ms - self.venue.now_ms
        if not 0 < left <= LIFE_MS:
            self.broken("I08", f"{_short(action)} expires in {left} ms")
        if isinstance(action, Place) and not (action.post_only and action.time_in_force.startswith("good")):
            self.broken("I08", f"{_short(action)} is not a post-only good-till-cancelled order")
        if not any(grid.contains(action.price_e4) for grid in self.venue.grids(action.ticker)):
            self.broken("I09", f"{_short(action)} is off the grid")

    def _open(self, ticker: str) -> list[tuple[Side, int, int]]:
        """(side, price, count) of everything that rests or may yet come to rest, each at its worst."""
        changes: dict[str, list[Amend]] = {}
        found: list[tuple[Side, int, int]] = []
        for flight in self.flights:
            if flight.kind in NEVER:
                continue
            for action in flight.actions:
                if action.ticker != ticker:
                    continue
                if isinstance(action, Place):
                    found.append((action.side, action.price_e4, action.count_e2))
                elif isinstance(action, Amend):
                    changes.setdefault(action.order_id, []).append(action)
        for order in self._resting.values():
            if order.ticker != ticker:
                continue
            amends = changes.get(order.order_id, [])
            count = max([order.remaining_e2, *(a.total_e2 - order.filled_e2 for a in amends)])
            worse = max if order.side is Side.BID else min
            found.append((order.side, worse([order.price_e4, *(a.price_e4 for a in amends)]), count))
        return found

    def _check_worst(self, ticker: str, flight: Flight, told: Told) -> None:
        found = self._open(ticker)
        self.flights.remove(flight)
        before = self._open(ticker)
        self.flights.append(flight)
        net = self._known[ticker].net_e2
        for side in {a.side for a in flight.actions if not isinstance(a, Cancel) and a.ticker == ticker}:
            mine = [count for s, _, count in found if s is side]
            worst = net * side.sign + sum(mine)
            # Getting out is always allowed: what is open on the reducing side may be as large as the position.
            # A renewal of what another hand has pushed over the cap raises nothing.
            raised = sum(mine) > sum(count for s, _, count in before if s is side)
            if worst > told.config.cap_e2(ticker, side) and raised:
                self.broken("I01", f"{flight.place}: {ticker} {side} worst case {worst} of {mine}, net {net}")
            if len(mine) > 1:
                self.broken("I05", f"{flight.place}: {len(mine)} orders on the {side} of {ticker}")
        bids = [price for side, price, _ in found if side is Side.BID]
        asks = [price for side, price, _ in found if side is Side.ASK]
        if bids and asks and max(bids) >= min(asks):
            self.broken("I07", f"{flight.place}: {ticker} bid {max(bids)} against own ask {min(asks)}")

    def _check_exposure(self, flight: Flight, told: Told) -> None:
        raised = {a.ticker for a in flight.actions}
        losses = {t: _worst_loss_e6(self._known[t], self._open(t)) for t in TICKERS}
        self.flights.remove(flight)
        before = {t: _worst_loss_e6(self._known[t], self._open(t)) for t in raised}
        self.flights.append(flight)
        if any(losses[t] > before[t] for t in raised) and sum(losses.values()) > told.config.exposure_e6:
            self.broken("I02", f"{flight.place}: worst-case loss {losses}")

    # ── what the exchange does ──────────────────────────────────────────────────────────────────

    def on_events(self, events: Iterable[EngineEvent]) -> None:
        for event in events:
            if isinstance(event, OrderChanged) and event.account == BOT:
                if not event.order.client_order_id.startswith(FOREIGN):
                    self._on_order(event.order)
            elif isinstance(event, FillMade) and event.account == BOT:
                fill = fill_of(event.fill, "truth")
                self.counts["fills"] += 1
                self._fills.add(fill.key)
                self._positions[fill.ticker], _ = apply_fill(self._positions[fill.ticker], fill)
                if event.n not in self.venue.unexpected and not fill.client_order_id.startswith(FOREIGN):
                    self._known[fill.ticker], _ = apply_fill(self._known[fill.ticker], fill)
                else:
                    self.counts["foreign fills"] += 1
                    self._untold[fill.key] = fill
                self.note("fill", f"{fill.client_order_id} {fill.side} {fill.price_e4} {fill.count_e2}")

            elif isinstance(event, LifecycleEvent) and event.kind is LifecycleKind.SETTLED:
                self._positions[event.ticker] = self._known[event.ticker] = Position(event.ticker)

    def _on_order(self, order: OrderView) -> None:
        cid = order.client_order_id
        self.note("truth", f"{cid} {order.status} {order.price_e4} {order.remaining_e2} {order.reason}")
        if order.status != "resting":
            self._resting.pop(order.order_id, None)
            return
        self._resting[order.order_id] = order
        self._landed_ms.setdefault(order.order_id, self.venue.now_ms)
        left = order.expiration_ms - self.venue.now_ms
        if not order.expiration_ms or left > LIFE_MS:
            self.broken("B13", f"{cid} expires in {left} ms")

    # ── what the bot is told ────────────────────────────────────────────────────────────────────

    def on_outcome(self, outcome: Outcome, life: "Life") -> None:
        action, state = outcome.action, life.state
        self.pace.on_outcome(life, outcome, self.venue.kernel.now_ms)
        self.proofs.on_outcome(outcome, self.venue.kernel.now_ms)
        order = state.orders.find(action.client_order_id, "") if state else None
        what = type(action).__name__
        self.counts[f"outcome {outcome.kind}"] += 1
        self.pairs[order.state if order else "none", f"{what} {outcome.kind}"] += 1
        self.note("outcome", f"{_short(action)} {outcome.kind} {outcome.code}")

    def on_delivery(self, events: Iterable[object], state: StateManager, life: "Life") -> None:
        for event in events:
            self.told[life.host.name].on_event(event, self.venue.now_ms)
            if isinstance(event, OrderSeen):
                told = event.order
                self.proofs.on_told(told.client_order_id, self.venue.kernel.now_ms)
                self.note("told", f"{told.client_order_id} {told.status} {told.price_e4} {told.remaining_e2}")
                order = state.orders.find(event.order.client_order_id, event.order.order_id)
                name = f"frame {event.order.status} {event.reason}".strip()
                self.pairs[order.state if order else "none", name] += 1
            elif isinstance(event, FillSeen):
                self._tell(event.fill)
                order = state.orders.find(event.fill.client_order_id, event.fill.order_id)
                known = "fill again" if state.knows(event.fill) else "fill"
                self.pairs[order.state if order else "none", known] += 1

    def _tell(self, fill: Fill) -> None:
        if self._untold.pop(fill.key, None):
            self._known[fill.ticker], _ = apply_fill(self._known[fill.ticker], fill)

    def on_read(self, read: AccountRead, state: StateManager, life: "Life") -> None:
        self.told[life.host.name].calendar.on_event(read, self.venue.now_ms)
        for fill in read.fills:
            self._tell(fill)
        listed = {o.client_order_id for o in read.orders}
        for name in listed:
            self.proofs.on_told(name, self.venue.kernel.now_ms)
        for order in state.orders.live():
            self.pairs[order.state, "listed" if order.client_order_id in listed else "not listed"] += 1

        told = {p.ticker: p.net_e2 for p in read.positions}
        for ticker in TICKERS:
            if told.get(ticker, 0) == state.positions.get(ticker, Position(ticker)).net_e2:
                self._met[life.host.name].add(ticker)
            else:
                self.counts["positions told otherwise"] += 1

    def on_start(self, life: "Life") -> None:
        """A new process asks the exchange before it writes; what the old one did not know is not its business."""
        self.note("start", f"{life.host.name} life {life.number}")
        self._stray_since.clear()
        self._met[life.host.name] = set()
        self.durable.on_start(life)
        self.pace.on_start(life.host.name)
        self.proofs.on_start()
        self.told[life.host.name].on_start(self.venue.now_ms)

    def on_end(self, life: "Life", why: str) -> None:
        if self.closed:
            return
        self.note("end", f"{life.host.name} {life.code} {why}")
        self.counts["restarts"] += 1
        ended = "start refused" if life.runtime is None else f"ended {life.code}"
        self.counts["killed" if why == "killed" else ended] += 1

    # ── at every tick ───────────────────────────────────────────────────────────────────────────

    def on_tick(self, state: StateManager, life: "Life") -> None:
        now_ms = self.venue.now_ms
        # Who has lost the lease only cancels its own; what the next holder does with an order, it need not follow.
        holds = life.runtime is not None and life.runtime.exit_code is not ExitCode.LEASE
        for order in self._resting.values() if holds else ():
            mine = state.orders.find(order.client_order_id, order.order_id)
            if mine is None:
                since = self._stray_since.setdefault(order.order_id, now_ms)
                if now_ms - since > FORGOTTEN_MS:
                    self.broken("I15", f"{order.client_order_id} rests and nobody knows of it")
            elif not mine.live:
                self.broken("I10", f"{order.client_order_id} rests, the bot says done: {mine.evidence}")
        raised = [halt.raised_ms for host in self.hosts for halt in host.latch.stops]
        if raised:
            halted_ms = min(raised)
            for order in self._resting.values():
                since = max(halted_ms, self._landed_ms[order.order_id])
                if now_ms - since > self.halt_bound_ms:
                    self.broken("I21", f"{order.client_order_id} rests {now_ms - since} ms after the halt")

    def look(self, life: "Life") -> None:
        """What must hold also while no tick ends."""
        self.proofs.check_stale(life, self.venue.kernel.now_ms)
        self.told[life.host.name].calendar.check(life, self.venue.now_ms, self._landed_ms, self.halt_bound_ms)

    def check_book(self, state: StateManager, feed: SimFeed) -> None:
        """A book that claims to be proven is what the exchange's was at the number the feed has come to.

        A feed that lies or keeps frames back is found out within the bound of B03, by its own snapshots.
        """
        for ticker in TICKERS:
            book = state.books.book(ticker)
            truth = feed.truth_sum(ticker)
            if book is None or book.doubt or truth is None:
                continue
            self.counts["books compared"] += 1
            since_ms = feed.wrong_since_ms(ticker)
            if since_ms is None:
                if book_sum(book.bids.sizes.items(), book.asks.sizes.items()) != truth:
                    self.broken("I17", f"the proven book of {ticker} is not the exchange's")
            elif self.venue.kernel.now_ms - since_ms > DIVERGED_MS:
                self.broken("B03", f"the book of {ticker} is held for proven though wrong since {since_ms}")

    def check_ledger(self, lives: "Sequence[Life]") -> None:
        """Trading stood still and everything was read: the ledger is the exchange's, to the micro-dollar."""
        self.counts["ledgers compared"] += 1
        if not lives:
            self.broken("L03", "after a calm time nobody trades")
        for life in lives:
            assert life.state is not None
            for ticker in TICKERS:
                mine = life.state.positions.get(ticker, Position(ticker)).net_e2
                if mine != self._positions[ticker].net_e2:
                    self.broken("B10", f"{ticker}: {mine} believed, {self._positions[ticker].net_e2} held")
        cash = sum(purse.cash_e6 for purse in self.venue.engine.balance(BOT)) - CASH_E6
        self.durable.check_books(self._fills, self._positions, cash)
        self.durable.check_day(lives)

    @property
    def resting(self) -> int:
        """How many orders of the bot rest."""
        return len(self._resting)

    def quoted(self, ticker: str) -> bool:
        return any(order.ticker == ticker for order in self._resting.values())


def _short(action: Action) -> str:
    if isinstance(action, Cancel):
        return f"cancel {action.client_order_id}"
    size = action.count_e2 if isinstance(action, Place) else action.total_e2
    name = type(action).__name__.lower()
    return f"{name} {action.client_order_id} {action.ticker} {action.side} {size}@{action.price_e4}"


def _worst_loss_e6(position: Position, found: list[tuple[Side, int, int]]) -> int:
    """What settles worst, if every open order that makes it worse is filled: written down again, not borrowed."""
    bought = sum(price * count for side, price, count in found if side is Side.BID)
    sold = sum((ONE_E4 - price) * count for side, price, count in found if side is Side.ASK)
    return max(0, position.cost_e6 + bought, position.cost_e6 - position.net_e2 * ONE_E4 + sold)
