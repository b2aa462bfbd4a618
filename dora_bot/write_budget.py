"""What the exchange's rate limit affords: a token bucket of our own in front of its write bucket.

Costs and sizes are the exchange's (`AccountLimits`). A share of the capacity is kept for safe writes (cancels),
so that the worst moment to run out of tokens, when everything must go, never comes. Exposure writes are
ranked by what they are worth; what is not affordable waits, except that a quote the market has outrun is
cancelled, which costs a fifth of an amend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    BucketLimit,
    Cancel,
    Instant,
    Outcome,
)

SAFE_SHARE = 0.3
"""Share of the bucket's capacity that exposure writes may not touch (FAULTS B08)."""

MAX_AMENDS_A_TICK = 8
"""Amends go one by one: more than this many would not fit the tick's I/O bound at 109 ms (p95) a round trip."""

RATE_LIMITED = frozenset({"too_many_requests", "http_429"})
"""Codes of a 429, whose body has been seen without a code of its own."""


class Worth(IntEnum):
    """Why an exposure write is wanted, most valuable first."""

    OUTRUN = 0
    SHRINK = 1
    EXPIRING = 2
    NEW = 3
    REPRICE = 4
    RENEW = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    action: Action
    worth: Worth = Worth.NEW


class WriteBudget:
    """Tokens as the exchange counts them, refilled continuously; `take` never lets an exposure write starve a cancel."""

    def __init__(self, limits: AccountLimits, now: Instant) -> None:
        self._limits = limits
        self._tokens = float(limits.write.capacity)
        self._at_ms = now.mono_ms

    @property
    def limit(self) -> BucketLimit:
        return self._limits.write

    @property
    def tokens_left(self) -> float:
        """As of the last tick."""
        return self._tokens

    def note(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        """The exchange said 429 to one of them: whatever we believed, the bucket is empty."""
        if any(outcome.code in RATE_LIMITED for outcome in outcomes):
            self._refill(now)
            self._tokens = 0.0

    def resize(self, limits: AccountLimits) -> None:
        self._limits = limits
        self._tokens = min(self._tokens, limits.write.capacity)

    def choose(self, wanted: Sequence[Wanted], now: Instant) -> list[Action]:
        """The actions to send now, cancels first; their tokens are taken."""
        self._refill(now)
        chosen: list[Action] = [w.action for w in wanted if isinstance(w.action, Cancel)]
        self._tokens -= self._limits.cancel_cost * len(chosen)
        floor = SAFE_SHARE * self._limits.write.capacity
        amends = 0
        exposure = (w for w in wanted if not isinstance(w.action, Cancel))
        for item in sorted(exposure, key=lambda w: w.worth):
            fits = self._tokens - self._limits.default_cost >= floor
            is_amend = isinstance(item.action, Amend)
            if fits and not (is_amend and amends >= MAX_AMENDS_A_TICK):
                self._tokens -= self._limits.default_cost
                amends += is_amend
                chosen.append(item.action)
            elif isinstance(item.action, Amend) and item.worth is Worth.OUTRUN:
                self._tokens -= self._limits.cancel_cost
                chosen.insert(0, withdrawal(item.action, "no budget to amend"))
        return chosen

    def _refill(self, now: Instant) -> None:
        gained = (now.mono_ms - self._at_ms) / 1_000 * self._limits.write.refill_per_s
        self._tokens = min(self._tokens + gained, float(self._limits.write.capacity))
        self._at_ms = now.mono_ms


def withdrawal(amend: Amend, why: str) -> Cancel:
    """Take the quote away now, because it cannot be moved; it comes back when it can."""
    return Cancel(
        amend.client_order_id,
        amend.order_id,
        amend.ticker,
        amend.exchange_index,
        f"{why}: {amend.reason}",
    )
