"""What a request, a frame or an upgrade is about, as far as the matching of faults goes, and its stable key."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dora_bot.paper.faults import Operation
from dora_bot.paper.specs import OrderView
from dora_bot.paper.wire_requests import peek

_ROOT = "/trade-api/v2"
_V2 = f"{_ROOT}/portfolio/events/orders"
_NAMES = ("ticker", "side", "client_order_id", "order_id", "subaccount", "shard")
_ALIASES = {"market_ticker": "ticker", "exchange_index": "shard"}
_SURFACES = {
    "/portfolio/orders": "orders",
    "/portfolio/fills": "fills",
    "/portfolio/positions": "positions",
    "/portfolio/settlements": "settlements",
    "/portfolio/balance": "balance",
    "/exchange/user_data_timestamp": "as_of",
    "/exchange/status": "status",
    "/markets": "markets",
}
_IN_PATH = {"/orders/": "order_id", "/markets/": "ticker"}
_NO_IDS = frozenset({"batched", "queue_positions", "orderbooks", "trades", "candlesticks"})
_WRITES = {
    ("POST", ""): "create",
    ("DELETE", ""): "cancel_all",
    ("POST", "batched"): "batch_create",
    ("DELETE", "batched"): "batch_cancel",
}

FindOrder = Callable[[str], OrderView | None]


def surface_of(path: str) -> str:
    """The read surface behind a path, "" where it is none."""
    below = path.removeprefix(_ROOT)
    if below in _SURFACES:
        return _SURFACES[below]
    if below.startswith("/portfolio/orders/") and below.count("/") == 3:
        return "" if below.endswith("queue_positions") else "order"
    return "book" if below.endswith(("/orderbook", "/orderbooks")) else ""


def op_of(method: str, path: str) -> str:
    """The logical name of a request: ``create``, ``amend``, ``cancel``, ``orders`` …, or its method and path."""
    below = path.removeprefix(_V2).strip("/")
    if path.startswith(_V2):
        named = _WRITES.get((method, below))
        if named is not None:
            return named
        _, _, verb = below.partition("/")
        return verb or "cancel"
    return surface_of(path) or f"{method.lower()}:{path.removeprefix(_ROOT)}"


class Operations:
    """Makes operations, and counts them for their keys."""

    def __init__(self, find_order: FindOrder) -> None:
        self._find_order = find_order
        self._counts: Counter[str] = Counter()

    def restart(self) -> None:
        """Count from 1 again."""
        self._counts.clear()

    def request(
        self, method: str, path: str, query: Iterable[tuple[str, str]], raw: bytes, key_id: str
    ) -> Operation:
        """The operation a request stands for; a batch has the values of all its items."""
        found: dict[str, set[str]] = {name: set() for name in _NAMES}
        for fields in (query, *(item.items() for item in _items(raw))):
            _gather(found, fields)
        for folder, name in _IN_PATH.items():
            named = path.partition(folder)[2].split("/", maxsplit=1)[0]
            if named and named not in _NO_IDS:
                found[name].add(named)
        for order in filter(None, map(self._find_order, tuple(found["order_id"]))):
            found["ticker"].add(order.ticker)
            found["side"].add(order.side.value)
            found["client_order_id"].add(order.client_order_id)
        op, surface = op_of(method, path), surface_of(path)
        subject = "+".join(sorted(found["ticker"])) + "." + "+".join(sorted(found["side"]))
        return {
            **{name: frozenset(values) for name, values in found.items()},
            "op": frozenset({op}),
            "key": frozenset({self._key(op, subject)}),
            "method": frozenset({method}),
            "path": frozenset({path}),
            "surface": frozenset({surface} if surface else ()),
            "key_id": frozenset({key_id}),
        }

    def frame(self, who: tuple[int, str], channel: str, kind: str, sid: int, ticker: str) -> Operation:
        """A data frame; ``who`` is (connection, key id)."""
        return {
            "op": frozenset({"frame"}),
            "key": frozenset({self._key("frame", f"c{who[0]}.{channel}.{ticker}")}),
            "channel": frozenset({channel}),
            "type": frozenset({kind}),
            "sid": frozenset({str(sid)}),
            "ticker": frozenset({ticker}),
            "key_id": frozenset({who[1]}),
        }

    def upgrade(self, key_id: str) -> Operation:
        """A WebSocket upgrade."""
        return {
            "op": frozenset({"upgrade"}),
            "key": frozenset({self._key("upgrade", "ws")}),
            "key_id": frozenset({key_id}),
        }

    def _key(self, op: str, subject: str) -> str:
        stem = f"{op}/{subject}"
        self._counts[stem] += 1
        return f"{stem}/{self._counts[stem]}"


def _gather(found: dict[str, set[str]], fields: Iterable[tuple[str, Any]]) -> None:
    for name, value in fields:
        known = _ALIASES.get(name, name)
        if known in found and isinstance(value, str | int):
            found[known].add(str(value))


def _items(raw: bytes) -> list[Mapping[str, Any]]:
    body = peek(raw)
    orders = body.get("orders")
    return [body, *(o for o in orders if isinstance(o, dict))] if isinstance(orders, list) else [body]
