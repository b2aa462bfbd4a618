"""Markets end, pause and come back; other keys of the account trade beside the bot."""

from typing import Any

import pytest

from dora_bot.models import FeeTerms, Side, TimeInForce
from dora_bot.paper.admin_actions import OPERATOR, TRADER
from dora_bot.paper.specs import OrderRequest, OrderStatus
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting

pytestmark = pytest.mark.process

ENDS, CLOSES, PAUSES, OPEN = (f"KXLIFE-26NOV20-{name}" for name in ("ENDS", "CLOSES", "PAUSES", "OPEN"))
MENDED = "KXMEND-26NOV20-A"
FOREIGN = "somebody-elses-1"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    charged = StaticMarket(MENDED, fees=FeeTerms("quadratic_with_maker_fees"))
    rig = make_rig([charged, *(StaticMarket(t) for t in (ENDS, CLOSES, PAUSES, OPEN))])
    rig.configure()
    rig.start()
    rig.quoting()
    return rig


def position(rig: Rig, ticker: str) -> str:
    held: dict[str, Any] = rig.status()["positions"].get(ticker, {})
    return str(held.get("net", "0.00"))


def trade_log(rig: Rig, ticker: str, status: str) -> list[dict[str, Any]]:
    from dora_bot.items import TRADE_LOG  # noqa: PLC0415  (one use)

    return [r for r in rig.db.scan(TRADE_LOG) if (r["market_id"], r["status"]) == (ticker, status)]


def test_a_market_determined_while_we_hold_it_is_left_and_its_settlement_booked(rig: Rig) -> None:
    rig.hit(ENDS, Side.ASK, 3)
    rig.until_status("the position", lambda s: s["positions"].get(ENDS, {}).get("net") == "3.00", 5.0)
    rig.run(lambda v: v.engine.determine(ENDS, "yes", v.now_ms()))
    mark = rig.run(lambda v: v.journal.last)
    rig.until_status("it known as over", lambda s: s["markets"][ENDS]["status"] == "determined", 5.0)
    rig.withdrawn(ENDS, seconds=7.0)
    rig.run(lambda v: v.engine.settle(ENDS, v.now_ms()))
    rig.run(lambda v: v.replica.record_money(v.now_ms()))
    rig.until_status("the settlement booked", lambda s: ENDS not in s["positions"], 12.0)
    posts = rig.run(lambda v: [e for e in v.journal.after(mark) if e.get("method") == "POST"])
    assert not [e for e in posts if ENDS in e["body"]]
    rig.until("the row in DynamoDB", lambda _: len(trade_log(rig, ENDS, "settled")) == 1, 5.0)
    assert trade_log(rig, ENDS, "settled")[0]["price"] == 1


def test_a_result_that_is_disputed_and_amended_pays_once_and_what_it_came_to(rig: Rig) -> None:
    """YES first, 55 cents in the end: 2.5 contracts come to 1.375 dollars, of which 1.37 are paid."""

    def sell_to_our_bid(venue: Venue) -> int:
        (bid,) = [o for o in resting(venue, MENDED) if o.side is Side.BID]
        return venue.engine.fill_order(bid.order_id, 250, venue.now_ms())

    def differences() -> tuple[float, float]:
        cash = rig.until_status("cash", lambda s: s["cash"]["difference"] != "", 20.0)["cash"]
        return float(cash["difference"]), float(cash["unexplained_pnl"])

    assert rig.run(sell_to_our_bid) == 250
    rig.until_status("the position", lambda s: s["positions"].get(MENDED, {}).get("net") == "2.50", 5.0)
    for step in (
        lambda v: v.engine.determine(MENDED, "yes", v.now_ms()),
        lambda v: v.engine.dispute(MENDED, v.now_ms()),
        lambda v: v.engine.amend_result(MENDED, "scalar", v.now_ms(), value_e4=5_500),
    ):
        rig.run(step)
        reads = rig.status()["counts"]["risk_reads"]
        rig.until_status("two reads", lambda s, n=reads: s["counts"]["risk_reads"] >= n + 2, 20.0)  # type: ignore[misc]  # a default binds the loop's value
        assert (position(rig, MENDED), rig.status()["halts"]) == ("2.50", [])
        assert not rig.run(lambda v: resting(v, MENDED))
    rig.run(lambda v: v.engine.settle(MENDED, v.now_ms()))
    rig.run(lambda v: v.replica.record_money(v.now_ms()))
    rig.until_status("the settlement booked", lambda s: MENDED not in s["positions"], 12.0)
    rig.until("the row in DynamoDB", lambda _: len(trade_log(rig, MENDED, "settled")) == 1, 5.0)
    (row,) = trade_log(rig, MENDED, "settled")
    assert (float(row["price"]), float(row["size"]), float(row["fee"])) == (0.55, 2.5, 0.005)
    assert rig.run(lambda v: v.engine.settlements(TRADER)[-1].traded_fee_e6) > 0
    assert differences() == (0.0, 0.0)
    assert rig.status()["halts"] == []


def test_no_quote_of_ours_reaches_the_close(rig: Rig) -> None:
    """A close half a minute away is too near for a new quote, and the old ones are withdrawn before it."""
    rig.hit(CLOSES, Side.BID, 2)
    rig.run(lambda v: v.engine.set_close(CLOSES, v.now_ms() + 30_000, v.now_ms()))
    rig.withdrawn(CLOSES, seconds=3.0)
    rig.run(lambda v: v.engine.set_close(CLOSES, v.now_ms() + 100, v.now_ms()))
    rig.until("the close", lambda v: v.engine.market(CLOSES).status == "closed", 2.0)
    assert not rig.run(lambda v: resting(v, CLOSES))
    rig.until_status("the position kept", lambda s: s["positions"].get(CLOSES, {}).get("net") == "-2.00", 5.0)


def test_a_market_that_pauses_is_quoted_again_when_it_returns(rig: Rig) -> None:
    rig.quoting(PAUSES)
    before = {o.order_id for o in rig.run(lambda v: resting(v, PAUSES))}
    rig.run(lambda v: v.engine.set_status(PAUSES, "inactive", v.now_ms()))
    rig.until_status("it known as inactive", lambda s: s["markets"][PAUSES]["status"] == "inactive", 5.0)

    def act(venue: Venue) -> None:
        """Activation cancels everything that rests, the house's quotes too."""
        now_ms = venue.now_ms()
        venue.engine.set_status(PAUSES, "active", now_ms)
        assert not resting(venue, PAUSES)
        for side, price in ((Side.BID, 4_700), (Side.ASK, 5_200)):
            venue.engine.create(OPERATOR, OrderRequest(PAUSES, side, price, 10_000), now_ms)

    rig.run(act)
    rig.quoting(PAUSES, seconds=5.0)
    assert not before & {o.order_id for o in rig.run(lambda v: resting(v, PAUSES))}


def test_an_exchange_pause_is_waited_out(rig: Rig) -> None:
    rig.quoting(OPEN, PAUSES)
    rig.run(lambda v: v.engine.pause("exchange", v.now_ms(), on=True))
    rig.until_status("PAUSED", lambda s: s["posture"] == "PAUSED", 7.0)
    rig.run(lambda v: v.engine.pause("exchange", v.now_ms(), on=False))
    rig.until_status("RUN", lambda s: s["posture"] == "RUN", 18.0)  # the status every 10 s, then the account
    rig.quoting(OPEN, PAUSES, seconds=10.0)
    assert rig.bot.alive


def test_a_foreign_order_is_reported_and_left_alone_and_its_fill_is_ours(rig: Rig) -> None:
    rig.quoting(OPEN)
    request = OrderRequest(OPEN, Side.BID, 2_000, 700, TimeInForce.GTC, client_order_id=FOREIGN)
    foreign = rig.run(lambda v: v.engine.create(TRADER, request, v.now_ms())).order_id
    rig.until_status("the foreign order", lambda s: s["counts"]["foreign_orders"] == 1, 10.0)
    fills = rig.status()["counts"]["fills"]
    rig.run(lambda v: v.engine.fill_order(foreign, 200, v.now_ms()))
    rig.until_status("its fill booked", lambda s: s["counts"]["fills"] == fills + 1, 10.0)
    assert position(rig, OPEN) == "2.00"
    rig.until_status("two more reads of the account", two_more_reads(rig), 20.0)
    assert rig.status()["halts"] == []
    assert rig.run(lambda v: v.engine.order(foreign).status) is OrderStatus.RESTING


def two_more_reads(rig: Rig) -> Any:
    first = rig.status()["counts"]["risk_reads"]
    return lambda s: s["counts"]["risk_reads"] >= first + 2


def test_it_stops_with_the_foreign_order_untouched_and_the_books_equal(rig: Rig) -> None:
    assert rig.bot.stop() == 0
    assert [o.client_order_id for o in rig.run(resting)] == [FOREIGN]
    assert rig.ledger_differences() == []


def test_on_an_account_of_its_own_a_foreign_order_is_gone_within_ten_seconds(make_rig: MakeRig) -> None:
    """FAULTS B09, I15."""
    rig = make_rig([StaticMarket("KXALONE-26NOV20-A")])
    rig.configure()
    rig.edit("global_config", "foreign_orders", {"S": "cancel"})
    rig.start()
    rig.quoting()
    request = OrderRequest(rig.tickers[0], Side.BID, 2_000, 700, TimeInForce.GTC, client_order_id=FOREIGN)
    rig.run(lambda v: v.engine.create(TRADER, request, v.now_ms()))
    rig.until("it is gone", lambda v: FOREIGN not in {o.client_order_id for o in resting(v)}, 10.0)
    assert len(rig.run(resting)) == 2
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0
