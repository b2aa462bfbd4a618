"""The server's codec, third part: request bodies, decoded as strictly as the venue decodes them.

A wrong JSON type is the venue's flat 400 with the text of its decoder; a value that is of the right type
but means nothing is a nested 400.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from dora_bot.errors import WireError
from dora_bot.models import Side, TimeInForce
from dora_bot.paper.problems import Problem, flat, nested
from dora_bot.paper.specs import AmendRequest, DecreaseRequest, OrderRequest
from dora_bot.units import ONE_E4, parse_count, parse_price

_NUMERAL = re.compile(r"\d{1,9}(\.\d{1,6})?")
_MAX_SUBACCOUNT = 63
_GO_KINDS = (
    (bool, "bool"),
    (str, "string"),
    (int, "number"),
    (float, "number"),
    (list, "array"),
    (dict, "object"),
)


_TEXT, _FLAG, _INTEGER, _LIST = (str, "string"), (bool, "bool"), (int, "int64"), (list, "[]struct")
_FIELD_TYPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(
        (
            "ticker",
            "market_ticker",
            "side",
            "count",
            "price",
            "reduce_by",
            "reduce_to",
            "time_in_force",
            "self_trade_prevention_type",
            "client_order_id",
            "updated_client_order_id",
            "client_transfer_id",
            "order_id",
            "order_group_id",
            "contracts_limit_fp",
            "source",
            "destination",
        ),
        _TEXT,
    ),
    **dict.fromkeys(("post_only", "reduce_only", "cancel_order_on_pause", "enabled"), _FLAG),
    **dict.fromkeys(
        (
            "expiration_time",
            "exchange_index",
            "subaccount",
            "subaccount_number",
            "contracts_limit",
            "amount",
            "amount_cents",
            "from_subaccount",
            "to_subaccount",
            "source_exchange_shard",
            "destination_exchange_shard",
            "source_subaccount",
            "destination_subaccount",
        ),
        _INTEGER,
    ),
    "orders": _LIST,
}
"""The JSON type of every request field; a name has the same type in all requests."""


def invalid_parameters(details: str) -> Problem:
    return nested(400, "invalid_parameters", details=details)


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded JSON object and the name of the request structure that decoding errors mention."""

    struct: str
    fields: dict[str, Any]
    path: str = ""

    def __post_init__(self) -> None:
        """Raises the flat problem for the first field of a wrong type, in the order they were sent."""
        for name, value in self.fields.items():
            kind, go_type = _FIELD_TYPES.get(name, (object, ""))
            wrong_bool = isinstance(value, bool) and kind is int
            if value is not None and (wrong_bool or not isinstance(value, kind)):
                raise self._wrong(name, value, go_type)

    def string(self, name: str, *, required: bool = False) -> str:
        """The field as text, empty where absent or null."""
        return str(self._value(name, required=required) or "")

    def flag(self, name: str) -> bool:
        return bool(self._value(name))

    def integer(self, name: str, *, required: bool = False) -> int | None:
        value = self._value(name, required=required)
        return None if value is None else int(value)

    def price(self, name: str) -> int:
        """Dollars as 0.0001 $. Raises ``invalid_price`` outside (0, 1) or with more than 4 decimals."""
        text = self.string(name, required=True)
        try:
            price_e4 = parse_price(text if _NUMERAL.fullmatch(text) else None)
        except WireError as error:
            raise nested(400, "invalid_price") from error
        if not 0 < price_e4 < ONE_E4:
            raise nested(400, "invalid_price")
        return price_e4

    def count(self, name: str) -> int:
        """Contracts as 0.01 contract, not negative. Raises ``invalid_order_size``."""
        text = self.string(name, required=True)
        try:
            return parse_count(text if _NUMERAL.fullmatch(text) else None)
        except WireError as error:
            raise nested(400, "invalid_order_size") from error

    def order_size(self, name: str) -> int:
        """A count above 0."""
        count_e2 = self.count(name)
        if not count_e2:
            raise nested(400, "invalid_order_size")
        return count_e2

    def side(self) -> Side:
        text = self.string("side", required=True)
        if text not in (Side.BID, Side.ASK):
            raise invalid_parameters("side must be bid or ask")
        return Side(text)

    def subaccount(self) -> int:
        number = self.integer("subaccount") or 0
        if not 0 <= number <= _MAX_SUBACCOUNT:
            raise invalid_parameters(f"subaccount must be 0..{_MAX_SUBACCOUNT}")
        return number

    def items(self, name: str) -> "list[Body]":
        """A list of objects, decoded as strictly as this one."""
        items = self._value(name, required=True)
        for item in items:
            if not isinstance(item, dict):
                raise self._wrong(name, item, "struct")
        return [Body(self.struct, item, f"{name}.") for item in items]

    def _value(self, name: str, *, required: bool = False) -> Any:
        value = self.fields.get(name)
        if value is None and required:
            raise invalid_parameters(f"{name} is required")
        return value

    def _wrong(self, name: str, value: object, go_type: str) -> Problem:
        met = next((text for kind, text in _GO_KINDS if isinstance(value, kind)), "null")
        return flat(
            f"json: cannot unmarshal {met} into Go struct field {self.struct}.{self.path}{name} of type {go_type}"
        )


def decode(raw: bytes, struct: str) -> Body:
    """The JSON object of a request body; an empty body is an empty object. Raises the flat problem."""
    try:
        value = msgspec.json.decode(raw) if raw.strip() else {}
    except msgspec.DecodeError as error:
        raise flat("invalid character in request body") from error
    if not isinstance(value, dict):
        met = next((text for kind, text in _GO_KINDS if isinstance(value, kind)), "null")
        raise flat(f"json: cannot unmarshal {met} into Go value of type {struct}")
    return Body(struct, value)


def peek(raw: bytes) -> dict[str, Any]:
    """The body's object for billing and fault matching, which judge nothing: empty where it is not one."""
    try:
        value = msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def order_request(body: Body) -> OrderRequest:
    """One create, from a body of its own or an item of a batch."""
    time_in_force = body.string("time_in_force", required=True)
    if time_in_force not in tuple(TimeInForce):
        raise invalid_parameters("time_in_force is not supported")
    stp = body.string("self_trade_prevention_type", required=True)
    if stp not in ("taker_at_cross", "maker"):
        raise invalid_parameters("self_trade_prevention_type is not supported")
    expiration_s = body.integer("expiration_time")
    shard = body.integer("exchange_index")
    return OrderRequest(
        ticker=body.string("ticker", required=True),
        side=body.side(),
        price_e4=body.price("price"),
        count_e2=body.order_size("count"),
        time_in_force=TimeInForce(time_in_force),
        stp="maker" if stp == "maker" else "taker_at_cross",
        client_order_id=body.string("client_order_id"),
        post_only=body.flag("post_only"),
        reduce_only=body.flag("reduce_only"),
        expiration_ms=None if expiration_s is None else expiration_s * 1_000,
        cancel_on_pause=body.flag("cancel_order_on_pause"),
        order_group_id=body.string("order_group_id"),
        subaccount=body.subaccount(),
        shard=None if shard is None or shard < 0 else shard,
    )


def amend_request(body: Body, order_id: str, shard: int, subaccount: int | None) -> AmendRequest:
    """``count`` is the total: already filled plus wanted remaining."""
    expiration_s = body.integer("expiration_time")
    return AmendRequest(
        order_id=order_id,
        ticker=body.string("ticker", required=True),
        side=body.side(),
        price_e4=body.price("price"),
        total_e2=body.order_size("count"),
        client_order_id=body.string("client_order_id"),
        updated_client_order_id=body.string("updated_client_order_id"),
        expiration_ms=None if expiration_s is None else expiration_s * 1_000,
        shard=shard,
        subaccount=subaccount,
    )


def decrease_request(body: Body, order_id: str, shard: int, subaccount: int | None) -> DecreaseRequest:
    given = [name for name in ("reduce_by", "reduce_to") if body.fields.get(name) is not None]
    if len(given) != 1:
        raise invalid_parameters("exactly one of reduce_by and reduce_to is required")
    by = body.order_size("reduce_by") if given == ["reduce_by"] else None
    to = body.count("reduce_to") if given == ["reduce_to"] else None
    return DecreaseRequest(order_id, by, to, shard=shard, subaccount=subaccount)


_GROUP_LIMITS = (1, 1_000_000)


def group_limit_e2(body: Body) -> int:
    """``contracts_limit`` (an integer) or ``contracts_limit_fp`` (text); equal if both are given."""
    whole = body.integer("contracts_limit")
    text = body.string("contracts_limit_fp")
    limits = ([] if whole is None else [whole * 100]) + ([body.count("contracts_limit_fp")] if text else [])
    low, high = _GROUP_LIMITS
    if not limits or limits[0] != limits[-1] or not low * 100 <= limits[0] <= high * 100:
        raise invalid_parameters(f"contracts_limit must be {low}..{high}")
    return limits[0]
