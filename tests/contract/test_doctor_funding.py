"""Cash on one shard buys nothing on another: doctor names the market whose shard has none."""

import os
from collections.abc import Iterator

import pytest

from dora_bot.config import Settings
from dora_bot.doctor import examine
from dora_bot.dynamo import Dynamo
from dora_bot.items import MARKET_CONFIG
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld

HERE, THERE = "KXFUND-26NOV20-A", "KXFUND-26NOV20-B"
ALL_OF_IT = -25_000_000_000


@pytest.fixture
def exchange() -> Iterator[PaperServer]:
    world = StaticWorld([StaticMarket(HERE), StaticMarket(THERE, exchange_index=2)])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as server:
        yield server


def funding(db: Dynamo, exchange: PaperServer) -> tuple[bool, str]:
    here = exchange.here
    settings = {
        **os.environ,
        "DORA_KALSHI_REST_URL": here.rest_url,
        "DORA_KALSHI_WS_URL": here.ws_url,
        "DORA_KALSHI_KEY_ID": here.key_id,
        "DORA_KALSHI_PRIVATE_KEY_PATH": str(here.private_key_path),
        "DORA_TABLE_PREFIX": db.prefix,
    }
    (found,) = [f for f in examine(Settings.from_environ(settings)) if f.check == "funding"]
    return found.ok, found.detail


@pytest.mark.parametrize("item", [THERE, "series#KXFUND-26NOV20S"])
def test_a_shard_without_cash_is_named_with_its_market(db: Dynamo, exchange: PaperServer, item: str) -> None:
    db.put(MARKET_CONFIG, {"market_id": HERE})
    assert funding(db, exchange) == (True, "every shard of 1 configured open markets holds cash")
    exchange.run(lambda v: v.engine.adjust_cash(TRADER, ALL_OF_IT, v.now_ms(), shard=2))
    exchange.run(lambda v: v.replica.record_money(v.now_ms()))
    assert funding(db, exchange)[0]
    db.put(MARKET_CONFIG, {"market_id": item})
    ok, said = funding(db, exchange)
    assert not ok
    assert f"first {THERE} on shard 2; move cash" in said
