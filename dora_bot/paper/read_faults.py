"""Reads that lie behind, leave rows out, page wrongly, or misstate their date. The data itself is not touched."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dora_bot.paper.faults import Fault, Operation
from dora_bot.paper.replica import FixedLag, Frozen, Replica
from dora_bot.paper.wire import Json, rfc3339

if TYPE_CHECKING:
    from dora_bot.paper.specs import BookCut
    from dora_bot.paper.venue import Venue

_ROWS = {
    "orders": ("orders",),
    "fills": ("fills",),
    "positions": ("market_positions", "event_positions"),
    "settlements": ("settlements",),
    "book": ("yes_dollars", "no_dollars"),
}
_IDS = ("order_id", "trade_id", "ticker", "market_ticker", "event_ticker")
_MORE = "bW9yZQ"
"""A cursor that is none of ours: it gives the first page again."""
_GARBAGE = "%%not-a-cursor%%"

Query = Sequence[tuple[str, str]]


class StaleReads:
    """The lagging copies behind armed `read.stale` faults, and old books."""

    def __init__(self, venue: "Venue") -> None:
        self._venue = venue
        self._copies: dict[str, Replica] = {}
        self._books: dict[str, list[tuple[int, dict[str, BookCut]]]] = {}

    def start(self, fault: Fault) -> None:
        """From here on there is an older truth to show: this moment's (``freeze``), or one ``lag_ms`` ago."""
        now_ms = self._venue.now_ms()
        lag = FixedLag(fault.whole("lag_ms")) if "lag_ms" in fault.params else Frozen(now_ms)
        copy = self._copies[fault.fault_id] = self._venue.replica.fork(lag)
        self._books[fault.fault_id] = []
        self.keep_books(now_ms)
        self._venue.faults.on_disarm(fault.fault_id, lambda: self._stop(fault.fault_id, copy))

    def _stop(self, fault_id: str, copy: Replica) -> None:
        self._venue.replica.drop(copy)
        del self._copies[fault_id], self._books[fault_id]

    def keep_books(self, now_ms: int) -> None:
        """Remember the books as they are now, for faults that will show them later."""
        for fault in self._venue.faults.armed("read.stale"):
            kept = self._books.get(fault.fault_id)
            if kept is None or fault.params.get("surface", "book") != "book":
                continue
            if not kept or "lag_ms" in fault.params:
                engine = self._venue.engine
                kept.append((now_ms, {m.spec.ticker: engine.book(m.spec.ticker) for m in engine.markets()}))
                while len(kept) > 1 and kept[1][0] <= now_ms - fault.whole("lag_ms"):
                    kept.pop(0)

    def copy_for(self, fault: Fault) -> Replica:
        return self._copies[fault.fault_id]

    def book(self, fault: Fault, ticker: str, now_ms: int) -> "BookCut | None":
        """The newest kept book that is old enough, the oldest there is where none is."""
        kept = self._books[fault.fault_id]
        due_ms = now_ms - fault.whole("lag_ms") if "lag_ms" in fault.params else now_ms
        shown = [books for at_ms, books in kept if at_ms <= due_ms] or [kept[0][1]]
        return shown[-1].get(ticker)

    def as_of_ms(self, now_ms: int) -> int:
        """What `user_data_timestamp` says: no later than any stale copy that is dated truthfully."""
        dated = [
            self._copies[fault.fault_id].as_of_ms(now_ms)
            for fault in self._venue.faults.armed("read.stale")
            if fault.params.get("dated", True)
            and fault.params.get("surface") != "book"
            and fault.fault_id in self._copies
        ]
        return min([self._venue.replica.as_of_ms(now_ms), *dated])


def paged_query(query: Query, fault: Fault) -> Query:
    """The query that the fault makes of the client's."""
    how = fault.text("how", "loop")
    if how == "loop":
        return [(name, value) for name, value in query if name != "cursor"]
    if how == "cut":
        given = next((int(value) for name, value in query if name == "limit" and value.isdigit()), 100)
        limit = fault.whole("n", max(given // 2, 1))
        return [*((name, value) for name, value in query if name != "limit"), ("limit", str(limit))]
    return query


def paged_body(body: Json, query: Query, surface: str, fault: Fault) -> Json:
    """The page that the fault makes of the exchange's."""
    how, n = fault.text("how", "loop"), fault.whole("n", 1)
    later = any(name == "cursor" and value for name, value in query)
    if how == "loop":
        return {**body, "cursor": body.get("cursor") or _MORE}
    if how == "garbage":
        return {**body, "cursor": _GARBAGE}
    name = _ROWS.get(surface, ("",))[0]
    rows = body.get(name)
    if not isinstance(rows, list) or (how == "shift" and not later):
        return body
    if how == "shift":
        return {**body, name: rows[n:]}
    return {**body, name: [*rows[:n], *rows]} if how == "duplicate" else body


def with_rows_left_out(body: Json, surface: str, fault: Fault) -> Json:
    """Without the newest n, those with one of the ids, or any; rows come newest first."""
    inner = "orderbook_fp" if surface == "book" else ""
    if inner and isinstance(body.get(inner), dict):
        return {**body, inner: _without(body[inner], surface, fault)}
    return _without(body, surface, fault)


def _without(body: Json, surface: str, fault: Fault) -> Json:
    ids = frozenset(fault.params.get("ids", ()))
    changed = dict(body)
    for name in _ROWS.get(surface, ()):
        rows = body.get(name)
        if not isinstance(rows, list):
            continue
        if ids:
            changed[name] = [row for row in rows if not _has_id(row, ids)]
        else:
            changed[name] = rows[fault.whole("newest", len(rows)) :]
    return changed


def _has_id(row: Any, ids: frozenset[str]) -> bool:
    fields = row if isinstance(row, Mapping) else {}
    return any(fields.get(name) in ids for name in _IDS)


def redated(body: Json, fault: Fault, as_of_ms: int) -> Json:
    """Another ``as_of_time``."""
    return {**body, "as_of_time": rfc3339(as_of_ms + fault.whole("offset_ms"))}


def is_read(operation: Operation) -> bool:
    return bool(operation["surface"])
