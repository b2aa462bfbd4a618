"""Config items as people edit them, and the bot's answers beside them."""

from decimal import Decimal

import pytest

from dora_bot.config_store import ConfigItem, ConfigStore
from dora_bot.dynamo import Dynamo
from dora_bot.errors import ConfigError
from dora_bot.items import MARKET_CONFIG, STATE
from tests.fakes.manual_clock import NOON_MS

ITEM = {"market_id": "KXA", "enabled": True, "min_spread": Decimal("0.06"), "quote_size": Decimal(10)}


@pytest.fixture
def store(db: Dynamo) -> ConfigStore:
    db.put(MARKET_CONFIG, ITEM)
    return ConfigStore(db)


def read(store: ConfigStore) -> ConfigItem:
    return store.read_markets(["KXA"])["KXA"]


def console_edit(db: Dynamo, **changes: object) -> None:
    """As the console does it: the whole item is put again."""
    item = {**db.get(MARKET_CONFIG, {"market_id": "KXA"}), **changes}
    db.put(MARKET_CONFIG, {name: value for name, value in item.items() if value is not None})


def test_known_items_are_read_and_a_deleted_one_is_missing(store: ConfigStore, db: Dynamo) -> None:
    db.put(MARKET_CONFIG, {"market_id": "series#KXB", "enabled": False})
    assert store.read_markets(["KXA", "KXGONE"]).keys() == {"KXA"}
    assert store.scan_markets().keys() == {"KXA", "series#KXB"}
    assert store.read_markets([]) == {}
    assert store.read_markets(["KXA"])["KXA"].raw == ITEM


@pytest.mark.parametrize(
    "changes",
    [
        {"min_spread": Decimal("0.07")},
        {"min_spread": "0.07"},
        {"min_spread": " 0.06"},
        {"quote_size": None},
        {"enabled": "true"},
        {"updated_at": "2026-11-20T12:00:00Z"},
        {"misspelt ": Decimal(1)},
        {"nested": {"a": [Decimal(1), None, True]}},
    ],
)
def test_every_console_edit_changes_the_token(
    store: ConfigStore, db: Dynamo, changes: dict[str, object]
) -> None:
    before = read(store).token
    console_edit(db, **changes)
    after = read(store).token
    assert after != before
    assert store.scan_markets()["KXA"].token == after
    assert store.read_markets(["KXA"])["KXA"].token == after


def test_an_answer_touches_only_its_own_attributes_and_not_the_token(store: ConfigStore, db: Dynamo) -> None:
    item = read(store)
    assert store.answer(item, NOON_MS, "rejected: min_spread 0.6 is not in 0.0001..0.5")
    found = db.get(MARKET_CONFIG, {"market_id": "KXA"})
    assert found == {
        **ITEM,
        "applied_version": item.token,
        "applied_at": "2026-11-20T12:00:00.000Z",
        "status": "rejected: min_spread 0.6 is not in 0.0001..0.5",
    }
    assert read(store).token == item.token


def test_an_answer_to_an_older_edit_leaves_the_newer_one_unanswered(store: ConfigStore, db: Dynamo) -> None:
    old = read(store)
    console_edit(db, quote_size=Decimal(20))
    store.answer(old, NOON_MS, "applied")
    new = read(store)
    assert new.raw["quote_size"] == 20
    assert new.raw["applied_version"] != new.token


def test_a_deleted_item_is_not_brought_back_by_an_answer(store: ConfigStore, db: Dynamo) -> None:
    item = read(store)
    db.client.delete_item(TableName=db.name(MARKET_CONFIG), Key={"market_id": {"S": "KXA"}})
    assert not store.answer(item, NOON_MS, "applied")
    assert store.read_markets(["KXA"]) == {}


def test_the_global_item_is_read_and_answered_in_its_own_table(store: ConfigStore, db: Dynamo) -> None:
    item = store.read_global()
    assert item.raw["max_daily_loss"] == 100
    assert "key" not in item.raw
    assert store.answer(item, NOON_MS, "applied")
    assert db.get(STATE, {"key": "global_config"})["status"] == "applied"
    assert store.read_global().token == item.token


def test_without_a_global_item_the_remedy_is_named(store: ConfigStore, db: Dynamo) -> None:
    db.client.delete_item(TableName=db.name(STATE), Key={"key": {"S": "global_config"}})
    with pytest.raises(ConfigError, match="dora tables create"):
        store.read_global()
