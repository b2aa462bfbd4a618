"""DynamoDB in memory, as far as `dora_bot.dynamo` uses it: four tables, conditional writes, transactions, pages.

`Tables` is what every process and person shares; it outlives them all. `TableClient` is one process's connection with
the few calls of a boto3 client: each takes virtual time, each attempt of it can fail before or after it was applied, and
the client repeats an attempt as boto3 does. The contract suite of the real tables runs against it, too.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from dora_bot.dynamo import Dynamo, Meter, Wire
from dora_bot.items import TABLES, Item

PREFIX = "dora_paper_"
FAULTS = ("throttle", "error_before", "error_after", "hang_before", "hang_after")
STALE_MS = 3_000
"""How old an eventually consistent read may be."""

Key = tuple[str, ...]
Call = Callable[[], Wire]


class Tables:
    """Items by table and key. ``old`` keeps what a read that is not consistent may still see."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.keys = {prefix + t.suffix: (t.hash_key, *([t.range_key] if t.range_key else [])) for t in TABLES}
        self.items: dict[str, dict[Key, Item]] = {name: {} for name in self.keys}
        self.partitions: dict[str, dict[str, set[Key]]] = {name: {} for name in self.keys}
        """The keys of a table by their hash key."""
        self.writes = 0
        self._written_ms: dict[tuple[str, Key], int] = {}
        self._old: dict[tuple[str, Key], list[tuple[int, Item]]] = {}

    def key(self, table: str, item: Mapping[str, Any]) -> Key:
        return tuple(_text(item[name]) for name in self.keys[table])

    def put(self, table: str, item: Item, now_ms: int = 0) -> None:
        self._set(table, self.key(table, item), item, now_ms)

    def delete(self, table: str, key: Item, now_ms: int = 0) -> None:
        self._set(table, self.key(table, key), {}, now_ms)

    def get(self, table: str, key: Item, as_of_ms: int | None = None) -> Item:
        """The item (as it was at a moment); empty if there is none."""
        name = self.key(table, key)
        now = self.items[table].get(name, {})
        if as_of_ms is not None:
            for until_ms, item in self._old.get((table, name), ()):
                if as_of_ms < until_ms:
                    return dict(item)
        return dict(now)

    def written_ms(self, table: str, key: Item) -> int:
        """When the item was last written."""
        return self._written_ms.get((table, self.key(table, key)), 0)

    def _set(self, table: str, key: Key, item: Item, now_ms: int) -> None:
        self.writes += 1
        self._written_ms[table, key] = now_ms
        old = self._old.setdefault((table, key), [])
        old.append((now_ms, self.items[table].get(key, {})))
        while old[0][0] < now_ms - STALE_MS:
            old.pop(0)
        partition = self.partitions[table].setdefault(key[0], set())
        if item:
            self.items[table][key] = dict(item)
            partition.add(key)
        else:
            self.items[table].pop(key, None)
            partition.discard(key)


class TableClient:
    """``call`` runs one API call: it may wait, fail, and does not do what it is given, or does it and fails."""

    def __init__(
        self,
        tables: Tables,
        call: Callable[[str, Call], Wire],
        now_ms: Callable[[], int],
        attempts: int = 1,
        patience_ms: int = 2_000,
    ) -> None:
        """``attempts`` and ``patience_ms`` (of one attempt) are what ``call`` keeps to."""
        config = SimpleNamespace(
            retries={"total_max_attempts": attempts}, connect_timeout=0, read_timeout=patience_ms / 1_000
        )
        self.meta = SimpleNamespace(endpoint_url="memory", config=config)
        self._tables = tables
        self._call = call
        self._now_ms = now_ms
        self.stale_ms: Callable[[], int] = lambda: 0

    def close(self) -> None:
        """There is no connection."""

    def get_item(self, *, TableName: str, Key: Item, **_: Any) -> Wire:  # noqa: N803  (boto3's own names)
        def read() -> Wire:
            found = self._tables.get(TableName, Key)
            return {"Item": found} if found else {}

        return self._call("get_item", read)

    def put_item(self, *, TableName: str, Item: Item, **condition: Any) -> Wire:  # noqa: N803  (boto3)
        def write() -> Wire:
            self._demand(TableName, Item, condition)
            self._tables.put(TableName, Item, self._now_ms())
            return {}

        return self._call("put_item", write)

    def update_item(self, *, TableName: str, Key: Item, UpdateExpression: str, **rest: Any) -> Wire:  # noqa: N803  (boto3)
        names, values = rest.get("ExpressionAttributeNames", {}), rest.get("ExpressionAttributeValues", {})
        pairs = (part.split(" = ") for part in UpdateExpression.removeprefix("SET ").split(", "))
        changes = {names[name]: values[value] for name, value in pairs}

        def write() -> Wire:
            self._demand(TableName, Key, rest)
            self._tables.put(
                TableName, {**self._tables.get(TableName, Key), **Key, **changes}, self._now_ms()
            )
            return {"Attributes": changes}

        return self._call("update_item", write)

    def delete_item(self, *, TableName: str, Key: Item) -> Wire:  # noqa: N803  (boto3)
        """People delete items; the bot never does."""
        self._tables.delete(TableName, Key, self._now_ms())
        return {}

    def batch_get_item(self, *, RequestItems: Wire, **_: Any) -> Wire:  # noqa: N803  (boto3)
        def read() -> Wire:
            as_of = self._now_ms() - self.stale_ms()
            found = {
                table: [item for key in wanted["Keys"] if (item := self._tables.get(table, key, as_of))]
                for table, wanted in RequestItems.items()
            }
            return {"Responses": found, "UnprocessedKeys": {}}

        return self._call("batch_get_item", read)

    def batch_write_item(self, *, RequestItems: Wire, **_: Any) -> Wire:  # noqa: N803  (boto3)
        def write() -> Wire:
            for table, puts in RequestItems.items():
                for put in puts:
                    self._tables.put(table, put["PutRequest"]["Item"], self._now_ms())
            return {"UnprocessedItems": {}}

        return self._call("batch_write_item", write)

    def query(self, *, TableName: str, KeyConditionExpression: str, Limit: int, **rest: Any) -> Wire:  # noqa: N803  (boto3)
        values = rest["ExpressionAttributeValues"]
        wanted = _text(values[":h"])
        first = {"#h = :h": (), "#h = :h AND #r >= :r": (wanted, _text(values.get(":r", "")))}[
            KeyConditionExpression
        ]

        def read() -> Wire:
            keys = self._tables.partitions[TableName].get(wanted, ())
            return self._page(TableName, (key for key in keys if key >= first), Limit, rest)

        return self._call("query", read)

    def scan(self, *, TableName: str, Limit: int, FilterExpression: str = "", **rest: Any) -> Wire:  # noqa: N803  (boto3)
        def read() -> Wire:
            items = self._tables.items[TableName]
            keys = (key for key, item in items.items() if _all_hold(FilterExpression, item, rest))
            return self._page(TableName, keys, Limit, rest)

        return self._call("scan", read)

    def transact_write_items(self, *, TransactItems: list[Wire], **_: Any) -> Wire:  # noqa: N803  (boto3)
        parts = [next(iter(item.values())) for item in TransactItems]

        def write() -> Wire:
            holds = [self._holds(p["TableName"], p.get("Item") or p["Key"], p) for p in parts]
            if not all(holds):
                codes = [{"Code": "None" if held else "ConditionalCheckFailed"} for held in holds]
                raise client_error("TransactionCanceledException", CancellationReasons=codes)
            for part in parts:
                if "Item" in part:
                    self._tables.put(part["TableName"], part["Item"], self._now_ms())
            return {}

        return self._call("transact_write_items", write)

    def _page(self, table: str, among: Iterable[Key], limit: int, rest: Mapping[str, Any]) -> Wire:
        after = rest.get("ExclusiveStartKey")
        start = self._tables.key(table, after) if after else ()
        items = self._tables.items[table]
        # What is asked for is narrowed before the limit counts; a scan's pages may only be fuller than the real ones.
        keys = sorted(key for key in among if key > start)
        reply: Wire = {"Items": [items[key] for key in keys[:limit]]}
        if len(keys) > limit:
            last = items[keys[limit - 1]]
            reply["LastEvaluatedKey"] = {name: last[name] for name in self._tables.keys[table]}
        return reply

    def _demand(self, table: str, key: Item, condition: Mapping[str, Any]) -> None:
        if not self._holds(table, key, condition):
            raise client_error("ConditionalCheckFailedException")

    def _holds(self, table: str, key: Item, condition: Mapping[str, Any]) -> bool:
        there = self._tables.get(table, key)
        return _all_hold(condition.get("ConditionExpression", ""), there, condition)


class SimDynamo(Dynamo):
    """Keeps Python's own values: to type and untype every attribute would cost more than all else of a run."""

    def __init__(self, client: TableClient, prefix: str = PREFIX) -> None:
        super().__init__(client, prefix, _NoMeter(trust_reports=True))

    def wire(self, item: Mapping[str, Any]) -> Wire:
        nested = any(isinstance(value, dict | list) for value in item.values())
        return deepcopy(dict(item)) if nested else dict(item)

    def plain(self, item: Wire) -> Item:
        """What is in it is shared with the table: nobody changes what it has read."""
        return dict(item)


class _NoMeter(Meter):
    def wrote(self, reply: Any, items: Iterable[Wire], factor: int = 1) -> None:
        """Nothing is billed."""

    def read(self, reply: Any, items: Iterable[Wire], factor: float = 1) -> None:
        """Nothing is billed."""


def client_error(code: str, **more: Any) -> ClientError:
    told: Any = {"Error": {"Code": code, "Message": code}, **more}
    return ClientError(told, "simulated")


def timed_out() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="memory")


def _text(value: Any) -> str:
    return str(value["S"]) if isinstance(value, dict) else str(value)


def _all_hold(expression: str, item: Mapping[str, Any], rest: Mapping[str, Any]) -> bool:
    names, values = rest.get("ExpressionAttributeNames", {}), rest.get("ExpressionAttributeValues", {})
    return all(_holds(part, item, names, values) for part in _parts(expression))


@cache
def _parts(expression: str) -> tuple[str, ...]:
    return tuple(part for part in expression.split(" AND ") if part)


def _holds(part: str, item: Mapping[str, Any], names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    """One comparison. Anything the bot does not use is an error, not a guess."""
    if part.endswith(")"):
        what, _, inside = part.removesuffix(")").partition("(")
        name, _, value = inside.partition(", ")
        there = item.get(names.get(name, name))
        if what == "begins_with":
            return there is not None and _text(there).startswith(_text(values[value]))
        return {"attribute_exists": there is not None, "attribute_not_exists": there is None}[what]
    name, operator, value = part.split(" ")
    return {"=": bool(item.get(names.get(name, name)) == values[value])}[operator]
