"""Every documented 2xx reply of the paper exchange validates against the venue's OpenAPI document."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from dora_bot.paper.routes import ENDPOINTS
from dora_bot.paper.testing import PaperServer
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.api_specs import OpenApi
from tests.fakes.signed_client import Answer, SignedClient

V2 = "/portfolio/events/orders"
_numbers = itertools.count()


def order(**changes: Any) -> dict[str, Any]:
    return {
        "ticker": "KXA-1-ONE",
        "client_order_id": f"schema-{next(_numbers)}",
        "side": "bid",
        "count": "1",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }


class Checked:
    """Calls that are validated as they are made; remembers which operations were seen."""

    def __init__(self, client: SignedClient, spec: OpenApi) -> None:
        self.client = client
        self.spec = spec
        self.seen: set[tuple[str, str]] = set()

    def call(self, method: str, path: str, body: object = None, **query: object) -> Answer:
        answer = self.client.call(method, path, body, query=query)
        assert 200 <= answer.status < 300, (method, path, answer)
        schema = self.spec.reply_schema(method, path, answer.status)
        self.seen.add((method, path))
        if schema is None:
            assert not answer.body
        else:
            assert self.spec.problems(schema, answer.body) == [], (method, path, answer.body)
        return answer


@pytest.fixture(scope="module")
def checked(client: SignedClient, shared: Path) -> Checked:
    return Checked(client, OpenApi(shared / "kalshi" / "openapi.yaml"))


def test_the_validator_finds_mistakes(checked: Checked) -> None:
    schema = checked.spec.reply_schema("GET", "/markets/KXA-1-ONE", 200)
    market = checked.client.get("/markets/KXA-1-ONE").body["market"]
    assert schema is not None
    del market["settlement_bounds_type"]
    market["yes_bid_dollars"] = 0.47
    assert len(checked.spec.problems(schema, {"market": market})) == 2


def test_order_life(checked: Checked) -> None:
    expiring = order(expiration_time=4_000_000_000, cancel_order_on_pause=True)
    made = checked.call("POST", V2, expiring).body["order_id"]
    checked.call(
        "POST", f"{V2}/{made}/amend", {"ticker": "KXA-1-ONE", "side": "bid", "price": "0.02", "count": "3"}
    )
    checked.call("POST", f"{V2}/{made}/decrease", {"reduce_to": "2"})
    checked.call("GET", f"/portfolio/orders/{made}")
    checked.call("GET", f"/portfolio/orders/{made}/queue_position")
    checked.call("GET", "/portfolio/orders/queue_positions", market_tickers="KXA-1-ONE")
    checked.call("DELETE", f"{V2}/{made}")
    for side, price in (("bid", "0.99"), ("ask", "0.01")):
        checked.call(
            "POST", V2, order(side=side, price=price, count="2.5", time_in_force="immediate_or_cancel")
        )
    batch = checked.call("POST", f"{V2}/batched", {"orders": [order(), order(price="0.015")]}).body["orders"]
    cancels = [{"order_id": batch[0]["order_id"]}, {"order_id": "no-such"}]
    checked.call("DELETE", f"{V2}/batched", {"orders": cancels})
    checked.call("DELETE", V2)


def test_groups(checked: Checked) -> None:
    made = checked.call("POST", "/portfolio/order_groups/create", {"contracts_limit": 10}).body[
        "order_group_id"
    ]
    checked.call("GET", "/portfolio/order_groups")
    checked.call("GET", f"/portfolio/order_groups/{made}")
    for verb in ("trigger", "reset"):
        checked.call("PUT", f"/portfolio/order_groups/{made}/{verb}", {})
    checked.call("PUT", f"/portfolio/order_groups/{made}/limit", {"contracts_limit_fp": "5.00"})
    checked.call("DELETE", f"/portfolio/order_groups/{made}")


def test_account(checked: Checked, server: PaperServer, admin: Admin) -> None:
    checked.client.post(V2, order(ticker="KXB-1-DECI", price="0.99", time_in_force="immediate_or_cancel"))
    admin.act("determine", ticker="KXB-1-DECI", result="yes")
    admin.act("settle", ticker="KXB-1-DECI")
    for path in (
        "/portfolio/orders",
        "/portfolio/fills",
        "/portfolio/settlements",
        "/portfolio/balance",
        "/portfolio/subaccounts/balances",
        "/account/limits",
        "/account/endpoint_costs",
    ):
        checked.call("GET", path)
    assert checked.call("GET", "/portfolio/positions", settlement_status="all").body["market_positions"]
    assert checked.call("GET", "/portfolio/settlements").body["settlements"][0]["market_result"] == "yes"
    assert checked.call("POST", "/portfolio/subaccounts", {}).body == {"subaccount_number": 1}
    transfer = {"client_transfer_id": "1", "from_subaccount": 0, "to_subaccount": 1, "amount_cents": 500}
    checked.call("POST", "/portfolio/subaccounts/transfer", transfer)
    assert checked.client.post("/portfolio/subaccounts/transfer", transfer).status == 409
    shards = {
        "source": "event_contract",
        "destination": "event_contract",
        "amount": 10_000,
        "source_exchange_shard": 0,
        "destination_exchange_shard": 2,
    }
    checked.call("POST", "/portfolio/intra_exchange_instance_transfer", shards)
    checked.call("POST", "/account/api_usage_level/upgrade", {})
    balances = checked.call("GET", "/portfolio/subaccounts/balances").body["subaccount_balances"]
    assert [row["balance"] for row in balances if row["subaccount_number"] == 1] == ["5.0000"]


def test_market_data(checked: Checked) -> None:
    now = (
        checked.client.post(V2, order(price="0.99", time_in_force="immediate_or_cancel")).body["ts_ms"]
        // 1_000
    )
    for path in (
        "/exchange/status",
        "/exchange/schedule",
        "/exchange/user_data_timestamp",
        "/series",
        "/series/KXA-1S",
        "/series/fee_changes",
        "/events",
        "/events/KXA-1",
        "/events/fee_changes",
        "/markets",
        "/markets/KXA-1-ONE",
        "/markets/KXA-1-TWO",
        "/markets/KXA-1-ONE/orderbook",
        "/markets/KXA-1-TWO/orderbook",
        "/markets/trades",
        "/incentive_programs",
        "/historical/cutoff",
    ):
        checked.call("GET", path)
    checked.call("GET", "/events", with_nested_markets="true")
    checked.call("GET", "/events/KXA-1", with_nested_markets="true")
    checked.call("GET", "/markets/orderbooks", tickers="KXA-1-ONE")
    window = {"start_ts": now - 3_600, "end_ts": now + 60, "period_interval": 1}
    single = "/series/KXA-1S/markets/KXA-1-ONE/candlesticks"
    assert checked.call("GET", single, **window).body["candlesticks"]
    checked.call("GET", "/markets/candlesticks", market_tickers="KXA-1-ONE,KXB-1-DECI", **window)


def test_the_two_order_book_spellings_of_several_tickers(client: SignedClient) -> None:
    repeated = client.get("/markets/orderbooks?tickers=KXA-1-ONE&tickers=KXC-1-SHARD").body["orderbooks"]
    assert [book["ticker"] for book in repeated] == ["KXA-1-ONE", "KXC-1-SHARD"]
    many = "&".join(f"tickers=T{n}" for n in range(101))
    assert client.get(f"/markets/orderbooks?{many}").status == 400


def test_older_sdks_get_their_field_in_compatibility_mode_only(
    server: PaperServer, client: SignedClient
) -> None:
    assert "liquidity_dollars" not in client.get("/markets/KXA-1-ONE").body["market"]
    server.run(lambda venue: setattr(venue, "compat", True))
    assert client.get("/markets/KXA-1-ONE").body["market"]["liquidity_dollars"] == "0.0000"
    server.run(lambda venue: setattr(venue, "compat", False))


def test_paging_visits_everything_once(client: SignedClient) -> None:
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        body = client.get("/markets", limit=3, cursor=cursor).body
        seen += [market["ticker"] for market in body["markets"]]
        cursor = body["cursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 4


def test_every_documented_endpoint_was_validated(checked: Checked) -> None:
    """The table of routes and the calls above must not drift apart."""
    documented = {
        (endpoint.method, re.sub(r"\{[^}]+\}", "{}", endpoint.pattern))
        for endpoint in ENDPOINTS
        if endpoint.method == "GET" or not endpoint.pattern.startswith("/portfolio/orders")
    }
    seen = {
        (method, re.sub(r"\{[^}]+\}", "{}", checked.spec.template(method, path)))
        for method, path in checked.seen
    }
    assert documented - seen == set()
