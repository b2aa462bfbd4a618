"""F65: the exchange's clock and the machine's part."""

import time

import pytest

from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting
from tests.faults.case import Case
from tests.faults.predicates import lives_s

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

A, B = "KXCLOCK-26NOV20-A", "KXCLOCK-26NOV20-B"
LIFE_S = 30.0
"""Of an order where four are to be renewed with a fifth of Basic's tokens."""


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """An exchange for each test: a clock that was moved cannot be moved back."""
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig, case: Case) -> None:
    rig.start()
    rig.quoting(seconds=60.0)
    case.held("both sides of both markets rest", len(rig.run(resting)) == 4)


@pytest.mark.fault("F65")
def test_a_clock_that_steps_within_the_window_or_drifts_is_followed(case: Case, rig: Rig) -> None:
    """Guard: every reply's Date moves the estimate (`SystemClock.observe`); without it orders would end early."""
    step = case.arm("clock.step", {}, {"ms": 5_000})
    case.until_hit(step, 5.0)
    drift = case.arm("clock.rate", {}, {"rate": 1 + 2 / 60})
    case.until_hit(drift, 5.0)
    time.sleep(5)
    mark = rig.run(lambda v: v.journal.last)
    time.sleep(35)
    assert rig.status()["halts"] == []
    lives = list(lives_s(case.history(mark)))
    case.held("orders were renewed", lives)
    assert min(lives) > LIFE_S - 2, "the exchange is 5 to 6 s ahead: orders would end so much earlier"
    rig.quoting(seconds=15.0)
    assert rig.bot.stop() == 0


@pytest.mark.fault("F65")
@pytest.mark.fault("F65", tier="Y")
@pytest.mark.parametrize("step_ms", [45_000, -45_000])
def test_a_clock_past_the_window_halts_and_leaves_no_order(case: Case, rig: Rig, step_ms: int) -> None:
    """Guard: the clock guard. What was signed for another time is answered 401 and is no refused key."""
    if step_ms > 0:
        case.exempt("expiry", "the orders were made before the exchange's clock jumped")
    step = case.arm("clock.step", {}, {"ms": step_ms})
    case.until_hit(step, 5.0)
    begun = time.monotonic()
    status = rig.until_status("a halt", lambda s: s["halts"], 30.0)
    rig.withdrawn(seconds=30.0)
    case.measured("B01 faults", time.monotonic() - begun)
    assert "clock" in status["halts"][0]["reason"]
    # This exchange's time never goes back but stands still meanwhile, and with it its buckets: the last reads may meet 429.
    assert rig.bot.stop(seconds=40.0) in ((3,) if step_ms > 0 else (1, 3))
