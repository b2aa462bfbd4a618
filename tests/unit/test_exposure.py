"""The worst case of an event against every result and every subset of fills, counted out."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from dora_bot.accounting import apply_fill, apply_settlement
from dora_bot.exposure import Open, ends, event_loss_e6, losses_e6
from dora_bot.models import Fill, Position, Settlement, Side
from dora_bot.units import ONE_E4
from tests.fakes.core import T, market, market_view, own
from tests.fakes.manual_clock import NOON_MS

PRICES = st.integers(1, ONE_E4 - 1)
OPEN = st.tuples(st.sampled_from(Side), PRICES, st.integers(1, 2_000))
HELD = st.tuples(st.sampled_from(Side), PRICES, st.integers(1, 2_000))
Outcome = tuple[Position, list[Open]]


def bought(*fills: Open) -> Position:
    position = Position(T)
    for side, price, count in fills:
        position, _ = apply_fill(position, Fill("t", "o", T, side, price, count, 0, False, NOON_MS))
    return position


def loss_e6(position: Position, filled: list[Open], value_e4: int) -> int:
    """What is lost from here on if these fill and the market settles so."""
    after = position
    for side, price, count in filled:
        after, _ = apply_fill(after, Fill("t", "o", T, side, price, count, 0, False, NOON_MS))
    settled, _ = apply_settlement(after, Settlement(T, value_e4, NOON_MS))
    return position.realised_e6 - settled.realised_e6


def worst_of_market(position: Position, resting: list[Open], value_e4: int) -> int:
    subsets = product([False, True], repeat=len(resting))
    return max(
        loss_e6(position, [o for o, taken in zip(resting, subset, strict=True) if taken], value_e4)
        for subset in subsets
    )


MARKETS = st.lists(
    st.tuples(st.lists(HELD, max_size=2).map(lambda held: bought(*held)), st.lists(OPEN, max_size=3)),
    min_size=1,
    max_size=3,
)


@given(MARKETS)
def test_an_exclusive_event_loses_at_most_its_worst_winner_and_exactly_that(markets: list[Outcome]) -> None:
    scenarios = []
    for winner in [None, *range(len(markets))]:
        values = [ONE_E4 if at == winner else 0 for at in range(len(markets))]
        scenarios.append(sum(worst_of_market(p, r, v) for (p, r), v in zip(markets, values, strict=True)))
    told = event_loss_e6([ends(p, r) for p, r in markets], exclusive=True)
    assert told == max(0, *scenarios)


@given(MARKETS)
def test_markets_that_do_not_exclude_each_other_may_all_end_badly(markets: list[Outcome]) -> None:
    worst = sum(max(0, worst_of_market(p, r, 0), worst_of_market(p, r, ONE_E4)) for p, r in markets)
    assert event_loss_e6([ends(p, r) for p, r in markets], exclusive=False) == worst


def test_events_are_counted_apart_and_a_market_without_one_alone() -> None:
    views = [
        market_view(own(), of=market("KXA", event_ticker="E", exclusive_event=True)),
        market_view(own(), of=market("KXB", event_ticker="E", exclusive_event=True)),
        market_view(own(), of=market("KXC", event_ticker="")),
    ]
    bid_e6 = 4_100 * 1_000
    assert losses_e6(views) == {"E": 2 * bid_e6, "KXC": bid_e6}


def test_short_of_two_exclusive_outcomes_only_one_can_cost_the_dollar() -> None:
    views = [
        market_view(own(Side.ASK, 4_000), of=market(name, event_ticker="E", exclusive_event=True))
        for name in ("KXA", "KXB")
    ]
    assert losses_e6(views) == {"E": 6_000 * 1_000}
