"""What the exchange's rate limit affords: token buckets of our own in front of its write buckets.

Costs and sizes are the exchange's (`AccountLimits`). It bills batches (our creates and cancels) to the unscoped
bucket and an amend to the bucket of its order's shard. A share of each is kept for safe writes (cancels), so that the
worst moment to run out of tokens, when everything must go, never comes. Exposure writes go by what a token
spent on them is worth (docs/adr/0014); what is not affordable waits, except that a quote the market has outrun is
cancelled, which costs a fifth of an amend. No market waits for ever: in time for `SERVED_MS` it goes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    BucketLimit,
    Cancel,
    Instant,
    Outcome,
    Place,
)

SAFE_SHARE = 0.3
"""Share of a bucket's capacity that exposure writes may not touch (FAULTS B08)."""

SAFE_WAIT_MS = 250
"""A cancel that found no token is looked at again within this time, whatever the beat is (FAULTS B08)."""

SERVED_MS = 28_000
"""Every market that wants a write gets one within this time, as far as the tokens go round: 100 markets at Basic."""

MAX_AMENDS_A_TICK = 8
"""Amends go one by one: more than this many would not fit the tick's I/O bound at 109 ms (p95) a round trip."""

RATE_LIMITED = frozenset({"too_many_requests", "http_429"})
"""Codes of a 429, whose body has been seen without a code of its own."""

UNSCOPED = 0
"""The bucket of shard 0, of every batch, and of every call that names no shard."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A write and what it is worth, see `write_worth`; a cancel's worth is not asked.

    ``outrun``: the market has left this quote behind. ``urgent``: its order must be written to now or it dies.
    """

    action: Action
    worth: int = 0
    outrun: bool = False
    urgent: bool = False


class Bucket:
    """Tokens as the exchange counts them, refilled continuously; full at the start."""

    def __init__(self, limit: BucketLimit, now: Instant) -> None:
        self._limit = limit
        self.tokens = float(limit.capacity)
        self._at_ms = now.mono_ms

    @property
    def spare(self) -> float:
        """What exposure writes may spend."""
        return self.tokens - SAFE_SHARE * self._limit.capacity

    def refill(self, limit: BucketLimit, now: Instant) -> None:
        self._limit = limit
        gained = (now.mono_ms - self._at_ms) / 1_000 * limit.refill_per_s
        self.tokens = min(self.tokens + gained, float(limit.capacity))
        self._at_ms = now.mono_ms

    def billed(self, now: Instant, *, refused: bool) -> None:
        """The calls are over; ``refused``: one was a 429, so whatever we believed, the bucket is empty.

        Once the reserve is touched the time of the calls is not counted as refill: the exchange may have billed
        them as late as now, and a believed token that is not there would be a refused cancel.
        """
        if refused:
            self.tokens = 0.0
        if self.spare < 0:
            self._at_ms = now.mono_ms


class WriteBudget:
    """`choose` never lets an exposure write starve a cancel, nor a market another one."""

    def __init__(self, limits: AccountLimits, now: Instant) -> None:
        self._limits = limits
        self._buckets: dict[int, Bucket] = {UNSCOPED: Bucket(limits.write, now)}
        self._unserved_since: dict[str, int] = {}
        self.cancels_wait = False
        """The last `choose` had more cancels than tokens."""

    @property
    def limits(self) -> AccountLimits:
        return self._limits

    @property
    def tokens_left(self) -> float:
        """Of the unscoped bucket, as of the last tick."""
        return self._buckets[UNSCOPED].tokens

    def unserved_ms(self, ticker: str, now: Instant) -> int:
        """For how long a market has wanted an exposure write and not got one."""
        return now.mono_ms - self._unserved_since.get(ticker, now.mono_ms)

    def note(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        """The outcomes of what was chosen: a 429 empties the bucket it was billed to."""
        for shard in {_billed_to(o.action) for o in outcomes}:
            codes = {o.code for o in outcomes if _billed_to(o.action) == shard}
            self._bucket(shard, now).billed(now, refused=bool(codes & RATE_LIMITED))

    def resize(self, limits: AccountLimits) -> None:
        self._limits = limits
        for bucket in self._buckets.values():
            bucket.tokens = min(bucket.tokens, limits.write.capacity)

    def choose(self, wanted: Sequence[Wanted], now: Instant) -> list[Action]:
        """The actions to send now, cancels first; their tokens are taken."""
        for bucket in self._buckets.values():
            bucket.refill(self._limits.write, now)
        cancels = [w.action for w in wanted if isinstance(w.action, Cancel)]
        exposure = [w for w in wanted if not isinstance(w.action, Cancel)]
        safe: list[Action] = [c for c in cancels if self._affords_cancel()]
        self.cancels_wait = len(safe) < len(cancels)
        chosen: list[Action] = []
        amends = 0
        for item in self.ranked(exposure, now):
            is_amend = isinstance(item.action, Amend)
            if not (is_amend and amends >= MAX_AMENDS_A_TICK) and self._affords(item.action, now):
                amends += is_amend
                chosen.append(item.action)
            elif isinstance(item.action, Amend) and item.outrun:
                gone = self._affords_cancel()
                safe += [withdrawal(item.action, "no budget to amend")] * gone
                self.cancels_wait |= not gone
        self._note_served({w.action.ticker for w in exposure}, {a.ticker for a in chosen}, now)
        return safe + chosen

    def ranked(self, wanted: Sequence[Wanted], now: Instant) -> list[Wanted]:
        """Exposure writes, first the one to spend tokens on: the best of each market that is overdue, the oldest first,
        then what is urgent, then by worth per token.
        """
        by_worth = sorted(wanted, key=self._worth_of_a_token, reverse=True)
        overdue: dict[str, Wanted] = {}
        patience_ms = self._patience_ms()
        for item in by_worth:
            if self.unserved_ms(item.action.ticker, now) >= patience_ms:
                overdue.setdefault(item.action.ticker, item)
        first = sorted(overdue, key=lambda ticker: self.unserved_ms(ticker, now), reverse=True)
        rest = [item for item in by_worth if item is not overdue.get(item.action.ticker)]
        return [overdue[ticker] for ticker in first] + sorted(rest, key=lambda item: not item.urgent)

    def _patience_ms(self) -> float:
        """How long a market may wait for the worth of its writes: so long that all that wait can still be served."""
        turn_ms = 1_000 * self._limits.amend_cost / self._limits.write.refill_per_s
        return SERVED_MS - len(self._unserved_since) * turn_ms

    def _worth_of_a_token(self, item: Wanted) -> float:
        """An outrun quote is amended or cancelled: its amend costs what the cancel would not."""
        saved = self._limits.cancel_cost if item.outrun else 0
        return item.worth / max(self._cost(item.action) - saved, 1)

    def _cost(self, action: Action) -> int:
        return self._limits.amend_cost if isinstance(action, Amend) else self._limits.create_cost

    def _bucket(self, shard: int, now: Instant) -> Bucket:
        if shard not in self._buckets:
            self._buckets[shard] = Bucket(self._limits.write, now)
        return self._buckets[shard]

    def _affords(self, action: Amend | Place | Cancel, now: Instant) -> bool:
        """Take the tokens of an exposure write, if its bucket has them to spare."""
        bucket, cost = self._bucket(_billed_to(action), now), self._cost(action)
        if bucket.spare < cost:
            return False
        bucket.tokens -= cost
        return True

    def _affords_cancel(self) -> bool:
        """Take the tokens of a cancel; it may have the last."""
        bucket = self._buckets[UNSCOPED]
        if bucket.tokens < self._limits.cancel_cost:
            return False
        bucket.tokens -= self._limits.cancel_cost
        return True

    def _note_served(self, wanting: set[str], served: set[str], now: Instant) -> None:
        self._unserved_since = {t: self._unserved_since.get(t, now.mono_ms) for t in wanting - served}


def _billed_to(action: Action) -> int:
    return action.exchange_index if isinstance(action, Amend) else UNSCOPED


def withdrawal(amend: Amend, why: str) -> Cancel:
    """Take the quote away now, because it cannot be moved; it comes back when it can."""
    return Cancel(
        amend.client_order_id,
        amend.order_id,
        amend.ticker,
        amend.exchange_index,
        f"{why}: {amend.reason}",
    )
