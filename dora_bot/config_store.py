"""What people edit: market items, templates and the global item, read raw; and the bot's answers to them.

Validation is `config`'s. An item's ``token`` changes with every edit of anything but the bot's own answer, so
that each edit is answered once. Nothing here writes a config value: `answer` touches only its three attributes;
the operator's edits are `config_editor`'s.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dora_bot.config import ANSWER_ATTRIBUTES
from dora_bot.dynamo import Condition, ConditionFailed, Dynamo
from dora_bot.errors import ConfigError
from dora_bot.items import MARKET_CONFIG, STATE, Item, Table, timestamp

GLOBAL_CONFIG = "global_config"


@dataclass(frozen=True, slots=True)
class ConfigItem:
    """``name`` is the market, ``series#…``, ``event#…`` or ``global_config``; ``raw`` has no key attribute ``key``."""

    name: str
    raw: Mapping[str, Any]
    token: str


class ConfigStore:
    def __init__(self, db: Dynamo) -> None:
        self._db = db

    def read_markets(self, names: Collection[str]) -> dict[str, ConfigItem]:
        """The named items of the market table that exist: one BatchGet. A missing one was deleted."""
        found = self._db.batch_get(MARKET_CONFIG, [{"market_id": name} for name in sorted(names)])
        return {item["market_id"]: _config_item(item["market_id"], item) for item in found}

    def scan_markets(self) -> dict[str, ConfigItem]:
        """Every item of the market table; bills the whole table, so only once a minute."""
        return {
            item["market_id"]: _config_item(item["market_id"], item) for item in self._db.scan(MARKET_CONFIG)
        }

    def read_global(self) -> ConfigItem:
        """Raises `ConfigError` if there is none."""
        item = self._db.get(STATE, {"key": GLOBAL_CONFIG})
        if not item:
            raise ConfigError(
                f"{GLOBAL_CONFIG} is missing in {self._db.name(STATE)}: run `dora tables create`"
            )
        return _config_item(GLOBAL_CONFIG, item)

    def answer(self, item: ConfigItem, now_ms: int, status: str) -> bool:
        """Write the verdict (``applied`` or ``rejected: …``) beside the edit; false if the item was deleted since."""
        table, key = _place(item.name)
        verdict = {"applied_version": item.token, "applied_at": timestamp(now_ms), "status": status}
        hash_key = next(iter(key))
        try:
            self._db.update(table, key, verdict, Condition("attribute_exists(#h)", {"#h": hash_key}))
        except ConditionFailed:
            return False
        return True


def _place(name: str) -> tuple[Table, Item]:
    if name == GLOBAL_CONFIG:
        return STATE, {"key": GLOBAL_CONFIG}
    return MARKET_CONFIG, {"market_id": name}


def _config_item(name: str, item: Item) -> ConfigItem:
    edited = {key: value for key, value in item.items() if key not in ANSWER_ATTRIBUTES}
    canonical = json.dumps(edited, sort_keys=True, default=str)
    raw = {key: value for key, value in item.items() if key != "key"}
    return ConfigItem(name, raw, hashlib.sha256(canonical.encode()).hexdigest()[:12])
