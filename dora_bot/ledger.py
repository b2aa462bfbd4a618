"""Folds the rows of the trade log into cash, fees, positions and realised PnL. Pure; reports and demo use it.

The trade log alone is the ledger: nothing here looks at stored positions. Every booking of a market carries its
number (``position_version``), so a missing, doubled or altered row cannot go unnoticed. A day is a UTC date of
the exchange's time, and a booking belongs to the day of its own time, however late it was learnt.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from dora_bot.accounting import apply_fill, apply_settlement, cash_e6
from dora_bot.errors import StoreError
from dora_bot.items import parse_timestamp, scaled, text
from dora_bot.models import (
    Fill,
    Position,
    Settlement,
    Side,
)
from dora_bot.units import ONE_E4, count_text, money_text

_SIDES = {"buy": Side.BID, "sell": Side.ASK}
_MONEY_STATUSES = frozenset({"filled", "settled"})


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over some bookings: money in 10⁻⁶ $, ``traded_e2`` without settlements."""

    realised_e6: int = 0
    fees_e6: int = 0
    fills: int = 0
    traded_e2: int = 0

    @property
    def net_e6(self) -> int:
        """Realised PnL after fees."""
        return self.realised_e6 - self.fees_e6

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.realised_e6 + other.realised_e6,
            self.fees_e6 + other.fees_e6,
            self.fills + other.fills,
            self.traded_e2 + other.traded_e2,
        )


@dataclass(frozen=True, slots=True)
class Booking:
    """One fill or settlement as stored. ``realised_e6`` is what the bot said it realised, before fees.

    ``net_e2`` is what a settlement closed, signed.
    """

    event: Fill | Settlement
    version: int
    net_e2: int
    realised_e6: int
    day: str

    @property
    def ticker(self) -> str:
        return self.event.ticker

    @property
    def totals(self) -> Totals:
        if isinstance(self.event, Fill):
            return Totals(self.realised_e6, self.event.fee_e6, 1, self.event.count_e2)
        return Totals(self.realised_e6, self.event.fee_e6)


@dataclass(frozen=True, slots=True)
class Ledger:
    """``positions`` by market (flat ones too), ``by_day`` by UTC date, ``by_market`` by ticker."""

    positions: Mapping[str, Position] = field(default_factory=dict)
    by_market: Mapping[str, Totals] = field(default_factory=dict)
    by_day: Mapping[str, Totals] = field(default_factory=dict)

    @property
    def total(self) -> Totals:
        return sum(self.by_market.values(), Totals())

    @property
    def cash_e6(self) -> int:
        """How much the account's cash changed by all bookings, collateral of short contracts included."""
        return sum(cash_e6(position) for position in self.positions.values())


def fold(rows: Iterable[Mapping[str, Any]], opening: Mapping[str, Position] | None = None) -> Ledger:
    """The ledger of all rows of the trade log, in any order; ``opening`` where the rows do not begin at the first.

    Numbers may be Decimal or text. Raises `StoreError` naming the row that is damaged, doubled or missing.
    """
    bookings = [booking_of(row) for row in rows if is_booking(row)]
    bookings.sort(key=lambda b: (b.ticker, b.version))
    positions = dict(opening or {})
    by_market: dict[str, Totals] = {}
    by_day: dict[str, Totals] = {}
    _refuse_doubles(bookings)
    for ticker, own in groupby(bookings, key=lambda b: b.ticker):
        position = positions.get(ticker, Position(ticker))
        for booking in own:
            position = _book(position, booking)
            by_market[ticker] = by_market.get(ticker, Totals()) + booking.totals
            by_day[booking.day] = by_day.get(booking.day, Totals()) + booking.totals
        positions[ticker] = position
    return Ledger(positions, by_market, dict(sorted(by_day.items())))


def is_booking(row: Mapping[str, Any]) -> bool:
    """Whether a row of the trade log moved money; the others tell what happened to orders."""
    return row.get("status") in _MONEY_STATUSES


def booking_of(row: Mapping[str, Any]) -> Booking:
    """A stored fill or settlement. Raises `StoreError` naming the attribute that is missing or wrong."""
    key = text(row, "timestamp#order_id")
    time_ms = parse_timestamp(key.partition("#")[0])
    side = _SIDES.get(text(row, "side"))
    price_e4, count_e2 = scaled(row, "fill_price", 4), scaled(row, "fill_size", 2)
    if side is None or not 0 <= price_e4 <= ONE_E4 or count_e2 < 0:
        raise StoreError(f"trade log row {key}: side, fill_price or fill_size cannot be")
    if not key.startswith(text(row, "date")):
        raise StoreError(f"trade log row {key} is filed under {row['date']}")
    ticker, fee_e6 = text(row, "market_id"), scaled(row, "fee", 6)
    event: Fill | Settlement = Settlement(ticker, price_e4, time_ms, fee_e6)
    if row["status"] == "filled":
        event = Fill(
            trade_id=text(row, "trade_id"),
            order_id=text(row, "order_id"),
            ticker=ticker,
            side=side,
            price_e4=price_e4,
            count_e2=count_e2,
            fee_e6=fee_e6,
            is_taker=bool(row.get("is_taker")),
            time_ms=time_ms,
            client_order_id=str(row.get("client_order_id", "")),
            source=str(row.get("source", "")),
        )
    version, realised_e6 = scaled(row, "position_version", 0), scaled(row, "pnl_realized", 6)
    return Booking(event, version, -side.sign * count_e2, realised_e6, key[:10])


def _refuse_doubles(bookings: Iterable[Booking]) -> None:
    seen: set[tuple[str, str]] = set()
    for booking in bookings:
        if isinstance(booking.event, Fill):
            if booking.event.key in seen:
                raise StoreError(f"trade log: trade {booking.event.trade_id} is booked twice")
            seen.add(booking.event.key)


def _book(position: Position, booking: Booking) -> Position:
    """The position after the booking. Raises `StoreError` if the booking does not follow from what was before."""
    what = f"trade log, {booking.ticker}"
    expected = position.version + 1
    if booking.version != expected:
        problem = (
            f"booking {booking.version} is doubled"
            if booking.version < expected
            else f"booking {expected} is missing"
        )
        raise StoreError(f"{what}: {problem}")
    if isinstance(booking.event, Fill):
        after, realised = apply_fill(position, booking.event)
    else:
        if booking.net_e2 != position.net_e2:
            held, settled = count_text(position.net_e2), count_text(booking.net_e2)
            raise StoreError(f"{what}: {settled} contracts were settled, {held} were held")
        after, realised = apply_settlement(position, booking.event)
    if realised != booking.realised_e6:
        said, found = money_text(booking.realised_e6), money_text(realised)
        raise StoreError(f"{what}: booking {booking.version} says it realised {said}, it realised {found}")
    return after
