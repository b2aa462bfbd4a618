"""The clocks of one machine: a monotonic one, and a wall clock that people and daemons set, well or badly.

What the bot makes of them is the production clock. How far the machine's wall clock is off is a fault.
"""

from dora_bot.clock import SystemClock
from tests.sim.kernel import EPOCH_MS, Kernel

BOOT_MS = 86_400_000
"""The monotonic clock's reading at virtual zero: nothing may take it for any other time."""


class MachineClock:
    """``offset_ms``: how far the wall clock is ahead of the exchange's at ``since_ms``; ``drift_ppm`` makes it grow."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._offset_ms = 0
        self._drift_ppm = 0
        self._since_ms = 0

    def mono_ms(self) -> int:
        return BOOT_MS + self._kernel.now_ms

    def wall_ms(self) -> int:
        return EPOCH_MS + self._kernel.now_ms + self.offset_ms

    @property
    def offset_ms(self) -> int:
        return self._offset_ms + (self._kernel.now_ms - self._since_ms) * self._drift_ppm // 1_000_000

    def set(self, offset_ms: int, drift_ppm: int = 0) -> None:
        """Step the wall clock, and let it run too fast or too slow from now on."""
        self._offset_ms, self._drift_ppm, self._since_ms = offset_ms, drift_ppm, self._kernel.now_ms


class SimClock(SystemClock):
    """The production clock on a simulated machine; each process has one of its own."""

    def __init__(self, kernel: Kernel, machine: MachineClock) -> None:
        super().__init__(machine.mono_ms, machine.wall_ms)
        self._kernel = kernel

    def sleep(self, seconds: float) -> None:
        """Half a millisecond passes as a whole one: time must move."""
        self._kernel.sleep_until(self._kernel.now_ms + max(round(seconds * 1_000), 1))
