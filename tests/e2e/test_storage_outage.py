"""DynamoDB goes away for 25 s: quoting ends with the lease's margin, nothing is lost, quoting returns with the database."""

import time
from collections.abc import Iterator

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.gate import Gate
from tests.e2e.rig import Rig, resting
from tests.fakes.aws import LocalAwsProcess

pytestmark = pytest.mark.process

A, B = "KXDARK-26NOV20-A", "KXDARK-26NOV20-B"
TERM_S = 15.0
OUTAGE_S = 25.0
RETURN_S = 10.0


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B)])
    rig.configure()
    return rig


@pytest.fixture
def gate(local_aws: LocalAwsProcess) -> Iterator[Gate]:
    """A door before the database."""
    with Gate(int(local_aws.url.rsplit(":", 1)[1])) as gate:
        yield gate


def test_the_bot_outlives_its_database(rig: Rig, gate: Gate) -> None:
    rig.start(AWS_ENDPOINT_URL=f"http://127.0.0.1:{gate.port}")
    rig.quoting()
    gate.shut()
    dark = time.monotonic()
    rig.hit(A, Side.ASK, 2)
    rig.until_status("the fill booked in the dark", lambda s: s["counts"]["fills"] == 1, 5.0)
    rig.withdrawn(seconds=TERM_S)
    assert gate.refused >= 3
    lease_ms = rig.until_status("a lease run out", lambda s: s["ages"]["lease_ms"] < 2_000, 3.0)
    assert lease_ms["posture"] != "HALTED", lease_ms["halts"]
    while time.monotonic() < dark + OUTAGE_S:
        assert not rig.run(resting)
        assert rig.bot.alive, rig.bot.last_words()
        time.sleep(0.1)
    gate.open()
    rig.quoting(seconds=RETURN_S)
    rig.hit(B, Side.BID, 1)
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0
    found = rig.audit()
    assert (found["fills"], found["differences"]) == (2, [])
