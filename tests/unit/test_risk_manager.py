"""The veto: no approved set of writes raises a worst case above its cap; cancels always pass; getting out always works."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot import risk_manager
from dora_bot.exposure import ends
from dora_bot.models import Amend, Cancel, ExchangeStatus, Hold, Place, Side
from dora_bot.own_orders import OrderState, OwnOrder
from dora_bot.risk_manager import Verdict
from dora_bot.units import ONE_E4
from dora_bot.views import MarketView, Posture, Stance
from dora_bot.write_budget import Wanted
from tests.fakes.core import NOW, RUN, T, config, halt, limits, market, market_view, own, view
from tests.fakes.manual_clock import NOON_MS


def place(side: Side = Side.BID, price_e4: int = 4_100, count_e2: int = 1_000, **changes: Any) -> Place:
    plain = Place(f"new-{side}-{price_e4}-{count_e2}", T, side, price_e4, count_e2, NOON_MS + 50_000, 0)
    return replace(plain, **changes)


def amend(order: OwnOrder, price_e4: int | None = None, remaining_e2: int | None = None) -> Amend:
    remaining = order.remaining_e2 if remaining_e2 is None else remaining_e2
    return Amend(
        order.client_order_id,
        order.order_id,
        order.ticker,
        order.side,
        price_e4 or order.price_e4,
        order.filled_e2 + remaining,
        NOON_MS + 50_000,
        0,
    )


def vet(
    market: MarketView, *actions: Place | Amend | Cancel, stance: Stance = RUN, **changes: Any
) -> Verdict:
    return risk_manager.vet([Wanted(a) for a in actions], view(market, **changes), stance)


def refusals(verdict: Verdict) -> list[str]:
    return [r.check for r in verdict.refused]


# ── stance and breaches ─────────────────────────────────────────────────────────────────────────


def test_with_nothing_against_it_the_bot_runs() -> None:
    assert risk_manager.stance(view(market_view())) == RUN


@pytest.mark.parametrize(
    ("changes", "posture", "said"),
    [
        ({"halts": (halt("a", "H7"),)}, Posture.HALTED, "H7: a"),
        ({"daily_pnl_e6": -50_000_001}, Posture.HALTED, "daily loss limit"),
        ({"halts": (halt("a", hold=Hold.PAUSED),)}, Posture.PAUSED, "H1: a"),
        ({"halts": (halt("a", hold=Hold.REDUCE_ONLY),)}, Posture.REDUCE_ONLY, "H1: a"),
        ({"global_config": None}, Posture.PAUSED, "no valid global_config yet"),
        ({"global_config": limits(trading_enabled=False)}, Posture.PAUSED, "trading_enabled is false"),
        ({"status": ExchangeStatus(active=True, trading=False)}, Posture.PAUSED, "the exchange is paused"),
        ({"status": ExchangeStatus(active=False, trading=True)}, Posture.PAUSED, "the exchange is paused"),
    ],
)
def test_each_demand_lowers_the_posture_and_says_why(
    changes: dict[str, Any], posture: Posture, said: str
) -> None:
    stance = risk_manager.stance(view(market_view(), **changes))
    assert stance.posture is posture
    assert said in stance.reasons


def test_the_lowest_demand_wins_and_every_reason_is_kept() -> None:
    stance = risk_manager.stance(view(market_view(), halts=(halt(), halt("b", "H2", Hold.PAUSED))))
    assert stance == Stance(Posture.HALTED, ("H1: because", "H2: b"))


def test_the_daily_loss_limit_is_broken_one_micro_dollar_below_it() -> None:
    assert risk_manager.breaches(view(daily_pnl_e6=-50_000_000)) == []
    (breach,) = risk_manager.breaches(view(daily_pnl_e6=-50_000_001))
    assert breach.reason == "daily loss limit"
    assert "-50.000001" in breach.evidence


# ── the single checks ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (place(price_e4=4_150), "not on the grid"),
        (place(price_e4=0), "not on the grid"),
        (place(price_e4=ONE_E4), "not on the grid"),
        (place(count_e2=0), "size"),
        (place(count_e2=-100), "size"),
        (place(count_e2=1_001), "size"),
    ],
)
def test_what_no_order_may_look_like_is_refused(action: Place, said: str) -> None:
    verdict = vet(market_view(), action)
    assert refusals(verdict) == ["check_sanity"]
    assert said in verdict.refused[0].reason


def test_a_price_outside_the_configured_band_is_refused() -> None:
    narrow = market_view(with_config=config(price_min="0.42", price_max="0.48"))
    assert refusals(vet(narrow, place(price_e4=4_100))) == ["check_sanity"]
    assert refusals(vet(narrow, place(price_e4=4_200))) == []


def test_a_frozen_market_takes_cancels_only() -> None:
    order = own()
    frozen = market_view(order, frozen="the fate of c1 is unknown")
    cancel = Cancel(order.client_order_id, order.order_id, T, 0)
    verdict = vet(frozen, place(Side.ASK, 4_900), amend(order), cancel)
    assert refusals(verdict) == ["check_market_open", "check_market_open"]
    assert [w.action for w in verdict.approved] == [cancel]


@pytest.mark.parametrize("state", [s for s in OrderState if s is not OrderState.DONE])
def test_our_bid_stays_below_our_ask_whatever_the_asks_state(state: OrderState) -> None:
    ask = own(Side.ASK, 4_500, state=state)
    assert refusals(vet(market_view(ask), place(price_e4=4_500))) == ["check_self_cross"]
    assert refusals(vet(market_view(ask), place(price_e4=4_400))) == []


def test_two_writes_of_one_tick_must_not_cross_each_other() -> None:
    verdict = vet(market_view(), place(price_e4=4_500), place(Side.ASK, 4_400))
    assert refusals(verdict) == ["check_self_cross"]


def test_an_amend_in_doubt_crosses_at_its_old_and_at_its_new_price() -> None:
    ask = own(Side.ASK, 4_700, state=OrderState.UNKNOWN)
    ask = replace(ask, pending=amend(ask, price_e4=4_400))
    assert refusals(vet(market_view(ask), place(price_e4=4_500))) == ["check_self_cross"]


@pytest.mark.parametrize("posture", [Posture.HALTED, Posture.PAUSED])
def test_cancels_pass_in_every_posture_and_nothing_else_does(posture: Posture) -> None:
    order = own()
    cancel = Cancel(order.client_order_id, order.order_id, T, 0)
    verdict = vet(market_view(order), amend(order), cancel, place(Side.ASK, 4_900), stance=Stance(posture))
    assert [w.action for w in verdict.approved] == [cancel]
    assert refusals(verdict) == ["posture", "posture"]


# ── inventory and exposure ──────────────────────────────────────────────────────────────────────


def test_position_resting_in_flight_and_unknown_all_count_against_the_cap() -> None:
    for state in (OrderState.RESTING, OrderState.IN_FLIGHT, OrderState.UNKNOWN, OrderState.CLOSING):
        near = market_view(own(state=state, total_e2=500), net_e2=9_000)
        assert refusals(vet(near, place(price_e4=4_000, count_e2=501))) == ["check_inventory"]
        assert refusals(vet(near, place(price_e4=4_000, count_e2=500))) == []


def test_what_was_approved_counts_before_the_next_is_looked_at() -> None:
    verdict = vet(market_view(net_e2=9_000), place(count_e2=600), place(price_e4=4_000, count_e2=600))
    assert refusals(verdict) == ["check_inventory"]
    assert len(verdict.approved) == 1


def test_an_order_that_was_told_filled_before_its_fill_arrived_cannot_be_topped_up_over_the_cap() -> None:
    """`user_orders` and `fill` are not ordered: 8 of 10 may be told filled while the position is still 0."""
    tight = config(max_inventory_yes=10)
    order = own(total_e2=1_000, reported_e2=800)
    verdict = vet(market_view(order, with_config=tight), amend(order, remaining_e2=1_000))
    assert refusals(verdict) == ["check_inventory"]


def test_total_exposure_counts_all_markets() -> None:
    other = market_view(of=market("KXB"), net_e2=10_000, cost_e6=45_000_000)
    small = limits(max_total_exposure=49)
    verdict = risk_manager.vet(
        [Wanted(place(count_e2=900)), Wanted(place(Side.ASK, 4_900))],
        view(market_view(), other, global_config=small),
        RUN,
    )
    # 9 bids at 41¢ lose 3.69 $; 10 asks at 49¢ lose 5.10 $, of which 1.41 $ more than the bids.
    assert refusals(verdict) == ["check_exposure"]
    assert verdict.approved[0].action == place(count_e2=900)


def test_reducing_is_allowed_at_and_beyond_every_limit() -> None:
    over = market_view(net_e2=15_000, cost_e6=60_000_000)
    broke = limits(max_total_exposure=0)
    verdict = vet(over, place(Side.ASK, 4_900), global_config=broke)
    assert refusals(verdict) == []
    assert refusals(vet(over, place(Side.BID, 4_100), global_config=broke)) == ["check_inventory"]


def test_an_amend_down_and_a_renewal_pass_at_the_cap() -> None:
    order = own()
    full = market_view(order, net_e2=9_500)
    assert refusals(vet(full, amend(order))) == []
    assert refusals(vet(full, amend(order, remaining_e2=500))) == []


# ── any state ───────────────────────────────────────────────────────────────────────────────────

SIDES = st.sampled_from(Side)
CENT = st.integers(1, 99).map(lambda cents: cents * 100)


@st.composite
def orders(draw: st.DrawFn) -> list[OwnOrder]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        total = draw(st.integers(1, 2_000))
        reported, booked = draw(st.integers(0, total)), draw(st.integers(0, total))
        state = draw(st.just(OrderState.RESTING) | st.sampled_from([OrderState.UNKNOWN, OrderState.CLOSING]))
        order = own(
            draw(SIDES), draw(CENT), total, state, client_order_id=f"c{number}", order_id=f"o{number}"
        )
        order = replace(order, reported_e2=reported, booked_e2=booked)
        if state is OrderState.UNKNOWN and draw(st.booleans()):
            order = replace(order, pending=amend(order, draw(CENT), draw(st.integers(1, 2_000))))
        found.append(order)
    return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[MarketView, list[Place | Amend | Cancel]]:
    resting = draw(orders())
    caps = config(
        max_inventory_yes=draw(st.integers(0, 60)),
        max_inventory_no=draw(st.integers(10, 60)),
        quote_size=draw(st.integers(1, 10)),
        price_min="0.0001",
        price_max="0.9999",
    )
    view = market_view(*resting, net_e2=draw(st.integers(-8_000, 8_000)), with_config=caps)
    actions: list[Place | Amend | Cancel] = []
    for number in range(draw(st.integers(1, 5))):
        side, price, size = draw(SIDES), draw(CENT), draw(st.integers(-10, 1_200))
        actions.append(place(side, price, size, client_order_id=f"n{number}"))
    amendable = [order for order in resting if order.state is OrderState.RESTING]
    actions += [draw(st.builds(amend, st.just(order), CENT, st.integers(1, 1_200))) for order in amendable]
    return view, draw(st.permutations(actions))


def after_all(market: MarketView, verdict: Verdict) -> dict[str, list[tuple[Side, int, int]]]:
    """What each order may still bring in at worst, once everything approved was sent: amends at either price."""
    open_now = {o.client_order_id: [(o.side, o.exposed_price_e4, o.exposed_e2)] for o in market.orders}
    booked = {o.client_order_id: o.booked_e2 for o in market.orders}
    for wanted in verdict.approved:
        action = wanted.action
        if isinstance(action, Place):
            open_now[action.client_order_id] = [(action.side, action.price_e4, action.count_e2)]
        elif isinstance(action, Amend):
            left = max(action.total_e2 - booked[action.client_order_id], 0)
            open_now[action.client_order_id].append((action.side, action.price_e4, left))
    return open_now


@given(worlds())
def test_no_approved_set_raises_a_direction_above_its_cap(
    world: tuple[MarketView, list[Place | Amend | Cancel]],
) -> None:
    market, actions = world
    verdict = vet(market, *actions)
    open_after = after_all(market, verdict)
    for side, cap in (
        (Side.BID, market.config.max_inventory_yes_e2),
        (Side.ASK, market.config.max_inventory_no_e2),
    ):
        before = sum(o.exposed_e2 for o in market.orders if o.side is side)
        after = sum(max(n for _, _, n in choices) for choices in open_after.values() if choices[0][0] is side)
        position = market.position.net_e2 * side.sign
        assert position + after <= max(cap, position + before)


@given(worlds(), st.integers(0, 60))
def test_no_approved_set_raises_the_total_loss_above_its_limit(
    world: tuple[MarketView, list[Place | Amend | Cancel]], dollars: int
) -> None:
    market, actions = world
    verdict = vet(market, *actions, global_config=limits(max_total_exposure=dollars))
    choices = after_all(market, verdict).values()
    for amended in (0, -1):  # as if none of the amends worked, and as if all did
        loss = ends(market.position, [choice[amended] for choice in choices]).worst_e6
        assert loss <= max(dollars * 1_000_000, market.worst_loss_e6)


@given(worlds(), st.data())
def test_an_order_within_the_position_is_never_stopped_by_a_limit(
    world: tuple[MarketView, list[Place | Amend | Cancel]], data: st.DataObject
) -> None:
    market = replace(world[0], orders=())
    net = market.position.net_e2
    if net == 0:
        return
    side = Side.ASK if net > 0 else Side.BID
    size = min(data.draw(st.integers(1, abs(net))), market.config.quote_size_e2)
    verdict = vet(
        market,
        place(side, data.draw(CENT), size),
        stance=data.draw(st.sampled_from([RUN, Stance(Posture.REDUCE_ONLY)])),
        global_config=limits(max_total_exposure=0),
        exposure_e6=10**9,
    )
    assert refusals(verdict) == []


@given(worlds(), st.sampled_from(Posture))
def test_cancels_always_pass(
    world: tuple[MarketView, list[Place | Amend | Cancel]], posture: Posture
) -> None:
    market, actions = world
    cancels = [Cancel(o.client_order_id, o.order_id, T, 0) for o in market.orders]
    verdict = vet(
        market, *actions, *cancels, stance=Stance(posture), halts=(halt(),), now=NOW, global_config=None
    )
    assert [w.action for w in verdict.approved if isinstance(w.action, Cancel)] == cancels


def test_an_amend_is_held_against_its_own_order_wherever_it_stands_among_the_markets() -> None:
    """Its order's fills, price and size, not those of the one that sorts before or after it."""
    first = own(Side.ASK, 4_900, 300, client_order_id="a", order_id="oa")
    second = own(Side.BID, 4_100, 1_000, client_order_id="b", order_id="ob", reported_e2=400, booked_e2=400)
    third = own(Side.ASK, 5_500, 200, client_order_id="c", order_id="oc")
    for orders in ((first, second, third), (third, second, first)):
        market = market_view(*orders, with_config=config(quote_size=10, max_inventory_yes=10))
        assert refusals(vet(market, amend(second, 4_200, 1_000))) == []
        assert refusals(vet(market, amend(second, 4_200, 1_001))) == ["check_sanity"]


def test_what_rests_beside_an_amended_order_still_counts_in_what_the_market_may_lose() -> None:
    for ids in (("a", "b"), ("b", "a")):
        beside, amended = (own(total_e2=500, client_order_id=name, order_id=f"o{name}") for name in ids)
        market = market_view(beside, amended, with_config=config(max_inventory_yes=100))
        # 5 and 5 bids at 41¢ lose 4.10 $; 5 and 10 lose 6.15 $.
        verdict = vet(market, amend(amended, remaining_e2=1_000), global_config=limits(max_total_exposure=6))
        assert refusals(verdict) == ["check_exposure"]
