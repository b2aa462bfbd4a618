"""What `dora config` does with config items: show them with what they inherit, and change them validated.

A write touches only the attributes that change and demands that they still are as they were shown, so that two
editors, or an editor and the bot's answer, never overwrite each other. The history entry is written with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from dora_bot.ceilings import Ceilings
from dora_bot.config_edit import (
    TEMPLATE_PREFIXES,
    Change,
    changes_between,
    edited_global,
    edited_market,
    inherit,
)
from dora_bot.config_store import GLOBAL_CONFIG
from dora_bot.dynamo import Condition, ConditionFailed, Dynamo, Wire
from dora_bot.errors import ConfigError
from dora_bot.items import MARKET_CONFIG, STATE, Item, Table, timestamp

GLOBAL: Final = "global"
HISTORY_PREFIX: Final = "config_history#"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit that was validated but not written: show ``changes``, then `ConfigEditor.apply` it."""

    target: str
    old: Item
    changes: tuple[Change, ...]

    @property
    def riskier(self) -> bool:
        return any(change.riskier for change in self.changes)


class ConfigEditor:
    """Config items of one environment. Raises `ConfigError` for a bad edit, `StoreError` for DynamoDB."""

    def __init__(self, db: Dynamo, ceilings: Ceilings) -> None:
        self._db = db
        self._ceilings = ceilings

    def shown(self, target: str = "") -> list[Item]:
        """One item or all, global first, each with what it inherits.

        ``inherited_from`` names the template of each inherited attribute. Raises `ConfigError` if the target
        has no item.
        """
        everything = sorted(self._db.scan(MARKET_CONFIG), key=lambda item: str(item["market_id"]))
        templates = _templates(everything)
        found = [] if target else everything
        if target:
            item = self._read(target)
            if not item:
                raise ConfigError(
                    f"there is no config item {target}; make one with `dora config set {target} …`"
                )
            found = [item]
        shown_global = [self._read(GLOBAL)] if not target else []
        return [item for item in shown_global if item] + [_effective(item, templates) for item in found]

    def propose(self, target: str, assignments: Mapping[str, Any]) -> Proposal:
        """What the edit would do. Raises `ConfigError` if the bot would refuse the result."""
        old = self._read(target)
        if target == GLOBAL:
            new = edited_global(old, assignments, self._ceilings)
        else:
            templates = _templates(self._db.scan(MARKET_CONFIG))
            new = edited_market(target, old, assignments, templates, self._ceilings)
        return Proposal(target, old, tuple(changes_between(old, new)))

    def apply(self, proposal: Proposal, who: str, now_ms: int) -> Item:
        """Write the edit with its history entry; returns the item as it is then.

        Raises `ConfigError` if somebody changed it meanwhile.
        """
        version = Decimal(int(proposal.old.get("version", 0)) + 1)
        now = timestamp(now_ms)
        entry = {
            "key": f"{HISTORY_PREFIX}{proposal.target}#{now}",
            "at": now,
            "by": who,
            "version": version,
            "changes": {change.name: [change.old, change.new] for change in proposal.changes},
        }
        stamp = {"updated_at": now, "updated_by": who, "version": version}
        absent = Condition("attribute_not_exists(#k)", {"#k": STATE.hash_key})
        try:
            self._db.transact([self._update(proposal, stamp), self._db.put_action(STATE, entry, absent)])
        except ConditionFailed as error:
            raise ConfigError(
                f"{proposal.target} was changed by somebody else meanwhile: look again"
            ) from error
        return self._read(proposal.target)

    def history(self, target: str) -> list[Item]:
        """Every change made through an editor, oldest first: ``at``, ``by``, ``changes`` {name: [old, new]}."""
        entries = self._db.scan(STATE, f"{HISTORY_PREFIX}{target}#")
        return sorted(entries, key=lambda entry: str(entry["key"]))

    def _read(self, target: str) -> Item:
        return self._db.get(*_place(target))

    def _update(self, proposal: Proposal, stamp: Item) -> Wire:
        """Set what changes, if that still is what was shown (absent attributes must still be absent)."""
        changes = {change.name: change.new for change in proposal.changes}
        written = {**changes, **stamp}
        seen = {name: proposal.old.get(name) for name in (*changes, "version")}
        demands = [
            f"attribute_not_exists(#g{at})" if value is None else f"#g{at} = :g{at}"
            for at, value in enumerate(seen.values())
        ]
        names = {f"#s{at}": name for at, name in enumerate(written)}
        values = {f":s{at}": value for at, value in enumerate(written.values())}
        names |= {f"#g{at}": name for at, name in enumerate(seen)}
        values |= {f":g{at}": value for at, value in enumerate(seen.values()) if value is not None}
        table, key = _place(proposal.target)
        return {
            "Update": {
                "TableName": self._db.name(table),
                "Key": self._db.wire(key),
                "UpdateExpression": "SET " + ", ".join(f"#s{at} = :s{at}" for at in range(len(written))),
                "ConditionExpression": " AND ".join(demands),
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": self._db.wire(values),
            }
        }


def _place(target: str) -> tuple[Table, Item]:
    if target == GLOBAL:
        return STATE, {"key": GLOBAL_CONFIG}
    return MARKET_CONFIG, {"market_id": target}


def _templates(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if str(item["market_id"]).startswith(TEMPLATE_PREFIXES)]


def _effective(item: Item, templates: list[Item]) -> Item:
    if "market_id" not in item:
        return item
    merged = inherit(item, templates)
    own = {name.strip() for name in item}
    sources = {
        name: str(template["market_id"])
        for template in sorted(templates, key=lambda t: str(t["market_id"]), reverse=True)
        for name in (merged.keys() - own) & template.keys()
        if merged[name] == template[name]
    }
    return {**merged, **item, **({"inherited_from": sources} if sources else {})}
