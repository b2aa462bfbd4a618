"""The transport against a real server that misbehaves: bounded in time, nothing hidden, honest about what was sent."""

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dora_bot.errors import ConfigError, ExchangeUnreachable
from dora_bot.http_transport import LATE, Call, Failure, HttpTransport, Reply, Unsent
from tests.fakes.loopback_http import Answer, LoopbackHttp, Received, reply, reset
from tests.fakes.observed_clock import ObservedClock

LOOPBACK = frozenset({"127.0.0.1"})
DEADLINE_S = 0.5
GET = Call("GET", "/exchange/status")
POST = Call("POST", "/portfolio/events/orders", b'{"a":1}')


def signed(method: str, path: str, now_ms: int) -> dict[str, str]:
    return {"X-Signed": f"{method} {path} {now_ms}"}


@contextmanager
def transport(
    url: str, *, connections: int = 4, deadline_s: float = DEADLINE_S, clock: ObservedClock | None = None
) -> Iterator[HttpTransport]:
    made = HttpTransport(url, signed, clock or ObservedClock(), LOOPBACK, connections, deadline_s)
    try:
        yield made
    finally:
        made.close()


def always(answer: Answer) -> LoopbackHttp:
    return LoopbackHttp(lambda _: answer)


def failure(answer: Reply | Failure) -> Failure:
    assert isinstance(answer, Failure)
    return answer


def test_a_call_carries_what_was_asked_and_brings_the_reply_back() -> None:
    with always(reply(201, {"ok": True})) as server, transport(server.url) as client:
        answer = client.call(POST)
        assert (answer.status, answer.body) == (201, b'{"ok": true}')
        (request,) = server.received
        assert (request.method, request.target, request.body) == (
            "POST",
            "/trade-api/v2/portfolio/events/orders",
            b'{"a":1}',
        )
        assert request.headers["content-type"] == "application/json"
        assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_a_delete_sends_its_body() -> None:
    with always(reply(200)) as server, transport(server.url) as client:
        client.call(Call("DELETE", "/x", b'{"orders":[]}'))
        assert server.received[0].body == b'{"orders":[]}'


def test_the_signature_covers_the_whole_path_and_is_made_when_sending() -> None:
    clock = ObservedClock()
    with always(reply(200)) as server, transport(server.url, clock=clock) as client:
        before = clock.now().exchange_ms
        client.call(Call("GET", "/markets?limit=1"))
        method, path, stamp = server.received[0].headers["x-signed"].split()
        assert (method, path) == ("GET", "/trade-api/v2/markets?limit=1")
        assert before <= int(stamp) <= before + 500


def test_connections_are_kept_alive() -> None:
    with always(reply(200)) as server, transport(server.url, connections=1) as client:
        for _ in range(5):
            client.call(GET)
        assert (len(server.received), server.connections) == (5, 1)


def test_a_connection_the_server_closed_while_idle_is_replaced_before_use() -> None:
    with always(reply(200, headers="Connection: close\r\n")) as server, transport(server.url) as client:
        assert [client.call(POST).status for _ in range(3)] == [200, 200, 200]


def test_calls_go_side_by_side() -> None:
    barrier = threading.Barrier(3)

    def together(request: Received) -> bytes:
        barrier.wait(5)
        return reply(200, request.target.encode())

    with LoopbackHttp(together) as server, transport(server.url, deadline_s=5) as client:
        answers = client.call_all([Call("GET", f"/{n}") for n in range(3)])
        assert [a.body[-2:] for a in answers if isinstance(a, Reply)] == [b"/0", b"/1", b"/2"]


def slow(seconds: float) -> LoopbackHttp:
    def answer(_: Received) -> bytes:
        time.sleep(seconds)
        return reply(200, b"late")

    return LoopbackHttp(answer)


class Told:
    """What is told of late answers."""

    def __init__(self) -> None:
        self.answers: queue.Queue[tuple[int, Reply | Failure]] = queue.Queue()

    def __call__(self, number: int, answer: Reply | Failure) -> None:
        self.answers.put((number, answer))

    def next(self) -> tuple[int, Reply | Failure]:
        return self.answers.get(timeout=5.0)


def test_a_caller_in_a_hurry_is_told_later() -> None:
    told = Told()
    with slow(0.5) as server, transport(server.url, deadline_s=5.0) as client:
        (answer,) = client.call_all([POST], 0.1, told)
        assert (failure(answer).code, failure(answer).sent) == (LATE, True)
        assert failure(answer).took_ms < 450
        number, late = told.next()
        assert (number, late.body if isinstance(late, Reply) else b"") == (0, b"late")
        assert len(server.received) == 1


def test_nobody_waits_for_ever_for_a_late_answer() -> None:
    told = Told()
    with slow(3.0) as server, transport(server.url, deadline_s=0.4) as client:
        client.call_all([POST], 0.1, told)
        _, late = told.next()
        assert (failure(late).sent, failure(late).code) == (True, "timeout")
        assert failure(late).took_ms < 2_000


def test_what_was_not_sent_when_patience_ends_is_never_sent() -> None:
    told = Told()
    with slow(0.6) as server, transport(server.url, connections=1, deadline_s=5.0) as client:
        first, second = client.call_all([GET, POST], 0.1, told)
        assert failure(first).code == LATE
        assert (failure(second).code, failure(second).sent) == ("no_worker", False)
        told.next()
        assert [request.method for request in server.received] == ["GET"]
        assert told.answers.empty()


def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    elsewhere = reply(302, headers="Location: http://127.0.0.1:1/\r\nSet-Cookie: a=b; Path=/\r\n")
    with always(elsewhere) as server, transport(server.url) as client:
        assert client.call(GET).status == 302
        assert client.call(GET).status == 302
        assert "cookie" not in server.received[1].headers


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with always(reply(200)) as server, transport(server.url) as client:
        assert client.call(GET).status == 200


def partial(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{")


def half_a_word(connection: socket.socket) -> None:
    connection.sendall(b"HTT")


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\x00\x01\x02 hello\r\n\r\n")


def too_long(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


@pytest.mark.parametrize("answer", [reset, partial, half_a_word, nonsense, too_long, lambda _: None])
def test_a_broken_reply_is_a_failure_after_sending_and_is_not_tried_again(answer: Answer) -> None:
    with always(answer) as server, transport(server.url) as client:
        found = failure(client.call_all([POST])[0])
        assert (found.sent, found.code) == (True, "no_reply")
        assert len(server.received) == 1
        with pytest.raises(ExchangeUnreachable) as caught:
            client.call(POST)
        assert not isinstance(caught.value, Unsent)


@pytest.mark.parametrize("how", ["hang", "trickle"])
def test_the_deadline_holds_for_the_whole_reply(how: str) -> None:
    server = LoopbackHttp(lambda _: getattr(server, how))
    with server, transport(server.url) as client:
        begun = time.monotonic()
        found = failure(client.call_all([POST])[0])
        assert DEADLINE_S * 0.9 <= time.monotonic() - begun < DEADLINE_S + 0.4
        assert (found.sent, found.code) == (True, "timeout")


def test_a_worker_is_freed_when_the_caller_gives_up() -> None:
    server = LoopbackHttp(lambda _: server.trickle if len(server.received) <= 3 else reply(200))
    with server, transport(server.url, connections=1) as client:
        for _ in range(3):
            assert failure(client.call_all([POST])[0]).sent
        assert client.call(GET).status == 200


def test_a_refused_connection_sent_nothing(free_port: object) -> None:
    assert callable(free_port)
    with transport(f"http://127.0.0.1:{free_port()}/trade-api/v2") as client:
        found = failure(client.call_all([POST])[0])
        assert (found.sent, found.code) == (False, "no_connection")
        with pytest.raises(Unsent, match="POST /portfolio/events/orders"):
            client.call(POST)


def test_a_call_given_up_before_its_first_byte_is_never_sent_afterwards() -> None:
    delays = [DEADLINE_S + 0.3, 0.0]

    def slowly(method: str, path: str, now_ms: int) -> dict[str, str]:
        time.sleep(delays.pop(0))  # stands for a resolver that takes its time
        return signed(method, path, now_ms)

    with always(reply(201)) as server:
        client = HttpTransport(server.url, slowly, ObservedClock(), LOOPBACK, 1, DEADLINE_S)
        assert failure(client.call_all([POST])[0]).sent is False
        assert client.call(GET).status == 201
        client.close()
        assert [request.method for request in server.received] == ["GET"]


def test_a_call_that_found_no_free_worker_sent_nothing() -> None:
    server = LoopbackHttp(lambda _: server.hang)
    with server, transport(server.url, connections=1) as client:
        first, second = client.call_all([POST, POST])
        assert failure(first).sent
        assert (failure(second).sent, failure(second).code) == (False, "no_worker")
        server.released.set()
        assert len(server.received) == 1


def test_a_connection_that_is_never_accepted_sent_nothing() -> None:
    # A listener whose backlog is full: the TCP handshake of one more connection does not finish.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with transport(f"http://127.0.0.1:{port}/trade-api/v2") as client:
            found = failure(client.call_all([POST])[0])
        for filler in fillers:
            filler.close()
    assert found.sent is False


def test_an_endless_reply_is_cut_off() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 99000000\r\n\r\n")
        block = b" " * 1_000_000
        for _ in range(40):
            connection.sendall(block)

    with always(endless) as server, transport(server.url, deadline_s=5) as client:
        found = failure(client.call_all([GET])[0])
        assert (found.sent, found.code) == (True, "no_reply")
        assert "32000000" in found.detail


def test_the_date_of_a_reply_tells_the_exchanges_time() -> None:
    clock = ObservedClock()
    dated = reply(200, headers="Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n")
    with always(dated) as server, transport(server.url, clock=clock) as client:
        client.call(GET)
    ((exchange_ms, _, doubt_ms),) = clock.observations
    assert exchange_ms - doubt_ms == 1_795_176_000_000
    assert 499 <= doubt_ms < 800


@pytest.mark.parametrize("headers", ["", "Date: \r\n", "Date: yesterday\r\n", "Date: 5\r\n"])
def test_a_reply_without_a_date_teaches_nothing(headers: str) -> None:
    clock = ObservedClock()
    with always(reply(200, headers=headers)) as server, transport(server.url, clock=clock) as client:
        client.call(GET)
    assert clock.observations == []


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://evil.example/trade-api/v2", "not an allowed exchange host"),
        ("http://10.0.0.1/trade-api/v2", "not an allowed exchange host"),
        ("ftp://127.0.0.1/", "not an http"),
        ("127.0.0.1:80", "not an http"),
        ("", "not an http"),
        ("http://plain.example/trade-api/v2", "plain http is for loopback"),
    ],
)
def test_an_address_that_must_not_see_a_signature_is_refused(url: str, complaint: str) -> None:
    allowed = frozenset({"127.0.0.1", "plain.example"})
    with pytest.raises(ConfigError, match=complaint):
        HttpTransport(url, signed, ObservedClock(), allowed)
