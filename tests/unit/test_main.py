"""The tick over fakes: what goes out for what came in, when ports fail, when it halts, and how it stops."""

from collections import deque
from dataclasses import replace
from itertools import pairwise

import pytest

from dora_bot.events import (
    BookDelta,
    BookLost,
    CatalogChanged,
    FeedDown,
    FillSeen,
    HaltsChanged,
    LifecycleSeen,
    OrderSeen,
    StatusChanged,
)
from dora_bot.main import MIN_EVENT_GAP_MS
from dora_bot.models import Amend, Cancel, ExchangeStatus, FeeTerms, Hold, OutcomeKind, Place, Position, Side
from dora_bot.own_orders import OrderState
from dora_bot.reconcile import Reconciled
from dora_bot.records import DecisionRow, FillRow, OrderRow
from dora_bot.state_manager import Restored
from dora_bot.views import ConfigChanged, Posture
from tests.fakes.bench import Bench
from tests.fakes.core import T, config, halt, limits, market, own, snapshot
from tests.fakes.exchange import LOST, REFUSED, SWALLOWED
from tests.fakes.manual_clock import NOON_MS

KINDS = (Place, Amend, Cancel)


@pytest.fixture
def bench() -> Bench:
    return Bench().quoting()


def nothing_rests(bench: Bench) -> bool:
    return not bench.exchange.resting()


# ── quoting ─────────────────────────────────────────────────────────────────────────────────────


def test_the_first_tick_quotes_both_sides_and_writes_down_why() -> None:
    bench = Bench()
    report = bench.tick()
    assert {(o.side, o.price_e4, o.remaining_e2) for o in bench.exchange.resting().values()} == {
        (Side.BID, 4_100, 1_000),
        (Side.ASK, 4_900, 1_000),
    }
    assert [(kind, len(actions)) for kind, actions in bench.exchange.calls] == [("place", 2)]
    assert report.stance.posture is Posture.RUN
    assert {type(row) for row in bench.journal.recorded()} == {OrderRow, DecisionRow}
    (decision,) = [row for row in bench.journal.recorded() if isinstance(row, DecisionRow)]
    assert (decision.placed, decision.cancelled, len(decision.quotes)) == (2, 0, 2)


def test_an_unchanged_state_sends_no_message_and_reads_nothing(bench: Bench) -> None:
    rows = len(bench.journal.recorded())
    for _ in range(28):
        bench.tick()
    assert bench.exchange.calls == []
    assert bench.exchange.reads == []
    assert len(bench.journal.recorded()) == rows


def test_quotes_are_renewed_before_they_expire_and_nothing_else_is_sent(bench: Bench) -> None:
    for _ in range(240):
        bench.tick()
        assert all(o.expiration_ms > bench.clock.now().exchange_ms for o in bench.exchange.resting().values())
    sent = [a for kind in KINDS for a in bench.exchange.sent(kind.__name__.lower())]
    assert {a.reason for a in sent} == {"renew"}
    assert 14 <= len(sent) <= 16
    assert len(bench.exchange.resting()) == 2


def test_some_order_is_renewed_every_twenty_seconds_so_that_a_watcher_sees_life(bench: Bench) -> None:
    """FAULTS S04: the exchange's `last_update_time` of the newest order is what the watchdog judges by."""
    life_ms = bench.bot.lease.life_ms
    for _ in range(240):
        bench.tick()
        newest_ms = max(o.expiration_ms for o in bench.exchange.resting().values()) - life_ms
        assert bench.clock.now().exchange_ms - newest_ms <= 20_000


def test_a_book_that_moves_moves_the_quotes(bench: Bench) -> None:
    bench.post(snapshot(4_200, 5_200))
    bench.tick()
    assert (bench.exchange.own(Side.BID).price_e4, bench.exchange.own(Side.ASK).price_e4) == (4_300, 5_100)
    assert len(bench.exchange.sent("amend")) == 2


def test_a_book_that_jumps_past_our_other_quote_moves_that_one_first(bench: Bench) -> None:
    bench.post(snapshot(3_000, 4_000))
    report = bench.tick()
    assert [r.check for r in report.verdict.refused] == ["check_self_cross"]
    bench.tick()
    assert (bench.exchange.own(Side.BID).price_e4, bench.exchange.own(Side.ASK).price_e4) == (3_100, 3_900)


def test_a_fill_is_booked_recorded_and_the_inventory_skews_the_quotes(bench: Bench) -> None:
    bench.trade(Side.BID, 1_000, fee_e6=12)
    report = bench.tick()
    assert [f.count_e2 for f in report.fills] == [1_000]
    (row,) = [row for row in bench.journal.recorded() if isinstance(row, FillRow)]
    assert (row.position.net_e2, row.position.fees_e6) == (1_000, 12)
    assert bench.exchange.own(Side.BID).price_e4 <= 4_100
    assert bench.bot.holdings() == {T}


def test_the_worst_case_stays_within_the_caps_while_takers_take_everything(bench: Bench) -> None:
    bench.post(ConfigChanged((config(max_inventory_yes=25, max_inventory_no=25),), limits()))
    for turn in range(60):
        for side in Side:
            resting = [o for o in bench.exchange.resting().values() if o.side is side]
            if resting and (turn < 30) is (side is Side.BID):
                bench.trade(side, resting[0].remaining_e2)
        view = bench.tick().view.markets[T]
        truth = bench.exchange.net.get(T, 0)
        open_bids = sum(o.remaining_e2 for o in bench.exchange.resting().values() if o.side is Side.BID)
        open_asks = sum(o.remaining_e2 for o in bench.exchange.resting().values() if o.side is Side.ASK)
        assert truth + open_bids <= 2_500
        assert truth - open_asks >= -2_500
        assert view.position.net_e2 == truth
    assert bench.exchange.net[T] == -2_500


# ── what takes the quotes away ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "event",
    [
        BookLost((T,), "gap"),
        BookLost((), "inbox overflow"),
        FeedDown("reset"),
        BookDelta(T, True, 4_000, -50_000, 1),
        replace(snapshot(), bids=()),
        replace(snapshot(), bids=(), asks=()),
        snapshot(5_000, 5_000),
        snapshot(5_100, 5_000),
        snapshot(4_000, 4_300),
        LifecycleSeen(T, "deactivated"),
        CatalogChanged((market(fees=FeeTerms("lunar")),)),
        ConfigChanged((config(enabled=False),), limits()),
        ConfigChanged((), limits()),
        ConfigChanged((config(),), limits(trading_enabled=False)),
        StatusChanged(ExchangeStatus(active=True, trading=False)),
        HaltsChanged((halt(),)),
        HaltsChanged((halt(hold=Hold.PAUSED),)),
        HaltsChanged((), emptied_ms=NOON_MS),
    ],
    ids=lambda event: type(event).__name__,
)
def test_within_one_tick_every_quote_is_cancelled_and_it_is_said_why(bench: Bench, event: object) -> None:
    bench.post(event)
    report = bench.tick()
    assert nothing_rests(bench)
    assert len(bench.exchange.calls) == 1
    decision = report.decided.get(T)
    assert decision is None or (decision.quotes == () and decision.reason)


def test_a_book_that_contradicts_itself_is_asked_for_again(bench: Bench) -> None:
    bench.post(BookDelta(T, True, 4_000, -50_000, 1))
    bench.tick()
    assert bench.feed.resynced == [frozenset({T})]


def test_quotes_come_back_after_a_resync(bench: Bench) -> None:
    bench.post(FeedDown("reset"))
    bench.tick()
    bench.post(snapshot())
    bench.tick()
    assert len(bench.exchange.resting()) == 2


def test_a_book_of_nothing_but_our_own_orders_is_not_quoted(bench: Bench) -> None:
    alone = replace(snapshot(4_100, 4_900), bids=(snapshot(4_100).bids[0]._replace(count_e2=1_000),))
    bench.post(alone)
    report = bench.tick()
    assert report.decided[T].reason == "book has no bids"
    assert nothing_rests(bench)


# ── halts ───────────────────────────────────────────────────────────────────────────────────────


def test_a_daily_loss_made_of_fills_and_marks_halts_and_takes_everything_back() -> None:
    bench = Bench()
    bench.post(ConfigChanged((config(),), limits(max_daily_loss=1)))
    bench.quoting()
    bench.trade(Side.BID, 1_000)
    bench.tick()
    assert bench.latch.read().halts == ()
    bench.post(snapshot(3_000, 4_000))
    report = bench.tick()
    assert report.stance.posture is Posture.HALTED
    assert [h.reason for h in bench.latch.read().halts] == ["daily loss limit"]
    assert nothing_rests(bench)
    for _ in range(10):
        bench.tick()
    assert nothing_rests(bench)
    assert bench.latch.raised == 1


def test_a_halt_is_over_only_when_an_operator_resumes_it(bench: Bench) -> None:
    bench.bot.raise_halt("because", "test", bench.clock.now())
    bench.tick()
    assert nothing_rests(bench)
    bench.resume("H1")
    bench.tick()
    assert len(bench.exchange.resting()) == 2


def test_a_pause_keeps_positions_and_takes_quotes_and_ends_with_the_operators_word(bench: Bench) -> None:
    pause = bench.hold(Hold.PAUSED)
    assert bench.tick().stance.posture is Posture.PAUSED
    assert nothing_rests(bench)
    bench.resume(pause)
    bench.tick()
    assert len(bench.exchange.resting()) == 2


def test_a_position_the_exchange_does_not_know_freezes_its_market_and_halts_after_a_minute(
    bench: Bench,
) -> None:
    bench.post(bench.read_account())
    bench.tick()
    bench.exchange.net[T] = 700
    for turn in range(14):
        assert (turn < 2) is bool(bench.exchange.resting())
        bench.clock.advance(5_000)
        bench.post(bench.read_account())
        bench.tick(0)
    (raised,) = bench.latch.read().halts
    assert "position mismatch" in raised.reason
    assert nothing_rests(bench)
    assert any(isinstance(r, Reconciled) and r.mismatches for r in bench.telemetry.reports)


# ── failing ports ───────────────────────────────────────────────────────────────────────────────


def test_a_lease_about_to_end_withdraws_everything_and_its_renewal_quotes_again(bench: Bench) -> None:
    bench.gate.lease = "the lease has only 1900 ms left"
    report = bench.tick()
    assert nothing_rests(bench)
    assert (report.stance.posture, report.stance.reasons) == (Posture.PAUSED, (bench.gate.lease,))
    bench.gate.lease = ""
    bench.tick()
    assert len(bench.exchange.resting()) == 2


def test_a_journal_that_cannot_promise_lets_no_exposure_out_and_every_cancel(bench: Bench) -> None:
    bench.journal.broken.add("intend")
    bench.post(snapshot(3_000, 4_000))
    bench.tick()
    assert bench.exchange.sent("amend") == bench.exchange.sent("place") == []
    bench.post(FeedDown("reset"))
    bench.tick()
    assert nothing_rests(bench)


def test_a_full_disk_stops_quoting_loses_no_fill_and_heals(bench: Bench) -> None:
    bench.journal.broken |= {"intend", "settle", "record"}
    bench.trade(Side.BID, 400)
    bench.tick()
    bench.tick()
    bench.tick()
    assert nothing_rests(bench)
    assert not [row for row in bench.journal.recorded() if isinstance(row, FillRow)]
    bench.journal.broken.clear()
    bench.tick()
    assert len([row for row in bench.journal.recorded() if isinstance(row, FillRow)]) == 1
    bench.until(lambda: len(bench.exchange.resting()) == 2)


def test_with_the_gate_closed_exposure_is_denied_locally_and_cancels_pass(bench: Bench) -> None:
    bench.gate.reason = "observing only"
    bench.post(snapshot(3_000, 4_000))
    report = bench.tick()
    assert {o.kind for o in report.outcomes} == {OutcomeKind.DENIED_LOCALLY}
    assert bench.exchange.calls == []
    bench.post(FeedDown("reset"))
    bench.tick()
    assert nothing_rests(bench)


def test_a_lease_that_is_about_to_end_takes_everything_back_and_renewed_quotes_again(bench: Bench) -> None:
    bench.gate.lease = "the lease has only 900 ms left"
    report = bench.tick()
    assert report.stance.posture is Posture.PAUSED
    assert bench.gate.lease in report.stance.reasons
    assert nothing_rests(bench)
    bench.gate.lease = ""
    bench.tick()
    assert len(bench.exchange.resting()) == 2


@pytest.mark.parametrize("what", ["place", "amend", "cancel"])
def test_an_error_nobody_expected_halts_and_the_next_ticks_cancel(what: str) -> None:
    bench = Bench()

    def explode(kind: str) -> None:
        if kind == what and not bench.latch.raised:
            raise RuntimeError("no such luck")

    if what == "place":
        bench.exchange.before_write = explode
    else:
        bench.quoting()
        bench.exchange.before_write = explode
        bench.post(snapshot(3_000, 4_000) if what == "amend" else FeedDown("reset"))
    bench.run(4)
    (raised,) = bench.latch.read().halts
    assert "RuntimeError: no such luck" in raised.evidence
    for _ in range(20):
        bench.clock.advance(5_000)
        bench.post(bench.read_account())
        bench.tick(0)
    assert nothing_rests(bench)
    assert bench.state.orders.live() == []


def test_an_order_left_over_by_an_error_in_the_middle_of_a_call_is_found_and_cancelled() -> None:
    bench = Bench()

    def applied_then_explode(kind: str) -> None:
        if kind == "place" and not bench.latch.raised:
            bench.exchange.before_write = lambda _kind: None
            actions = [i for i in bench.journal.unresolved() if isinstance(i, Place)]
            bench.exchange.place_orders(actions)
            raise RuntimeError("after the last byte")

    bench.exchange.before_write = applied_then_explode
    bench.run(2)
    assert len(bench.exchange.resting()) == 2
    bench.clock.advance(5_000)
    bench.post(bench.read_account())
    bench.tick()
    bench.tick()
    assert nothing_rests(bench)


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


def test_a_lost_reply_freezes_the_market_and_sends_no_second_create() -> None:
    bench = Bench()
    bench.exchange.answers = deque([LOST, LOST])
    bench.tick()
    for _ in range(8):
        bench.tick()
    assert len(bench.exchange.sent("place")) == 2
    bench.post(bench.read_account())
    bench.tick()
    bench.until(
        lambda: (
            len(bench.exchange.resting()) == 2
            and not bench.bot.state.view(bench.clock.now()).markets[T].on_hold
        )
    )
    assert len(bench.exchange.sent("place")) == 2


def test_a_create_that_never_arrived_is_tried_anew_under_a_new_id_after_the_window() -> None:
    bench = Bench()
    bench.exchange.answers = deque([SWALLOWED, SWALLOWED])
    bench.tick()
    first = {a.client_order_id for a in bench.exchange.sent("place")}
    for _ in range(66):
        bench.post(bench.read_account())
        bench.tick()
    assert len(bench.exchange.resting()) == 2
    assert not first & {o.client_order_id for o in bench.exchange.resting().values()}


def test_a_refused_order_is_not_sent_again_at_once(bench: Bench) -> None:
    bench.post(FeedDown("reset"))
    bench.tick()
    bench.exchange.answers = deque([REFUSED, REFUSED])
    bench.post(snapshot())
    bench.tick()
    bench.tick()
    assert len(bench.exchange.sent("place")) == 2
    bench.tick()
    assert len(bench.exchange.sent("place")) == 4
    ids = [a.client_order_id for a in bench.exchange.sent("place")]
    assert len(set(ids)) == 4


def test_a_429_empties_the_bucket_that_we_counted() -> None:
    bench = Bench()
    bench.exchange.answers = deque([replace(REFUSED, code="too_many_requests")])
    bench.tick()
    assert bench.bot.budget.tokens_left == 0


def test_cancels_that_are_refused_are_repeated_without_a_storm_and_win_in_the_end(bench: Bench) -> None:
    bench.exchange.answers = deque([replace(REFUSED, code="invalid_parameters")] * 12)
    bench.post(FeedDown("reset"))
    for _ in range(11):
        bench.tick()
    assert len(bench.exchange.sent("cancel")) == 12
    bench.tick()
    bench.tick()
    assert nothing_rests(bench)


def test_h1_a_cancel_answered_404_of_an_order_that_filled_never_breaks_the_cap() -> None:
    bench = Bench()
    bench.post(ConfigChanged((config(max_inventory_yes=10),), limits()))
    bench.quoting()
    late = bench.exchange.trade(bench.exchange.own(Side.BID).order_id, 1_000)
    bench.post(FeedDown("reset"))
    bench.tick()
    bench.post(snapshot())
    for _ in range(20):
        bench.tick()
        bids = [o for o in bench.exchange.resting().values() if o.side is Side.BID]
        assert bids == []
    bench.post(FillSeen(late))
    report = bench.tick()
    assert report.view.markets[T].position.net_e2 == 1_000
    for _ in range(5):
        bench.tick()
    assert [o for o in bench.exchange.resting().values() if o.side is Side.BID] == []


def test_an_order_the_exchange_took_away_is_quoted_again_by_evidence_only(bench: Bench) -> None:
    gone = bench.exchange.own(Side.BID)
    bench.exchange.orders[gone.order_id] = replace(gone, status="canceled", remaining_e2=0)
    bench.tick()
    assert bench.exchange.sent("place") == []
    bench.post(OrderSeen(bench.exchange.orders[gone.order_id], "ExpiryCancel"))
    bench.tick()
    assert len(bench.exchange.sent("place")) == 1


def test_what_is_sent_counts_before_its_first_byte_leaves() -> None:
    bench = Bench()
    worst: list[tuple[int, int]] = []

    def look(_kind: str) -> None:
        market = bench.state.view(bench.clock.now()).markets[T]
        worst.append((market.long_worst_e2, market.short_worst_e2))

    bench.exchange.before_write = look
    bench.tick()
    assert worst == [(1_000, -1_000)]


# ── start and stop ──────────────────────────────────────────────────────────────────────────────


def test_an_event_that_fails_takes_no_other_event_with_it(bench: Bench) -> None:
    bench.tick()
    with pytest.raises(KeyError):
        bench.bot.observe([object(), HaltsChanged((halt(),))], bench.clock.now())
    bench.bot.observe([], bench.clock.now())
    assert bench.bot.state.view(bench.clock.now()).halts == (halt(),)


def test_stopping_wishes_nothing_and_cancels_everything(bench: Bench) -> None:
    bench.bot.stopping = "SIGTERM"
    report = bench.tick()
    assert report.stance.posture is Posture.PAUSED
    assert "SIGTERM" in report.stance.reasons
    assert nothing_rests(bench)


def test_orders_from_before_are_adopted_and_brought_to_what_is_wished() -> None:
    bench = Bench()
    before = own(client_order_id="b-old", order_id="o-old", price_e4=3_000)
    restored = Bench(Restored({T: Position(T)}, frozenset(), (before,)))
    del bench
    restored.exchange.place_orders([Place("b-old", T, Side.BID, 3_000, 1_000, 1 << 50, 0)])
    restored.exchange.orders["o-old"] = replace(restored.exchange.orders.pop("o-b-old"), order_id="o-old")
    restored.post(restored.read_account())
    restored.tick()
    restored.tick()
    assert restored.exchange.own(Side.BID).order_id == "o-old"
    assert restored.exchange.own(Side.BID).price_e4 == 4_100


def test_a_live_order_of_a_market_that_config_does_not_name_is_cancelled() -> None:
    stray = own(client_order_id="b-9", order_id="o-b-9", ticker="KXGONE")
    bench = Bench(Restored({}, frozenset(), (stray,)))
    bench.exchange.place_orders([Place("b-9", "KXGONE", Side.BID, 4_100, 1_000, 1 << 50, 0)])
    bench.tick()
    assert [o.ticker for o in bench.exchange.resting().values()] == [T, T]


def test_an_order_in_doubt_from_before_keeps_its_market_quiet_until_it_is_read() -> None:
    doubtful = own(client_order_id="b-9", order_id="", state=OrderState.UNKNOWN)
    bench = Bench(Restored({}, frozenset(), (doubtful,)))
    bench.tick()
    assert bench.exchange.calls == []


# ── the loop ────────────────────────────────────────────────────────────────────────────────────


def test_ticks_keep_their_beat() -> None:
    bench = Bench()
    bench.run(5)
    starts = [r.started.mono_ms for r in bench.beats()]
    assert [b - a for a, b in pairwise(starts)] == [500] * 4


def test_a_late_tick_is_skipped_not_caught_up() -> None:
    bench = Bench(latency_ms=1_300)
    bench.run(5)
    starts = [r.started.mono_ms for r in bench.beats()]
    assert [b - a for a, b in pairwise(starts)] == [1_500, 500, 500, 500]


def test_the_beat_follows_the_config() -> None:
    bench = Bench()
    bench.post(ConfigChanged((config(),), limits(loop_interval_ms=200)))
    bench.run(4)
    starts = [r.started.mono_ms for r in bench.beats()]
    assert [b - a for a, b in pairwise(starts)] == [200] * 3


def test_an_own_fill_ends_the_wait_early_but_not_too_early() -> None:
    bench = Bench()
    bench.run(1)
    fill = bench.exchange.trade(bench.exchange.own(Side.BID).order_id, 1_000)
    bench.inbox.during_wait.append([FillSeen(fill)])
    bench.run(2)
    last, early = bench.beats()[-2:]
    assert early.woken is not None
    assert MIN_EVENT_GAP_MS <= early.started.mono_ms - last.started.mono_ms < 100


def test_a_tick_that_an_event_asked_for_does_not_put_the_beat_off() -> None:
    bench = Bench()
    bench.run(1)
    fill = bench.exchange.trade(bench.exchange.own(Side.BID).order_id, 1_000)
    bench.inbox.during_wait.append([FillSeen(fill)])
    bench.run(4)
    first, early, second, third = (r.started.mono_ms for r in bench.beats()[-4:])
    assert early - first < 100
    assert (second - first, third - second) == (500, 500)


def test_a_book_that_outran_a_quote_ends_the_wait_early_and_a_quiet_one_does_not() -> None:
    bench = Bench()
    bench.run(1)
    bench.inbox.during_wait.append([BookDelta(T, True, 4_050, 100, 1), BookDelta(T, True, 4_050, -100, 2)])
    bench.run(2)
    assert bench.beats()[-1].woken is None
    bench.inbox.during_wait.append([snapshot(3_000, 4_000)])
    bench.run(2)
    assert bench.beats()[-1].woken is not None
    assert bench.exchange.own(Side.BID).price_e4 == 3_100


def test_a_request_to_stop_ends_the_wait_within_a_tenth_of_a_second() -> None:
    bench = Bench()
    bench.run(1)
    began = bench.clock.now().mono_ms
    bench.bot.wait(began + 60_000, lambda: bench.clock.now().mono_ms >= began + 250)
    assert bench.clock.now().mono_ms - began <= 350
