"""Edits of config items past the command, as the console makes them: in force and answered within ten seconds."""

from typing import Any

import pytest

from dora_bot.items import MARKET_CONFIG, parse_timestamp
from dora_bot.models import Level
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, arrivals, quotes, resting, until, withdraw

pytestmark = pytest.mark.process

ANSWER_S = 10.0
CANCEL_S = 5.5
"""Five seconds and one tick."""

BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "LETTERS": ("min_spread", {"S": "abc"}),
    "NEGATIVE": ("quote_size", {"N": "-5"}),
    "NAN": ("min_spread", {"S": "NaN"}),
    "INFINITE": ("inventory_skew_factor", {"S": "Infinity"}),
    "CEILING": ("max_inventory_yes", {"N": "2000"}),
    "BEYOND": ("quote_size", {"N": "500"}),
    "STRATEGY": ("strategy", {"S": "martingale"}),
    "LIST": ("max_inventory_no", {"L": [{"N": "20"}]}),
    "NULL": ("enabled", {"NULL": True}),
    "MISSPELT": ("min_spred", {"N": "0.02"}),
}
GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "WIDER": ("min_spread", {"N": "0.03"}),
    "SPACES": ("min_spread", {"S": "  0.03 "}),
    "TEXT": ("min_spread", {"S": "0.03"}),
}
STRANGE = ("NOPE", "no such market", "A,B", "x" * 300, "series#", "series#NOPE", "event#", "#", "кот")
"""Names that no market has; an item may have any."""

OTHERS = ("DELETED", "TWICE", "OFF", "GONE", "STILL")


def ticker(name: str) -> str:
    return f"KXEDIT-26NOV20-{name}"


class Edited(Rig):
    """A rig whose items were edited while all its markets were quoted; ``at`` tells when, ``before`` the quotes."""

    at: dict[str, float]
    before: dict[str, tuple[int, int]]
    versions: dict[str, str]


@pytest.fixture(scope="module")
def edited(make_rig: MakeRig) -> Edited:
    """All edits are made at once, so that they do not add up to minutes; each test judges its own."""
    names = [*BAD, *GOOD, *OTHERS]
    book = (Level(4_800, 10_000),), (Level(5_100, 10_000),)
    rig = make_rig([StaticMarket(ticker(name), *book) for name in names])
    rig.__class__ = Edited
    assert isinstance(rig, Edited)
    rig.configure(min_spread="0.01", requote_tolerance_ticks=0)
    rig.configure(*STRANGE)
    rig.start()
    rig.quoting(seconds=30)
    answered = lambda: all("applied_version" in rig.item(ticker(name)) for name in names)  # noqa: E731  (one use)
    until("answers to the first items", answered, ANSWER_S)
    rig.before = {name: rig.run(lambda v, n=name: quotes(v, ticker(n))) for name in names}  # type: ignore[misc]  # a default binds the loop's value
    rig.versions = {name: rig.item(ticker(name))["applied_version"] for name in names}
    rig.at = {name: rig.edit(ticker(name), *edit) for name, edit in {**BAD, **GOOD}.items()}
    rig.at["DELETED"] = rig.remove(ticker("DELETED"), "max_inventory_no")
    rig.edit(ticker("TWICE"), "min_spread", {"S": "abc"})
    rig.at["TWICE"] = rig.edit(ticker("TWICE"), "min_spread", {"N": "0.03"})
    return rig


def answer(rig: Edited, name: str) -> str:
    """The verdict on the edit, which must have come in time."""
    found = until(
        f"an answer to {name}",
        lambda: (
            rig.item(ticker(name)) if rig.item(ticker(name))["applied_version"] != rig.versions[name] else {}
        ),
        ANSWER_S,
        rig.bot.last_words,
    )
    took = parse_timestamp(found["applied_at"]) / 1_000 - rig.at[name]
    assert took < ANSWER_S
    return str(found["status"])


def a_second_later(rig: Edited, name: str) -> None:
    """Let the tick act on what was answered."""
    due_ms = parse_timestamp(rig.item(ticker(name))["applied_at"]) + 1_000
    rig.until_status("two ticks", lambda s: parse_timestamp(s["time"]) > due_ms, 5.0)


@pytest.mark.parametrize("name", [*GOOD, "TWICE"])
def test_a_wider_spread_widens_the_quotes(edited: Edited, name: str) -> None:
    assert edited.before[name] == (4_900, 5_000)
    assert answer(edited, name) == "applied"
    edited.until("wider quotes", lambda v: quotes(v, ticker(name)) == (4_800, 5_100), 3.0)


@pytest.mark.fault("F56")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_by_name_and_the_last_good_one_stays(edited: Edited, name: str) -> None:
    verdict = answer(edited, name)
    assert verdict.startswith("rejected: ")
    assert BAD[name][0] in verdict
    a_second_later(edited, name)
    assert edited.run(lambda v: quotes(v, ticker(name))) == edited.before[name] == (4_900, 5_000)


def test_a_deleted_attribute_is_named(edited: Edited) -> None:
    assert answer(edited, "DELETED").endswith("max_inventory_no is missing")
    a_second_later(edited, "DELETED")
    assert edited.run(lambda v: quotes(v, ticker("DELETED"))) == edited.before["DELETED"]


@pytest.mark.parametrize("name", STRANGE)
def test_an_item_of_no_market_is_answered_and_disturbs_no_other(edited: Edited, name: str) -> None:
    status = edited.item(name).get("status", "")
    assert status == "applied" if "#" in name[1:] else status.startswith("rejected: "), status


def test_disabling_and_deleting_cancel_and_enabling_quotes_again(edited: Edited) -> None:
    off, gone = ticker("OFF"), ticker("GONE")
    edited.quoting(off, gone)
    edited.edit(off, "enabled", {"S": "false"})
    edited.aws.delete_item(TableName=edited.db.name(MARKET_CONFIG), Key={"market_id": {"S": gone}})
    edited.withdrawn(off, gone, seconds=CANCEL_S)
    edited.edit(off, "enabled", {"BOOL": True})
    edited.quoting(off, seconds=ANSWER_S)
    assert not edited.run(lambda v: resting(v, gone))


def test_trading_enabled_false_cancels_everything_and_true_resumes(edited: Edited) -> None:
    still = ticker("STILL")
    edited.quoting(still)
    edited.edit("global_config", "trading_enabled", {"BOOL": False})
    edited.until("no order at all", lambda v: not resting(v), CANCEL_S)
    edited.edit("global_config", "trading_enabled", {"S": "true"})
    edited.quoting(still, seconds=ANSWER_S)
    assert edited.bot.alive


def test_a_lower_exposure_limit_stops_new_exposure(edited: Edited) -> None:
    still = ticker("STILL")
    edited.quoting(*(t for t in edited.tickers if t != ticker("GONE")))
    version = edited.item("global_config")["applied_version"]
    edited.edit("global_config", "max_total_exposure", {"N": "1"})
    in_force = lambda: edited.item("global_config")["applied_version"] != version  # noqa: E731  (one use)
    until("the limit in force", in_force, ANSWER_S, edited.bot.last_words)
    mark = edited.run(lambda v: v.journal.last)
    vetoes = len([line for line in edited.bot.log() if line.get("check") == "check_exposure"])
    assert edited.run(lambda v: withdraw(v, still)) == 2
    until(
        "a veto for want of exposure",
        lambda: len([e for e in edited.bot.log() if e.get("check") == "check_exposure"]) > vetoes,
        ANSWER_S,
        edited.bot.last_words,
    )
    assert edited.run(lambda v: arrivals(v, "POST", "/orders/batched", mark)) == 0
    assert not edited.run(lambda v: resting(v, still))
    edited.edit("global_config", "max_total_exposure", {"N": "1000"})
    edited.quoting(still, seconds=ANSWER_S)


def test_the_bot_lived_through_it_and_stops_clean(edited: Edited) -> None:
    assert edited.bot.alive
    assert edited.bot.stop() == 0
    assert not edited.run(resting)
    edited.configure()  # the checker reads the caps of every item
    assert edited.ledger_differences() == []
