"""Network faults on requests, seen at the wire: late, held, lost, answered wrongly, damaged, refused."""

import itertools
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient

V2 = "/portfolio/events/orders"
ONE = "KXA-1-ONE"
_numbers = itertools.count()


def order(**changes: Any) -> dict[str, Any]:
    return {
        "ticker": ONE,
        "client_order_id": f"net-{next(_numbers)}",
        "side": "bid",
        "count": "1",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }


def batch(*orders: dict[str, Any]) -> dict[str, Any]:
    return {"orders": list(orders)}


def raw(
    client: SignedClient, method: str, path: str, body: object, timeout_s: float = 2.0
) -> requests.Response:
    """One signed request without any reading of the body into JSON."""
    url = client.base + path
    headers = client.auth_headers(method, urlsplit(url).path)
    return requests.request(method, url, json=body, headers=headers, timeout=timeout_s)


@pytest.fixture(autouse=True)
def clean(admin: Admin, client: SignedClient) -> Iterator[None]:
    yield
    admin.disarm()
    client.delete(V2)


@pytest.mark.parametrize("dist", ["fixed", "uniform", "pareto"])
def test_delay_distributions_have_their_floor(admin: Admin, client: SignedClient, dist: str) -> None:
    admin.arm("http.delay", match={"op": "status"}, params={"ms": 60, "jitter_ms": 20, "dist": dist})
    started = time.monotonic()
    assert client.get("/exchange/status").status == 200
    assert time.monotonic() - started >= 0.06


def test_a_held_request_is_applied_after_the_client_has_gone(admin: Admin, client: SignedClient) -> None:
    sent = order()
    admin.arm("http.hold_request", match={"op": "create"}, params={"ms": 1_500})
    with pytest.raises(requests.ReadTimeout):
        raw(client, "POST", V2, sent, timeout_s=0.2)
    assert admin.truth()["open_orders"] == []
    assert admin.call("POST", "/barrier", {"condition": "open_orders==1", "timeout_ms": 10_000})[0] == 200
    assert admin.truth()["open_orders"][0]["client_order_id"] == sent["client_order_id"]


@pytest.mark.parametrize(("shape", "start"), [("html", b"<html>"), ("empty", b"")])
def test_error_replies_that_are_not_json(
    admin: Admin, client: SignedClient, shape: str, start: bytes
) -> None:
    admin.arm("http.status", params={"code": 502, "shape": shape}, match={"op": "status"})
    reply = raw(client, "GET", "/exchange/status", None)
    assert reply.status_code == 502
    assert reply.content.startswith(start)
    assert bool(reply.content) is bool(start)


def test_a_truncated_body_is_not_json_and_the_order_rests(admin: Admin, client: SignedClient) -> None:
    admin.arm("http.body", match={"op": "create"}, params={"how": "truncate"})
    reply = raw(client, "POST", V2, order())
    assert reply.status_code == 201
    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.content)
    assert len(admin.truth()["open_orders"]) == 1


def test_garbage(admin: Admin, client: SignedClient) -> None:
    admin.arm("http.body", match={"op": "create"}, params={"how": "garbage"})
    with pytest.raises(ValueError, match=r".*"):
        json.loads(raw(client, "POST", V2, order()).content)


def test_a_body_shorter_than_announced_ends_the_connection(admin: Admin, client: SignedClient) -> None:
    admin.arm("http.body", match={"op": "create"}, params={"how": "wrong_length", "bytes": 10})
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        raw(client, "POST", V2, order())
    assert len(admin.truth()["open_orders"]) == 1


def test_a_trickling_body_outlasts_the_client(admin: Admin, client: SignedClient) -> None:
    admin.arm("http.body", match={"op": "status"}, params={"how": "trickle", "bytes_per_s": 20})
    url = client.base + "/exchange/status"
    started = time.monotonic()
    with requests.get(url, stream=True, timeout=2) as reply:
        first = next(reply.iter_content(4))
    assert first == b'{"ex'
    assert time.monotonic() - started >= 0.1


def test_a_huge_body_is_still_the_reply(admin: Admin, client: SignedClient) -> None:
    admin.arm("http.body", match={"op": "status"}, params={"how": "huge", "bytes": 200_000})
    reply = raw(client, "GET", "/exchange/status", None)
    assert len(reply.content) > 200_000
    assert reply.json()["trading_active"] is True


def test_the_reply_may_be_about_another_order(admin: Admin, client: SignedClient) -> None:
    sent = order()
    admin.arm("http.body", match={"op": "create"}, params={"how": "wrong_object"})
    reply = client.post(V2, sent)
    [truth] = admin.truth()["open_orders"]
    assert reply.status == 201
    assert reply.body["order_id"] != truth["order_id"]
    assert reply.body["client_order_id"] != sent["client_order_id"] == truth["client_order_id"]


@pytest.mark.parametrize(("how", "shown"), [("shuffle_items", [2, 1, 0]), ("omit_item", [0, 1])])
def test_batch_items_out_of_order_or_missing(
    admin: Admin, client: SignedClient, how: str, shown: list[int]
) -> None:
    items = [order(), order(), order()]
    admin.arm("http.body", match={"op": "batch_create"}, params={"how": how})
    reply = client.post(f"{V2}/batched", batch(*items))
    told = [row["client_order_id"] for row in reply.body["orders"]]
    assert told == [items[n]["client_order_id"] for n in shown]
    assert len(admin.truth()["open_orders"]) == 3


# ── the listening socket ────────────────────────────────────────────────────────────────────────


def connect(client: SignedClient, timeout_s: float = 0.5) -> bytes:
    """Open a connection to the trading port and return what it says by itself until it closes."""
    address = urlsplit(client.base)
    with socket.create_connection((address.hostname, address.port), timeout=timeout_s) as opened:
        return opened.recv(64)


def test_the_port_can_be_shut_in_four_ways_and_opens_again(admin: Admin, client: SignedClient) -> None:
    for how, seen in (("refused", ConnectionRefusedError), ("backlog", TimeoutError)):
        admin.arm("http.refuse", params={"how": how})
        with pytest.raises(seen):
            connect(client)
        admin.disarm()
        assert client.get("/exchange/status").status == 200
    for how, said in (("close", b""), ("tls", b"\x15\x03")):
        admin.arm("http.refuse", params={"how": how})
        assert connect(client)[:2] == said
        admin.disarm()
        assert client.get("/exchange/status").status == 200


@pytest.mark.parametrize("keep", [True, False])
def test_existing_connections_are_cut_unless_kept(admin: Admin, client: SignedClient, *, keep: bool) -> None:
    assert client.get("/exchange/status").status == 200
    admin.arm("http.refuse", params={"how": "refused", "keep": keep})
    if keep:
        assert client.get("/exchange/status").status == 200
    else:
        with pytest.raises(requests.ConnectionError):
            client.get("/exchange/status")
