"""One WebSocket connection: its commands, its subscriptions, and the numbering of its frames."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from dora_bot.paper.specs import Refused
from dora_bot.paper.wire_frames import market_ticker_message, snapshot_message
from dora_bot.paper.ws_frames import Frame, encode, frame
from dora_bot.paper.ws_hub import CHANNELS, UNFILTERED, Subscription

if TYPE_CHECKING:
    from dora_bot.paper.auth import ApiKey
    from dora_bot.paper.venue import Venue

ERRORS = {
    1: "Unable to process message",
    2: "Params required",
    3: "Channels required",
    4: "Subscription IDs required",
    5: "Unknown command",
    7: "Unknown subscription ID",
    8: "Unknown channel name",
    9: "Authentication required",
    10: "Channel error",
    11: "Invalid parameter",
    12: "Exactly one subscription ID is required",
    13: "Unsupported action",
    14: "Market Ticker required",
    15: "Action required",
    25: "Subscription buffer overflow",
    26: "Subscription market limit exceeded",
}

MARKET_LIMIT = 500_000


class CommandRefused(Exception):  # noqa: N818  (an answer to the client)
    """An error frame: its code, and the subscription it is scoped to if there is one."""

    def __init__(self, code: int, sub: Subscription | None = None, tickers: tuple[str, ...] = ()) -> None:
        super().__init__(ERRORS[code])
        self.code = code
        self.sub = sub
        self.tickers = tickers


def _decoded(text: str | bytes) -> dict[str, Any]:
    try:
        command = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise CommandRefused(1) from error
    if not isinstance(command, dict) or not isinstance(command.get("cmd", ""), str):
        raise CommandRefused(1)
    return command


class WsSession:
    """The commands of one connection. ``put`` takes finished frames; `bind` sets it once there is a socket."""

    def __init__(self, venue: "Venue", key: "ApiKey", connection: int) -> None:
        self._venue = venue
        self.account = key.account
        self.subaccount = key.subaccount
        self.key_id = key.key_id
        self.connection = connection
        self.dead = False
        """A fault made this connection half-open: nothing is sent, nothing that comes is read."""
        self._hang_up: Callable[[int, float], None] = lambda _code, _after_s: None
        self._put: Callable[[Frame], None] = lambda _: None
        self._subs: dict[int, Subscription] = {}
        self._last_sid = 0
        self._commands: Mapping[str, Callable[[int, Mapping[str, Any]], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "update_subscription": self._update,
            "list_subscriptions": self._list,
        }

    def bind(self, put: Callable[[Frame], None], hang_up: Callable[[int, float], None] | None = None) -> None:
        """``hang_up(code, after_s)`` ends the connection."""
        self._put = put
        self._hang_up = hang_up or self._hang_up

    def hang_up(self, code: int, after_s: float = 0.0) -> None:
        """End the connection; 1006 cuts it without a word."""
        self._hang_up(code, after_s)

    def close(self) -> None:
        """The connection is gone."""
        for sub in self._subs.values():
            self._venue.hub.drop(sub)
        self._subs.clear()

    def terminate(self, code: int, *subs: Subscription) -> None:
        """End these subscriptions (all without any) with a terminal error (10 or 25); the socket lives on."""
        for sub in subs or tuple(self._subs.values()):
            message = encode({"code": code, "msg": ERRORS[code]})
            self._put(frame("error", message, sid=sub.sid, seq=sub.next_seq()))
            self._end(sub)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return tuple(self._subs.values())

    # ── frames out ──────────────────────────────────────────────────────────────────────────────

    def send(self, sub: Subscription, kind: str, message: bytes, ticker: str = "") -> None:
        """Number and send one data frame of a subscription."""
        self._emit(sub, frame(kind, message, sid=sub.sid, seq=sub.data_seq(), ticker=ticker))

    def _emit(self, sub: Subscription, made: Frame) -> None:
        if sub.sid not in self._subs:
            return  # it was ended while its first snapshots were sent
        for one in self._venue.frame_faults.through(self, sub, made):
            self._put(one)

    def _reply(
        self, kind: str, cid: int, message: object | None, sub: Subscription | None = None, ticker: str = ""
    ) -> None:
        """Answer a command; scoped to a sequenced subscription, the answer takes a number."""
        encoded = None if message is None else encode(message)
        if sub is None:
            if not self._venue.frame_faults.mutes(self, "replies"):
                self._put(frame(kind, encoded, cid=cid))
        else:
            self._emit(sub, frame(kind, encoded, sid=sub.sid, seq=sub.next_seq(), cid=cid, ticker=ticker))

    def _error(self, cid: int, refusal: CommandRefused) -> None:
        message: dict[str, Any] = {"code": refusal.code, "msg": ERRORS[refusal.code]}
        if refusal.tickers:
            message["market_tickers"] = list(refusal.tickers)
        self._reply("error", cid, message, refusal.sub)

    # ── commands in ─────────────────────────────────────────────────────────────────────────────

    def receive(self, text: str | bytes) -> None:
        """Execute one command; whatever is wrong with it is answered with an error frame."""
        if self.dead:
            return
        cid = 0
        try:
            command = _decoded(text)
            number = command.get("id", 0)
            cid = number if isinstance(number, int) else 0
            self._dispatch(cid, command)
        except CommandRefused as refusal:
            self._error(cid, refusal)

    def _dispatch(self, cid: int, command: Mapping[str, Any]) -> None:
        run = self._commands.get(str(command.get("cmd")))
        if run is None:
            raise CommandRefused(5)
        params = command.get("params")
        if command.get("cmd") != "list_subscriptions" and not isinstance(params, dict):
            raise CommandRefused(2)
        run(cid, params or {})

    def _subscribe(self, cid: int, params: Mapping[str, Any]) -> None:
        channels = params.get("channels")
        if not isinstance(channels, list) or not channels:
            raise CommandRefused(3)
        tickers = self._tickers(params)
        opened = []
        for channel in channels:
            try:
                opened.append(self._open(cid, channel, tickers, params))
            except CommandRefused as refusal:
                self._error(cid, refusal)
        for sub, new in opened:
            self._first_frames(sub, new, params)

    def _open(
        self, cid: int, channel: object, tickers: list[str] | None, params: Mapping[str, Any]
    ) -> tuple[Subscription, list[str]]:
        """Open or widen a channel's subscription; returns it and the markets that are new to it."""
        if not isinstance(channel, str) or channel not in CHANNELS:
            raise CommandRefused(8)
        if channel == "orderbook_delta" and not tickers:
            raise CommandRefused(14)
        wanted = None if channel in UNFILTERED else tickers
        self._require_known(wanted)
        sub = next((s for s in self._subs.values() if s.channel == channel), None)
        known = set(sub.tickers or ()) if sub else set()
        if sub is None:
            self._last_sid += 1
            sub = Subscription(self, self._last_sid, channel)
            sub.yes_price = params.get("use_yes_price") is True
            sub.quiet_ack = params.get("skip_ticker_ack") is True
            self._subs[sub.sid] = sub
        message = encode({"channel": channel, "sid": sub.sid})
        if not self._venue.frame_faults.mutes(self, "replies"):
            self._put(frame("subscribed", message, cid=cid, lane=sub.sid))
        self._venue.hub.listen(sub, wanted)
        return sub, [ticker for ticker in wanted or () if ticker not in known]

    def _first_frames(self, sub: Subscription, tickers: list[str], params: Mapping[str, Any]) -> None:
        """Whole books for markets new on the order book channel, tickers where they were asked for."""
        if sub.channel == "orderbook_delta":
            for ticker in tickers:
                self._snapshot(0, sub, ticker)
        elif sub.channel == "ticker" and params.get("send_initial_snapshot") is True:
            for ticker in tickers:
                market = self._venue.engine.market(ticker)
                self.send(sub, "ticker", encode(market_ticker_message(market, self._venue.now_ms())), ticker)

    def _snapshot(self, cid: int, sub: Subscription, ticker: str) -> None:
        message = snapshot_message(self._venue.engine.book(ticker), yes_price=sub.yes_price)
        self._reply("orderbook_snapshot", cid, message, sub, ticker)

    def _unsubscribe(self, cid: int, params: Mapping[str, Any]) -> None:
        sids = params.get("sids")
        if not isinstance(sids, list) or not sids:
            raise CommandRefused(4)
        for sid in sids:
            sub = self._subs.get(sid) if isinstance(sid, int) else None
            if sub is None:
                self._error(cid, CommandRefused(7))
                continue
            self._reply("unsubscribed", cid, None, sub)
            self._end(sub)

    def _end(self, sub: Subscription) -> None:
        self._venue.hub.drop(sub)
        del self._subs[sub.sid]

    def _update(self, cid: int, params: Mapping[str, Any]) -> None:
        sub = self._one_sub(params)
        act = params.get("action")
        if act is None:
            raise CommandRefused(15, sub)
        tickers = self._tickers(params)
        if not tickers:
            raise CommandRefused(14, sub)
        if act == "add_markets":
            self._add_markets(cid, sub, tickers, params)
        elif act == "delete_markets":
            self._venue.hub.ignore(sub, tickers)
            self._acknowledge(cid, sub)
        elif act == "get_snapshot" and sub.channel == "orderbook_delta":
            self._send_snapshots(cid, sub, tickers)
        else:
            raise CommandRefused(13, sub)

    def _add_markets(
        self, cid: int, sub: Subscription, tickers: list[str], params: Mapping[str, Any]
    ) -> None:
        self._require_known(tickers, sub)
        if len(sub.tickers or ()) + len(tickers) > MARKET_LIMIT:
            raise CommandRefused(26, sub)
        added = [ticker for ticker in tickers if ticker not in (sub.tickers or {})]
        if sub.channel not in UNFILTERED and sub.tickers is not None:
            self._venue.hub.listen(sub, tickers)
        self._acknowledge(cid, sub)
        self._first_frames(sub, added, params)

    def _send_snapshots(self, cid: int, sub: Subscription, tickers: list[str]) -> None:
        foreign = tuple(ticker for ticker in tickers if ticker not in (sub.tickers or {}))
        if foreign:
            raise CommandRefused(11, sub, foreign)
        for ticker in tickers:
            self._snapshot(cid, sub, ticker)

    def _acknowledge(self, cid: int, sub: Subscription) -> None:
        message = {} if sub.quiet_ack else {"market_tickers": list(sub.tickers or ())}
        self._reply("ok", cid, message, sub)

    def _list(self, cid: int, params: Mapping[str, Any]) -> None:  # noqa: ARG002  (the signature of every command)
        rows = [{"channel": sub.channel, "sid": sub.sid} for sub in self._subs.values()]
        self._reply("ok", cid, rows)

    def _one_sub(self, params: Mapping[str, Any]) -> Subscription:
        sid, sids = params.get("sid"), params.get("sids")
        if sid is None and not sids:
            raise CommandRefused(4)
        given = [sid] if sid is not None else list(sids) if isinstance(sids, list) else []
        if len(given) != 1 or (sid is not None and sids):
            raise CommandRefused(12)
        sub = self._subs.get(given[0]) if isinstance(given[0], int) else None
        if sub is None:
            raise CommandRefused(7)
        return sub

    @staticmethod
    def _tickers(params: Mapping[str, Any]) -> list[str] | None:
        one, many = params.get("market_ticker"), params.get("market_tickers")
        if one is not None and many is not None:
            raise CommandRefused(11)
        tickers = [one] if one is not None else many
        if tickers is None:
            return None
        if not isinstance(tickers, list) or not all(isinstance(ticker, str) for ticker in tickers):
            raise CommandRefused(11)
        return list(dict.fromkeys(tickers))

    def _require_known(self, tickers: list[str] | None, sub: Subscription | None = None) -> None:
        unknown = []
        for ticker in tickers or ():
            try:
                self._venue.engine.market(ticker)
            except Refused:
                unknown.append(ticker)
        if unknown:
            raise CommandRefused(11, sub, tuple(unknown))
