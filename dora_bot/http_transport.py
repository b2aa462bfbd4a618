"""HTTP under a total deadline: DNS, connect, write and the whole body within one bound, and nothing hidden.

No retry, no redirect, no proxy, no cookie. A call that fails says whether its first byte was sent: before it,
nothing can have happened at the exchange; after it, anything may have. Calls run on a few worker threads with
one kept-alive connection each, so that a stuck resolver or a trickling body cannot hold the caller, and so that
several calls can be under way at once. Signatures are made on the worker, at the moment of sending.

A caller with less time than the deadline says so: it gets its thread back early, and the answers that were still
under way reach it later.

Knows nothing of orders or markets: the kill path stands on this module and `signing` alone.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from dora_bot.call_ticket import Ticket
from dora_bot.errors import ConfigError, ExchangeUnreachable
from dora_bot.hosts import LOOPBACK
from dora_bot.pulse import waiting

DEADLINE_S = 2.0
LATE = "late"
"""Code of a call whose answer is still waited for, though its caller is not."""
MAX_REPLY_BYTES = 32_000_000
_CHUNK_BYTES = 65_536
_USER_AGENT = "dora-bot"


class Reading(Protocol):
    @property
    def mono_ms(self) -> int: ...

    @property
    def exchange_ms(self) -> int: ...


class TransportClock(Protocol):
    """What is asked of a clock here: both readings, and a place to report the exchange's own time."""

    def now(self) -> Reading: ...

    def observe(self, exchange_ms: int, mono_ms: int, uncertainty_ms: int = 0) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """``target`` is the path below the base, with its query."""

    method: str
    target: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    took_ms: int
    heard_mono_ms: int


@dataclass(frozen=True, slots=True)
class Failure:
    """No usable reply. ``sent`` is false only if provably no byte of the request left."""

    sent: bool
    code: str
    detail: str
    took_ms: int


class Unsent(ExchangeUnreachable):
    """The request never left: no connection, or no worker was free in time."""


class _Local(threading.local):
    ticket: Ticket | None = None
    session: requests.Session | None = None


_LOCAL = _Local()


class _Watched:
    """Mixed into urllib3's connections: connects first, then asks the ticket before every write."""

    sock: Any
    connect: Callable[[], None]

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if _LOCAL.ticket is not None:
            _LOCAL.ticket.about_to_send(self.sock)
        super().send(data)  # type: ignore[misc]  # the base is urllib3's connection, beside which this is mixed in


class _HttpConnection(_Watched, urllib3.connection.HTTPConnection):
    connect = urllib3.connection.HTTPConnection.connect


class _HttpsConnection(_Watched, urllib3.connection.HTTPSConnection):
    connect = urllib3.connection.HTTPSConnection.connect


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """TLS that proves the host's name, by ``ca_file`` alone if there is one. Raises `ConfigError` if it is no good.

    Made by hand, because the usual ones also listen to the environment: other certificates, a file for the keys.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca_file or requests.utils.DEFAULT_CA_BUNDLE_PATH)
    except OSError as error:
        raise ConfigError(f"ca_file {ca_file}: {error.strerror or error}") from error
    return context


def dial(address: SplitResult, tls: ssl.SSLContext, timeout_s: float) -> socket.socket:
    """A connection straight to the host, under TLS unless the scheme says plain. Raises `OSError`.

    The WebSocket library would go by a proxy of the environment; on a socket that it is handed it cannot.
    """
    host, secure = str(address.hostname), address.scheme in ("https", "wss")
    connection = socket.create_connection((host, address.port or (443 if secure else 80)), timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(connection, server_hostname=host) if secure else connection


class _Adapter(HTTPAdapter):
    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def checked_address(url: str, allowed_hosts: frozenset[str], scheme: str) -> SplitResult:
    """The parts of an address that may see a signature; ``scheme`` is ``http`` or ``ws``, an ``s`` added means TLS.

    Raises `ConfigError` for any other scheme, a host that is not allowed, or no TLS outside loopback.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in (scheme, f"{scheme}s") or not host:
        raise ConfigError(f"{url!r} is not an {scheme}(s) address")
    if host not in allowed_hosts:
        raise ConfigError(
            f"host {host} is not an allowed exchange host; DORA_ENV=paper allows loopback, demo and live their own"
        )
    if parts.scheme == scheme and host not in LOOPBACK:
        raise ConfigError(f"{url} is not {scheme}s; plain {scheme} is for loopback only")
    return parts


Sign = Callable[[str, str, int], Mapping[str, str]]
"""(method, path from the root, exchange time in ms) → headers; see `dora_bot.signing`."""


@dataclass(slots=True)
class HttpTransport:
    """Signed calls to one host. Thread-safe; `close` it to end its threads.

    ``allowed_hosts`` must hold the base's host, so that a mistyped address never sees a signature. With a ``ca_file``
    its certificates vouch for the host, and no others.
    Raises `ConfigError` for an address that is not HTTPS (plain HTTP is for loopback) or not allowed.
    """

    base_url: str
    sign: Sign
    clock: TransportClock
    allowed_hosts: frozenset[str]
    connections: int = 8
    deadline_s: float = DEADLINE_S
    ca_file: str = ""
    _tls: ssl.SSLContext = field(init=False, repr=False)
    _pool: ThreadPoolExecutor = field(init=False, repr=False)
    _root: str = field(init=False, repr=False)
    _base_path: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = checked_address(self.base_url, self.allowed_hosts, "http")
        self._tls = tls_context(self.ca_file)
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._base_path = parts.path.rstrip("/")
        self._pool = ThreadPoolExecutor(self.connections, thread_name_prefix="http")

    def call(self, call: Call) -> Reply:
        """One call. Raises `Unsent` if no byte left, `ExchangeUnreachable` for any other lack of a reply."""
        answer = self.call_all([call])[0]
        if isinstance(answer, Failure):
            kind = ExchangeUnreachable if answer.sent else Unsent
            raise kind(f"{call.method} {call.target.partition('?')[0]}: {answer.code}: {answer.detail}")
        return answer

    def call_all(
        self,
        calls: Sequence[Call],
        patience_s: float = DEADLINE_S,
        on_late: Callable[[int, Reply | Failure], None] = lambda _number, _answer: None,
    ) -> list[Reply | Failure]:
        """All calls side by side, answers in their order; back within the deadline, whatever happens.

        With less patience than that, back within it: a call that is still under way then is a `Failure` with the code
        `LATE`, and ``on_late`` is told its place and its answer within the deadline, on a thread of the transport.
        """
        begun = self.clock.now().mono_ms
        ticket_end = begun + round(self.deadline_s * 1000)
        patience_end = begun + round(min(patience_s, self.deadline_s) * 1000)
        tickets = [Ticket(ticket_end) for _ in calls]
        answers: list[Reply | Failure] = []
        with waiting(patience_end - begun):
            futures = [self._pool.submit(self._perform, *pair) for pair in zip(calls, tickets, strict=True)]
            for number, (future, ticket) in enumerate(zip(futures, tickets, strict=True)):
                answer = self._wait(future, ticket, begun, patience_end)
                if isinstance(answer, Failure) and answer.code == LATE:
                    self._follow(future, ticket, partial(on_late, number))
                answers.append(answer)
        return answers

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _wait(
        self, future: "Future[Reply | Failure]", ticket: Ticket, begun: int, patience_end: int
    ) -> Reply | Failure:
        left_s = (patience_end - self.clock.now().mono_ms) / 1000
        try:
            return future.result(timeout=max(left_s, 0.0))
        except FutureTimeoutError:
            took = self.clock.now().mono_ms - begun
            if future.cancel():
                return Failure(sent=False, code="no_worker", detail="every connection is busy", took_ms=took)
            if patience_end < ticket.deadline_mono_ms and ticket.give_up_unsent():
                return Failure(sent=True, code=LATE, detail=f"no reply yet after {took} ms", took_ms=took)
            sent = ticket.give_up()
            return Failure(sent, "timeout", f"no whole reply within {took / 1000:g} s", took)

    def _follow(
        self, future: "Future[Reply | Failure]", ticket: Ticket, tell: Callable[[Reply | Failure], None]
    ) -> None:
        """Nobody waits any more: a timer keeps the deadline, and who asked is told the end."""
        timer = threading.Timer(
            max(ticket.deadline_mono_ms - self.clock.now().mono_ms, 0) / 1000, ticket.give_up
        )
        timer.daemon = True
        timer.start()

        def ended(done: "Future[Reply | Failure]") -> None:
            timer.cancel()
            tell(done.result())

        future.add_done_callback(ended)

    # ── on a worker thread ──────────────────────────────────────────────────────────────────────

    def _perform(self, call: Call, ticket: Ticket) -> Reply | Failure:
        begun = self.clock.now().mono_ms
        _LOCAL.ticket = ticket
        session = _LOCAL.session = _LOCAL.session or self._session()
        try:
            reply = self._send(session, call, ticket)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            session.close()
            now = self.clock.now().mono_ms
            code = "no_reply" if ticket.sent else "no_connection"
            if now >= ticket.deadline_mono_ms:
                code = "timeout"
            return Failure(ticket.sent, code, f"{_short(error)} ({self._root})", now - begun)
        finally:
            ticket.done()
            _LOCAL.ticket = None
        return reply

    def _send(self, session: requests.Session, call: Call, ticket: Ticket) -> Reply:
        before = self.clock.now()
        left_s = max((ticket.deadline_mono_ms - before.mono_ms) / 1000, 0.001)
        path = self._base_path + call.target
        headers = dict(self.sign(call.method, path, before.exchange_ms))
        if call.body:
            headers["Content-Type"] = "application/json"
        with session.request(
            call.method,
            self._root + path,
            data=call.body or None,
            headers=headers,
            timeout=(left_s, left_s),
            allow_redirects=False,
            stream=True,
        ) as response:
            headed = self.clock.now()
            self._observe_date(response.headers.get("Date", ""), before.mono_ms, headed.mono_ms)
            body = self._body(response, ticket)
        heard = self.clock.now().mono_ms
        return Reply(response.status_code, body, heard - before.mono_ms, heard)

    def _body(self, response: requests.Response, ticket: Ticket) -> bytes:
        """Raises `TimeoutError` past the deadline and `ValueError` for a reply that is too long or cut short."""
        chunks = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            chunks += chunk
            if len(chunks) > MAX_REPLY_BYTES:
                raise ValueError(f"a reply of more than {MAX_REPLY_BYTES} bytes")
            if self.clock.now().mono_ms > ticket.deadline_mono_ms:
                raise TimeoutError("the deadline passed inside the body")
        return bytes(chunks)

    def _observe_date(self, date: str, sent_mono_ms: int, heard_mono_ms: int) -> None:
        """The ``Date`` header names the second the reply was made in; the transit adds to the doubt."""
        try:
            second_ms = round(parsedate_to_datetime(date).timestamp() * 1000)
        except (TypeError, ValueError):
            return  # no Date, or not one: nothing to learn from this reply
        doubt = (999 + heard_mono_ms - sent_mono_ms) // 2
        self.clock.observe(second_ms + doubt, heard_mono_ms, doubt)

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers.clear()
        session.headers.update({"User-Agent": _USER_AGENT, "Accept": "application/json"})
        session.verify = self.ca_file or True
        adapter = _Adapter(self._tls)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session


def _short(error: Exception) -> str:
    """The system's own words where it has any, not those of the libraries around them."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {error}"[:200]
