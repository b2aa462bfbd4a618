"""F07, F08: the exchange says no, for a while or again and again, and is not asked without end."""

import itertools
import time

import pytest

from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, quotes, resting, until, withdraw
from tests.faults.case import Case
from tests.faults.predicates import History

pytestmark = pytest.mark.process

A, B = "KXREFUSE-26NOV20-A", "KXREFUSE-26NOV20-B"
STATUS = "/trade-api/v2/exchange/status"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    rig.start()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> None:
    """Each test begins with both sides of both markets resting."""
    rig.quoting(seconds=60.0)


def exposure_writes(history: History) -> list[int]:
    return [r.at_ms for r in history.requests if r.is_exposure]


def creates_after(history: History, fault: str, ticker: str) -> list[int]:
    """When orders of a market were sent once the fault had struck."""
    struck = next(e["n"] for e in history.entries if e["kind"] == "fault" and e["fault"] == fault)
    return [r.at_ms for r in history.requests if r.creates and ticker in r.tickers and r.n > struck]


def paused_for_a_while(case: Case, rig: Rig, kind: str, seconds: float) -> None:
    """One pause of this kind, begun with nothing of ours at the exchange, so that creates meet it."""
    rig.quoting(seconds=30.0)
    mark = rig.run(lambda v: v.journal.last)
    pause = case.arm(kind, {}, {"keep_orders": False})
    rig.run(withdraw)
    case.until_hit(pause, 5.0)
    begun = time.monotonic()
    until("creates", lambda: exposure_writes(case.history(mark)), 5.0)
    rig.until_status("PAUSED", lambda s: s["posture"] == "PAUSED", 7.0)
    known = rig.run(lambda v: v.journal.last)
    case.held(f"{kind}: nothing rests", not rig.run(resting))
    time.sleep(seconds - (time.monotonic() - begun))  # what is looked for is what does not happen meanwhile
    assert exposure_writes(case.history(known)) == []
    probes = [r.at_ms for r in case.history(known).requests if r.path == STATUS]
    assert all(later - earlier >= 9_500 for earlier, later in itertools.pairwise(probes))
    storm = exposure_writes(case.history(mark))
    assert len(storm) <= 6, f"{len(storm)} exposure writes into a pause"
    for ticker in (A, B):
        tries = creates_after(case.history(mark), kind, ticker)
        assert all(later - earlier >= 2_950 for earlier, later in itertools.pairwise(tries)), tries
    case.disarm(pause)
    rig.run(lambda v: v.engine.pause("exchange" if "exchange" in kind else "trading", v.now_ms(), on=False))


@pytest.mark.fault("F07")
def test_pauses_are_waited_out_with_few_questions(case: Case, rig: Rig) -> None:
    """Guards: a 409 of a pause rests the market (`_PAUSE` in refusals); PAUSED_MS in keeper."""
    paused_for_a_while(case, rig, "mkt.pause", 22.0)
    paused_for_a_while(case, rig, "mkt.exchange_pause", 8.0)
    assert sum(r.path == STATUS for r in case.history().requests) >= 3
    rig.quoting(seconds=20.0)
    assert rig.status()["halts"] == []


@pytest.mark.fault("F08")
def test_a_post_only_cross_is_final_and_rarely_repeated(case: Case, rig: Rig) -> None:
    """Guard: CROSSES in refusals; without it the exchange is asked once a second."""
    begun = time.monotonic()
    when = {"until_ms": 25_000}
    ghost = case.arm("eng.post_only_ghost", {"op": "batch_create", "ticker": A}, {"ms": 2_000}, when)
    case.held("both sides of A are to be created anew", rig.run(lambda v: withdraw(v, A)) == 2)
    case.until_hit(ghost, 15.0, times=3)
    time.sleep(20.0)  # what is looked for is what does not happen meanwhile
    tries = [r for r in case.history().requests if r.creates and A in r.tickers]
    refused = [r for r in tries if not r.learnt_ms]  # a busy machine may lose one to the deadline of 2 s
    assert 2 <= len(refused) <= 3
    assert all(later.at_ms - earlier.at_ms >= 1_000 for earlier, later in itertools.pairwise(tries))
    frames = [e for e in case.history().entries if e["kind"] == "frame" and e["type"] == "user_order"]
    case.held("the canceled frames came after the refusals", any(e["n"] > tries[0].n for e in frames))
    rig.quoting(A, seconds=60.0)
    assert time.monotonic() - begun > 55.0
    bid, ask = rig.run(lambda v: quotes(v, A))
    best = rig.run(lambda v: best_of_the_house(v, A))
    assert best[0] < ask
    assert bid < best[1]


def best_of_the_house(venue: Venue, ticker: str) -> tuple[int, int]:
    book = venue.engine.book(ticker)
    return max(price for price, _ in book.bids), min(price for price, _ in book.asks)
