"""The admin port: truth, journal, clock, operator actions, faults and barriers, behind a bearer token.

It is a port of its own on loopback. Nothing that arrives at the trading port can reach it, and the bot
knows nothing of it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from dora_bot.errors import WireError
from dora_bot.paper.admin_actions import ACTIONS, TRADER
from dora_bot.paper.conditions import Condition
from dora_bot.paper.fault_kinds import FaultRefused
from dora_bot.paper.fault_plan import make_plan
from dora_bot.paper.faults import Fault
from dora_bot.paper.self_acting_faults import SelfActingFaults
from dora_bot.paper.specs import Refused
from dora_bot.paper.venue import Venue

_POLL_S = 0.005
_MAX_TIMEOUT_MS = 600_000

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadAdminRequest(Exception):  # noqa: N818  (an answer to the admin client)
    """400 with a line that says what is wrong."""


def _reply(body: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


async def _object(request: web.Request) -> Json:
    try:
        body = msgspec.json.decode(await request.read() or b"{}")
    except msgspec.DecodeError as error:
        raise BadAdminRequest(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadAdminRequest("the body must be a JSON object")
    return body


class AdminServer:
    """The aiohttp application of the admin port."""

    def __init__(self, venue: Venue, token: str, self_acting: SelfActingFaults) -> None:
        self._venue = venue
        self._self_acting = self_acting
        self._token = token

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/admin/v1/truth", self._truth)
        app.router.add_get("/admin/v1/journal", self._journal)
        app.router.add_get("/admin/v1/limits", self._limits)
        app.router.add_post("/admin/v1/clock", self._clock)
        app.router.add_post("/admin/v1/engine", self._engine)
        app.router.add_post("/admin/v1/barrier", self._barrier)
        app.router.add_get("/admin/v1/faults", self._list_faults)
        app.router.add_post("/admin/v1/faults", self._arm)
        app.router.add_get("/admin/v1/plan", self._show_plan)
        app.router.add_post("/admin/v1/plan", self._make_plan)
        app.router.add_delete("/admin/v1/faults", self._disarm)
        app.router.add_delete("/admin/v1/faults/{fault_id}", self._disarm)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return _reply({"error": "a valid bearer token is required"}, 401)
        try:
            return await handler(request)
        except (BadAdminRequest, FaultRefused, WireError, ValueError) as error:
            return _reply({"error": str(error)}, 400)
        except KeyError as error:
            return _reply({"error": f"missing or unknown: {error.args[0]}"}, 400)
        except Refused as refusal:
            return _reply({"error": str(refusal)}, 409)

    async def _truth(self, request: web.Request) -> web.StreamResponse:
        account = request.query.get("account", TRADER)
        if account not in self._venue.buckets:
            raise BadAdminRequest(f"unknown account {account}")
        return _reply(self._venue.applied(lambda _: self._venue.engine.truth(account)))

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "10000"))
        journal = self._venue.journal
        return _reply({"last": journal.last, "entries": journal.after(after, limit)})

    async def _limits(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002  (aiohttp's signature)
        now_ms = self._venue.now_ms()
        return _reply({name: buckets.levels(now_ms) for name, buckets in self._venue.buckets.items()})

    async def _clock(self, request: web.Request) -> web.StreamResponse:
        """``offset_ms`` steps, ``rate`` speeds, ``advance_ms`` steps and stands still (manual mode)."""
        body, clock = await _object(request), self._venue.clock
        if set(body) - {"offset_ms", "rate", "advance_ms"}:
            raise BadAdminRequest("offset_ms, rate or advance_ms")
        if "offset_ms" in body:
            clock.shift(int(body["offset_ms"]))
        if "rate" in body:
            clock.set_rate(float(body["rate"]))
        if "advance_ms" in body:
            clock.advance(int(body["advance_ms"]))
        self._venue.applied(self._venue.turn)
        return _reply({"exchange_ms": self._venue.now_ms()})

    async def _engine(self, request: web.Request) -> web.StreamResponse:
        body = await _object(request)
        action = ACTIONS.get(str(body.get("action")))
        if action is None:
            raise BadAdminRequest(f"unknown action; there are: {', '.join(sorted(ACTIONS))}")
        args = {name: value for name, value in body.items() if name != "action"}
        self._venue.journal.record("operator", self._venue.now_ms(), action=body["action"], args=args)
        return _reply(self._venue.applied(lambda now_ms: action(self._venue, args, now_ms)))

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    async def _list_faults(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002  (aiohttp's signature)
        return _reply({"faults": self._venue.faults.bodies()})

    async def _arm(self, request: web.Request) -> web.StreamResponse:
        """A ``ws.close`` or ``ws.terminal`` without ``when`` strikes what is open at once."""
        fault = await self._self_acting.arm(await _object(request))
        if fault.kind in ("ws.close", "ws.terminal") and not fault.when:
            await asyncio.sleep(fault.number("after_ms") / 1_000)
            fault.hits = self._end_now(fault)
            self._venue.faults.disarm(fault.fault_id)
        return _reply(fault.body())

    def _end_now(self, fault: Fault) -> int:
        """End the connections, or the subscriptions, that the fault matches; returns how many."""
        ended = 0
        for session in tuple(self._venue.sessions.values()):
            if fault.kind == "ws.close":
                if fault.matches({"key_id": frozenset({session.key_id})}):
                    self._venue.fault_hit(fault, connection=session.connection)
                    session.hang_up(fault.whole("code", 1006))
                    ended += 1
                continue
            for sub in session.subscriptions:
                about = {"key_id": session.key_id, "channel": sub.channel, "sid": str(sub.sid)}
                if fault.matches({name: frozenset({value}) for name, value in about.items()}):
                    self._venue.fault_hit(fault, connection=session.connection)
                    session.terminate(fault.whole("code", 25), sub)
                    ended += 1
        return ended

    async def _disarm(self, request: web.Request) -> web.StreamResponse:
        self._venue.faults.disarm(request.match_info.get("fault_id"))
        await self._self_acting.settled()
        return _reply({"faults": self._venue.faults.bodies()})

    async def _show_plan(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002  (aiohttp's signature)
        plan = self._venue.faults.plan
        return _reply({"keys": []} if plan is None else plan.body())

    async def _make_plan(self, request: web.Request) -> web.StreamResponse:
        """Replace the plan; operations are counted from here on, so that keys mean the same in every run."""
        plan = make_plan(await _object(request), self._venue.now_ms())
        self._venue.operations.restart()
        self._venue.faults.plan = plan
        return _reply(plan.body())

    # ── barriers ────────────────────────────────────────────────────────────────────────────────

    async def _barrier(self, request: web.Request) -> web.StreamResponse:
        """Wait for ``{"condition":"open_orders==0"}`` or ``{"journal":N}``; 408 after ``timeout_ms``."""
        body = await _object(request)
        text = f"journal>={int(body['journal'])}" if "journal" in body else str(body.get("condition", ""))
        condition = Condition(text)
        account = str(body.get("account", TRADER))
        timeout_s = min(int(body.get("timeout_ms", 10_000)), _MAX_TIMEOUT_MS) / 1_000
        loop = asyncio.get_running_loop()  # its clock, since the exchange's may be stopped or shifted
        started = loop.time()
        while not condition.holds(self._venue, account):
            if loop.time() - started > timeout_s:
                return _reply({"error": "timeout", "condition": text}, 408)
            await asyncio.sleep(_POLL_S)
        return _reply({"elapsed_ms": round((loop.time() - started) * 1_000)})
