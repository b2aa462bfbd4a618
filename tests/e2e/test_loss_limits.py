"""Loss limits reached by fills on the exchange: what each holds, over a restart, and what a person's word ends."""

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until

pytestmark = pytest.mark.process

LOSER, SISTER, OTHER = "KXFALL-26NOV20-A", "KXFALL-26NOV20-B", "KXELSE-26NOV20-A"


def started(make_rig: MakeRig, **limits: str) -> Rig:
    """Two markets of one event and one of another on another shard, all quoted, with these limits."""
    rig = make_rig([StaticMarket(LOSER), StaticMarket(SISTER), StaticMarket(OTHER, exchange_index=2)])
    rig.configure(max_inventory_yes=100, max_inventory_no=100, quote_size=20)
    for name, dollars in limits.items():
        rig.edit("global_config", name, {"N": dollars})
    rig.start()
    rig.quoting()
    return rig


def lose(rig: Rig) -> None:
    """Twenty contracts are sold to our bid; then the market falls by 40 cents."""
    rig.hit(LOSER, Side.ASK, 20)
    rig.until_status("a long position", lambda s: s["positions"].get(LOSER, {}).get("net") == "20.00", 5.0)
    rig.move(LOSER, 400, 900)


def sides(rig: Rig, ticker: str) -> set[Side]:
    return {o.side for o in rig.run(lambda v: resting(v, ticker))}


def test_a_fall_from_the_peak_halts_and_a_resume_with_the_bot_dead_accepts_it(make_rig: MakeRig) -> None:
    rig = started(make_rig, max_drawdown="5")
    lose(rig)
    status = rig.until_status("a halt", lambda s: s["halts"], 5.0)
    assert (status["posture"], status["halts"][0]["reason"]) == ("HALTED", "drawdown limit")
    rig.withdrawn(seconds=2.0)
    assert rig.bot.stop() == 3
    rig.start()
    rig.until_status("a halted start", lambda s: s["posture"] == "HALTED", 15.0)
    assert rig.bot.stop() == 3

    rig.resume(str(status["halts"][0]["halt_id"]))
    rig.start()
    until("quotes", lambda: sides(rig, OTHER) == {Side.BID, Side.ASK}, 20.0)
    after = rig.until_status("more ticks", lambda s: s["counts"]["ticks"] >= 8, 15.0)
    assert (after["posture"], after["halts"]) == ("RUN", [])
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_an_event_that_lost_too_much_only_reduces_and_others_go_on(make_rig: MakeRig) -> None:
    rig = started(make_rig, max_event_loss="5")
    lose(rig)
    status = rig.until_status("a hold", lambda s: s["halts"], 5.0)
    assert (status["posture"], status["halts"][0]["scope"]) == ("RUN", "event#KXFALL-26NOV20")
    until("the sister withdrawn", lambda: not sides(rig, SISTER), 5.0)
    until("only asks", lambda: sides(rig, LOSER) == {Side.ASK}, 5.0)
    assert sides(rig, OTHER) == {Side.BID, Side.ASK}
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_an_event_at_its_cap_adds_nothing_and_still_gets_out(make_rig: MakeRig) -> None:
    rig = started(make_rig, max_event_exposure="60")
    rig.hit(LOSER, Side.ASK, 20)
    rig.until_status("a long position", lambda s: s["positions"].get(LOSER, {}).get("net") == "20.00", 5.0)
    rig.edit("global_config", "max_event_exposure", {"N": "1"})
    # What rests may stay; once it is gone nothing but the way out comes back.
    rig.edit(LOSER, "enabled", {"BOOL": False})
    rig.edit(SISTER, "enabled", {"BOOL": False})
    until("nothing rests in the event", lambda: not sides(rig, LOSER) | sides(rig, SISTER), 10.0)
    rig.edit(LOSER, "enabled", {"BOOL": True})
    rig.edit(SISTER, "enabled", {"BOOL": True})
    until("only the way out", lambda: sides(rig, LOSER) == {Side.ASK}, 10.0)
    seen = rig.until_status("some ticks", lambda s: s["counts"]["ticks"], 5.0)["counts"]["ticks"]
    rig.until_status("more ticks", lambda s: s["counts"]["ticks"] >= seen + 8, 15.0)
    assert (sides(rig, LOSER), sides(rig, SISTER)) == ({Side.ASK}, set())
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []
