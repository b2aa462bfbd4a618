"""The kill path shares nothing that can hang: database, feed, trading calls and strategy all do at once (S05, I23)."""

import json
import signal
from collections.abc import Iterator

import pytest

from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting
from tests.fakes.aws import FaultyProxy, LocalAwsProcess

pytestmark = pytest.mark.process

A, B = "KXHANG-26NOV20-A", "KXHANG-26NOV20-B"
NOTICED_S, SWEPT_S = 4.0, 5.0
"""A tick that is silent for 3 s and a beat is noticed half a second later; from then on B01 holds."""

RUN_AND_HANG = """
import pathlib, sys, time
from dora_bot import strategy
quote = strategy.quote
def hanging(*arguments):
    while pathlib.Path("hang").exists():
        time.sleep(0.02)
    return quote(*arguments)
strategy.quote = hanging
from dora_bot.cli import main
sys.exit(main(["run"]))
"""
"""`dora run` with a strategy that does not come back while there is a file of that name."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


@pytest.fixture
def proxy(local_aws: LocalAwsProcess, rig: Rig) -> Iterator[FaultyProxy]:
    """The database, until it hangs; a bot that quotes runs behind it and is gone at the end."""
    with FaultyProxy(local_aws.url) as proxy:
        rig.environ["AWS_ENDPOINT_URL"] = proxy.url
        rig.launch(["-c", RUN_AND_HANG], {})
        rig.quoting()
        yield proxy
        proxy.fault = lambda _operation: ""
        rig.bot.kill()
    rig.environ["AWS_ENDPOINT_URL"] = local_aws.url
    (rig.folder / "hang").unlink(missing_ok=True)
    rig.disarm()


def hang(rig: Rig, proxy: FaultyProxy) -> None:
    """From now on nothing of all that answers."""
    for op in ("create", "amend"):
        rig.arm("http.drop_reply", {"op": op}, {"how": "hang"}, {})
    rig.run(deaden)
    proxy.fault = lambda _operation: "hang"
    (rig.folder / "hang").touch()
    assert len(rig.run(resting)) == 4


def deaden(venue: Venue) -> None:
    for session in venue.sessions.values():
        session.dead = True


def test_the_risk_thread_takes_every_order_away(rig: Rig, proxy: FaultyProxy) -> None:
    hang(rig, proxy)
    took = rig.withdrawn(seconds=NOTICED_S + SWEPT_S)
    assert took > 1.0
    assert rig.bot.alive


def test_a_shell_takes_every_order_away_while_the_whole_bot_stands_still(
    rig: Rig, proxy: FaultyProxy
) -> None:
    hang(rig, proxy)
    rig.bot.process.send_signal(signal.SIGSTOP)
    done = rig.dora("halt", "--reason", "everything hangs")
    told = json.loads(done.stdout)
    assert (done.returncode, told["open_orders"], told["verified"]) == (0, 0, True), done.stderr
    assert told["seconds"] <= SWEPT_S
    assert not rig.run(resting)
    assert "DynamoDB does not know of it yet" in done.stderr
    assert "GetItem" in proxy.seen
