"""A rig for a module of whole-bot tests."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dora_bot.paper.testing import StaticMarket
from tests.e2e.rig import Rig
from tests.fakes.aws import LocalAwsProcess

_NUMBERS = itertools.count(1)
MakeRig = Callable[[list[StaticMarket]], Rig]


@pytest.fixture(scope="module")
def make_rig(local_aws: LocalAwsProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeRig]:
    """A function that opens a rig with the markets given, tables of its own included."""
    with ExitStack() as stack:

        def make(markets: list[StaticMarket]) -> Rig:
            folder = tmp_path_factory.mktemp("rig")
            return stack.enter_context(Rig(local_aws.url, f"e2e{next(_NUMBERS)}_", folder, markets))

        yield make


@pytest.fixture
def nothing_runs_on(rig: Rig) -> Iterator[None]:
    """What a test leaves running must not fail the next one. ``rig`` is the module's own."""
    yield
    rig.end_bots()
