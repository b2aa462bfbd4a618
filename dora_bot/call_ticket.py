"""Was it sent? What a caller that stops waiting and the thread that calls for it must agree on, under one lock."""

import socket
import threading


class Ticket:
    """One call's life, shared by the caller and its worker: who came first, the first byte or the deadline?"""

    def __init__(self, deadline_mono_ms: int) -> None:
        self.deadline_mono_ms = deadline_mono_ms
        self._lock = threading.Lock()
        self._sent = False
        self._given_up = False
        self._socket: socket.socket | None = None

    def about_to_send(self, connection: socket.socket) -> None:
        """Called before each write. Raises `TimeoutError` if the caller has stopped waiting."""
        with self._lock:
            if self._given_up:
                raise TimeoutError("the deadline passed before the request was sent")
            self._sent = True
            self._socket = connection

    def give_up(self) -> bool:
        """The caller stops waiting: wake the worker out of a blocking read. Returns whether a byte was sent."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                # The plain shutdown, also under TLS: the worker is inside the TLS object and must not race it.
                socket_shutdown(self._socket)
            return self._sent

    def give_up_unsent(self) -> bool:
        """The caller's patience ends: what was not sent must not be sent any more. Returns whether a byte was."""
        with self._lock:
            self._given_up = self._given_up or not self._sent
            return self._sent

    def done(self) -> None:
        with self._lock:
            self._socket = None

    @property
    def sent(self) -> bool:
        with self._lock:
            return self._sent


def socket_shutdown(connection: socket.socket) -> None:
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # already closed by the other side, which is what was wanted
