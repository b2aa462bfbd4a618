"""Making and checking the four tables.

On-demand capacity: the load is a few writes a minute with bursts. The trade log is the ledger, so nothing in
it expires; the state and decision tables drop items by their ``expires_at``.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dora_bot.aws import error_code, translated
from dora_bot.config_store import GLOBAL_CONFIG
from dora_bot.dynamo import Condition, ConditionFailed, Dynamo
from dora_bot.errors import ConfigError
from dora_bot.items import STATE, TABLES, Item, Table

_WAIT = {"Delay": 1, "MaxAttempts": 60}


@dataclass(frozen=True, slots=True)
class TableStatus:
    """``status`` is created, exists, ok, missing, or ``wrong: …``; ``ok`` says whether the bot can use the table."""

    table: str
    status: str
    ok: bool


def create_tables(db: Dynamo, *, live: bool) -> list[TableStatus]:
    """Create what is missing, all at once, wait for it, and seed ``global_config`` if absent. Repeatable.

    Raises `StoreError`, or `ConfigError` where a table of that name has other keys.
    """
    try:
        created = [table for table in TABLES if _create(db, table)]
        for table in TABLES:
            db.client.get_waiter("table_exists").wait(TableName=db.name(table), WaiterConfig=_WAIT)
            _expire(db, table)
    except (ClientError, BotoCoreError) as error:
        raise translated("tables create", error) from error
    for status in check_tables(db):
        if not status.ok:
            raise ConfigError(
                f"table {status.table} is {status.status}; delete it or choose another DORA_TABLE_PREFIX"
            )
    _seed(db, live=live)
    return [TableStatus(db.name(t), "created" if t in created else "exists", ok=True) for t in TABLES]


def check_tables(db: Dynamo) -> list[TableStatus]:
    """Whether each table is there with the right keys. Raises `StoreError` if DynamoDB cannot be asked."""
    return [_check(db, table) for table in TABLES]


def require_tables(db: Dynamo) -> None:
    """Raises `ConfigError` naming the first table that is not ready."""
    for status in check_tables(db):
        if not status.ok:
            raise ConfigError(f"table {status.table} is {status.status}: run `dora tables create`")


def default_global_config(*, live: bool) -> Item:
    """A live environment starts with trading off: somebody must have looked at the limits first."""
    return {
        "key": GLOBAL_CONFIG,
        "trading_enabled": not live,
        "max_total_exposure": Decimal(1000),
        "max_daily_loss": Decimal(100),
        "loop_interval_ms": Decimal(500),
    }


def _create(db: Dynamo, table: Table) -> bool:
    try:
        db.client.create_table(
            TableName=db.name(table),
            KeySchema=_key_schema(table),
            AttributeDefinitions=[
                {"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in _key_schema(table)
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    except ClientError as error:
        if error_code(error) == "ResourceInUseException":
            return False
        raise
    return True


def _expire(db: Dynamo, table: Table) -> None:
    if not table.ttl:
        return
    told = db.client.describe_time_to_live(TableName=db.name(table))["TimeToLiveDescription"]
    if told.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        db.client.update_time_to_live(
            TableName=db.name(table),
            TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl},
        )


def _check(db: Dynamo, table: Table) -> TableStatus:
    name = db.name(table)
    try:
        told = db.client.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return TableStatus(name, "missing", ok=False)
        raise translated("tables check", error) from error
    except BotoCoreError as error:
        raise translated("tables check", error) from error
    if sorted(told["KeySchema"], key=_by_type) != sorted(_key_schema(table), key=_by_type):
        keys = ", ".join(key["AttributeName"] for key in told["KeySchema"])
        return TableStatus(name, f"wrong: its keys are {keys}", ok=False)
    if told["TableStatus"] not in ("ACTIVE", "UPDATING"):
        return TableStatus(name, f"wrong: it is {told['TableStatus']}", ok=False)
    return TableStatus(name, "ok", ok=True)


def _key_schema(table: Table) -> list[dict[str, Any]]:
    schema = [{"AttributeName": table.hash_key, "KeyType": "HASH"}]
    if table.range_key:
        schema.append({"AttributeName": table.range_key, "KeyType": "RANGE"})
    return schema


def _by_type(key: dict[str, Any]) -> str:
    return str(key["KeyType"])


def _seed(db: Dynamo, *, live: bool) -> None:
    try:
        db.put(STATE, default_global_config(live=live), Condition("attribute_not_exists(#k)", {"#k": "key"}))
    except ConditionFailed:
        return  # there is one, and it is the operator's
