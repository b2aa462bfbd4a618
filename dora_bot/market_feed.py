"""Kalshi's WebSocket on a thread of its own: connects, keeps alive, posts every event to the inbox.

What is said on the line, and when it counts as dead or late, is `feed_line`'s. Every reconnect is signed anew, waits
a little longer than the one before, and starts from snapshots.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import websocket

from dora_bot.clock import MeasuredClock
from dora_bot.events import BookLost, BookSnapshot, FeedDown, FeedUp
from dora_bot.feed_line import FeedLine, Redial
from dora_bot.http_transport import checked_address, dial, tls_context
from dora_bot.models import Instant
from dora_bot.ports import Inbox
from dora_bot.pulse import Pulse, adopt, waiting
from dora_bot.signing import Signer
from dora_bot.wire_values import MAX_FRAME_BYTES

CONNECT_S = 2.0
UPGRADE_MS = 10_000
"""Connecting, TLS and the upgrade together: each step of it waits `CONNECT_S` at most."""
_READ_S = 0.1
_READ_BYTES = 65_536


class RestReader(Protocol):
    """What fills in while the WebSocket is down; see `dora_bot.rest_feed`."""

    def watch(self, tickers: frozenset[str]) -> None: ...

    def poll(self, now: Instant) -> list[object]: ...


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """``jitter`` yields numbers in [0, 1); the ``backoff_s`` steps end in a wait of at least 5 s."""

    url: str
    allowed_hosts: frozenset[str]
    jitter: Callable[[], float]
    snapshot_audit_s: float = 20.0
    backoff_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    ca_file: str = ""
    subaccount: int = 0
    """Orders and fills of other subaccounts, which a key without a lock is told as well, are not ours."""


class MarketFeed:
    """The port `Feed` over a WebSocket. `start` it once; `stop` ends the thread within a second."""

    def __init__(
        self, settings: FeedSettings, signer: Signer, clock: MeasuredClock, inbox: Inbox, rest: RestReader
    ) -> None:
        """Raises `ConfigError` for an address that is not allowed, or a ``ca_file`` that is no good."""
        self._tls = tls_context(settings.ca_file)
        self._address = checked_address(settings.url, settings.allowed_hosts, "ws")
        self._settings = settings
        self._signer = signer
        self._clock = clock
        self._inbox = inbox
        self._rest = rest
        self._line = FeedLine(round(settings.snapshot_audit_s * 1_000), settings.subaccount)
        self._redial = Redial(settings.backoff_s, settings.jitter)
        self._lock = threading.Lock()
        self._tickers: frozenset[str] = frozenset()
        self._doubted: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._connected = False
        self.connection = 0
        self.pulse = Pulse()

    # ── called from other threads ───────────────────────────────────────────────────────────────

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CONNECT_S + 1)

    def watch(self, tickers: frozenset[str]) -> None:
        with self._lock:
            self._tickers = tickers
        self._rest.watch(tickers)

    def resync(self, tickers: frozenset[str]) -> None:
        """These books contradict themselves: ask for snapshots."""
        with self._lock:
            self._doubted |= tickers

    def poll(self, now: Instant) -> list[object]:
        """What is read by REST, on the caller's thread: nothing while the socket is up."""
        if self._connected:
            return []
        found = self._rest.poll(now)
        # What was read while the socket came back is older than its snapshots.
        return [e for e in found if not (self.connected and isinstance(e, BookSnapshot | BookLost))]

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def alive(self) -> bool:
        """Whether the thread runs; it ends only by `stop`, a refusal, or a defect."""
        return self._thread.is_alive()

    @property
    def refused(self) -> str:
        """Why the exchange does not want us, once the feed has given up; empty while it tries."""
        return self._redial.refused

    @property
    def last_heard_mono_ms(self) -> int:
        return self._line.last_heard_mono_ms

    @property
    def counts(self) -> dict[str, int]:
        return dict(self._line.session.counts)

    # ── the thread ──────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        adopt(self.pulse)
        try:
            while not self._stop.is_set():
                begun = self._clock.now().mono_ms
                reason = self._serve_once()
                pause_s = self._redial.pause_s(reason, self._clock.now().mono_ms - begun)
                if self._redial.refused:
                    self._inbox.post(FeedDown(reason))
                    return
                with waiting(round(pause_s * 1_000)):
                    self._stop.wait(pause_s)
        except Exception as error:  # noqa: BLE001  # policy: thread entry point; the feed is down for good
            self._inbox.post(FeedDown(f"feed thread ended: {type(error).__name__}: {error}"))
        finally:
            self._connected = False

    def _serve_once(self) -> str:
        """One connection from upgrade to end. Returns why it ended."""
        try:
            with waiting(UPGRADE_MS):
                connection = self._connect()
        except websocket.WebSocketBadStatusException as error:
            refused = error.status_code in (401, 403)
            return f"{'refused' if refused else 'upgrade failed'}: HTTP {error.status_code}"
        except (websocket.WebSocketException, OSError) as error:
            return f"cannot connect: {error}"
        reason = "stopped"
        try:
            reason = self._converse(connection)
        except (websocket.WebSocketException, OSError) as error:
            reason = f"connection lost: {type(error).__name__}: {error}"[:200]
        finally:
            was_up, self._connected = self._connected, False
            connection.close(timeout=0)
            if was_up:
                self._inbox.post(FeedDown(reason))
        return reason

    def _connect(self) -> websocket.WebSocket:
        now = self._clock.now()
        headers = self._signer.headers("GET", self._address.path, now.exchange_ms)
        connection = _BufferedWebSocket(enable_multithread=False, skip_utf8_validation=True)
        connection.connect(  # type: ignore[no-untyped-call]  # websocket-client leaves this one untyped
            self._settings.url,
            header=headers,
            timeout=CONNECT_S,
            redirect_limit=0,
            suppress_origin=True,
            socket=dial(self._address, self._tls, CONNECT_S),
        )
        connection.settimeout(_READ_S)
        return connection

    def _converse(self, connection: websocket.WebSocket) -> str:
        line = self._line
        self.connection += 1
        with self._lock:
            tickers = self._tickers
        line.opened(tickers, self._clock.now())
        self._connected = True
        self._inbox.post(FeedUp(self.connection))
        while not self._stop.is_set():
            self.pulse.beat()
            now = self._clock.now()
            if now.mono_ms >= line.house_due_ms:
                self._keep_house(connection, now)
            if reason := line.ended(now):
                return reason
            for command in line.session.commands():
                connection.send(command)
            self._hear(connection)
        return "stopped"

    def _hear(self, connection: websocket.WebSocket) -> None:
        """Wait a moment for one frame and take it in."""
        try:
            opcode, data = connection.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return
        now = self._clock.now()
        self._line.heard(now)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise websocket.WebSocketConnectionClosedException("closed by the exchange")
        if opcode not in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
            return
        if len(data) > MAX_FRAME_BYTES:
            raise websocket.WebSocketProtocolException(f"a message of {len(data)} bytes")
        self._post(self._line.receive(data, now))

    def _keep_house(self, connection: websocket.WebSocket, now: Instant) -> None:
        with self._lock:
            tickers, doubted, self._doubted = self._tickers, frozenset(self._doubted), set()
        self._post(self._line.keep_house(tickers, doubted, now))
        if self._line.ping_wanted:
            self._line.ping_wanted = False
            connection.ping()

    def _post(self, events: list[object]) -> None:
        for event in events:
            self._inbox.post(event)


class _BufferedWebSocket(websocket.WebSocket):
    """Reads from the socket in large pieces: at full speed three system calls a frame would be most of the work."""

    _piece = b""
    _at = 0

    def _recv(self, bufsize: int) -> bytes:
        if self._at >= len(self._piece):
            piece: bytes = super()._recv(_READ_BYTES)  # type: ignore[no-untyped-call]  # untyped in websocket-client
            self._piece = piece
            self._at = 0
        taken = self._piece[self._at : self._at + bufsize]
        self._at += len(taken)
        return taken
