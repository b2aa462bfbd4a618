"""The feed's thread against a WebSocket server that misbehaves: it notices, says so, and comes back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dora_bot.clock import SystemClock
from dora_bot.errors import ConfigError
from dora_bot.events import BookDelta, BookLost, BookSnapshot, FeedDown, FeedUp
from dora_bot.market_feed import FeedSettings, MarketFeed
from dora_bot.models import Instant
from dora_bot.signing import Signer
from tests.fakes import keys
from tests.fakes.gathering_inbox import GatheringInbox
from tests.fakes.loopback_http import LoopbackHttp, reply
from tests.fakes.loopback_ws import PING, PONG, Json, Line, LoopbackWs
from tests.fakes.tls import Authority, TlsDoor

LOOPBACK = frozenset({"127.0.0.1"})
BOOK = "orderbook_delta"
A = "KXT-A"


class Rest:
    """Stands in for the REST reader: says that it was asked."""

    def __init__(self) -> None:
        self.watched: frozenset[str] = frozenset()

    def watch(self, tickers: frozenset[str]) -> None:
        self.watched = tickers

    def poll(self, now: Instant) -> list[object]:
        return [("by REST", now.mono_ms)]


@contextmanager
def feeding(
    server: LoopbackWs, *tickers: str, audit_s: float = 60.0, clock: SystemClock | None = None
) -> Iterator[tuple[MarketFeed, GatheringInbox]]:
    inbox = GatheringInbox()
    with server:
        settings = FeedSettings(server.url, LOOPBACK, lambda: 0.5, audit_s, (0.01, 0.02, 0.05))
        signer = Signer("key-id", keys.ed25519_pem())
        feed = MarketFeed(settings, signer, clock or SystemClock(), inbox, Rest())
        feed.watch(frozenset(tickers))
        feed.start()
        try:
            yield feed, inbox
        finally:
            feed.stop()
            assert not feed.alive


class Exchange:
    """Answers commands on one line; every snapshot is one bid."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.seq = 0
        self.sids: dict[str, int] = {}

    def serve(self, until: str = "", *, pong: bool = True) -> Json:
        """Answer commands for ever, or up to one whose action or channel is ``until``, which is returned."""
        while True:
            command = self.line.command(pong=pong)
            params = command["params"]
            if until and until in (params.get("action"), *params.get("channels", [])):
                return command
            self.answer(command)

    def answer(self, command: Json) -> None:
        params = command["params"]
        if command["cmd"] == "subscribe":
            channel = params["channels"][0]
            self.sids[channel] = len(self.sids) + 1
            msg = {"channel": channel, "sid": self.sids[channel]}
            self.line.say({"type": "subscribed", "id": command["id"], "msg": msg})
            if channel != BOOK:
                return
        if params.get("action") != "delete_markets":
            self.snapshots(params.get("market_tickers", []), command["id"])

    def snapshots(self, tickers: list[str], number: int) -> None:
        for ticker in tickers:
            msg = {"market_ticker": ticker, "yes_dollars_fp": [["0.4700", "3.00"]]}
            self.numbered("orderbook_snapshot", msg, id=number)

    def numbered(self, kind: str, msg: Json, **more: object) -> None:
        self.seq += 1
        self.line.say({"type": kind, "sid": self.sids[BOOK], "seq": self.seq, "msg": msg, **more})

    def delta(self, sending_ts_ms: int = 0) -> None:
        msg = {"market_ticker": A, "price_dollars": "0.4600", "delta_fp": "1.00", "side": "yes", "ts_ms": 5}
        # Without a stamp of its own a frame would be judged by the change's time, which is made up here.
        self.numbered("orderbook_delta", msg, sending_ts_ms=sending_ts_ms or time.time_ns() // 1_000_000)


def serve_all(line: Line) -> None:
    Exchange(line).serve()


def of(events: list[object], kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)


def test_it_connects_signed_subscribes_and_posts() -> None:
    def talk(line: Line) -> None:
        exchange = Exchange(line)
        exchange.answer(exchange.serve(until="trade"))
        exchange.delta()
        exchange.serve()

    server = LoopbackWs(talk)
    with feeding(server, A) as (feed, inbox):
        events = inbox.until(lambda seen: of(seen, BookDelta) == 1)
        assert [type(event) for event in events] == [FeedUp, BookSnapshot, BookDelta]
        assert feed.connected
        assert feed.alive
        assert feed.poll(Instant(7, 7)) == []
        assert feed.last_heard_mono_ms > 0
    headers = server.upgrades[0]
    assert headers["kalshi-access-key"] == "key-id"
    assert headers["kalshi-access-signature"]
    assert inbox.events[-1] == FeedDown("stopped")
    assert not feed.connected


def test_without_a_connection_the_rest_reader_is_asked() -> None:
    server = LoopbackWs(lambda _: None, status=lambda _: 502)
    with feeding(server, A) as (feed, _):
        assert feed.poll(Instant(7, 7)) == [("by REST", 7)]


def test_it_comes_back_after_the_server_closed_and_says_so() -> None:
    server = LoopbackWs(lambda line: Exchange(line).answer(line.command()))
    with feeding(server, A) as (_, inbox):
        events = inbox.until(lambda seen: of(seen, FeedUp) >= 3)
    assert [event.connection for event in events if isinstance(event, FeedUp)][:3] == [1, 2, 3]
    assert of(events, FeedDown) >= 2
    stamps = [headers["kalshi-access-timestamp"] for headers in server.upgrades]
    assert len(set(stamps)) == len(stamps)


def test_bad_gateways_are_tried_again() -> None:
    server = LoopbackWs(serve_all, status=lambda n: 502 if n < 4 else 101)
    with feeding(server, A) as (feed, inbox):
        inbox.until(lambda seen: of(seen, BookSnapshot) == 1)
        assert feed.refused == ""


@pytest.mark.parametrize("status", [401, 403])
def test_three_refused_upgrades_are_the_end(status: int) -> None:
    server = LoopbackWs(lambda _: None, status=lambda _: status)
    with feeding(server, A) as (feed, inbox):
        events = inbox.until(lambda seen: of(seen, FeedDown) == 1)
        assert events == [FeedDown(f"refused: HTTP {status}")]
        assert feed.refused == f"refused: HTTP {status}"
        assert len(server.upgrades) == 3


def test_a_line_on_which_nothing_comes_is_dead_after_five_seconds() -> None:
    def half_open(line: Line) -> None:
        exchange = Exchange(line)
        exchange.answer(exchange.serve(until="trade"))
        exchange.serve(pong=False)

    begun = time.monotonic()
    with feeding(LoopbackWs(half_open), A) as (_, inbox):
        events = inbox.until(lambda seen: of(seen, FeedDown) == 1)
        assert 4.5 < time.monotonic() - begun < 8
    assert [e.reason for e in events if isinstance(e, FeedDown)] == ["nothing heard for 5000 ms"]


def test_a_quiet_line_with_pongs_lives_and_pings_are_answered_both_ways() -> None:
    lines: list[Line] = []

    def quiet(line: Line) -> None:
        lines.append(line)
        line.frame(PING, b"heartbeat")
        Exchange(line).serve()

    with feeding(LoopbackWs(quiet), A) as (feed, inbox):
        inbox.until(lambda seen: of(seen, BookSnapshot) == 1)
        deadline = time.monotonic() + 20
        while lines[0].heard.count(PING) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert feed.connected
        assert inbox.count(FeedDown) == 0
    assert lines[0].heard.count(PING) >= 4
    assert PONG in lines[0].heard


def test_a_step_of_the_exchange_clock_says_nothing_of_the_line() -> None:
    lines: list[Line] = []

    def quiet(line: Line) -> None:
        lines.append(line)
        Exchange(line).serve()

    clock = SystemClock()
    with feeding(LoopbackWs(quiet), A, clock=clock) as (feed, inbox):
        inbox.until(lambda seen: of(seen, BookSnapshot) == 1)
        deadline = time.monotonic() + 20
        # Again and again: a pong that arrives right after one step would excuse it.
        while lines[0].heard.count(PING) < 3 and time.monotonic() < deadline:
            now = clock.now()
            clock.observe(now.exchange_ms + 60_000, now.mono_ms)
            time.sleep(0.3)
        assert feed.connected
        assert inbox.count(FeedDown) == 0


def test_books_are_lost_while_frames_are_late_and_found_again_when_they_are_fresh() -> None:
    def late(line: Line) -> None:
        exchange = Exchange(line)
        exchange.answer(exchange.serve(until="trade"))
        now_ms = time.time_ns() // 1_000_000
        exchange.delta(now_ms - 8_000)
        exchange.answer(exchange.serve(until="get_snapshot"))
        exchange.delta(time.time_ns() // 1_000_000)
        exchange.serve()

    with feeding(LoopbackWs(late), A) as (_, inbox):
        events = inbox.until(lambda seen: of(seen, BookSnapshot) == 2)
    kinds = [type(event) for event in events]
    assert kinds == [FeedUp, BookSnapshot, BookLost, BookLost, BookSnapshot]
    reasons = [event.reason for event in events if isinstance(event, BookLost)]
    assert "late" in reasons[0]
    assert "fresh" in reasons[1]


def test_audits_are_asked_for_regularly_and_markets_change_live() -> None:
    with feeding(LoopbackWs(serve_all), A, audit_s=0.3) as (feed, inbox):
        inbox.until(lambda seen: sum(isinstance(e, BookSnapshot) and e.audit for e in seen) >= 2)
        feed.watch(frozenset({A, "KXT-B"}))
        inbox.until(lambda seen: any(isinstance(e, BookSnapshot) and e.ticker == "KXT-B" for e in seen))
        feed.resync(frozenset({A}))
        events = inbox.until(
            lambda seen: any(isinstance(e, BookLost) and "contradicted" in e.reason for e in seen)
        )
        lost_at = next(n for n, e in enumerate(events) if isinstance(e, BookLost))
        events = inbox.until(
            lambda seen: any(isinstance(e, BookSnapshot) and e.ticker == A for e in seen[lost_at:])
        )
    assert {e.ticker for e in events[lost_at:] if isinstance(e, BookSnapshot)} >= {A}


def test_an_oversized_message_ends_the_connection() -> None:
    def huge(line: Line) -> None:
        line.frame(1, b" " * 4_000_001)
        Exchange(line).serve()

    with feeding(LoopbackWs(huge), A) as (_, inbox):
        events = inbox.until(lambda seen: of(seen, FeedDown) >= 1)
    assert any("4000001 bytes" in e.reason for e in events if isinstance(e, FeedDown))


@pytest.mark.parametrize("url", ["wss://evil.example/x", "ws://10.0.0.1/x", "http://127.0.0.1/x", ""])
def test_an_address_that_must_not_see_a_signature_is_refused(url: str) -> None:
    settings = FeedSettings(url, LOOPBACK, lambda: 0.5)
    with pytest.raises(ConfigError):
        MarketFeed(settings, Signer("k", keys.ed25519_pem()), SystemClock(), GatheringInbox(), Rest())


def answering(line: Line) -> None:
    Exchange(line).serve()


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with feeding(LoopbackWs(answering), A) as (_, inbox):
        assert inbox.until(lambda seen: of(seen, FeedUp) == 1)


def test_a_redirect_is_not_followed() -> None:
    """The signed upgrade goes to the host of the settings and to no other."""
    with LoopbackWs(answering) as elsewhere:
        moved = reply(302, headers=f"Location: {elsewhere.url}\r\n")
        with LoopbackHttp(lambda _request: moved) as server:
            settings = FeedSettings(f"ws://127.0.0.1:{server.port}/x", LOOPBACK, lambda: 0.5, 60.0, (0.01,))
            feed = MarketFeed(
                settings, Signer("k", keys.ed25519_pem()), SystemClock(), GatheringInbox(), Rest()
            )
            feed.start()
            give_up = time.monotonic() + 10
            while len(server.received) < 3 and time.monotonic() < give_up:
                time.sleep(0.01)
            feed.stop()
            assert len(server.received) >= 3
        assert elsewhere.upgrades == []


@pytest.mark.parametrize(
    ("address", "believed", "heard"),
    [("127.0.0.1", True, True), ("127.0.0.2", True, False), ("127.0.0.1", False, False)],
)
def test_only_a_certificate_of_the_host_by_the_authority_named_hears_the_signature(
    address: str, *, believed: bool, heard: bool, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    ca_file = str(authority.ca_file) if believed else ""
    with LoopbackWs(answering) as server, TlsDoor(authority.server(address), server.port) as door:
        where = f"wss://127.0.0.1:{door.port}/x"
        ended: list[float] = []

        def jitter() -> float:
            ended.append(0.5)
            return 0.5

        settings = FeedSettings(where, LOOPBACK, jitter, 60.0, (0.01,), ca_file=ca_file)
        inbox = GatheringInbox()
        feed = MarketFeed(settings, Signer("k", keys.ed25519_pem()), SystemClock(), inbox, Rest())
        feed.start()
        if heard:
            inbox.until(lambda seen: of(seen, FeedUp) == 1)
            assert not ended
        else:
            give_up = time.monotonic() + 10
            while len(ended) < 3 and time.monotonic() < give_up:
                time.sleep(0.01)
            assert len(ended) >= 3
        feed.stop()
        assert (b"KALSHI-ACCESS-SIGNATURE" in door.heard) is heard


def test_plain_ws_is_for_loopback_only() -> None:
    settings = FeedSettings("ws://plain.example/x", frozenset({"plain.example"}), lambda: 0.5)
    with pytest.raises(ConfigError, match="loopback"):
        MarketFeed(settings, Signer("k", keys.ed25519_pem()), SystemClock(), GatheringInbox(), Rest())
