"""Token buckets by tier: Read, Write, one Write bucket for every shard above 0, and GetBalance's own.

Levels are integers of a thousandth of a token, so that a refill per second times elapsed milliseconds is
exact and a client that computes its budget can use the last token of it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

DEFAULT_COST = 10
CANCEL_COST = 2

SHARDS = (0, 1, 2, 3)
READ = "read"
WRITE = "write"
BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class Tier:
    """Tokens per second of the two lanes. Capacities follow the venue's text of October 2026."""

    name: str
    read: int
    write: int

    @property
    def read_capacity(self) -> int:
        return self.read * (3 if self.name in ("basic", "advanced") else 1)

    @property
    def write_capacity(self) -> int:
        return self.write * (1 if self.name == "basic" else 3)

    @property
    def balance(self) -> int:
        """GetBalance calls per second."""
        return 1 if self.name in ("basic", "advanced") else 5


TIERS = {
    tier.name: tier
    for tier in (
        Tier("basic", 200, 100),
        Tier("advanced", 300, 300),
        Tier("expert", 600, 600),
        Tier("premier", 1_200, 1_200),
        Tier("paragon", 2_400, 2_400),
        Tier("prime", 4_800, 4_800),
        Tier("prestige", 12_000, 9_600),
    )
}

ENDPOINT_COSTS: tuple[tuple[str, str, int], ...] = (
    ("POST", "/trade-api/v2/account/api_usage_level/upgrade", 30),
    ("DELETE", "/trade-api/v2/portfolio/events/orders", CANCEL_COST),
    ("DELETE", "/trade-api/v2/portfolio/events/orders/:order_id", CANCEL_COST),
    ("DELETE", "/trade-api/v2/portfolio/events/orders/batched", CANCEL_COST),
    ("GET", "/trade-api/v2/portfolio/orders/:order_id", 2),
)
"""What costs other than `DEFAULT_COST`; batch cancel pays per item, batch create 10 per item."""


def endpoint_cost(method: str, pattern: str) -> int:
    """The cost of one call; ``pattern`` as in ``/portfolio/orders/{order_id}``, without the prefix."""
    path = "/trade-api/v2" + pattern.replace("{", ":").replace("}", "")
    return next((cost for verb, at, cost in ENDPOINT_COSTS if (verb, at) == (method, path)), DEFAULT_COST)


class TokenBucket:
    """Continuous refill up to a capacity; full at the start."""

    def __init__(self, capacity: int, refill_per_s: int) -> None:
        self.capacity = capacity
        self.refill_per_s = refill_per_s
        self._level_e3 = capacity * 1_000
        self._at_ms: int | None = None

    def level_e3(self, now_ms: int) -> int:
        """Thousandths of a token there now. A clock that steps back neither adds nor takes."""
        if self._at_ms is not None:
            elapsed = max(now_ms - self._at_ms, 0)
            self._level_e3 = min(self._level_e3 + elapsed * self.refill_per_s, self.capacity * 1_000)
        self._at_ms = now_ms
        return self._level_e3

    def fill(self, tokens: int) -> None:
        """Set the level, whatever it was."""
        self._level_e3 = min(tokens, self.capacity) * 1_000

    def take(self, cost: int) -> None:
        """Spend what `level_e3` has shown to be there."""
        self._level_e3 -= cost * 1_000


def shard_bucket(shard: int) -> str:
    """The Write bucket that a call for this explicit shard bills: shard 0 is the unscoped one."""
    return WRITE if shard <= 0 else f"write{shard}"


EVERY_WRITE_BUCKET = tuple(shard_bucket(shard) for shard in SHARDS)
"""What an auto-routed write bills (October text)."""


class AccountBuckets:
    """All buckets of one account."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._buckets = {name: TokenBucket(tier.write_capacity, tier.write) for name in EVERY_WRITE_BUCKET}
        self._buckets[READ] = TokenBucket(tier.read_capacity, tier.read)
        self._buckets[BALANCE] = TokenBucket(DEFAULT_COST, tier.balance * DEFAULT_COST)

    def take(self, names: Iterable[str], cost: int, now_ms: int) -> bool:
        """Bill the cost to each named bucket, or to none: false means 429."""
        buckets = [self._buckets[name] for name in names]
        if any(bucket.level_e3(now_ms) < cost * 1_000 for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.take(cost)
        return True

    def alter(self, name: str, limits: Mapping[str, int | None], now_ms: int) -> Callable[[], None]:
        """Put a bucket with another ``capacity``, ``refill`` (a second) or ``level`` in place of one.

        Returns what puts the old one back. Raises KeyError for a bucket that is not there.
        """
        old = self._buckets[name]
        level = old.level_e3(now_ms) // 1_000
        given = {what: value for what, value in limits.items() if value is not None}
        made = TokenBucket(given.get("capacity", old.capacity), given.get("refill", old.refill_per_s))
        made.level_e3(now_ms)
        made.fill(given.get("level", level))
        self._buckets[name] = made
        return partial(self._buckets.__setitem__, name, old)

    def levels(self, now_ms: int) -> dict[str, float]:
        """Tokens left by bucket, for people looking at the admin port."""
        return {name: bucket.level_e3(now_ms) / 1_000 for name, bucket in self._buckets.items()}

    def limits_body(self) -> dict[str, Any]:
        """The reply of ``GET /account/limits``."""
        tier = self.tier
        return {
            "usage_tier": tier.name,
            "read": {"refill_rate": tier.read, "bucket_capacity": tier.read_capacity},
            "write": {"refill_rate": tier.write, "bucket_capacity": tier.write_capacity},
            "grants": [],
        }


def costs_body() -> dict[str, Any]:
    """The reply of ``GET /account/endpoint_costs``."""
    return {
        "default_cost": DEFAULT_COST,
        "endpoint_costs": [
            {"method": method, "path": path, "cost": cost} for method, path, cost in ENDPOINT_COSTS
        ],
    }
