"""What every test may use: guards over the whole session, free ports."""

import os
import socket
from collections.abc import Callable

import pytest
from hypothesis import settings

pytest_plugins = ["tests.plugins.skips", "tests.plugins.leftovers", "tests.plugins.aws"]

# A property is judged by what it finds: how long an example took says how busy the machine was.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# `make conformance` names the interpreter that has the foreign clients; without it there is nothing to run.
collect_ignore = [] if "CONFORMANCE_PYTHON" in os.environ else ["conformance"]


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that finds a port of 127.0.0.1 on which nothing listens now."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
