"""DynamoDB: calls over the four tables with every failure a `StoreError` and every unit counted.

A call takes at most three attempts of 1 s to connect and 2 s to read, and none is ever made on the tick's
thread. What the items mean is in `items`; what is kept for whom is in `config_store` and `state_store`.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from dora_bot.aws import aws_client, error_code, longest_call_ms, translated
from dora_bot.errors import ConfigError, StoreError
from dora_bot.items import Item, Table
from dora_bot.pulse import waiting

_BATCH_READ, _BATCH_WRITE, _BATCH_ATTEMPTS = 100, 25, 3
_PAGE = 500
"""Items per page of a query or scan: few enough for the read timeout on the embedded endpoint, too."""
_KB = 1024

Wire = dict[str, Any]
"""An item as DynamoDB's JSON has it: ``{"name": {"S": "value"}}``."""


class ConditionFailed(StoreError):  # noqa: N818  (a fact about the item, in DynamoDB's own word)
    """The items were not as the write demanded; ``reasons`` has one code for each item of a transaction."""

    def __init__(self, what: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(f"{what}: condition failed {' '.join(reasons)}".rstrip())
        self.reasons = tuple(reasons)


@dataclass(frozen=True, slots=True)
class Condition:
    """``expression`` in DynamoDB's language, with ``#names`` and ``:values`` it uses."""

    expression: str
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


class Meter:
    """Capacity units used by this process: what AWS says it bills.

    Any other endpoint reports made-up flat units, so for those the units come from the items' sizes: writes by
    the KB begun, twice in a transaction; reads by 4 KB begun, half where a slightly old item will do.
    """

    def __init__(self, *, trust_reports: bool) -> None:
        self.write_units = 0.0
        self.read_units = 0.0
        self._trust = trust_reports
        self._lock = threading.Lock()

    def wrote(self, reply: Any, items: Iterable[Wire], factor: int = 1) -> None:
        units = self._units(reply, factor * sum(_blocks(item, _KB) for item in items))
        with self._lock:
            self.write_units += units

    def read(self, reply: Any, items: Iterable[Wire], factor: float = 1) -> None:
        units = self._units(reply, factor * sum(_blocks(item, 4 * _KB) for item in items))
        with self._lock:
            self.read_units += units

    def _units(self, reply: Any, by_size: float) -> float:
        told = reply.get("ConsumedCapacity") if self._trust else None
        if not told:
            return by_size
        return sum(float(part["CapacityUnits"]) for part in (told if isinstance(told, list) else [told]))


class Dynamo:
    """The tables of one environment. Safe to use from several threads."""

    def __init__(self, client: Any, prefix: str, meter: Meter | None = None) -> None:
        """``meter``: another connection's, to be counted with it."""
        self.prefix = prefix
        self.client = client
        self.meter = meter or Meter(trust_reports="amazonaws.com" in client.meta.endpoint_url)
        self._longest_ms = longest_call_ms(client)
        self._serializer = TypeSerializer()
        self._deserializer = TypeDeserializer()

    @classmethod
    def connect(
        cls,
        prefix: str,
        *,
        attempts: int = 3,
        connect_s: float = 1.0,
        read_s: float = 2.0,
        meter: Meter | None = None,
    ) -> Self:
        """Makes no call yet. Raises `ConfigError` if AWS is not configured."""
        client = aws_client("dynamodb", attempts=attempts, connect_s=connect_s, read_s=read_s)
        return cls(client, prefix, meter)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self.client.close()

    def name(self, table: Table) -> str:
        return self.prefix + table.suffix

    # ── one item ────────────────────────────────────────────────────────────────────────────────

    def get(self, table: Table, key: Item) -> Item:
        """The item, strongly consistent; empty if there is none."""
        reply = self.call("get_item", table, Key=self.wire(key), ConsistentRead=True)
        item = reply.get("Item", {})
        self.meter.read(reply, [item])
        return self.plain(item)

    def put(self, table: Table, item: Item, condition: Condition | None = None) -> None:
        """Raises `ConditionFailed` if the item there is not as ``condition`` says."""
        wire = self.wire(item)
        reply = self.call("put_item", table, Item=wire, **self._condition(condition))
        self.meter.wrote(reply, [wire])

    def update(self, table: Table, key: Item, changes: Item, condition: Condition | None = None) -> None:
        """Set some attributes, leave the others alone.

        Raises `ConditionFailed`. Creates the item where there is none unless the condition forbids it.
        Asks for no other attribute back: the bot's role may see only those it writes of a config item.
        """
        names = {f"#n{at}": name for at, name in enumerate(changes)}
        values = {f":v{at}": value for at, value in enumerate(changes.values())}
        merged = Condition(
            condition.expression if condition else "",
            {**names, **(condition.names if condition else {})},
            {**values, **(condition.values if condition else {})},
        )
        assignments = ", ".join(f"#n{at} = :v{at}" for at in range(len(changes)))
        reply = self.call(
            "update_item",
            table,
            Key=self.wire(key),
            UpdateExpression=f"SET {assignments}",
            ReturnValues="UPDATED_NEW",
            **self._condition(merged),
        )
        self.meter.wrote(reply, [reply.get("Attributes", {})])

    # ── many items ──────────────────────────────────────────────────────────────────────────────

    def batch_get(self, table: Table, keys: Sequence[Item]) -> list[Item]:
        """Those of the items that exist, in no particular order."""
        found: list[Item] = []
        for at in range(0, len(keys), _BATCH_READ):
            wanted: list[Wire] = [self.wire(key) for key in keys[at : at + _BATCH_READ]]
            for _ in range(_BATCH_ATTEMPTS):
                reply = self.call("batch_get_item", None, RequestItems={self.name(table): {"Keys": wanted}})
                items = reply["Responses"].get(self.name(table), [])
                self.meter.read(reply, [*items, *[{}] * (len(wanted) - len(items))], 0.5)
                found += [self.plain(item) for item in items]
                wanted = reply.get("UnprocessedKeys", {}).get(self.name(table), {}).get("Keys", [])
                if not wanted:
                    break
            else:
                raise StoreError(f"{self.name(table)}: {len(wanted)} items could not be read, throttled")
        return found

    def batch_put(self, table: Table, items: Sequence[Item]) -> None:
        """Write items whose repetition does no harm. On `StoreError` some may have been written."""
        by_key = {(item[table.hash_key], item.get(table.range_key)): item for item in items}
        unique = [self.wire(item) for item in by_key.values()]
        for at in range(0, len(unique), _BATCH_WRITE):
            waiting = [{"PutRequest": {"Item": item}} for item in unique[at : at + _BATCH_WRITE]]
            for _ in range(_BATCH_ATTEMPTS):
                reply = self.call("batch_write_item", None, RequestItems={self.name(table): waiting})
                self.meter.wrote(reply, [put["PutRequest"]["Item"] for put in waiting])
                waiting = reply.get("UnprocessedItems", {}).get(self.name(table), [])
                if not waiting:
                    break
            else:
                raise StoreError(f"{self.name(table)}: {len(waiting)} items could not be written, throttled")

    def query(self, table: Table, partition: str, start: str = "") -> Iterator[Item]:
        """The items of one partition in the order of their range key, from ``start`` on, all pages."""
        expression, names, values = "#h = :h", {"#h": table.hash_key}, {":h": partition}
        if start:
            expression, names["#r"], values[":r"] = "#h = :h AND #r >= :r", table.range_key, start
        yield from self._pages(
            "query",
            table,
            KeyConditionExpression=expression,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=self.wire(values),
        )

    def scan(self, table: Table, key_prefix: str = "") -> Iterator[Item]:
        """All items (whose hash key starts with ``key_prefix``), all pages; bills the whole table."""
        narrowed = {}
        if key_prefix:
            narrowed = {
                "FilterExpression": "begins_with(#h, :p)",
                "ExpressionAttributeNames": {"#h": table.hash_key},
                "ExpressionAttributeValues": self.wire({":p": key_prefix}),
            }
        yield from self._pages("scan", table, **narrowed)

    def _pages(self, operation: str, table: Table, **parameters: Any) -> Iterator[Item]:
        while True:
            reply = self.call(operation, table, ConsistentRead=True, Limit=_PAGE, **parameters)
            self.meter.read(reply, [_merged(reply["Items"])])
            for item in reply["Items"]:
                yield self.plain(item)
            if "LastEvaluatedKey" not in reply:
                return
            parameters["ExclusiveStartKey"] = reply["LastEvaluatedKey"]

    # ── transactions ────────────────────────────────────────────────────────────────────────────

    def put_action(self, table: Table, item: Item, condition: Condition) -> Wire:
        return {"Put": {"TableName": self.name(table), "Item": self.wire(item), **self._condition(condition)}}

    def check_action(self, table: Table, key: Item, condition: Condition) -> Wire:
        return {
            "ConditionCheck": {
                "TableName": self.name(table),
                "Key": self.wire(key),
                **self._condition(condition),
            }
        }

    def transact(self, actions: Sequence[Wire]) -> None:
        """All or nothing. Raises `ConditionFailed` with a reason for each action."""
        reply = self.call("transact_write_items", None, TransactItems=actions)
        self.meter.wrote(reply, [a["Put"]["Item"] if "Put" in a else {} for a in actions], 2)

    # ── plumbing ────────────────────────────────────────────────────────────────────────────────

    def call(self, operation: str, table: Table | None, **parameters: Any) -> Any:
        """One API call. Raises `ConfigError` for a missing table, `ConditionFailed`, or `StoreError`."""
        named = {"TableName": self.name(table)} if table else {}
        try:
            with waiting(self._longest_ms):
                return getattr(self.client, operation)(ReturnConsumedCapacity="TOTAL", **named, **parameters)
        except ClientError as error:
            raise self._client_error(operation, error) from error
        except BotoCoreError as error:
            raise translated(f"DynamoDB {operation}", error) from error

    def _client_error(self, operation: str, error: ClientError) -> Exception:
        code = error_code(error)
        if code == "ResourceNotFoundException":
            return ConfigError(f"tables {self.prefix}* are missing or incomplete: run `dora tables create`")
        if code == "ConditionalCheckFailedException":
            return ConditionFailed(f"DynamoDB {operation}")
        if code == "TransactionCanceledException":
            reasons = [str(r.get("Code", "")) for r in error.response.get("CancellationReasons", [])]
            if any(reason == "ConditionalCheckFailed" for reason in reasons):
                return ConditionFailed(f"DynamoDB {operation}", reasons)
        return translated(f"DynamoDB {operation}", error)

    def wire(self, item: Mapping[str, Any]) -> Wire:
        return {name: self._serializer.serialize(value) for name, value in item.items()}

    def plain(self, item: Wire) -> Item:
        return {name: self._deserializer.deserialize(value) for name, value in item.items()}

    def _condition(self, condition: Condition | None) -> dict[str, Any]:
        if condition is None:
            return {}
        parts: dict[str, Any] = {}
        if condition.expression:
            parts["ConditionExpression"] = condition.expression
        if condition.names:
            parts["ExpressionAttributeNames"] = dict(condition.names)
        if condition.values:
            parts["ExpressionAttributeValues"] = self.wire(condition.values)
        return parts


def _blocks(item: Wire, block: int) -> int:
    return max(1, -(-_size(item) // block))


def _size(value: Any) -> int:
    """Bytes as DynamoDB counts them, near enough: names and texts in UTF-8, 3 + 1 per element of a document."""
    if isinstance(value, Mapping):
        return sum(len(name.encode()) + _size(part) for name, part in value.items())
    if isinstance(value, list):
        return 3 + sum(1 + _size(part) for part in value)
    return len(str(value).encode())


def _merged(items: Sequence[Wire]) -> Wire:
    return {f"{at}": item for at, item in enumerate(items)}
