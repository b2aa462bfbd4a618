"""From wishes to messages: nothing for what is already right, the least for the rest, one order a side."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.models import (
    AccountLimits,
    Amend,
    BookView,
    BucketLimit,
    Cancel,
    Instant,
    Place,
    Quote,
    Side,
)
from dora_bot.order_diff import PULSE_MS, OrderLease, cancel, diff, outran, pulse
from dora_bot.own_orders import OrderState, OwnOrder
from dora_bot.units import ONE_E4
from dora_bot.views import MarketView
from dora_bot.write_budget import Wanted
from dora_bot.write_worth import move_worth, quote_worth
from tests.fakes.core import (
    NOW,
    Sent,
    T,
    book,
    config,
    later,
    market,
    market_view,
    numbered,
    own,
    said,
)
from tests.fakes.core import view as view_of

LEASE = OrderLease(group_of_shard=((2, "g2"),))
BID = Quote(T, Side.BID, 4_100, 1_000)
ASK = Quote(T, Side.ASK, 4_900, 1_000)


def messages(view: MarketView, *wished: Quote, now: Instant = NOW) -> list[Wanted]:
    return diff(wished, view, LEASE, numbered(), now)


def one(view: MarketView, *wished: Quote, now: Instant = NOW) -> Wanted:
    (only,) = messages(view, *wished, now=now)
    return only


# ── nothing to say ──────────────────────────────────────────────────────────────────────────────


def test_orders_that_are_already_right_get_no_message() -> None:
    assert messages(market_view(own(), own(Side.ASK, 4_900)), BID, ASK) == []


def test_no_wish_and_no_order_is_silence() -> None:
    assert messages(market_view()) == []


def test_a_wish_that_moves_within_the_tolerance_leaves_the_order_in_its_queue() -> None:
    for price in (4_000, 4_100, 4_200):
        assert messages(market_view(own()), replace(BID, price_e4=price)) == []


def test_a_fair_value_that_oscillates_by_a_tick_gives_no_message_at_all() -> None:
    view = market_view(own(), own(Side.ASK, 4_900))
    for tick in range(20):
        shift = 100 * (tick % 2)
        moved = (replace(BID, price_e4=4_100 - shift), replace(ASK, price_e4=4_900 - shift))
        assert messages(view, *moved, now=later(500 * tick)) == []


def test_an_order_partly_filled_is_not_topped_up_before_half_is_gone() -> None:
    assert messages(market_view(own(reported_e2=500)), BID) == []
    wanted = one(market_view(own(reported_e2=501, booked_e2=501)), BID)
    assert said(wanted.action) == Sent("Amend", "bid", 4_100, 1_501)


# ── new, gone, changed ──────────────────────────────────────────────────────────────────────────


def test_a_new_wish_becomes_a_post_only_order_that_ends_by_itself() -> None:
    elsewhere = market_view(of=market(exchange_index=2))
    wanted = one(elsewhere, BID)
    assert wanted.action == Place(
        client_order_id="n-1",
        ticker=T,
        side=Side.BID,
        price_e4=4_100,
        count_e2=1_000,
        expiration_ms=NOW.exchange_ms + LEASE.life_ms,
        exchange_index=2,
        order_group_id="g2",
        reason="new quote",
    )
    assert wanted.action.post_only


def test_every_new_order_has_an_id_of_its_own() -> None:
    ids = [w.action.client_order_id for w in messages(market_view(), BID, ASK)]
    assert ids == ["n-1", "n-2"]


def test_an_order_that_is_not_wished_is_cancelled_on_its_own_shard() -> None:
    order = own(exchange_index=3)
    assert one(market_view(order)).action == Cancel(order.client_order_id, order.order_id, T, 3, "not wished")


@pytest.mark.parametrize(
    ("side", "wished"), [(Side.BID, 3_900), (Side.BID, 4_300), (Side.ASK, 4_700), (Side.ASK, 5_100)]
)
def test_off_by_more_than_a_tick_the_order_is_amended_to_the_wish(side: Side, wished: int) -> None:
    order = own(side, 4_100 if side is Side.BID else 4_900)
    wanted = one(market_view(order), Quote(T, side, wished, 1_000))
    assert said(wanted.action) == Sent("Amend", side, wished, 1_000)
    adverse = (order.price_e4 - wished) * side.sign > 0
    assert wanted.outrun is adverse
    assert isinstance(wanted.action, Amend)
    assert wanted.action.expiration_ms == NOW.exchange_ms + LEASE.life_ms


def test_an_amend_names_filled_plus_wanted_so_that_a_fill_on_the_way_cannot_overfill() -> None:
    order = own(total_e2=1_000, reported_e2=300, booked_e2=200)
    assert said(one(market_view(order), replace(BID, price_e4=4_400)).action).size_e2 == 1_300


def test_a_wish_that_shrinks_keeps_the_queue_place() -> None:
    wanted = one(market_view(own()), replace(BID, count_e2=400, price_e4=4_200))
    assert said(wanted.action) == Sent("Amend", "bid", 4_100, 400)
    assert not wanted.outrun


def test_a_young_order_may_wait_to_be_improved_but_not_to_be_withdrawn() -> None:
    patient = config(min_requote_s=2)
    view = market_view(own(), with_config=patient)
    assert messages(view, replace(BID, price_e4=4_400), now=later(1_999)) == []
    assert not one(view, replace(BID, price_e4=4_400), now=later(2_000)).outrun
    assert one(view, replace(BID, price_e4=3_800), now=later(1)).outrun


def test_the_tolerance_is_the_configs() -> None:
    exact = market_view(own(), with_config=config(requote_tolerance_ticks=0))
    assert said(one(exact, replace(BID, price_e4=4_200)).action).price_e4 == 4_200


# ── expiry ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("left_ms", "urgent"),
    [(25_000, None), (24_999, False), (10_000, False), (9_999, True), (-1, True)],
)
def test_an_order_is_renewed_in_place_before_it_expires(left_ms: int, *, urgent: bool | None) -> None:
    order = own(reported_e2=100, booked_e2=100, expiration_ms=NOW.exchange_ms + left_ms)
    wanted = messages(market_view(order), BID)
    assert [w.urgent for w in wanted] == ([urgent] if urgent is not None else [])
    if wanted:
        assert said(wanted[0].action) == Sent("Amend", "bid", order.price_e4, order.total_e2)
        assert isinstance(wanted[0].action, Amend)
        assert wanted[0].action.expiration_ms == NOW.exchange_ms + LEASE.life_ms


def test_renewals_keep_every_order_alive_over_ten_minutes_without_a_price_change() -> None:
    order, sent = own(), 0
    for tick in range(1_200):
        now = later(500 * tick)
        for wanted in messages(market_view(order), BID, now=now):
            assert isinstance(wanted.action, Amend)
            assert wanted.action.price_e4 == order.price_e4
            order = replace(order, expiration_ms=wanted.action.expiration_ms, written=now)
            sent += 1
        assert order.expiration_ms > now.exchange_ms
        assert order.expiration_ms <= now.exchange_ms + 55_000
    assert 20 <= sent <= 25


def limits(write_per_s: int, amend_cost: int = 10) -> AccountLimits:
    bucket = BucketLimit(write_per_s, write_per_s)
    return AccountLimits("some", bucket, bucket, amend_cost=amend_cost)


@pytest.mark.parametrize(
    ("orders", "write_per_s", "amend_cost", "life_ms"),
    [
        (0, 100, 10, 30_000),
        (30, 100, 10, 30_000),
        (40, 100, 10, 40_000),
        (40, 100, 12, 48_000),
        (50, 100, 10, 50_000),
        (400, 100, 10, 50_000),
        (400, 1_200, 10, 33_334),
        (400, 9_600, 10, 30_000),
    ],
)
def test_orders_live_as_short_as_the_tier_can_renew_them(
    orders: int, write_per_s: int, amend_cost: int, life_ms: int
) -> None:
    lease = LEASE.fitted(orders, limits(write_per_s, amend_cost))
    assert (lease.life_ms, lease.renew_below_ms) == (life_ms, life_ms // 2)
    assert lease.group(2) == "g2"
    tokens_per_s = orders * amend_cost / (lease.renew_below_ms / 1_000)
    assert tokens_per_s <= 0.2 * write_per_s + 0.1 or life_ms == 50_000


# ── orders whose fate is not known ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [OrderState.IN_FLIGHT, OrderState.UNKNOWN, OrderState.CLOSING])
def test_nothing_new_on_a_side_where_an_order_may_still_live(state: OrderState) -> None:
    assert messages(market_view(own(state=state)), BID) == []


def test_h1_a_cancel_answered_404_gets_no_replacement_until_evidence_comes() -> None:
    order = own(state=OrderState.CLOSING)
    for tick in range(40):
        sent = messages(market_view(order), BID, now=later(500 * tick))
        assert all(isinstance(w.action, Cancel) for w in sent)


def test_a_cancel_without_an_answer_is_repeated_once_a_second() -> None:
    order = own(state=OrderState.CLOSING)
    assert messages(market_view(order), now=later(999)) == []
    assert one(market_view(order), now=later(1_000)).action == cancel(order, "cancel repeated")


def test_a_cancel_that_was_refused_is_tried_again_after_a_second_without_a_storm() -> None:
    order = own(cancel_again_mono_ms=later(1_000).mono_ms)
    assert messages(market_view(order), now=later(999)) == []
    assert one(market_view(order), now=later(1_000)).action == cancel(order, "not wished")
    amended = own(cancel_again_mono_ms=None)
    assert one(market_view(amended), now=later(1)).action == cancel(amended, "not wished")


def test_two_orders_on_a_side_leave_the_one_nearest_to_the_wish() -> None:
    near, far = own(), own(client_order_id="c2", order_id="o2", price_e4=3_000)
    assert one(market_view(far, near), BID).action == cancel(far, "not wanted twice")
    assert one(market_view(far, near), replace(BID, price_e4=3_000)).action == cancel(
        near, "not wanted twice"
    )


# ── any state ───────────────────────────────────────────────────────────────────────────────────

STATES = [s for s in OrderState if s is not OrderState.DONE]
CENT = st.integers(1, 99).map(lambda cents: cents * 100)


@st.composite
def own_orders_any(draw: st.DrawFn) -> list[OwnOrder]:
    found = []
    for number in range(draw(st.integers(0, 5))):
        order = own(
            draw(st.sampled_from(Side)),
            draw(CENT),
            draw(st.integers(1, 2_000)),
            draw(st.sampled_from(STATES)),
        )
        filled = draw(st.integers(0, order.total_e2))
        found.append(
            replace(
                order,
                client_order_id=f"c{number}",
                order_id=f"o{number}",
                reported_e2=filled,
                expiration_ms=NOW.exchange_ms + draw(st.integers(-1_000, 55_000)),
            )
        )
    return found


WISHES = st.lists(
    st.builds(Quote, st.just(T), st.sampled_from(Side), CENT, st.integers(1, 2_000)),
    max_size=2,
    unique_by=lambda q: q.side,
)


@given(own_orders_any(), WISHES)
def test_never_a_second_order_on_a_side_and_never_two_messages_for_one_order(
    orders: list[OwnOrder], wished: list[Quote]
) -> None:
    sent = [w.action for w in messages(market_view(*orders), *wished)]
    for side in Side:
        on_side = [o for o in orders if o.side is side]
        places = [a for a in sent if isinstance(a, Place) and a.side is side]
        assert len(places) <= (0 if on_side else 1)
    touched = [a.client_order_id for a in sent]
    assert len(touched) == len(set(touched))
    if not wished:
        assert all(isinstance(a, Cancel) for a in sent)
        resting = {o.client_order_id for o in orders if o.state is OrderState.RESTING}
        assert resting <= set(touched)


@given(own_orders_any(), WISHES)
def test_the_other_leg_gets_the_mirrored_messages(orders: list[OwnOrder], wished: list[Quote]) -> None:
    flipped = [replace(o, side=o.side.other, price_e4=ONE_E4 - o.price_e4) for o in orders]
    opposite = [replace(q, side=q.side.other, price_e4=ONE_E4 - q.price_e4) for q in wished]

    def told(sent: list[Wanted], *, mirror: bool) -> set[tuple[str, str, int, int, int, bool]]:
        lines = set()
        for wanted in sent:
            what = said(wanted.action)
            side, price = what.side, what.price_e4
            if mirror and side:
                side, price = Side(side).other, ONE_E4 - price
            lines.add((what.kind, str(side), price, what.size_e2, wanted.worth, wanted.outrun))
        return lines

    # With two orders equally near to a wish the older id stays, on both legs; without a wish any one does.
    if len({o.side for o in orders}) < len(orders):
        return
    ours = told(messages(market_view(*orders), *wished), mirror=False)
    other_leg = market_view(*flipped, seen=book(5_000, 6_000))
    assert ours == told(messages(other_leg, *opposite), mirror=True)


# ── edge ────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_within_the_tolerance_that_has_lost_its_edge_is_moved_at_once() -> None:
    a_tick_off = replace(BID, price_e4=4_000)
    assert messages(market_view(own()), replace(a_tick_off, limit_e4=4_100)) == []
    wanted = one(market_view(own()), replace(a_tick_off, limit_e4=4_000))
    assert (said(wanted.action), wanted.outrun) == (Sent("Amend", "bid", 4_000, 1_000), True)


# ── on hold ─────────────────────────────────────────────────────────────────────────────────────


def on_hold(*orders: OwnOrder) -> MarketView:
    return replace(market_view(*orders), on_hold="the fate of c9 is unknown")


def test_on_hold_a_quote_that_is_still_right_stays_and_nothing_new_is_placed() -> None:
    assert messages(on_hold(own()), BID, ASK) == []


def test_on_hold_a_quote_that_the_market_has_outrun_is_taken_away_instead_of_moved() -> None:
    wanted = one(on_hold(own()), replace(BID, price_e4=3_800))
    assert wanted.action == Cancel("c-bid", "o-bid", T, 0, "on hold: reprice")


def test_on_hold_an_improvement_or_a_renewal_waits() -> None:
    assert messages(on_hold(own()), replace(BID, price_e4=4_400)) == []
    old = replace(own(), expiration_ms=NOW.exchange_ms + 5_000)
    assert messages(on_hold(old), BID) == []


# ── waking up early ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (book(4_000, 5_000), False),
        (book(4_100, 4_900), False),
        (book(4_100, 5_000), False),
        (book(4_100, 5_101), True),
        (book(3_900, 4_800), True),
        (book(4_000, None), True),
        (book(None, 5_000), True),
        (book(4_000, 5_000, proven=False), True),
    ],
)
def test_a_quote_is_outrun_when_the_middle_moved_by_half_its_smallest_edge(
    *, now: BookView, expected: bool
) -> None:
    assert outran(book(4_000, 5_000), now, config(min_spread="0.04")) is expected


def test_what_was_not_quotable_before_cannot_be_outrun() -> None:
    for then in (book(None, 5_000), book(4_000, None), book(proven=False)):
        assert not outran(then, book(1_000, 9_000), config())


# ── what a move is worth, and the pulse ─────────────────────────────────────────────────────────


def test_a_quote_that_was_outrun_is_worth_what_it_moves_to_and_an_improvement_only_the_difference() -> None:
    view = market_view(own())
    back, closer = replace(BID, price_e4=3_500), replace(BID, price_e4=4_400)
    (order,) = view.orders
    for wished, worth in (
        (back, quote_worth(view, back, NOW)),
        (closer, move_worth(view, order, closer, NOW)),
    ):
        assert one(view, wished).worth == worth
    assert quote_worth(view, closer, NOW) != move_worth(view, order, closer, NOW)


def test_the_oldest_order_is_renewed_before_its_time_where_no_other_was_for_a_while() -> None:
    end_ms = NOW.exchange_ms + LEASE.life_ms - PULSE_MS - 1
    newer, older = own(expiration_ms=end_ms), own(Side.ASK, 4_900, expiration_ms=end_ms - 1)
    calm = market_view(newer, older)
    (renewal,) = pulse(view_of(calm), [], LEASE, NOW)
    assert renewal.action.client_order_id == older.client_order_id
    assert pulse(view_of(calm), [], LEASE, later(-2)) == []
    for held in (replace(calm, on_hold="in doubt"), replace(calm, frozen="paused")):
        assert pulse(view_of(held), [], LEASE, NOW) == []
