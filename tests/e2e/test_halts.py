"""What must end quoting and stay so: `dora halt`, a lost day; and what ends it again."""

import json

import pytest

from dora_bot.items import STATE
from dora_bot.models import Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until

pytestmark = pytest.mark.process

A, B = "KXHALT-26NOV20-A", "KXHALT-26NOV20-B"
HELD = "KXHELD-26NOV20-A"
LOSER = "KXLOSS-26NOV20-A"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


def halt(rig: Rig) -> str:
    """`dora halt`, which must leave no order. Returns the halt's id."""
    done = rig.dora("halt", "--reason", "a look at the books")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["open_orders"] == 0
    assert not rig.run(resting)
    return str(told["halt_id"])


def ticks_on(rig: Rig, more: int) -> None:
    """Let the running bot make some more ticks."""
    first = rig.until_status("a status", lambda s: s["counts"]["ticks"] > 0, 10.0)["counts"]["ticks"]
    rig.until_status("more ticks", lambda s: s["counts"]["ticks"] >= first + more, 15.0)


def test_a_halt_cancels_holds_over_a_kill_and_ends_with_resume(rig: Rig) -> None:
    rig.start()
    rig.quoting()
    halt_id = halt(rig)
    rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 5.0)
    rig.bot.kill()

    rig.start()
    status = rig.until_status("a start", lambda s: s["counts"]["ticks"], 15.0)
    assert (status["posture"], status["halts"][0]["halt_id"]) == ("HALTED", halt_id)
    mark = rig.run(lambda v: v.journal.last)
    ticks_on(rig, 4)
    assert not rig.run(lambda v: [e for e in v.journal.after(mark) if e.get("method") == "POST"])

    rig.resume(halt_id)
    rig.quoting(seconds=5.0)


def test_a_halt_with_the_bot_dead_leaves_no_order(rig: Rig) -> None:
    rig.quoting()
    rig.bot.kill()
    assert len(rig.run(resting)) == 4
    halt_id = halt(rig)
    rig.start()
    rig.until_status("a halted start", lambda s: s["posture"] == "HALTED", 15.0)
    assert not rig.run(resting)
    assert rig.bot.stop() == 3
    rig.resume(halt_id)
    rig.start()
    rig.quoting()
    assert rig.bot.stop() == 0


def test_a_halt_from_another_directory_and_one_set_in_the_console_hold_the_running_bot(rig: Rig) -> None:
    rig.start()
    rig.quoting()
    elsewhere = str(rig.folder / "elsewhere")
    done = rig.dora("halt", "--reason", "from elsewhere", DORA_STATE_DIR=elsewhere)
    assert done.returncode == 0, done.stderr
    told = rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 5.0)
    assert [halt["reason"] for halt in told["halts"]] == ["from elsewhere"]
    until("no order", lambda: not rig.run(resting), 5.0)
    rig.resume(told["halts"][0]["halt_id"])
    rig.quoting(seconds=5.0)

    rig.db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
    told = rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 5.0)
    assert told["halts"][0]["by"] == "console"
    rig.resume(told["halts"][0]["halt_id"])
    rig.quoting(seconds=5.0)
    assert rig.db.get(STATE, {"key": "risk_state"})["trading_halted"] is False
    assert rig.bot.stop() == 0


def test_flatten_closes_under_a_running_bot_and_resume_quotes_again(make_rig: MakeRig) -> None:
    rig = make_rig([StaticMarket(HELD), StaticMarket(B, exchange_index=2)])
    rig.configure()
    rig.start()
    rig.quoting()
    rig.hit(HELD, Side.ASK, 5)
    rig.until_status("a long position", lambda s: s["positions"].get(HELD, {}).get("net") == "5.00", 5.0)
    done = rig.dora("flatten", "--yes")
    assert done.returncode == 0, done.stderr
    market, total = [json.loads(line) for line in done.stdout.splitlines()]
    assert (market["ticker"], market["before"], market["left"]) == (HELD, "5.00", "0.00")
    assert (total["flat"], total["open_orders"], rig.run(resting)) == (True, 0, [])
    rig.until_status("flat and paused", lambda s: (s["posture"], s["positions"]) == ("PAUSED", {}), 10.0)
    cash = rig.until_status("books", lambda s: float(s["cash"]["fees_charged"]) and s, 10.0)["cash"]
    assert (float(cash["unexplained_pnl"]), cash["by_shard"].keys()) == (0.0, {"0", "1", "2", "3"})
    assert abs(float(cash["fees_charged"]) - float(cash["fees_modelled"])) <= 0.0002
    rig.resume(total["halt_id"])
    rig.quoting(seconds=5.0)
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_a_market_that_lost_too_much_only_reduces_also_after_a_restart(make_rig: MakeRig) -> None:
    rig = make_rig([StaticMarket(LOSER), StaticMarket(B, exchange_index=2)])
    rig.configure(max_inventory_yes=100, max_inventory_no=100, quote_size=20, max_market_loss=5)
    rig.start()
    rig.quoting()
    rig.hit(LOSER, Side.ASK, 20)
    rig.until_status("a long position", lambda s: s["positions"].get(LOSER, {}).get("net") == "20.00", 5.0)
    rig.move(LOSER, 400, 900)
    status = rig.until_status("a halt", lambda s: s["halts"], 5.0)
    assert (status["posture"], status["halts"][0]["scope"]) == ("RUN", LOSER)

    def one_side() -> bool:
        return {o.side for o in rig.run(lambda v: resting(v, LOSER))} == {Side.ASK}

    until("only asks", one_side, 5.0)
    assert len(rig.run(lambda v: resting(v, B))) == 2
    assert rig.bot.stop() == 0
    rig.start()
    until("quotes again", lambda: len(rig.run(lambda v: resting(v, B))) == 2, 20.0)
    until("only asks", one_side, 10.0)
    ticks_on(rig, 4)
    assert one_side()
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_what_was_lost_today_before_the_first_start_halts_it_before_its_first_quote(
    make_rig: MakeRig,
) -> None:
    """Twenty contracts were bought by hand at 52 cents and sold at four: more than nine dollars, where five may be lost."""
    rig = make_rig([StaticMarket(LOSER)])
    rig.configure()
    rig.edit("global_config", "max_daily_loss", {"N": "5"})
    rig.run(lambda v: v.engine.create(TRADER, OrderRequest(LOSER, Side.BID, 5_200, 2_000), v.now_ms()))
    rig.move(LOSER, 400, 900)
    rig.run(lambda v: v.engine.create(TRADER, OrderRequest(LOSER, Side.ASK, 400, 2_000), v.now_ms()))
    mark = rig.run(lambda v: v.journal.last)
    rig.start()
    status = rig.until_status("a halt", lambda s: s["halts"], 15.0)
    assert (status["posture"], status["halts"][0]["reason"]) == ("HALTED", "daily loss limit")
    ticks_on(rig, 4)
    sent = [e for e in rig.run(lambda v: v.journal.after(mark)) if e.get("method") == "POST"]
    assert [e for e in sent if "orders" in e["path"]] == []
    assert rig.bot.stop() == 3


def test_a_lost_day_halts_cancels_and_holds_over_a_restart(make_rig: MakeRig) -> None:
    rig = make_rig([StaticMarket(LOSER)])
    rig.configure(max_inventory_yes=100, max_inventory_no=100, quote_size=20)
    rig.edit("global_config", "max_daily_loss", {"N": "5"})
    rig.start()
    rig.quoting()
    rig.hit(LOSER, Side.ASK, 20)
    rig.until_status("a long position", lambda s: s["positions"].get(LOSER, {}).get("net") == "20.00", 5.0)
    # The market falls by 40 cents, through our bid: what we hold is worth less by more than eight dollars.
    rig.move(LOSER, 400, 900)
    status = rig.until_status("a halt", lambda s: s["halts"], 5.0)
    assert (status["posture"], status["halts"][0]["reason"]) == ("HALTED", "daily loss limit")
    rig.withdrawn(seconds=2.0)
    assert rig.bot.stop() == 3

    rig.start()
    rig.until_status("a halted start", lambda s: s["posture"] == "HALTED", 15.0)
    ticks_on(rig, 4)
    assert not rig.run(resting)
    assert rig.bot.stop() == 3
    assert rig.ledger_differences() == []
