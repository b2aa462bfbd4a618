"""Conditions on the exchange's truth, for barriers and for the ``while`` of a fault: ``open_orders==0``.

A condition is one or more comparisons joined by ``&&``. A measure may name what it counts after an ``@``:
``open_orders@TICKER``, ``fills@TICKER``, ``position@TICKER``, ``hits@f1``.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, NamedTuple

from dora_bot.paper.fault_kinds import FaultRefused
from dora_bot.paper.specs import OrderStatus

if TYPE_CHECKING:
    from dora_bot.paper.venue import Venue

_COMPARISON = re.compile(r"([a-z_]+)(?:@([\w.\-]+))?(==|!=|>=|<=|>|<)(-?\d+(?:\.\d+)?)")
_COMPARE = {"==": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt}
_E2, _E6 = Decimal(100), Decimal(1_000_000)


def _open_orders(venue: "Venue", account: str, ticker: str) -> int:
    resting = venue.engine.orders(account, status=OrderStatus.RESTING)
    return sum(ticker in ("", order.ticker) for order in resting)


def _fills(venue: "Venue", account: str, ticker: str) -> int:
    return sum(ticker in ("", fill.ticker) for fill in venue.engine.fills(account))


def _position(venue: "Venue", account: str, ticker: str) -> Decimal:
    """Signed YES contracts, of one market or summed."""
    held = venue.engine.positions(account)
    return sum((Decimal(p.net_e2) / _E2 for p in held if ticker in ("", p.ticker)), Decimal(0))


def _cash(venue: "Venue", account: str, _: str) -> Decimal:
    return Decimal(sum(purse.cash_e6 for purse in venue.engine.balance(account))) / _E6


def _groups(venue: "Venue", account: str, _: str) -> int:
    return len(venue.engine.groups(account))


def _hits(venue: "Venue", _: str, fault_id: str) -> int:
    return venue.faults.hits(fault_id)


_MEASURES: Mapping[str, Callable[["Venue", str, str], int | Decimal]] = {
    "open_orders": _open_orders,
    "fills": _fills,
    "position": _position,
    "cash": _cash,
    "groups": _groups,
    "hits": _hits,
    "connections": lambda venue, *_: len(venue.sessions),
    "journal": lambda venue, *_: venue.journal.last,
    "requests": lambda venue, *_: venue.journal.requests,
    "now_ms": lambda venue, *_: venue.now_ms(),
}


class _Term(NamedTuple):
    measure: str
    about: str
    compare: str
    wanted: Decimal


class Condition:
    """A parsed condition. Raises `FaultRefused` with the grammar for a text that is none."""

    def __init__(self, text: str) -> None:
        self._terms = [_term(part) for part in text.replace(" ", "").split("&&")]

    def holds(self, venue: "Venue", account: str) -> bool:
        return all(
            _COMPARE[term.compare](_MEASURES[term.measure](venue, account, term.about), term.wanted)
            for term in self._terms
        )


def _term(text: str) -> _Term:
    parsed = _COMPARISON.fullmatch(text)
    if parsed is None or parsed[1] not in _MEASURES:
        names = ", ".join(_MEASURES)
        raise FaultRefused(
            f"condition is MEASURE[@NAME] ==|!=|>=|<=|>|< NUMBER, joined by &&; measures: {names}"
        )
    return _Term(parsed[1], parsed[2] or "", parsed[3], Decimal(parsed[4]))
