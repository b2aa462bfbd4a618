"""What every endpoint is made of: the call, the reply, the endpoint's terms, and the query conventions."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dora_bot.paper.auth import ApiKey
from dora_bot.paper.problems import invalid_parameter, nested
from dora_bot.paper.rate_limits import (
    EVERY_WRITE_BUCKET,
    READ,
    WRITE,
    endpoint_cost,
    shard_bucket,
)
from dora_bot.paper.wire_requests import Body, decode, peek

if TYPE_CHECKING:
    from dora_bot.paper.faults import Fault
    from dora_bot.paper.replica import AccountData
    from dora_bot.paper.specs import BookCut
    from dora_bot.paper.venue import Venue

Item = TypeVar("Item")

MAX_TICKERS = 100


class Reply(NamedTuple):
    """A status and the JSON body (None: no body)."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated. ``key`` is None only on public endpoints called without a signature.

    ``stale`` is the fault that makes this read show the past.
    """

    venue: "Venue"
    key: ApiKey | None
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    raw: bytes
    now_ms: int
    stale: "Fault | None" = None

    def data(self) -> "AccountData":
        """The account as this read is to see it."""
        stale = self.stale
        source = self.venue.replica if stale is None else self.venue.stale.copy_for(stale)
        return source.read(self.account, self.now_ms)

    def book(self, ticker: str) -> "BookCut":
        """A market's book as this read is to see it. Raises `Refused` 404."""
        kept = self.venue.stale.book(self.stale, ticker, self.now_ms) if self.stale is not None else None
        return kept or self.venue.engine.book(ticker)

    @property
    def account(self) -> str:
        assert self.key is not None, "a private endpoint ran without a key"
        return self.key.account

    def get(self, name: str) -> str:
        """The first value of a query parameter, or an empty string."""
        return next((value for key, value in self.query if key == name), "")

    def listed(self, *names: str) -> list[str]:
        """All values of repeated or comma-separated parameters."""
        values = [value for key, value in self.query if key in names]
        return [part for value in values for part in value.split(",") if part]

    def flag(self, name: str) -> bool:
        return self.get(name).lower() in ("true", "1")

    def number(self, name: str, operation: str) -> int | None:
        """An integer parameter, None where absent. Raises the ``msg`` problem."""
        text = self.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise invalid_parameter(operation, _go_name(name), "number") from error

    def limit(self, operation: str, maximum: int = 1_000, default: int = 100) -> int:
        """Page size. Above the maximum is a 400, nothing is clamped; 0 means the default."""
        limit = self.number("limit", operation)
        if limit is not None and limit > maximum:
            raise invalid_parameter(operation, "Limit", "lte")
        if limit is not None and limit < 0:
            raise invalid_parameter(operation, "Limit", "gte")
        return limit or default

    def subaccount(self) -> int | None:
        """The ``subaccount`` parameter, None where absent; a locked key sees its own only (403)."""
        number = self.number("subaccount", "Subaccount")
        return lock(self, number)

    def primary_subaccount(self) -> int:
        """The same where the venue takes the primary one for absent; a locked key's own instead."""
        return self.subaccount() or 0

    def body(self, struct: str) -> Body:
        return decode(self.raw, struct)


def lock(call: Call, subaccount: int | None) -> int | None:
    """Hold a locked key to its subaccount. Raises the 403 where it reaches for another one."""
    locked = call.key.subaccount if call.key else None
    if locked is None:
        return subaccount
    if subaccount not in (None, locked):
        raise nested(
            403,
            "forbidden",
            "this API key is restricted to a single sub-account and cannot access this endpoint",
        )
    return locked


def _go_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def page(call: Call, items: Iterable[Item], key: Callable[[Item], str], limit: int) -> tuple[list[Item], str]:
    """One page and the cursor of the next ("" on the last). A garbage cursor gives the first page."""
    rows = list(items)
    last = _decode_cursor(call.get("cursor"))
    start = next((at + 1 for at, row in enumerate(rows) if key(row) == last), 0) if last else 0
    chosen = rows[start : start + limit]
    more = start + limit < len(rows)
    return chosen, _encode_cursor(key(chosen[-1])) if more and chosen else ""


def _encode_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(f"c1:{key}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.removeprefix("c1:") if text.startswith("c1:") else ""


# ── billing ─────────────────────────────────────────────────────────────────────────────────────

Bill = tuple[Sequence[str], int]
"""The buckets a call is billed to and the cost to each of them."""


def bill_read(call: Call, cost: int) -> Bill:  # noqa: ARG001  (the signature of every biller)
    return (READ,), cost


def bill_write(call: Call, cost: int) -> Bill:
    """One order write: an explicit shard bills its bucket, auto-routing every one, no routing the unscoped."""
    shard, routed = routing_hints(call)
    if shard is not None and shard >= 0:
        return (shard_bucket(shard),), cost
    return (EVERY_WRITE_BUCKET if routed else (WRITE,)), cost


def bill_batch(call: Call, cost: int) -> Bill:
    """A batch pays for each item, from the unscoped bucket, and must fit whole."""
    orders = peek(call.raw).get("orders")
    return (WRITE,), cost * max(len(orders) if isinstance(orders, list) else 1, 1)


def bill_unscoped(call: Call, cost: int) -> Bill:  # noqa: ARG001  (the signature of every biller)
    return (WRITE,), cost


def routing_hints(call: Call) -> tuple[int | None, bool]:
    """(exchange_index, whether a ticker is given) from the body or the query, without judging either."""
    fields = peek(call.raw)
    index = fields.get("exchange_index", call.get("exchange_index") or None)
    try:
        shard = None if index is None else int(index)
    except (TypeError, ValueError):
        shard = None
    named = fields.get("ticker") or fields.get("market_ticker") or call.get("market_ticker")
    return shard, bool(named)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the route table. ``pattern`` has no prefix; ``scope`` is empty for public endpoints."""

    method: str
    pattern: str
    handler: Callable[[Call], Reply]
    scope: str = "read"
    bill: Callable[[Call, int], Bill] = bill_read

    @property
    def cost(self) -> int:
        return endpoint_cost(self.method, self.pattern)
