"""The exchange's clock: wall time at wall rate, unless the admin port bends it.

It runs on the monotonic clock from one wall reading at the start, so that a step of the machine's clock
does not move the exchange's time.
"""

import time


class ExchangeClock:
    """Unix milliseconds as the exchange sees them."""

    def __init__(self, *, manual_ms: int | None = None) -> None:
        """``manual_ms`` starts a clock that stands still until `advance`."""
        self._manual = manual_ms is not None
        self._base_ms = float(manual_ms if manual_ms is not None else time.time_ns() // 1_000_000)
        self._from_ns = time.monotonic_ns()
        self._rate = 1.0

    def now_ms(self) -> int:
        if self._manual:
            return int(self._base_ms)
        return int(self._base_ms + (time.monotonic_ns() - self._from_ns) / 1e6 * self._rate)

    def shift(self, offset_ms: int) -> None:
        """Step the clock by this much, now."""
        self._base_ms += offset_ms

    def set_rate(self, rate: float) -> None:
        """Run at this multiple of wall time from here on; ends manual mode."""
        self._rebase()
        self._rate = rate
        self._manual = False

    def advance(self, by_ms: int) -> None:
        """Manual mode: stand still, this much later than now."""
        self._rebase()
        self._manual = True
        self._base_ms += by_ms

    def _rebase(self) -> None:
        self._base_ms = float(self.now_ms())
        self._from_ns = time.monotonic_ns()
