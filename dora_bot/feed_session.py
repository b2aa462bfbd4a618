"""One WebSocket connection's conversation, without the socket: bytes in, events out, commands to send.

Sequence numbers count per subscription (``sid``) over all its markets, and the exchange's ``ok``,
``unsubscribed`` and scoped ``error`` frames use them up too. A number that is not the next one means that any
market of that subscription may be wrong: all are lost and asked for again. Nothing here reads a clock; callers
pass monotonic milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dora_bot import kalshi_events as events
from dora_bot import kalshi_frames as frames
from dora_bot import wire_values as values
from dora_bot.errors import WireError
from dora_bot.events import BookLost, BookSnapshot
from dora_bot.kalshi_frames import Frame, OtherFrame

BOOK = "orderbook_delta"
MARKET_CHANNELS = (BOOK, "ticker", "trade")
ACCOUNT_CHANNELS = ("fill", "user_orders", "market_positions", "order_group_updates", "market_lifecycle_v2")
SEQUENCED = frozenset({BOOK, "trade", "market_lifecycle_v2", "order_group_updates"})
TICKERS_PER_COMMAND = 100
ANSWER_MS = 3_000
"""A snapshot or subscription not answered within this time is asked for again."""
MAX_TRIES = 3
MAX_KINDS = 64
"""Kinds of frames told apart in `FeedSession.counts`."""
_TERMINAL = frozenset({10, 25})
_SNAPSHOT = "get_snapshot"


@dataclass(slots=True)
class _Subscription:
    channel: str
    seq: int = 0
    last: bytes = b""
    tickers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Asked:
    """A command that is waiting for its answer."""

    channel: str
    tickers: set[str]
    since_ms: int
    audit: bool = False


class FeedSession:
    """Used by one thread. `broken` says why the connection must be replaced, empty while it serves."""

    def __init__(self, *, yes_priced: bool = True, subaccount: int = 0) -> None:
        self.broken = ""
        self.frames = 0
        self.counts: Counter[str] = Counter()
        self.sent_ms = 0
        """The exchange's own stamp on the newest frame, 0 before the first."""
        self._yes_priced = yes_priced
        self._next_id = 0
        self._outgoing: list[bytes] = []
        self._wanted: frozenset[str] = frozenset()
        self._subscriptions: dict[int, _Subscription] = {}
        self._asked: dict[int, _Asked] = {}
        self._awaiting: dict[str, int] = {}
        self._whole: set[str] = set()
        """Markets that had their snapshot and lost nothing since; only their deltas are passed on."""
        self._tries: Counter[str] = Counter()
        self._handlers: dict[type, Callable[..., list[object]]] = {
            frames.DeltaFrame: self._on_delta,
            frames.SnapshotFrame: self._on_snapshot,
            frames.TradeFrame: lambda frame, _now: [events.public_trade(frame.msg)],
            frames.LifecycleFrame: self._on_lifecycle,
            frames.FeeFrame: lambda frame, _now: [events.fees_announced(frame.msg, frame.sending_ts_ms)],
            frames.GroupFrame: lambda frame, _now: [events.group_seen(frame.msg)],
            frames.TickerFrame: lambda frame, _now: [events.ticker_seen(frame.msg)],
            frames.FillFrame: lambda frame, _now: events.account_seen(frame, subaccount),
            frames.OrderFrame: lambda frame, _now: events.account_seen(frame, subaccount),
            frames.PositionFrame: lambda frame, _now: events.account_seen(frame, subaccount),
            frames.SubscribedFrame: self._on_subscribed,
            frames.UnsubscribedFrame: self._on_unsubscribed,
            frames.OkFrame: lambda _frame, _now: [],
            frames.ErrorFrame: self._on_error,
        }

    # ── what the feed wants ─────────────────────────────────────────────────────────────────────

    def opened(self, tickers: Iterable[str], now_ms: int) -> None:
        """A fresh connection: forget the old one and subscribe to everything."""
        self.broken = ""
        self.sent_ms = 0
        self._outgoing.clear()
        self._subscriptions.clear()
        self._asked.clear()
        self._awaiting.clear()
        self._whole.clear()
        self._tries.clear()
        self._wanted = frozenset(tickers)
        for channel in ACCOUNT_CHANNELS:
            self._subscribe(channel, (), now_ms)
        self._fit(now_ms)

    def watch(self, tickers: frozenset[str], now_ms: int) -> list[object]:
        """Change the set of markets. Books of markets left out are lost, since nobody keeps them any more."""
        dropped = self._wanted - tickers
        self._wanted = tickers
        self._whole -= dropped
        for ticker in dropped:
            self._awaiting.pop(ticker, None)
        self._fit(now_ms)
        return [BookLost(tuple(sorted(dropped)), "no longer watched")] if dropped else []

    def resync(self, tickers: Iterable[str], reason: str, now_ms: int) -> list[object]:
        """These books are wrong or in doubt: lose them and ask for snapshots."""
        lost = sorted(self._wanted.intersection(tickers))
        if not lost:
            return []
        fresh = [ticker for ticker in lost if ticker not in self._awaiting]
        self._await(fresh, now_ms)
        self._snapshots(fresh, now_ms, audit=False)
        return [BookLost(tuple(lost), reason)]

    def audit(self, now_ms: int) -> None:
        """Ask for a snapshot of every book that is not being asked for already, to compare at its own seq."""
        self._snapshots(sorted(self._wanted - self._awaiting.keys()), now_ms, audit=True)

    def commands(self) -> list[bytes]:
        """What to send now, in order; each is handed out once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    @property
    def wanted(self) -> frozenset[str]:
        return self._wanted

    @property
    def quiet(self) -> bool:
        """Everything asked for has been answered."""
        return not self._asked and not self._awaiting

    # ── what arrives ────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, now_ms: int) -> list[object]:
        """The events of one frame, in order. Never raises for what the frame says."""
        self.frames += 1
        found: list[object] = []
        try:
            frame = frames.decode(data)
            if type(frame) is frames.DeltaFrame:
                subscription = self._subscriptions.get(frame.sid)
                msg = frame.msg
                # The hot path: the next delta of a book that is whole.
                if subscription and frame.seq == subscription.seq + 1 and msg.market_ticker in self._whole:
                    subscription.seq, subscription.last = frame.seq, data
                    self.sent_ms = frame.sending_ts_ms or msg.ts_ms
                    found.append(events.book_delta(msg, self._yes_priced))
                    return found
            found += self._take(frame, data, now_ms)
        except WireError as error:
            found += self._on_malformed(data, str(error), now_ms)
        return found

    def _take(self, frame: Frame | OtherFrame, data: bytes, now_ms: int) -> list[object]:
        subscription = self._sequenced(frame)
        found: list[object] = []
        if subscription is not None:
            if self._duplicate(subscription, frame.seq, data):
                return found
            found = self._count(subscription, frame.seq, data, now_ms)
        self.sent_ms = frame.sending_ts_ms or self.sent_ms
        if type(frame) is frames.OtherFrame:
            return found + self._on_other(frame.type[:40], subscription, data, now_ms)
        try:
            return found + self._handlers[type(frame)](frame, now_ms)
        except WireError as error:
            return found + self._on_malformed(data, str(error), now_ms)

    def poll(self, now_ms: int) -> list[object]:
        """Ask again for what was not answered in time. The connection is given up when no market answers at all."""
        found: list[object] = []
        for command_id, asked in list(self._asked.items()):
            if now_ms - asked.since_ms < ANSWER_MS:
                continue
            del self._asked[command_id]
            if asked.audit:
                found += self.resync(asked.tickers, "the audit snapshot did not come", now_ms)
            elif asked.channel != _SNAPSHOT:
                self.broken = f"no answer to the subscription of {asked.channel}"
        overdue = [ticker for ticker, since in self._awaiting.items() if now_ms - since >= ANSWER_MS]
        for ticker in overdue:
            self._awaiting[ticker] = now_ms
            self._tries[ticker] += 1
        if self._wanted and all(self._tries[ticker] >= MAX_TRIES for ticker in self._wanted):
            self.broken = f"no snapshot of any market after {MAX_TRIES} requests"
        self._snapshots(overdue, now_ms, audit=False)
        return found

    def _on_delta(self, frame: frames.DeltaFrame, _now_ms: int) -> list[object]:
        """A delta that the hot path left over: after a gap, of a book in doubt, or of nobody's."""
        values.ticker(frame.msg.market_ticker, "market_ticker")  # a damaged name hides whose delta was lost
        if frame.msg.market_ticker not in self._whole or frame.sid not in self._subscriptions:
            self.counts["early"] += 1
            return []
        return [events.book_delta(frame.msg, self._yes_priced)]

    def _on_snapshot(self, frame: frames.SnapshotFrame, _now_ms: int) -> list[object]:
        ticker = values.ticker(frame.msg.market_ticker, "market_ticker")
        asked = self._asked.get(frame.id)
        if asked is not None:
            asked.tickers.discard(ticker)
            if not asked.tickers:
                del self._asked[frame.id]
        if ticker not in self._wanted or frame.sid not in self._subscriptions:
            self.counts["stray"] += 1
            return []
        bids = events.ladder(frame.msg.yes_dollars_fp, "yes_dollars_fp", mirror=False)
        asks = events.ladder(frame.msg.no_dollars_fp, "no_dollars_fp", mirror=not self._yes_priced)
        audit = asked is not None and asked.audit and ticker not in self._awaiting
        self._awaiting.pop(ticker, None)
        self._tries.pop(ticker, None)
        self._whole.add(ticker)
        self.counts["audits" if audit else "snapshots"] += 1
        return [BookSnapshot(ticker, bids, asks, frame.sid, frame.seq, audit=audit)]

    def _on_lifecycle(self, frame: frames.LifecycleFrame, _now_ms: int) -> list[object]:
        """Frames come for every market of the exchange; the bot's own are what matters."""
        if frame.msg.market_ticker not in self._wanted:
            return []
        return [events.lifecycle_seen(frame.msg, frame.sending_ts_ms)]

    def _on_subscribed(self, frame: frames.SubscribedFrame, now_ms: int) -> list[object]:
        asked = self._asked.pop(frame.id, None)
        if asked is None:
            self.counts["stray"] += 1
            return []
        self._subscriptions[frame.msg.sid] = _Subscription(asked.channel, tickers=set(asked.tickers))
        self._fit(now_ms)
        return []

    def _on_error(self, frame: frames.ErrorFrame, now_ms: int) -> list[object]:
        self._tally(f"error {frame.msg.code}")
        subscription = self._subscriptions.get(frame.sid)
        reason = f"error {frame.msg.code}: {frame.msg.msg[:80]}"
        if frame.msg.code in _TERMINAL and subscription is not None:
            del self._subscriptions[frame.sid]
            return self._ended(subscription, reason, now_ms)
        asked = self._asked.pop(frame.id, None)
        if frame.msg.code in _TERMINAL:
            self.broken = reason
        elif asked is not None and asked.channel != _SNAPSHOT:
            self.broken = f"{asked.channel}: {reason}"
        return []

    def _on_unsubscribed(self, frame: frames.UnsubscribedFrame, now_ms: int) -> list[object]:
        """What we ended ourselves is forgotten already; anything else was not our wish."""
        subscription = self._subscriptions.pop(frame.sid, None)
        return (
            [] if subscription is None else self._ended(subscription, "unsubscribed by the exchange", now_ms)
        )

    def _ended(self, subscription: _Subscription, reason: str, now_ms: int) -> list[object]:
        """The exchange ended one subscription while the socket lives on."""
        if subscription.channel not in MARKET_CHANNELS:
            # Account events may be missing now; a new connection makes everybody read them again.
            self.broken = f"{subscription.channel}: {reason}"
            return []
        lost: list[object] = []
        if subscription.channel == BOOK:
            affected = sorted(self._wanted & subscription.tickers)
            self._await(affected, now_ms)
            lost = [BookLost(tuple(affected), reason)]
        self._fit(now_ms)
        return lost

    def _on_other(self, kind: str, sub: _Subscription | None, data: bytes, now_ms: int) -> list[object]:
        """A type from a later version. Where it takes a number among a book's changes it may be one of them."""
        self._tally(f"unknown {kind[:40]}")
        if sub is None or sub.channel != BOOK:
            return []
        return self._in_doubt(sub, data, f"unknown frame {kind}", now_ms)

    def _tally(self, kind: str) -> None:
        """Count by a name that the exchange chose, which may be a new one each time."""
        self.counts[kind if kind in self.counts or len(self.counts) < MAX_KINDS else "other"] += 1

    def _on_malformed(self, data: bytes, problem: str, now_ms: int) -> list[object]:
        """It still used up its number. Its market is in doubt; if it names none, its sid's are, else all there are."""
        self.counts["malformed"] += 1
        envelope = frames.envelope(data)
        subscription = self._sequenced(envelope)
        found: list[object] = []
        if subscription and subscription.last is not data:
            found = self._count(subscription, envelope.seq, data, now_ms)
        why = f"unreadable frame: {problem[:120]}"
        if not (envelope.type or envelope.sid):
            return self.resync(self._wanted, why, now_ms)
        return found + self._in_doubt(subscription, data, why, now_ms)

    def _in_doubt(self, sub: _Subscription | None, data: bytes, why: str, now_ms: int) -> list[object]:
        """The market that the frame names is in doubt; if it names none, all of a book subscription."""
        ticker = frames.market_of(data)
        if ticker in self._wanted:
            return self.resync([ticker], why, now_ms)
        return self.resync(sub.tickers, why, now_ms) if sub and sub.channel == BOOK else []

    # ── sequence numbers ────────────────────────────────────────────────────────────────────────

    def _sequenced(self, frame: Frame | OtherFrame) -> _Subscription | None:
        """The subscription whose numbers this frame uses up, if it carries one."""
        subscription = self._subscriptions.get(frame.sid)
        if subscription is None or not frame.seq or subscription.channel not in SEQUENCED:
            return None
        return subscription

    def _duplicate(self, subscription: _Subscription, seq: int, data: bytes) -> bool:
        """Only the very same frame again is harmless; any other old number may be a count that began anew."""
        if seq != subscription.seq or data != subscription.last:
            return False
        self.counts["duplicates"] += 1
        return True

    def _count(self, subscription: _Subscription, seq: int, data: bytes, now_ms: int) -> list[object]:
        before = subscription.seq
        subscription.seq, subscription.last = seq, data
        if seq == before + 1:
            return []
        self.counts["gaps"] += 1
        if subscription.channel != BOOK:
            return []
        return self.resync(subscription.tickers, f"sequence gap: {seq} after {before}", now_ms)

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    def _fit(self, now_ms: int) -> None:
        """Make the subscriptions of the market channels fit the wanted set, as far as answers allow."""
        for channel in MARKET_CHANNELS:
            if any(asked.channel == channel and not asked.audit for asked in self._asked.values()):
                continue
            sid = next((s for s, sub in self._subscriptions.items() if sub.channel == channel), 0)
            if not sid:
                if self._wanted:
                    self._subscribe(channel, sorted(self._wanted)[:TICKERS_PER_COMMAND], now_ms)
                continue
            self._adjust(sid, self._subscriptions[sid], now_ms)

    def _adjust(self, sid: int, subscription: _Subscription, now_ms: int) -> None:
        if not self._wanted:
            # Without markets some channels mean "all markets": end the subscription instead.
            self._send(events.unsubscribe(self._new_id(), sid))
            del self._subscriptions[sid]
            return
        added = sorted(self._wanted - subscription.tickers)
        if subscription.channel == BOOK:
            self._await(added, now_ms)
        for action, tickers in (
            ("add_markets", added),
            ("delete_markets", sorted(subscription.tickers - self._wanted)),
        ):
            for some in _chunks(tickers):
                self._send(events.update(self._new_id(), sid, action, some))
        subscription.tickers = set(self._wanted)

    def _subscribe(self, channel: str, tickers: Iterable[str], now_ms: int) -> None:
        listed = list(tickers)
        command_id = self._new_id()
        self._asked[command_id] = _Asked(channel, set(listed), now_ms)
        if channel == BOOK:
            self._await(listed, now_ms)
        self._send(events.subscribe(command_id, channel, listed))

    def _snapshots(self, tickers: list[str], now_ms: int, *, audit: bool) -> None:
        sid = next((s for s, sub in self._subscriptions.items() if sub.channel == BOOK), 0)
        if not sid:
            return
        for some in _chunks([t for t in tickers if t in self._subscriptions[sid].tickers]):
            command_id = self._new_id()
            self._asked[command_id] = _Asked(_SNAPSHOT, set(some), now_ms, audit=audit)
            self._send(events.update(command_id, sid, _SNAPSHOT, some))

    def _await(self, tickers: list[str], now_ms: int) -> None:
        self._whole.difference_update(tickers)
        self._awaiting |= dict.fromkeys(tickers, now_ms)

    def _send(self, command: bytes) -> None:
        self._outgoing.append(command)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id


def _chunks(tickers: list[str]) -> list[list[str]]:
    return [tickers[at : at + TICKERS_PER_COMMAND] for at in range(0, len(tickers), TICKERS_PER_COMMAND)]
