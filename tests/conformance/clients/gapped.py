"""A feed with kalshi-sdk 22.4.0 through a lost frame: it must notice, resubscribe and get a fresh book."""

import asyncio
import json

from kalshi import KalshiAuth, KalshiConfig
from kalshi.ws.client import KalshiWebSocket

from tests.conformance.clients.common import Where, where

BOOKS = 2
"""The book of the subscription and the one after the gap."""


async def read_until_resynced(place: Where) -> list[tuple[str, int, int]]:
    """Kind, sid and number of every frame up to the second book and one change of it."""
    config = KalshiConfig(base_url=place.rest_url, ws_base_url=place.ws_url, max_retries=0)
    auth = KalshiAuth.from_key_path(place.key_id, place.private_key_path)
    frames: list[tuple[str, int, int]] = []
    async with KalshiWebSocket(auth=auth, config=config).connect() as session:
        async for message in await session.subscribe_orderbook_delta(tickers=[place.ticker]):
            frames.append((message.type, message.sid, message.seq))
            books = sum(kind == "orderbook_snapshot" for kind, _, _ in frames)
            if books == BOOKS and message.type == "orderbook_delta":
                break
    return frames


if __name__ == "__main__":
    print(json.dumps({"frames": asyncio.run(asyncio.wait_for(read_until_resynced(where()), 60))}))  # noqa: T201  (the report is this program's output)
