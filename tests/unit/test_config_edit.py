"""Edits of config items: typed, validated as the bot would, and risk is named where it rises."""

from decimal import Decimal
from typing import Any

import pytest

from dora_bot.ceilings import Ceilings
from dora_bot.config_edit import (
    changes_between,
    covers,
    edited_global,
    edited_market,
    inherit,
    parse_assignments,
    show_value,
)
from dora_bot.errors import ConfigError, Usage

ITEM = {
    "market_id": "KXA-B-C",
    "enabled": True,
    "max_inventory_yes": Decimal(50),
    "max_inventory_no": Decimal(50),
    "min_spread": Decimal("0.03"),
    "quote_size": Decimal(10),
    "version": Decimal(4),
    "status": "applied",
}


def edited(*words: str, old: Any = ITEM) -> dict[str, Any]:
    return edited_market("KXA-B-C", old, parse_assignments(words), [], Ceilings())


def test_words_become_typed_values() -> None:
    assert parse_assignments(["enabled=false", " min_spread = 0.05", "strategy=spread"]) == {
        "enabled": False,
        "min_spread": Decimal("0.05"),
        "strategy": "spread",
    }


@pytest.mark.parametrize(
    "word", ["min_spread", "=3", "min_spread=", "version=9", "status=applied", "market_id=X"]
)
def test_words_that_set_nothing_are_refused(word: str) -> None:
    with pytest.raises(Usage):
        parse_assignments([word])


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(Usage, match="twice"):
        parse_assignments(["quote_size=1", "quote_size=2"])


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("quote_size=-5", "quote_size"),
        ("min_spread=NaN", "min_spread"),
        ("min_spread=Infinity", "min_spread"),
        ("max_inventory_yes=500000", "ceiling"),
        ("strategy=martingale", "strategy"),
        ("min_spred=0.05", "min_spred is not a known attribute"),
        ("min_spread=0.00001", "min_spread"),
        ("enabled=maybe", "enabled"),
    ],
)
def test_what_the_bot_would_refuse_is_refused_and_named(word: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        edited(word)


def test_a_new_item_needs_everything_the_bot_needs() -> None:
    with pytest.raises(ConfigError, match="is missing"):
        edited("min_spread=0.05", old=None)


def test_a_template_supplies_what_a_new_item_lacks() -> None:
    template = {**ITEM, "market_id": "series#KXA"}
    new = edited_market("KXA-B-C", None, {"min_spread": Decimal("0.05")}, [template], Ceilings())
    assert new == {"market_id": "KXA-B-C", "min_spread": Decimal("0.05")}


def test_own_values_override_the_event_which_overrides_the_series() -> None:
    series = {**ITEM, "market_id": "series#KXA", "quote_size": Decimal(1), "min_spread": Decimal("0.01")}
    event = {"market_id": "event#KXA-B", "quote_size": Decimal(2), "max_inventory_no": Decimal(7)}
    merged = inherit({"market_id": "KXA-B-C", "quote_size": Decimal(3)}, [event, series])
    assert (merged["quote_size"], merged["max_inventory_no"], merged["min_spread"]) == (3, 7, Decimal("0.01"))


@pytest.mark.parametrize(
    ("template", "ticker", "expected"),
    [
        ("series#KXA", "KXA-B-C", True),
        ("event#KXA-B", "KXA-B-C", True),
        ("series#KXA", "KXAB-C", False),
        ("event#KXA-C", "KXA-B-C", False),
        ("series#", "KXA-B-C", False),
        ("KXA", "KXA-B-C", False),
    ],
)
def test_which_markets_a_template_speaks_for(template: str, ticker: str, expected: bool) -> None:  # noqa: FBT001  (a table row)
    assert covers(template, ticker) is expected


@pytest.mark.parametrize(
    ("word", "riskier"),
    [
        ("quote_size=20", True),
        ("quote_size=5", False),
        ("min_spread=0.02", True),
        ("min_spread=0.04", False),
        ("max_inventory_no=51", True),
        ("enabled=false", False),
        ("inventory_skew_factor=0.4", True),
        ("inventory_skew_factor=0.6", False),
        ("price_max=0.995", True),
        ("price_min=0.005", True),
    ],
)
def test_which_changes_raise_risk(word: str, riskier: bool) -> None:  # noqa: FBT001  (a table row)
    (change,) = changes_between(ITEM, edited(word))
    assert change.riskier is riskier


def test_a_new_enabled_item_is_risk_and_an_unchanged_one_is_no_change() -> None:
    new = {name: value for name, value in ITEM.items() if name not in {"version", "status"}}
    assert any(change.riskier for change in changes_between(None, new))
    assert changes_between(ITEM, edited("quote_size=10")) == []


def test_the_global_item_is_edited_within_its_ceiling() -> None:
    old = {
        "key": "global_config",
        "trading_enabled": True,
        "max_total_exposure": Decimal(1000),
        "max_daily_loss": Decimal(100),
        "loop_interval_ms": Decimal(500),
    }
    (change,) = changes_between(old, edited_global(old, {"max_daily_loss": Decimal(50)}, Ceilings()))
    assert str(change) == "max_daily_loss: 100 → 50"
    with pytest.raises(ConfigError, match="ceiling"):
        edited_global(old, {"max_total_exposure": Decimal(10) ** 7}, Ceilings())


def test_values_are_shown_as_people_write_them() -> None:
    assert [show_value(v) for v in (None, True, Decimal("0.0500"), Decimal(1000), "spread")] == [
        "absent",
        "true",
        "0.05",
        "1000",
        "spread",
    ]
