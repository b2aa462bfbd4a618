"""Fixed-point numbers: the only place where text becomes money and money becomes text.

Inside the bot everything is an integer with its unit in its name:

* ``price_e4``: dollars × 10⁴ (0.0001 $), 0 < price < 10_000 for a YES price;
* ``count_e2``: contracts × 10² (0.01 contract);
* ``money_e6``: dollars × 10⁶, so that ``price_e4 * count_e2 == money_e6`` exactly.
"""

import re

from dora_bot.errors import WireError

ONE_E4 = 10_000
"""A contract's full payout in price units: YES and NO prices of one market add up to it."""

_PLAIN_DECIMAL = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,12}))?")


def parse_fixed(text: object, places: int) -> int:
    """Read a decimal string as an integer of 10^-places units: ``("0.4700", 4) -> 4700``.

    Only plain notation is read ("-12.3400"): exponents, NaN and absurd lengths never come from an honest sender.
    Raises `WireError` for anything else, and for more precision than asked for.
    """
    if not isinstance(text, str):
        raise WireError(f"expected a decimal string, got {type(text).__name__} {text!r:.40}")
    match = _PLAIN_DECIMAL.fullmatch(text)
    if match is None:
        raise WireError(f"not a decimal number: {text!r:.40}")
    sign, whole, decimals = match[1], match[2], match[3] or ""
    if decimals[places:].strip("0"):
        raise WireError(f"more than {places} decimals: {text!r:.40}")
    value = int(whole + decimals[:places].ljust(places, "0"))
    return -value if sign else value


def format_fixed(value: int, places: int) -> str:
    """Write an integer of 10^-places units as a decimal string: ``(4700, 4) -> "0.4700"``."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), 10**places)
    return f"{sign}{whole}.{rest:0{places}d}"


def parse_price(text: object) -> int:
    return parse_fixed(text, 4)


def parse_count(text: object) -> int:
    return parse_fixed(text, 2)


def parse_money(text: object) -> int:
    return parse_fixed(text, 6)


def price_text(price_e4: int) -> str:
    return format_fixed(price_e4, 4)


def count_text(count_e2: int) -> str:
    return format_fixed(count_e2, 2)


def money_text(money_e6: int) -> str:
    return format_fixed(money_e6, 6)
