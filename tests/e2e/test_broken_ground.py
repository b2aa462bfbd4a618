"""What a bot stands on breaks while it runs: its lease, its halt file, the exchange itself."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from dora_bot.items import STATE
from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.gate import Gate, behind
from tests.e2e.rig import STOP_S, Rig, most_live_on_a_side, resting, withdraw

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("nothing_runs_on")]

A, B = "KXGRND-26NOV20-A", "KXGRND-26NOV20-B"
LEASE = {"key": "lease#paper"}


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


@pytest.fixture
def gate(rig: Rig) -> Iterator[Gate]:
    """A door before the whole exchange."""
    with Gate(int(rig.server.here.rest_url.split(":")[2].split("/")[0])) as gate:
        yield gate


def test_a_lease_in_other_hands_ends_the_bot_without_orders_and_without_a_halt(rig: Rig) -> None:
    rig.start()
    rig.quoting()
    ours = rig.db.get(STATE, LEASE)
    rig.db.put(STATE, {**ours, "owner": "thief", "fence": ours["fence"] + 1, "beat": "b"})
    rig.hit(A, Side.ASK, 1)
    assert rig.bot.process.wait(STOP_S) == 5, rig.bot.last_words()
    assert not rig.run(resting)
    rig.db.put(STATE, {**ours, "owner": "", "fence": ours["fence"] + Decimal(1), "beat": "c"})
    rig.start()
    rig.quoting()
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_without_the_exchange_it_lives_and_quotes_again_when_it_is_back(rig: Rig, gate: Gate) -> None:
    rig.start(**behind(gate, rig.server.here))
    rig.quoting()
    mark = rig.run(lambda v: v.journal.last)
    gate.shut()
    rig.hit(B, Side.BID, 2)
    assert rig.run(lambda v: withdraw(v, A)) == 2
    rig.until("calls that found nobody", lambda _: gate.refused >= 10, 10.0)
    gate.open()
    rig.quoting(seconds=45.0)
    rig.until_status("the fill booked", lambda s: s["counts"]["fills"] == 1, 10.0)
    assert rig.status()["halts"] == []
    assert rig.run(lambda v: most_live_on_a_side(v, mark)) == 1
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_a_halt_file_that_cannot_be_read_ends_quoting(rig: Rig) -> None:
    rig.start()
    rig.quoting()
    file = rig.folder / "state" / "halts.jsonl"
    before = file.read_bytes() if file.exists() else b""
    file.write_bytes(before + b"{ torn\n")
    rig.withdrawn(seconds=3.0)
    assert rig.bot.alive
    assert rig.bot.stop() != 0
    rig.start()
    assert rig.bot.process.wait(STOP_S) == 1
    assert "halts.jsonl" in rig.bot.words()[0]
    assert not rig.run(resting)
    file.write_bytes(before)
