"""What armed faults do to one HTTP request, and what the request is about as far as matching goes."""

import asyncio
import random
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from dora_bot.paper.faults import AFTER, BEFORE, Fault, Operation
from dora_bot.paper.problems import Problem, flat, nested
from dora_bot.paper.venue import Venue
from dora_bot.paper.wire_requests import peek

_HANG_S = 3_600.0


def describe(method: str, path: str, query: Iterable[tuple[str, str]], raw: bytes, key_id: str) -> Operation:
    """The operation a request stands for; a batch has the values of all its items."""
    found: dict[str, set[str]] = {
        "method": {method},
        "path": {path},
        "key_id": {key_id},
        **{name: set() for name in ("ticker", "side", "client_order_id", "order_id")},
    }
    for name, value in query:
        if name in ("ticker", "market_ticker"):
            found["ticker"].add(value)
    for item in _items(raw):
        for name in ("ticker", "market_ticker", "side", "client_order_id", "order_id"):
            if isinstance(item.get(name), str):
                found["ticker" if name == "market_ticker" else name].add(item[name])
    parts = path.split("/portfolio/events/orders/")
    if len(parts) == 2 and parts[1] and not parts[1].startswith("batched"):
        found["order_id"].add(parts[1].split("/", maxsplit=1)[0])
    return {name: frozenset(values) for name, values in found.items()}


def _items(raw: bytes) -> list[Mapping[str, Any]]:
    body = peek(raw)
    orders = body.get("orders")
    return [body, *(o for o in orders if isinstance(o, dict))] if isinstance(orders, list) else [body]


class Dropped(Exception):  # noqa: N818  (a fault at work, not a failure of ours)
    """The reply is to be swallowed: ``how`` is reset, fin or hang."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class HttpFaults:
    """The HTTP kinds. Each phase is asked once for every request."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._jitter = random.Random(f"{venue.options.seed}/http.delay.jitter")

    async def before(self, operation: Operation, request_n: int) -> None:
        """Raises `Dropped` or `Problem` where a fault ends the request before the engine sees it."""
        await self._phase(BEFORE, operation, request_n)

    async def after(self, operation: Operation, request_n: int) -> None:
        """Raises `Dropped` or `Problem` where a fault hides the reply of a request that was applied."""
        await self._phase(AFTER, operation, request_n)

    async def _phase(self, phase: str, operation: Operation, request_n: int) -> None:
        faults = self._venue.faults
        if not faults:
            return
        delay = self._strike("http.delay", operation, phase, request_n)
        if delay is not None:
            jitter = int(delay.params.get("jitter_ms", 0))
            extra = self._jitter.uniform(0, jitter) if jitter else 0.0
            await asyncio.sleep((float(delay.params.get("ms", 0)) + extra) / 1_000)
        drop = self._strike("http.drop_reply", operation, phase, request_n)
        if drop is not None:
            raise Dropped(str(drop.params.get("how", "reset")))
        status = self._strike("http.status", operation, phase, request_n)
        if status is not None:
            raise _problem(status)

    def _strike(self, kind: str, operation: Operation, phase: str, request_n: int) -> Fault | None:
        fault = self._venue.faults.strike(kind, operation, phase)
        if fault is not None:
            self._venue.journal.record(
                "fault", self._venue.now_ms(), fault_id=fault.fault_id, fault=kind, request=request_n
            )
        return fault


def _problem(fault: Fault) -> Problem:
    status = int(fault.params.get("code", 503))
    code = str(fault.params.get("error", "service_unavailable"))
    shape = str(fault.params.get("shape", "nested"))
    if shape == "flat":
        return Problem(status, {**flat("injected").body, "code": code})
    if shape == "string":
        return Problem(status, {"error": code.replace("_", " ")})
    if shape == "params":
        return Problem(status, {"msg": code})
    return nested(status, code)


async def swallow(request: web.Request, how: str) -> None:
    """Let the client see no reply: a reset, an orderly close, or silence until it gives up."""
    transport = request.transport
    if transport is None:
        return
    if how == "hang":
        await asyncio.sleep(_HANG_S)
    if how == "reset":
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
