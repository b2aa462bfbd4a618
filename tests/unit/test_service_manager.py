"""What a service manager hears on its socket, by path and by abstract name."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_bot.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A bound datagram socket, and its address as the environment names it."""
    path = str(tmp_path / "notify")
    address = path if request.param == "path" else f"@dora{path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path if request.param == "path" else f"\0dora{path}")
        listener.settimeout(5.0)
        yield listener, address


def test_each_message_is_one_datagram_of_assignments(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    with ServiceManager(address) as told:
        told.standing_by()
        assert listener.recv(1_000) == b"EXTEND_TIMEOUT_USEC=90000000\nSTATUS=standing by"
        told.ready("3 markets")
        assert listener.recv(1_000) == b"READY=1\nSTATUS=3 markets"
        told.alive("RUN")
        assert listener.recv(1_000) == b"WATCHDOG=1\nSTATUS=RUN"
        told.alive("RUN")
        assert listener.recv(1_000) == b"WATCHDOG=1"
        told.stopping("SIGTERM")
        assert listener.recv(1_000) == b"STOPPING=1\nSTATUS=SIGTERM"


def test_a_manager_that_does_not_read_or_is_gone_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, ServiceManager(str(path)) as told:
        listener.bind(str(path))
        for _ in range(10_000):  # far more than its queue takes
            told.alive("RUN")
        listener.settimeout(5.0)
        assert listener.recv(1_000).startswith(b"WATCHDOG=1")
    with ServiceManager(str(path)) as told:
        told.alive("nobody reads this")
    with ServiceManager("") as told:
        told.ready("there is no manager")
    assert path.exists()
