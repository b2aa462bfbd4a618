"""The spread strategy under any book, any position and every grid: what it may never do, and what it must."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot import strategy
from dora_bot.config import MarketConfig
from dora_bot.models import (
    BookView,
    FeeTerms,
    Level,
    PriceGrid,
    PriceRange,
    Quote,
    Side,
)
from dora_bot.units import ONE_E4
from dora_bot.views import Decision, MarketView, Posture, Stance
from tests.fakes.core import RUN, T, book, config, market, market_view

MOST_MAKER_FEE_E4 = 100
"""More than a contract costs at 50 ¢ under any fee type: 0.035 × 0.5 × 0.5 $."""
REDUCE = Stance(Posture.REDUCE_ONLY, ("told so",))
GRIDS = {
    "cents": PriceGrid.linear(100),
    "tenths of a cent": PriceGrid.linear(10),
    "hundredths of a cent": PriceGrid.linear(1),
    "tenths at the ends": PriceGrid(
        (PriceRange(0, 1_000, 10), PriceRange(1_000, 9_000, 100), PriceRange(9_000, ONE_E4, 10))
    ),
    "lopsided": PriceGrid((PriceRange(0, 3_000, 50), PriceRange(3_000, ONE_E4, 200))),
}


def quoted(view: MarketView, stance: Stance = RUN) -> dict[Side, Quote]:
    decision = strategy.quote(view, stance, view.config)
    return {q.side: q for q in decision.quotes}


def prices(view: MarketView) -> tuple[int, int]:
    found = quoted(view)
    return found[Side.BID].price_e4, found[Side.ASK].price_e4


# ── examples ────────────────────────────────────────────────────────────────────────────────────


def test_it_stands_one_tick_inside_a_wide_market_on_both_sides() -> None:
    found = quoted(market_view(seen=book(4_000, 5_000)))
    assert found == {
        Side.BID: Quote(T, Side.BID, 4_100, 1_000, limit_e4=4_300),
        Side.ASK: Quote(T, Side.ASK, 4_900, 1_000, limit_e4=4_700),
    }


@pytest.mark.parametrize(
    ("min_spread", "expected"), [("0.02", (4_100, 4_700)), ("0.06", (4_100, 4_700)), ("0.08", (4_000, 4_800))]
)
def test_two_quotes_of_a_flat_position_are_never_closer_than_min_spread(
    min_spread: str, expected: tuple[int, int]
) -> None:
    wide = market_view(seen=book(4_000, 4_800), with_config=config(min_spread=min_spread))
    assert prices(wide) == expected


def test_it_joins_the_best_where_a_tick_inside_would_cost_the_edge() -> None:
    assert prices(market_view(seen=book(4_000, 4_100), with_config=config(min_spread="0.01"))) == (
        4_000,
        4_100,
    )


def test_a_market_narrower_than_min_spread_is_not_quoted_and_the_reason_says_both_numbers() -> None:
    decision = strategy.quote(market_view(seen=book(4_000, 4_300)), RUN, config())
    assert decision == Decision((), "spread 0.0300 is below 0.0400")
    assert quoted(market_view(seen=book(4_000, 4_400)))


def test_toxicity_widens_the_spread_that_is_asked_for() -> None:
    toxic = config(toxicity_score="0.5")
    assert not quoted(market_view(seen=book(4_000, 4_500), with_config=toxic))
    assert quoted(market_view(seen=book(4_000, 4_600), with_config=toxic))


def test_the_maker_fee_is_part_of_the_edge() -> None:
    charged = market(fees=FeeTerms("quadratic_with_maker_fees"))
    tight = config(min_spread="0.02")
    free_bid, free_ask = prices(market_view(seen=book(4_800, 5_000), with_config=tight))
    paid_bid, paid_ask = prices(market_view(seen=book(4_800, 5_000), with_config=tight, of=charged))
    assert (free_bid, free_ask) == (4_800, 5_000)
    assert (paid_bid, paid_ask) == (4_700, 5_100)
    # 0.44¢ of fee at 50¢ do not fit beside the cent of edge that is left inside a market of four cents.
    assert prices(market_view(seen=book(4_800, 5_200), with_config=tight)) == (4_900, 5_100)
    assert prices(market_view(seen=book(4_800, 5_200), with_config=tight, of=charged)) == (4_800, 5_200)


def test_a_position_moves_both_quotes_against_itself() -> None:
    flat = prices(market_view())
    long = prices(market_view(net_e2=10_000 // 2))
    short = prices(market_view(net_e2=-10_000 // 2))
    assert long[0] < flat[0] < short[0]
    assert long[1] < flat[1] < short[1]


def test_the_skew_factor_says_how_far_a_position_moves_both_quotes() -> None:
    # Half of the cap in a market of ten cents: skew × 0.5 × half the spread.
    moved = {
        skew: prices(market_view(net_e2=5_000, with_config=config(inventory_skew_factor=skew)))
        for skew in (0, 0.4, 0.8)
    }
    assert moved == {0: (4_100, 4_900), 0.4: (4_000, 4_800), 0.8: (3_900, 4_700)}


def test_the_side_that_adds_shrinks_toward_the_cap_and_the_other_stays_whole() -> None:
    sizes = [
        quoted(market_view(net_e2=net)).get(Side.BID) for net in (0, 5_000, 9_000, 9_950, 10_000, 12_000)
    ]
    assert [q.count_e2 if q else 0 for q in sizes] == [1_000, 500, 100, 50, 0, 0]
    assert all(
        quoted(market_view(net_e2=net))[Side.ASK].count_e2 == 1_000 for net in (0, 5_000, 10_000, 12_000)
    )


def test_a_reducing_quote_is_not_larger_than_what_the_other_cap_leaves() -> None:
    tight = config(max_inventory_no=3)
    found = quoted(market_view(net_e2=200, with_config=tight))
    assert found[Side.ASK].count_e2 == 500


def test_reduce_only_quotes_only_what_is_held_and_only_toward_flat() -> None:
    assert quoted(market_view(net_e2=300), REDUCE).keys() == {Side.ASK}
    assert quoted(market_view(net_e2=300), REDUCE)[Side.ASK].count_e2 == 300
    assert quoted(market_view(net_e2=-30_000), REDUCE)[Side.BID].count_e2 == 1_000
    assert not quoted(market_view(), REDUCE)


def test_the_two_quotes_never_meet_however_small_the_configured_spread() -> None:
    assert prices(market_view(seen=book(4_000, 4_200), with_config=config(min_spread="0.0001"))) == (
        4_000,
        4_200,
    )


def test_a_side_outside_the_configured_band_is_left_out() -> None:
    low = config(price_min="0.45")
    assert quoted(market_view(with_config=low)).keys() == {Side.ASK}
    nowhere = config(price_min="0.60", price_max="0.70")
    decision = strategy.quote(market_view(with_config=nowhere), RUN, nowhere)
    assert decision.quotes == ()
    assert "price_min" in decision.reason


# ── any state ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Case:
    """A market, a book and a position that together can be mirrored."""

    grid: PriceGrid
    bid: int | None
    ask: int | None
    net_e2: int
    cap_yes: int
    cap_no: int
    min_spread_e4: int
    size_e2: int
    skew: float
    toxicity: float
    band: tuple[int, int]
    fee: str
    posture: Posture
    proven: bool = True

    def view(self) -> MarketView:
        return market_view(
            net_e2=self.net_e2,
            seen=BookView(
                bids=(Level(self.bid, 500),) if self.bid else (),
                asks=(Level(self.ask, 500),) if self.ask else (),
                proven=self.proven,
            ),
            of=market(grid=self.grid, fees=FeeTerms(self.fee)),
            with_config=self.config(),
        )

    def config(self) -> MarketConfig:
        return config(
            max_inventory_yes=self.cap_yes / 100,
            max_inventory_no=self.cap_no / 100,
            min_spread=self.min_spread_e4 / ONE_E4,
            quote_size=self.size_e2 / 100,
            inventory_skew_factor=self.skew,
            toxicity_score=self.toxicity,
            price_min=self.band[0] / ONE_E4,
            price_max=self.band[1] / ONE_E4,
        )

    def decide(self) -> Decision:
        view = self.view()
        return strategy.quote(view, Stance(self.posture, ("x",)), view.config)

    def mirrored(self) -> "Case":
        return replace(
            self,
            grid=PriceGrid(
                tuple(
                    PriceRange(ONE_E4 - band.end_e4, ONE_E4 - band.start_e4, band.step_e4)
                    for band in self.grid.ranges
                )
            ),
            bid=ONE_E4 - self.ask if self.ask else None,
            ask=ONE_E4 - self.bid if self.bid else None,
            net_e2=-self.net_e2,
            cap_yes=self.cap_no,
            cap_no=self.cap_yes,
            band=(ONE_E4 - self.band[1], ONE_E4 - self.band[0]),
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    grid = draw(st.sampled_from(sorted(GRIDS)).map(GRIDS.__getitem__))
    ticks = len(grid.prices)
    low_at = draw(st.integers(0, ticks - 1))
    high_at = min(low_at + draw(st.integers(1, 12) | st.integers(1, ticks)), ticks - 1)
    bid: int | None = grid.prices[low_at]
    ask: int | None = grid.prices[high_at]
    if draw(st.integers(0, 9)) == 0:
        bid, ask = draw(st.sampled_from([(None, None), (bid, None), (None, ask), (ask, bid), (bid, bid)]))
    caps = st.integers(0, 500) | st.integers(5_000, 30_000)
    cap_yes, cap_no = draw(caps), draw(caps)
    largest = max(cap_yes, cap_no, 1)
    low = draw(st.integers(1, 9_998))
    return Case(
        grid=grid,
        bid=bid,
        ask=ask,
        net_e2=draw(st.just(0) | st.integers(-600, 600) | st.integers(-35_000, 35_000)),
        cap_yes=cap_yes or int(cap_no == 0),
        cap_no=cap_no,
        min_spread_e4=draw(st.integers(1, 8) | st.integers(1, 1_500)),
        size_e2=draw(st.integers(1, largest)),
        skew=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0, 10.0])),
        toxicity=draw(st.sampled_from([0.0, 0.25, 1.0])),
        band=draw(
            st.sampled_from([(1, 9_999), (1, 9_999), (100, 9_900), (low, draw(st.integers(low + 1, 9_999)))])
        ),
        fee=draw(st.sampled_from(["quadratic", "quadratic_with_maker_fees"])),
        posture=draw(st.sampled_from([Posture.RUN, Posture.RUN, Posture.REDUCE_ONLY])),
        proven=draw(st.integers(0, 9)) > 0,
    )


@given(cases())
def test_every_quote_is_legal(case: Case) -> None:
    decision = case.decide()
    assert decision.reason
    sides = {q.side: q for q in decision.quotes}
    assert len(sides) == len(decision.quotes)
    if not decision.quotes:
        return
    assert case.proven
    assert case.bid is not None
    assert case.ask is not None
    assert case.bid < case.ask
    assert case.ask - case.bid >= case.min_spread_e4
    for quote in decision.quotes:
        assert case.grid.contains(quote.price_e4)
        assert 0 < quote.price_e4 < ONE_E4
        assert case.band[0] <= quote.price_e4 <= case.band[1]
        assert 0 < quote.count_e2 <= case.size_e2
    if Side.BID in sides:
        assert sides[Side.BID].price_e4 < case.ask
        assert case.net_e2 + sides[Side.BID].count_e2 <= max(case.cap_yes, 0)
    if Side.ASK in sides:
        assert sides[Side.ASK].price_e4 > case.bid
        assert case.net_e2 - sides[Side.ASK].count_e2 >= -case.cap_no
    if len(sides) == 2:
        assert sides[Side.BID].price_e4 < sides[Side.ASK].price_e4


@given(cases())
def test_no_is_the_mirror_image_of_yes(case: Case) -> None:
    ours = {(q.side, q.price_e4, q.count_e2) for q in case.decide().quotes}
    theirs = {(q.side.other, ONE_E4 - q.price_e4, q.count_e2) for q in case.mirrored().decide().quotes}
    assert ours == theirs


@given(cases(), st.integers(1, 10_000))
def test_a_longer_position_never_raises_a_quote_nor_its_buying_size(case: Case, more: int) -> None:
    case = replace(case, posture=Posture.RUN)
    less = {q.side: q for q in case.decide().quotes}
    longer = {q.side: q for q in replace(case, net_e2=case.net_e2 + more).decide().quotes}
    for side in less.keys() & longer.keys():
        assert longer[side].price_e4 <= less[side].price_e4
    # From a short position a bid reduces first and adds afterwards; only adding shrinks toward the cap.
    if case.net_e2 >= 0 and Side.BID in longer and Side.BID in less:
        assert longer[Side.BID].count_e2 <= less[Side.BID].count_e2


@given(cases())
def test_the_same_view_gives_the_same_decision(case: Case) -> None:
    assert case.decide() == case.decide()


@given(cases())
def test_without_skew_and_position_each_side_keeps_its_share_of_the_spread(case: Case) -> None:
    case = replace(case, net_e2=0)
    sides = {q.side: q.price_e4 for q in case.decide().quotes}
    if not sides:
        return
    assert case.bid is not None
    assert case.ask is not None
    fair_2 = case.bid + case.ask
    edge = case.min_spread_e4 // 2
    furthest = edge + MOST_MAKER_FEE_E4
    if Side.BID in sides:
        assert 2 * sides[Side.BID] <= fair_2 - 2 * edge
        assert sides[Side.BID] >= case.grid.floor(min(case.bid, (fair_2 - 2 * furthest) // 2))
    if Side.ASK in sides:
        assert 2 * sides[Side.ASK] >= fair_2 + 2 * edge
        assert sides[Side.ASK] <= case.grid.ceil(max(case.ask, -((-fair_2 - 2 * furthest) // 2)))


@pytest.mark.parametrize("posture", [Posture.HALTED, Posture.PAUSED])
@given(case=cases())
def test_nothing_is_wished_when_nothing_may_be_quoted(posture: Posture, case: Case) -> None:
    decision = replace(case, posture=posture).decide()
    assert decision.quotes == ()
    assert decision.reason
