"""Config items × known markets → the configuration in force, and a verdict for every item.

A market inherits: ``series#S`` template, then ``event#E`` template, then its own item, attribute by attribute. A
template alone enables the open markets it names, soonest close first, up to its ``max_markets``. An item that is
wrong keeps the last good configuration of its markets; it never falls back to a default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dora_bot.ceilings import Ceilings
from dora_bot.config import GlobalConfig, MarketConfig, global_config, market_config
from dora_bot.errors import ConfigError
from dora_bot.models import Market, MarketStatus

APPLIED = "applied"
GLOBAL = "global_config"
_SERIES, _EVENT = "series#", "event#"
_ENDED = frozenset({MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.FINALIZED})


@dataclass(frozen=True, slots=True)
class Resolution:
    """``configs`` by market in force; ``verdicts`` by item name: ``applied`` or ``rejected: …``."""

    configs: Mapping[str, MarketConfig]
    global_config: GlobalConfig | None
    verdicts: Mapping[str, str]

    @property
    def rejected(self) -> frozenset[str]:
        """Names of the items that are not valid; the global one is ``global_config``."""
        return frozenset(name for name, verdict in self.verdicts.items() if verdict != APPLIED)

    def resting_on(self, items: Iterable[str], catalog: Mapping[str, Market]) -> frozenset[str]:
        """Markets in force whose configuration comes from one of these items: their own one, or a template."""
        wanted = frozenset(items)
        if GLOBAL in wanted:
            return frozenset(self.configs)
        sources = {t: (t,) if t in self.verdicts else items_of(t, catalog) for t in self.configs}
        return frozenset(t for t, names in sources.items() if wanted.intersection(names))


def is_template(name: str) -> bool:
    return name.startswith((_SERIES, _EVENT))


def resolve(
    items: Mapping[str, Mapping[str, Any]],
    global_item: Mapping[str, Any],
    catalog: Mapping[str, Market],
    ceilings: Ceilings,
    last_good: Resolution,
) -> Resolution:
    """``items`` by name as read, without the global one; ``catalog`` holds every market that items may mean."""
    verdicts: dict[str, str] = {}
    configs: dict[str, MarketConfig] = {}
    for name in sorted(items, key=is_template):
        try:
            found = (
                _template(name, items, catalog, ceilings)
                if is_template(name)
                else _own(name, items, catalog, ceilings)
            )
            verdicts[name] = APPLIED
        except ConfigError as error:
            verdicts[name] = f"rejected: {error}"
            found = {t: c for t, c in last_good.configs.items() if name in items_of(t, catalog)}
        for ticker, config in found.items():
            configs.setdefault(ticker, config)
    try:
        in_force: GlobalConfig | None = global_config(global_item, ceilings)
        verdicts[GLOBAL] = APPLIED
    except ConfigError as error:
        verdicts[GLOBAL] = f"rejected: {error}"
        in_force = last_good.global_config
    return Resolution(dict(list(configs.items())[: ceilings.max_markets]), in_force, verdicts)


def _own(
    name: str, items: Mapping[str, Mapping[str, Any]], catalog: Mapping[str, Market], ceilings: Ceilings
) -> dict[str, MarketConfig]:
    if name not in catalog:
        raise ConfigError(f"market {name} is unknown to the exchange")
    return {name: _inherited(name, items, catalog, ceilings)}


def _template(
    name: str, items: Mapping[str, Mapping[str, Any]], catalog: Mapping[str, Market], ceilings: Ceilings
) -> dict[str, MarketConfig]:
    kind, _, wanted = name.partition("#")
    members = [
        m
        for m in catalog.values()
        if (m.series_ticker if kind == "series" else m.event_ticker) == wanted and m.status not in _ENDED
    ]
    above = items.get(f"{_SERIES}{members[0].series_ticker}", {}) if members else {}
    template = market_config({**above, **items[name]}, ceilings)
    members.sort(key=lambda m: (m.close_ms or 1 << 62, m.ticker))
    return {
        m.ticker: _inherited(m.ticker, items, catalog, ceilings)
        for m in members[: template.max_markets]
        if m.ticker not in items
    }


def _inherited(
    ticker: str, items: Mapping[str, Mapping[str, Any]], catalog: Mapping[str, Market], ceilings: Ceilings
) -> MarketConfig:
    merged: dict[str, Any] = {}
    for name in items_of(ticker, catalog):
        merged |= items.get(name, {})
    return market_config({**merged, "market_id": ticker}, ceilings)


def items_of(ticker: str, catalog: Mapping[str, Market]) -> tuple[str, ...]:
    """The items that a market inherits from, most general first."""
    market = catalog.get(ticker)
    if market is None:
        return (ticker,)
    return (f"{_SERIES}{market.series_ticker}", f"{_EVENT}{market.event_ticker}", ticker)
