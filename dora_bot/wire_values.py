"""Values as they stand in Kalshi's JSON, read strictly and named exactly when they are wrong.

Everything here comes from outside: sizes are bounded, tickers have a character set, numbers are plain.
Readers are tolerant where the exchange may grow (unknown fields, new enum values) and strict where money
depends on it: a missing or mistyped field is a `WireError` that names it.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeVar

import msgspec

from dora_bot.errors import WireError
from dora_bot.models import PriceGrid, PriceRange, Side
from dora_bot.units import ONE_E4, parse_count, parse_fixed, parse_money, parse_price

MAX_BODY_BYTES = 32_000_000
MAX_FRAME_BYTES = 4_000_000
_MAX_GRID_BANDS = 64
_ORDER_STATES = frozenset({"resting", "canceled", "executed"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_MAX_COUNT_E2 = 10**12
_MAX_MONEY_E6 = 10**17
"""Ten billion contracts, a hundred billion dollars: beyond any truth, and their sums still fit 64 bits."""

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number the exchange counts with (``sid``, ``seq``, ids); JSON's exact integers end here."""
Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000)]
"""Unix ms until the year 9999: what comes later can neither be stored nor be told as a date."""
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
Shard = Annotated[int, msgspec.Meta(ge=0, le=1_023)]

_TICKER = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:-]{0,119}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_INDEX = re.compile(r"\[(?:\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`(?: - at `\$?(?P<path>[^`]*)`)?")
_WRONG = re.compile(r"(?P<what>.*) - at `\$?(?P<path>[^`]*)`")

Shape = TypeVar("Shape")


def decode(decoder: msgspec.json.Decoder[Shape], body: bytes, limit: int = MAX_BODY_BYTES) -> Shape:
    """Decode one JSON text into the decoder's type. Raises `WireError` naming the offending field."""
    if len(body) > limit:
        raise WireError(f"a reply of {len(body)} bytes, more than the {limit} allowed")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(explain(error)) from error


def explain(error: Exception) -> str:
    """A decoding failure in our words: ``markets[].price_ranges missing``."""
    text = str(error)
    missing = _MISSING.match(text)
    if missing:
        return f"{_dotted(missing['path'], missing['field'])} missing"
    wrong = _WRONG.match(text)
    if wrong:
        return f"{_dotted(wrong['path'])}: {wrong['what'][:200]}"
    return f"not the JSON expected: {text[:200]}"


def _dotted(path: str | None, field: str = "") -> str:
    parts = [_INDEX.sub("[]", path or "").strip("."), field]
    return ".".join(part for part in parts if part) or "the reply"


def ticker(text: str, where: str) -> str:
    if _TICKER.fullmatch(text) is None:
        raise WireError(f"{where}: not a ticker: {text!r:.80}")
    return text


def identifier(text: str, where: str) -> str:
    if _ID.fullmatch(text) is None:
        raise WireError(f"{where}: not an identifier: {text!r:.80}")
    return text


def word(text: str) -> str:
    """A word of the exchange's own choice, such as the name of a fee rule: no longer than any word is."""
    return text[:80]


def client_id(text: str | None) -> str:
    """The id that an order's owner gave it; empty where it has none, or one that cannot be one of ours."""
    return text if text and _ID.fullmatch(text) else ""


def price(text: str, where: str) -> int:
    """A YES or NO price strictly inside (0, 1), in 0.0001 $."""
    value = _named(parse_price, text, where)
    if not 0 < value < ONE_E4:
        raise WireError(f"{where}: a price outside (0, 1): {text!r:.40}")
    return value


def dollars_e4(text: str, where: str) -> int:
    """A dollar amount inside [0, 1] such as a top of book, where an empty side reads 0 or 1."""
    value = _named(parse_price, text, where)
    if not 0 <= value <= ONE_E4:
        raise WireError(f"{where}: not within [0, 1]: {text!r:.40}")
    return value


def count(text: str, where: str) -> int:
    """A number of contracts ≥ 0, in 0.01 contract."""
    value = signed_count(text, where)
    if value < 0:
        raise WireError(f"{where}: a negative count: {text!r:.40}")
    return value


def signed_count(text: str, where: str) -> int:
    return _within(_named(parse_count, text, where), _MAX_COUNT_E2, where)


def money(text: str, where: str) -> int:
    return _within(_named(parse_money, text, where), _MAX_MONEY_E6, where)


def _within(value: int, most: int, where: str) -> int:
    if abs(value) > most:
        raise WireError(f"{where}: larger than anything real: {value}")
    return value


def _named(parse: Callable[[object], int], text: str, where: str) -> int:
    try:
        return parse(text)
    except WireError as error:
        raise WireError(f"{where}: {error}") from error


def multiplier_e6(number: Decimal | float, where: str) -> int:
    """A fee multiplier (a JSON number) × 10⁶."""
    try:
        scaled = Decimal(str(number)).scaleb(6)
        value = int(scaled)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise WireError(f"{where}: not a number: {number!r:.40}") from error
    if value != scaled or not 0 <= value <= 1_000_000_000:
        raise WireError(f"{where}: not a fee multiplier: {number!r:.40}")
    return value


def time_ms(text: str, where: str) -> int:
    """RFC 3339 with 0 to 9 fraction digits → Unix ms."""
    try:
        moment = datetime.fromisoformat(text[:40])
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max((aware - _EPOCH) // _MILLISECOND, 0)
    except (ValueError, OverflowError) as error:
        raise WireError(f"{where}: not a time: {text!r:.40}") from error


def optional_time_ms(text: str | None, where: str) -> int:
    return time_ms(text, where) if text else 0


def side(book_side: str | None, outcome_side: str | None, where: str) -> Side:
    """From ``book_side`` (or ``outcome_side``); the legacy side/action pair is not to be trusted."""
    if book_side in ("bid", "ask"):
        return Side(book_side)
    if outcome_side in ("yes", "no"):
        return Side.BID if outcome_side == "yes" else Side.ASK
    raise WireError(f"{where} missing or unknown: {book_side!r:.40}")


def order_state(text: str) -> str:
    return text if text in _ORDER_STATES else "unknown"


class RangeShape(msgspec.Struct):
    start: str
    end: str
    step: str


def grid(ranges: list[RangeShape], where: str) -> PriceGrid:
    """``price_ranges`` → the grid. Raises `WireError` for one that has no price or is absurd."""
    if not 0 < len(ranges) <= _MAX_GRID_BANDS:
        raise WireError(f"{where}: {len(ranges)} bands")
    bands = []
    for band in ranges:
        step = _named(lambda text: parse_fixed(text, 4), band.step, f"{where}[].step")
        if step <= 0:
            raise WireError(f"{where}[].step: not above 0: {band.step!r:.40}")
        start = dollars_e4(band.start, f"{where}[].start")
        bands.append(PriceRange(start, dollars_e4(band.end, f"{where}[].end"), step))
    try:
        return PriceGrid(tuple(bands))
    except ValueError as error:
        raise WireError(f"{where}: {error}") from error


class Memo(dict[str, int]):
    """A bounded cache of parsed texts: prices and sizes repeat, and a lookup is ten times cheaper than a parse."""

    def __init__(self, parse: Callable[[str], int], limit: int = 65_536) -> None:
        super().__init__()
        self._parse = parse
        self._limit = limit

    def __missing__(self, text: str) -> int:
        value = self._parse(text)
        if len(self) >= self._limit:
            self.clear()
        self[text] = value
        return value
