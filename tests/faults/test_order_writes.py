"""F01–F16: order writes whose ends are lost, late, damaged or refused."""

import time

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, withdraw
from tests.faults.case import Case

pytestmark = pytest.mark.process

A, B = "KXWRITE-26NOV20-A", "KXWRITE-26NOV20-B"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    """One bot quotes two markets of two shards through all of these tests."""
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    rig.start()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> None:
    """Each test begins with both sides of both markets resting, and a bot that is not halted."""
    if not rig.bot.alive:
        rig.start()
    rig.quoting(seconds=60.0)


@pytest.mark.short
@pytest.mark.fault("F01")
def test_a_create_whose_reply_is_reset_is_found_and_adopted(case: Case, rig: Rig) -> None:
    """Guard: `kalshi_outcomes` reads a reset as unknown."""
    lost = case.arm(
        "http.drop_reply", {"op": "batch_create", "ticker": A}, {"phase": "after_apply"}, {"count": 1}
    )
    case.held("both sides of A are to be created anew", rig.run(lambda v: withdraw(v, A)) == 2)
    case.until_hit(lost, 10.0)
    begun = time.monotonic()
    made = {order.client_order_id for order in rig.run(lambda v: resting(v, A))}
    case.held("the orders rest although nobody was told", len(made) == 2)
    rig.until_status(
        "both adopted",
        lambda s: made <= {o["client_order_id"] for o in s["open_orders"] if o["state"] == "resting"},
        40.0,
    )
    case.measured("B04", time.monotonic() - begun)
    assert {order.client_order_id for order in rig.run(lambda v: resting(v, A))} == made
    rig.hit(A, Side.ASK, 1)
