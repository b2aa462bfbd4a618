"""What people set and what outlives the process: the config items, and the halt latch in its file."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from dora_bot.events import HaltsChanged
from dora_bot.halts import HaltFile
from dora_bot.items import MARKET_CONFIG, STATE, Item
from dora_bot.models import Halt, Hold, Instant
from tests.sim.tables import PREFIX, Tables

TICKERS = ("KXSIM-A", "KXSIM-B")
CAPS = {"KXSIM-A": 100, "KXSIM-B": 20}
"""Contracts either way: one market often at its cap, one seldom."""

SHARDS = {"KXSIM-A": 0, "KXSIM-B": 2}

QUOTE = 10
EXPOSURE_CAP = 45
"""Dollars that all markets together may lose at worst."""


BEFORE_MS = -60_000
"""When the tables were filled (virtual): no read is so stale that it finds them empty."""


def market_item(ticker: str) -> Item:
    return {
        "market_id": ticker,
        "enabled": True,
        "max_inventory_yes": Decimal(CAPS[ticker]),
        "max_inventory_no": Decimal(CAPS[ticker]),
        "min_spread": Decimal("0.03"),
        "quote_size": Decimal(QUOTE),
    }


def global_item() -> Item:
    return {
        "key": "global_config",
        "max_total_exposure": Decimal(EXPOSURE_CAP),
        "max_daily_loss": Decimal(100_000),
        "loop_interval_ms": Decimal(500),
        "trading_enabled": True,
    }


def configured() -> Tables:
    """Tables as an operator leaves them before the first start."""
    tables = Tables()
    for ticker in TICKERS:
        tables.put(PREFIX + MARKET_CONFIG.suffix, market_item(ticker), BEFORE_MS)
    tables.put(PREFIX + STATE.suffix, global_item(), BEFORE_MS)
    return tables


class SimLatch(HaltFile):
    """The production halt file of one machine; it also tells the judge what is in force."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.halts: dict[str, Halt] = {}
        self.raised: set[str] = set()
        self.resumed = 0

    def read(self) -> HaltsChanged:
        """As the port has it: so the bot learns of what a person wrote."""
        return self._noted(super().read())

    @property
    def stops(self) -> list[Halt]:
        """Those under which nothing may rest; the others only reduce, or hold one market."""
        return [h for h in self.halts.values() if h.hold is not Hold.REDUCE_ONLY and not h.scope]

    def latch(self, *args: Any, **kwargs: Any) -> HaltsChanged:
        """As the port has it."""
        return self._noted(super().latch(*args, **kwargs))

    def take(self, *args: Any, **kwargs: Any) -> HaltsChanged:
        """As production has it."""
        return self._noted(super().take(*args, **kwargs))

    def resume_all(self, now: Instant) -> None:
        """An operator names every halt in force."""
        for name in tuple(self.halts):
            self.resume(name, "operator", now)
            self.resumed += 1

    def _noted(self, told: HaltsChanged) -> HaltsChanged:
        self.halts = {halt.halt_id: halt for halt in told.halts}
        self.raised |= self.halts.keys()
        return told
