"""The kill path's connection is its own: it answers while every one of the trading connections hangs."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from dora_bot import kalshi_wire as wire
from dora_bot.bootstrap import Base
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.errors import DoraError
from dora_bot.exchange_access import connect_client, load_signer
from dora_bot.http_transport import Call, Reply
from dora_bot.paper.pytest_plugin import KalshiExchange

CONNECTIONS = 8
UNUSED: Any = None
"""What `Base` holds for others than its connections."""


@pytest.fixture
def base(kalshi_exchange: KalshiExchange) -> Iterator[Base]:
    """What a start builds its connections from, with one client open."""
    settings = Settings.from_environ(
        {
            "DORA_KALSHI_REST_URL": kalshi_exchange.rest_url,
            "DORA_KALSHI_WS_URL": kalshi_exchange.ws_url,
            "DORA_KALSHI_KEY_ID": kalshi_exchange.key_id,
            "DORA_KALSHI_PRIVATE_KEY_PATH": kalshi_exchange.private_key_path,
        }
    )
    signer, clock = load_signer(settings), SystemClock()
    with ExitStack() as stack:
        client = connect_client(settings, signer, clock)
        stack.callback(client.close)
        yield Base(
            settings=settings,
            signer=signer,
            clock=clock,
            stack=stack,
            client=client,
            ceilings=UNUSED,
            state_dir=UNUSED,
            limits=UNUSED,
            db=UNUSED,
            journal=UNUSED,
            lease=UNUSED,
            telemetry=UNUSED,
            halts=UNUSED,
            inbox=UNUSED,
        )


@pytest.mark.kalshi_exchange(markets=1)
def test_the_kill_path_calls_while_every_trading_connection_hangs(
    base: Base, kalshi_exchange: KalshiExchange
) -> None:
    fault = kalshi_exchange.arm("http.drop_reply", {"op": "status"}, {"how": "hang"})
    with ThreadPoolExecutor(1) as beside:
        trading = beside.submit(base.client.read_all, [wire.EXCHANGE_STATUS] * 2 * CONNECTIONS)
        give_up = time.monotonic() + 10
        while kalshi_exchange.hits()[fault] < CONNECTIONS:
            assert time.monotonic() < give_up
        (answer,) = base.new_transport().call_all([Call("GET", "/portfolio/orders?status=resting")])
        assert isinstance(answer, Reply)
        assert not trading.done()
        with pytest.raises(DoraError):
            trading.result()
