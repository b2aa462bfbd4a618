"""The network's faults on one HTTP request: it is late, lost, answered by something else, or damaged on the way."""

import asyncio
import random
import socket
import struct
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from dora_bot.paper.fault_kinds import AFTER, BEFORE
from dora_bot.paper.faults import Fault, Operation
from dora_bot.paper.problems import Problem, Raw, flat, nested
from dora_bot.paper.venue import Venue

_GONE_EVERY_S = 0.05
"""How often a hanging reply looks whether the client has given up."""
_ORDER_S = 50.0
_HTML = b"<html><head><title>Error</title></head><body><h1>upstream error</h1></body></html>"


class Dropped(Exception):  # noqa: N818  (a fault at work, not a failure of ours)
    """The reply is to be swallowed: ``how`` is reset, fin or hang."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class HttpFaults:
    """The kinds that strike between the client and the exchange. Each phase is asked once for every request."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._jitter = random.Random(f"{venue.options.seed}/http.delay.jitter")

    async def before(self, operation: Operation, request_n: int) -> None:
        """Raises `Dropped` or `Problem` where a fault ends the request before the engine sees it."""
        hold = self._strike("http.hold_request", operation, None, request_n)
        if hold is not None:
            await asyncio.sleep(hold.number("ms") / 1_000)
        await self._phase(BEFORE, operation, request_n)

    async def after(self, operation: Operation, request_n: int) -> None:
        """Raises `Dropped` or `Problem` where a fault hides the reply of a request that was applied."""
        order = self._strike("ws.order", operation, None, request_n, how="fill_before_reply")
        if order is not None:
            await asyncio.sleep(order.number("ms", _ORDER_S) / 1_000)
        await self._phase(AFTER, operation, request_n)

    def damage(self, operation: Operation, request_n: int) -> Fault | None:
        """The fault that spoils the bytes of this reply, if any does."""
        return self._strike("http.body", operation, None, request_n)

    async def _phase(self, phase: str, operation: Operation, request_n: int) -> None:
        if not self._venue.faults:
            return
        delay = self._strike("http.delay", operation, phase, request_n)
        if delay is not None:
            await asyncio.sleep(_delay_ms(delay, self._jitter) / 1_000)
        drop = self._strike("http.drop_reply", operation, phase, request_n)
        if drop is not None:
            raise Dropped(drop.text("how", "reset"))
        status = self._strike("http.status", operation, phase, request_n)
        if status is not None:
            raise _problem(status)

    def _strike(
        self, kind: str, operation: Operation, phase: str | None, request_n: int, how: str = ""
    ) -> Fault | None:
        return self._venue.strike(kind, operation, phase, how=how, request=request_n)


def _delay_ms(fault: Fault, draw: random.Random) -> float:
    """``ms`` and then up to ``jitter_ms`` more (uniform), or a pareto tail with ``jitter_ms`` as its scale."""
    ms, jitter = fault.number("ms"), fault.number("jitter_ms")
    dist = fault.text("dist", "uniform" if jitter else "fixed")
    if dist == "pareto":
        return ms + (draw.paretovariate(1.5) - 1.0) * (jitter or ms)
    return ms + (draw.uniform(0, jitter) if dist == "uniform" else 0.0)


def _problem(fault: Fault) -> Problem:
    status = fault.whole("code", 503)
    code = fault.text("error", "service_unavailable")
    shapes: Mapping[str, Any] = {
        "flat": {**flat("injected").body, "code": code},
        "string": {"error": code.replace("_", " ")},
        "params": {"msg": code},
        "html": Raw(_HTML, "text/html"),
        "empty": Raw(b"", "application/json"),
    }
    shape = fault.text("shape", "nested")
    return Problem(status, shapes[shape]) if shape in shapes else nested(status, code)


async def swallow(request: web.Request, how: str) -> None:
    """Let the client see no reply: a reset, an orderly close, or silence until it gives up."""
    transport = request.transport
    if transport is None:
        return
    while how == "hang" and request.transport is not None:  # noqa: ASYNC110  (aiohttp tells nobody that a client went)
        await asyncio.sleep(_GONE_EVERY_S)
    if how == "reset":
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
