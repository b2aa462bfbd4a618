"""What a request is called and what it is about, as faults see it."""

import json
from dataclasses import dataclass
from typing import Any, cast

import pytest

from dora_bot.models import Side
from dora_bot.paper.operations import Operations, op_of, surface_of
from dora_bot.paper.specs import OrderView

ROOT = "/trade-api/v2"
V2 = f"{ROOT}/portfolio/events/orders"


@pytest.mark.parametrize(
    ("method", "path", "op"),
    [
        ("POST", V2, "create"),
        ("DELETE", V2, "cancel_all"),
        ("POST", f"{V2}/batched", "batch_create"),
        ("DELETE", f"{V2}/batched", "batch_cancel"),
        ("DELETE", f"{V2}/abc", "cancel"),
        ("POST", f"{V2}/abc/amend", "amend"),
        ("POST", f"{V2}/abc/decrease", "decrease"),
        ("GET", f"{ROOT}/portfolio/orders", "orders"),
        ("GET", f"{ROOT}/portfolio/orders/abc", "order"),
        ("GET", f"{ROOT}/portfolio/fills", "fills"),
        ("GET", f"{ROOT}/markets/T-1/orderbook", "book"),
        ("GET", f"{ROOT}/exchange/user_data_timestamp", "as_of"),
        ("PUT", f"{ROOT}/portfolio/order_groups/g/trigger", "put:/portfolio/order_groups/g/trigger"),
    ],
)
def test_logical_names(method: str, path: str, op: str) -> None:
    assert op_of(method, path) == op


def test_queue_positions_are_no_read_surface() -> None:
    assert surface_of(f"{ROOT}/portfolio/orders/queue_positions") == ""
    assert surface_of(f"{ROOT}/portfolio/orders/abc/queue_position") == ""


@dataclass
class Known:
    """As much of an order as an operation asks for."""

    ticker: str = "T-9"
    side: Side = Side.ASK
    client_order_id: str = "mine"


def find(order_id: str) -> OrderView | None:
    return cast("OrderView", Known()) if order_id == "known" else None


def about(method: str, path: str, body: dict[str, Any] | None = None, query: tuple[str, ...] = ()) -> Any:
    pairs = [("ticker", value) for value in query]
    return Operations(find).request(method, path, pairs, json.dumps(body or {}).encode(), "key")


def test_a_batch_has_the_values_of_all_its_items() -> None:
    orders = [{"ticker": "T-1", "side": "bid"}, {"ticker": "T-2", "side": "bid", "client_order_id": "c"}]
    found = about("POST", f"{V2}/batched", {"orders": orders})
    assert (found["ticker"], found["side"], found["client_order_id"]) == ({"T-1", "T-2"}, {"bid"}, {"c"})
    assert found["key"] == {"batch_create/T-1+T-2.bid/1"}


def test_an_order_id_stands_for_its_market_and_side() -> None:
    found = about("DELETE", f"{V2}/known")
    assert (found["ticker"], found["side"], found["client_order_id"]) == ({"T-9"}, {"ask"}, {"mine"})
    assert about("DELETE", f"{V2}/unknown")["ticker"] == set()


def test_every_value_of_a_query_counts() -> None:
    assert about("GET", f"{ROOT}/portfolio/fills", query=("T-1", "T-2"))["ticker"] == {"T-1", "T-2"}


def test_keys_count_by_what_is_done_to_what() -> None:
    operations = Operations(find)

    def key(ticker: str) -> str:
        (made,) = operations.request("POST", V2, [("ticker", ticker)], b"", "key")["key"]
        return made

    assert [key("A"), key("B"), key("A")] == ["create/A./1", "create/B./1", "create/A./2"]
    operations.restart()
    assert key("A") == "create/A./1"
