"""Asked right before each exposure write: may anything that adds risk still leave this process?"""

from collections.abc import Callable

from dora_bot.events import HaltsChanged
from dora_bot.models import Instant


class ExposureGate:
    """Implements `ports.Gate`: the lease's margin, the halts, and shutdown, each by its own word.

    ``hung`` names a thread that stands still; ``lease_margin_ms`` is checked on the monotonic clock; it must outlast the longest call (2 s).
    """

    def __init__(self, lease_margin_ms: Callable[[Instant], int], *, observe: bool = False) -> None:
        """``observe``: the bot decides and logs, and nothing that adds exposure ever leaves."""
        self._lease_margin_ms = lease_margin_ms
        self._observe = observe
        self.halts = HaltsChanged(())
        self.stopping = False
        self.stalled = ""
        self.hung = ""

    def refusal(self, now: Instant) -> str:
        if self._observe:
            return "observing only"
        if self.stopping or self.stalled:
            return self.stalled or "stopping"
        if self.halts.stops:
            first = self.halts.stops[0]
            return f"{first.hold.lower()}: {first.reason}"
        return self.halts.tail(now.exchange_ms) or self.no_quotes(now)

    def no_quotes(self, now: Instant) -> str:
        if self.hung:
            return self.hung
        margin = self._lease_margin_ms(now)
        return "" if margin >= CALL_MS else f"the lease has only {margin} ms left"


CALL_MS = 2_000
"""The longest an exchange call may take; a lease that ends sooner could change hands during the call."""
