"""A machine whose clock is not the exchange's: signatures go by the measured time, and a clock far off is a halt (F65)."""

import pytest

from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import arrivals

pytestmark = pytest.mark.process

A = "KXCLOCK-26NOV20-A"


def test_a_small_step_is_followed_and_told_and_a_large_one_halts_and_cancels(make_rig: MakeRig) -> None:
    rig = make_rig([StaticMarket(A)])
    rig.configure()
    rig.start()
    rig.quoting()
    rig.arm("clock.step", {}, {"ms": 4_000}, {})
    rig.until_status("a measured step", lambda s: 3_000 < s["ages"]["clock_offset_ms"] < 5_000, 10.0)
    mark = rig.run(lambda v: v.journal.last)
    rig.until("renewals", lambda v: arrivals(v, "POST", "/amend", mark), 25.0)
    status = rig.status()
    assert (status["posture"], status["halts"]) == ("RUN", [])
    told = [line for line in rig.bot.log() if line.get("action") == "clock"]
    assert len(told) == 1
    assert "behind the exchange's" in str(told)

    rig.arm("clock.step", {}, {"ms": 41_000}, {})
    status = rig.until_status("a halt", lambda s: s["halts"], 20.0)
    assert status["halts"][0]["reason"] == "the machine's clock is wrong"
    rig.withdrawn(seconds=5.0)
    assert 44_000 < rig.status()["ages"]["clock_offset_ms"] < 46_000
    assert rig.bot.stop() == 3
    assert rig.ledger_differences() == []
