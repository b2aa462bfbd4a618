"""F27–F38: a feed that loses, delays, twists or ends; quotes only ever rest on books that are proven."""

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from dora_bot.models import Level, Side
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, arrivals, resting
from tests.faults.case import Case

pytestmark = pytest.mark.process

NAMES = [f"KXFEED-26NOV20-M{n:02d}" for n in range(30)]
QUOTED = NAMES[:3]
SILENT = NAMES[-1]
"""Watched like the others and never quoted: its book moves where a frame is wanted and nothing of ours shall move."""
BOOKS = {"channel": "orderbook_delta"}
SNAPSHOTS = {"type": "orderbook_snapshot"}


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    """One subscription of 30 markets, of which three are quoted; the ask of each stands far from the bid."""
    rig = make_rig([StaticMarket(t, bids=[Level(3_000, 10_000)], asks=[Level(6_200, 10_000)]) for t in NAMES])
    rig.configure(*NAMES[3:], enabled=False)
    rig.configure(*QUOTED)
    rig.start()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> Iterator[None]:
    """Each test begins on a socket that is up, with both sides of the three markets resting."""
    if not rig.bot.alive:
        rig.start()
    rig.until_status("the socket in use", lambda s: s["feed"] == "ws" and not unproven(s), 30.0)
    rig.quoting(*QUOTED, seconds=40.0)
    yield
    rig.disarm()


def unproven(status: dict[str, object]) -> set[str]:
    markets: dict[str, dict[str, object]] = status["markets"]  # type: ignore[assignment]  # as INTERFACES has it
    return {ticker for ticker, market in markets.items() if not market["proven"]}


def shift(rig: Rig, ticker: str = SILENT, times: int = 1) -> None:
    """The book of a market moves away and back, so often."""
    for n in range(times):
        rig.move(ticker, 3_100 if n % 2 == 0 else 3_000, 6_200)


def all_rest(rig: Rig, case: Case) -> None:
    case.held("six quotes rest", len(rig.run(resting)) == 6)


def gone_after(rig: Rig, seconds: float) -> float:
    """Wait until nothing of ours rests. Returns how long it took."""
    return rig.withdrawn(*QUOTED, seconds=seconds)


def frames(venue: Venue, after: int, kind: str, ticker: str) -> list[int]:
    """When frames of a kind about a market left, in exchange time."""
    return [
        int(e["at_ms"])
        for e in venue.journal.after(after)
        if e["kind"] == "frame" and e["type"] == kind and e["ticker"] == ticker and not e["dropped"]
    ]


@pytest.mark.short
@pytest.mark.fault("F27")
def test_one_lost_delta_costs_all_thirty_books_their_proof_until_their_snapshots(
    case: Case, rig: Rig
) -> None:
    """Guard: `FeedSession._count` takes a number that is not the next one for a loss."""
    all_rest(rig, case)
    case.held("30 books are proven", not unproven(rig.status()) and len(rig.status()["markets"]) == 30)
    lost = case.arm("ws.drop", {**BOOKS, "type": "orderbook_delta"}, {}, {"count": 1})
    answers = case.arm("ws.drop", SNAPSHOTS, {"seq": "unspent"})
    shift(rig)
    case.measured("B02 sent", gone_after(rig, 3.0))
    rig.until_status("all unproven", lambda s: unproven(s) == set(NAMES), 2.0)
    case.disarm(lost, answers)
    # Each book was asked for again at the latest 3 s after the last try.
    assert rig.quoting(*QUOTED, seconds=10.0) < 5.0
    rig.until_status("all proven", lambda s: not unproven(s), 10.0)


@pytest.mark.fault("F27")
def test_where_the_snapshots_come_at_once_a_lost_delta_costs_nothing_else(case: Case, rig: Rig) -> None:
    """Guard: `FeedSession.resync` asks for the snapshots. The book that is believed is the exchange's."""
    all_rest(rig, case)
    new_best_bid = 3  # of the four changes: both old quotes go, the new bid comes, then the new ask
    case.arm("ws.drop", {**BOOKS, "ticker": QUOTED[0]}, {}, {"nth": new_best_bid})
    rig.move(QUOTED[0], 3_300, 6_000)
    begun = time.monotonic()
    rig.until_status(
        "the moved book",
        lambda s: (
            (s["markets"][QUOTED[0]].get("bid"), s["markets"][QUOTED[0]].get("ask")) == ("0.3300", "0.6000")
        ),
        5.0,
    )
    rig.quoting(*QUOTED, seconds=5.0)
    assert time.monotonic() - begun < 5.0
    rig.move(QUOTED[0], 3_000, 6_200)


@pytest.mark.short
@pytest.mark.fault("F30")
def test_on_a_dead_line_without_rest_quotes_are_gone_seven_seconds_after_the_last_word(
    case: Case, rig: Rig
) -> None:
    """Guard: the feed takes the line for dead when no pong came for `DEAD_MS`; the books by REST hang, too."""
    all_rest(rig, case)
    hang = case.arm("http.drop_reply", {"op": "book"}, {"phase": "before_apply", "how": "hang"})
    shift(rig)  # these frames are the last word
    case.arm("ws.half_open")
    took = gone_after(rig, 9.0)
    assert took > 2.5, "a content check that is not answered tells after 3 s, a line without pongs after 5"
    case.measured("B02", took)
    case.until_hit(hang, 10.0)
    case.disarm()
    begun = time.monotonic()
    rig.until_status("a new connection", lambda s: s["feed"] == "ws", 15.0)
    rig.quoting(*QUOTED, seconds=15.0)
    case.measured("L03 feed", time.monotonic() - begun)


@pytest.mark.fault("F30")
def test_on_a_dead_line_with_rest_the_quotes_rest_on_books_read_by_rest(case: Case, rig: Rig) -> None:
    """Guard: `RestFeed` stands in while the socket is down."""
    all_rest(rig, case)
    case.arm("ws.refuse", params={"status": 502})
    case.arm("ws.half_open")
    rig.until_status("rest in use", lambda s: s["feed"] == "rest", 8.0)
    rig.move(QUOTED[1], 3_400, 6_000)
    rig.until("quotes by the moved book", lambda v: best_bid_of_ours(v, QUOTED[1]) == 3_500, 5.0)
    rig.quoting(*QUOTED, seconds=5.0)
    rig.until("a refused upgrade", lambda v: sum(f["hits"] for f in v.faults.bodies()) >= 2, 12.0)
    assert not [r for r in case.history().requests if r.status == 429], "within the read budget"
    case.disarm()
    rig.until_status("the socket again", lambda s: s["feed"] == "ws", 15.0)
    rig.move(QUOTED[1], 3_000, 6_200)


def best_bid_of_ours(venue: Venue, ticker: str) -> int:
    return max((o.price_e4 for o in resting(venue, ticker) if o.side is Side.BID), default=0)


def assert_quotes_stay_for(case: Case, rig: Rig, seconds: float) -> None:
    """Nothing changes for so long: every quote stays, and what the bot does to know that is counted."""
    all_rest(rig, case)
    ours = {o.order_id for o in rig.run(resting)}
    case.arm("flow.quiet")
    mark = rig.run(lambda v: v.journal.last)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert {o.order_id for o in rig.run(resting)} == ours
        time.sleep(0.5)
    seen = rig.run(lambda v: frames(v, mark, "orderbook_snapshot", NAMES[7]))
    assert len(seen) >= int(seconds / 20) - 1, "a content check every 20 s"
    for earlier, later in pairwise(seen):
        case.measured("B03", (later - earlier) / 1_000)
    reads = rig.run(lambda v: arrivals(v, "GET", "/markets/orderbooks", mark))
    assert reads <= 2 + seconds / 300, "a REST check every five minutes"
    assert not unproven(rig.status())
    assert rig.status()["feed"] == "ws"


@pytest.mark.short
@pytest.mark.fault("F31")
def test_a_quiet_book_keeps_its_quotes_and_is_checked_all_the_same(case: Case, rig: Rig) -> None:
    """Guard: `PING_MS`; without pings of its own the feed takes a quiet line for dead (FAULTS L05)."""
    assert_quotes_stay_for(case, rig, 62.0)


@pytest.mark.nightly
@pytest.mark.timeout(700)
@pytest.mark.fault("F31")
def test_a_book_that_is_quiet_for_ten_minutes_keeps_its_quotes(case: Case, rig: Rig) -> None:
    """Guard: as above."""
    assert_quotes_stay_for(case, rig, 600.0)


@pytest.mark.parametrize("code", [25, 10])
@pytest.mark.fault("F32")
def test_a_subscription_that_the_exchange_ends_proves_nothing_any_more(
    case: Case, rig: Rig, code: int
) -> None:
    """Guard: `FeedSession._ended` loses the books of a sid that was ended while the socket lives."""
    all_rest(rig, case)
    answers = case.arm("ws.drop", SNAPSHOTS, {"seq": "unspent"})
    opened = connections(rig)
    case.arm("ws.terminal", BOOKS, {"code": code})
    case.measured("B02 sent", gone_after(rig, 3.0))
    case.disarm(answers)
    rig.quoting(*QUOTED, seconds=15.0)
    assert connections(rig) == opened, "the socket lived on"


def connections(rig: Rig) -> int:
    return rig.run(lambda v: len([e for e in v.journal.after(0, 1_000_000) if e["kind"] == "ws_open"]))


@pytest.mark.fault("F32")
def test_a_subscription_that_falls_silent_without_a_word_is_found_by_its_audit(case: Case, rig: Rig) -> None:
    """Guard: `FeedSession.poll` loses the books whose audit snapshot was not answered."""
    all_rest(rig, case)
    case.arm("ws.silence", BOOKS, {"scope": "sid", "keep_pings": True, "keep_pongs": True})
    rig.move(QUOTED[0], 2_500, 6_200)
    case.held("the book of before is believed", rig.status()["markets"][QUOTED[0]]["bid"] == "0.3000")
    took = gone_after(rig, 30.0)
    assert took > 2.0, "no frame told"
    case.measured("B03", took)
    rig.move(QUOTED[0], 3_000, 6_200)
    case.disarm()


@pytest.mark.short
@pytest.mark.fault("F34")
def test_a_ladder_of_the_other_leg_is_contradicted_by_rest(case: Case, rig: Rig) -> None:
    """Guard: `Books._compare`: after two REST reads that differ only a REST read that agrees lets it be quoted."""
    all_rest(rig, case)
    case.arm("ws.mirror_no", BOOKS)
    case.arm("ws.close")
    begun = time.monotonic()
    rig.until_status("the mirrored ask", lambda s: s["markets"][QUOTED[0]].get("ask") == "0.3800", 15.0)
    gone_after(rig, 30.0)
    rig.until_status("all frozen", lambda s: unproven(s) == set(NAMES), 30.0)
    case.measured("B03", time.monotonic() - begun)
    mark = rig.run(lambda v: v.journal.last)
    assert "book contradicted" in {line.get("message") for line in rig.bot.log()}
    time.sleep(6.0)  # snapshots and audits of the feed itself agree with each other all the while
    assert not rig.run(lambda v: [e for e in v.journal.after(mark) if e.get("method") == "POST"])
    case.disarm()
    rig.quoting(*QUOTED, seconds=30.0)


def assert_cuts_are_borne(case: Case, rig: Rig, cuts: int, seconds: float) -> None:
    """The line is accepted and closed after 200 ms so many times within these seconds; then it is refused with 502."""
    all_rest(rig, case)
    flap = case.arm("ws.refuse", params={"after_ms": 200, "code": 1011})
    case.arm("ws.close")
    case.until_hit(flap, seconds, cuts)
    case.disarm(flap)
    bad = case.arm("ws.refuse", params={"status": 502})
    case.until_hit(bad, 30.0, 2)
    tries = [e["at_ms"] for e in case.history().entries if e["kind"] == "fault" and e["fault"] == "ws.refuse"]
    assert all(later - earlier >= 5_000 for earlier, later in pairwise(tries[-max(cuts - 10, 2) :]))
    assert not [r for r in case.history().requests if r.status == 429]
    case.disarm()
    begun = time.monotonic()
    rig.until_status("the socket again", lambda s: s["feed"] == "ws", 15.0)
    rig.quoting(*QUOTED, seconds=15.0)
    case.measured("L03 feed", time.monotonic() - begun)


@pytest.mark.fault("F36")
def test_a_line_that_is_cut_again_and_again_is_tried_ever_more_seldom(case: Case, rig: Rig) -> None:
    """Guard: `MarketFeed._pause_s`; cut lines, then bad gateways: the tries are ≥ 5 s apart, no read is refused."""
    assert_cuts_are_borne(case, rig, 5, 30.0)


@pytest.mark.nightly
@pytest.mark.timeout(1_300)
@pytest.mark.fault("F36")
def test_a_line_that_is_cut_a_hundred_times_is_tried_no_more_often(case: Case, rig: Rig) -> None:
    """Guard: as above."""
    assert_cuts_are_borne(case, rig, 100, 1_100.0)


@pytest.mark.short
@pytest.mark.fault("F38")
def test_frames_that_come_late_prove_nothing_though_they_keep_coming(case: Case, rig: Rig) -> None:
    """Guard: `MarketFeed._judge_age` holds a frame's stamp against the exchange's clock."""
    all_rest(rig, case)
    late = case.arm("ws.delay", BOOKS, {"ms": 8_000, "stamp": "early"})
    begun = time.monotonic()
    while time.monotonic() < begun + 8.0:
        shift(rig)
        time.sleep(0.4)
    case.measured("B02 sent", gone_after(rig, 5.0))
    shift(rig)
    assert not rig.run(resting)
    case.disarm(late)
    rig.quoting(*QUOTED, seconds=25.0)


@pytest.mark.fault("F37")
def test_a_key_that_the_socket_refuses_halts_after_three_tries(case: Case, rig: Rig) -> None:
    """Guard: `REFUSALS`; each try is signed anew."""
    all_rest(rig, case)
    refused = case.arm("ws.refuse", params={"status": 401})
    case.arm("ws.close")
    begun = time.monotonic()
    halted = rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 20.0)
    gone_after(rig, 5.0)
    case.measured("B01 clean", time.monotonic() - begun)
    assert "WebSocket" in halted["halts"][0]["reason"]
    assert case.hits_of(refused) == 3
    time.sleep(3.0)
    assert case.hits_of(refused) == 3
    case.disarm()
    rig.bot.stop()
    for halt in halted["halts"]:
        rig.resume(halt["halt_id"])
