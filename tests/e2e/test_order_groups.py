"""The exchange's own brake under the whole bot: too much matched at once takes one shard's quotes away, not the others'."""

import pytest

from dora_bot.models import Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import resting, until

pytestmark = pytest.mark.process

A, B = "KXBRAKE-26NOV20-A", "KXBRAKE-26NOV20-B"


def test_a_burst_of_fills_takes_one_shard_out_and_a_stop_leaves_no_group(make_rig: MakeRig) -> None:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure(max_inventory_yes=100, max_inventory_no=100)
    rig.edit("global_config", "max_fill_15s", {"N": "8"})
    rig.start()
    rig.quoting()
    groups = rig.run(lambda v: {g.group_id: g.exchange_index for g in v.engine.groups(TRADER)})
    assert sorted(groups.values()) == [0, 2]
    for contracts in (5, 4):
        until("both quotes", lambda: len(rig.run(lambda v: resting(v, A))) == 2, 5.0)
        rig.hit(A, Side.ASK, contracts)
    status = rig.until_status("a trigger", lambda s: "triggered" in s["markets"][A]["reason"], 5.0)
    assert status["posture"] == "RUN"
    assert not rig.run(lambda v: resting(v, A))
    assert len(rig.run(lambda v: resting(v, B))) == 2
    assert rig.bot.stop() == 0
    assert rig.run(lambda v: v.engine.groups(TRADER)) == []
    assert rig.ledger_differences() == []
