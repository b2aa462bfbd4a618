"""The kill path's connection: the few signed calls that `kill.Sweeper` makes, answered by the engine in the wire's JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from dora_bot.errors import ExchangeUnreachable
from dora_bot.http_transport import Call, Failure, Reply
from dora_bot.paper.bend import Bend
from dora_bot.paper.specs import Refused
from dora_bot.paper.wire import rfc3339
from dora_bot.paper.wire_account import cancel_body, order_body
from dora_bot.pulse import waiting
from tests.sim.client import READ_FAULTS, TIMEOUT_MS, TOO_MANY, Network
from tests.sim.front import KEY_REFUSED
from tests.sim.venue import BOT

FAULTS = (*READ_FAULTS, "status_before")
UNSEEN = frozenset({"too_many", "status_before", KEY_REFUSED})
"""What is answered so was not done."""

Answer = tuple[int, Any]


@dataclass
class _Flight:
    """One call under way. What it asks for happens, whatever becomes of the reply, unless it is refused unseen."""

    kind: str
    back_ms: int
    status: int = 0
    body: Any = None

    def heard(self, began_ms: int) -> Reply | Failure:
        took = self.back_ms - began_ms
        if self.kind in ("hang", "reset"):
            return Failure(sent=True, code="timeout", detail=self.kind, took_ms=took)
        if self.kind == "too_many":
            return Reply(429, TOO_MANY, took, self.back_ms)
        if self.kind == KEY_REFUSED:
            return Reply(401, b'{"error":{"code":"authentication_error"}}', took, self.back_ms)
        if self.kind == "status_before":
            return Reply(503, b"", took, self.back_ms)
        if self.kind == "status":
            return Reply(500, b"", took, self.back_ms)
        told = msgspec.json.encode(self.body)
        garbled = self.kind == "garbage"
        return Reply(self.status, told[: len(told) // 2] or b"{" if garbled else told, took, self.back_ms)


class SimTransport:
    """``who`` names the caller in fault keys. Calls are made one after the other."""

    def __init__(self, network: Network, who: str) -> None:
        self._net = network
        self._who = who

    def close(self) -> None:
        """There is no connection."""

    def call(self, call: Call) -> Reply:
        """Raises `ExchangeUnreachable` where no reply comes."""
        reply = self.call_all([call])[0]
        if isinstance(reply, Failure):
            raise ExchangeUnreachable(f"{call.method} {call.target}: {reply.code}")
        return reply

    def call_all(self, calls: Sequence[Call]) -> list[Reply | Failure]:
        """Side by side: the slowest reply is waited for."""
        began = self._net.kernel.now_ms
        with waiting(TIMEOUT_MS):
            flights = [self._launch(call) for call in calls]
            self._net.kernel.sleep_until(max([began, *(flight.back_ms for flight in flights)]))
        return [flight.heard(began) for flight in flights]

    def _launch(self, call: Call) -> "_Flight":
        path = urlsplit(call.target).path
        name = f"{self._who}.{call.method.lower()}{path.replace('/', '_')}"
        self._net.on_port(f"kill.{call.method.lower()}")
        place = f"sweep/{name}/n={self._net.number(name)}"
        kind = self._net.faults.strike(place, FAULTS)
        kernel = self._net.kernel
        if self._net.venue.front.kind(kernel.now_ms) == KEY_REFUSED:
            kind = KEY_REFUSED
        there_ms = kernel.now_ms + 3 + int(25 * self._net.faults.share(f"{place}/out"))
        flight = _Flight(kind, kernel.now_ms + TIMEOUT_MS if kind == "hang" else there_ms + 3)

        def arrive() -> None:
            if kind in UNSEEN:
                return
            flight.status, flight.body = self._net.venue.step(lambda now: self._answer(call, path, now))

        kernel.at(there_ms, arrive)
        return flight

    def _answer(self, call: Call, path: str, now_ms: int) -> Answer:
        routes: dict[tuple[str, str], Callable[[], Answer]] = {
            ("GET", "/portfolio/orders"): self._orders,
            ("GET", "/exchange/user_data_timestamp"): self._as_of,
            ("DELETE", "/portfolio/events/orders/batched"): lambda: self._batch(call, now_ms),
            ("DELETE", "/portfolio/events/orders"): lambda: self._everything(now_ms),
        }
        if (call.method, path) in routes:
            return routes[call.method, path]()
        try:
            return self._by_id(call, path, now_ms)
        except Refused as no:
            return no.status, {"error": {"code": no.code, "message": no.message}}

    def _by_id(self, call: Call, path: str, now_ms: int) -> Answer:
        parts, engine = path.strip("/").split("/"), self._net.venue.engine
        shard = int(parse_qs(urlsplit(call.target).query).get("exchange_index", ["0"])[0])
        if call.method == "DELETE" and parts[:3] == ["portfolio", "events", "orders"]:
            return 200, cancel_body(engine.cancel(BOT, parts[3], now_ms, shard=shard))
        if parts[:2] == ["portfolio", "order_groups"] and parts[-1] == "trigger":
            engine.trigger_group(BOT, parts[2], now_ms, shard=shard)
            return 200, {}
        raise NotImplementedError(f"{call.method} {call.target}")

    def _orders(self) -> Answer:
        views = self._net.venue.account().resting.values()
        return 200, {"orders": [order_body(view) for view in views], "cursor": ""}

    def _as_of(self) -> Answer:
        return 200, {"as_of_time": rfc3339(self._net.venue.as_of_ms())}

    def _everything(self, now_ms: int) -> Answer:
        """One order may survive, of which the answer says nothing."""
        spared = bool(self._net.faults.strike(f"spare/n={self._net.number('spare')}", ("newest",)))
        with self._net.venue.engine.bent(Bend(spare_newest=int(spared))):
            self._net.venue.engine.cancel_all(BOT, now_ms)
        return 204, {}

    def _batch(self, call: Call, now_ms: int) -> Answer:
        items = []
        for order in msgspec.json.decode(call.body)["orders"]:
            try:
                shard = order.get("exchange_index", 0)
                done = self._net.venue.engine.cancel(BOT, order["order_id"], now_ms, shard=shard)
                items.append(cancel_body(done))
            except Refused as no:
                error = {"code": no.code, "message": no.message}
                items.append({"order_id": order["order_id"], "reduced_by": "0.00", "error": error})
        return 200, {"orders": items}
