"""Reads of the account that depart from the truth: rows left out, pages that move or go round, positions of a while ago."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from dora_bot.exchange_client import KalshiClient
from dora_bot.http_transport import Call, HttpTransport, Reply
from dora_bot.models import ExchangePosition, Fill
from dora_bot.paper.specs import FillView
from dora_bot.paper.wire_account import fill_body
from tests.sim import convert
from tests.sim.misbehaviour import ODD_WEIGHT

if TYPE_CHECKING:
    from tests.sim.client import Network

FILLS = ("empty", "pages", "shift", "loop")
"""``empty``: no row of many; ``pages``: so many to a reply; ``shift``: and each shows some of the one before again;
``loop``: the first is answered for ever.
"""

PAGE, SHIFT = 100, 7
OLD_MS = 3_000


def fills(net: "Network", since_ms: int) -> list[Fill]:
    """Oldest first; a fault leaves some out for a while, of any age, with everything else of the reply intact."""
    kind = net.faults.strike(f"odd/fills/n={net.number('odd/fills')}", FILLS, ODD_WEIGHT)
    if kind == "empty":
        return []
    found: list[FillView] = []
    for view in reversed(net.venue.account().fills):
        if view.time_ms < since_ms:
            break
        if not net.hides(view):
            found.append(view)
    if kind:
        assert net.clock is not None
        return KalshiClient(cast("HttpTransport", Pages(found, kind)), net.clock).get_fills(since_ms)
    return [convert.fill_of(view, "rest") for view in reversed(found)]


def positions(net: "Network") -> list[ExchangePosition]:
    """A fault shows the contracts of some seconds ago under the date of now."""
    account = net.venue.account()
    found = [convert.position_of(view) for view in account.positions.values()]
    if not net.faults.strike(f"odd/positions/n={net.number('odd/positions')}", ("old",), ODD_WEIGHT):
        return found
    since: dict[str, int] = {}
    for view in reversed(account.fills):
        if view.time_ms < net.venue.now_ms - OLD_MS:
            break
        since[view.ticker] = since.get(view.ticker, 0) + view.side.sign * view.count_e2
    return [replace(one, net_e2=one.net_e2 - since.get(one.ticker, 0)) for one in found]


class Pages:
    """The exchange's list of fills, newest first, as the production client reads it."""

    def __init__(self, rows: Sequence[FillView], kind: str) -> None:
        self._rows = rows
        self._kind = kind

    def call_all(self, calls: Sequence[Call]) -> list[Reply]:
        return [Reply(200, msgspec.json.encode(self._page(call)), 0, 0) for call in calls]

    def _page(self, call: Call) -> dict[str, object]:
        at = int(parse_qs(urlsplit(call.target).query).get("cursor", ["0"])[0])
        if self._kind == "loop":
            at = 0
        shown = max(at - SHIFT, 0) if self._kind == "shift" else at
        cursor = str(at + PAGE) if self._kind == "loop" or at + PAGE < len(self._rows) + SHIFT else ""
        return {"fills": [fill_body(row) for row in self._rows[shown : shown + PAGE]], "cursor": cursor}
