"""Every config value is checked, bounded and named when it is wrong; what a console types is understood or refused."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.ceilings import Ceilings
from dora_bot.config import MarketConfig, Settings, global_config, market_config
from dora_bot.errors import ConfigError
from tests.fakes.core import GLOBAL_ITEM, ITEM


def parsed(**changes: Any) -> MarketConfig:
    return market_config({**ITEM, **changes}, Ceilings())


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(**changes)
    return str(caught.value)


# ── market items ────────────────────────────────────────────────────────────────────────────────


def test_dollars_and_contracts_become_integers_of_the_smallest_unit() -> None:
    config = parsed(min_spread=Decimal("0.025"), quote_size=Decimal("7.5"), max_inventory_yes=50)
    assert (config.min_spread_e4, config.quote_size_e2, config.max_inventory_yes_e2) == (250, 750, 5_000)


@pytest.mark.parametrize("written", [5, 5.0, "5", " 5 ", "5.00", Decimal(5), Decimal("5.00")])
def test_a_number_may_be_written_in_any_way_a_console_writes_it(written: object) -> None:
    assert parsed(quote_size=written).quote_size_e2 == 500


@pytest.mark.parametrize("written", [True, "true", "True", " TRUE "])
def test_a_flag_may_be_a_word(written: object) -> None:
    assert parsed(enabled=written).enabled is True
    assert parsed(enabled="false").enabled is False


def test_stray_spaces_around_names_and_words_are_no_edit() -> None:
    item = {f" {name} ": value for name, value in ITEM.items()} | {" market_id": " KXA "}
    del item[" market_id "]
    assert market_config(item, Ceilings()) == parsed()


@pytest.mark.fault("F56")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_spread": -0.01}, "min_spread"),
        ({"min_spread": 0}, "min_spread"),
        ({"min_spread": "0.00001"}, "more than 4 decimals"),
        ({"min_spread": "0.51"}, "min_spread"),
        ({"min_spread": 4}, "min_spread"),
        ({"min_spread": "NaN"}, "not a finite number"),
        ({"min_spread": float("nan")}, "not a finite number"),
        ({"min_spread": Decimal("Infinity")}, "not a finite number"),
        ({"min_spread": "4c"}, "is not a number"),
        ({"min_spread": ""}, "is not a number"),
        ({"min_spread": None}, "must be a number"),
        ({"min_spread": True}, "must be a number"),
        ({"min_spread": [1]}, "must be a number"),
        ({"quote_size": 0}, "quote_size"),
        ({"quote_size": -5}, "quote_size"),
        ({"quote_size": 1_000}, "quote_size is larger than both inventory caps"),
        ({"quote_size": "0.001"}, "more than 2 decimals"),
        ({"max_inventory_yes": -1}, "max_inventory_yes"),
        ({"max_inventory_no": -1}, "max_inventory_no"),
        ({"max_inventory_yes": 10_000}, "max_inventory_yes exceeds the ceiling of 1000.00 contracts"),
        ({"max_inventory_no": "1000.01"}, "max_inventory_no exceeds the ceiling of 1000.00 contracts"),
        ({"inventory_skew_factor": "NaN"}, "inventory_skew_factor"),
        ({"inventory_skew_factor": -1}, "inventory_skew_factor"),
        ({"inventory_skew_factor": "abc"}, "inventory_skew_factor"),
        ({"toxicity_score": 1.1}, "toxicity_score"),
        ({"toxicity_score": Decimal("NaN")}, "toxicity_score"),
        ({"price_min": "0.6", "price_max": "0.5"}, "price_min must be below price_max"),
        ({"price_max": 1}, "price_max"),
        ({"requote_tolerance_ticks": 51}, "requote_tolerance_ticks"),
        ({"requote_tolerance_ticks": Decimal("0.5")}, "requote_tolerance_ticks"),
        ({"min_requote_s": -1}, "min_requote_s"),
        ({"max_markets": 0}, "max_markets"),
        ({"strategy": "moonshot"}, "strategy"),
        ({"strategy": 7}, "strategy"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"market_id": "KX A"}, "market_id"),
        ({"market_id": ""}, "market_id"),
        ({"market_id": "../KXA"}, "market_id"),
        ({"qoute_size": 5}, "qoute_size is not a known attribute"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_attribute(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(**changes)
    assert len(refusal(**changes)) < 300


@pytest.mark.parametrize("name", [n for n in ITEM if n != "market_id"])
def test_a_deleted_attribute_is_refused_and_never_becomes_a_default(name: str) -> None:
    item = {key: value for key, value in ITEM.items() if key != name}
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        market_config(item, Ceilings())


def test_a_bound_is_told_in_the_units_that_people_write() -> None:
    assert refusal(min_spread=7) == f"market {ITEM['market_id']}: min_spread must be at most 0.5 (got 7)"
    assert "quote_size must be at least 0.01 (got 0)" in refusal(quote_size=0)
    assert "toxicity_score must be at most 1 (got 1.5)" in refusal(toxicity_score=1.5)
    with pytest.raises(ConfigError, match=r"max_daily_loss must be more than 0 \(got -3\)"):
        global_config({**GLOBAL_ITEM, "max_daily_loss": -3}, Ceilings())


def test_the_bots_own_answers_beside_an_item_configure_nothing() -> None:
    answers = {"applied_version": "x", "applied_at": "y", "status": "applied", "updated_at": 5, "version": 3}
    assert parsed(**answers) == parsed()


@given(
    st.dictionaries(
        st.sampled_from([*ITEM, "strategy", "toxicity_score", "x"]),
        st.none()
        | st.text(max_size=8)
        | st.integers()
        | st.floats()
        | st.booleans()
        | st.lists(st.integers(), max_size=2),
    )
)
def test_no_item_does_anything_but_pass_or_be_refused(changes: dict[str, Any]) -> None:
    try:
        config = parsed(**changes)
    except ConfigError:
        return
    largest_cap = max(config.max_inventory_yes_e2, config.max_inventory_no_e2)
    assert 0 < config.quote_size_e2 <= largest_cap <= 100_000
    assert 0 < config.min_spread_e4 <= 5_000


# ── the global item ─────────────────────────────────────────────────────────────────────────────


def test_the_global_item_is_money_in_millionths() -> None:
    config = global_config({**GLOBAL_ITEM, "max_daily_loss": "12.345678"}, Ceilings())
    assert (config.max_daily_loss_e6, config.max_total_exposure_e6) == (12_345_678, 1_000_000_000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_daily_loss": 0}, "max_daily_loss"),
        ({"max_daily_loss": "-5"}, "max_daily_loss"),
        ({"max_daily_loss": "nan"}, "not a finite number"),
        ({"max_total_exposure": -1}, "max_total_exposure"),
        ({"max_total_exposure": 100_001}, "max_total_exposure exceeds the ceiling of $100000"),
        ({"loop_interval_ms": 49}, "loop_interval_ms"),
        ({"loop_interval_ms": 60_001}, "loop_interval_ms"),
        ({"trading_enabled": "maybe"}, "trading_enabled"),
        ({"max_positions": 3}, "max_positions is not a known attribute"),
    ],
)
def test_a_bad_global_value_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        global_config({**GLOBAL_ITEM, **changes}, Ceilings())
    assert said in str(caught.value)


# ── the environment ─────────────────────────────────────────────────────────────────────────────

KEYS = {"DORA_KALSHI_KEY_ID": "k", "DORA_KALSHI_PRIVATE_KEY_PATH": "key.pem"}
ADDRESSES = {"DORA_KALSHI_REST_URL": "http://127.0.0.1:1", "DORA_KALSHI_WS_URL": "ws://127.0.0.1:1"}


def test_each_environment_has_its_own_table_prefix_and_paper_has_no_hosts() -> None:
    prefixes = {
        env: Settings.from_environ({"DORA_ENV": env}).table_prefix for env in ("paper", "demo", "live")
    }
    assert prefixes == {"paper": "dora_paper_", "demo": "dora_demo_", "live": "dora_"}
    assert Settings.from_environ({}).kalshi_rest_url == ""
    assert Settings.from_environ({"DORA_ENV": "live"}).kalshi_rest_url.startswith("https://")


def test_own_order_ids_begin_with_the_environments_prefix() -> None:
    assert Settings.from_environ({}).order_prefix == "dora-paper-"


def test_variables_of_others_are_ignored_and_unknown_ones_of_ours_refused() -> None:
    assert Settings.from_environ({"PATH": "/bin", "DORA_TABLE_PREFIX": ""}).table_prefix == "dora_paper_"
    with pytest.raises(ConfigError, match=r"unknown environment variable DORA_FEDD; known: .*DORA_FEED"):
        Settings.from_environ({"DORA_FEDD": "ws"})


@pytest.mark.parametrize(("name", "value"), [("DORA_ENV", "production"), ("DORA_FEED", "smoke")])
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"environment: {name}: "):
        Settings.from_environ({name: value})


def test_names_that_the_interface_reserves_are_accepted() -> None:
    environ = {"DORA_CONTROL_PORT": "0", "DORA_CONTROL_TOKEN_PATH": "/run/token"}
    assert Settings.from_environ(environ) == Settings.from_environ({})


def test_without_an_address_or_a_key_the_remedy_is_said() -> None:
    with pytest.raises(ConfigError, match="dora paper-exchange"):
        Settings.from_environ(KEYS).require_exchange()
    for keys in ({}, {"DORA_KALSHI_KEY_ID": "k"}, {**KEYS, "DORA_KALSHI_SECRET_ID": "s"}):
        with pytest.raises(ConfigError, match="DORA_KALSHI_SECRET_ID"):
            Settings.from_environ({**ADDRESSES, **keys}).require_exchange()
    Settings.from_environ({**ADDRESSES, **KEYS}).require_exchange()


@pytest.mark.parametrize(
    ("env", "prefix"),
    [
        ("paper", "dora_"),
        ("demo", "dora_paper_"),
        ("live", "dora_demo_"),
        ("live", "mine_"),
        ("demo", "my_live_"),
    ],
)
def test_tables_of_another_environment_are_refused(env: str, prefix: str) -> None:
    """Play money and real money never meet in one table (S21)."""
    with pytest.raises(
        ConfigError, match=f"DORA_TABLE_PREFIX '{prefix}' is not one of the environment {env}"
    ):
        Settings.from_environ({"DORA_ENV": env, "DORA_TABLE_PREFIX": prefix})


def test_each_environment_takes_tables_of_ones_own() -> None:
    for env, prefix in (("paper", "mine_"), ("demo", "mine_"), ("live", "my_live_")):
        settings = Settings.from_environ({"DORA_ENV": env, "DORA_TABLE_PREFIX": prefix})
        assert settings.table_prefix == prefix


def test_live_trading_goes_by_tls_only() -> None:
    plain = {"DORA_ENV": "live", "DORA_KALSHI_REST_URL": "http://127.0.0.1:1/trade-api/v2", **KEYS}
    with pytest.raises(ConfigError, match="https:// and wss://"):
        Settings.from_environ(plain).require_exchange()
    Settings.from_environ({"DORA_ENV": "live", **KEYS}).require_exchange()


def test_live_trading_signs_for_the_hosts_of_the_ceilings_only() -> None:
    live = Settings.from_environ({"DORA_ENV": "live"})
    assert live.signed_hosts == frozenset()
    with pytest.raises(ConfigError, match=r"names no \[hosts\]"):
        live.trusted_hosts(Ceilings())
    assert live.trusted_hosts(Ceilings(hosts={"one.example": ("k",)})) == {"one.example"}
    demo = Settings.from_environ({"DORA_ENV": "demo"})
    for host in demo.signed_hosts:
        with pytest.raises(ConfigError, match="a host of the demo venue"):
            live.trusted_hosts(Ceilings(hosts={host: ("k",)}))
    assert demo.trusted_hosts(Ceilings(hosts={"one.example": ("k",)})) == demo.signed_hosts
