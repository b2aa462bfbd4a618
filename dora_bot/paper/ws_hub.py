"""Who is subscribed to what, and the engine's events as frames for them.

Subscriptions are indexed by what an event is about (market, channel, account), so that an event costs only
as much as it has listeners. A message is encoded once per variant (prices of the NO side in YES or NO terms,
own order or another's) and shared by every subscriber of that variant.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from dora_bot.paper.events import (
    BookChanged,
    EngineEvent,
    EventCreated,
    EventFeeUpdated,
    FillMade,
    GroupEvent,
    LifecycleEvent,
    OrderChanged,
    PositionChanged,
    TickerChanged,
    TradePrinted,
)
from dora_bot.paper.specs import FillView, OrderView, PositionView
from dora_bot.paper.wire import Json
from dora_bot.paper.wire_account import fill_message, position_message, user_order_message
from dora_bot.paper.wire_frames import (
    delta_message,
    event_fee_message,
    event_message,
    group_message,
    lifecycle_message,
    ticker_message,
    trade_message,
)
from dora_bot.paper.ws_frames import encode

if TYPE_CHECKING:
    from dora_bot.paper.engine import Exchange

SEQUENCED = frozenset({"orderbook_delta", "trade", "market_lifecycle_v2", "order_group_updates"})
PRIVATE = frozenset({"fill", "user_orders", "market_positions", "order_group_updates"})
UNFILTERED = frozenset({"market_lifecycle_v2", "order_group_updates"})
CHANNELS = SEQUENCED | PRIVATE | {"ticker"}


class Sender(Protocol):
    """A connection, as the hub sees it."""

    @property
    def account(self) -> str: ...

    @property
    def subaccount(self) -> int | None:
        """The only subaccount its key may see; None for a key without such a lock."""
        ...

    def send(self, sub: "Subscription", kind: str, message: bytes, ticker: str = "") -> None: ...


class Subscription:
    """One sid of one connection. ``tickers`` None means every market; ``seq`` is the last number used."""

    __slots__ = (
        "account",
        "channel",
        "quiet_ack",
        "seq",
        "sequenced",
        "session",
        "sid",
        "tickers",
        "yes_price",
    )

    def __init__(self, session: Sender, sid: int, channel: str) -> None:
        self.session = session
        self.account = session.account
        self.sid = sid
        self.channel = channel
        self.sequenced = channel in SEQUENCED
        self.tickers: dict[str, None] | None = None
        self.yes_price = False
        self.quiet_ack = False
        self.seq = 0

    def owns(self, account: str, subaccount: int) -> bool:
        """Whether this is a private matter of the connection's key."""
        return account == self.account and self.session.subaccount in (None, subaccount)

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def data_seq(self) -> int:
        """The number of the next data frame, 0 on channels whose data is not numbered."""
        return self.next_seq() if self.sequenced else 0


Listeners = dict[Subscription, None]


class Hub:
    """The subscriptions of all connections."""

    def __init__(self, engine: "Exchange") -> None:
        self._engine = engine
        self._by_market: dict[tuple[str, str], Listeners] = defaultdict(dict)
        self._whole: dict[str, Listeners] = defaultdict(dict)

    def listen(self, sub: Subscription, tickers: Iterable[str] | None) -> None:
        """Start (or widen) a subscription; None takes it to every market, where it stays."""
        if tickers is None:
            self.ignore(sub, tuple(sub.tickers or ()))
            sub.tickers = None
            self._whole[sub.channel][sub] = None
        if sub in self._whole[sub.channel]:
            return
        if sub.tickers is None:
            sub.tickers = {}
        for ticker in tickers or ():
            sub.tickers[ticker] = None
            self._by_market[sub.channel, ticker][sub] = None

    def ignore(self, sub: Subscription, tickers: Iterable[str]) -> None:
        """Take markets out of a subscription."""
        for ticker in tickers:
            if sub.tickers is not None:
                sub.tickers.pop(ticker, None)
            self._by_market[sub.channel, ticker].pop(sub, None)

    def drop(self, sub: Subscription) -> None:
        """End a subscription."""
        self._whole[sub.channel].pop(sub, None)
        self.ignore(sub, tuple(sub.tickers or ()))

    def publish(self, events: Iterable[EngineEvent]) -> None:
        """Send every event to its listeners, in order."""
        for event in events:
            if isinstance(event, BookChanged):
                self._book_changed(event)
            elif isinstance(event, TickerChanged):
                self._to_market("ticker", "ticker", event.ticker, event)
            elif isinstance(event, TradePrinted):
                self._to_market("trade", "trade", event.ticker, event)
            else:
                self._rarer(event)

    def _rarer(self, event: EngineEvent) -> None:
        if isinstance(event, FillMade):
            self._to_owner("fill", "fill", event, event.fill)
        elif isinstance(event, OrderChanged):
            self._to_owner("user_orders", "user_order", event, event.order)
        elif isinstance(event, PositionChanged):
            self._to_owner("market_positions", "market_position", event, event.position)
        elif isinstance(event, GroupEvent):
            self._group_changed(event)
        elif isinstance(event, LifecycleEvent):
            market = self._engine.market(event.ticker)
            self._to_all("market_lifecycle_v2", lifecycle_message(event, market))
        elif isinstance(event, EventCreated):
            spec = next(e for e in self._engine.events() if e.ticker == event.event_ticker)
            series = next(s for s in self._engine.series() if s.ticker == spec.series_ticker)
            self._to_all("event_lifecycle", event_message(spec, series.exchange_index))
        elif isinstance(event, EventFeeUpdated):
            self._to_all("event_fee_update", event_fee_message(event))

    def _book_changed(self, event: BookChanged) -> None:
        variants: dict[tuple[bool, bool], bytes] = {}
        for sub in tuple(self._by_market.get(("orderbook_delta", event.ticker), ())):
            variant = (sub.yes_price, sub.owns(event.account, event.subaccount))
            message = variants.get(variant)
            if message is None:
                message = encode(delta_message(event, yes_price=variant[0], own=variant[1]))
                variants[variant] = message
            sub.session.send(sub, "orderbook_delta", message, event.ticker)

    def _to_market(self, channel: str, kind: str, ticker: str, event: TickerChanged | TradePrinted) -> None:
        listeners = (*self._whole.get(channel, ()), *self._by_market.get((channel, ticker), ()))
        if listeners:
            make = ticker_message if isinstance(event, TickerChanged) else trade_message
            message = encode(make(event))  # type: ignore[arg-type]  # both makers take their own event type
            for sub in listeners:
                sub.session.send(sub, kind, message, ticker)

    def _to_owner(
        self,
        channel: str,
        kind: str,
        event: FillMade | OrderChanged | PositionChanged,
        view: FillView | OrderView | PositionView,
    ) -> None:
        listeners = (*self._whole.get(channel, ()), *self._by_market.get((channel, view.ticker), ()))
        owners = [sub for sub in listeners if sub.owns(event.account, view.subaccount)]
        if owners:
            encoded = encode(_private_message(event.account, view))
            for sub in owners:
                sub.session.send(sub, kind, encoded, view.ticker)

    def _group_changed(self, event: GroupEvent) -> None:
        encoded = encode(group_message(event))
        for sub in tuple(self._whole.get("order_group_updates", ())):
            if sub.owns(event.account, event.subaccount):
                sub.session.send(sub, "order_group_updates", encoded)

    def _to_all(self, kind: str, message: Json) -> None:
        encoded = encode(message)
        for sub in tuple(self._whole.get("market_lifecycle_v2", ())):
            sub.session.send(sub, kind, encoded)


def _private_message(account: str, view: FillView | OrderView | PositionView) -> Json:
    if isinstance(view, FillView):
        return fill_message(view)
    return user_order_message(view) if isinstance(view, OrderView) else position_message(account, view)
