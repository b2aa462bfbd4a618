"""What must hold in every run, judged on the exchange's journal: what arrived, what was applied, what was told.

Each function takes a `History` and returns one sentence per breach. They know nothing of what the bot believes.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Entry = Mapping[str, Any]

ORDERS = "/trade-api/v2/portfolio/events/orders"
LISTS = "/trade-api/v2/portfolio/orders"
CALL_MS = 2_000
SIGNATURE_WINDOW_MS = 30_000
SAME_TICK_MS = 150
"""Writes of one tick are under way together: one that arrives this soon after another failed was sent before."""


@dataclass
class Request:
    """One request: when it arrived, was applied (0: never) and answered (status 0: never), and what struck it."""

    n: int
    at_ms: int
    method: str
    path: str
    items: Sequence[Mapping[str, Any]]
    applied_n: int = 0
    status: int = 0
    ended_ms: int = 0
    struck: list[str] = field(default_factory=list)

    @property
    def creates(self) -> bool:
        return self.method == "POST" and self.path in (ORDERS, f"{ORDERS}/batched")

    @property
    def amends(self) -> bool:
        return self.method == "POST" and self.path.endswith("/amend")

    @property
    def is_exposure(self) -> bool:
        return self.creates or self.amends

    @property
    def tickers(self) -> set[str]:
        return {str(item["ticker"]) for item in self.items if "ticker" in item}

    @property
    def learnt_ms(self) -> int:
        """When the sender knew that it does not know; 0 if it was told the outcome."""
        late = not self.ended_ms or self.ended_ms > self.at_ms + CALL_MS
        spoilt = "http.body" in self.struck and not self.path.endswith("/batched")
        if late:
            return self.at_ms + CALL_MS
        return self.ended_ms if not self.status or self.status >= 500 or spoilt else 0


class History:
    """The journal since an entry, requests put together from their entries."""

    def __init__(self, entries: Sequence[Entry], key_id: str, own_prefix: str) -> None:
        self.entries = entries
        self.own_prefix = own_prefix
        self.requests: list[Request] = []
        by_number: dict[int, Request] = {}
        for entry in entries:
            if entry["kind"] == "arrival":
                if entry["key_id"] == key_id:
                    request = Request(
                        entry["n"], entry["at_ms"], entry["method"], entry["path"], _items(entry)
                    )
                    by_number[request.n] = request
                    self.requests.append(request)
            elif entry.get("request") in by_number:
                _note(by_number[entry["request"]], entry)

    def own_orders(self) -> Iterator[tuple[Entry, str, Mapping[str, str]]]:
        """(entry, order id, order) for every change of an order of the bot's."""
        for entry in self.entries:
            if entry["kind"] == "account":
                for order_id, order in entry["orders"].items():
                    if order["client_order_id"].startswith(self.own_prefix):
                        yield entry, order_id, order


def _items(entry: Entry) -> Sequence[Mapping[str, Any]]:
    try:
        body = json.loads(entry["body"] or "{}")
    except ValueError:
        return ()
    return tuple(body.get("orders") or [body])


def _note(request: Request, entry: Entry) -> None:
    if entry["kind"] == "applied":
        request.applied_n = entry["n"] if entry["status"] < 300 else 0
    elif entry["kind"] == "reply":
        request.status, request.ended_ms = entry["status"], entry["at_ms"]
    elif entry["kind"] == "dropped":
        request.ended_ms = entry["at_ms"]
    elif entry["kind"] == "fault":
        request.struck.append(entry["fault"])


# ── the predicates ──────────────────────────────────────────────────────────────────────────────


def sent_twice(history: History) -> list[str]:
    """I12: one intent, one client order id, sent once."""
    ids = Counter(
        item.get("client_order_id")
        for request in history.requests
        if request.creates
        for item in request.items
    )
    return [f"{name} was sent {count} times" for name, count in ids.items() if count > 1]


def wrong_terms(history: History) -> list[str]:
    """I08: what every create carries."""
    wanted = {"time_in_force": "good_till_canceled", "post_only": True, "cancel_order_on_pause": True}
    names = (
        "client_order_id",
        "expiration_time",
        "order_group_id",
        "self_trade_prevention_type",
        "subaccount",
    )
    found = []
    for request in history.requests:
        for item in request.items if request.creates else ():
            wrong = [name for name, value in wanted.items() if item.get(name) != value]
            wrong += [name for name in (*names, "exchange_index") if item.get(name) in (None, "")]
            if not all(isinstance(item.get(name), str) for name in ("price", "count")):
                wrong.append("price and count as text")
            found += [f"{item.get('client_order_id')}: {name}" for name in wrong]
    return found


def lives_s(history: History) -> Iterator[float]:
    """For how long each order of ours, as it came to rest, would stay if nobody touched it again."""
    for entry, _, order in history.own_orders():
        if order["status"] == "resting":
            yield (int(order["expiration_ms"]) - entry["at_ms"]) / 1_000


def endless(history: History) -> list[str]:
    """B13: no order of ours rests without an end."""
    return [
        f"{order['client_order_id']} rests without an end"
        for _, _, order in history.own_orders()
        if order["status"] == "resting" and not int(order["expiration_ms"])
    ]


def crowded_sides(history: History) -> list[str]:
    """I05: on a side of a market one order, and never two at once at the exchange."""
    live: dict[tuple[str, str], set[str]] = defaultdict(set)
    found = []
    for entry, order_id, order in history.own_orders():
        place = (order["ticker"], order["side"])
        (live[place].add if order["status"] == "resting" else live[place].discard)(order_id)
        if len(live[place]) > 1:
            found.append(f"{len(live[place])} orders on {place} at {entry['n']}")
    return found


def bursts(history: History) -> list[str]:
    """I06: at most 4 exposure writes a second in a market."""
    times: dict[str, list[int]] = defaultdict(list)
    for request in history.requests:
        for item in request.items if request.is_exposure else ():
            times[str(item.get("ticker"))].append(request.at_ms)
    return [
        f"{ticker}: 5 writes within {last - first} ms"
        for ticker, all_of in times.items()
        for first, last in zip(all_of, all_of[4:], strict=False)
        if last - first < 1_000
    ]


def written_while_unknown(history: History) -> list[str]:
    """I11: while a write's outcome is unknown, no further exposure write in its market."""
    found = []
    exposure = [request for request in history.requests if request.is_exposure]
    for unknown in filter(lambda request: request.learnt_ms, exposure):
        for ticker in unknown.tickers:
            after = unknown.learnt_ms + SAME_TICK_MS
            later = next((r for r in exposure if r.at_ms > after and ticker in r.tickers), None)
            if later is not None and not _evidence(history, unknown, ticker, later):
                found.append(f"{ticker}: {later.n} was sent while the end of {unknown.n} was unknown")
    return found


def _evidence(history: History, unknown: Request, ticker: str, later: Request) -> bool:
    """Could the bot have known by then? A frame about the order, or a list read late enough to prove it absent."""
    proven_ms = (
        unknown.learnt_ms if unknown.applied_n or unknown.amends else unknown.at_ms + SIGNATURE_WINDOW_MS
    )
    if any(
        request.path.startswith(LISTS)
        and request.status == 200
        and proven_ms <= request.at_ms
        and request.ended_ms <= later.at_ms
        for request in history.requests
    ):
        return True
    return any(
        entry["kind"] == "frame"
        and entry["type"] in ("user_order", "fill")
        and entry["ticker"] == ticker
        and not entry["dropped"]
        and unknown.applied_n < entry["n"] < later.n
        for entry in history.entries
        if unknown.applied_n
    )


PREDICATES: Mapping[str, Callable[[History], list[str]]] = {
    "sent twice": sent_twice,
    "terms": wrong_terms,
    "expiry": endless,
    "one a side": crowded_sides,
    "bursts": bursts,
    "unknown": written_while_unknown,
}
