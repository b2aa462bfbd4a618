"""F01–F06, F10, F12–F14, F16: order writes whose replies are lost, late, held or damaged, and writes that never left.

Each test was seen to fail with the guard that its docstring names taken out.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.gate import Gate
from tests.e2e.rig import Rig, quotes, resting, until, withdraw
from tests.faults.case import Case
from tests.faults.predicates import Request

pytestmark = pytest.mark.process

A, B = "KXWRITE-26NOV20-A", "KXWRITE-26NOV20-B"
CREATE_A = {"op": "batch_create", "ticker": A}
CREATE_B = {"op": "batch_create", "ticker": B}
AMEND_A = {"op": "amend", "ticker": A}
ONCE = {"count": 1}
APPLIED, UNAPPLIED = {"phase": "after_apply"}, {"phase": "before_apply"}


@pytest.fixture(scope="module")
def gate(make_rig: MakeRig) -> Iterator[tuple[Gate, Rig]]:
    """The rig, with a door before its REST port only: the feed stays up when it shuts."""
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    with Gate(int(rig.server.here.rest_url.split(":")[2].split("/")[0])) as gate:
        path = rig.server.here.rest_url.split("/", 3)[3]
        rig.environ["DORA_KALSHI_REST_URL"] = f"http://127.0.0.1:{gate.port}/{path}"
        yield gate, rig


@pytest.fixture(scope="module")
def rig(gate: tuple[Gate, Rig]) -> Rig:
    """One bot quotes two markets of two shards through all of these tests."""
    rig = gate[1]
    rig.configure()
    rig.start()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig) -> None:
    """Each test begins with both sides of both markets resting."""
    if not rig.bot.alive:
        rig.start()
    rig.quoting(seconds=60.0)


def ids(rig: Rig, ticker: str) -> set[str]:
    return {order.client_order_id for order in rig.run(lambda v: resting(v, ticker))}


def until_adopted(rig: Rig, wanted: set[str], seconds: float) -> None:
    """Until the bot says of each that it rests."""
    rig.until_status(
        "adopted",
        lambda s: wanted <= {o["client_order_id"] for o in s["open_orders"] if o["state"] == "resting"},
        seconds,
    )


def denied(rig: Rig, ticker: str) -> int:
    """How many creates of the market the bot says never left."""
    lines = [
        line for line in rig.bot.log() if (line.get("action"), line.get("market_id")) == ("place", ticker)
    ]
    return sum(line["outcome"] == "denied_locally" and line["code"] != "gate" for line in lines)


def creates(case: Case, ticker: str) -> list[Request]:
    return [r for r in case.history().requests if r.creates and ticker in r.tickers]


def amends(case: Case, ticker: str) -> list[Request]:
    return [r for r in case.history().requests if r.amends and ticker in r.tickers]


def lose_creates(case: Case, rig: Rig, fault_id: str, ticker: str) -> float:
    """Both orders of the market go, and the creates that follow meet the fault. Returns when."""
    case.held(f"both sides of {ticker} are to be created anew", rig.run(lambda v: withdraw(v, ticker)) == 2)
    case.until_hit(fault_id, 10.0)
    return time.monotonic()


@pytest.mark.short
@pytest.mark.fault("F01")
def test_a_create_whose_reply_is_reset_is_found_and_adopted(case: Case, rig: Rig) -> None:
    """Guard: a call whose bytes have left is *unknown* when it fails (`_failed` in exchange_client)."""
    lost = case.arm("http.drop_reply", CREATE_A, APPLIED, ONCE)
    begun = lose_creates(case, rig, lost, A)
    made = ids(rig, A)
    case.held("the orders rest although nobody was told", len(made) == 2)
    until_adopted(rig, made, 40.0)
    case.measured("B04", time.monotonic() - begun)
    assert ids(rig, A) == made
    assert len(creates(case, A)) == 1
    rig.hit(A, Side.ASK, 1)


@pytest.mark.fault("F02")
def test_a_create_that_never_left_is_forgotten_and_tried_again(
    case: Case, rig: Rig, gate: tuple[Gate, Rig]
) -> None:
    """An intent that never left is over: the next try is a new one. Guard: `_failed` asks whether a byte was sent."""
    door = gate[0]
    door.leave()
    case.held("both sides of A are to be created anew", rig.run(lambda v: withdraw(v, A)) == 2)
    until("creates that found nobody", lambda: denied(rig, A) >= 4, 10.0, rig.bot.last_words)
    case.struck("connection refused", denied(rig, A))
    assert not ids(rig, A)
    door.open()
    begun = time.monotonic()
    # Taken for unknown, it would keep the market frozen for the 30 s in which a signature is good.
    rig.quoting(A, seconds=10.0)
    case.measured("B04", time.monotonic() - begun)
    assert len(creates(case, A)) == 1


@pytest.mark.fault("F03")
def test_a_5xx_on_a_create_is_unknown_whether_or_not_it_was_applied(case: Case, rig: Rig) -> None:
    """Guard: 5xx is not among the statuses that refuse (`_REFUSING_STATUS` in kalshi_outcomes)."""
    applied = case.arm("http.status", CREATE_A, {**APPLIED, "code": 503}, ONCE)
    unapplied = case.arm("http.status", CREATE_B, {**UNAPPLIED, "code": 504}, ONCE)
    begun = lose_creates(case, rig, applied, A)
    made = ids(rig, A)
    case.held("A's orders rest although the reply was 503", len(made) == 2)
    lost = lose_creates(case, rig, unapplied, B)
    case.held("B's orders do not rest", not ids(rig, B))
    until_adopted(rig, made, 10.0)
    case.measured("B04", time.monotonic() - begun)
    rig.quoting(B, seconds=41.0)
    case.measured("B04", time.monotonic() - lost)
    assert time.monotonic() - lost > 30.0
    assert ids(rig, A) == made
    assert [len(creates(case, ticker)) for ticker in (A, B)] == [1, 2]


@pytest.mark.fault("F04")
def test_a_create_answered_after_5_s_is_given_up_at_2_and_its_order_adopted(case: Case, rig: Rig) -> None:
    """Guard: the deadline over the whole call (`http_transport`); with 6 s instead of 2 the bound breaks."""
    late = case.arm("http.delay", CREATE_A, {**APPLIED, "ms": 5_000}, ONCE)
    hanging = case.arm("http.drop_reply", CREATE_B, {**APPLIED, "how": "hang"}, ONCE)
    begun = lose_creates(case, rig, late, A)
    made = ids(rig, A)
    case.held("the orders rest although nobody was told", len(made) == 2)
    until_adopted(rig, made, 10.0)
    case.measured("B04", time.monotonic() - begun)
    lose_creates(case, rig, hanging, B)
    rig.until("the client gone", lambda v: any(e["kind"] == "gone" for e in v.journal.after(case.mark)), 10.0)
    (arrived,) = creates(case, B)
    (gone,) = [e for e in case.history().entries if e["kind"] == "gone" and e["request"] == arrived.n]
    case.measured("B07 call", (gone["at_ms"] - arrived.at_ms) / 1_000)
    until_adopted(rig, ids(rig, B), 10.0)
    until("the late reply", lambda: creates(case, A)[0].status == 201, 6.0)
    assert rig.status()["halts"] == []
    assert ids(rig, A) == made


@pytest.mark.fault("F05")
def test_a_create_held_in_the_network_is_waited_for_and_adopted_when_it_lands(case: Case, rig: Rig) -> None:
    """Guard: SIGNATURE_WINDOW_MS in `own_orders.read`; with 2.5 s instead a second pair of orders appears."""
    held = case.arm("http.hold_request", CREATE_A, {"ms": 8_000}, ONCE)
    lose_creates(case, rig, held, A)
    reads = rig.status()["counts"]["risk_reads"]
    rig.until_status("a read that truthfully lacks it", lambda s: s["counts"]["risk_reads"] > reads, 7.0)
    case.held("nothing of A rests when it is read", not ids(rig, A))
    rig.quoting(A, seconds=12.0)
    landed = time.monotonic()
    made = ids(rig, A)
    until_adopted(rig, made, 10.0)
    case.measured("B04", 6.0 + time.monotonic() - landed)  # unknown since 2 s, landed after 8
    assert ids(rig, A) == made
    assert len(creates(case, A)) == 1


@pytest.mark.fault("F06")
def test_a_create_said_to_exist_already_is_looked_up_and_adopted(case: Case, rig: Rig) -> None:
    """Guard: 409 `order_already_exists` is not a refusal (`_not_accepted` in kalshi_outcomes)."""
    params = {**APPLIED, "code": 409, "error": "order_already_exists"}
    exists = case.arm("http.status", CREATE_A, params, ONCE)
    refused = rig.status()["counts"]["refused"]
    begun = lose_creates(case, rig, exists, A)
    made = ids(rig, A)
    case.held("the orders exist", len(made) == 2)
    until_adopted(rig, made, 40.0)
    case.measured("B04", time.monotonic() - begun)
    assert rig.status()["counts"]["refused"] == refused
    assert len(creates(case, A)) == 1


SPOILT: dict[str, tuple[str, dict[str, Any]]] = {
    "cut": ("http.body", {"how": "truncate"}),
    "garbage": ("http.body", {"how": "garbage"}),
    "shorter than announced": ("http.body", {"how": "wrong_length"}),
    "html": ("http.status", {**APPLIED, "code": 201, "shape": "html"}),
    "empty": ("http.status", {**APPLIED, "code": 201, "shape": "empty"}),
}


@pytest.mark.fault("F10")
@pytest.mark.parametrize("how", SPOILT)
def test_a_201_that_cannot_be_read_is_unknown(case: Case, rig: Rig, how: str) -> None:
    """Guard: an unreadable body of a batch is unknown (`_batch` in kalshi_outcomes)."""
    kind, params = SPOILT[how]
    spoilt = case.arm(kind, CREATE_A, params, ONCE)
    refused = rig.status()["counts"]["refused"]
    begun = lose_creates(case, rig, spoilt, A)
    made = ids(rig, A)
    case.held("the orders rest although the reply says nothing", len(made) == 2)
    until_adopted(rig, made, 40.0)
    case.measured("B04", time.monotonic() - begun)
    assert rig.status()["counts"]["refused"] == refused
    assert len(creates(case, A)) == 1


def pause_a_and_withdraw_b(venue: Venue) -> None:
    venue.engine.pause("trading", venue.now_ms(), on=True, shard=0)
    withdraw(venue, B)


@pytest.mark.fault("F12")
def test_items_of_a_batch_are_matched_by_id_and_a_missing_one_is_unknown(case: Case, rig: Rig) -> None:
    """B's items succeed and A's are refused in one batch. Guards: `by_key` and `times[key] != 1` in kalshi_outcomes."""
    for how in ("omit_item", "shuffle_items"):
        rig.quoting(seconds=20.0)
        time.sleep(1.2)  # a market that was just written to would wait, and come in a later batch
        mark = rig.run(lambda v: v.journal.last)
        damage = case.arm("http.body", {"op": "batch_create"}, {"how": how}, ONCE)
        # A's shard pauses and loses its orders with it: its items come back as refused.
        rig.run(pause_a_and_withdraw_b)
        case.until_hit(damage, 10.0)
        rig.run(lambda v: v.engine.pause("trading", v.now_ms(), on=False, shard=0))
        batch = next(r for r in case.history(mark).requests if r.creates)
        case.held(f"{how}: one batch of both markets", batch.tickers == {A, B})
        made = ids(rig, B)
        case.held(f"{how}: B's two rest", len(made) == 2)
        until_adopted(rig, made, 40.0)
        assert ids(rig, B) == made
        rig.quoting(seconds=50.0)
        case.disarm(damage)


@pytest.mark.fault("F13")
def test_every_item_of_a_batch_cut_in_half_is_unknown(case: Case, rig: Rig) -> None:
    """Guards: no write while one's fate is unknown (`_on_hold`), no create beside a live order (`_side` in order_diff); each
    alone holds this.
    """
    half = case.arm("eng.batch_part", CREATE_A, {"n": 1}, ONCE)
    lost = case.arm("http.drop_reply", CREATE_A, APPLIED, ONCE)
    begun = lose_creates(case, rig, lost, A)
    made = ids(rig, A)
    case.held("one of the two was applied", len(made) == 1)
    assert case.hits_of(half) == 1
    until_adopted(rig, made, 10.0)
    rig.quoting(A, seconds=41.0)
    case.measured("B04", time.monotonic() - begun)
    # The one that was adopted may have ended by itself meanwhile: on hold nothing is renewed.
    assert len(ids(rig, A)) == 2
    first, second = creates(case, A)
    assert second.at_ms - first.at_ms > 30_000


@pytest.mark.fault("F14")
def test_an_amend_whose_reply_is_lost_counts_at_its_worst_until_the_order_is_seen(
    case: Case, rig: Rig
) -> None:
    """Guard: an amend that failed in the network is unknown (`_failed` in exchange_client)."""
    lost = case.arm("http.drop_reply", {**AMEND_A, "side": "bid"}, APPLIED, ONCE)
    made = ids(rig, A)
    bid, ask = rig.run(lambda v: quotes(v, A))
    rig.move(A, 4_400, 5_500)
    case.until_hit(lost, 10.0)
    begun = time.monotonic()
    case.held("the bid was moved although nobody was told", rig.run(lambda v: quotes(v, A))[0] != bid)
    until_adopted(rig, made, 40.0)
    case.measured("B04", time.monotonic() - begun)
    assert sum(item["side"] == "bid" for r in amends(case, A) for item in r.items) == 1
    rig.move(A, 4_700, 5_200)
    rig.until("both quotes back", lambda v: quotes(v, A) == (bid, ask), 10.0)
    assert ids(rig, A) == made
    assert not creates(case, A)


@pytest.mark.short
@pytest.mark.fault("F16")
def test_a_fill_that_overtakes_the_create_reply_is_booked_once_under_its_order(case: Case, rig: Rig) -> None:
    """Guards: a fill is booked once (`_fill_keys` in state_manager), and finds its order by either id (`OrderStore`)."""
    filled = case.arm("eng.fill_before_reply", CREATE_A, {"share": 0.4}, ONCE)
    case.arm("ws.order", CREATE_A, {"how": "fill_before_reply", "ms": 400}, ONCE)
    before = rig.fills()
    lose_creates(case, rig, filled, A)
    begun = time.monotonic()
    made = {fill.order_id for fill in rig.run(lambda v: v.engine.fills("trader"))[before:]}
    case.held("both orders were filled before the reply", len(made) == 2)
    fills = rig.fills()
    (create,) = creates(case, A)
    frames = [e for e in case.history().entries if e["kind"] == "frame" and e["type"] == "fill"]
    until("the reply", lambda: creates(case, A)[0].status == 201, 5.0)
    case.held(
        "the fills' frames left before the reply",
        frames and frames[0]["at_ms"] < creates(case, A)[0].ended_ms,
    )
    rig.until_status("the fills counted", lambda s: len(s["fills"]) >= min(fills, 10), 10.0)
    until("two rows", lambda: booked_under(rig, create) == 2, 10.0)
    case.measured("B10", time.monotonic() - begun)
    assert booked_under(rig, create) == 2


def booked_under(rig: Rig, create: Request) -> int:
    """How many fills the trade log has under the client order ids of a create."""
    from dora_bot.items import TRADE_LOG  # noqa: PLC0415  (one use)

    sent = {item["client_order_id"] for item in create.items}
    return sum(r["status"] == "filled" and r.get("client_order_id") in sent for r in rig.db.scan(TRADE_LOG))
