"""What the bot tells the service manager over its notify socket: ready, alive, stopping, and one line for people.

systemd kills a service that was ready and then stays silent for `WatchdogSec`, and runs its `ExecStopPost`, which
cancels what rests. So only the tick says that it is alive: a hung tick must starve it, whatever other threads do.
"""

import contextlib
import socket
from typing import Self


class ServiceManager:
    """Sends datagrams to ``address`` (``$NOTIFY_SOCKET``; ``@name`` is an abstract socket, empty: nobody listens).

    Never blocks and never raises: a manager that does not read loses what it is told.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._status = ""

    def ready(self, status: str) -> None:
        """The start gate is passed; from now on silence is death."""
        self._tell("READY=1", f"STATUS={status}")

    def standing_by(self) -> None:
        """Not ready, for as long as another instance trades: each call allows the start another minute and a half."""
        self._tell("EXTEND_TIMEOUT_USEC=90000000", "STATUS=standing by")

    def alive(self, status: str) -> None:
        """Call it after every tick, and from nowhere else. ``status`` is sent when it changes."""
        changed = status != self._status
        self._tell("WATCHDOG=1", *([f"STATUS={status}"] if changed else []))
        self._status = status

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, *lines: str) -> None:
        if self._address:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
