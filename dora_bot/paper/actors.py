"""Counterparties that a fault sends: takers, sweepers, and somebody who always knows first.

They trade through the engine like anybody else, out of a house account of their own.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dora_bot.models import Level, MarketStatus, Side
from dora_bot.paper.faults import Fault
from dora_bot.paper.request_faults import take
from dora_bot.paper.specs import OrderStatus
from dora_bot.paper.venue import TRADER

if TYPE_CHECKING:
    from dora_bot.paper.venue import Venue


def _ticker(venue: "Venue", fault: Fault) -> str:
    """The market named, or one of the active ones; "" where none is."""
    named = fault.text("ticker")
    active = [m.spec.ticker for m in venue.engine.markets() if m.status is MarketStatus.ACTIVE]
    return named or (venue.faults.stream(fault.kind).choice(active) if active else "")


def _side(venue: "Venue", fault: Fault) -> Side:
    named = fault.text("side")
    return Side(named) if named else venue.faults.stream(fault.kind).choice((Side.BID, Side.ASK))


def _standing(venue: "Venue", ticker: str, side: Side) -> tuple[Level, ...]:
    """What a taker on this side can trade with, best first."""
    book = venue.engine.book(ticker)
    return book.asks if side is Side.BID else book.bids


def _sweep(venue: "Venue", ticker: str, side: Side, last_e4: int, now_ms: int) -> None:
    """Take everything up to a price."""
    levels = [
        level for level in _standing(venue, ticker, side) if level.price_e4 * side.sign <= last_e4 * side.sign
    ]
    if levels:
        take(venue, ticker, side, last_e4, (sum(level.count_e2 for level in levels), now_ms))


def taker(venue: "Venue", fault: Fault, now_ms: int) -> None:
    """``size`` contracts (1) at the best price."""
    ticker, side = _ticker(venue, fault), _side(venue, fault)
    levels = _standing(venue, ticker, side) if ticker else ()
    if levels:
        take(venue, ticker, side, levels[0].price_e4, (round(fault.number("size", 1.0) * 100), now_ms))


def sweeper(venue: "Venue", fault: Fault, now_ms: int) -> None:
    """The best ``levels`` (3) of the book."""
    ticker, side = _ticker(venue, fault), _side(venue, fault)
    levels = _standing(venue, ticker, side)[: fault.whole("levels", 3)] if ticker else ()
    if levels:
        _sweep(venue, ticker, side, levels[-1].price_e4, now_ms)


def informed(venue: "Venue", fault: Fault, now_ms: int) -> None:
    """All that the account quotes against this side, and at least ``levels`` (1) of the book with it."""
    ticker, side = _ticker(venue, fault), _side(venue, fault)
    account = fault.text("account", TRADER)
    quoted = [
        order.price_e4
        for order in venue.engine.orders(account, status=OrderStatus.RESTING)
        if order.ticker == ticker and order.side is side.other
    ]
    levels = _standing(venue, ticker, side)[: fault.whole("levels", 1)] if ticker else ()
    reach = [*quoted, *(level.price_e4 for level in levels)]
    if reach:
        _sweep(venue, ticker, side, max(reach, key=lambda price_e4: price_e4 * side.sign), now_ms)


FLOWS: Mapping[str, Callable[["Venue", Fault, int], None]] = {
    "flow.taker": taker,
    "flow.sweeper": sweeper,
    "flow.informed": informed,
}
