"""The exchange's side of a WebSocket conversation, by hand: answers commands and numbers its frames."""

import json
from collections import Counter
from typing import Any

from dora_bot.feed_session import FeedSession

Json = dict[str, Any]
CHANNEL_OF_TYPE = {
    "orderbook_snapshot": "orderbook_delta",
    "market_lifecycle_v2": "market_lifecycle_v2",
    "user_order": "user_orders",
    "market_position": "market_positions",
}


class FeedServer:
    """Speaks to one `FeedSession`. Subscriptions get sids 1, 2, 3 … in the order they are asked for."""

    def __init__(self, session: FeedSession) -> None:
        self.session = session
        self.sids: dict[str, int] = {}
        self.seq: Counter[int] = Counter()
        self.asked: list[Json] = []

    def say(self, frame: Json, now_ms: int = 0) -> list[object]:
        return self.session.receive(json.dumps(frame).encode(), now_ms)

    def numbered(self, channel: str, kind: str, msg: Any, **more: Any) -> Json:
        """The next frame of a channel that has sequence numbers."""
        sid = self.sids[channel]
        self.seq[sid] += 1
        return {"type": kind, "sid": sid, "seq": self.seq[sid], "msg": msg, **more}

    def take(self) -> list[Json]:
        """The commands the session wants sent now."""
        found = [json.loads(command) for command in self.session.commands()]
        self.asked += found
        return found

    def serve(self, now_ms: int = 0) -> list[object]:
        """Answer every command until the session has nothing more to ask; returns the events."""
        events: list[object] = []
        while commands := self.take():
            for command in commands:
                events += self.answer(command, now_ms)
        return events

    def answer(self, command: Json, now_ms: int = 0) -> list[object]:
        params = command["params"]
        if command["cmd"] == "subscribe":
            (channel,) = params["channels"]
            self.sids[channel] = len(self.sids) + 1
            reply = {
                "type": "subscribed",
                "id": command["id"],
                "msg": {"channel": channel, "sid": self.sids[channel]},
            }
            events = self.say(reply, now_ms)
            return events + self.snapshots(channel, params.get("market_tickers", []), now_ms)
        (sid,) = params["sids"]
        channel = next(name for name, number in self.sids.items() if number == sid)
        if command["cmd"] == "unsubscribe":
            del self.sids[channel]
            return self.say({"type": "unsubscribed", "id": command["id"], "sid": sid}, now_ms)
        if params["action"] == "get_snapshot":
            return self.snapshots(channel, params["market_tickers"], now_ms, id=command["id"])
        events = self.say(self.numbered(channel, "ok", {"market_tickers": []}, id=command["id"]), now_ms)
        if params["action"] == "add_markets":
            events += self.snapshots(channel, params["market_tickers"], now_ms)
        return events

    def snapshots(self, channel: str, tickers: list[str], now_ms: int, **more: Any) -> list[object]:
        if channel != "orderbook_delta":
            return []
        found: list[object] = []
        for ticker in tickers:
            msg = {"market_ticker": ticker, "yes_dollars_fp": [["0.4700", "3.00"]]}
            found += self.say(self.numbered(channel, "orderbook_snapshot", msg, **more), now_ms)
        return found

    def delta(self, ticker: str = "KXT-A", **change: Any) -> Json:
        msg = {
            "market_ticker": ticker,
            "market_id": "f5ed38e2",
            "clock": 7,
            "price_dollars": "0.4700",
            "delta_fp": "-1.00",
            "side": "yes",
            "ts": "2026-06-11T06:31:29.957Z",
            "ts_ms": 1_781_159_489_957,
        }
        return self.numbered("orderbook_delta", "orderbook_delta", msg | change)
