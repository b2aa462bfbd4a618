"""Flatten against the paper exchange: it closes, stays within its bound, and never opens a position."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.exchange_access import connect_client, connect_transport, load_signer
from dora_bot.exchange_client import KalshiClient
from dora_bot.flatten import Flattened, Flattener
from dora_bot.models import ExchangePosition, Level, Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld

A, B, THIN = "KXFLAT-26NOV20-A", "KXFLAT-26NOV20-B", "KXFLAT-26NOV20-C"
OURS = "dora-paper-"
CENTS_5 = 500


@pytest.fixture
def exchange() -> Iterator[PaperServer]:
    thin = StaticMarket(THIN, bids=(Level(4_700, 300), Level(3_000, 10_000)))
    world = StaticWorld([StaticMarket(A), StaticMarket(B, exchange_index=2), thin])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as server:
        yield server


@pytest.fixture
def settings(exchange: PaperServer) -> Settings:
    here = exchange.here
    return Settings.from_environ(
        {
            "DORA_KALSHI_REST_URL": here.rest_url,
            "DORA_KALSHI_WS_URL": here.ws_url,
            "DORA_KALSHI_KEY_ID": here.key_id,
            "DORA_KALSHI_PRIVATE_KEY_PATH": str(here.private_key_path),
        }
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[KalshiClient]:
    client = connect_client(settings, load_signer(settings), SystemClock())
    yield client
    client.close()


def create(exchange: PaperServer, ticker: str, side: Side, price_e4: int, count_e2: int, name: str) -> None:
    request = OrderRequest(ticker, side, price_e4, count_e2, client_order_id=name)
    exchange.run(lambda venue: venue.engine.create(TRADER, request, venue.now_ms()))


def held(exchange: PaperServer) -> dict[str, str]:
    told = exchange.run(lambda venue: venue.engine.truth(TRADER)["positions"])
    return {ticker: net for ticker, net in told.items() if float(net)}


def resting(exchange: PaperServer) -> set[str]:
    orders = exchange.run(lambda venue: venue.engine.truth(TRADER)["open_orders"])
    return {order["client_order_id"] for order in orders}


def flattener(client: KalshiClient, ticker: str = "", within_e4: int = CENTS_5) -> Flattener:
    return Flattener(client, SystemClock(), OURS, within_e4, ticker)


def test_long_and_short_are_closed_on_both_shards(exchange: PaperServer, client: KalshiClient) -> None:
    create(exchange, A, Side.BID, 5_200, 500, "long")
    create(exchange, B, Side.ASK, 4_700, 1_250, "short")
    assert held(exchange) == {A: "5.00", B: "-12.50"}
    assert flattener(client).close(5) == [Flattened(A, 500, 0), Flattened(B, -1_250, 0)]
    assert held(exchange) == {}
    assert flattener(client).close(5) == []


def test_one_market_is_closed_and_its_own_orders_go_first_and_nothing_else_does(
    exchange: PaperServer, client: KalshiClient
) -> None:
    create(exchange, A, Side.BID, 5_200, 500, "long")
    create(exchange, B, Side.BID, 5_200, 500, "other")
    for name, ticker in ((f"{OURS}1-1", A), (f"{OURS}1-2", B), ("by-hand", A)):
        create(exchange, ticker, Side.BID, 1_000, 100, name)
    flat = flattener(client, A)
    assert flat.withdraw(10) == 0
    assert resting(exchange) == {f"{OURS}1-2", "by-hand"}
    assert flat.close(5) == [Flattened(A, 500, 0)]
    assert held(exchange) == {B: "5.00"}


def test_what_is_not_bought_within_the_bound_is_left_and_said(
    exchange: PaperServer, client: KalshiClient
) -> None:
    create(exchange, THIN, Side.BID, 5_200, 500, "long")
    assert flattener(client, THIN).close(1) == [Flattened(THIN, 500, 200, "too little within 0.4200")]
    assert held(exchange) == {THIN: "2.00"}
    assert resting(exchange) == set()
    assert flattener(client, THIN, within_e4=4_000).close(5) == [Flattened(THIN, 200, 0)]


class Outdated(KalshiClient):
    """Its position read lags: it goes on telling of ten contracts, whatever is still held."""

    def get_positions(self) -> list[ExchangePosition]:
        return [ExchangePosition(A, 1_000)]


def test_an_outdated_position_read_opens_nothing(exchange: PaperServer, settings: Settings) -> None:
    create(exchange, A, Side.BID, 5_200, 300, "long")
    clock = SystemClock()
    with closing(connect_transport(settings, load_signer(settings), clock)) as transport:
        assert flattener(Outdated(transport, clock)).close(1)[0].left_e2 == 1_000
    assert held(exchange) == {}
