"""The life of one order: what each outcome, frame and read makes of it, and what may still come into the position."""

from dataclasses import replace

import pytest

from dora_bot import own_orders
from dora_bot.models import (
    Amend,
    Cancel,
    ExchangeOrder,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)
from dora_bot.own_orders import OrderState, OwnOrder
from tests.fakes.core import NOW, T, later, own
from tests.fakes.manual_clock import NOON_MS

PLACE = Place("c1", T, Side.BID, 4_100, 1_000, NOON_MS + 50_000, 0)
AMEND = Amend("c1", "o1", T, Side.BID, 4_200, 1_500, NOON_MS + 60_000, 0)
CANCEL = Cancel("c1", "o1", T, 0)
SOON = later(100)
SIGNATURE_WINDOW_MS = 30_000
APPLIED_MS = 2_500
"""The facts, not the code's own numbers: a signature lives 30 s; a call ends within 2 s, and clocks differ by half a one."""


def in_flight() -> OwnOrder:
    return own_orders.opened(PLACE, NOW)


def resting(**changes: object) -> OwnOrder:
    return replace(own(client_order_id="c1", order_id="o1"), **changes)  # type: ignore[arg-type]  # built by name


def told(
    price_e4: int = 4_100, remaining_e2: int = 1_000, filled_e2: int = 0, status: str = "resting"
) -> ExchangeOrder:
    return ExchangeOrder("o1", "c1", T, Side.BID, price_e4, remaining_e2, filled_e2, status)


def amended(remaining_e2: int = 1_500, filled_e2: int = 0) -> ExchangeOrder:
    """The exchange's word on the order once the amend was applied."""
    return replace(told(4_200, remaining_e2, filled_e2), expiration_ms=AMEND.expiration_ms)


# ── the four outcomes of a create ───────────────────────────────────────────────────────────────


def test_a_create_counts_in_full_before_its_first_byte_leaves() -> None:
    order = in_flight()
    assert (order.state, order.exposed_e2, order.live) == (OrderState.IN_FLIGHT, 1_000, True)


def test_an_accepted_create_rests_under_the_exchanges_id() -> None:
    accepted = Outcome(PLACE, OutcomeKind.ACCEPTED, "o1", filled_e2=0, remaining_e2=1_000)
    order = own_orders.settled(in_flight(), accepted, SOON)
    assert (order.state, order.order_id, order.remaining_e2, order.pending) == (
        OrderState.RESTING,
        "o1",
        1_000,
        None,
    )


def test_a_create_that_filled_at_once_is_done_and_its_fills_still_count_until_they_are_booked() -> None:
    outcome = Outcome(PLACE, OutcomeKind.ACCEPTED, "o1", filled_e2=1_000, remaining_e2=0)
    order = own_orders.settled(in_flight(), outcome, SOON)
    assert (order.state, order.exposed_e2) == (OrderState.DONE, 1_000)
    assert replace(order, booked_e2=1_000).exposed_e2 == 0


@pytest.mark.parametrize("kind", [OutcomeKind.REFUSED, OutcomeKind.DENIED_LOCALLY])
def test_a_create_that_provably_never_was_releases_its_reservation(kind: OutcomeKind) -> None:
    order = own_orders.settled(in_flight(), Outcome(PLACE, kind, code="no"), SOON)
    assert (order.state, order.exposed_e2) == (OrderState.DONE, 0)
    assert "no" in order.evidence


def test_a_create_with_an_unknown_end_goes_on_counting_in_full() -> None:
    order = own_orders.settled(in_flight(), Outcome(PLACE, OutcomeKind.UNKNOWN, code="timeout"), SOON)
    assert (order.state, order.exposed_e2) == (OrderState.UNKNOWN, 1_000)


# ── the four outcomes of an amend ───────────────────────────────────────────────────────────────


def amending() -> OwnOrder:
    return own_orders.reserved(resting(), AMEND, NOW)


def test_of_an_amend_in_doubt_the_worse_of_old_and_new_counts() -> None:
    assert amending().exposed_e2 == 1_500
    smaller = own_orders.reserved(resting(), replace(AMEND, total_e2=200), NOW)
    assert smaller.exposed_e2 == 1_000
    unknown = own_orders.settled(amending(), Outcome(AMEND, OutcomeKind.UNKNOWN), SOON)
    assert (unknown.state, unknown.exposed_e2) == (OrderState.UNKNOWN, 1_500)


@pytest.mark.parametrize(
    ("side", "new", "worst"),
    [(Side.BID, 4_200, 4_200), (Side.BID, 4_000, 4_100), (Side.ASK, 4_000, 4_000), (Side.ASK, 4_200, 4_100)],
)
def test_an_amend_in_doubt_counts_at_the_price_that_costs_more(side: Side, new: int, worst: int) -> None:
    doubtful = own_orders.reserved(resting(side=side), replace(AMEND, side=side, price_e4=new), NOW)
    assert doubtful.exposed_price_e4 == worst


def test_an_accepted_amend_moves_price_size_and_expiry() -> None:
    order = own_orders.settled(
        amending(), Outcome(AMEND, OutcomeKind.ACCEPTED, "o1", remaining_e2=1_500), SOON
    )
    assert (order.state, order.price_e4, order.total_e2, order.expiration_ms, order.pending) == (
        OrderState.RESTING,
        4_200,
        1_500,
        AMEND.expiration_ms,
        None,
    )


@pytest.mark.parametrize("kind", [OutcomeKind.REFUSED, OutcomeKind.DENIED_LOCALLY])
def test_a_refused_amend_leaves_the_order_as_it_was(kind: OutcomeKind) -> None:
    order = own_orders.settled(amending(), Outcome(AMEND, kind), SOON)
    assert order == replace(resting(), written=NOW)


def test_an_amend_that_leaves_nothing_is_the_end_of_the_order() -> None:
    outcome = Outcome(AMEND, OutcomeKind.ACCEPTED, "o1", filled_e2=1_500, remaining_e2=0)
    assert own_orders.settled(amending(), outcome, SOON).state is OrderState.DONE


# ── the four outcomes of a cancel ───────────────────────────────────────────────────────────────


def closing() -> OwnOrder:
    return own_orders.reserved(resting(), CANCEL, NOW)


def test_a_cancel_in_flight_keeps_the_order_counted() -> None:
    assert (closing().state, closing().exposed_e2) == (OrderState.CLOSING, 1_000)


def test_an_accepted_cancel_ends_the_order() -> None:
    order = own_orders.settled(
        closing(), Outcome(CANCEL, OutcomeKind.ACCEPTED, "o1", reduced_by_e2=1_000), SOON
    )
    assert (order.state, order.exposed_e2) == (OrderState.DONE, 0)


def test_what_a_cancel_did_not_take_away_counts_as_filled_until_the_fill_is_read() -> None:
    order = own_orders.settled(
        closing(), Outcome(CANCEL, OutcomeKind.ACCEPTED, "o1", reduced_by_e2=400), SOON
    )
    assert (order.state, order.exposed_e2) == (OrderState.DONE, 600)
    assert replace(order, booked_e2=600).exposed_e2 == 0


def test_a_cancel_answered_404_keeps_the_order_closing_and_counted() -> None:
    order = own_orders.settled(closing(), Outcome(CANCEL, OutcomeKind.UNKNOWN, code="not_found"), SOON)
    assert (order.state, order.exposed_e2) == (OrderState.CLOSING, 1_000)


def test_a_cancel_in_a_closed_market_is_not_repeated_for_ten_seconds() -> None:
    order = own_orders.settled(closing(), Outcome(CANCEL, OutcomeKind.UNKNOWN, code="market_inactive"), SOON)
    assert order.cancel_again_mono_ms == SOON.mono_ms + own_orders.RECANCEL_CLOSED_MS
    other = own_orders.settled(closing(), Outcome(CANCEL, OutcomeKind.UNKNOWN, code="not_found"), SOON)
    assert other.cancel_again_mono_ms == NOW.mono_ms + own_orders.RECANCEL_AFTER_MS


@pytest.mark.parametrize("kind", [OutcomeKind.REFUSED, OutcomeKind.DENIED_LOCALLY])
def test_a_cancel_that_did_not_happen_leaves_the_order_resting(kind: OutcomeKind) -> None:
    assert own_orders.settled(closing(), Outcome(CANCEL, kind), SOON).state is OrderState.RESTING


# ── frames ──────────────────────────────────────────────────────────────────────────────────────


def unknown_create() -> OwnOrder:
    return own_orders.settled(in_flight(), Outcome(PLACE, OutcomeKind.UNKNOWN), SOON)


def unknown_amend() -> OwnOrder:
    return own_orders.settled(amending(), Outcome(AMEND, OutcomeKind.UNKNOWN), SOON)


def test_a_frame_of_a_lost_create_adopts_it() -> None:
    order = own_orders.seen(unknown_create(), told(remaining_e2=700, filled_e2=300), SOON)
    assert (order.state, order.order_id, order.remaining_e2) == (OrderState.RESTING, "o1", 700)
    assert order.exposed_e2 == 1_000


def test_a_frame_that_shows_the_amended_order_settles_the_doubt_and_an_older_one_does_not() -> None:
    applied = own_orders.seen(unknown_amend(), amended(), SOON)
    assert (applied.state, applied.price_e4, applied.total_e2) == (OrderState.RESTING, 4_200, 1_500)
    dearer = replace(amended(), price_e4=4_300)
    for other in (told(4_100, 1_000), dearer, amended(1_499), amended(1_501)):
        before = own_orders.seen(unknown_amend(), other, SOON)
        assert (before.state, before.exposed_e2) == (OrderState.UNKNOWN, 1_500)


@pytest.mark.parametrize("by_frame", [True, False])
def test_an_amend_of_the_process_before_that_lands_late_is_taken_over(*, by_frame: bool) -> None:
    """It was held in the network of another machine: no journal here knows of it."""
    grown = replace(told(4_200, 1_500), updated_ms=NOON_MS + APPLIED_MS)
    for late_ms, rests in ((0, (4_100, 1_000)), (1, (4_200, 1_500))):
        now_told = replace(grown, updated_ms=grown.updated_ms + late_ms)
        after = (
            own_orders.seen(resting(), now_told, SOON)
            if by_frame
            else own_orders.read(resting(), now_told, NOON_MS + 9_000, SOON)
        )
        assert (after.price_e4, after.exposed_e2) == rests


@pytest.mark.parametrize("status", ["canceled", "executed"])
def test_a_final_frame_ends_the_order_in_every_state(status: str) -> None:
    for order in (in_flight(), resting(), unknown_create(), unknown_amend(), closing()):
        ended = own_orders.seen(order, told(remaining_e2=0, filled_e2=300, status=status), SOON, reason="why")
        assert (ended.state, ended.exposed_e2) == (OrderState.DONE, 300)
        assert status in ended.evidence
        assert "why" in ended.evidence


def test_a_status_nobody_knows_changes_nothing_but_the_reported_fills() -> None:
    order = own_orders.seen(resting(), told(remaining_e2=1, filled_e2=200, status="unknown"), SOON)
    assert order == replace(resting(), reported_e2=200)
    for status in ("held", "unknown"):
        assert own_orders.seen(unknown_create(), told(status=status), SOON).state is OrderState.UNKNOWN


def test_reported_fills_never_go_backwards() -> None:
    order = own_orders.seen(resting(reported_e2=500), told(filled_e2=300), SOON)
    assert order.reported_e2 == 500


# ── reads ───────────────────────────────────────────────────────────────────────────────────────


def as_of(milliseconds: int) -> int:
    return NOW.exchange_ms + milliseconds


def test_a_missing_row_in_an_old_read_is_no_evidence() -> None:
    for order in (resting(), closing(), unknown_amend(), unknown_create()):
        assert own_orders.read(order, None, as_of(0), SOON) == order
        assert own_orders.read(order, None, as_of(-5_000), SOON) == order


def test_an_order_missing_from_a_newer_read_is_gone() -> None:
    order = own_orders.read(resting(), None, as_of(5_000), later(5_100))
    assert (order.state, order.exposed_e2) == (OrderState.DONE, 0)


def test_a_lost_create_is_gone_only_when_its_signature_can_no_longer_be_accepted() -> None:
    waiting = own_orders.read(unknown_create(), None, as_of(SIGNATURE_WINDOW_MS), SOON)
    assert (waiting.state, waiting.exposed_e2) == (OrderState.UNKNOWN, 1_000)
    gone = own_orders.read(unknown_create(), None, as_of(SIGNATURE_WINDOW_MS + 1), SOON)
    assert gone.state is OrderState.DONE


def test_an_order_left_in_flight_by_a_tick_that_failed_is_found_or_given_up_like_one_in_doubt() -> None:
    assert own_orders.read(in_flight(), told(), as_of(1_000), SOON).state is OrderState.RESTING
    assert own_orders.seen(in_flight(), told(), SOON).state is OrderState.RESTING
    assert own_orders.read(in_flight(), None, as_of(1_000), SOON) == in_flight()
    assert not own_orders.read(in_flight(), None, as_of(SIGNATURE_WINDOW_MS + 1), SOON).live
    assert (
        own_orders.read(amending(), told(), as_of(SIGNATURE_WINDOW_MS + 1), SOON).state is OrderState.RESTING
    )


def test_a_read_that_lists_a_lost_create_adopts_it() -> None:
    order = own_orders.read(unknown_create(), told(remaining_e2=400, filled_e2=600), as_of(-1_000), SOON)
    assert (order.state, order.order_id, order.exposed_e2) == (OrderState.RESTING, "o1", 1_000)


def test_a_listing_with_the_amended_values_ends_the_doubt_at_once() -> None:
    order = own_orders.read(unknown_amend(), amended(), as_of(1), SOON)
    assert (order.state, order.price_e4, order.total_e2) == (OrderState.RESTING, 4_200, 1_500)


def test_a_renewal_in_doubt_is_proven_by_nothing_but_its_expiry() -> None:
    renewal = Amend("c1", "o1", T, Side.BID, 4_100, 1_000, NOON_MS + 60_000, 0, "renew")
    sent = own_orders.reserved(resting(), renewal, NOW)
    lost = own_orders.settled(sent, Outcome(renewal, OutcomeKind.UNKNOWN, code="timeout"), SOON)
    assert own_orders.seen(lost, told(), SOON).state is OrderState.UNKNOWN
    shown = replace(told(), expiration_ms=NOON_MS + 60_000)
    assert own_orders.seen(lost, shown, SOON).state is OrderState.RESTING


def test_an_amend_that_is_not_seen_may_still_land_until_its_signature_is_too_old() -> None:
    held = own_orders.read(unknown_amend(), told(4_100, 1_000), as_of(SIGNATURE_WINDOW_MS), SOON)
    assert (held.state, held.exposed_e2) == (OrderState.UNKNOWN, 1_500)
    order = own_orders.read(unknown_amend(), told(4_100, 1_000), as_of(SIGNATURE_WINDOW_MS + 1), SOON)
    assert (order.state, order.price_e4, order.exposed_e2) == (OrderState.RESTING, 4_100, 1_000)


def test_an_amend_that_filled_a_part_at_once_reports_the_fills_of_the_whole_order() -> None:
    partly = replace(amending(), reported_e2=300, booked_e2=300)
    outcome = Outcome(AMEND, OutcomeKind.ACCEPTED, "o1", filled_e2=200, remaining_e2=1_000)
    assert own_orders.settled(partly, outcome, SOON).reported_e2 == 500


def test_an_order_still_listed_long_after_its_cancel_must_be_cancelled_again() -> None:
    lagging = own_orders.read(closing(), told(), as_of(500), SOON)
    assert lagging.state is OrderState.CLOSING
    assert own_orders.read(closing(), told(), as_of(APPLIED_MS + 1), SOON).state is OrderState.RESTING


def test_a_finished_order_never_comes_back_to_life() -> None:
    done = own_orders.closed(resting(), 0, "cancel reply", SOON)
    accepted = Outcome(PLACE, OutcomeKind.ACCEPTED, "o1", remaining_e2=1_000)
    assert own_orders.settled(done, accepted, SOON) == done
    assert own_orders.seen(done, told(), SOON) == done
    assert own_orders.read(done, told(), as_of(60_000), SOON) == done


def test_an_order_found_on_the_exchange_is_taken_over_as_it_is_listed() -> None:
    order = own_orders.adopted(told(remaining_e2=700, filled_e2=300), NOW)
    assert (order.state, order.total_e2, order.remaining_e2, order.order_id) == (
        OrderState.RESTING,
        1_000,
        700,
        "o1",
    )
