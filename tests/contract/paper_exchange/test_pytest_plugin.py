"""The fixture `kalshi_exchange` as other authors use it: found by its entry point, one exchange a test, faults included."""

from pathlib import Path

import pytest

from dora_bot.clock import SystemClock
from dora_bot.errors import DoraError
from dora_bot.exchange_client import KalshiClient
from dora_bot.hosts import LOOPBACK
from dora_bot.http_transport import HttpTransport
from dora_bot.models import OutcomeKind, Place, Side
from dora_bot.paper.pytest_plugin import AdminRefused, KalshiExchange
from dora_bot.signing import Signer


def placed(exchange: KalshiExchange, name: str) -> OutcomeKind:
    """One bid of a client that knows nothing of the fixture but its address and key."""
    clock = SystemClock()
    signer = Signer(exchange.key_id, Path(exchange.private_key_path).read_bytes())
    client = KalshiClient(HttpTransport(exchange.rest_url, signer.headers, clock, LOOPBACK), clock)
    try:
        expiration_ms = clock.now().exchange_ms + 50_000
        ticker = exchange.tickers[0]
        shard = client.get_markets(tickers=[ticker])[0].exchange_index
        return client.place_order(Place(name, ticker, Side.BID, 100, 100, expiration_ms, shard)).kind
    finally:
        client.close()


@pytest.mark.kalshi_exchange(markets=1, seed=3)
def test_a_marked_test_gets_its_own_exchange_and_sees_its_truth(kalshi_exchange: KalshiExchange) -> None:
    assert len(kalshi_exchange.tickers) == 1
    assert placed(kalshi_exchange, "a") is OutcomeKind.ACCEPTED
    (order,) = kalshi_exchange.truth()["open_orders"]
    assert (order["client_order_id"], order["price"]) == ("a", "0.0100")
    kalshi_exchange.do("cancel_order", order_id=order["order_id"])
    assert kalshi_exchange.wait("open_orders==0") < 5
    assert any(entry["kind"] == "operator" for entry in kalshi_exchange.journal())


def test_a_fault_strikes_counts_and_ends(kalshi_exchange: KalshiExchange) -> None:
    fault = kalshi_exchange.arm(
        "http.drop_reply", {"op": "create"}, {"phase": "after_apply", "how": "reset"}, {"count": 1}
    )
    assert placed(kalshi_exchange, "a") is OutcomeKind.UNKNOWN
    assert kalshi_exchange.hits() == {fault: 1}
    assert len(kalshi_exchange.truth()["open_orders"]) == 1
    kalshi_exchange.disarm()
    assert kalshi_exchange.hits() == {}
    with pytest.raises(AdminRefused, match="400"):
        kalshi_exchange.arm("http.nonsense")


@pytest.mark.kalshi_exchange(plan={"seed": 1, "rates": {"http.status": 1.0}, "duration_s": 60})
def test_a_plan_is_in_force_from_the_first_call(kalshi_exchange: KalshiExchange) -> None:
    with pytest.raises(DoraError):
        placed(kalshi_exchange, "a")
    assert kalshi_exchange.plan()["keys"]
