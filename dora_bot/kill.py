"""Cancel every order of ours, and prove it. The last line of defence: it needs nothing that could be broken.

Imports only signing and transport: no strategy, no state, no database, no lock or session of the trading path. Used by
`dora cancel-all` and `dora halt` from a shell, by the risk thread when the tick hangs, by the watchdog, and at every stop.

What it needs to know it reads from the exchange: the orders with their shards and order groups. It does not depend on
any one way of cancelling: own ids go in batches and one by one in turn, then their order groups are triggered (which also
keeps out what is still on its way), then everything of the account is cancelled. `Reach` says how far one may go.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from dora_bot.errors import SIGNATURE_EXPIRED, AuthRefused, DoraError, ExchangeError, ExchangeUnreachable
from dora_bot.http_transport import Call, Failure, Reply
from dora_bot.ports import Clock

BATCH = 20
CLEAN_READS = 2
"""So many reads in a row must show nothing before a sweep ends."""
MAX_PAGES = 100
SINGLES = 16
"""How many orders are cancelled one by one in a round; more would fill the write bucket."""
CONFIRMED_MS = 2_500
"""An order whose cancel was confirmed may stay listed for as long as reads lag; then it is cancelled again."""
_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_PACE = 30
"""Write tokens a second while the exchange answers 429 (FAULTS F21): a command, the bot's own sweep and its tick may be
at it together, and the lowest tier refills 100."""
_CANCEL_COST = 2
_REFUSALS = 3


class Transport(Protocol):
    """Signed calls to the exchange, see `http_transport.HttpTransport`."""

    def call_all(self, calls: Sequence[Call]) -> list[Reply | Failure]: ...


@dataclass(frozen=True, slots=True)
class Reach:
    """Seconds after which a sweep that is not done goes further; None: never."""

    groups_after_s: float | None = None
    account_after_s: float | None = None


OWN_IDS = Reach()
"""For a tick that stalled: it may go on in a moment, in groups that were not triggered."""
STOP = Reach(groups_after_s=1.0, account_after_s=3.0)
"""For a stop: the process ends, but a new one may follow, which a cancel-all would hold up for a minute."""
HALT = Reach(groups_after_s=0.0, account_after_s=3.0)
"""For a halt: the groups stay triggered until a person resumes, so that no order on its way can come to rest."""
EVERYTHING = Reach(account_after_s=0.0)
"""For an operator who says so."""


@dataclass(frozen=True, slots=True)
class Swept:
    """``open_orders`` that still rest, as last read. ``verified``: two reads newer than the last write saw none.

    ``account_wide``: a cancel-all was sent, which goes on cancelling new orders for a minute.
    """

    open_orders: int
    seconds: float
    cancels: int
    account_wide: bool
    verified: bool

    def told(self, exchange_ms: int) -> str:
        """For people, with the exchange's time of the end."""
        at = datetime.fromtimestamp(exchange_ms / 1_000, UTC)
        end = f"verified at {at:%H:%M:%S} after {CLEAN_READS} reads" if self.verified else "not verified"
        return f"{self.open_orders} resting, {end}"


@dataclass(slots=True)
class Sweeper:
    """Cancels the resting orders whose client order id begins with ``prefix`` (all orders if it is empty).

    Only those of the ``subaccount``: a cancel-all without one would cancel those of every bot of the account.
    ``emptied`` is told after each cancel-all that may have been applied; a `DoraError` of it is said, nothing more.
    """

    transport: Transport
    clock: Clock
    prefix: str
    emptied: Callable[[], object] = lambda: None
    subaccount: int = 0

    def sweep(
        self, patience_s: float, reach: Reach = STOP, say: Callable[[str], None] = lambda _: None
    ) -> Swept:
        """Cancel, list, repeat until two reads in a row prove that nothing rests, or until patience ends.

        Raises `AuthRefused` if the key is not accepted, `ExchangeUnreachable` if orders were never listed.
        """
        now = self.clock.now()
        return _Sweep(self, reach, say, now.mono_ms, now.exchange_ms).run(patience_s)

    def resting(self) -> list[dict[str, Any]]:
        """The rows of our resting orders, all pages. Raises `ExchangeError`, `AuthRefused` for a refused key."""
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        cursor = ""
        for _ in range(MAX_PAGES):
            terms = {"status": "resting", "limit": 1000, "subaccount": self.subaccount}
            query = urlencode(terms | ({"cursor": cursor} if cursor else {}))
            page = self.read(f"/portfolio/orders?{query}")
            fresh = [o for o in _orders(page) if o["order_id"] not in seen]
            seen |= {o["order_id"] for o in fresh}
            found += fresh
            cursor = page.get("cursor") or ""
            if not cursor or not fresh:
                break
        return [o for o in found if str(o.get("client_order_id") or "").startswith(self.prefix)]

    def as_of_ms(self) -> int:
        """Up to which moment of the exchange's clock its account reads are complete. Raises as `resting`."""
        told = self.read("/exchange/user_data_timestamp").get("as_of_time")
        try:
            return round(datetime.fromisoformat(str(told)).timestamp() * 1_000)
        except ValueError as error:
            raise ExchangeError(f"as_of_time is {told!r}") from error

    def read(self, target: str) -> dict[str, Any]:
        """The JSON object of a GET. Raises as `resting`."""
        call = Call("GET", target)
        return _object(call, self.transport.call_all([call])[0])


@dataclass(slots=True)
class _Sweep:
    """One sweep: what was tried on which order, and what is known of the end."""

    sweeper: Sweeper
    reach: Reach
    say: Callable[[str], None]
    started_ms: int
    last_write_ms: int
    """By the exchange's clock; what was sent before the sweep began counts as one."""
    tries: dict[str, int] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)
    triggered: set[str] = field(default_factory=set)
    known: list[dict[str, Any]] = field(default_factory=list)
    account_wide: bool = False
    cancels: int = 0
    left: int = -1
    clean_reads: int = 0
    refusals: int = 0
    as_of_ms: int = 0
    problem: str = ""
    pause_s: float = _PAUSE_S

    def run(self, patience_s: float) -> Swept:
        clock = self.sweeper.clock
        while True:
            elapsed = (clock.now().mono_ms - self.started_ms) / 1_000
            if self.clean_reads == CLEAN_READS or elapsed > patience_s:
                break
            self.look()
            if self.left:
                self.strike(elapsed)
            clock.sleep(self.pause_s)
        if self.left == -1:
            raise ExchangeUnreachable(f"open orders could not be read: {self.problem}")
        verified = self.clean_reads == CLEAN_READS
        return Swept(self.left, round(elapsed, 3), self.cancels, self.account_wide, verified)

    def look(self) -> None:
        """Read what rests. A list proves that nothing does only if reads were known to be newer than our last write."""
        newer = self.as_of_ms >= self.last_write_ms
        try:
            orders = self.sweeper.resting()
            self.left, self.known, self.refusals = len(orders), orders, 0
            self.clean_reads = 0 if orders else self.clean_reads + newer
        except AuthRefused as error:
            self.refusals += 1
            if self.refusals == _REFUSALS:
                raise
            self.failed(str(error))
        except ExchangeError as error:
            self.failed(str(error))
        if not newer and self.left <= 0:
            self.date()

    def date(self) -> None:
        """Find out how old the next list can be at most."""
        try:
            self.as_of_ms = self.sweeper.as_of_ms()
        except ExchangeError as error:
            self.failed(str(error))

    def strike(self, elapsed_s: float) -> None:
        """Everything that is due now, side by side: no way of cancelling waits for another."""
        now = self.sweeper.clock.now()
        due = [o for o in self.known if not self.lately_confirmed(o, now.mono_ms)]
        singles = [o for o in due if self.tries.get(o["order_id"], 0) % 2][:SINGLES]
        batched = [o for o in due if o not in singles]
        subaccount = self.sweeper.subaccount
        cancel_all = Call("DELETE", f"/portfolio/events/orders?subaccount={subaccount}")
        work: list[tuple[Call, Callable[[Reply], None]]] = [
            (_batch_cancel(batched[at : at + BATCH], subaccount), self.batch_answered)
            for at in range(0, len(batched), BATCH)
        ]
        work += [(_cancel(order, subaccount), self.single_answered) for order in singles]
        if _due(self.reach.groups_after_s, elapsed_s):
            work += [(_trigger(*group, subaccount), self.group_answered(group[0])) for group in self.groups()]
        if _due(self.reach.account_after_s, elapsed_s) and not self.account_wide:
            work.append((cancel_all, self.account_answered))
        for order in due:
            self.tries[order["order_id"]] = self.tries.get(order["order_id"], 0) + 1
        self.cancels += len(due)
        answers = self.sweeper.transport.call_all([call for call, _ in work])
        self.last_write_ms = self.sweeper.clock.now().exchange_ms
        denied = any(isinstance(answer, Reply) and answer.status == 429 for answer in answers)
        paced_s = min(_CANCEL_COST * len(due) / _PACE, _LONGEST_PAUSE_S) if denied else 0.0
        self.pause_s = max(_PAUSE_S, paced_s)
        for (call, take), answer in zip(work, answers, strict=True):
            try:
                take(_success(call, answer))
            except ExchangeError as error:
                self.failed(str(error))
        if any(call == cancel_all for call, _ in work):
            try:
                self.sweeper.emptied()
            except DoraError as error:
                self.say(f"a cancel-all was sent, which could not be noted: {error}")

    def groups(self) -> list[tuple[str, int]]:
        """The order groups of the orders seen, with their shards, that were not triggered yet."""
        named = {str(o.get("order_group_id") or ""): _shard(o) or 0 for o in self.known}
        return [(name, shard) for name, shard in named.items() if name and name not in self.triggered]

    def lately_confirmed(self, order: dict[str, Any], mono_ms: int) -> bool:
        since = self.confirmed.get(order["order_id"])
        return since is not None and mono_ms - since < CONFIRMED_MS

    def failed(self, problem: str) -> None:
        self.problem = problem
        self.say(f"trying again: {problem}")

    # ── answers ─────────────────────────────────────────────────────────────────────────────────

    def batch_answered(self, reply: Reply) -> None:
        for item in _parsed(reply).get("orders") or []:
            if isinstance(item, dict) and item.get("order_id") and not item.get("error"):
                self.confirmed[str(item["order_id"])] = reply.heard_mono_ms

    def single_answered(self, reply: Reply) -> None:
        order_id = _parsed(reply).get("order_id")
        if order_id:
            self.confirmed[str(order_id)] = reply.heard_mono_ms

    def group_answered(self, group_id: str) -> Callable[[Reply], None]:
        return lambda _reply: self.triggered.add(group_id)

    def account_answered(self, _reply: Reply) -> None:
        self.account_wide = True


def _due(after_s: float | None, elapsed_s: float) -> bool:
    return after_s is not None and elapsed_s >= after_s


# ── requests ────────────────────────────────────────────────────────────────────────────────────


def _shard(order: dict[str, Any]) -> int | None:
    shard = order.get("exchange_index")
    return shard if isinstance(shard, int) else None


def _routing(order: dict[str, Any]) -> dict[str, Any]:
    """Without it a cancel goes to shard 0, and an order of another shard answers 404 (FAULTS F18)."""
    shard = _shard(order)
    return {"market_ticker": order["ticker"]} if shard is None else {"exchange_index": shard}


def _batch_cancel(orders: Sequence[dict[str, Any]], subaccount: int) -> Call:
    items = [{"order_id": o["order_id"], "subaccount": subaccount, **_routing(o)} for o in orders]
    return Call("DELETE", "/portfolio/events/orders/batched", json.dumps({"orders": items}).encode())


def _cancel(order: dict[str, Any], subaccount: int) -> Call:
    order_id = quote(order["order_id"], safe="")
    terms = urlencode({"subaccount": subaccount, **_routing(order)})
    return Call("DELETE", f"/portfolio/events/orders/{order_id}?{terms}")


def _trigger(group_id: str, shard: int, subaccount: int) -> Call:
    name = quote(group_id, safe="")
    terms = urlencode({"subaccount": subaccount, "exchange_index": shard})
    return Call("PUT", f"/portfolio/order_groups/{name}/trigger?{terms}", b"{}")


# ── replies ─────────────────────────────────────────────────────────────────────────────────────


def _success(call: Call, answer: Reply | Failure) -> Reply:
    """Raises `AuthRefused` for a key that is refused, `ExchangeError` for anything else but a 2xx."""
    what = f"{call.method} {call.target.partition('?')[0]}"
    if isinstance(answer, Failure):
        raise ExchangeUnreachable(f"{what}: {answer.code}: {answer.detail}")
    text = f"{what}: {answer.status} {answer.body[:120]!r}"
    # A clock that is off is measured by the very reply that says so: the next signature is right.
    if answer.status in (401, 403) and SIGNATURE_EXPIRED.encode() not in answer.body:
        raise AuthRefused(text)
    if not 200 <= answer.status < 300:
        raise ExchangeError(text)
    return answer


def _object(call: Call, answer: Reply | Failure) -> dict[str, Any]:
    return _parsed(_success(call, answer))


def _parsed(reply: Reply) -> dict[str, Any]:
    try:
        parsed = json.loads(reply.body or b"{}")
    except ValueError as error:
        raise ExchangeError("a reply that is not JSON") from error
    if not isinstance(parsed, dict):
        raise ExchangeError("a reply that is not a JSON object")
    return parsed


def _orders(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a page. Raises `ExchangeError` for rows that name no order: nothing may be taken for gone."""
    rows = page.get("orders") or []
    if not all(isinstance(row, dict) and "order_id" in row and "ticker" in row for row in rows):
        raise ExchangeError("the order list holds rows without order_id or ticker")
    return list(rows)
