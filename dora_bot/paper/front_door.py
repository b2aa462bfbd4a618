"""The listening socket of the trading port, which a fault may close, jam or hand to something else.

While shut, the port stays bound (without listening), so that nobody else can be given it.
"""

import asyncio
import contextlib
import socket

from aiohttp import web

_NOT_TLS = b"\x15\x03\x01\x00\x02\x02\x28"
"""A TLS alert (handshake failure): what a client of another protocol gets."""
_FILLERS = 3


class FrontDoor:
    """One port, open or shut in one of the ways of ``http.refuse``: refused, close, tls, backlog."""

    def __init__(self, runner: web.AppRunner, host: str) -> None:
        self._runner = runner
        self._host = host
        self._port = 0
        self._site: web.SockSite | None = None
        self._other: asyncio.Server | None = None
        self._sockets: list[socket.socket] = []

    async def open(self, port: int) -> int:
        """Listen and serve; returns the port. Raises OSError for one that is taken."""
        listening = self._bound(port)
        self._port = int(listening.getsockname()[1])
        self._site = web.SockSite(self._runner, listening)
        await self._site.start()
        return self._port

    async def shut(self, how: str, *, keep: bool) -> None:
        """Let no new connection through; the existing ones are cut unless they are to be kept."""
        await self._close()
        bound = self._bound(self._port)
        if how in ("close", "tls"):
            answer = _NOT_TLS if how == "tls" else b""
            self._other = await asyncio.start_server(lambda _, writer: _turn_away(writer, answer), sock=bound)
        else:
            self._sockets.append(bound)
            if how == "backlog":
                self._jam(bound)
        if not keep:
            self._cut()

    async def reopen(self) -> None:
        """As before the fault."""
        await self._close()
        await self.open(self._port)

    async def close(self) -> None:
        await self._close()

    def _bound(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        try:
            bound.bind((self._host, port))
        except OSError:
            bound.close()
            raise
        return bound

    def _jam(self, bound: socket.socket) -> None:
        """Listen, accept nobody, and take all the places there are."""
        bound.listen(0)
        for _ in range(_FILLERS):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((self._host, self._port))
            self._sockets.append(filler)

    def _cut(self) -> None:
        server = self._runner.server
        for protocol in tuple(server.connections) if server is not None else ():
            if protocol.transport is not None:
                protocol.transport.abort()

    async def _close(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None
        if self._other is not None:
            self._other.close()
            self._other = None
        for one in self._sockets:
            one.close()
        self._sockets.clear()


async def _turn_away(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    writer.close()
