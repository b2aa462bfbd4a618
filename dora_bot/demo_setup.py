"""What a person would do before `dora run`: create the tables and write one config item a market."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

import boto3

from dora_bot import kalshi_markets as replies
from dora_bot import kalshi_wire as wire
from dora_bot import wire_values as values
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.dynamo import Dynamo
from dora_bot.errors import ConfigError
from dora_bot.exchange_access import connect_client, load_signer
from dora_bot.items import MARKET_CONFIG, Item, price, timestamp
from dora_bot.tables import create_tables

QUOTE_SIZE: Final = Decimal(10)
MAX_INVENTORY: Final = Decimal(40)
MIN_SPREAD: Final = Decimal("0.02")
_TICKERS_PER_READ: Final = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """What the demo must know of a market: where it lives and its finest price step (0.0001 $)."""

    ticker: str
    exchange_index: int
    tick_e4: int


def make_tables(aws_environ: Mapping[str, str]) -> Dynamo:
    """Create the tables with their defaults, at the endpoint of the child's environment, not the person's own AWS."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=aws_environ["AWS_ENDPOINT_URL"],
        region_name=aws_environ["AWS_REGION"],
        aws_access_key_id=aws_environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws_environ["AWS_SECRET_ACCESS_KEY"],
    )
    db = Dynamo(client, Settings().table_prefix)
    create_tables(db, live=False)
    return db


def list_markets(environ: Mapping[str, str], tickers: Sequence[str]) -> list[Listed]:
    """Read the announced markets from the exchange. Raises `ExchangeError`.

    Without their events and series: the many reads for those would spend the budget that the starting bot needs.
    """
    settings, clock = Settings.from_environ(environ), SystemClock()
    client = connect_client(settings, load_signer(settings), clock)
    try:
        shapes: list[replies.MarketShape] = []
        for at in range(0, len(tickers), _TICKERS_PER_READ):
            some = ",".join(tickers[at : at + _TICKERS_PER_READ])
            shapes += replies.markets(client.read(wire.get_markets({"tickers": some})))[0]
    finally:
        client.close()
    return [Listed(s.ticker, s.exchange_index or 0, _finest_step(s)) for s in shapes]


def configure(db: Dynamo, markets: Sequence[Listed], *, one_tick: bool) -> None:
    """Write an item for every market. Raises `ConfigError` if there is none.

    ``one_tick`` is for tapes: quote any spread, however narrow, and the markets that open later as well (those
    of a recording roll every 15 minutes), by a template of their series.
    """
    if not markets:
        raise ConfigError("the paper exchange lists no market; give --markets of at least 1, or a --tape")
    now = timestamp(SystemClock().now().exchange_ms)
    items = [_item(market, now, one_tick=one_tick) for market in markets]
    if one_tick:
        series = {
            f"series#{market.ticker.partition('-')[0]}": item
            for market, item in zip(markets, items, strict=True)
        }
        items += [{**item, "market_id": name} for name, item in series.items()]
    db.batch_put(MARKET_CONFIG, items)


def busiest_shard(markets: Sequence[Listed]) -> int:
    """The shard with most of the markets: pausing it hurts most."""
    shards = [market.exchange_index for market in markets]
    return max(sorted(set(shards)), key=shards.count)


def _item(market: Listed, now: str, *, one_tick: bool) -> Item:
    return {
        "market_id": market.ticker,
        "enabled": True,
        "strategy": "spread",
        "max_inventory_yes": MAX_INVENTORY,
        "max_inventory_no": MAX_INVENTORY,
        "min_spread": price(market.tick_e4) if one_tick else MIN_SPREAD,
        "quote_size": QUOTE_SIZE,
        "inventory_skew_factor": Decimal("0.5"),
        "updated_at": now,
        "updated_by": "demo",
    }


def _finest_step(shape: replies.MarketShape) -> int:
    prices = values.grid(shape.price_ranges, "markets[].price_ranges").prices
    return min(high - low for low, high in pairwise(prices))
