"""F48–F52: an exchange that says "too many", or takes its time."""

import time

import pytest

from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, withdraw
from tests.faults.case import Case

pytestmark = pytest.mark.process

NAMES = [f"KXSLOW-26NOV20-{name}" for name in ("A", "B", "C", "D")]
A, B, *_ = NAMES
ORDERS = "*/portfolio/events/orders*"
TOO_MANY = {"phase": "before_apply", "code": 429, "shape": "string", "error": "too_many_requests"}


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    """One bot quotes four markets through all of these tests."""
    rig = make_rig([StaticMarket(t, exchange_index=n % 2 * 2) for n, t in enumerate(NAMES)])
    rig.configure()
    rig.start()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> None:
    """Each test begins with both sides of all markets resting, and the socket up."""
    if not rig.bot.alive:
        rig.start()
    rig.until_status("the socket in use", lambda s: s["feed"] == "ws", 30.0)
    rig.quoting(seconds=60.0)


def ids(venue: Venue) -> set[str]:
    return {order.order_id for order in resting(venue)}


@pytest.mark.short
@pytest.mark.fault("F49")
def test_reads_that_are_all_too_many_cost_quotes_only_with_the_sockets_proof(case: Case, rig: Rig) -> None:
    """Guard: a book's proof is the socket's, and five seconds old at most where it was read by REST."""
    ours = rig.run(ids)
    case.held("eight quotes rest", len(ours) == 8)
    case.arm("http.status", {"method": "GET"}, TOO_MANY)
    end = time.monotonic() + 12.0
    while time.monotonic() < end:
        assert rig.run(ids) == ours
        time.sleep(0.2)
    refused = case.arm("ws.refuse", params={"status": 502})
    case.arm("ws.close")
    case.measured("B02", rig.withdrawn(seconds=7.0))
    case.until_hit(refused, 10.0)
    case.disarm()
    begun = time.monotonic()
    rig.quoting(seconds=20.0)
    case.measured("L03 feed", time.monotonic() - begun)


@pytest.mark.short
@pytest.mark.fault("F49")
def test_books_by_rest_are_believed_five_seconds_and_no_longer(case: Case, rig: Rig) -> None:
    """Guard: `RestFeed.PROOF_MS`."""
    refused = case.arm("ws.refuse", params={"status": 502})
    case.arm("ws.close")
    rig.until_status("rest in use", lambda s: s["feed"] == "rest", 5.0)
    rig.quoting(seconds=5.0)
    ours = rig.run(ids)
    case.held("eight quotes rest on books by REST", len(ours) == 8)
    case.arm("http.status", {"op": "book"}, TOO_MANY)
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        assert rig.run(ids) == ours, "pulled before the proof ran out"
        time.sleep(0.1)
    case.measured("B02", 3.5 + rig.withdrawn(seconds=3.5))
    case.until_hit(refused, 15.0)


@pytest.mark.short
@pytest.mark.fault("F50")
def test_a_balance_that_is_too_many_costs_nothing(case: Case, rig: Rig) -> None:
    """Guard: `RiskMonitor.read_balance` goes on with the last one."""
    ours = rig.run(ids)
    balance = case.arm("http.status", {"op": "balance"}, TOO_MANY)
    case.held("eight quotes rest", len(ours) == 8)
    reads = rig.status()["counts"]["risk_reads"]
    case.until_hit(balance, 16.0, 2)
    rig.until_status("three reads", lambda s: s["counts"]["risk_reads"] >= reads + 3, 20.0)
    assert rig.run(ids) == ours
    assert rig.status()["halts"] == []


@pytest.mark.fault("F51")
def test_a_body_that_trickles_is_given_up_after_two_seconds_and_its_order_found(case: Case, rig: Rig) -> None:
    """Guard: `HttpTransport` shuts the socket at the call's deadline, however many bytes still come."""
    trickle = case.arm(
        "http.body", {"op": "batch_create", "ticker": A}, {"how": "trickle", "bytes_per_s": 4}, {"count": 1}
    )
    case.held("two orders of A are to be created anew", rig.run(lambda v: withdraw(v, A)) == 2)
    case.until_hit(trickle, 10.0)
    rig.until("the end of the call", lambda v: given_up(v, case.mark), 5.0)
    case.measured("B07 call", rig.run(lambda v: given_up(v, case.mark)) / 1_000)
    made = rig.run(lambda v: {o.client_order_id for o in resting(v, A)})
    case.held("the orders rest", len(made) == 2)
    rig.until_status(
        "both known",
        lambda s: made <= {o["client_order_id"] for o in s["open_orders"] if o["state"] == "resting"},
        40.0,
    )
    assert rig.run(lambda v: {o.client_order_id for o in resting(v, A)}) == made


def given_up(venue: Venue, after: int) -> int:
    """After how many milliseconds the client had gone from the call that trickled, 0 while it has not."""
    entries = venue.journal.after(after)
    struck = next(e["request"] for e in entries if e["kind"] == "fault" and e["fault"] == "http.body")
    arrived = next(int(e["at_ms"]) for e in entries if e["n"] == struck)
    gone = (int(e["at_ms"]) for e in entries if e["kind"] == "gone" and e["request"] == struck)
    return max(next(gone, 0) - arrived, 0)


def assert_it_lives_with_slow_calls(case: Case, rig: Rig, seconds: float) -> None:
    """Every call takes 1.8 s: the beat goes on, cancels get through, and what can be is quoted."""
    case.arm("http.delay", {"method": "*"}, {"phase": "before_apply", "ms": 1_800})
    case.held("eight quotes rest", len(rig.run(ids)) == 8)
    ticks = int(rig.status()["counts"]["ticks"])
    begun = time.monotonic()
    quoted = looks = 0
    while time.monotonic() < begun + seconds / 2:
        quoted += len(rig.run(ids))
        looks += 1
        time.sleep(0.5)
    assert quoted > 4 * looks, "at least half of the quotes"
    rig.edit(B, "enabled", {"BOOL": False})
    assert rig.withdrawn(B, seconds=12.0) < 8.0, "the edit is read within 3 s, the cancels take 2"
    rig.edit(B, "enabled", {"BOOL": True})
    rig.quoting(B, seconds=30.0)
    time.sleep(max(begun + seconds - time.monotonic(), 0.0))
    status = rig.status()
    case.measured("B07 tick", status["tick_ms"]["max"] / 1_000)
    beats = (status["counts"]["ticks"] - ticks) / (time.monotonic() - begun)
    assert beats > 1.0, "the tick goes on beside its calls"
    assert status["halts"] == []
    case.disarm()
    rig.quoting(seconds=20.0)


@pytest.mark.fault("F52")
def test_with_calls_of_nearly_two_seconds_the_tick_keeps_its_second(case: Case, rig: Rig) -> None:
    """Guard: `PATIENCE_S`: the tick waits 0.7 s for a write and takes its end in when it comes."""
    assert_it_lives_with_slow_calls(case, rig, 60.0)


@pytest.mark.nightly
@pytest.mark.timeout(800)
@pytest.mark.fault("F52")
def test_ten_minutes_of_calls_of_nearly_two_seconds_are_lived_with(case: Case, rig: Rig) -> None:
    """Guard: as above."""
    assert_it_lives_with_slow_calls(case, rig, 600.0)


@pytest.mark.fault("F48")
def test_writes_that_are_all_too_many_are_tried_in_the_pace_of_the_refill(case: Case, rig: Rig) -> None:
    """Guard: a market rests after refusals (COOL_MS and FREEZE_AFTER); without it 168 tries. Cancels go with every beat."""
    case.arm("http.status", {"method": "POST", "path": ORDERS}, TOO_MANY)
    case.arm("http.status", {"method": "DELETE", "path": ORDERS}, TOO_MANY)
    mark = rig.run(lambda v: v.journal.last)
    case.held("two orders of A are to be created anew", rig.run(lambda v: withdraw(v, A)) == 2)
    rig.move(B, 4_200, 5_700)
    time.sleep(30.0)
    tried = [r for r in case.history(mark).requests if r.method in ("POST", "DELETE")]
    assert {r.status for r in tried} == {429}
    assert 5 <= len(tried) <= 90, "no storm"
    case.disarm()
    begun = time.monotonic()
    rig.move(B, 4_700, 5_200)
    rig.quoting(seconds=20.0)
    assert time.monotonic() - begun < 20.0
    assert rig.status()["halts"] == []
