"""The bot's own client and feed on the paper exchange, over real HTTP and WebSocket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dora_bot.clock import SystemClock
from dora_bot.errors import AuthRefused, ExchangeError
from dora_bot.events import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FeedDown,
    FillSeen,
    GroupSeen,
    OrderSeen,
    TickerSeen,
)
from dora_bot.exchange_client import KalshiClient
from dora_bot.market_feed import FeedSettings, MarketFeed
from dora_bot.models import (
    AccountLimits,
    Amend,
    BucketLimit,
    Cancel,
    FeeTerms,
    Instant,
    Level,
    MarketStatus,
    OutcomeKind,
    Place,
    Side,
    TimeInForce,
)
from dora_bot.order_book import Books
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.rest_feed import RestFeed
from dora_bot.signing import Signer
from tests.fakes import keys
from tests.fakes.clients import local_client
from tests.fakes.gathering_inbox import GatheringInbox

ACCEPTED, REFUSED, UNKNOWN = OutcomeKind.ACCEPTED, OutcomeKind.REFUSED, OutcomeKind.UNKNOWN
LOOPBACK = frozenset({"127.0.0.1"})
A, B, DECI = "KXA-1-A", "KXB-1-B", "KXC-1-DECI"
MARKETS = (
    StaticMarket(A),
    StaticMarket(B, exchange_index=2),
    StaticMarket(DECI, structure="deci_cent", fees=FeeTerms("quadratic_with_maker_fees")),
)


@pytest.fixture(scope="module", params=["rsa", "ed25519"])
def paper(request: pytest.FixtureRequest) -> Iterator[PaperServer]:
    options = LaunchOptions(profile="fast", tier="prestige", key_type=request.param)
    with PaperServer(options, StaticWorld(MARKETS).install) as server:
        yield server


@pytest.fixture(scope="module")
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture(scope="module")
def signer(paper: PaperServer) -> Signer:
    return Signer.from_file(paper.here.key_id, Path(paper.here.private_key_path))


@pytest.fixture(scope="module")
def client(paper: PaperServer, signer: Signer, clock: SystemClock) -> Iterator[KalshiClient]:
    made = local_client(paper.here.rest_url, signer, clock)
    yield made
    made.close()


class Orders:
    """Makes actions with fresh ids, expiring in half a minute."""

    def __init__(self, clock: SystemClock, prefix: str) -> None:
        self._clock = clock
        self._prefix = prefix
        self._made = 0

    def place(self, ticker: str, side: Side, price_e4: int, count_e2: int = 100, **more: object) -> Place:
        self._made += 1
        shard = 2 if ticker == B else 0
        return Place(
            f"{self._prefix}-{self._made}",
            ticker,
            side,
            price_e4,
            count_e2,
            self.expiry_ms,
            shard,
            **more,  # type: ignore[arg-type]  # the fields of `Place`, passed through
        )

    @property
    def expiry_ms(self) -> int:
        return self._clock.now().exchange_ms + 30_000


@pytest.fixture
def orders(clock: SystemClock, request: pytest.FixtureRequest) -> Orders:
    return Orders(clock, f"t{abs(hash(request.node.nodeid)) % 10**9}")


def of_order(place: Place, order_id: str) -> Cancel:
    return Cancel(place.client_order_id, order_id, place.ticker, place.exchange_index)


def test_the_exchange_and_its_markets_are_read(client: KalshiClient) -> None:
    assert client.get_exchange_status().trading
    limits = client.get_limits()
    assert (limits.tier, limits.default_cost, limits.cancel_cost) == ("prestige", 10, 2)
    found = {market.ticker: market for market in client.get_markets(tickers=[A, B, DECI])}
    assert found[A].status is MarketStatus.ACTIVE
    assert (found[A].exchange_index, found[B].exchange_index) == (0, 2)
    assert found[DECI].fees == FeeTerms("quadratic_with_maker_fees", 1_000_000)
    assert found[DECI].grid.contains(4_710)
    assert not found[DECI].grid.contains(4_705)
    assert found[A].close_ms > found[A].open_ms
    assert client.get_schedule().sessions
    assert client.get_incentives() == []
    assert client.get_fee_changes() == []
    assert client.get_settlements(0) == []


def test_a_book_is_seen_on_the_yes_leg(client: KalshiClient) -> None:
    one = client.get_order_book(A)
    assert (one.bids, one.asks) == ((Level(4_700, 10_000),), (Level(5_200, 10_000),))
    assert [book.ticker for book in client.get_order_books([B, A])] == [B, A]


def test_the_life_of_an_order(client: KalshiClient, orders: Orders) -> None:
    place = orders.place(B, Side.BID, 4_500, 250)
    made = client.place_order(place)
    assert (made.kind, made.remaining_e2, made.filled_e2) == (ACCEPTED, 250, 0)
    again = client.place_order(place)
    assert (again.kind, again.exists) == (UNKNOWN, True)
    amend = Amend(place.client_order_id, made.order_id, B, Side.BID, 4_600, 300, orders.expiry_ms, 2)
    (amended,) = client.amend_orders([amend])
    assert (amended.kind, amended.remaining_e2) == (ACCEPTED, 300)
    (listed,) = client.get_open_orders()
    assert (listed.price_e4, listed.remaining_e2, listed.side) == (4_600, 300, Side.BID)
    assert listed.expiration_ms == amend.expiration_ms // 1000 * 1000
    assert client.get_order(made.order_id) == listed
    assert client.get_queue_positions([B]) == {made.order_id: 0}
    cancel = of_order(place, made.order_id)
    assert client.decrease_order(cancel, 120).remaining_e2 == 120
    gone = client.cancel_order(cancel)
    assert (gone.kind, gone.reduced_by_e2) == (ACCEPTED, 120)
    assert client.cancel_order(cancel).kind is UNKNOWN
    assert client.get_open_orders() == []


def test_a_batch_has_one_outcome_for_each(client: KalshiClient, orders: Orders) -> None:
    places = [
        orders.place(A, Side.BID, 4_600),
        orders.place(A, Side.BID, 5_300),
        orders.place(DECI, Side.ASK, 5_255),
        orders.place(B, Side.ASK, 5_300),
    ]
    found = client.place_orders(places)
    assert [o.kind for o in found] == [ACCEPTED, REFUSED, REFUSED, ACCEPTED]
    assert [o.code for o in found] == ["", "invalid_order", "invalid_price", ""]
    live = [o for o in found if o.kind is ACCEPTED]
    cancels = [of_order(o.action, o.order_id) for o in live if isinstance(o.action, Place)]
    gone = client.cancel_orders([*cancels, Cancel("x", "no-such-order", A, 0)])
    assert [o.kind for o in gone] == [ACCEPTED] * len(cancels) + [UNKNOWN]


def test_fills_positions_and_cash_agree(client: KalshiClient, orders: Orders, clock: SystemClock) -> None:
    before, since_ms = client.get_balance().total_e6, clock.now().exchange_ms - 1_000
    taker = orders.place(A, Side.BID, 5_200, 150, post_only=False, time_in_force=TimeInForce.IOC)
    bought = client.place_order(taker)
    assert (bought.kind, bought.filled_e2, bought.remaining_e2) == (ACCEPTED, 150, 0)
    (fill,) = [f for f in client.get_fills(since_ms) if f.order_id == bought.order_id]
    assert (fill.ticker, fill.side, fill.price_e4, fill.count_e2) == (A, Side.BID, 5_200, 150)
    assert fill.is_taker
    assert fill.fee_e6 > 0
    clock.sleep(0.3)  # the balance has a bucket of its own: five reads a second, no burst
    assert client.get_balance().total_e6 == before - 5_200 * 150 - fill.fee_e6
    assert {p.ticker: p.net_e2 for p in client.get_positions()}[A] == 150
    trade = client.get_trades(A, since_ms)[-1]
    assert (trade.price_e4, trade.count_e2, trade.taker_side) == (5_200, 150, Side.BID)
    assert client.get_user_data_timestamp() > since_ms
    sold = orders.place(A, Side.ASK, 4_700, 150, post_only=False, time_in_force=TimeInForce.IOC)
    assert client.place_order(sold).filled_e2 == 150
    assert {p.ticker: p.net_e2 for p in client.get_positions()}.get(A, 0) == 0


def test_order_groups(client: KalshiClient, orders: Orders) -> None:
    group = client.create_order_group(10_000, 2)
    assert [(g.group_id, g.limit_e2) for g in client.get_order_groups()] == [(group, 10_000)]
    client.limit_order_group(group, 5_000, 2)
    place = orders.place(B, Side.BID, 4_400, order_group_id=group)
    assert client.place_order(place).kind is ACCEPTED
    client.trigger_order_group(group, 2)
    assert client.get_open_orders() == []
    refused = client.place_order(orders.place(B, Side.BID, 4_400, order_group_id=group))
    assert refused.kind is REFUSED
    client.reset_order_group(group, 2)
    client.delete_order_group(group, 2)
    assert client.get_order_groups() == []
    with pytest.raises(ExchangeError):
        client.reset_order_group(group, 2)


def test_a_strange_key_is_refused(paper: PaperServer, clock: SystemClock) -> None:
    stranger = local_client(paper.here.rest_url, Signer(paper.here.key_id, keys.ed25519_pem()), clock)
    with pytest.raises(AuthRefused, match="authentication_error"):
        stranger.get_balance()
    stranger.close()


# ── the feed ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def feeding(
    paper: PaperServer, signer: Signer, clock: SystemClock, rest: RestFeed, *tickers: str
) -> Iterator[tuple[MarketFeed, GatheringInbox]]:
    settings = FeedSettings(paper.here.ws_url, LOOPBACK, lambda: 0.5, snapshot_audit_s=0.5)
    inbox = GatheringInbox()
    feed = MarketFeed(settings, signer, clock, inbox, rest)
    feed.watch(frozenset(tickers))
    feed.start()
    try:
        yield feed, inbox
    finally:
        feed.stop()


@pytest.fixture
def rest(client: KalshiClient, clock: SystemClock) -> RestFeed:
    return RestFeed(client, client.get_limits(), clock.now().exchange_ms - 1_000)


def books_of(events: list[object]) -> Books:
    books = Books()
    for event in events:
        if isinstance(event, BookDelta | BookSnapshot | BookLost):
            assert books.apply(event, Instant(0, 0)) == ""
    return books


def test_the_feed_tells_the_whole_story_of_an_order(
    paper: PaperServer,
    signer: Signer,
    clock: SystemClock,
    client: KalshiClient,
    rest: RestFeed,
    orders: Orders,
) -> None:
    with feeding(paper, signer, clock, rest, A, B) as (feed, inbox):
        inbox.until(lambda seen: sum(isinstance(e, BookSnapshot) for e in seen) >= 2)
        place = orders.place(A, Side.BID, 4_800, 200)
        made = client.place_order(place)
        hit = orders.place(A, Side.BID, 5_200, 50, post_only=False, time_in_force=TimeInForce.IOC)
        client.place_order(hit)
        client.cancel_order(of_order(place, made.order_id))
        inbox.until(
            lambda seen: any(
                isinstance(e, OrderSeen)
                and e.order.order_id == made.order_id
                and e.order.status == "canceled"
                for e in seen
            )
        )
        (fill,) = [e.fill for e in inbox.events if isinstance(e, FillSeen)]
        assert (fill.client_order_id, fill.price_e4, fill.count_e2) == (hit.client_order_id, 5_200, 50)
        inbox.until(lambda seen: any(isinstance(e, TickerSeen) and e.ticker == A for e in seen))
        audited = len(inbox.events)
        events = inbox.until(
            lambda seen: (
                {e.ticker for e in seen[audited:] if isinstance(e, BookSnapshot) and e.audit} == {A, B}
            )
        )
        books = books_of(events)
        now = {book.ticker: book for book in client.get_order_books([A, B])}
        for ticker in (A, B):
            view = books.view(ticker)
            assert view.proven
            assert (view.bids, view.asks) == (now[ticker].bids, now[ticker].asks)
        assert feed.poll(clock.now()) == []
        assert inbox.count(FeedDown) == 0


def test_markets_come_and_go_on_one_connection(
    paper: PaperServer, signer: Signer, clock: SystemClock, client: KalshiClient, rest: RestFeed
) -> None:
    with feeding(paper, signer, clock, rest, A) as (feed, inbox):
        inbox.until(lambda seen: any(isinstance(e, BookSnapshot) for e in seen))
        feed.watch(frozenset({A, DECI}))
        inbox.until(lambda seen: any(isinstance(e, BookSnapshot) and e.ticker == DECI for e in seen))
        feed.watch(frozenset({DECI}))
        inbox.until(lambda seen: any(isinstance(e, BookLost) and e.tickers == (A,) for e in seen))
        feed.resync(frozenset({DECI}))
        events = inbox.until(lambda seen: any(isinstance(e, BookLost) and DECI in e.tickers for e in seen))
        lost_at = len(events)
        inbox.until(lambda seen: any(isinstance(e, BookSnapshot) for e in seen[lost_at:]))
        group = client.create_order_group(10_000, 0)
        inbox.until(lambda seen: any(isinstance(e, GroupSeen) and e.group_id == group for e in seen))
        client.delete_order_group(group, 0)
        assert feed.counts.get("gaps", 0) == 0
        assert feed.connection == 1


def test_without_the_socket_books_and_fills_come_by_rest(
    client: KalshiClient, clock: SystemClock, rest: RestFeed, orders: Orders
) -> None:
    rest.watch(frozenset({A, B}))
    now = clock.now()
    first = rest.poll(now)
    assert [e.ticker for e in first if isinstance(e, BookSnapshot)] == [A, B]
    assert rest.poll(now) == []
    hit = orders.place(B, Side.ASK, 4_700, 100, post_only=False, time_in_force=TimeInForce.IOC)
    sold = client.place_order(hit)
    later = rest.poll(Instant(now.mono_ms + 1_000, now.exchange_ms + 1_000))
    assert sold.order_id in {e.fill.order_id for e in later if isinstance(e, FillSeen)}


def test_reading_by_rest_keeps_to_its_share_of_the_budget(client: KalshiClient) -> None:
    def polls(read_per_s: int) -> int:
        feed = RestFeed(client, AccountLimits("t", BucketLimit(200, read_per_s), BucketLimit(100, 100)), 0)
        feed.watch(frozenset({A}))
        return len([mono for mono in range(0, 10_000, 50) if feed.poll(Instant(mono, mono))])

    # Two calls of 10 tokens each time, of half of the budget; never more often than every half second.
    assert polls(40) == 10
    assert polls(200) == 20


def test_a_read_refused_for_its_time_is_signed_anew_by_the_time_the_refusal_told() -> None:
    clock = SystemClock()
    with PaperServer(LaunchOptions(profile="fast"), StaticWorld(MARKETS).install) as server:
        here = server.here
        signer = Signer.from_file(here.key_id, Path(here.private_key_path))
        client = local_client(here.rest_url, signer, clock)
        server.run(lambda venue: venue.clock.shift(3_600_000))
        try:
            assert client.get_open_orders() == []
            assert client.stats() == {"orders": 2, "orders!401": 1}
        finally:
            client.close()
    assert abs(clock.wall_offset_ms - 3_600_000) < 2_000
