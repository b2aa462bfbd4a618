"""A door before a server on loopback: open it forwards connections, shut it cuts them and turns new ones away.

Shut, it takes a new connection and ends it at once. Gone, nobody listens on its port, which stays ours all the same.
"""

import contextlib
import socket
import threading
from typing import Self

from dora_bot.paper.launch import Announcement


class Gate:
    """Listens on a port of its own from first to last, so that an address stays good while the server is away."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._is_open = True
        self._links: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refused = 0
        self._start()

    def shut(self) -> None:
        with self._lock:
            self._is_open = False
            links, self._links = self._links, set()
        for link in links:
            _end(link)

    def leave(self) -> None:
        """Be gone: connections are cut, and new ones refused by the system, until `open`."""
        self.shut()
        _end(self._listener)
        self._thread.join(5.0)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))

    def open(self) -> None:
        with self._lock:
            self._is_open = True
        if not self._thread.is_alive():
            self._listener.listen()
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self._thread.join(5.0)
        self.shut()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="gate", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed: that is how it ends
            while True:
                near, _ = self._listener.accept()
                if not self._admit(near):
                    self.refused += 1
                    _end(near)

    def _admit(self, near: socket.socket) -> bool:
        try:
            far = socket.create_connection(self._target, 2.0)
        except OSError:
            return False
        far.settimeout(None)
        with self._lock:
            if not self._is_open:
                _end(far)
                return False
            self._links |= {near, far}
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()
        return True


def behind(gate: Gate, here: Announcement) -> dict[str, str]:
    """The variables of a bot that reaches the exchange only through the gate."""
    rest, ws = (url.split("/", 3)[3] for url in (here.rest_url, here.ws_url))
    return {
        "DORA_KALSHI_REST_URL": f"http://127.0.0.1:{gate.port}/{rest}",
        "DORA_KALSHI_WS_URL": f"ws://127.0.0.1:{gate.port}/{ws}",
    }


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side ended: so does the other
        while piece := source.recv(65_536):
            sink.sendall(piece)
    _end(source)
    _end(sink)


def _end(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
