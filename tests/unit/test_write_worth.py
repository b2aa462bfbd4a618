"""What a write is worth: the order as it is wished less the order as it rests, for as long as it is expected to last."""

from dataclasses import replace

import pytest

from dora_bot.models import Quote, Side
from dora_bot.write_worth import (
    LONGEST_MS,
    SHORTEST_MS,
    lasts_ms,
    move_worth,
    quote_worth,
    renewal_worth,
    resting_e6,
    shrink_worth,
)
from tests.fakes.core import NOW, T, book, config, market_view, own

# The book is 0.40 to 0.50: the middle is 0.45. It has been still for a second. The smallest edge is 0.02.
VIEW = market_view(seen=replace(book(), changed_ms=NOW.exchange_ms - 1_000))


@pytest.mark.parametrize(
    ("side", "price_e4", "worth_e6"),
    [
        (Side.BID, 4_000, 300 * 1_000),
        (Side.BID, 4_100, 200 * 1_000),
        (Side.BID, 4_300, 0),
        (Side.BID, 4_500, -200 * 1_000),
        (Side.BID, 4_700, -400 * 1_000),
        (Side.BID, 3_900, 400 * 1_000 // 2),
        (Side.BID, 3_700, 600 * 1_000 // 4),
        (Side.ASK, 5_000, 300 * 1_000),
        (Side.ASK, 4_300, -400 * 1_000),
        (Side.ASK, 5_300, 600 * 1_000 // 4),
    ],
)
def test_an_order_is_worth_its_edge_beyond_the_smallest_times_its_size_less_with_every_tick_behind(
    side: Side, price_e4: int, worth_e6: int
) -> None:
    assert resting_e6(VIEW, side, price_e4, 1_000) == worth_e6


def test_a_toxic_market_asks_for_more_edge() -> None:
    toxic = replace(VIEW, config=config(toxicity_score="0.5"))
    assert resting_e6(toxic, Side.BID, 4_000, 1_000) == (500 - 300) * 1_000


def test_a_book_without_both_sides_tells_no_worth() -> None:
    assert resting_e6(replace(VIEW, book=book(None, 5_000)), Side.BID, 4_000, 1_000) == 0
    assert resting_e6(replace(VIEW, book=book(4_000, None)), Side.ASK, 5_000, 1_000) == 0


@pytest.mark.parametrize(("still_ms", "lasts"), [(0, SHORTEST_MS), (3_000, 3_000), (99_000, LONGEST_MS)])
def test_what_was_still_for_longer_is_expected_to_last_longer(still_ms: int, lasts: int) -> None:
    view = market_view(seen=replace(book(), changed_ms=NOW.exchange_ms - still_ms))
    assert lasts_ms(view, NOW) == lasts
    assert quote_worth(view, Quote(T, Side.BID, 4_100, 1_000), NOW) == 200_000 * lasts


def test_an_amend_that_improves_is_worth_what_the_order_makes_more() -> None:
    wish = Quote(T, Side.BID, 4_100, 1_000)
    assert move_worth(VIEW, own(price_e4=3_700), wish, NOW) == (200_000 - 150_000) * 1_000
    half_gone = own(price_e4=3_700, reported_e2=500, booked_e2=500)
    assert move_worth(VIEW, half_gone, wish, NOW) == (200_000 - 75_000) * 1_000


def test_shrinking_is_worth_the_most_that_the_excess_can_lose() -> None:
    assert shrink_worth(own(Side.BID, 4_100), 400) == 4_100 * 600 * LONGEST_MS
    assert shrink_worth(own(Side.ASK, 4_900), 400) == 5_100 * 600 * LONGEST_MS


def test_a_renewal_is_worth_more_the_nearer_the_end_is() -> None:
    ends = [replace(own(), expiration_ms=NOW.exchange_ms + left) for left in (25_000, 20_000, 15_000, 0, -9)]
    worths = [renewal_worth(VIEW, order, NOW, 20_000) for order in ends]
    assert worths == [0, 0, 50_000_000, 200_000_000, 200_000_000]
