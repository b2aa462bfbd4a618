"""Our belief against a read of the account: what a read proves, what it does not, and what it cannot explain."""

from dataclasses import replace
from typing import Any

import pytest

from dora_bot.events import AccountRead, CatalogChanged, FillSeen, HaltsChanged, OrderSeen
from dora_bot.models import (
    Amend,
    Balance,
    Cancel,
    ExchangeOrder,
    ExchangePosition,
    Fill,
    Hold,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
    Position,
    Settlement,
    Side,
)
from dora_bot.own_orders import OrderState
from dora_bot.reconcile import MISMATCH_HALT_MS, Reconciled, Reconciler
from dora_bot.state_manager import Restored, StateManager
from dora_bot.views import ConfigChanged, MarketView
from tests.fakes.core import NOW, T, config, halt, later, limits, market
from tests.fakes.manual_clock import NOON_MS

PLACE = Place("b-1", T, Side.BID, 4_100, 1_000, NOON_MS + 50_000, 0)


def manager(**restored: Any) -> StateManager:
    state = StateManager("b-", replace(Restored({}, frozenset()), **restored))
    state.apply(CatalogChanged((market(),)), NOW)
    state.apply(ConfigChanged((config(),), limits()), NOW)
    return state


def placed(state: StateManager) -> None:
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.ACCEPTED, "o1", filled_e2=0, remaining_e2=1_000)], NOW)


def told(remaining_e2: int = 1_000, filled_e2: int = 0, **changes: Any) -> ExchangeOrder:
    plain = ExchangeOrder("o1", "b-1", T, Side.BID, 4_100, remaining_e2, filled_e2, "resting")
    return replace(plain, **changes)


def fill(number: int = 1, count_e2: int = 400, **changes: Any) -> Fill:
    plain = Fill(f"t{number}", "o1", T, Side.BID, 4_100, count_e2, 0, False, NOON_MS + number, "b-1", "rest")
    return replace(plain, **changes)


def read(at: Instant, **parts: Any) -> AccountRead:
    """A read that is complete up to half a second before ``at``."""
    plain = AccountRead(at.exchange_ms - 500, at, (), (), (), (), Balance(0), 0)
    return replace(plain, **parts)


def held(net_e2: int) -> tuple[ExchangePosition, ...]:
    return (ExchangePosition(T, net_e2),)


def seen(state: StateManager, at: Instant = NOW) -> MarketView:
    return state.view(at).markets[T]


def apply(state: StateManager, at_ms: int, reconciler: Reconciler | None = None, **parts: Any) -> Reconciled:
    at = later(at_ms)
    return (reconciler or Reconciler()).apply(read(at, **parts), state, at)


# ── orders ──────────────────────────────────────────────────────────────────────────────────────


def test_a_read_that_agrees_changes_nothing() -> None:
    state = manager()
    placed(state)
    before = seen(state)
    assert apply(state, 5_000, orders=(told(),)) == Reconciled()
    assert seen(state) == before


def test_an_order_that_is_gone_is_given_up_with_its_missed_fills_booked() -> None:
    state = manager()
    placed(state)
    done = apply(state, 5_000, fills=(fill(1, 400), fill(2, 600)), positions=held(1_000))
    assert (done.fills_found, done.mismatches) == (2, ())
    view = seen(state)
    assert (view.orders, view.position.net_e2, view.long_worst_e2) == ((), 1_000, 1_000)


def test_an_old_read_takes_no_order_away() -> None:
    state = manager()
    placed(state)
    apply(state, 400)
    assert seen(state).orders[0].state is OrderState.RESTING


def test_an_amend_of_the_process_before_counts_until_it_shows_or_cannot_land_any_more() -> None:
    amend = Amend("b-1", "o1", T, Side.BID, 4_500, 1_600, NOON_MS + 60_000, 0)
    state = manager(amends=((amend, NOON_MS - 5_000),))
    apply(state, 0, orders=(told(),))
    (order,) = seen(state).orders
    assert (order.state, order.exposed_e2, order.exposed_price_e4) == (OrderState.UNKNOWN, 1_600, 4_500)
    assert seen(state).on_hold
    apply(state, 26_000, orders=(told(),))
    (order,) = seen(state).orders
    assert (order.state, order.exposed_e2, order.price_e4) == (OrderState.RESTING, 1_000, 4_100)
    assert [outcome.action for outcome in state.take_resolved()] == [amend]


def test_a_read_from_before_a_late_create_landed_does_not_take_it_away() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.UNKNOWN)], NOW)
    state.apply(OrderSeen(told()), later(6_300))
    apply(state, 6_400)
    assert [order.state for order in state.orders.live()] == [OrderState.RESTING]


def test_h2_an_old_read_that_lists_a_finished_order_does_not_revive_it() -> None:
    state = manager()
    placed(state)
    state.apply(OrderSeen(told(0, 0, status="canceled")), later(100))
    done = apply(state, 300, orders=(told(),))
    assert done == Reconciled()
    assert seen(state).orders == ()
    state.apply(FillSeen(fill()), later(400))
    view = seen(state)
    assert (view.orders, view.position.net_e2) == ((), 400)


def test_h1_a_cancel_answered_404_stays_counted_until_a_newer_read_brings_the_fill() -> None:
    state = manager()
    placed(state)
    action = Cancel("b-1", "o1", T, 0)
    state.reserve([action], later(1_000))
    state.settle([Outcome(action, OutcomeKind.UNKNOWN, code="not_found")], later(1_050))
    apply(state, 1_200)
    assert (seen(state).orders[0].state, seen(state).long_worst_e2) == (OrderState.CLOSING, 1_000)
    apply(state, 6_000, fills=(fill(1, 1_000),), positions=held(1_000))
    view = seen(state)
    assert (view.orders, view.position.net_e2, view.long_worst_e2) == ((), 1_000, 1_000)


def test_an_order_that_went_unseen_is_given_up_though_its_cancel_is_repeated_and_404_for_ever() -> None:
    state = manager()
    placed(state)
    action = Cancel("b-1", "o1", T, 0)
    for second in range(1, 5):
        state.reserve([action], later(second * 1_000))
        state.settle([Outcome(action, OutcomeKind.UNKNOWN, code="not_found")], later(second * 1_000 + 50))
    apply(state, 5_000)
    assert seen(state).orders == ()


def test_a_create_whose_reply_was_lost_is_adopted_when_it_is_listed() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.UNKNOWN, code="timeout")], NOW)
    apply(state, 3_000)
    assert seen(state).orders[0].state is OrderState.UNKNOWN
    apply(state, 8_000, orders=(told(600, 400),), fills=(fill(),), positions=held(400))
    (order,) = seen(state).orders
    assert (order.state, order.remaining_e2) == (OrderState.RESTING, 600)
    assert (seen(state).position.net_e2, seen(state).long_worst_e2) == (400, 1_000)


def test_a_create_is_proven_absent_only_after_the_signature_window() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.UNKNOWN, code="timeout")], NOW)
    apply(state, 30_000)
    assert seen(state, later(30_000)).on_hold
    apply(state, 31_000)
    assert seen(state, later(31_000)).orders == ()


def test_an_order_of_ours_from_before_is_adopted_with_its_fills_booked_once() -> None:
    state = manager(fill_keys=frozenset({("t1", "o1")}), positions={T: Position(T, 400, 1_640_000)})
    done = apply(state, 0, orders=(told(300, 700),), fills=(fill(1, 400), fill(2, 300)), positions=held(700))
    assert (done.adopted, done.fills_found, done.mismatches) == (1, 1, ())
    view = seen(state)
    assert (view.position.net_e2, view.orders[0].remaining_e2, view.long_worst_e2) == (700, 300, 1_000)


def test_a_foreign_order_is_reported_and_left_alone() -> None:
    state = manager()
    foreign = told(client_order_id="web-1", order_id="x")
    assert apply(state, 0, orders=(foreign,)).foreign_orders == (foreign,)
    assert seen(state).orders == ()


# ── fills, settlements, positions ───────────────────────────────────────────────────────────────


def test_fills_missed_during_a_disconnect_are_booked_once_whatever_the_overlap() -> None:
    state = manager()
    placed(state)
    state.apply(FillSeen(fill(1, 100)), NOW)
    missed = tuple(fill(n, 100) for n in range(1, 6))
    for at_ms in (5_000, 10_000):
        apply(state, at_ms, orders=(told(500, 500),), fills=missed, positions=held(500))
    assert seen(state).position.net_e2 == 500
    assert state.fills_booked == 5


def test_a_foreign_fill_moves_our_position_as_it_moves_the_accounts() -> None:
    state = manager()
    done = apply(state, 0, fills=(fill(client_order_id="web", order_id="x"),), positions=held(400))
    assert (done.fills_found, done.mismatches) == (1, ())


def test_a_settlement_in_a_read_pays_the_position_out_once() -> None:
    state = manager(positions={T: Position(T, 400, 1_640_000)})
    payout = Settlement(T, 10_000, NOON_MS)
    assert apply(state, 0, settlements=(payout,)).settled == 1
    assert apply(state, 5_000, settlements=(payout,)).settled == 0
    assert state.positions[T].net_e2 == 0


@pytest.mark.parametrize(("ours", "theirs"), [(400, 500), (400, 0), (0, 100), (-100, 100)])
def test_a_position_that_differs_is_named_at_once_and_halts_after_a_minute(ours: int, theirs: int) -> None:
    state = manager(positions={T: Position(T, ours, ours * 4_100)})
    reconciler = Reconciler()
    positions = held(theirs) if theirs else ()
    first = apply(state, 0, reconciler, positions=positions)
    assert T in first.mismatches[0]
    assert apply(state, MISMATCH_HALT_MS, reconciler, positions=positions).halt_reason == ""
    halted = apply(state, MISMATCH_HALT_MS + 1, reconciler, positions=positions)
    assert "position mismatch" in halted.halt_reason


def test_a_position_that_differs_in_two_reads_freezes_its_market_until_they_agree() -> None:
    state = manager(positions={T: Position(T, 400, 1_640_000)})
    reconciler = Reconciler()
    apply(state, 0, reconciler, positions=held(400))
    apply(state, 5_000, reconciler, positions=held(300))
    assert seen(state).frozen == ""
    apply(state, 10_000, reconciler, positions=held(300))
    assert seen(state).frozen == "position in dispute: KXA: we believe 4.00, the exchange says 3.00"
    assert state.view(later(10_000)).unexplained
    apply(state, 15_000, reconciler, positions=held(400))
    assert seen(state).frozen == ""
    assert not state.view(later(15_000)).unexplained


def test_a_position_that_differs_in_one_read_is_not_added_to_before_the_next() -> None:
    state = manager(positions={T: Position(T, 400, 1_640_000)})
    reconciler = Reconciler()
    apply(state, 0, reconciler, positions=held(400))
    assert seen(state).on_hold == ""
    apply(state, 5_000, reconciler, positions=held(500))
    assert seen(state).on_hold == "the last read told of another position"
    apply(state, 10_000, reconciler, positions=held(400))
    assert seen(state).on_hold == ""


@pytest.mark.parametrize("filled_at_ms", [-10_000, 100])
def test_nothing_is_risked_in_a_market_before_its_position_was_once_the_exchanges(filled_at_ms: int) -> None:
    """Also not when the first read is too old to be compared."""
    state = manager(positions={T: Position(T, 400, 1_640_000)})
    reconciler = Reconciler()
    found = fill(2, 100, time_ms=NOON_MS + filled_at_ms)
    apply(state, 0, reconciler, fills=(found,), positions=held(300))
    assert seen(state).frozen == "position in dispute: KXA: we believe 5.00, the exchange says 3.00"
    apply(state, 400, reconciler, positions=held(400))
    assert seen(state).frozen
    apply(state, 5_000, reconciler, positions=held(500))
    assert seen(state).frozen == ""


def test_a_fill_suspected_on_a_finished_order_counts_until_a_newer_read_shows_the_position_without_it() -> (
    None
):
    state, reconciler = manager(), Reconciler()
    placed(state)
    action = Cancel("b-1", "o1", T, 0)
    state.reserve([action], NOW)
    state.settle([Outcome(action, OutcomeKind.ACCEPTED, "o1", reduced_by_e2=600)], NOW)
    assert state.view(NOW).unexplained
    apply(state, 10_000, reconciler)
    assert seen(state).long_worst_e2 == 400
    apply(state, 11_000, reconciler)
    assert seen(state).long_worst_e2 == 0
    assert not state.view(later(11_000)).unexplained


def test_a_difference_that_heals_begins_anew() -> None:
    state = manager(positions={T: Position(T, 400, 1_640_000)})
    reconciler = Reconciler()
    apply(state, 0, reconciler, positions=held(300))
    apply(state, 40_000, reconciler, positions=held(400))
    late = apply(state, 80_000, reconciler, positions=held(300))
    assert late.mismatches
    assert late.halt_reason == ""


def test_a_read_older_than_the_last_fill_says_nothing_about_the_position() -> None:
    """Reads lag: in a market that trades every second each read is a fill behind, for as long as it trades."""
    state, reconciler = manager(), Reconciler()
    for second in range(0, 120, 5):
        at = later(second * 1_000)
        state.apply(FillSeen(fill(second + 1, 100, time_ms=at.exchange_ms)), at)
        lagging = held(second // 5 * 100)
        done = reconciler.apply(read(at, positions=lagging), state, at)
        assert (done.mismatches, done.halt_reason) == ((), "")
    assert apply(state, 130_000, reconciler, positions=held(0)).mismatches


def test_the_newest_moment_that_was_read_is_remembered() -> None:
    state, reconciler = manager(), Reconciler()
    apply(state, 5_000, reconciler)
    apply(state, 1_000, reconciler)
    assert reconciler.last_as_of_ms == later(4_500).exchange_ms


def test_a_read_does_not_take_an_order_that_was_sent_after_it_for_gone() -> None:
    """The reply of a create says when it was sent, not when it was applied: a listing between the two lacks it."""
    state = manager()
    placed(state)
    at = later(700)
    Reconciler().apply(read(at, as_of_ms=NOW.exchange_ms + 20), state, at)
    assert seen(state).orders[0].state is OrderState.RESTING


# ── cash ────────────────────────────────────────────────────────────────────────────────────────


def cash_reads(reconciler: Reconciler, state: StateManager, at_s: range, dollars: int) -> list[str]:
    """The halts that reads every five seconds with this balance ask for."""
    told_ = [apply(state, at * 1_000, reconciler, balance=Balance(dollars * 1_000_000)) for at in at_s]
    return [result.halt_reason for result in told_ if result.halt_reason]


def test_cash_that_moved_without_a_booking_halts_and_lifting_the_halt_accepts_it() -> None:
    state, reconciler = manager(), Reconciler()
    assert cash_reads(reconciler, state, range(0, 30, 5), 100) == []
    asked = cash_reads(reconciler, state, range(30, 120, 5), 90)
    assert set(asked) == {"cash differs from the books"}
    state.apply(HaltsChanged((), resumed_ms=later(120_000).exchange_ms), later(120_000))
    assert cash_reads(reconciler, state, range(120, 400, 5), 90) == []
    assert cash_reads(reconciler, state, range(400, 500, 5), 100) != []


def test_cash_may_move_while_an_operator_has_paused() -> None:
    state, reconciler = manager(), Reconciler()
    assert cash_reads(reconciler, state, range(0, 30, 5), 100) == []
    state.apply(
        HaltsChanged((replace(halt("deposit", hold=Hold.PAUSED), raised_by="operator"),)), later(30_000)
    )
    assert cash_reads(reconciler, state, range(30, 200, 5), 350) == []
    state.apply(HaltsChanged(()), later(200_000))
    assert cash_reads(reconciler, state, range(200, 400, 5), 350) == []


# ── what belongs to which order and market, and to which moment ─────────────────────────────────


def test_of_the_missed_fills_only_its_own_are_taken_off_an_order_that_is_adopted() -> None:
    state = manager()
    others = fill(2, 300, order_id="o2", client_order_id="b-2")
    apply(state, 5_000, orders=(told(300, 700),), fills=(fill(1, 400), others), positions=held(700))
    (order,) = seen(state).orders
    assert (order.filled_e2, order.booked_e2, order.exposed_e2) == (700, 700, 300)


def test_fills_that_are_newer_than_the_list_leave_an_adopted_order_nothing_booked_that_was_not() -> None:
    state = manager()
    apply(state, 5_000, orders=(told(1_000, 0),), fills=(fill(1, 400),), positions=held(400))
    (order,) = seen(state).orders
    assert (order.booked_e2, order.exposed_e2) == (400, 600)


@pytest.mark.parametrize(("after_ms", "differing"), [(0, 0), (1, 1)])
def test_a_read_says_something_about_the_position_only_from_after_the_last_fill(
    after_ms: int, differing: int
) -> None:
    state, reconciler = manager(), Reconciler()
    apply(state, 1_000, reconciler)
    state.book_fill(fill(1, 400), NOW)
    at = later(5_000)
    account = replace(read(at, positions=held(300)), as_of_ms=fill(1).time_ms + after_ms)
    assert len(reconciler.apply(account, state, at).mismatches) == differing


def test_a_position_that_agrees_acquits_the_orders_of_its_own_market_only() -> None:
    state, reconciler = manager(), Reconciler()
    state.apply(CatalogChanged((market(), market(f"A{T}"))), NOW)
    placed(state)
    state.apply(OrderSeen(told(0, 1_000, status="executed")), NOW)
    assert seen(state).long_worst_e2 == 1_000
    both = (ExchangePosition(f"A{T}", 0), ExchangePosition(T, 500))
    apply(state, 60_000, reconciler, positions=both)
    assert seen(state).long_worst_e2 == 1_000


def test_pnl_that_nothing_explains_is_told_once_and_only_by_reads_from_after_the_last_fill() -> None:
    state, reconciler = manager(), Reconciler()
    state.book_fill(fill(1, 400), NOW)
    apply(state, 1_000, reconciler, positions=held(400))

    def told_of(as_of_ms: int) -> int:
        at = later(5_000)
        over = (replace(held(400)[0], realised_e6=5_000_000),)
        return reconciler.apply(
            replace(read(at, positions=over), as_of_ms=as_of_ms), state, at
        ).unexplained_pnl_e6

    moment = fill(1).time_ms
    assert [told_of(moment), told_of(moment + 1), told_of(moment + 2)] == [0, 5_000_000, 0]
