"""Cancel every order of ours, and prove it. The last line of defence: it needs nothing that could be broken.

Imports only signing and transport: no strategy, no state, no database, no lock or session of the trading path. Used by
`dora cancel-all` and `dora halt` from a shell, by the risk thread when the tick hangs, and at every stop.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dora_bot.errors import AuthRefused, ExchangeError, ExchangeUnreachable
from dora_bot.http_transport import Call, HttpTransport
from dora_bot.ports import Clock

BATCH = 20
ACCOUNT_WIDE_AFTER_S = 3.0
"""Own ids are tried this long; then cancel-all, which also blocks new orders for a minute (FAULTS section 2)."""

MAX_PAGES = 100
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Swept:
    """``open_orders`` that still rest, as last read; ``reads`` that saw none, at ``seconds`` after the start."""

    open_orders: int
    seconds: float
    cancels: int
    account_wide: bool


@dataclass(slots=True)
class Sweeper:
    """Cancels the resting orders whose client order id begins with ``prefix`` (all orders if it is empty)."""

    transport: HttpTransport
    clock: Clock
    prefix: str
    allow_account_wide: bool = True

    def sweep(self, patience_s: float, say: Callable[[str], None] = lambda _: None) -> Swept:
        """Cancel, list, repeat until two reads in a row show nothing, or until patience ends.

        Raises `AuthRefused` if the key is not accepted; anything else is tried again.
        """
        started = self.clock.now().mono_ms
        clean_reads, cancels, account_wide, left = 0, 0, False, -1
        problem = ""
        while True:
            elapsed = (self.clock.now().mono_ms - started) / 1_000
            if clean_reads == 2 or elapsed > patience_s:
                break
            try:
                orders = self._resting()
                left, clean_reads = len(orders), 0 if orders else clean_reads + 1
                if orders and elapsed > ACCOUNT_WIDE_AFTER_S and self.allow_account_wide and not account_wide:
                    account_wide = self._cancel_all()
                for at in range(0, len(orders), BATCH):
                    cancels += self._cancel(orders[at : at + BATCH])
            except AuthRefused:
                raise
            except ExchangeError as error:
                problem = str(error)
                say(f"trying again: {problem}")
            self.clock.sleep(_PAUSE_S)
        if left == -1:
            raise ExchangeUnreachable(f"open orders could not be read: {problem}")
        return Swept(left, round(elapsed, 3), cancels, account_wide)

    def _resting(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        cursor = ""
        for _ in range(MAX_PAGES):
            query = urlencode({"status": "resting", "limit": 1000} | ({"cursor": cursor} if cursor else {}))
            page = self._json(Call("GET", f"/portfolio/orders?{query}"))
            fresh = [o for o in _orders(page) if o["order_id"] not in seen]
            seen |= {o["order_id"] for o in fresh}
            found += fresh
            cursor = page.get("cursor") or ""
            if not cursor or not fresh:
                break
        return [o for o in found if str(o.get("client_order_id") or "").startswith(self.prefix)]

    def _cancel(self, orders: list[dict[str, Any]]) -> int:
        items = [{"order_id": o["order_id"], "market_ticker": o["ticker"]} for o in orders]
        body = json.dumps({"orders": items}).encode()
        self._json(Call("DELETE", "/portfolio/events/orders/batched", body))
        return len(items)

    def _cancel_all(self) -> bool:
        self._json(Call("DELETE", "/portfolio/events/orders"))
        return True

    def _json(self, call: Call) -> dict[str, Any]:
        reply = self.transport.call(call)
        if reply.status in (401, 403):
            raise AuthRefused(f"{call.method} {call.target}: {reply.status} {reply.body[:120]!r}")
        if reply.status >= 300:
            raise ExchangeError(f"{call.method} {call.target}: {reply.status} {reply.body[:120]!r}")
        try:
            parsed = json.loads(reply.body or b"{}")
        except ValueError as error:
            raise ExchangeError(f"{call.method} {call.target}: not JSON") from error
        if not isinstance(parsed, dict):
            raise ExchangeError(f"{call.method} {call.target}: not a JSON object")
        return parsed


def _orders(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a page. Raises `ExchangeError` for rows that name no order: nothing may be taken for gone."""
    rows = page.get("orders") or []
    if not all(isinstance(row, dict) and "order_id" in row and "ticker" in row for row in rows):
        raise ExchangeError("the order list holds rows without order_id or ticker")
    return list(rows)
