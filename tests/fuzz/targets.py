"""What must hold for whatever bytes the exchange, or whoever stands in for it, may send. Each target raises if not.

A reader may answer with a model or with its declared error, nothing else; what a model carries has the limits that the
rest of the bot relies on: names that cannot be taken for a path, an expression or a format, and numbers that
fit the stores.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import msgspec

from dora_bot import config, config_edit, items, kalshi_frames, strategy
from dora_bot import kalshi_listings as listings
from dora_bot import kalshi_markets as markets
from dora_bot import kalshi_outcomes as outcomes
from dora_bot import kalshi_replies as replies
from dora_bot import wire_values as values
from dora_bot.ceilings import Ceilings
from dora_bot.errors import ConfigError, StoreError, WireError
from dora_bot.events import CatalogChanged, FeedUp
from dora_bot.feed_session import MAX_KINDS, FeedSession
from dora_bot.models import Amend, Cancel, Instant, OutcomeKind, Place, PriceGrid, Side
from dora_bot.state_manager import Restored, StateManager
from dora_bot.units import ONE_E4
from dora_bot.views import ConfigChanged, Decision
from tests.fakes.core import RUN, limits, market
from tests.fakes.core import config as plain_config
from tests.fakes.feed_server import FeedServer
from tests.fuzz.samples import T

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
NAMES = frozenset(
    {
        "ticker",
        "event_ticker",
        "series_ticker",
        "order_id",
        "trade_id",
        "client_order_id",
        "order_group_id",
        "group_id",
        "incentive_id",
    }
)
OPTIONAL = frozenset({"order_id", "client_order_id", "order_group_id", "event_ticker", "series_ticker"})
LONGEST = 400
NOW = Instant(1_000, 1_795_176_000_000)
TICKERS = (T, "KXT-B")
PLACE = Place("c-1", T, Side.BID, 4_700, 300, NOW.exchange_ms, 0)
AMEND = Amend("c-1", "o-1", T, Side.BID, 4_700, 300, NOW.exchange_ms, 0)
CANCEL = Cancel("c-1", "o-1", T, 0)

LIMITS = (
    b'{"usage_tier":"basic","read":{"refill_rate":1,"bucket_capacity":1},'
    b'"write":{"refill_rate":1,"bucket_capacity":1}}'
)


def _markets(body: bytes) -> list[Any]:
    """Markets are completed by their event and series; any of the three may be the spoilt one."""
    event = markets.EventShape("KXT", "KX")
    series = markets.SeriesShape("KX", "quadratic", Decimal(1))
    with suppress(WireError):
        event = markets.event(body)
    with suppress(WireError):
        series = markets.series(body)
    with suppress(WireError):
        event = next(iter(markets.events(body)), event)
    try:
        shapes = markets.markets(body)[0]
    except WireError:
        grid = [values.RangeShape("0.0000", "1.0000", "0.0100")]
        shapes = [markets.MarketShape(T, "KXT", "active", grid)]
    return [markets.market(shape, event, series) for shape in shapes]


READERS: tuple[Callable[[bytes], Any], ...] = (
    lambda body: replies.order_book(T, body),
    replies.order_books,
    replies.order,
    lambda body: replies.orders(body)[0],
    lambda body: replies.fills(body)[0],
    lambda body: replies.positions(body)[0],
    lambda body: replies.settlements(body)[0],
    replies.balance,
    replies.queue_positions,
    lambda body: markets.trades(body)[0],
    _markets,
    listings.exchange_status,
    listings.schedule,
    listings.user_data_timestamp,
    lambda body: listings.account_limits(body, b'{"default_cost":10}'),
    lambda body: listings.account_limits(LIMITS, body),
    listings.order_groups,
    listings.new_order_group,
    lambda body: listings.incentives(body)[0],
    listings.series_fee_changes,
    lambda body: listings.event_fee_changes(body)[0],
)


# ── targets ─────────────────────────────────────────────────────────────────────────────────────


def reply(data: bytes) -> None:
    for read in READERS:
        try:
            found = read(data)
        except WireError:
            continue
        check(found)


def write_reply(data: bytes) -> None:
    """Every reply to a write is one of four outcomes; only a 2xx about our own order is a success."""
    for status in (200, 201, 204, 400, 404, 409, 429, 500, 503):
        found = [
            outcomes.created(PLACE, status, data),
            outcomes.amended(AMEND, status, data),
            outcomes.cancelled(CANCEL, status, data),
            outcomes.decreased(CANCEL, status, data),
            *outcomes.batch_created([PLACE], status, data),
            *outcomes.batch_cancelled([CANCEL], status, data),
        ]
        for outcome in found:
            check(outcome)
            if outcome.kind is OutcomeKind.ACCEPTED and status >= 300:
                raise AssertionError(f"{status} was taken for a success")


def frame(data: bytes) -> None:
    try:
        kalshi_frames.decode(data)
    except WireError:
        kalshi_frames.envelope(data)


class Conversation:
    """A session with both books whole, the state behind it and the strategy behind that."""

    def __init__(self) -> None:
        self.session = FeedSession()
        self.session.opened(TICKERS, NOW.mono_ms)
        self.server = FeedServer(self.session)
        self.state = StateManager("b-", Restored({}, frozenset()))
        configs = tuple(plain_config(market_id=ticker, min_spread="0.01") for ticker in TICKERS)
        self.state.apply(ConfigChanged(configs, limits()), NOW)
        self._begin()

    def _begin(self) -> None:
        """What a connection begins with: the catalog, the subscriptions, and somebody who sells."""
        for event in (CatalogChanged(tuple(map(market, TICKERS))), FeedUp(1)):
            self.state.apply(event, NOW)
        self.answer()

    def redial(self) -> None:
        """A new connection, and the catalog read again; what the state has heard so far it keeps."""
        self.session.opened(TICKERS, NOW.mono_ms)
        self.server = FeedServer(self.session)
        self._begin()

    def answer(self) -> None:
        """The exchange answers whatever was asked, and where nobody sells any more somebody does again."""
        self.take(self.server.serve())
        for ticker, view in self.state.view(NOW).markets.items():
            if view.book.best_ask is None:
                ask = {"side": "no", "price_dollars": "0.5700", "delta_fp": "3.00"}
                self.take(self.server.say(self.server.delta(ticker, **ask)))

    def take(self, events: list[object]) -> None:
        for event in events:
            check(event)
            self.state.apply(event, NOW)

    def hear(self, data: bytes) -> None:
        self.take(self.session.receive(data, NOW.mono_ms))

    def quotes(self) -> dict[str, Decision]:
        """What the strategy wishes now, held against the book it wishes it on."""
        decided = {}
        for ticker, view in self.state.view(NOW).markets.items():
            decided[ticker] = decision = strategy.quote(view, RUN, view.config)
            bid, ask = view.book.best_bid, view.book.best_ask
            for quote in decision.quotes:
                if not view.book.proven or bid is None or ask is None:
                    raise AssertionError(f"a quote on an unproven book of {ticker}")
                inside = (
                    bid.price_e4 < quote.price_e4 if quote.side is Side.ASK else quote.price_e4 < ask.price_e4
                )
                if not (0 < quote.price_e4 < ONE_E4 and inside):
                    raise AssertionError(f"{quote} on {bid}/{ask}")
        return decided


def conversation(data: bytes) -> None:
    """Any lines of bytes as frames of a live session."""
    talk = Conversation()
    for line in data.split(b"\n")[:50]:
        talk.hear(line)
        talk.quotes()
        talk.session.commands()
    if len(talk.session.counts) > MAX_KINDS + 10:
        raise AssertionError("a sender chooses how much is counted")


def item(data: bytes) -> None:
    """Any JSON object as a config item or a stored item."""
    try:
        raw = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError):
        return
    if not isinstance(raw, dict):
        return
    for read in (config.market_config, config.global_config):
        with suppress(ConfigError):
            check(read(raw, Ceilings()))
    with suppress(ConfigError):
        config_edit.edited_market(T, None, raw, [], Ceilings())
    config_edit.changes_between(None, raw)
    for stored in (items.position_of, items.halt_of):
        with suppress(StoreError):
            stored(raw)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "reply": reply,
    "write_reply": write_reply,
    "frame": frame,
    "conversation": conversation,
    "item": item,
}


# ── what models may carry ───────────────────────────────────────────────────────────────────────


def check(found: object, name: str = "") -> None:
    """Raises `AssertionError` for a name or number that the rest of the bot was promised not to meet."""
    if isinstance(found, str):
        _check_text(found, name)
    elif isinstance(found, int) and not -(2**63) <= found < 2**63:
        raise AssertionError(f"{name} does not fit a store: {found}")
    else:
        for key, value in _parts(found):
            check(value, key or name)


def _check_text(text: str, name: str) -> None:
    if len(text) > LONGEST:
        raise AssertionError(f"{name} is {len(text)} characters long")
    climbs = name.endswith("ticker") and ".." in text
    if name in NAMES and (climbs or not NAME.fullmatch(text)) and not (name in OPTIONAL and not text):
        raise AssertionError(f"{name} is {text!r:.80}")


def _parts(found: object) -> Iterator[tuple[str, object]]:
    if isinstance(found, PriceGrid):
        return
    if is_dataclass(found) and not isinstance(found, type):
        yield from ((f.name, getattr(found, f.name)) for f in fields(found))
    elif isinstance(found, msgspec.Struct):
        yield from msgspec.structs.asdict(found).items()
    elif isinstance(found, tuple) and hasattr(found, "_fields"):
        yield from zip(found._fields, found, strict=True)
    elif isinstance(found, dict):
        yield from (("order_id", key) for key in found if isinstance(key, str))
        yield from (("", value) for value in found.values())
    elif isinstance(found, list | tuple | set | frozenset):
        yield from (("", value) for value in found)
