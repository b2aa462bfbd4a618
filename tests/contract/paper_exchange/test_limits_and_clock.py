"""Budgets, the signature window and lagging reads, with the exchange's clock in the test's hand."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import Answer, SignedClient

V2 = "/portfolio/events/orders"
START = 1_800_000_000_000
MARKETS = (StaticMarket("KXA-1-ONE"), StaticMarket("KXC-1-SHARD", exchange_index=2))
_numbers = itertools.count()


class Bench:
    """A manual-clock exchange and a client that signs with that clock."""

    def __init__(self, server: PaperServer) -> None:
        self.server = server
        here = server.here
        self.client = SignedClient(here.rest_url, here.key_id, here.private_key_path)
        self.admin = Admin(here.admin_url, here.admin_token)

    def now_ms(self) -> int:
        return self.server.run(lambda venue: venue.now_ms())

    def wait(self, by_ms: int) -> None:
        self.admin.call("POST", "/clock", {"advance_ms": by_ms})

    def call(self, method: str, path: str, body: object = None, *, skew_ms: int = 0) -> Answer:
        at_ms = self.now_ms() + skew_ms
        headers = self.client.auth_headers(method, "/trade-api/v2" + path, at_ms=at_ms)
        return self.client.call(method, path, body, headers=headers)

    def order(self, **changes: Any) -> dict[str, Any]:
        return {
            "ticker": "KXA-1-ONE",
            "client_order_id": f"limit-{next(_numbers)}",
            "side": "bid",
            "count": "1",
            "price": "0.01",
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
            "exchange_index": 0,
            **changes,
        }


@pytest.fixture
def bench() -> Iterator[Bench]:
    options = LaunchOptions(profile="fast", tier="basic", manual_clock_ms=START)
    with PaperServer(options, StaticWorld(MARKETS).install) as server:
        made = Bench(server)
        yield made
        made.client.close()


TOO_MANY = (429, {"error": "too many requests"})


def test_basic_affords_ten_creates_and_the_eleventh_is_told_in_the_venues_words(bench: Bench) -> None:
    answers = [bench.call("POST", V2, bench.order()) for _ in range(11)]
    assert [answer.status for answer in answers] == [201] * 10 + [429]
    assert answers[-1][:2] == TOO_MANY
    assert not {"Retry-After", "X-RateLimit-Remaining"} & set(answers[-1].headers)
    bench.wait(99)
    assert bench.call("POST", V2, bench.order())[:2] == TOO_MANY
    bench.wait(1)
    assert bench.call("POST", V2, bench.order()).status == 201
    bench.wait(20)
    assert bench.call("DELETE", f"{V2}/{answers[0].body['order_id']}").status == 200
    assert bench.call("DELETE", f"{V2}/{answers[1].body['order_id']}").status == 429


def test_a_refused_client_id_is_not_spent_by_a_429(bench: Bench) -> None:
    orders = [bench.order() for _ in range(11)]
    assert [bench.call("POST", V2, order).status for order in orders][-1] == 429
    bench.wait(100)
    assert bench.call("POST", V2, orders[-1]).status == 201


def test_a_batch_must_fit_whole(bench: Bench) -> None:
    batch = {"orders": [bench.order() for _ in range(11)]}
    assert bench.call("POST", f"{V2}/batched", batch)[:2] == TOO_MANY
    ten = {"orders": batch["orders"][:10]}
    made = bench.call("POST", f"{V2}/batched", ten)
    assert made.status == 201
    bench.wait(200)
    cancels = {"orders": [{"order_id": reply["order_id"]} for reply in made.body["orders"]]}
    assert bench.call("DELETE", f"{V2}/batched", cancels).status == 200
    assert bench.call("POST", V2, bench.order()).status == 429


def test_each_shard_has_its_write_budget_and_auto_routing_bills_them_all(bench: Bench) -> None:
    on_two = [bench.call("POST", V2, bench.order(ticker="KXC-1-SHARD", exchange_index=2)) for _ in range(11)]
    assert [answer.status for answer in on_two] == [201] * 10 + [429]
    assert bench.call("POST", V2, bench.order()).status == 201
    routed = bench.order()
    del routed["exchange_index"]
    assert bench.call("POST", V2, routed).status == 429
    bench.wait(100)
    assert bench.call("POST", V2, routed).status == 201


def test_get_balance_has_one_call_a_second_and_spends_no_reads(bench: Bench) -> None:
    assert bench.call("GET", "/portfolio/balance").status == 200
    assert bench.call("GET", "/portfolio/balance")[:2] == TOO_MANY
    assert bench.call("GET", "/portfolio/orders").status == 200
    bench.wait(1_000)
    assert bench.call("GET", "/portfolio/balance").status == 200


@pytest.mark.parametrize(
    ("skew_ms", "status"), [(-15_000, 200), (-15_001, 401), (15_000, 200), (15_001, 401)]
)
def test_a_signature_is_good_for_15_seconds(bench: Bench, skew_ms: int, status: int) -> None:
    assert bench.call("GET", "/portfolio/orders", skew_ms=skew_ms).status == status


def test_a_captured_request_cannot_be_replayed_after_the_window(bench: Bench) -> None:
    headers = bench.client.auth_headers("GET", "/trade-api/v2/portfolio/orders", at_ms=bench.now_ms())
    assert bench.client.call("GET", "/portfolio/orders", headers=headers).status == 200
    bench.wait(15_001)
    refused = bench.client.call("GET", "/portfolio/orders", headers=headers)
    assert refused.body["error"]["code"] == "header_timestamp_expired"


def test_an_order_expires_when_its_time_comes(bench: Bench) -> None:
    made = bench.call("POST", V2, bench.order(expiration_time=START // 1_000 + 5)).body["order_id"]
    bench.wait(4_000)
    assert bench.call("GET", f"/portfolio/orders/{made}").body["order"]["status"] == "resting"
    bench.wait(1_000)
    assert bench.call("GET", f"/portfolio/orders/{made}").body["order"]["status"] == "canceled"


def test_real_reads_lag_and_say_how_far(bench: Bench) -> None:
    options = LaunchOptions(profile="real", tier="prestige", manual_clock_ms=START)
    with PaperServer(options, StaticWorld(MARKETS).install) as server:
        real = Bench(server)
        real.wait(5_000)
        made = real.call("POST", V2, real.order())
        applied_ms = made.body["ts_ms"]
        path = f"/portfolio/orders/{made.body['order_id']}"
        lagging = []
        for _ in range(12):
            as_of = server.run(lambda venue: venue.replica.as_of_ms(venue.now_ms()))
            visible = real.call("GET", path).status == 200
            assert visible == (as_of >= applied_ms)
            lagging.append(not visible)
            real.wait(100)
        assert 4 <= sum(lagging) <= 10
        assert lagging == sorted(lagging, reverse=True)
        real.client.close()
