"""Scenes for one history each, and the simulation's tables in place of the embedded AWS, for the contract tests that both
must pass.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dora_bot.dynamo import Dynamo, Wire
from dora_bot.items import STATE
from dora_bot.tables import default_global_config
from tests.fakes.aws import Fault
from tests.sim.rows import QUOTING_MS
from tests.sim.scene import Scene
from tests.sim.tables import Call, SimDynamo, TableClient, Tables, client_error, timed_out


class FaultyLine:
    """Stands where `FaultyProxy` stands before the embedded AWS: the same faults, without a socket."""

    def __init__(self) -> None:
        self.fault: Fault = lambda _operation: ""
        self.seen: list[str] = []

    def call(self, operation: str, act: Call) -> Wire:
        name = operation.title().replace("_", "")
        self.seen.append(name)
        fault = self.fault(name)
        if fault == "throttle":
            raise client_error("ThrottlingException")
        if fault == "refuse":
            raise client_error("InternalServerError")
        reply = act()
        if fault == "drop_reply":
            raise timed_out()
        return reply


@pytest.fixture
def tables() -> Tables:
    return Tables("test_")


@pytest.fixture
def db(tables: Tables) -> Dynamo:
    dynamo = SimDynamo(TableClient(tables, lambda _operation, act: act(), lambda: 0), "test_")
    dynamo.put(STATE, default_global_config(live=False))
    return dynamo


@pytest.fixture
def proxy() -> FaultyLine:
    return FaultyLine()


@pytest.fixture
def faulty_db(tables: Tables, proxy: FaultyLine) -> Dynamo:
    return SimDynamo(TableClient(tables, proxy.call, lambda: 0), "test_")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes scenes that have come to quoting, and ends them after the test."""
    made: list[Scene] = []

    def make(*keys: str, **options: Any) -> Scene:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Scene(folder, *keys, **options))
        made[-1].until(QUOTING_MS)
        return made[-1]

    yield make
    for one in made:
        one.close()
