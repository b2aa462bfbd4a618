"""What every test may use: guards over the whole session, free ports."""

import socket
from collections.abc import Callable

import pytest

pytest_plugins = ["tests.plugins.skips", "tests.plugins.leftovers"]


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that finds a port of 127.0.0.1 on which nothing listens now."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
