"""Limits, keys, markets, counterparties, strangers, drift and clocks as faults, seen at the wire."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from dora_bot.models import Level
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

V2 = "/portfolio/events/orders"
EVENT, ONE, TWO = "KXV-1", "KXV-1-ONE", "KXV-1-TWO"
DEEP = tuple(Level(4_700 - 100 * n, 1_000) for n in range(5))
HIGH = tuple(Level(5_200 + 100 * n, 1_000) for n in range(5))
_numbers = itertools.count()


@pytest.fixture
def server() -> Iterator[PaperServer]:
    """A fresh one for each test: these faults change the exchange for good."""
    world = StaticWorld([StaticMarket(ONE, bids=DEEP, asks=HIGH), StaticMarket(TWO)])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as running:
        yield running


@pytest.fixture
def client(server: PaperServer) -> Iterator[SignedClient]:
    made = SignedClient(server.here.rest_url, server.here.key_id, server.here.private_key_path)
    yield made
    made.close()


@pytest.fixture
def admin(server: PaperServer) -> Admin:
    return Admin(server.here.admin_url, server.here.admin_token)


def order(**changes: Any) -> dict[str, Any]:
    return {
        "ticker": ONE,
        "client_order_id": f"venue-{next(_numbers)}",
        "side": "bid",
        "count": "2",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }


# ── limits and keys ─────────────────────────────────────────────────────────────────────────────


def test_a_bucket_is_smaller_until_disarmed(admin: Admin, client: SignedClient) -> None:
    admin.arm("rate.bucket", params={"bucket": "read", "capacity": 10, "refill": 1})
    assert [client.get("/portfolio/fills").status for _ in range(2)] == [200, 429]
    admin.disarm()
    assert client.get("/portfolio/fills").status == 200


def test_a_bucket_is_empty_for_a_while_and_the_exchange_time_gives_it_back(
    admin: Admin, client: SignedClient
) -> None:
    admin.arm("rate.bucket", params={"bucket": "read", "level": 0, "refill": 0}, when={"until_ms": 60_000})
    assert client.get("/portfolio/fills").status == 429
    admin.call("POST", "/clock", {"offset_ms": 60_001})
    admin.arm("auth.window", params={"back_ms": 10**9})
    assert client.get("/portfolio/fills").status == 200


def test_calls_are_denied_by_bucket_and_share(admin: Admin, client: SignedClient) -> None:
    admin.arm("rate.deny", params={"bucket": "write", "for_ms": 10_000})
    answer = client.post(V2, order())
    assert (answer.status, answer.body) == (429, {"error": "too many requests"})
    assert "Retry-After" not in answer.headers
    assert client.get("/portfolio/orders").status == 200
    assert client.post(V2, order(exchange_index=1)).status != 429
    admin.disarm()
    admin.arm("rate.deny", params={"share": 0.5})
    statuses = [client.get("/portfolio/fills").status for _ in range(30)]
    assert 3 < statuses.count(429) < 27


def test_another_signature_window(admin: Admin, client: SignedClient) -> None:
    path = "/portfolio/fills"

    def aged(by_ms: int) -> int:
        stamp = time.time_ns() // 1_000_000 - by_ms
        return client.call(
            "GET", path, headers=client.auth_headers("GET", "/trade-api/v2" + path, at_ms=stamp)
        ).status

    assert aged(5_000) == 200
    admin.arm("auth.window", params={"back_ms": 1_000, "ahead_ms": 60_000})
    assert (aged(5_000), aged(-30_000)) == (401, 200)
    admin.disarm()
    assert (aged(5_000), aged(-30_000)) == (200, 401)


@pytest.mark.parametrize(
    ("params", "read", "write"),
    [
        ({"how": "unknown"}, 401, 401),
        ({"how": "scopes", "scopes": ["read"]}, 200, 403),
        ({"how": "lock", "subaccount": 3}, 200, 403),
    ],
)
def test_a_key_is_restricted_until_disarmed(
    admin: Admin, client: SignedClient, params: dict[str, Any], read: int, write: int
) -> None:
    admin.arm("auth.key", params=params)
    assert client.get("/portfolio/fills").status == read
    assert client.post(V2, order()).status == write
    admin.disarm()
    assert client.post(V2, order()).status == 201


def test_a_revoked_key_stays_revoked(admin: Admin, client: SignedClient) -> None:
    admin.arm("auth.key", params={"how": "revoke", "key_id": client.key_id})
    admin.disarm()
    answer = client.get("/portfolio/fills")
    assert (answer.status, answer.body["error"]["details"]) == (401, "NOT_FOUND")


# ── markets ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "create", "cancel"),
    [("mkt.pause", "trading_is_paused", 200), ("mkt.exchange_pause", "exchange_is_paused", 409)],
)
@pytest.mark.parametrize("keep", [True, False])
def test_pauses(
    admin: Admin, client: SignedClient, kind: str, create: str, cancel: int, *, keep: bool
) -> None:
    stays = client.post(V2, order()).body["order_id"]
    goes = client.post(V2, order(cancel_order_on_pause=True)).body["order_id"]
    admin.arm(kind, params={"keep_orders": keep})
    resting = [row["order_id"] for row in admin.truth()["open_orders"]]
    assert resting == ([stays, goes] if keep else [stays])
    assert client.post(V2, order()).body["error"]["code"] == create
    assert client.delete(f"{V2}/{stays}").status == cancel
    admin.arm(kind, params={"on": False})
    assert client.post(V2, order()).status == 201


def test_a_market_lives_by_faults(admin: Admin, client: SignedClient) -> None:
    client.post(V2, order(price="0.99", time_in_force="immediate_or_cancel"))
    for params, status in (
        ({"to": "deactivate"}, "inactive"),
        ({"to": "activate"}, "active"),
        ({"to": "close_at", "in_ms": 0}, "closed"),
        ({"to": "determine", "result": "yes"}, "determined"),
        ({"to": "dispute"}, "disputed"),
        ({"to": "amend_result", "result": "scalar", "value": "0.5"}, "amended"),
        ({"to": "settle"}, "finalized"),
    ):
        admin.arm("mkt.state", params={"ticker": ONE, **params})
        assert client.get(f"/markets/{ONE}").body["market"]["status"] == status
    assert admin.truth()["settlements"][0]["value"] == "0.5000"


def test_a_market_action_may_wait_for_its_time_and_its_condition(admin: Admin, client: SignedClient) -> None:
    admin.arm(
        "mkt.state",
        params={"ticker": ONE, "to": "deactivate"},
        when={"from_ms": 5_000, "while": "open_orders>=1"},
    )

    def status() -> str:
        return str(client.get(f"/markets/{ONE}").body["market"]["status"])

    admin.call("POST", "/clock", {"offset_ms": 6_000})
    assert status() == "active"
    client.post(V2, order())
    admin.call("POST", "/clock", {"offset_ms": 200})
    assert status() == "inactive"


def test_rules_change(admin: Admin, client: SignedClient, connect: Callable[[], WsClient]) -> None:
    ws = connect()
    ws.subscribe("market_lifecycle_v2")
    admin.arm("mkt.rules", params={"ticker": ONE, "structure": "deci_cent"})
    assert ws.frame()["msg"]["price_level_structure"] == "deci_cent"
    assert client.post(V2, order(price="0.015")).status == 201
    admin.arm("mkt.rules", params={"fees_of": EVENT, "fee_type": "flat", "multiplier": "2"})
    assert ws.frame()["msg"]["fee_type_override"] == "flat"


def test_what_cannot_be_done_is_refused_and_not_armed(admin: Admin) -> None:
    status, reply = admin.call("POST", "/faults", {"kind": "mkt.state", "params": {"to": "settle"}})
    assert (status, reply["error"]) == (400, "missing or unknown: ticker")
    status, _ = admin.call(
        "POST", "/faults", {"kind": "mkt.state", "params": {"to": "settle", "ticker": ONE}}
    )
    assert status == 409
    assert admin.call("GET", "/faults")[1] == {"faults": []}


def test_what_cannot_be_done_later_is_journalled(admin: Admin) -> None:
    fault = admin.arm("mkt.state", params={"to": "settle", "ticker": ONE}, when={"from_ms": 1_000})
    admin.call("POST", "/clock", {"offset_ms": 2_000})
    [refused] = [entry for entry in admin.journal() if entry["kind"] == "fault_refused"]
    assert refused["fault_id"] == fault
    assert client_is_served(admin)


def client_is_served(admin: Admin) -> bool:
    """Whether the exchange still runs."""
    return admin.call("GET", "/truth")[0] == 200


# ── counterparties and strangers ────────────────────────────────────────────────────────────────


def volume(client: SignedClient, ticker: str = ONE) -> float:
    return float(client.get(f"/markets/{ticker}").body["market"]["volume_fp"])


def best_ask(client: SignedClient) -> str:
    return str(client.get(f"/markets/{ONE}").body["market"]["yes_ask_dollars"])


def test_takers_come_at_a_rate(admin: Admin, client: SignedClient) -> None:
    admin.arm("flow.taker", params={"ticker": ONE, "rate": 2.0, "size": 0.5})
    admin.call("POST", "/clock", {"offset_ms": 10_000})
    assert 5 <= volume(client) <= 20
    admin.disarm()
    before = volume(client)
    admin.call("POST", "/clock", {"offset_ms": 10_000})
    assert volume(client) == before


def test_a_sweeper_takes_levels(admin: Admin, client: SignedClient) -> None:
    admin.arm("flow.sweeper", params={"ticker": ONE, "side": "bid", "levels": 3}, when={"count": 1})
    assert (best_ask(client), volume(client)) == ("0.5500", 30.0)


def test_the_informed_take_our_quote_and_move_the_book(admin: Admin, client: SignedClient) -> None:
    client.post(V2, order(side="ask", price="0.53", count="4"))
    admin.arm("flow.informed", params={"ticker": ONE, "side": "bid", "levels": 3}, when={"count": 1})
    assert admin.truth()["positions"] == {ONE: "-4.00"}
    assert best_ask(client) == "0.5500"


def test_a_chaser_trades_before_our_cancel(admin: Admin, client: SignedClient) -> None:
    mine = client.post(V2, order(price="0.48")).body["order_id"]
    admin.arm("flow.cancel_chaser", params={"size": 1})
    assert client.delete(f"{V2}/{mine}").body["reduced_by"] == "1.00"
    assert admin.truth()["positions"] == {ONE: "1.00"}


def test_the_world_can_be_quiet_and_wakes_without_catching_up(tmp_path: Path) -> None:
    with PaperServer(LaunchOptions(profile="fast", markets=2, manual_clock_ms=1_800_000_000_000)) as server:
        admin = Admin(server.here.admin_url, server.here.admin_token)

        def books() -> Any:
            return admin.truth()["books"]

        def changes(ms: int) -> int:
            before = books()
            admin.call("POST", "/clock", {"advance_ms": ms})
            after = books()
            return sum(after[ticker] != before[ticker] for ticker in before)

        assert changes(20_000) > 0
        admin.arm("flow.quiet")
        assert changes(60_000) == 0
        admin.disarm()
        assert changes(1) == 0
        assert changes(20_000) > 0


def test_strangers_on_the_account(admin: Admin, client: SignedClient) -> None:
    cash = float(admin.truth()["cash"])
    common = {"ticker": ONE, "side": "bid", "count": "1"}
    admin.arm("acct.foreign", params={"what": "order", "price": "0.02", **common})
    assert [row["price"] for row in admin.truth()["open_orders"]] == ["0.0200"]
    admin.arm("acct.foreign", params={"what": "fill", "price": "0.52", **common})
    assert client.get("/portfolio/fills").body["fills"][0]["count_fp"] == "1.00"
    admin.arm("acct.foreign", params={"what": "cash", "amount": "-100"})
    assert float(admin.truth()["cash"]) < cash - 100


# ── drift and clocks ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("drift.enum", {"field": "status", "value": "frobbed"}, {"status": "frobbed"}),
        ("drift.extra", {"field": "novelty", "value": [1]}, {"novelty": [1]}),
        ("drift.missing", {"field": "close_time"}, {"close_time": None}),
        ("drift.number", {"field": "yes_bid_dollars"}, {"yes_bid_dollars": 0.47}),
    ],
)
def test_replies_drift(
    admin: Admin, client: SignedClient, kind: str, params: dict[str, Any], expected: dict[str, Any]
) -> None:
    admin.arm(kind, match={"ticker": ONE}, params=params)
    market = client.get(f"/markets/{ONE}").body["market"]
    assert {name: market.get(name) for name in expected} == expected


def test_an_endpoint_is_gone(admin: Admin, client: SignedClient) -> None:
    admin.arm("drift.gone", match={"path": "*/events/orders"})
    assert client.post(V2, order()).status == 410
    assert client.get("/portfolio/orders").status == 200


def test_clocks(admin: Admin, client: SignedClient) -> None:
    def now_ms() -> int:
        return int(admin.truth()["exchange_time"])

    started = now_ms()
    admin.arm("clock.step", params={"ms": 10_000})
    stepped = now_ms()
    assert stepped - started >= 10_000
    fault = admin.arm("clock.offset", params={"ms": 40_000})
    assert now_ms() - stepped >= 40_000
    assert client.get("/portfolio/fills").body["error"]["code"] == "header_timestamp_expired"
    admin.call("DELETE", f"/faults/{fault}")
    admin.arm("clock.rate", params={"rate": 100.0})
    admin.call("POST", "/barrier", {"condition": f"now_ms>{stepped + 60_000}", "timeout_ms": 5_000})
    assert now_ms() > stepped + 60_000


def test_without_a_token_no_plan(admin: Admin) -> None:
    assert requests.get(f"{admin.url}/admin/v1/plan", timeout=5).status_code == 401
