"""The trading port: HTTP and the WebSocket upgrade over a `Venue`, with aiohttp.

Every request takes the same way: journal its arrival, wait the network's first half, authenticate, bill,
apply, wait the second half, journal the reply. Nothing here decides what a request means.
"""

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import WSMsgType, web

from dora_bot.paper.auth import ApiKey
from dora_bot.paper.damaged_replies import plain, send
from dora_bot.paper.faults import Operation
from dora_bot.paper.http_faults import Dropped, HttpFaults, swallow
from dora_bot.paper.problems import Problem, nested, refused
from dora_bot.paper.request_faults import RequestFaults
from dora_bot.paper.rest_base import Call, Endpoint, Reply
from dora_bot.paper.routes import ENDPOINTS
from dora_bot.paper.specs import Refused
from dora_bot.paper.venue import Venue
from dora_bot.paper.ws_outbox import Outbox
from dora_bot.paper.ws_session import WsSession

PREFIX = "/trade-api/v2"
WS_PATH = "/trade-api/ws/v2"
PING_EVERY_S = 10.0
PING_BODY = b"heartbeat"
_MAX_BODY = 4 * 1024 * 1024
_JOURNAL_BODY = 16_384
_MAX_MESSAGE = 64 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TradingServer:
    """The aiohttp application of the trading port."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._faults = HttpFaults(venue)
        self._misbehaviour = RequestFaults(venue)
        self._connections = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY)
        for endpoint in sorted(ENDPOINTS, key=lambda e: e.pattern.count("{")):
            app.router.add_route(endpoint.method, PREFIX + endpoint.pattern, self._handler(endpoint))
        app.router.add_get(WS_PATH, self._websocket)
        app.router.add_route("*", "/{tail:.*}", self._unknown)
        app.on_response_prepare.append(self._dated)
        return app

    async def _dated(self, _request: web.Request, response: web.StreamResponse) -> None:
        """The exchange's own clock, by which signatures are judged; clients measure theirs against it."""
        response.headers["Date"] = formatdate(self._venue.now_ms() / 1_000, usegmt=True)

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, endpoint)

        return handle

    async def _unknown(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002  (aiohttp's signature)
        return plain(Reply(404, nested(404, "not_found", "not found").body))

    async def _serve(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        venue = self._venue
        raw = await request.read()
        key_id = request.headers.get("KALSHI-ACCESS-KEY", "")
        operation = venue.operations.request(request.method, request.path, request.query.items(), raw, key_id)
        number = venue.journal.record(
            "arrival",
            venue.now_ms(),
            method=request.method,
            path=request.path,
            query=request.query_string,
            key_id=key_id,
            body=raw[:_JOURNAL_BODY].decode("utf-8", "replace"),
        )
        before_s, after_s = venue.profile.request_delays_s()
        if before_s:
            await asyncio.sleep(before_s)
        try:
            reply = await self._applied(request, endpoint, raw, operation, number)
            await self._faults.after(operation, number)
        except Problem as problem:
            reply = Reply(problem.status, problem.body)
        except Dropped as dropped:
            venue.journal.record("dropped", venue.now_ms(), request=number, how=dropped.how)
            await swallow(request, dropped.how)
            venue.journal.record("gone", venue.now_ms(), request=number)
            return web.Response()
        if after_s:
            await asyncio.sleep(after_s)
        venue.journal.record("reply", venue.now_ms(), request=number, status=reply.status)
        damage = self._faults.damage(operation, number)
        response = await send(request, reply, damage)
        if damage is not None and (request.transport is None or request.transport.is_closing()):
            venue.journal.record("gone", venue.now_ms(), request=number)
        return response

    async def _applied(
        self, request: web.Request, endpoint: Endpoint, raw: bytes, operation: Operation, number: int
    ) -> Reply:
        """Raises `Problem` for refusals of the network kind, `Dropped` where a fault hides them."""
        await self._faults.before(operation, number)
        venue = self._venue
        try:
            reply = self._apply(request, endpoint, raw, operation, number)
        except Problem as problem:
            reply = Reply(problem.status, problem.body)
        except Refused as refusal:
            reply = Reply(refusal.status, refused(refusal).body)
        except Exception as failure:  # policy: a broken exchange stops, it does not go on with a wrong state
            venue.failure = failure
            raise
        venue.journal.record("applied", venue.now_ms(), request=number, status=reply.status)
        return reply

    def _apply(
        self, request: web.Request, endpoint: Endpoint, raw: bytes, operation: Operation, number: int
    ) -> Reply:
        venue = self._venue
        key = self._authenticate(request, endpoint)
        query = list(request.query.items())

        def act(now_ms: int) -> Reply:
            call = Call(venue, key, request.match_info, query, raw, now_ms)
            if key is not None:
                venue.charge(key.account, endpoint.bill(call, endpoint.cost), operation)
            return self._misbehaviour.handle(call, operation, number, endpoint.handler)

        return venue.applied(act)

    def _authenticate(self, request: web.Request, endpoint: Endpoint) -> ApiKey | None:
        """Public endpoints take unsigned calls; a signature on them is harmless and is billed if it is good."""
        public = not endpoint.scope
        try:
            key = self._venue.keys.authenticate(
                request.headers, request.method, request.rel_url.raw_path, self._venue.now_ms()
            )
        except Problem:
            if public:
                return None
            raise
        if not public and not key.may(endpoint.scope):
            raise nested(403, "forbidden", f"this API key lacks the scope {endpoint.scope}")
        return key

    # ── WebSocket ───────────────────────────────────────────────────────────────────────────────

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        venue = self._venue
        key_id = request.headers.get("KALSHI-ACCESS-KEY", "")
        refusal = venue.strike("ws.refuse", venue.operations.upgrade(key_id)) if venue.faults else None
        accept_first = refusal is not None and "after_ms" in refusal.params
        if refusal is not None and not accept_first:
            status = refusal.whole("status", 502)
            return plain(Reply(status, nested(status, "upgrade_refused").body))
        try:
            key = venue.keys.authenticate(request.headers, "GET", request.path, venue.now_ms())
        except Problem as problem:
            return plain(Reply(problem.status, problem.body))
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_MESSAGE, autoping=False)
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return socket
        self._connections += 1
        session = WsSession(venue, key, self._connections)
        outbox = Outbox(
            transport,
            venue.profile,
            venue.now_ms,
            lambda frame, now_ms: venue.frame_sent(session.connection, frame, now_ms),
            lambda: session.terminate(25),
        )
        session.bind(outbox.put, _Closer(socket, transport).close)
        venue.join(session)
        venue.journal.record("ws_open", venue.now_ms(), connection=session.connection, key_id=key.key_id)
        if refusal is not None:
            session.hang_up(refusal.whole("code", 1006), refusal.number("after_ms") / 1_000)
        pinger = asyncio.create_task(self._ping(socket, session))
        try:
            await self._receive(socket, session)
        finally:
            pinger.cancel()
            outbox.close()
            venue.leave(session)
            venue.journal.record("ws_closed", venue.now_ms(), connection=session.connection)
        return socket

    async def _receive(self, socket: web.WebSocketResponse, session: WsSession) -> None:
        """Commands and pings until the connection ends."""
        venue = self._venue
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                venue.applied(lambda _, data=message.data: session.receive(data))  # type: ignore[misc]  # mypy cannot type a lambda's default
            elif message.type is WSMsgType.PING and not venue.frame_faults.mutes(session, "pongs"):
                await socket.pong(message.data)

    async def _ping(self, socket: web.WebSocketResponse, session: WsSession) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            if not self._venue.frame_faults.mutes(session, "pings"):
                await socket.ping(PING_BODY)


class _Closer:
    """Ends a connection with a close code, at once or a little later; 1006 cuts it without a word."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._socket = socket
        self._transport = transport
        self._task: asyncio.Task[Any] | None = None

    def close(self, code: int, after_s: float = 0.0) -> None:
        if after_s:
            asyncio.get_running_loop().call_later(after_s, self.close, code)
        elif code == 1006:
            self._transport.abort()
        else:
            self._task = asyncio.ensure_future(self._socket.close(code=code))
