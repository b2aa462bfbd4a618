"""Replies as they arrive from a bad network: cut, slow, garbled, too long, or somebody else's.

The status line is the true one. What the engine did is not touched.
"""

import asyncio

import msgspec
from aiohttp import web

from dora_bot.paper.faults import Fault
from dora_bot.paper.problems import Raw
from dora_bot.paper.rest_base import Reply
from dora_bot.paper.wire import stable_uuid

_HUGE = 8 * 1024 * 1024
_GARBAGE = b"\x00\x1f\x8b{]\xff garbage"
_JSON = "application/json"


def plain(reply: Reply) -> web.Response:
    """The reply as it should be."""
    if reply.body is None:
        return web.Response(status=reply.status)
    if isinstance(reply.body, Raw):
        return web.Response(status=reply.status, body=reply.body.data, content_type=reply.body.content_type)
    return web.Response(status=reply.status, body=msgspec.json.encode(reply.body), content_type=_JSON)


async def send(request: web.Request, reply: Reply, damage: Fault | None) -> web.StreamResponse:
    """The reply, or what `http.body` makes of it; there is nothing to damage where there is no body."""
    if damage is None or reply.body is None:
        return plain(reply)
    response = plain(Reply(reply.status, _mangled(reply.body, damage)))
    how = damage.text("how", "truncate")
    body = bytes(response.body) if isinstance(response.body, bytes) else b""
    if how == "trickle":
        return await _trickled(request, reply.status, body, damage.number("bytes_per_s", 1.0))
    if how == "wrong_length":
        return await _cut_short(request, reply.status, body, damage.whole("bytes", 64))
    made = {
        "truncate": lambda: body[: damage.whole("bytes", len(body) // 2)],
        "garbage": lambda: _GARBAGE,
        "huge": lambda: _padded(body, damage.whole("bytes", _HUGE)),
    }
    return _raw(reply.status, made[how]()) if how in made else response


def _raw(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=_JSON)


def _mangled(body: object, damage: Fault) -> object:
    """The body with other ids, or with its items shuffled or one missing."""
    how = damage.text("how", "truncate")
    if not isinstance(body, dict):
        return body
    if how == "wrong_object":
        return {name: _other(name, value) for name, value in body.items()}
    orders = body.get("orders")
    if how in ("shuffle_items", "omit_item") and isinstance(orders, list):
        return {**body, "orders": orders[:-1] if how == "omit_item" else orders[::-1]}
    return body


def _other(name: str, value: object) -> object:
    if isinstance(value, dict):
        return {inner: _other(inner, one) for inner, one in value.items()}
    if isinstance(value, list):
        return [_other(name, one) for one in value]
    if name in ("order_id", "client_order_id") and isinstance(value, str):
        return stable_uuid(f"another/{value}")
    return value


def _padded(body: bytes, size: int) -> bytes:
    """The same object with one more field that makes it ``size`` bytes long."""
    inner = body.strip().removeprefix(b"{")
    return b'{"padding":"%b",%b' % (b"x" * max(size - len(body), 1), inner)


async def _stream(request: web.Request, status: int, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=status)
    response.content_type = _JSON
    response.content_length = length
    await response.prepare(request)
    return response


async def _trickled(request: web.Request, status: int, body: bytes, bytes_per_s: float) -> web.StreamResponse:
    response = await _stream(request, status, len(body))
    for at in range(len(body)):
        if request.transport is None or request.transport.is_closing():
            break
        await response.write(body[at : at + 1])
        await asyncio.sleep(1 / bytes_per_s)
    return response


async def _cut_short(request: web.Request, status: int, body: bytes, missing: int) -> web.StreamResponse:
    """Announce more than there is, then close."""
    response = await _stream(request, status, len(body) + missing)
    await response.write(body)
    if request.transport is not None:
        request.transport.close()
    return response
