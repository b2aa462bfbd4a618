"""A tiny HTTP server on loopback whose every answer, good or broken, is written by the test."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[socket.socket], None]
"""Bytes to send, or something to do with the connection (which is closed afterwards)."""


def reply(status: int, body: object = None, *, headers: str = "") -> bytes:
    """A well-formed reply; ``body`` is sent as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n{headers}\r\n"
    return head.encode() + raw


def reset(connection: socket.socket) -> None:
    """Drop the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@dataclass
class LoopbackHttp:
    """Answers each request with ``answer(request)``; a context manager. ``released`` ends all hanging."""

    answer: Callable[[Received], Answer]
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        for opened in [self._listener, *self._open]:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/trade-api/v2"

    def hang(self, _connection: socket.socket) -> None:
        self.released.wait(20)

    def trickle(self, connection: socket.socket) -> None:
        """Promise a body and send it byte by byte, too slowly ever to be whole in time."""
        connection.sendall(b"HTTP/1.1 201 X\r\nContent-Length: 100000\r\n\r\n")
        while not self.released.wait(0.02):
            connection.sendall(b" ")

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while (request := _read(stream.readline, stream.read)) is not None:
                    self.received.append(request)
                    answer = self.answer(request)
                    if not isinstance(answer, bytes):
                        answer(connection)
                        return
                    connection.sendall(answer)
            except OSError:
                return  # the client went away, which many tests want


def _read(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> Received | None:
    first = readline().decode().split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while (line := readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Received(first[0], first[1], headers, read(int(headers.get("content-length", "0"))))
