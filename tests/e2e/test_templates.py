"""`series#…` items: markets that open later are quoted without an edit, own items override, ``max_markets`` bounds."""

import pytest

from dora_bot.items import MARKET_CONFIG
from dora_bot.models import Level, Side
from dora_bot.paper.admin_actions import OPERATOR
from dora_bot.paper.grids import GRIDS, LINEAR_CENT
from dora_bot.paper.specs import MarketSpec, OrderRequest
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import ITEM, Rig, resting, sides

pytestmark = pytest.mark.process

ROLL, BOUNDED = "KXROLL-26NOV20", "KXMANY-26NOV20"
SUCCESSOR_S = 30.0
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig(
        [
            StaticMarket(f"{ROLL}-1"),
            StaticMarket(f"{ROLL}-2"),
            *(StaticMarket(f"{BOUNDED}-{n}", close_in_ms=n * HOUR_MS) for n in (3, 1, 2)),
        ]
    )
    rig.db.batch_put(
        MARKET_CONFIG,
        [
            {**ITEM, "market_id": f"series#{ROLL}S"},
            {**ITEM, "market_id": f"series#{BOUNDED}S", "max_markets": 2},
            {"market_id": f"{ROLL}-2", "quote_size": 2},
        ],
    )
    rig.start()
    rig.quoting(f"{ROLL}-1", f"{ROLL}-2", f"{BOUNDED}-1", f"{BOUNDED}-2")
    return rig


def list_successor(venue: Venue) -> None:
    """A market of the series opens now, and the house quotes it."""
    now_ms, grid = venue.now_ms(), GRIDS[LINEAR_CENT]
    ticker = f"{ROLL}-3"
    spec = MarketSpec(ticker, ROLL, "the next one", grid, LINEAR_CENT, now_ms, now_ms + HOUR_MS)
    venue.engine.add_market(spec, now_ms)
    for side, level in ((Side.BID, Level(4_700, 10_000)), (Side.ASK, Level(5_200, 10_000))):
        order = OrderRequest(ticker, side, level.price_e4, level.count_e2)
        venue.engine.create(OPERATOR, order, now_ms)


def sizes(venue: Venue, ticker: str) -> set[int]:
    return {order.remaining_e2 for order in resting(venue, ticker)}


def test_an_own_item_overrides_one_attribute_of_the_template(rig: Rig) -> None:
    assert rig.run(lambda v: sizes(v, f"{ROLL}-1")) == {500}
    assert rig.run(lambda v: sizes(v, f"{ROLL}-2")) == {200}


def test_a_market_that_opens_later_is_quoted_without_an_edit_up_to_max_markets(rig: Rig) -> None:
    """A successor is listed, and one of three markets closes where the template allows two."""
    assert not rig.run(lambda v: resting(v, f"{ROLL}-3") + resting(v, f"{BOUNDED}-3"))
    rig.run(list_successor)
    rig.run(lambda v: v.engine.set_close(f"{BOUNDED}-1", v.now_ms() + 100, v.now_ms()))
    rig.withdrawn(f"{BOUNDED}-1", seconds=7.0)
    rig.quoting(f"{ROLL}-3", f"{BOUNDED}-3", seconds=SUCCESSOR_S)
    assert rig.run(lambda v: sizes(v, f"{ROLL}-3")) == {500}


def test_deleting_the_template_ends_its_markets(rig: Rig) -> None:
    assert (f"{ROLL}-1", Side.BID) in rig.run(sides)
    rig.aws.delete_item(
        TableName=rig.db.name(MARKET_CONFIG), Key={"market_id": {"S": f"series#{ROLL}S"}}
    )
    rig.withdrawn(f"{ROLL}-1", f"{ROLL}-3", seconds=5.5)
    assert rig.bot.stop() == 0
    assert not rig.run(resting)
