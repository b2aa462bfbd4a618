"""The conversation on one connection: what is asked, what is passed on, and what puts books in doubt."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_bot.events import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FeeChange,
    FeesAnnounced,
    FillSeen,
    GroupSeen,
    LifecycleSeen,
    OrderSeen,
    PositionSeen,
    PublicTrade,
    TickerSeen,
)
from dora_bot.feed_session import ACCOUNT_CHANNELS, ANSWER_MS, MARKET_CHANNELS, FeedSession
from dora_bot.models import ExchangePosition, Instant, Level, Side
from dora_bot.order_book import Books
from tests.fakes.feed_server import FeedServer

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MLB = SHARED / "ws_mlb_verbatim" / "ws_orderbook_stream.json.gz"
A, B = "KXT-A", "KXT-B"
BOOK = "orderbook_delta"


def opened(*tickers: str) -> tuple[FeedServer, list[object]]:
    """A session whose subscriptions are all answered, and the events that came of it."""
    session = FeedSession()
    session.opened(tickers, 0)
    server = FeedServer(session)
    return server, server.serve()


def lost(events: list[object]) -> list[str]:
    return [ticker for event in events if isinstance(event, BookLost) for ticker in event.tickers]


# ── subscribing ─────────────────────────────────────────────────────────────────────────────────


def test_a_new_connection_subscribes_to_every_channel_by_itself() -> None:
    server, _ = opened(A, B)
    asked = {command["params"]["channels"][0]: command["params"] for command in server.asked}
    assert list(asked) == [*ACCOUNT_CHANNELS, *MARKET_CHANNELS]
    assert asked[BOOK] == {"channels": [BOOK], "market_tickers": [A, B], "use_yes_price": True}
    assert asked["trade"] == {"channels": ["trade"], "market_tickers": [A, B]}
    assert asked["fill"] == {"channels": ["fill"]}
    assert len({command["id"] for command in server.asked}) == len(server.asked)


def test_snapshots_follow_and_the_session_is_quiet() -> None:
    server, events = opened(A, B)
    assert [e.ticker for e in events if isinstance(e, BookSnapshot)] == [A, B]
    assert server.session.quiet
    assert server.session.commands() == []


def test_without_markets_no_market_channel_is_subscribed_since_that_would_mean_all() -> None:
    server, _ = opened()
    assert {c["params"]["channels"][0] for c in server.asked} == set(ACCOUNT_CHANNELS)


def test_many_markets_are_asked_for_in_batches() -> None:
    server, events = opened(*(f"T-{n:03d}" for n in range(250)))
    sizes = [len(c["params"]["market_tickers"]) for c in server.asked if "market_tickers" in c["params"]]
    assert max(sizes) == 100
    assert len({e.ticker for e in events if isinstance(e, BookSnapshot)}) == 250
    assert server.session.quiet


def test_markets_are_added_and_removed_live() -> None:
    server, _ = opened(A)
    assert server.session.watch(frozenset({A, B}), 0) == []
    events = server.serve()
    assert [e.ticker for e in events if isinstance(e, BookSnapshot)] == [B]
    assert server.say(server.delta(B)) != []
    events = server.session.watch(frozenset({B}), 0)
    assert lost(events) == [A]
    server.serve()
    actions = [
        (c["params"]["action"], c["params"]["market_tickers"])
        for c in server.asked
        if "action" in c["params"]
    ]
    assert actions.count(("add_markets", [B])) == actions.count(("delete_markets", [A])) == 3
    assert server.say(server.delta(A)) == []


def test_removing_the_last_market_unsubscribes() -> None:
    server, _ = opened(A)
    server.session.watch(frozenset(), 0)
    server.serve()
    assert not set(MARKET_CHANNELS) & set(server.sids)
    server.session.watch(frozenset({A}), 0)
    assert any(isinstance(e, BookSnapshot) for e in server.serve())


# ── sequence numbers ────────────────────────────────────────────────────────────────────────────


def test_deltas_become_events_on_the_yes_leg() -> None:
    server, _ = opened(A)
    assert server.say(server.delta()) == [BookDelta(A, True, 4_700, -100, 1_781_159_489_957)]
    no = server.say(server.delta(side="no", price_dollars="0.5200", delta_fp="2.25"))
    assert no == [BookDelta(A, False, 5_200, 225, 1_781_159_489_957)]


def test_prices_of_the_no_leg_are_turned_over_where_the_server_sends_them() -> None:
    session = FeedSession(yes_priced=False)
    session.opened([A], 0)
    server = FeedServer(session)
    server.serve()
    (event,) = server.say(server.delta(side="no", price_dollars="0.4800"))
    assert isinstance(event, BookDelta)
    assert event.price_e4 == 5_200


@pytest.mark.fault("F28")
def test_ok_frames_and_scoped_errors_use_up_numbers() -> None:
    server, _ = opened(A)
    server.say(server.numbered(BOOK, "ok", {"market_tickers": [A]}, id=50))
    server.say(server.numbered(BOOK, "error", {"code": 11, "msg": "Invalid parameter"}, id=51))
    assert isinstance(server.say(server.delta())[0], BookDelta)
    assert server.session.counts["gaps"] == 0


def test_an_unknown_frame_with_a_books_number_may_have_changed_a_book() -> None:
    server, _ = opened(A, B)
    told = server.say(server.numbered(BOOK, "a_type_of_tomorrow", {"market_ticker": B}))
    assert told == [BookLost((B,), "unknown frame a_type_of_tomorrow")]
    told = server.say(server.numbered(BOOK, "a_type_of_tomorrow", {"x": 1}))
    assert told == [BookLost((A, B), "unknown frame a_type_of_tomorrow")]
    assert server.session.counts["unknown a_type_of_tomorrow"] == 2
    assert server.session.counts["gaps"] == 0


def test_an_unknown_frame_elsewhere_is_counted_only() -> None:
    server, _ = opened(A)
    assert server.say(server.numbered("fill", "a_type_of_tomorrow", {"market_ticker": A})) == []


def test_a_gap_loses_every_market_of_the_subscription_and_asks_for_snapshots() -> None:
    server, _ = opened(A, B)
    server.delta()
    events = server.say(server.delta(B))
    assert lost(events) == [A, B]
    assert not any(isinstance(e, BookDelta) for e in events)
    (command,) = server.take()
    assert (command["params"]["action"], command["params"]["market_tickers"]) == ("get_snapshot", [A, B])
    assert server.say(server.delta()) == []
    snapshots = server.answer(command)
    assert [(e.ticker, e.audit) for e in snapshots if isinstance(e, BookSnapshot)] == [(A, False), (B, False)]
    assert server.say(server.delta()) != []
    assert server.session.quiet


def test_the_same_frame_twice_is_harmless() -> None:
    server, _ = opened(A)
    frame = server.delta()
    assert len(server.say(frame)) == 1
    assert server.say(frame) == []
    assert len(server.say(server.delta())) == 1
    assert server.session.counts["duplicates"] == 1


def test_a_trade_twice_is_told_once() -> None:
    server, _ = opened(A)
    msg = {
        "market_ticker": A,
        "yes_price_dollars": "0.3600",
        "count_fp": "1.00",
        "taker_book_side": "ask",
        "ts_ms": 9,
    }
    frame = server.numbered("trade", "trade", msg)
    assert server.say(frame) == [PublicTrade(A, 3_600, 100, Side.ASK, 9)]
    assert server.say(frame) == []


@pytest.mark.parametrize("seqs", [(5, 4, 6), (1, 2, 3), (3,), (10,)])
def test_reordered_or_restarted_numbers_are_a_loss(seqs: tuple[int, ...]) -> None:
    server, _ = opened(A)
    server.say(server.delta())
    server.say(server.delta())
    events: list[object] = []
    for seq in seqs:
        events += server.say(server.delta(delta_fp="7.00") | {"seq": seq})
    assert A in lost(events)
    assert not any(isinstance(e, BookDelta) for e in events)


def test_deltas_before_the_snapshot_are_dropped() -> None:
    session = FeedSession()
    session.opened([A], 0)
    server = FeedServer(session)
    book = next(c for c in server.take() if c["params"]["channels"] == [BOOK])
    server.sids[BOOK] = 9
    server.say({"type": "subscribed", "id": book["id"], "msg": {"channel": BOOK, "sid": 9}})
    assert server.say(server.delta()) == []
    assert server.snapshots(BOOK, [A], 0) != []
    assert server.say(server.delta()) != []


def test_frames_of_a_subscription_nobody_made_are_dropped() -> None:
    server, _ = opened(A)
    assert server.say(server.delta() | {"sid": 99}) == []


# ── losing and finding a book ───────────────────────────────────────────────────────────────────


def test_an_unsubscription_that_nobody_asked_for_loses_the_books_and_subscribes_again() -> None:
    server, _ = opened(A, B)
    sid = server.sids.pop(BOOK)
    assert lost(server.say({"type": "unsubscribed", "sid": sid})) == [A, B]
    (again,) = server.take()
    assert (again["cmd"], again["params"]["channels"]) == ("subscribe", [BOOK])


@pytest.mark.parametrize("code", [10, 25])
def test_a_terminal_error_loses_the_books_and_subscribes_again(code: int) -> None:
    server, _ = opened(A, B)
    sid = server.sids.pop(BOOK)
    events = server.say({"type": "error", "sid": sid, "msg": {"code": code, "msg": "buffer overflow"}})
    assert lost(events) == [A, B]
    assert server.session.broken == ""
    assert {e.ticker for e in server.serve() if isinstance(e, BookSnapshot)} == {A, B}


def test_a_terminal_error_on_the_account_channels_needs_a_new_connection() -> None:
    server, _ = opened(A)
    server.say({"type": "error", "sid": server.sids["fill"], "msg": {"code": 25, "msg": "overflow"}})
    assert server.session.broken.startswith("fill: error 25")


def test_a_refused_subscription_needs_a_new_connection() -> None:
    session = FeedSession()
    session.opened([A], 0)
    server = FeedServer(session)
    first = server.take()[0]
    server.say({"type": "error", "id": first["id"], "msg": {"code": 9, "msg": "Authentication required"}})
    assert session.broken == "fill: error 9: Authentication required"


def test_an_audit_is_marked_so_that_it_can_be_compared_at_its_own_place() -> None:
    server, _ = opened(A, B)
    server.session.audit(0)
    (command,) = server.take()
    assert command["params"]["action"] == "get_snapshot"
    assert [(e.ticker, e.audit) for e in server.answer(command) if isinstance(e, BookSnapshot)] == [
        (A, True),
        (B, True),
    ]
    assert server.session.poll(ANSWER_MS) == []


def test_an_audit_of_a_book_lost_meanwhile_is_a_plain_snapshot() -> None:
    server, _ = opened(A)
    server.session.audit(0)
    (command,) = server.take()
    server.session.resync([A], "contradiction", 0)
    (event,) = server.answer(command)
    assert isinstance(event, BookSnapshot)
    assert not event.audit


def test_an_unanswered_audit_loses_the_books_it_was_for() -> None:
    server, _ = opened(A, B)
    server.session.audit(100)
    server.take()
    assert server.session.poll(100 + ANSWER_MS - 1) == []
    assert lost(server.session.poll(100 + ANSWER_MS)) == [A, B]
    assert {e.ticker for e in server.serve() if isinstance(e, BookSnapshot)} == {A, B}


def test_an_unanswered_snapshot_is_asked_for_again_and_a_silent_line_given_up() -> None:
    server, _ = opened(A)
    server.session.resync([A], "x", 0)
    for n in range(3):
        assert [c["params"]["action"] for c in server.take()] == ["get_snapshot"]
        assert server.session.broken == ""
        server.session.poll((n + 1) * ANSWER_MS)
    assert server.session.broken.startswith("no snapshot of any market")


def test_one_market_that_never_answers_does_not_end_the_others() -> None:
    server, _ = opened(A, B)
    server.session.resync([A], "x", 0)
    server.take()
    for n in range(6):
        server.session.poll((n + 1) * ANSWER_MS)
    assert server.session.broken == ""
    assert server.say(server.delta(B)) != []


def test_an_unanswered_subscription_needs_a_new_connection() -> None:
    session = FeedSession()
    session.opened([A], 0)
    session.poll(ANSWER_MS)
    assert session.broken.startswith("no answer to the subscription of")


def test_reopening_forgets_the_old_connection() -> None:
    server, _ = opened(A)
    session = server.session
    session.resync([A], "x", 0)
    session.opened([B], 5)
    assert session.broken == ""
    fresh = FeedServer(session)
    assert [e.ticker for e in fresh.serve() if isinstance(e, BookSnapshot)] == [B]
    assert session.quiet


def test_a_resync_of_what_is_not_watched_is_nothing() -> None:
    server, _ = opened(A)
    assert server.session.resync(["KXT-OTHER"], "x", 0) == []
    assert server.take() == []


# ── damaged frames ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        {"price_dollars": "1.0000"},
        {"price_dollars": "0.0000"},
        {"price_dollars": "-0.1000"},
        {"price_dollars": "NaN"},
        {"price_dollars": "1e309"},
        {"price_dollars": 0.47},
        {"delta_fp": "1e309"},
        {"delta_fp": "0.001"},
        {"delta_fp": None},
        {"side": "maybe"},
        {"side": None},
    ],
)
def test_a_damaged_delta_loses_its_market_and_no_other(change: dict[str, Any]) -> None:
    server, _ = opened(A, B)
    events = server.say(server.delta(**change))
    assert lost(events) == [A]
    assert len(server.say(server.delta(B))) == 1
    assert [c["params"]["market_tickers"] for c in server.take()] == [[A]]
    assert server.session.counts["malformed"] == 1


def test_a_damaged_frame_that_names_no_market_loses_its_subscription() -> None:
    server, _ = opened(A, B)
    frame = server.delta()
    del frame["msg"]
    assert lost(server.say(frame)) == [A, B]


def test_a_damaged_frame_after_a_gap_does_not_hide_the_gap() -> None:
    server, _ = opened(A, B)
    server.delta()
    assert set(lost(server.say(server.delta(side="maybe")))) == {A, B}


@pytest.mark.parametrize(
    "msg",
    [
        {"market_ticker": A, "yes_dollars_fp": [["0.4700", "-3.00"]]},
        {"market_ticker": A, "yes_dollars_fp": [["0.4700", "1.00"], ["0.47", "2.00"]]},
        {"market_ticker": A, "yes_dollars_fp": [["0.4700"]]},
        {"market_ticker": A, "yes_dollars_fp": "none"},
        {"market_ticker": A, "no_dollars_fp": [["1.0000", "1.00"]]},
        {"market_ticker": A, "no_dollars_fp": [["0.0001", "1.00"]] * 10_001},
    ],
)
def test_a_damaged_snapshot_is_not_a_book(msg: dict[str, Any]) -> None:
    server, _ = opened(A)
    events = server.say(server.numbered(BOOK, "orderbook_snapshot", msg))
    assert lost(events) == [A]
    assert not any(isinstance(e, BookSnapshot) for e in events)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":NaN}',
        b" " * 5_000_000,
        b'{"sid":1e309}',
    ],
)
def test_what_is_not_a_frame_may_have_been_any_books_change(data: bytes) -> None:
    """The next number would show a gap; in a quiet market that may be long."""
    server, _ = opened(A, B)
    assert lost(server.session.receive(data, 0)) == [A, B]
    assert server.session.counts["malformed"] == 1


@pytest.mark.fault("F33")
def test_empty_sides_are_absent() -> None:
    server, _ = opened(A)
    (event,) = server.say(server.numbered(BOOK, "orderbook_snapshot", {"market_ticker": A}))
    assert isinstance(event, BookSnapshot)
    assert (event.bids, event.asks) == ((), ())


@pytest.mark.fault("F33")
def test_a_deep_snapshot_is_taken_in_whole() -> None:
    server, _ = opened(A)
    ladders = {
        name: [[f"0.{price:04}", "1.00"] for price in range(low, low + 100)]
        for name, low in (("yes_dollars_fp", 1_000), ("no_dollars_fp", 2_000))
    }
    (event,) = server.say(server.numbered(BOOK, "orderbook_snapshot", {"market_ticker": A, **ladders}))
    assert isinstance(event, BookSnapshot)
    assert (len(event.bids), len(event.asks)) == (100, 100)


def test_the_age_of_the_newest_frame_is_known() -> None:
    server, _ = opened(A)
    server.say(server.delta() | {"sending_ts_ms": 1_781_159_490_000})
    assert server.session.sent_ms == 1_781_159_490_000
    server.say(server.delta())
    assert server.session.sent_ms == 1_781_159_489_957


# ── the other frames ────────────────────────────────────────────────────────────────────────────


def test_fill_and_order_frames() -> None:
    server, _ = opened(A)
    fill = {
        "trade_id": "d91b",
        "order_id": "ee58",
        "client_order_id": "dora-1",
        "market_ticker": A,
        "exchange_index": 2,
        "is_taker": True,
        "side": "yes",
        "action": "buy",
        "book_side": "ask",
        "yes_price_dollars": "0.7500",
        "count_fp": "278.00",
        "fee_cost": "0.010000",
        "ts_ms": 1_671_899_397_000,
    }
    (event,) = server.say({"type": "fill", "sid": server.sids["fill"], "msg": fill})
    assert isinstance(event, FillSeen)
    assert (event.fill.key, event.fill.side, event.fill.price_e4) == (("d91b", "ee58"), Side.ASK, 7_500)
    assert (event.fill.count_e2, event.fill.fee_e6, event.fill.time_ms) == (27_800, 10_000, 1_671_899_397_000)
    order = {
        "order_id": "ee58",
        "client_order_id": "dora-1",
        "ticker": A,
        "status": "canceled",
        "side": "yes",
        "outcome_side": "no",
        "yes_price_dollars": "0.7500",
        "remaining_count_fp": "0.00",
        "fill_count_fp": "278.00",
        "expiration_ts_ms": 5_000,
        "last_update_reason": "ExpiryCancel",
    }
    (event,) = server.say({"type": "user_order", "sid": 2, "msg": order})
    assert isinstance(event, OrderSeen)
    assert (event.order.side, event.order.status, event.reason) == (Side.ASK, "canceled", "ExpiryCancel")
    assert (event.order.filled_e2, event.order.expiration_ms) == (27_800, 5_000)
    (event,) = server.say({"type": "user_order", "sid": 2, "msg": order | {"status": "hibernating"}})
    assert isinstance(event, OrderSeen)
    assert event.order.status == "unknown"


def test_position_ticker_and_group_frames() -> None:
    server, _ = opened(A)
    position = {
        "market_ticker": A,
        "position_fp": "-3.00",
        "realized_pnl_dollars": "-0.5",
        "fees_paid_dollars": "0.01",
    }
    (event,) = server.say({"type": "market_position", "sid": 3, "msg": position, "sending_ts_ms": 77})
    assert event == PositionSeen(ExchangePosition(A, -300, -500_000, 10_000), 77)
    ticker = {
        "market_ticker": A,
        "price_dollars": "0.9500",
        "yes_bid_dollars": "0.9490",
        "yes_ask_dollars": "1.0000",
        "yes_bid_size_fp": "567.84",
        "volume_fp": "860444.22",
        "ts_ms": 8,
    }
    (event,) = server.say({"type": "ticker", "sid": 7, "msg": ticker})
    assert event == TickerSeen(A, 9_490, 10_000, 9_500, 86_044_422, 8, 56_784, 0)
    group = server.numbered(
        "order_group_updates",
        "order_group_updates",
        {"event_type": "triggered", "order_group_id": "g", "ts_ms": 4},
    )
    assert server.say(group) == [GroupSeen("g", "triggered", 4)]


@pytest.mark.parametrize(
    ("kind", "factor", "told"), [("quadratic", 0.5, ("quadratic", 500_000)), (None, None, (None, None))]
)
def test_an_events_fee_override_that_is_set_or_cleared(
    kind: str | None, factor: float | None, told: tuple[str | None, int | None]
) -> None:
    server, _ = opened(A)
    msg = {"event_ticker": "KXT", "fee_type_override": kind, "fee_multiplier_override": factor}
    frame = server.numbered("market_lifecycle_v2", "event_fee_update", msg) | {"sending_ts_ms": 9}
    assert server.say(frame) == [FeesAnnounced((FeeChange("", "KXT", *told, 9),))]


def test_life_cycle_frames_of_our_markets_only() -> None:
    server, _ = opened(A)

    def told(**msg: Any) -> list[object]:
        frame = server.numbered("market_lifecycle_v2", "market_lifecycle_v2", {"market_ticker": A} | msg)
        return server.say(frame | {"sending_ts_ms": 99})

    assert told(event_type="close_date_updated", close_ts=10) == [
        LifecycleSeen(A, "close_date_updated", close_ms=10_000, time_ms=99)
    ]
    assert told(event_type="determined", result="yes", settlement_value="0.5000", determination_ts=7) == [
        LifecycleSeen(A, "determined", result="yes", settlement_value_e4=5_000, time_ms=7_000)
    ]
    (event,) = told(
        event_type="price_level_structure_updated", price_ranges=[{"start": "0", "end": "1", "step": "0.001"}]
    )
    assert isinstance(event, LifecycleSeen)
    assert event.grid is not None
    assert len(event.grid.prices) == 999
    assert told(event_type="determined", market_ticker="KXT-OTHER") == []


# ── recorded frames ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not MLB.exists(), reason="../shared/data is absent")
def test_a_recorded_stream_has_no_gap_once_ok_frames_are_counted() -> None:
    recording = json.loads(gzip.decompress(MLB.read_bytes()))
    session, books = FeedSession(yes_priced=False), Books()
    session.opened(recording["tickers"], 0)
    ids = [c["id"] for c in map(json.loads, session.commands()) if c["params"]["channels"] == [BOOK]]
    for line in recording["frames"]:
        frame = line["frame"]
        if frame["type"] == "subscribed":
            frame["id"] = ids[0]
        for event in session.receive(json.dumps(frame).encode(), 0):
            assert isinstance(event, BookSnapshot | BookDelta)
            assert books.apply(event, Instant(0, 0)) == ""
    assert (session.counts["gaps"], session.counts["malformed"], session.counts["early"]) == (0, 0, 0)
    assert session.counts["snapshots"] == 12
    for ticker in recording["tickers"]:
        view = books.view(ticker)
        assert view.proven
        assert view.bids
        assert view.asks


@pytest.mark.skipif(not MLB.exists(), reason="../shared/data is absent")
def test_the_demo_venues_frames_are_read() -> None:
    path = SHARED / "rest_demo_v2_2026" / "ws__orderbook_trade_yes.jsonl"
    session = FeedSession()
    session.opened(["KXWTACHALLENGERMATCH-26JUN11JIMLEP-LEP"], 0)
    ids = {c["params"]["channels"][0]: c["id"] for c in map(json.loads, session.commands())}
    events: list[object] = []
    for line in filter(str.strip, path.read_text().splitlines()):
        frame = json.loads(line)
        if frame["type"] == "subscribed":
            frame["id"] = ids[frame["msg"]["channel"]]
        events += session.receive(json.dumps(frame).encode(), 0)
    assert [type(e) for e in events] == [BookSnapshot, BookDelta, BookDelta]
    snapshot = events[0]
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks) == ((Level(4_700, 300),), (Level(5_200, 100),))


# ── anything at all ─────────────────────────────────────────────────────────────────────────────

WORDS = st.sampled_from(
    [
        BOOK,
        "orderbook_snapshot",
        "ok",
        "error",
        "fill",
        "user_order",
        "ticker",
        "trade",
        "subscribed",
        A,
        "yes",
        "0.47",
    ]
)
NAMES = st.sampled_from(
    ["type", "sid", "seq", "id", "msg", "market_ticker", "side", "price_dollars", "delta_fp", "code"]
)
ANY = st.recursive(
    st.none() | st.integers(-5, 5) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        ANY
        | st.fixed_dictionaries(
            {"type": WORDS, "sid": st.integers(0, 9), "seq": st.integers(0, 9), "msg": ANY}
        ),
        max_size=8,
    )
)
def test_no_frames_break_the_session(sent: list[Any]) -> None:
    server, first = opened(A, B)
    books = Books()
    for event in first:
        if isinstance(event, BookSnapshot):
            books.apply(event, Instant(0, 0))
    for frame in sent:
        for event in server.say(frame):
            if isinstance(event, BookDelta | BookSnapshot | BookLost):
                books.apply(event, Instant(0, 0))
    server.session.poll(ANSWER_MS)
    assert set(books.doubts()) <= {A, B}
