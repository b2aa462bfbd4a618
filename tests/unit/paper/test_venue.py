"""The order in which the venue applies and publishes: no listener is told a change twice."""

import json
from typing import Any

from dora_bot.models import Side
from dora_bot.paper.admin_actions import OPERATOR
from dora_bot.paper.auth import ApiKey, new_private_key
from dora_bot.paper.engine import Exchange
from dora_bot.paper.exchange_clock import ExchangeClock
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.testing import StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue, VenueOptions
from dora_bot.paper.ws_frames import Frame
from dora_bot.paper.ws_session import WsSession

START = 1_800_000_000_000
MARKET = StaticMarket("KXA-1-ONE")


def venue_with_a_market() -> Venue:
    engine = Exchange(1)
    venue = Venue(engine, ExchangeClock(manual_ms=START), VenueOptions(profile="fast"))
    engine.open_account(OPERATOR, house=True)
    venue.open_account("trader", {0: 100_000_000})
    StaticWorld([MARKET]).install(engine, START)
    venue.publish()
    return venue


def listener(venue: Venue) -> tuple[WsSession, list[dict[str, Any]]]:
    """A session whose frames are collected instead of sent."""
    got: list[dict[str, Any]] = []
    session = WsSession(venue, ApiKey("k", "trader", new_private_key("ed25519").public_key()), 1)

    def put(frame: Frame) -> None:
        got.append(json.loads(frame.body + b"}"))

    session.bind(put)
    return session, got


def subscribe(venue: Venue, session: WsSession) -> None:
    params = {"channels": ["orderbook_delta"], "market_tickers": [MARKET.ticker]}
    command = json.dumps({"id": 1, "cmd": "subscribe", "params": params})
    venue.applied(lambda _: session.receive(command))


def test_what_fell_due_before_a_snapshot_is_in_it_and_not_sent_again() -> None:
    venue = venue_with_a_market()
    order = OrderRequest(MARKET.ticker, Side.BID, 100, 100, expiration_ms=START + 5_000)
    venue.applied(lambda now_ms: venue.engine.create("trader", order, now_ms))
    session, got = listener(venue)
    venue.clock.advance(10_000)
    subscribe(venue, session)
    assert [frame["type"] for frame in got] == ["subscribed", "orderbook_snapshot"]
    assert got[1]["msg"]["yes_dollars_fp"] == [["0.4700", "100.00"]]


def test_a_change_after_the_snapshot_is_sent_once_with_a_later_clock() -> None:
    venue = venue_with_a_market()
    session, got = listener(venue)
    subscribe(venue, session)
    order = OrderRequest(MARKET.ticker, Side.BID, 100, 100)
    venue.applied(lambda now_ms: venue.engine.create("trader", order, now_ms))
    venue.applied(lambda _: None)
    assert [frame["type"] for frame in got[2:]] == ["orderbook_delta"]
    assert got[2]["msg"]["clock"] > got[1]["msg"]["clock"]


def test_a_finished_session_hears_nothing_more() -> None:
    venue = venue_with_a_market()
    session, got = listener(venue)
    subscribe(venue, session)
    session.close()
    order = OrderRequest(MARKET.ticker, Side.BID, 100, 100)
    venue.applied(lambda now_ms: venue.engine.create("trader", order, now_ms))
    assert len(got) == 2
