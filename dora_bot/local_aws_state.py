"""What the embedded AWS endpoint holds, out of moto and back into it; and transactions at a bearable price.

Kept over restarts: tables with their items and time to live, SNS topics with subscriptions, secrets.
"""

import copy
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import moto.backends
import moto.dynamodb.models
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

Snapshot = dict[str, list[dict[str, Any]]]

# Untyped on purpose: internals are replaced, and the service is a variable, which moto's types do not allow.
_dynamodb: Any = moto.dynamodb.models
_get_backend: Any = moto.backends.get_backend


def use_cheap_transactions() -> None:
    """Make a transaction keep the items it touches for its roll-back, not copies of whole tables.

    moto copies every table once per item of a transaction: 1 s a fill at 10,000 rows. Idempotent.
    """
    if isinstance(_dynamodb.copy, SimpleNamespace):
        return
    whole = _dynamodb.DynamoDBBackend.transact_write_items

    def transact(backend: Any, transact_items: Sequence[dict[str, Any]]) -> None:
        before = [_touched(backend, next(iter(action.values()))) for action in transact_items]
        try:
            whole(backend, transact_items)
        except BaseException:  # policy: roll back, then the caller's
            for slot, key, item in before:
                slot.pop(key, None)
                if item is not None:
                    slot[key] = item
            raise

    def shallow(value: Any) -> Any:
        return value if isinstance(value, Table) else copy.deepcopy(value)

    _dynamodb.DynamoDBBackend.transact_write_items = transact
    _dynamodb.copy = SimpleNamespace(deepcopy=shallow)


def _touched(backend: Any, action: dict[str, Any]) -> tuple[dict[Any, Any], Any, Any]:
    """Where the item of one action lives in moto's table, and a copy of it (None: there is none yet)."""
    table = backend.tables.get(action["TableName"])
    if table is None:
        return {}, None, None
    wire = action.get("Item") or action["Key"]
    slot, key = table.items, DynamoType(wire[table.hash_key_attr])
    if table.range_key_attr:
        slot, key = table.items[key], DynamoType(wire[table.range_key_attr])
    return slot, key, copy.deepcopy(slot.get(key))


def snapshot() -> Snapshot:
    """The state as plain JSON values, by kind."""
    return {
        "tables": [{**at, **_table(t)} for at, b in _each("dynamodb") for t in b.tables.values()],
        "topics": [{**at, "name": t.name} for at, b in _each("sns") for t in b.topics.values()],
        "subscriptions": [
            {**at, "topic": s.topic.arn, "endpoint": s.endpoint, "protocol": s.protocol}
            for at, b in _each("sns")
            for s in b.subscriptions.values()
        ],
        "secrets": [
            {
                **at,
                "name": s.name,
                "secret_string": b.get_secret_value(s.name, "", "").get("SecretString", ""),
            }
            for at, b in _each("secretsmanager")
            for s in b.secrets.values()
        ],
    }


def restore(state: Snapshot) -> None:
    """Fill an empty endpoint. Raises KeyError, TypeError or ValueError for a state that is not one of ours."""
    for told in state["tables"]:
        _restore_table(_backend("dynamodb", told), told)
    for told in state["topics"]:
        _backend("sns", told).create_topic(told["name"])
    for told in state["subscriptions"]:
        _backend("sns", told).subscribe(told["topic"], told["endpoint"], told["protocol"])
    for told in state["secrets"]:
        _backend("secretsmanager", told).create_secret(
            name=told["name"],
            secret_string=told["secret_string"],
            secret_binary=None,
            description=None,
            tags=None,
            kms_key_id=None,
            client_request_token=None,
            replica_regions=[],
            force_overwrite=False,
        )


def _each(service: str) -> Iterator[tuple[dict[str, str], Any]]:
    """Every account's and region's backend of a service, with where it is."""
    for account, regions in _get_backend(service).items():
        for region, backend in regions.items():
            yield {"account": account, "region": region}, backend


def _backend(service: str, at: dict[str, Any]) -> Any:
    return _get_backend(service)[at["account"]][at["region"]]


def _table(table: Any) -> dict[str, Any]:
    return {
        "name": table.name,
        "schema": table.schema,
        "attributes": table.attr,
        "ttl": table.ttl.get("AttributeName", ""),
        "items": [item.to_json()["Attributes"] for item in table.all_items()],
    }


def _restore_table(backend: Any, told: dict[str, Any]) -> None:
    table = backend.create_table(
        told["name"],
        schema=told["schema"],
        throughput=None,
        attr=told["attributes"],
        global_indexes=None,
        indexes=None,
        streams=None,
        billing_mode="PAY_PER_REQUEST",
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )
    if told["ttl"]:
        backend.update_time_to_live(told["name"], {"Enabled": True, "AttributeName": told["ttl"]})
    for item in told["items"]:
        table.put_item(item)
