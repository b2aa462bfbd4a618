"""The traders one by one: what they know, what they pay, and that they only ever use their desk."""

from dataclasses import replace
from random import Random

import pytest

from dora_bot.models import Level, PriceGrid, Side
from dora_bot.paper.grids import DECI_CENT, GRIDS, LINEAR_CENT, TAPERED_DECI_CENT
from dora_bot.paper.market_mix import TIGHT, WIDE
from dora_bot.paper.traders import Maker, Takers, draw_size

CALM = replace(WIDE, error=0.0, half_spread=(2.0, 0.0), spread_floor=2.0)


class PaperDesk:
    """A desk that remembers: resting orders never trade unless a test takes from them."""

    def __init__(self, grid: PriceGrid | None = None, *, bid: int = 4600, ask: int = 5000) -> None:
        self.grid = grid or GRIDS[LINEAR_CENT]
        self.bid, self.ask = Level(bid, 10_000), Level(ask, 10_000)
        self.orders: dict[str, tuple[Side, int, int]] = {}
        self.taken: list[tuple[Side, int, int]] = []
        self.messages = 0

    def best(self) -> tuple[Level, Level]:
        return self.bid, self.ask

    def rest(self, account: str, side: Side, price_e4: int, count_e2: int) -> str:
        assert account
        assert self.grid.contains(price_e4)
        self.messages += 1
        order_id = f"o-{self.messages}"
        self.orders[order_id] = (side, price_e4, count_e2)
        return order_id

    def take(self, account: str, side: Side, price_e4: int, count_e2: int) -> int:
        assert account
        assert self.grid.contains(price_e4)
        self.taken.append((side, price_e4, count_e2))
        return count_e2

    def resting(self, order_id: str) -> int:
        return self.orders[order_id][2] if order_id in self.orders else 0

    def cancel(self, account: str, order_id: str) -> None:
        assert account
        self.messages += 1
        del self.orders[order_id]

    def prices(self, side: Side) -> list[int]:
        found = [price for at, price, _ in self.orders.values() if at is side]
        return sorted(found, reverse=side is Side.BID)


def maker(seen: float = 0.5) -> Maker:
    return Maker("m", CALM, Random(1), 1.0, seen)


def test_a_maker_quotes_a_ladder_around_what_it_saw_one_look_ago() -> None:
    desk, quoter = PaperDesk(), maker(0.5)
    quoter.look(desk, 0.3)
    assert (desk.prices(Side.BID), desk.prices(Side.ASK)) == ([4800, 4700], [5200, 5300])
    quoter.look(desk, 0.3)
    assert desk.prices(Side.BID)[0] < 3_000 < desk.prices(Side.ASK)[0]


def test_a_prompt_maker_quotes_what_it_sees() -> None:
    desk = PaperDesk()
    Maker("m", replace(CALM, prompt=True), Random(1), 1.0, 0.5).look(desk, 0.3)
    assert desk.prices(Side.BID)[0] < 3_000 < desk.prices(Side.ASK)[0]


def test_a_maker_that_sees_nothing_new_sends_nothing() -> None:
    desk, quoter = PaperDesk(), maker()
    quoter.look(desk, 0.5)
    sent = desk.messages
    for _ in range(20):
        quoter.look(desk, 0.503)
    assert desk.messages == sent


def test_a_maker_refills_a_level_that_was_traded_away() -> None:
    desk, quoter = PaperDesk(), maker()
    quoter.look(desk, 0.5)
    (top,) = [name for name, (side, price, _) in desk.orders.items() if (side, price) == (Side.BID, 4800)]
    del desk.orders[top]
    quoter.look(desk, 0.5)
    assert desk.prices(Side.BID) == [4800, 4700]


@pytest.mark.parametrize("structure", [LINEAR_CENT, DECI_CENT, TAPERED_DECI_CENT])
@pytest.mark.parametrize("fair", [1e-9, 0.004, 0.02, 0.5, 0.985, 1 - 1e-9])
def test_quotes_stay_on_the_grid_on_their_own_side_at_any_value(structure: str, fair: float) -> None:
    desk = PaperDesk(GRIDS[structure])
    quoter = Maker("m", TIGHT, Random(2), 1.0, fair)
    for _ in range(30):
        quoter.look(desk, fair)
        assert not (desk.prices(Side.BID) and desk.prices(Side.ASK)) or (
            desk.prices(Side.BID)[0] < desk.prices(Side.ASK)[0]
        )


def test_the_informed_buy_what_is_too_cheap_up_to_their_limit() -> None:
    desk = PaperDesk(bid=4600, ask=5000)
    Takers(WIDE, Random(1), "t").informed(desk, 0.60)
    ((side, price_e4, _),) = desk.taken
    assert side is Side.BID
    assert 5000 <= price_e4 < 6000


def test_the_informed_sell_what_is_too_dear() -> None:
    desk = PaperDesk(bid=4600, ask=5000)
    Takers(WIDE, Random(1), "t").informed(desk, 0.36)
    ((side, price_e4, _),) = desk.taken
    assert side is Side.ASK
    assert 3600 < price_e4 <= 4600


@pytest.mark.parametrize("fair", [0.465, 0.48, 0.495])
def test_the_informed_leave_a_fair_market_alone(fair: float) -> None:
    desk = PaperDesk(bid=4600, ask=5000)
    for seed in range(50):
        Takers(WIDE, Random(seed), "t").informed(desk, fair)
    assert desk.taken == []


def test_nobody_trades_against_an_empty_book() -> None:
    desk = PaperDesk()
    desk.bid = desk.ask = Level(0, 0)
    takers = Takers(WIDE, Random(1), "t")
    takers.noise(desk, 0.5)
    takers.sweep(desk)
    takers.informed(desk, 0.9)
    assert desk.taken == []


def test_noise_goes_both_ways_and_shuns_a_bad_price() -> None:
    near, far = PaperDesk(bid=4900, ask=5100), PaperDesk(bid=3500, ask=6500)
    takers = Takers(WIDE, Random(1), "t")
    for _ in range(1_000):
        takers.noise(near, 0.5)
        takers.noise(far, 0.5)
    buys = sum(side is Side.BID for side, _, _ in near.taken)
    assert 0.45 < buys / len(near.taken) < 0.65
    assert len(far.taken) < 0.3 * len(near.taken)


def test_sizes_are_log_normal_around_their_median_and_mostly_whole() -> None:
    rng = Random(5)
    sizes = sorted(draw_size(rng, (20.0, 1.5)) for _ in range(4_000))
    assert sizes[0] > 0
    assert sizes[2_000] == pytest.approx(2_000, rel=0.1)
    assert sum(size % 100 == 0 for size in sizes) == pytest.approx(0.8 * 4_000, rel=0.05)
