"""`KalshiClient` over real HTTP: which outcome, which exception, which pages."""

import contextlib
import json
import queue
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dora_bot.clock import MeasuredClock
from dora_bot.errors import (
    AuthRefused,
    ExchangeError,
    ExchangeUnreachable,
    MarketClosed,
    RateLimited,
    WireError,
)
from dora_bot.exchange_client import PATIENCE_S, KalshiClient
from dora_bot.http_transport import HttpTransport
from dora_bot.models import (
    Amend,
    Cancel,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)
from dora_bot.signing import Signer
from tests.fakes import keys
from tests.fakes.loopback_http import Answer, LoopbackHttp, Received, reply, reset
from tests.fakes.manual_clock import ManualClock
from tests.fakes.observed_clock import ObservedClock

ACCEPTED, REFUSED = OutcomeKind.ACCEPTED, OutcomeKind.REFUSED
UNKNOWN, DENIED = OutcomeKind.UNKNOWN, OutcomeKind.DENIED_LOCALLY
DEADLINE_S = 0.5
PLACE = Place("dora-1", "KXT-A", Side.BID, 5_600, 1_000, 1_795_176_055_000, 2)
AMEND = Amend("dora-1", "order-1", "KXT-A", Side.BID, 5_500, 1_200, 1_795_176_060_000, 2)
CANCEL = Cancel("dora-1", "order-1", "KXT-A", 2)


@contextmanager
def connected(
    server: LoopbackHttp, clock: MeasuredClock | None = None, deadline_s: float = DEADLINE_S
) -> Iterator[KalshiClient]:
    clock = clock or ObservedClock()
    signer = Signer("key-id", keys.ed25519_pem())
    with server:
        transport = HttpTransport(
            server.url, signer.headers, clock, frozenset({"127.0.0.1"}), deadline_s=deadline_s
        )
        client = KalshiClient(transport, clock)
        try:
            yield client
        finally:
            client.close()


def created(order: Place, number: int = 1, **change: Any) -> dict[str, Any]:
    return {
        "order_id": f"order-{number}",
        "client_order_id": order.client_order_id,
        "fill_count": "0.00",
        "remaining_count": "10.00",
        "ts_ms": 1_795_176_000_500,
    } | change


def always(answer: Answer) -> LoopbackHttp:
    return LoopbackHttp(lambda _: answer)


# ── writes ──────────────────────────────────────────────────────────────────────────────────────


def cut_short(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 201 X\r\nContent-Length: 500\r\n\r\n" + json.dumps(created(PLACE)).encode())


def half_a_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 201")


def hang(connection: socket.socket) -> None:
    """Until the client gives up and closes, or far too long."""
    connection.settimeout(DEADLINE_S * 3)
    with contextlib.suppress(OSError):
        connection.recv(1)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (reply(201, created(PLACE)), ACCEPTED, ""),
        (reply(201, created(PLACE, client_order_id="dora-2")), UNKNOWN, "unreadable_reply"),
        (reply(201, b"<html>"), UNKNOWN, "unreadable_reply"),
        (reply(204), UNKNOWN, "unreadable_reply"),
        (reply(302, headers="Location: /x\r\n"), UNKNOWN, "http_302"),
        (reply(400, {"error": {"code": "invalid_price"}}), REFUSED, "invalid_price"),
        (reply(404, {"error": {"code": "not_found"}}), REFUSED, "not_found"),
        (reply(409, {"error": {"code": "trading_is_paused"}}), REFUSED, "trading_is_paused"),
        (reply(429, {"error": "too many requests"}), REFUSED, "too_many_requests"),
        (reply(503), UNKNOWN, "http_503"),
        (reset, UNKNOWN, "no_reply"),
        (cut_short, UNKNOWN, "no_reply"),
        (half_a_header, UNKNOWN, "unreadable_reply"),
        (hang, UNKNOWN, "timeout"),
    ],
)
def test_a_create_ends_in_exactly_one_outcome_and_is_sent_once(
    answer: Answer, kind: OutcomeKind, code: str
) -> None:
    server = always(answer)
    with connected(server) as client:
        outcome = client.place_order(PLACE)
        assert (outcome.action, outcome.kind, outcome.code) == (PLACE, kind, code)
        assert len(server.received) == 1
        assert 0 <= outcome.took_ms <= DEADLINE_S * 1000 + 400


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(200, {"order_id": "order-1", "reduced_by": "10.00", "ts_ms": 1}), ACCEPTED),
        (reply(200, {"order_id": "order-2", "reduced_by": "10.00", "ts_ms": 1}), UNKNOWN),
        (reply(404, {"error": {"code": "not_found"}}), UNKNOWN),
        (reply(429, {"error": "too many requests"}), REFUSED),
        (reset, UNKNOWN),
    ],
)
def test_a_cancel_ends_in_exactly_one_outcome(answer: Answer, kind: OutcomeKind) -> None:
    server = always(answer)
    with connected(server) as client:
        assert client.cancel_order(CANCEL).kind is kind
        assert client.cancel_orders([CANCEL])[0].kind in (kind, UNKNOWN)
        assert "exchange_index=2" in server.received[0].target


def test_nothing_is_sent_where_nothing_can_be_reached() -> None:
    server = always(reply(201))
    with connected(server) as client:
        server.__exit__(None, None, None)
        assert client.place_order(PLACE).kind is DENIED
        assert {o.kind for o in client.place_orders([PLACE, PLACE])} == {DENIED}
        assert {o.kind for o in client.amend_orders([AMEND, AMEND])} == {DENIED}
        assert client.cancel_order(CANCEL).kind is DENIED


def test_an_order_whose_id_is_not_known_cannot_be_amended_or_cancelled() -> None:
    server = always(reply(200, {"order_id": "order-1", "ts_ms": 1}))
    nameless = Amend("dora-9", "", "KXT-A", Side.BID, 5_500, 1_200, 0, 2)
    with connected(server) as client:
        first, second = client.amend_orders([nameless, AMEND])
        assert (first.kind, first.code, second.kind) == (DENIED, "no_order_id", ACCEPTED)
        for outcome in (
            client.cancel_order(Cancel("dora-9", "", "KXT-A", 2)),
            client.cancel_orders([Cancel("dora-9", "", "KXT-A", 2)])[0],
            client.decrease_order(Cancel("dora-9", "", "KXT-A", 2), 100),
        ):
            assert (outcome.kind, outcome.code) == (DENIED, "no_order_id")
        assert len(server.received) == 1


def test_a_shuffled_batch_with_a_missing_item_is_put_in_order() -> None:
    places = [Place(f"dora-{n}", "KXT-A", Side.BID, 5_600, 1_000, 0, 2) for n in range(4)]

    def shuffled(request: Received) -> bytes:
        sent = json.loads(request.body)["orders"]
        assert [o["client_order_id"] for o in sent] == ["dora-0", "dora-1", "dora-2", "dora-3"]
        items = [created(places[n], n) for n in (3, 0)]
        items.append({"client_order_id": "dora-2", "error": {"code": "insufficient_balance"}})
        return reply(201, {"orders": items})

    with connected(LoopbackHttp(shuffled)) as client:
        found = client.place_orders(places)
        assert [o.kind for o in found] == [ACCEPTED, UNKNOWN, REFUSED, ACCEPTED]
        assert [o.order_id for o in found] == ["order-0", "", "", "order-3"]
        assert client.place_orders([]) == []
        assert client.cancel_orders([]) == []
        assert client.amend_orders([]) == []


def test_amends_go_side_by_side_and_keep_their_order() -> None:
    amends = [Amend(f"dora-{n}", f"order-{n}", "KXT-A", Side.BID, 5_500, 1_200, 0, 2) for n in range(6)]

    def answer(request: Received) -> bytes:
        order_id = request.target.split("/")[-2]
        if order_id == "order-3":
            return reply(400, {"error": {"code": "order_side_mismatch"}})
        return reply(200, {"order_id": order_id, "remaining_count": "12.00", "ts_ms": 1})

    server = LoopbackHttp(answer)
    with connected(server) as client:
        found = client.amend_orders(amends)
        assert [o.action for o in found] == amends
        assert [o.kind for o in found] == [ACCEPTED] * 3 + [REFUSED] + [ACCEPTED] * 2


def test_a_decrease_leaves_what_was_asked() -> None:
    server = always(reply(200, {"order_id": "order-1", "remaining_count": "2.50", "ts_ms": 1}))
    with connected(server) as client:
        outcome = client.decrease_order(CANCEL, 250)
        assert (outcome.kind, outcome.remaining_e2) == (ACCEPTED, 250)


def test_a_write_reply_teaches_the_clock() -> None:
    clock = ObservedClock()
    with connected(always(reply(201, created(PLACE))), clock) as client:
        client.place_order(PLACE)
    ((exchange_ms, _, doubt_ms),) = clock.observations
    assert exchange_ms - doubt_ms == 1_795_176_000_500


@pytest.mark.parametrize("status", [200, 202, 400, 401, 429, 500])
def test_cancel_all_is_done_only_if_the_exchange_says_204(status: int) -> None:
    with connected(always(reply(status))) as client, pytest.raises(ExchangeError):
        client.cancel_all_orders()


def test_a_write_that_takes_long_is_unknown_at_first_and_its_end_is_told() -> None:
    def slow(_: Received) -> bytes:
        time.sleep(PATIENCE_S + 0.4)
        return reply(201, created(PLACE))

    told: queue.Queue[Outcome] = queue.Queue()
    with connected(LoopbackHttp(slow), deadline_s=5.0) as client:
        client.on_late = told.put
        begun = time.monotonic()
        outcome = client.place_order(PLACE)
        assert time.monotonic() - begun < PATIENCE_S + 0.35
        assert (outcome.kind, outcome.code) == (UNKNOWN, "late")
        late = told.get(timeout=5.0)
        assert (late.kind, late.order_id, late.action) == (ACCEPTED, "order-1", PLACE)
        assert client.calls_sent == 1


def test_cancel_all() -> None:
    server = always(b"HTTP/1.1 204 No Content\r\n\r\n")
    with connected(server) as client:
        client.cancel_all_orders()
        assert (server.received[0].method, server.received[0].target) == (
            "DELETE",
            "/trade-api/v2/portfolio/events/orders?subaccount=0",
        )


# ── reads ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(401, {"error": {"code": "authentication_error"}}), AuthRefused),
        (reply(403, {"error": {"code": "forbidden"}}), AuthRefused),
        (reply(410, {"error": {"code": "gone"}}), AuthRefused),
        (reply(429, {"error": "too many requests"}), RateLimited),
        (reply(400, {"error": {"code": "market_inactive"}}), MarketClosed),
        (reply(404, {"error": {"code": "not_found"}}), ExchangeError),
        (reply(302), ExchangeError),
        (reply(500), ExchangeUnreachable),
        (reply(200, b"{}"), WireError),
        (reply(200, b""), WireError),
        (reset, ExchangeUnreachable),
        (hang, ExchangeUnreachable),
    ],
)
def test_a_read_that_fails_raises_its_policy(answer: Answer, kind: type[ExchangeError]) -> None:
    with connected(always(answer)) as client, pytest.raises(kind) as caught:
        client.get_balance()
    assert type(caught.value) is kind


def pages(*bodies: object) -> tuple[LoopbackHttp, list[str]]:
    """A server that answers one body after the other, the last one for ever, and the cursors it was asked with."""
    asked: list[str] = []

    def answer(request: Received) -> bytes:
        asked.append(parse_qs(urlsplit(request.target).query).get("cursor", [""])[0])
        return reply(200, bodies[min(len(asked), len(bodies)) - 1])

    return LoopbackHttp(answer), asked


def order(number: int) -> dict[str, Any]:
    return {
        "order_id": f"order-{number}",
        "ticker": "KXT-A",
        "book_side": "bid",
        "status": "resting",
        "yes_price_dollars": "0.5600",
        "remaining_count_fp": "1.00",
        "fill_count_fp": "0.00",
    }


@pytest.mark.parametrize("last", ["", None, ...])
@pytest.mark.fault("F41")
def test_all_pages_are_read_and_each_item_is_there_once(last: object) -> None:
    final = {"orders": [order(3), order(4)]} | ({} if last is ... else {"cursor": last})
    server, asked = pages({"orders": [order(1), order(2), order(3)], "cursor": "c+1/="}, final)
    with connected(server) as client:
        assert [o.order_id for o in client.get_open_orders()] == ["order-1", "order-2", "order-3", "order-4"]
    assert asked == ["", "c+1/="]


@pytest.mark.parametrize(
    "bodies",
    [
        [{"orders": [order(1)], "cursor": "c"}],
        [{"orders": [order(1)], "cursor": "c"}, {"orders": [order(1)], "cursor": "d"}],
        [{"orders": [order(1)], "cursor": "c"}, {"orders": [], "cursor": "c"}],
        [{"orders": [order(1)], "cursor": cursor} for cursor in "abcdef"],
    ],
)
@pytest.mark.fault("F41")
def test_pages_that_repeat_themselves_are_an_error_not_a_loop_and_not_a_short_list(
    bodies: list[object],
) -> None:
    server, asked = pages(*bodies)
    with connected(server) as client, pytest.raises(WireError, match="repeat"):
        client.get_open_orders()
    assert len(asked) <= 3


@pytest.mark.fault("F41")
def test_thousands_of_fills_are_read_by_pages_that_shift_meanwhile() -> None:
    """A fill that is new since the first page pushes the last of it into the second one."""
    newest_first = [fill(n, "00") for n in range(2_500, 0, -1)]
    parts = (newest_first[:1_000], newest_first[999:1_999], newest_first[1_998:])
    bodies = [{"fills": part, "cursor": cursor} for part, cursor in zip(parts, ("a", "b", ""), strict=True)]
    server, asked = pages(*bodies)
    with connected(server) as client:
        found = [f.trade_id for f in client.get_fills(0)]
    assert len(set(found)) == len(found) == 2_500
    assert asked == ["", "a", "b"]


def fill(number: int, second: str) -> dict[str, Any]:
    return {
        "trade_id": f"trade-{number}",
        "order_id": "order-1",
        "ticker": "KXT-A",
        "book_side": "ask",
        "count_fp": "1.00",
        "yes_price_dollars": "0.5600",
        "fee_cost": "0.004400",
        "is_taker": False,
        "created_time": f"2026-11-20T12:00:{second}Z",
    }


def test_fills_come_oldest_first_from_the_moment_asked_for() -> None:
    server, _ = pages(
        {"fills": [fill(3, "03"), fill(2, "02.5")], "cursor": "c"},
        {"fills": [fill(2, "02.5"), fill(1, "02.1")], "cursor": ""},
    )
    with connected(server) as client:
        found = client.get_fills(1_795_176_002_200)
        assert [f.trade_id for f in found] == ["trade-2", "trade-3"]
        assert "min_ts=1795176002&" in server.received[0].target


def test_books_of_many_markets_come_in_chunks_and_in_order() -> None:
    def answer(request: Received) -> bytes:
        tickers = parse_qs(urlsplit(request.target).query)["tickers"]
        assert len(tickers) <= 100
        books = [{"ticker": t, "orderbook_fp": {}} for t in reversed(tickers) if t != "T-missing"]
        return reply(200, {"orderbooks": books})

    server = LoopbackHttp(answer)
    tickers = [f"T-{n}" for n in range(150)]
    with connected(server) as client:
        assert [b.ticker for b in client.get_order_books(tickers)] == tickers
        assert len(server.received) == 2
        assert [b.ticker for b in client.get_order_books(["T-2", "T-missing", "T-1"])] == ["T-2", "T-1"]


def routed(answers: dict[str, object]) -> Callable[[Received], bytes]:
    def answer(request: Received) -> bytes:
        path = urlsplit(request.target).path.removeprefix("/trade-api/v2")
        found = answers.get(path)
        return reply(404) if found is None else reply(200, found)

    return answer


MARKETS = {
    "markets": [
        {
            "ticker": f"KX{n}-A",
            "event_ticker": f"KX{n}",
            "status": "active",
            "price_ranges": [{"start": "0", "end": "1", "step": "0.01"}],
        }
        for n in (1, 2)
    ],
    "cursor": "",
}


def test_markets_are_completed_with_few_requests_and_series_are_remembered() -> None:
    server = LoopbackHttp(
        routed(
            {
                "/markets": MARKETS,
                "/events": {"events": [{"event_ticker": "KX1", "series_ticker": "KXS"}]},
                "/events/KX2": {
                    "event": {"event_ticker": "KX2", "series_ticker": "KXS", "mutually_exclusive": True}
                },
                "/series/KXS": {"series": {"ticker": "KXS", "fee_type": "quadratic", "fee_multiplier": 1}},
            }
        )
    )
    with connected(server) as client:
        for _ in range(2):
            found = client.get_markets(series="KXS", status="open")
            assert [(m.ticker, m.series_ticker, m.exclusive_event) for m in found] == [
                ("KX1-A", "KXS", False),
                ("KX2-A", "KXS", True),
            ]
        stats = client.stats()
        assert (stats["markets"], stats["events"], stats["event"], stats["series"]) == (2, 2, 2, 1)


class SteppedClock(ManualClock):
    """It is the exchange's time that the test sets, whatever replies say."""

    wall_offset_ms = 0

    def observe(self, exchange_ms: int, mono_ms: int, uncertainty_ms: int = 0) -> None:
        pass


def test_a_series_is_read_anew_once_a_change_of_its_fees_is_due() -> None:
    scheduled = {"series_ticker": "KXS", "fee_type": "quadratic", "fee_multiplier": 2}
    server = LoopbackHttp(
        routed(
            {
                "/markets": MARKETS,
                "/events": {
                    "events": [{"event_ticker": name, "series_ticker": "KXS"} for name in ("KX1", "KX2")]
                },
                "/series/KXS": {"series": {"ticker": "KXS", "fee_type": "quadratic", "fee_multiplier": 1}},
                "/series/fee_changes": {
                    "series_fee_change_arr": [
                        {**scheduled, "scheduled_ts": "2026-11-20T12:00:30Z"},
                        {**scheduled, "scheduled_ts": "2027-11-20T12:00:30Z"},
                    ]
                },
                "/events/fee_changes": {"event_fee_changes": []},
            }
        )
    )
    clock = SteppedClock()
    with connected(server, clock=clock) as client:
        reads = []
        for seconds in (0, 29, 1, 2, 10):
            clock.advance(seconds * 1_000)
            client.get_markets(tickers=["KX1-A"])
            assert len(client.get_fee_changes()) == 2
            reads.append(client.stats()["series"])
    assert reads == [1, 1, 2, 3, 3]  # what was read in the second of the change may be of before it


def test_an_exchange_status_is_read_even_from_a_503() -> None:
    told = {"exchange_active": False, "trading_active": False}
    with connected(always(reply(503, told))) as client:
        assert client.get_exchange_status().active is False
    with connected(always(reply(503))) as client, pytest.raises(ExchangeUnreachable):
        client.get_exchange_status()


def test_requests_are_counted_by_class_and_failures_by_code() -> None:
    answers: list[Answer] = [reply(201, created(PLACE)), reply(429, {"error": "too many requests"}), reset]
    server = LoopbackHttp(lambda _: answers.pop(0))
    with connected(server) as client:
        for _ in range(3):
            client.place_order(PLACE)
        assert client.stats() == {"create": 3, "create!429": 1, "create!no_reply": 1}


def test_requests_are_signed() -> None:
    server = always(reply(200, {"as_of_time": "2026-11-20T12:00:00Z"}))
    with connected(server) as client:
        assert client.get_user_data_timestamp() == 1_795_176_000_000
        assert server.received[0].headers["kalshi-access-key"] == "key-id"
        assert len(server.received[0].headers["kalshi-access-signature"]) == 88
