"""F21, F22, F24 and the bounds of stopping: halts and stops while the exchange refuses, fails or leaves something over.

Measured on the exchange's journal: from the moment of the latch or the signal to the last own order's end.
"""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting
from tests.faults.case import Case
from tests.faults.predicates import History

pytestmark = pytest.mark.process

MARKETS = [StaticMarket(f"KXKILL-26NOV20-{n}", exchange_index=2 * (n % 2)) for n in range(4)]
CANCELS: list[dict[str, str]] = [{"op": "cancel"}, {"op": "batch_cancel"}]
EVERYWHERE: list[dict[str, str]] = [*CANCELS, {"op": "cancel_all"}, {"method": "PUT", "path": "*/trigger"}]
REFILL = 100
"""Write tokens a second of the Basic tier; a cancel costs 2."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig(MARKETS)
    rig.configure()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> Iterator[None]:
    """Each test begins with a bot that is not halted and both sides of all markets resting."""
    if rig.bots and rig.bot.alive and rig.status()["halts"]:
        rig.bot.stop()  # a new life has new order groups; those that a halt triggered rest for a minute
    if rig.bots and not rig.bot.alive:
        for one in rig.status()["halts"]:
            rig.resume(one["halt_id"])
    if not (rig.bots and rig.bot.alive):
        rig.start()
    rig.quoting(seconds=100.0)
    yield
    rig.disarm()


def halt(rig: Rig) -> tuple[dict[str, Any], int]:
    """`dora halt`: what it says, and when it latched (ms since 1970)."""
    done = rig.dora("halt", "--reason", f"drill {time.time_ns()}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    lines = (rig.folder / "state" / "halts.jsonl").read_text().splitlines()
    (raised,) = [json.loads(line) for line in lines if told["halt_id"] in line]
    raised_ms: int = raised["raised_ms"]
    return told, raised_ms


def ended_ms(history: History) -> int:
    """When the last own order went."""
    return max(
        int(entry["at_ms"]) for entry, _, order in history.own_orders() if order["status"] != "resting"
    )


def none_after(case: Case, since_ms: int) -> None:
    """No exposure write arrived from 100 ms after that moment on."""
    late = [r for r in case.history().requests if r.is_exposure and r.at_ms > since_ms + 100]
    assert late == []


def fail(case: Case, matches: list[dict[str, str]], params: dict[str, Any], for_ms: int) -> None:
    """Every call that any of these matches fails for a while; not each way of cancelling needs to be tried."""
    case.arm_any("http.status", matches, params, {"until_ms": for_ms})


@pytest.mark.short
@pytest.mark.fault("F22")
def test_a_halt_does_not_need_single_cancels(case: Case, rig: Rig) -> None:
    """Guard: the group trigger (`groups_after_s` of HALT in kill)."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    fail(case, CANCELS, {"code": 503}, 25_000)
    told, latched = halt(rig)
    assert not rig.run(resting)
    assert told["open_orders"] == 0
    case.measured("B01 faults", (ended_ms(case.history()) - latched) / 1_000)
    assert ended_ms(case.history()) - latched < 10_000
    none_after(case, latched + 500)


@pytest.mark.fault("F21")
def test_a_halt_is_done_in_time_while_every_cancel_is_answered_429(case: Case, rig: Rig) -> None:
    """Guard: a sweep goes on after failures until its patience ends (`_Sweep.run`)."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    fail(case, EVERYWHERE, {"code": 429, "shape": "string", "error": "too_many_requests"}, 20_000)
    told, latched = halt(rig)
    assert told["open_orders"] == 0
    assert not rig.run(resting)
    case.measured("B01 faults", (ended_ms(case.history()) - latched) / 1_000)
    none_after(case, latched + 500)
    each_second = Counter(r.at_ms // 1_000 for r in cancels(case.history()) for _ in r.items)
    assert max(each_second.values()) * 2 <= REFILL


def cancels(history: History) -> list[Any]:
    return [r for r in history.requests if r.method == "DELETE" and "/orders" in r.path]


@pytest.mark.fault("F21")
def test_a_halt_is_done_in_time_while_nine_calls_of_ten_fail(case: Case, rig: Rig) -> None:
    """Guard: nothing but success ends a sweep (`look` and `strike` in kill)."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    case.arm("http.status", {}, {"code": 503}, {"prob": 0.5})
    case.arm("http.status", {}, {"code": 429, "shape": "string"}, {"prob": 0.8})
    _, latched = halt(rig)
    assert not rig.run(resting)
    case.measured("B01 faults", (ended_ms(case.history()) - latched) / 1_000)
    none_after(case, latched + 500)


@pytest.mark.fault("F21")
def test_a_halt_by_good_calls(case: Case, rig: Rig) -> None:
    """The clean case beside the faulty ones."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    told, latched = halt(rig)
    case.struck("dora halt")
    assert told["open_orders"] == 0
    assert not rig.run(resting)
    case.measured("B01 clean", (ended_ms(case.history()) - latched) / 1_000)
    none_after(case, latched + 500)


def check_stop(case: Case, rig: Rig, measure: str) -> None:
    """SIGTERM, and what must follow."""
    signalled = rig.run(lambda v: v.now_ms())
    assert rig.bot.stop(signal.SIGTERM, seconds=25.0) == 0, rig.bot.last_words()
    case.struck("SIGTERM")
    assert not rig.run(resting)
    case.measured(measure, (ended_ms(case.history()) - signalled) / 1_000)
    none_after(case, signalled)


@pytest.mark.short
@pytest.mark.fault("F22")
def test_a_stop_by_good_calls(case: Case, rig: Rig) -> None:
    """The clean case beside the faulty one."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    check_stop(case, rig, "B05 clean")


@pytest.mark.fault("F22")
def test_a_stop_does_not_need_cancels(case: Case, rig: Rig) -> None:
    """Guard: the group trigger (`groups_after_s` of STOP in kill)."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    fail(case, CANCELS, {"code": 503}, 25_000)
    check_stop(case, rig, "B05 faults")


@pytest.mark.timeout(200)
@pytest.mark.fault("F24")
def test_a_cancel_all_is_not_believed_and_nothing_is_placed_for_a_minute(case: Case, rig: Rig) -> None:
    """Guards: `_Sweep` reads until nothing rests; `HaltsChanged.tail` keeps exposure writes back for a minute."""
    survivor = case.arm("eng.cancel_survivor", {"op": "cancel_all"}, {"n": 1})
    case.arm("http.status", {"op": "batch_cancel"}, {"code": 503}, {"count": 1})
    case.held("orders rest", len(rig.run(resting)) == 8)
    done = rig.dora("cancel-all")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["open_orders"] == 0
    case.held("one order survived the cancel-all", case.hits_of(survivor) >= 1)
    (emptied,) = [
        r for r in case.history().requests if r.method == "DELETE" and r.path.endswith("/events/orders")
    ]
    rig.quoting(seconds=90.0)
    first = next(r for r in case.history().requests if r.is_exposure and r.at_ms > emptied.at_ms)
    case.measured("B15", (first.at_ms - emptied.at_ms) / 1_000)


@pytest.mark.fault("F22")
def test_a_halt_gets_by_with_cancel_all_alone(case: Case, rig: Rig) -> None:
    """Guard: the cancel-all (`account_after_s` of HALT in kill)."""
    case.held("orders rest", len(rig.run(resting)) == 8)
    fail(case, [*CANCELS, EVERYWHERE[-1]], {"code": 503}, 25_000)
    _, latched = halt(rig)
    assert not rig.run(resting)
    case.measured("B01 faults", (ended_ms(case.history()) - latched) / 1_000)
    assert ended_ms(case.history()) - latched < 15_000
    none_after(case, latched + 500)
