"""Edits of config items: what a person typed → a validated item, its difference, and whether risk rises.

Pure: items come in and go out as the mappings that DynamoDB holds, with `Decimal` for numbers. The command line
and every other editor go through here, so that none can store an item which the bot would refuse.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from dora_bot.ceilings import Ceilings
from dora_bot.config import (
    STATUS_ATTRIBUTES,
    GlobalConfig,
    MarketConfig,
    global_config,
    market_config,
)
from dora_bot.errors import ConfigError, Usage

Item = Mapping[str, Any]

TEMPLATE_PREFIXES: Final = ("series#", "event#")

_KEY_ATTRIBUTES = frozenset({"market_id", "key"})

_RISK_SIGN: Final = {
    "enabled": 1,
    "max_inventory_yes": 1,
    "max_inventory_no": 1,
    "quote_size": 1,
    "max_markets": 1,
    "price_max": 1,
    "max_total_exposure": 1,
    "max_event_exposure": 1,
    "max_fill_15s": 1,
    "max_daily_loss": 1,
    "trading_enabled": 1,
    "min_spread": -1,
    "price_min": -1,
    "inventory_skew_factor": -1,
    "toxicity_score": -1,
}
"""+1: a higher value risks more; −1: a lower value does. Other attributes move risk in no known direction."""

_OPTIONAL_LIMITS: Final = frozenset(
    {"max_event_exposure", "max_drawdown", "max_event_loss", "max_market_loss"}
)
"""Limits that do not exist while they are absent: setting one lowers risk, taking it away raises it."""

_ANY_CHANGE_IS_RISK: Final = frozenset({"strategy", "foreign_orders"})


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute's old and new value; ``None`` is absent. ``riskier``: the new value can lose more."""

    name: str
    old: object
    new: object
    riskier: bool

    def __str__(self) -> str:
        mark = "  (more risk)" if self.riskier else ""
        return f"{self.name}: {show_value(self.old)} → {show_value(self.new)}{mark}"


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """``["min_spread=0.05", "enabled=false"]`` → typed attributes. Raises `Usage`."""
    parsed: dict[str, Any] = {}
    for word in words:
        name, sign, text = word.partition("=")
        name, text = name.strip(), text.strip()
        if not (name and sign and text):
            raise Usage(f"{word!r} is not NAME=VALUE; write for example min_spread=0.05")
        if name in parsed:
            raise Usage(f"{name} is given twice")
        if name in STATUS_ATTRIBUTES | _KEY_ATTRIBUTES:
            raise Usage(f"{name} is written by the bot, it cannot be set")
        parsed[name] = _typed(text)
    if not parsed:
        raise Usage("nothing to set; write for example min_spread=0.05")
    return parsed


def edited_market(
    target: str, old: Item | None, changes: Item, templates: Iterable[Item], ceilings: Ceilings
) -> dict[str, Any]:
    """The market (or template) item after the edit. Raises `ConfigError` naming what is wrong with it."""
    edited = {**_settings_of(old or {}), **changes, "market_id": target}
    market_config(inherit(edited, templates), ceilings)
    return edited


def edited_global(old: Item | None, changes: Item, ceilings: Ceilings) -> dict[str, Any]:
    """The item ``global_config`` after the edit. Raises `ConfigError`."""
    edited = {**_settings_of(old or {}), **changes, "key": "global_config"}
    global_config(edited, ceilings)
    return edited


def inherit(item: Item, templates: Iterable[Item]) -> dict[str, Any]:
    """What the bot will see: the series template, overridden by the event template, overridden by the item."""
    ticker = str(item["market_id"])
    merged: dict[str, Any] = {}
    if not ticker.startswith(TEMPLATE_PREFIXES):
        for template in sorted(
            templates, key=lambda t: str(t["market_id"]), reverse=True
        ):  # series# before event#
            if covers(str(template["market_id"]), ticker):
                merged.update(_settings_of(template))
    return {**merged, **_settings_of(item), "market_id": ticker}


def covers(template_id: str, ticker: str) -> bool:
    """Whether a template speaks for a market: ``series#KX`` for KX-…, ``event#KX-A`` for KX-A-…."""
    kind, _, name = template_id.partition("#")
    return kind in {"series", "event"} and bool(name) and (ticker == name or ticker.startswith(f"{name}-"))


def changes_between(old: Item | None, new: Item) -> list[Change]:
    """Every attribute that differs, in the order of their names."""
    before, after = _settings_of(old or {}), _settings_of(new)
    names = sorted((before.keys() | after.keys()) - _KEY_ATTRIBUTES)
    defaults = _defaults("global_config" in (new.get("key"), (old or {}).get("key")))
    return [
        Change(n, before.get(n), after.get(n), _riskier(n, before.get(n, defaults.get(n)), after.get(n)))
        for n in names
        if not _same(before.get(n), after.get(n))
    ]


def show_value(value: object) -> str:
    """A value as a person writes it; ``absent`` for none."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value.normalize():f}" if isinstance(value, Decimal) and value.is_finite() else str(value)


def _typed(text: str) -> object:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    # DynamoDB cannot hold NaN or infinities: as text they reach the validation, which names them.
    return number if number.is_finite() else text


def _settings_of(item: Item) -> dict[str, Any]:
    return {k.strip(): v for k, v in item.items() if k.strip() not in STATUS_ATTRIBUTES}


def _same(old: object, new: object) -> bool:
    return type(old) is type(new) and old == new


def _riskier(name: str, old: object, new: object) -> bool:
    if name in _ANY_CHANGE_IS_RISK:
        return old is not None
    sign = _RISK_SIGN.get(name)
    if sign is None:
        return False
    before, after = _magnitude(old), _magnitude(new)
    if name in _OPTIONAL_LIMITS:
        unlimited = Decimal("Infinity")
        return (unlimited if after is None else after) > (unlimited if before is None else before)
    if before is None:  # a new item: enabling it or giving it size is the risk, a wide spread is not
        return sign > 0 and after not in (None, Decimal(0))
    return after is not None and (after - before) * sign > 0


def _magnitude(value: object) -> Decimal | None:
    try:
        return (
            None
            if value is None
            else Decimal(str(value).strip().lower().replace("true", "1").replace("false", "0"))
        )
    except InvalidOperation:
        return None


def _defaults(is_global: bool) -> dict[str, object]:  # noqa: FBT001  (private; called once with a comparison)
    kind = GlobalConfig if is_global else MarketConfig
    scales = {"_e2": 2, "_e4": 4, "_e6": 6}
    found: dict[str, object] = {}
    for name, info in kind.model_fields.items():
        if not info.is_required() and info.default is not None:
            places = scales.get(name[-3:], 0)
            raw = info.default
            found[info.alias or name] = Decimal(raw).scaleb(-places) if places else raw
    return found


def require_known_target(target: str) -> None:
    """Raises `ConfigError` unless the words after ``config set`` can name an item."""
    if target != "global" and not all(c.isalnum() or c in "._#-" for c in target):
        raise ConfigError(f"{target!r} is not a market ticker, global, series#TICKER or event#TICKER")
