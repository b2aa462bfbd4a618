"""JSON as a later version of the venue might send it: unknown values, new and missing fields, other types."""

from collections.abc import Callable, Mapping
from typing import Any

from dora_bot.paper.faults import Fault

_NO_VALUE = "never_heard_of"


def _enum(fields: dict[str, Any], name: str, fault: Fault) -> None:
    if name in fields:
        fields[name] = fault.text("value", _NO_VALUE)


def _missing(fields: dict[str, Any], name: str, fault: Fault) -> None:  # noqa: ARG001  (the signature of every change)
    fields.pop(name, None)


def _number(fields: dict[str, Any], name: str, fault: Fault) -> None:  # noqa: ARG001  (the signature of every change)
    value = fields.get(name)
    if isinstance(value, str):
        fields[name] = float(value)


_CHANGES: Mapping[str, Callable[[dict[str, Any], str, Fault], None]] = {
    "drift.enum": _enum,
    "drift.missing": _missing,
    "drift.number": _number,
}
DRIFTS = (*_CHANGES, "drift.extra")


def drift(value: Any, fault: Fault) -> Any:
    """A changed copy; ``drift.extra`` adds to every object, the others change the field wherever it is."""
    if isinstance(value, list):
        return [drift(item, fault) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {name: drift(item, fault) for name, item in value.items()}
    if fault.kind == "drift.extra":
        changed[fault.text("field", "unheard_of")] = fault.params.get("value", "new")
    else:
        _CHANGES[fault.kind](changed, fault.text("field", "status"), fault)
    return changed
