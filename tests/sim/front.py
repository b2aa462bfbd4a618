"""The exchange's front, which turns calls away before anything is done: its rate limit, and spells of bad weather."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dora_bot.models import Action, Cancel
from dora_bot.paper.rate_limits import CANCEL_COST, DEFAULT_COST, TIERS, WRITE, AccountBuckets
from tests.sim.faults import Faults

TIER = TIERS["basic"]
SPELL_MS = 12_000
KEY_REFUSED = "key_401"
SPELLS = (
    "writes_429", "cancels_429", "writes_5xx", "cancels_5xx", "slow", "reads_429", "balance_429", KEY_REFUSED,
)  # fmt: skip
SPELL_SHARE = 0.9
"""Part of the calls that a spell strikes (FAULTS B01)."""

SLOW_MS = 1_700


@dataclass
class Front:
    """In a spell most calls of a sort go wrong in the same way for some seconds."""

    faults: Faults
    buckets: AccountBuckets = field(default_factory=lambda: AccountBuckets(TIER))
    overdrawn: int = 0
    """Writes that the bucket refused."""

    _known: dict[int, str] = field(default_factory=dict)

    def kind(self, now_ms: int) -> str:
        if not self.faults.armed:
            return ""
        span = now_ms // SPELL_MS
        if span not in self._known:
            self._known[span] = self.faults.strike(f"spell/{span}", SPELLS, 0.5)
        return self._known[span]

    def status(self, place: str, now_ms: int, *, cancel: bool) -> int:
        """With which status this write is refused unseen; 0 for not."""
        kind = self.kind(now_ms)
        if kind == KEY_REFUSED:
            return 401
        meant = kind.startswith("writes_") or (cancel and kind.startswith("cancels_"))
        if not meant or self.faults.share(f"{place}/spell") > SPELL_SHARE:
            return 0
        return 429 if kind.endswith("429") else 503

    def read_refused(self, place: str, name: str, now_ms: int) -> bool:
        kind = self.kind(now_ms)
        meant = kind == "reads_429" or (kind == "balance_429" and name == "balance")
        return meant and self.faults.share(f"{place}/spell") < SPELL_SHARE

    def slow_ms(self, now_ms: int) -> int:
        return SLOW_MS if self.kind(now_ms) == "slow" else 0

    # ── with the bucket ─────────────────────────────────────────────────────────────────────────

    def refusal(self, place: str, actions: Sequence[Action], virtual_ms: int, now_ms: int) -> int:
        """The status with which a write is turned away: a spell's, or its bucket's 429; 0 for not."""
        cancel = isinstance(actions[0], Cancel)
        if status := self.status(place, virtual_ms, cancel=cancel):
            return status
        cost = len(actions) * (CANCEL_COST if cancel else DEFAULT_COST)
        if self.buckets.take((WRITE,), cost, now_ms):
            return 0
        self.overdrawn += 1
        return 429
