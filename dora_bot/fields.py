"""The types of fields that people write (dollars, contracts, flags), and what is wrong with a field, in their words.

Decimal text and numbers become integers of the smallest unit here, once; a value that does not fit exactly is refused.
"""

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError


def _fixed(places: int) -> BeforeValidator:
    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError("must be a number")  # noqa: TRY004  (pydantic turns ValueError into a field error)
        try:
            scaled = Decimal(str(value).strip()).scaleb(places)
        except InvalidOperation as error:
            raise ValueError(f"{value!r} is not a number") from error
        if not scaled.is_finite():
            raise ValueError(f"{value!r} is not a finite number")
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{value!r} has more than {places} decimals")
        return int(scaled)

    return BeforeValidator(convert)


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _truth(value: object) -> object:
    """Console editors write booleans as strings; only the two spellings they produce are taken."""
    text = value.strip().lower() if isinstance(value, str) else value
    return {"true": True, "false": False}.get(text, value) if isinstance(text, str) else value


PriceE4 = Annotated[int, _fixed(4)]
CountE2 = Annotated[int, _fixed(2)]
MoneyE6 = Annotated[int, _fixed(6)]
Flag = Annotated[bool, BeforeValidator(_truth), Field(strict=True)]
Word = Annotated[str, BeforeValidator(_stripped)]
Number = Annotated[
    float,
    BeforeValidator(lambda v: float(v) if isinstance(v, Decimal | str) else v),
    Field(allow_inf_nan=False),
]


_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def decimals(field_name: str) -> int:
    """The decimals that a field's integer carries: 4 for ``min_spread_e4``, 0 for one without a suffix."""
    return {"_e2": 2, "_e4": 4, "_e6": 6}.get(field_name[-3:], 0)


def first_problem(error: ValidationError, kind: type[BaseModel]) -> tuple[str, str]:
    """The attribute (empty if it is none in particular) and what is wrong with it, in the units people write."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return where, " is missing"
    if first["type"] == "extra_forbidden":
        return where, " is not a known attribute"
    if first["type"] in _BOUNDS:
        key, words = _BOUNDS[first["type"]]
        names = (name for name, info in kind.model_fields.items() if where in (name, info.alias))
        places = decimals(next(names, where))
        bound, given = (_written(value, places) for value in (first["ctx"][key], first["input"]))
        return where, f" must be {words} {bound} (got {given})"
    text = first["msg"].removeprefix("Value error, ")
    return where, f": {text} (got {first['input']!r:.60})" if where else text


_LONGEST_BITS = 200


def _written(value: object, places: int) -> str:
    if isinstance(value, int) and value.bit_length() > _LONGEST_BITS:
        return "a number of more than 60 digits"  # Python refuses to write out one of thousands
    return f"{Decimal(str(value)).scaleb(-places).normalize():f}"
