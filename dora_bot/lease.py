"""At most one bot trades an account: a lease in DynamoDB with a fencing number.

The holder renews every 5 s a term of 15 s that it counts on its own monotonic clock from *before* the renewal
was sent. Another instance takes the lease only after it has watched it unchanged for longer than a term on
*its* monotonic clock, so no two wall clocks are ever compared. Each taking raises the fence, and every write
of a position demands the fence: an instance that slept through its lease can book nothing.
"""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from dora_bot.dynamo import Condition, ConditionFailed, Dynamo
from dora_bot.errors import LeaseLost
from dora_bot.items import STATE, Item, scaled
from dora_bot.models import Instant

TERM_MS = 15_000
RENEW_MS = 5_000
RETRY_MS = 1_000
_WATCH_MS = TERM_MS + 1_000
"""Longer than the term, for clocks that do not run at quite the same rate."""


@dataclass(frozen=True, slots=True)
class Grip:
    """Who holds the lease and under which fence, as every conditional write demands it."""

    key: str
    owner: str
    fence: int

    @property
    def condition(self) -> Condition:
        values = {":owner": self.owner, ":fence": Decimal(self.fence)}
        return Condition("#o = :owner AND #f = :fence", {"#o": "owner", "#f": "fence"}, values)


class Lease:
    """One instance's side of one lease. ``step`` belongs to one thread; ``margin_ms`` may be asked from any."""

    def __init__(self, db: Dynamo, name: str, owner: str, *, fence_floor: int = 0) -> None:
        """``owner`` is the instance id kept in the state directory, ``db`` a store of one attempt ≤ 1 s.

        ``fence_floor``: the highest fence this state directory ever held, in case the item was deleted.
        """
        self._db = db
        self._key = f"lease#{name}"
        self._owner = owner
        self._floor = fence_floor
        self._grip: Grip | None = None
        self._valid_until_ms = 0
        self._next_step_ms = 0
        self._watched: tuple[Item, int] | None = None

    @property
    def grip(self) -> Grip:
        """Raises `LeaseLost` while the lease is not held."""
        if self._grip is None:
            raise LeaseLost(f"{self._key} is not held by this instance")
        return self._grip

    def margin_ms(self, now: Instant) -> int:
        """How long the lease surely still holds, negative when it may be over. Local, no call."""
        return self._valid_until_ms - now.mono_ms if self._grip else -1

    def acquire(self, now: Instant, *, stand_by: bool = False) -> bool:
        """Try once. True: held. False: somebody else's, not yet watched for a whole term; try again in a second.

        Raises `LeaseLost` as soon as the other is seen to be alive, unless ``stand_by``, and `StoreError` if DynamoDB
        cannot be asked.
        """
        there = self._db.get(STATE, {"key": self._key})
        if stand_by and self._watched is not None and self._watched[0] != there:
            self._watched = None
        if not self._may_take(there, now):
            return False
        fence = max(scaled(there, "fence", 0) if there else 0, self._floor) + 1
        wanted = {"key": self._key, "owner": self._owner, "fence": Decimal(fence), "beat": uuid.uuid4().hex}
        try:
            self._db.put(STATE, wanted, _still(there))
        except ConditionFailed:
            self._recognise(wanted)
        self._grip = Grip(self._key, self._owner, fence)
        self._hold(now)
        return True

    def step(self, now: Instant) -> None:
        """Renew when due. Raises `LeaseLost` if it is in other hands, `StoreError` if the renewal did not get through.

        After a `StoreError` the next step tries again a second later; the margin shrinks meanwhile.
        """
        if now.mono_ms < self._next_step_ms:
            return
        self._next_step_ms = now.mono_ms + RETRY_MS
        grip = self.grip
        try:
            self._db.update(STATE, {"key": self._key}, {"beat": uuid.uuid4().hex}, grip.condition)
        except ConditionFailed as error:
            self._grip = None
            raise LeaseLost(f"{self._key} was taken by another instance since fence {grip.fence}") from error
        self._hold(now)

    def release(self) -> None:
        """Let the next instance in at once. The fence stays. Raises `LeaseLost` if it was not ours any more."""
        grip, self._grip = self.grip, None
        try:
            self._db.update(
                STATE, {"key": self._key}, {"owner": "", "beat": uuid.uuid4().hex}, grip.condition
            )
        except ConditionFailed as error:
            raise LeaseLost(f"{self._key} was taken by another instance since fence {grip.fence}") from error

    def _hold(self, sent: Instant) -> None:
        self._valid_until_ms = sent.mono_ms + TERM_MS
        self._next_step_ms = sent.mono_ms + RENEW_MS

    def _may_take(self, there: Item, now: Instant) -> bool:
        if not there or there.get("owner") in ("", self._owner):
            return True
        if self._watched is None:
            self._watched = (there, now.mono_ms)
            return False
        seen, since_ms = self._watched
        if seen != there:
            raise LeaseLost(f"{self._key} is held by instance {there.get('owner')}, which is alive")
        return now.mono_ms - since_ms > _WATCH_MS

    def _recognise(self, wanted: Item) -> None:
        """The put failed its condition: either an earlier attempt of it was applied, or somebody was faster."""
        there = self._db.get(STATE, {"key": self._key})
        if there != wanted:
            self._watched = None
            raise LeaseLost(f"{self._key} was taken by instance {there.get('owner', '?')} at this moment")


def _still(there: Item) -> Condition:
    """The lease item is as it was read."""
    if not there:
        return Condition("attribute_not_exists(#k)", {"#k": "key"})
    names = {f"#l{at}": name for at, name in enumerate(("owner", "fence", "beat"))}
    values = {f":l{at}": there[name] for at, name in enumerate(("owner", "fence", "beat"))}
    return Condition("#l0 = :l0 AND #l1 = :l1 AND #l2 = :l2", names, values)
