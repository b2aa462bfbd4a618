"""A WebSocket server on loopback, written out by hand so that a test can break any part of it."""

import base64
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Json = dict[str, Any]


class Line:
    """One accepted connection, seen from the server."""

    def __init__(self, connection: socket.socket, headers: dict[str, str]) -> None:
        self.headers = headers
        self.heard: list[int] = []
        """Opcodes of everything the client sent."""
        self._connection = connection
        self._stream = connection.makefile("rb")

    def frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([0x80 | opcode])
        head += (
            bytes([size])
            if size < 126
            else struct.pack("!BH", 126, size)
            if size < 65_536
            else struct.pack("!BQ", 127, size)
        )
        self._connection.sendall(head + payload)

    def say(self, message: Json) -> None:
        self.frame(TEXT, json.dumps(message).encode())

    def hear(self) -> tuple[int, bytes]:
        """The client's next frame. Raises `OSError` when it is gone."""
        head = self._read(2)
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._read(2))[0]
        mask = self._read(4)
        payload = bytes(b ^ mask[n % 4] for n, b in enumerate(self._read(size)))
        self.heard.append(head[0] & 0x0F)
        return head[0] & 0x0F, payload

    def command(self, *, pong: bool = True) -> Json:
        """The client's next command; its pings are answered on the way."""
        while True:
            opcode, payload = self.hear()
            if opcode == PING and pong:
                self.frame(PONG, payload)
            if opcode == TEXT:
                found: Json = json.loads(payload)
                return found

    def _read(self, count: int) -> bytes:
        found = self._stream.read(count)
        if len(found) < count:
            raise ConnectionError("the client is gone")
        return found


class LoopbackWs:
    """Runs ``talk(line)`` for every connection that ``status(number)`` lets in with 101; a context manager."""

    def __init__(self, talk: Callable[[Line], None], status: Callable[[int], int] = lambda _: 101) -> None:
        self._talk = talk
        self._status = status
        self.upgrades: list[dict[str, str]] = []
        self.stopped = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        for opened in self._open:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/trade-api/ws/v2"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            headers = _headers(connection)
            self.upgrades.append(headers)
            status = self._status(len(self.upgrades))
            if status != 101:
                connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
                return
            digest = hashlib.sha1(
                (headers["sec-websocket-key"] + _MAGIC).encode(), usedforsecurity=False
            ).digest()
            accept = base64.b64encode(digest).decode()
            connection.sendall(
                "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            )
            self._talk(Line(connection, headers))


def _headers(connection: socket.socket) -> dict[str, str]:
    raw = b""
    while not raw.endswith(b"\r\n\r\n"):
        got = connection.recv(1)
        if not got:
            raise ConnectionError("the client is gone")
        raw += got
    lines = [line.partition(":") for line in raw.decode().split("\r\n")[1:] if line]
    return {name.strip().lower(): value.strip() for name, _, value in lines}
