"""What survives a killed process: journal and config in memory, the halt latch in its file. What was committed is kept."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dora_bot.config_store import ConfigItem
from dora_bot.events import HaltsChanged
from dora_bot.halts import HaltFile
from dora_bot.journal import Intent
from dora_bot.models import Action, Amend, Cancel, Fill, Halt, Instant, Outcome, OutcomeKind, Place, Position
from dora_bot.records import FillRow, Row, SettlementRow

TICKERS = ("KXSIM-A", "KXSIM-B")
CAPS = {"KXSIM-A": 100, "KXSIM-B": 20}
"""Contracts either way: one market often at its cap, one seldom."""

QUOTE = 10


def _intent_key(action: Action) -> tuple[str, str]:
    return (type(action).__name__, action.client_order_id)


class SimJournal:
    """Implements `ports.Journal` with the promises of the SQLite journal. The drain keeps all it drained."""

    def __init__(self) -> None:
        self.intents: dict[tuple[str, str], Intent] = {}
        self.booked: set[tuple[str, str]] = set()
        self.positions: dict[str, Position] = {}
        self.last_fill_ms = 0

    def intend(self, actions: Sequence[Action], now: Instant) -> None:
        for action in actions:
            self.intents[_intent_key(action)] = Intent(action, now.exchange_ms, unknown=False)

    def intended(self, action: Place | Amend | Cancel) -> bool:
        return _intent_key(action) in self.intents

    def settle(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        for outcome in outcomes:
            key = _intent_key(outcome.action)
            if outcome.kind is not OutcomeKind.UNKNOWN:
                self.intents.pop(key, None)
            elif key in self.intents:
                self.intents[key] = Intent(outcome.action, self.intents[key].time_ms, unknown=True)

    def record(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row, FillRow):
                self._book(row.fill, row.position)
            elif isinstance(row, SettlementRow):
                self.positions[row.position.ticker] = row.position

    def _book(self, fill: Fill, position: Position) -> None:
        assert fill.key not in self.booked, f"{fill.key} is recorded twice"
        self.booked.add(fill.key)
        self.positions[fill.ticker] = position
        self.last_fill_ms = max(self.last_fill_ms, fill.time_ms)


class SimLatch(HaltFile):
    """The production halt file; it also tells the judge what is in force."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.halts: dict[str, Halt] = {}
        self.raised: set[str] = set()
        self.resumed = 0

    def latch(self, *args: Any, **kwargs: Any) -> HaltsChanged:
        """As the port has it."""
        told = super().latch(*args, **kwargs)
        self.halts = {halt.halt_id: halt for halt in told.halts}
        self.raised |= self.halts.keys()
        return told

    def resume_all(self, now: Instant) -> None:
        """An operator names every halt in force."""
        for name in self.halts:
            self.resume(name, "operator", now)
        self.resumed += len(self.halts)
        self.halts = {}


class SimConfigStore:
    """The two tables people edit, as `ConfigStore` shows them."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {
            ticker: {
                "market_id": ticker,
                "enabled": True,
                "max_inventory_yes": CAPS[ticker],
                "max_inventory_no": CAPS[ticker],
                "min_spread": "0.03",
                "quote_size": QUOTE,
            }
            for ticker in TICKERS
        }
        self.limits: dict[str, Any] = {
            "max_total_exposure": 45,
            "max_daily_loss": 100_000,
            "loop_interval_ms": 500,
            "trading_enabled": True,
        }

    def scan_markets(self) -> dict[str, ConfigItem]:
        return self.read_markets(self.items.keys())

    def read_markets(self, names: Collection[str]) -> dict[str, ConfigItem]:
        return {name: ConfigItem(name, self.items[name], "v1") for name in names if name in self.items}

    def read_global(self) -> ConfigItem:
        return ConfigItem("global_config", self.limits, "v1")

    def answer(self, item: ConfigItem, now_ms: int, status: str) -> bool:
        item.raw.update(applied_version=item.token, status=status)  # type: ignore[attr-defined]  # our own dicts
        return True
