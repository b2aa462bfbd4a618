"""The store over the four tables: calls, conditions, paging, failures as policies, units as billed."""

import time
from decimal import Decimal

import pytest

from dora_bot.dynamo import Condition, ConditionFailed, Dynamo
from dora_bot.errors import ConfigError, StoreError
from dora_bot.items import MARKET_CONFIG, STATE, TABLES, TRADE_LOG
from dora_bot.tables import check_tables, create_tables, require_tables
from tests.fakes.aws import FaultyProxy
from tests.plugins.aws import use_endpoint

ABSENT = Condition("attribute_not_exists(#k)", {"#k": "key"})


def trade(number: int, date: str = "2026-11-20") -> dict[str, object]:
    return {"date": date, "timestamp#order_id": f"{number:05}", "size": Decimal(number)}


# ── tables ──────────────────────────────────────────────────────────────────────────────────────


def test_creating_the_tables_twice_changes_nothing_and_keeps_what_people_set(aws_environment: str) -> None:
    assert aws_environment
    db = Dynamo.connect("twice_")
    assert [status.status for status in check_tables(db)] == ["missing"] * 4
    assert [status.status for status in create_tables(db, live=False)] == ["created"] * 4
    db.update(STATE, {"key": "global_config"}, {"max_daily_loss": Decimal(55)})
    assert [status.status for status in create_tables(db, live=True)] == ["exists"] * 4
    assert [(status.table, status.ok) for status in check_tables(db)] == [(db.name(t), True) for t in TABLES]
    assert db.get(STATE, {"key": "global_config"}) == {
        "key": "global_config",
        "trading_enabled": True,
        "max_total_exposure": Decimal(1000),
        "max_daily_loss": Decimal(55),
        "loop_interval_ms": Decimal(500),
    }
    db.close()


def test_live_trading_starts_switched_off(aws_environment: str) -> None:
    assert aws_environment
    db = Dynamo.connect("live_")
    create_tables(db, live=True)
    assert db.get(STATE, {"key": "global_config"})["trading_enabled"] is False
    db.close()


def test_what_expires_by_itself_is_switched_on_and_the_ledger_never_expires(db: Dynamo) -> None:
    told = {
        table.suffix: db.client.describe_time_to_live(TableName=db.name(table))["TimeToLiveDescription"]
        for table in TABLES
    }
    assert {name for name, ttl in told.items() if ttl["TimeToLiveStatus"] == "ENABLED"} == {
        "state",
        "decision_log",
    }


def test_missing_or_foreign_tables_are_a_config_error_with_the_remedy(aws_environment: str) -> None:
    assert aws_environment
    db = Dynamo.connect("none_")
    with pytest.raises(ConfigError, match="dora tables create"):
        db.get(STATE, {"key": "x"})
    with pytest.raises(ConfigError, match="dora tables create"):
        require_tables(db)
    db.client.create_table(
        TableName="none_state",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ConfigError, match="its keys are id"):
        create_tables(db, live=False)
    db.close()


# ── calls ───────────────────────────────────────────────────────────────────────────────────────


def test_more_items_than_a_batch_or_a_page_takes(db: Dynamo) -> None:
    db.batch_put(TRADE_LOG, [trade(number) for number in range(620)])
    found = list(db.query(TRADE_LOG, "2026-11-20"))
    assert [int(item["size"]) for item in found] == list(range(620))
    assert [int(item["size"]) for item in db.query(TRADE_LOG, "2026-11-20", "00610")] == list(range(610, 620))
    assert list(db.query(TRADE_LOG, "2026-11-21")) == []
    keys = [{"date": "2026-11-20", "timestamp#order_id": f"{number:05}"} for number in range(0, 1240, 2)]
    assert len(db.batch_get(TRADE_LOG, keys)) == 310


def test_the_last_of_several_items_with_one_key_stays(db: Dynamo) -> None:
    db.batch_put(STATE, [{"key": "a", "n": Decimal(1)}, {"key": "b"}, {"key": "a", "n": Decimal(2)}])
    assert db.get(STATE, {"key": "a"})["n"] == 2


def test_scan_finds_all_items_of_a_prefix(db: Dynamo) -> None:
    db.batch_put(STATE, [{"key": f"position#{number}"} for number in range(510)])
    assert len(list(db.scan(STATE, "position#"))) == 510
    assert len(list(db.scan(STATE))) == 511  # and global_config


def test_an_update_sets_its_attributes_and_leaves_the_others(db: Dynamo) -> None:
    db.put(MARKET_CONFIG, {"market_id": "KXA", "enabled": True, "note": "mine"})
    db.update(MARKET_CONFIG, {"market_id": "KXA"}, {"status": "applied", "note": "yours"})
    assert db.get(MARKET_CONFIG, {"market_id": "KXA"}) == {
        "market_id": "KXA",
        "enabled": True,
        "status": "applied",
        "note": "yours",
    }
    with pytest.raises(ConditionFailed):
        db.update(
            MARKET_CONFIG, {"market_id": "KXB"}, {"status": "x"}, Condition("attribute_exists(market_id)")
        )
    assert db.get(MARKET_CONFIG, {"market_id": "KXB"}) == {}


def test_a_transaction_is_all_or_nothing_and_says_which_condition_failed(db: Dynamo) -> None:
    first, second = {"key": "a", "n": Decimal(1)}, {"key": "b", "n": Decimal(1)}
    db.transact([db.put_action(STATE, first, ABSENT)])
    with pytest.raises(ConditionFailed) as failed:
        db.transact([db.put_action(STATE, second, ABSENT), db.put_action(STATE, first, ABSENT)])
    assert failed.value.reasons == ("None", "ConditionalCheckFailed")
    assert db.get(STATE, {"key": "b"}) == {}


# ── failures and units ──────────────────────────────────────────────────────────────────────────


def test_an_endpoint_that_is_gone_is_a_store_error_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    db = Dynamo.connect("gone_", attempts=2)
    began = time.monotonic()
    with pytest.raises(StoreError, match="get_item"):
        db.get(STATE, {"key": "x"})
    assert time.monotonic() - began < 5
    db.close()


@pytest.mark.parametrize("fault", ["refuse", "throttle", "drop_reply"])
def test_every_kind_of_failure_is_a_store_error(faulty_db: Dynamo, proxy: FaultyProxy, fault: str) -> None:
    proxy.fault = lambda _operation: fault
    with pytest.raises(StoreError):
        faulty_db.put(STATE, {"key": "x"})
    proxy.fault = lambda _operation: ""
    assert bool(faulty_db.get(STATE, {"key": "x"})) == (fault == "drop_reply")


def test_no_region_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(ConfigError, match="AWS_REGION"):
        Dynamo.connect("x_")


def test_units_are_counted_as_dynamodb_bills_them(db: Dynamo) -> None:
    wrote, read = db.meter.write_units, db.meter.read_units
    db.put(STATE, {"key": "big", "text": "x" * 2_500})  # 3 KB begun: 3
    db.transact([db.put_action(STATE, {"key": "t"}, ABSENT)])  # a transaction bills twice: 2
    db.batch_put(STATE, [{"key": "p"}, {"key": "q"}])  # 2
    assert db.meter.write_units - wrote == 7
    db.get(STATE, {"key": "big"})  # 4 KB begun, consistent: 1
    db.batch_get(STATE, [{"key": "p"}, {"key": "q"}, {"key": "none"}])  # half each: 1.5
    assert db.meter.read_units - read == 2.5
