"""Books and fills by REST: by turns, within budget, and lost rather than wrong when a read fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from dora_bot.events import BookLost, BookSnapshot, FillSeen
from dora_bot.exchange_client import KalshiClient
from dora_bot.models import AccountLimits, BucketLimit, Instant
from dora_bot.rest_feed import OVERLAP_MS, PROOF_MS, READ_LAG_MS, RestFeed, audit_by_rest
from dora_bot.signing import Signer
from tests.fakes import keys
from tests.fakes.clients import local_client
from tests.fakes.loopback_http import LoopbackHttp, Received, reply
from tests.fakes.observed_clock import ObservedClock

LIMITS = AccountLimits("basic", BucketLimit(200, 200), BucketLimit(100, 100))
SINCE_MS = 1_795_176_000_000


@contextmanager
def connected(server: LoopbackHttp) -> Iterator[KalshiClient]:
    with server:
        signer = Signer("key-id", keys.ed25519_pem())
        client = local_client(server.url, signer, ObservedClock())
        try:
            yield client
        finally:
            client.close()


def fill(number: int) -> dict[str, object]:
    return {
        "trade_id": f"trade-{number}",
        "order_id": "order-1",
        "ticker": "T-1",
        "book_side": "bid",
        "count_fp": "1.00",
        "yes_price_dollars": "0.5000",
        "fee_cost": "0",
        "is_taker": False,
        "created_time": f"2026-11-20T12:00:{number:02d}Z",
    }


class Exchange:
    """Answers books and fills; ``failing`` names the paths that answer 503."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.fills: list[dict[str, object]] = []
        self.asked: list[list[str]] = []

    def __call__(self, request: Received) -> bytes:
        parts = urlsplit(request.target)
        query = parse_qs(parts.query)
        if any(parts.path.endswith(name) for name in self.failing):
            return reply(503)
        if parts.path.endswith("/orderbooks"):
            self.asked.append(query["tickers"])
            told = [ticker for ticker in query["tickers"] if ticker != "T-settled"]
            ladder = {"yes_dollars": [["0.4000", "1.00"]]}
            return reply(200, {"orderbooks": [{"ticker": t, "orderbook_fp": ladder} for t in told]})
        return reply(200, {"fills": self.fills, "cursor": ""})


def test_markets_take_turns_a_hundred_at_a_time() -> None:
    exchange = Exchange()
    with connected(LoopbackHttp(exchange)) as client:
        feed = RestFeed(client, LIMITS, SINCE_MS)
        feed.watch(frozenset(f"T-{n}" for n in range(150)))
        for turn in range(3):
            feed.poll(Instant(turn * 1_000, 0))
    assert [len(tickers) for tickers in exchange.asked] == [100, 50, 100]
    assert exchange.asked[0] == exchange.asked[2]
    assert len({t for tickers in exchange.asked for t in tickers}) == 150


def test_nothing_is_read_without_markets() -> None:
    exchange = Exchange()
    with connected(LoopbackHttp(exchange)) as client:
        assert RestFeed(client, LIMITS, SINCE_MS).poll(Instant(0, 0)) == []
    assert exchange.asked == []


def test_a_failed_read_loses_no_fill_and_its_books_only_when_their_proof_is_too_old() -> None:
    exchange = Exchange()
    with connected(LoopbackHttp(exchange)) as client:
        feed = RestFeed(client, LIMITS, SINCE_MS)
        feed.watch(frozenset({"T-1"}))
        feed.poll(Instant(0, 0))
        exchange.failing = {"/orderbooks", "/fills"}
        assert [feed.poll(Instant(at_ms, 0)) for at_ms in (1_000, 3_000, PROOF_MS)] == [[], [], []]
        (event,) = feed.poll(Instant(PROOF_MS + 1, 0))
        assert isinstance(event, BookLost)
        assert event.tickers == ("T-1",)
        assert "503" in event.reason
        exchange.failing, exchange.fills = set(), [fill(3)]
        events = feed.poll(Instant(8_000, 0))
        assert [type(e) for e in events] == [BookSnapshot, FillSeen]


def test_books_whose_turn_comes_too_seldom_are_lost_in_between() -> None:
    exchange = Exchange()
    with connected(LoopbackHttp(exchange)) as client:
        feed = RestFeed(client, LIMITS, SINCE_MS)
        feed.watch(frozenset(f"T-{n}" for n in range(150)))
        first = {e.ticker for e in feed.poll(Instant(0, 0)) if isinstance(e, BookSnapshot)}
        (lost,) = feed.poll(Instant(PROOF_MS + 1, 0))
        second = feed.poll(Instant(PROOF_MS + 2, 0))
    assert isinstance(lost, BookLost)
    assert set(lost.tickers) == first
    assert len(second) == 50


def test_a_market_without_a_book_does_not_cost_the_others_theirs() -> None:
    with connected(LoopbackHttp(Exchange())) as client:
        feed = RestFeed(client, LIMITS, SINCE_MS)
        feed.watch(frozenset({"T-1", "T-settled"}))
        book, lost = feed.poll(Instant(0, 0))
    assert isinstance(book, BookSnapshot)
    assert lost == BookLost(("T-settled",), "REST: no book told")


def test_fills_are_asked_for_again_over_an_overlap_since_reads_lag() -> None:
    exchange = Exchange()
    server = LoopbackHttp(exchange)
    with connected(server) as client:
        feed = RestFeed(client, LIMITS, SINCE_MS)
        feed.watch(frozenset({"T-1"}))
        exchange.fills = [fill(30)]
        feed.poll(Instant(0, 0))
        feed.poll(Instant(1_000, 0))
        asked = [
            parse_qs(urlsplit(r.target).query)["min_ts"][0] for r in server.received if "fills" in r.target
        ]
    assert asked == [str((SINCE_MS - OVERLAP_MS) // 1000), str((SINCE_MS + 30_000 - OVERLAP_MS) // 1000)]


def test_an_audit_says_from_when_on_a_state_may_equal_it() -> None:
    with connected(LoopbackHttp(Exchange())) as client:
        (book,) = audit_by_rest(client, Instant(0, SINCE_MS), ["T-1"])
    assert (book.audit, book.sid, book.time_ms) == (True, 0, SINCE_MS - READ_LAG_MS)
