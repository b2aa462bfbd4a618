"""Items and markets become the configuration in force: inheritance, last good values, one verdict an item."""

from collections.abc import Mapping
from typing import Any

import pytest

from dora_bot.ceilings import Ceilings
from dora_bot.config_resolution import Resolution, is_template, resolve
from dora_bot.models import Market, MarketStatus
from tests.fakes.core import GLOBAL_ITEM, ITEM, limits, market

NOTHING = Resolution({}, None, {})
Items = Mapping[str, Mapping[str, Any]]


def catalog(*markets: Market) -> dict[str, Market]:
    return {m.ticker: m for m in markets}


KNOWN = catalog(
    market("KXA", close_ms=300), market("KXB", close_ms=200), market("KXC", event_ticker="EVT2", close_ms=100)
)


def item(name: str, **changes: Any) -> dict[str, Any]:
    return {**ITEM, "market_id": name, **changes}


def resolved(
    items: Items,
    last: Resolution = NOTHING,
    known: Mapping[str, Market] = KNOWN,
    ceilings: Ceilings | None = None,
    global_item: Mapping[str, Any] = GLOBAL_ITEM,
) -> Resolution:
    return resolve(items, global_item, known, ceilings or Ceilings(), last)


def spreads(resolution: Resolution) -> dict[str, int]:
    return {ticker: config.min_spread_e4 for ticker, config in resolution.configs.items()}


def test_each_good_item_is_applied_to_its_market() -> None:
    found = resolved({"KXA": item("KXA"), "KXB": item("KXB", min_spread="0.06")})
    assert spreads(found) == {"KXA": 400, "KXB": 600}
    assert found.verdicts == {"KXA": "applied", "KXB": "applied", "global_config": "applied"}
    assert found.global_config == limits()


@pytest.mark.fault("F56")
@pytest.mark.parametrize(
    "bad",
    [
        {"min_spread": -1},
        {"min_spread": "NaN"},
        {"quote_size": 1_000},
        {"max_inventory_yes": 10_000},
        {"strategy": "moonshot"},
        {"enabled": "perhaps"},
        {"surprise": 1},
    ],
)
def test_a_bad_edit_keeps_the_last_good_value_and_says_why(bad: dict[str, Any]) -> None:
    good = resolved({"KXA": item("KXA"), "KXB": item("KXB")})
    found = resolved({"KXA": item("KXA", **bad), "KXB": item("KXB", min_spread="0.07")}, good)
    assert spreads(found) == {"KXA": 400, "KXB": 700}
    assert found.configs["KXA"] == good.configs["KXA"]
    assert found.verdicts["KXA"].startswith("rejected: market KXA: ")


def test_a_bad_item_without_a_last_good_value_configures_nothing() -> None:
    assert resolved({"KXA": item("KXA", min_spread="x")}).configs == {}


def test_a_deleted_item_is_out_of_force_and_so_is_a_deleted_attribute_refused() -> None:
    good = resolved({"KXA": item("KXA")})
    assert resolved({}, good).configs == {}
    cut = item("KXA")
    del cut["min_spread"]
    found = resolved({"KXA": cut}, good)
    assert found.configs == good.configs
    assert found.verdicts["KXA"] == "rejected: market KXA: min_spread is missing"


def test_a_market_the_exchange_does_not_know_is_refused() -> None:
    found = resolved({"KXZ": item("KXZ")})
    assert found.configs == {}
    assert found.verdicts["KXZ"] == "rejected: market KXZ is unknown to the exchange"


def test_a_bad_global_item_keeps_the_last_good_one() -> None:
    good = resolved({})
    found = resolved({}, good, global_item={**GLOBAL_ITEM, "max_daily_loss": "-1"})
    assert found.global_config == good.global_config
    assert found.verdicts["global_config"].startswith("rejected: global_config: max_daily_loss")
    assert resolved({}, global_item={}).global_config is None


# ── templates ───────────────────────────────────────────────────────────────────────────────────


def test_a_series_template_enables_its_open_markets_and_an_event_template_only_its_own() -> None:
    assert set(resolved({"series#SER": item("series#SER")}).configs) == {"KXA", "KXB", "KXC"}
    assert set(resolved({"event#EVT2": item("event#EVT2")}).configs) == {"KXC"}
    assert resolved({"series#OTHER": item("series#OTHER")}).configs == {}


def test_what_is_said_more_closely_overrides_attribute_by_attribute() -> None:
    found = resolved(
        {
            "series#SER": item("series#SER", min_spread="0.05", quote_size=3),
            "event#EVT": item("event#EVT", min_spread="0.06", quote_size=4),
            "KXA": {"market_id": "KXA", "min_spread": "0.07"},
        }
    )
    assert spreads(found) == {"KXA": 700, "KXB": 600, "KXC": 500}
    assert {t: c.quote_size_e2 for t, c in found.configs.items()} == {"KXA": 400, "KXB": 400, "KXC": 300}
    assert all(c.market_id == ticker for ticker, c in found.configs.items())


def test_an_event_template_may_change_one_attribute_of_its_series() -> None:
    found = resolved(
        {
            "series#SER": item("series#SER"),
            "event#EVT2": {"market_id": "event#EVT2", "min_spread": "0.09"},
        }
    )
    assert found.verdicts["event#EVT2"] == "applied"
    assert spreads(found) == {"KXA": 400, "KXB": 400, "KXC": 900}


def test_a_market_can_opt_out_of_its_template() -> None:
    found = resolved({"series#SER": item("series#SER"), "KXA": {"market_id": "KXA", "enabled": False}})
    assert {t: c.enabled for t, c in found.configs.items()} == {"KXA": False, "KXB": True, "KXC": True}


def test_a_template_enables_no_more_than_its_bound_soonest_close_first() -> None:
    assert set(resolved({"series#SER": item("series#SER", max_markets=2)}).configs) == {"KXC", "KXB"}


@pytest.mark.parametrize("status", [MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.FINALIZED])
def test_a_market_that_ended_inherits_nothing_any_more(status: MarketStatus) -> None:
    known = catalog(market("KXA", status=status), market("KXB"))
    assert set(resolved({"series#SER": item("series#SER")}, known=known).configs) == {"KXB"}


def test_a_market_that_opens_later_inherits_without_an_edit() -> None:
    items = {"series#SER": item("series#SER")}
    first = resolved(items, known=catalog(market("KXA")))
    later = resolved(items, first, known=catalog(market("KXA"), market("KXNEW")))
    assert set(later.configs) == {"KXA", "KXNEW"}


def test_a_bad_template_keeps_what_its_markets_had() -> None:
    good = resolved({"series#SER": item("series#SER")})
    found = resolved({"series#SER": item("series#SER", min_spread="free")}, good)
    assert found.configs == good.configs
    assert found.verdicts["series#SER"].startswith("rejected: ")


def test_a_bad_own_item_does_not_fall_back_to_the_template() -> None:
    items = {"series#SER": item("series#SER"), "KXA": {"market_id": "KXA", "min_spread": "0.07"}}
    good = resolved(items)
    found = resolved({**items, "KXA": {"market_id": "KXA", "min_spread": "seven"}}, good)
    assert found.configs["KXA"].min_spread_e4 == 700


def test_a_bad_own_item_without_a_last_good_value_keeps_its_market_out_of_the_template() -> None:
    items = {"series#SER": item("series#SER"), "KXA": {"market_id": "KXA", "min_spread": "seven"}}
    assert set(resolved(items).configs) == {"KXB", "KXC"}


def test_the_root_ceiling_bounds_the_number_of_markets_and_own_items_come_first() -> None:
    items = {"series#SER": item("series#SER"), "KXA": item("KXA")}
    found = resolved(items, ceilings=Ceilings(max_markets=2))
    assert len(found.configs) == 2
    assert "KXA" in found.configs


def test_only_series_and_event_names_are_templates() -> None:
    assert [is_template(n) for n in ("series#A", "event#A", "KXA", "KXseries#")] == [True, True, False, False]
