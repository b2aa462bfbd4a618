"""A person who edits the config items, well and badly, and takes every edit back some seconds later."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from dora_bot.items import MARKET_CONFIG, STATE, Item
from tests.sim.faults import Faults
from tests.sim.kernel import Kernel
from tests.sim.stores import CAPS, EXPOSURE_CAP, QUOTE, TICKERS, global_item, market_item
from tests.sim.tables import PREFIX, Tables

EVERY_MS = 20_000
WEIGHT = 3.0
MARKETS = PREFIX + MARKET_CONFIG.suffix
GLOBAL = PREFIX + STATE.suffix

EDITS: dict[str, Callable[[str], Item]] = {
    "spread": lambda _: {"min_spread": Decimal("0.05")},
    "size": lambda _: {"quote_size": Decimal(QUOTE // 2)},
    "cap": lambda ticker: {"max_inventory_yes": Decimal(CAPS[ticker] // 2), "max_inventory_no": Decimal(CAPS[ticker])},
    "band": lambda _: {"price_min": Decimal("0.40"), "price_max": Decimal("0.60")},
    "market_loss": lambda _: {"max_market_loss": Decimal("0.01")},
    "disable": lambda _: {"enabled": False},
    "nan": lambda _: {"max_inventory_yes": "NaN"},
    "negative": lambda _: {"quote_size": Decimal(-QUOTE)},
    "hundredfold": lambda ticker: {"max_inventory_no": Decimal(CAPS[ticker] * 100)},
    "words": lambda _: {"min_spread": "plenty"},
    "delete": lambda _: {},
}  # fmt: skip
"""By kind: what changes of a market's item; nothing: the item itself goes."""

GLOBAL_EDITS: dict[str, Item] = {
    "stop": {"trading_enabled": False},
    "exposure": {"max_total_exposure": Decimal(EXPOSURE_CAP // 2)},
    "event_cap": {"max_event_exposure": Decimal(EXPOSURE_CAP // 9)},
    "daily_loss": {"max_daily_loss": Decimal("0.01")},
    "drawdown": {"max_drawdown": Decimal("0.01")},
    "event_loss": {"max_event_loss": Decimal("0.01")},
    "foreign": {"foreign_orders": "cancel"},
    "global_nan": {"max_total_exposure": "NaN"},
    "global_negative": {"max_daily_loss": Decimal(-1)},
}
KINDS = (*EDITS, *GLOBAL_EDITS)


class Editor:
    """The last edit of an item stands alone: an older one is not taken back after it."""

    def __init__(
        self, kernel: Kernel, faults: Faults, tables: Tables, note: Callable[[str, str], None]
    ) -> None:
        self._kernel = kernel
        self._faults = faults
        self._tables = tables
        self._note = note
        self._number = 0
        self._busy: set[str] = set()
        kernel.at(EVERY_MS, self._turn)

    def _turn(self) -> None:
        self._kernel.at(self._kernel.now_ms + EVERY_MS, self._turn)
        self._number += 1
        place, share = f"edit/{self._number}", self._faults.share
        kind = self._faults.strike(place, KINDS, WEIGHT)
        ticker = TICKERS[int(share(f"{place}/market") * len(TICKERS))]
        what = ticker if kind in EDITS else "global_config"
        if not kind or what in self._busy:
            return
        self._busy.add(what)
        self._note("edit", f"{kind} {what}")
        if kind in EDITS:
            changed, usual = EDITS[kind](ticker), market_item(ticker)
            self._put(MARKETS, usual | changed if changed else {}, {"market_id": ticker})
        else:
            usual = global_item()
            self._put(GLOBAL, usual | GLOBAL_EDITS[kind], {})
        lasts_ms = 6_000 + int(24_000 * share(f"{place}/ms"))
        table = MARKETS if kind in EDITS else GLOBAL

        def back() -> None:
            self._busy.discard(what)
            self._put(table, usual, {})

        self._kernel.at(self._kernel.now_ms + lasts_ms, back)

    def _put(self, table: str, item: dict[str, Any], key: Item) -> None:
        if item:
            self._tables.put(table, item, self._kernel.now_ms)
        else:
            self._tables.delete(table, key, self._kernel.now_ms)
