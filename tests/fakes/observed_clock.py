"""The real clock of the bot under test, with what it was told about the exchange's."""

from dora_bot.clock import SystemClock


class ObservedClock(SystemClock):
    def __init__(self) -> None:
        super().__init__()
        self.observations: list[tuple[int, int, int]] = []

    def observe(self, exchange_ms: int, mono_ms: int, uncertainty_ms: int = 0) -> None:
        self.observations.append((exchange_ms, mono_ms, uncertainty_ms))
        super().observe(exchange_ms, mono_ms, uncertainty_ms)
