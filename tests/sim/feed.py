"""The bot's half of the market data connection: the production line (`feed_line`) on simulated bytes.

A connection is refused, breaks, goes silent, slow or wrong for a while; then it is dialled again as the production
feed does. While it is down the production REST feed stands in.
"""

from collections.abc import Callable

from dora_bot.events import BookLost, BookSnapshot, FeedDown, FeedUp
from dora_bot.feed_line import FeedLine, Redial
from dora_bot.models import Instant
from dora_bot.paper.ws_frames import Frame
from dora_bot.pulse import Pulse
from dora_bot.rest_feed import RestFeed
from tests.sim.faults import Faults
from tests.sim.kernel import Kernel
from tests.sim.proof import Proof
from tests.sim.venue import BOT, Venue
from tests.sim.wire import SPANS, Socket

AUDIT_MS = 20_000
HOUSE_MS = 500
SPAN_MS = 10_000
"""Once in so long the whole connection may go bad, for as long."""

UPGRADE = ("refuse", "refuse", "refuse", "denied", "flap", "flap")
REASONS = {"refuse": "upgrade failed: HTTP 502", "denied": "refused: HTTP 401"}
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class SimFeed:
    """Implements `ports.Feed`. ``post`` puts an event into the inbox of the life it belongs to."""

    def __init__(
        self,
        kernel: Kernel,
        venue: Venue,
        faults: Faults,
        post: Callable[[object], None],
        rest: RestFeed,
        now: Callable[[], Instant],
    ) -> None:
        self.kernel = kernel
        self.venue = venue
        self.faults = faults
        self.post = post
        self.now = now
        self.connection = 0
        self.up = False
        self.closed = False
        self.alive = False
        self.line = FeedLine(AUDIT_MS)
        self.socket: Socket | None = None
        self.evidence_ms = 0
        """When the line last proved that it lives (virtual)."""
        self.proof = Proof(kernel.now_ms)
        self._rest = rest
        self._redial = Redial(BACKOFF_S, lambda: faults.share(f"jitter/{self._name}"))
        self._tickers: frozenset[str] = frozenset()
        self._doubted: set[str] = set()
        self._seen: dict[int, int] = {}
        self._began_ms = 0
        self._name = ""

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """As the production feed: the connection is made from here on."""
        self.alive = True
        self._dial()

    def stop(self) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        self.alive = self.up = False
        if self.socket is not None:
            self.socket.close()

    @property
    def pulse(self) -> Pulse:
        """The feed's thread never stands still here."""
        return Pulse(beats=self.kernel.now_ms)

    @property
    def connected(self) -> bool:
        return self.up

    @property
    def refused(self) -> str:
        return self._redial.refused

    def watch(self, tickers: frozenset[str]) -> None:
        self._tickers = tickers
        self._rest.watch(tickers)

    def resync(self, tickers: frozenset[str]) -> None:
        self._doubted |= tickers

    def poll(self, now: Instant) -> list[object]:
        """As `MarketFeed`: what was read while the line came back is older than its snapshots."""
        found = [] if self.up else self._rest.poll(now)
        if self.up:
            return [e for e in found if not isinstance(e, BookSnapshot | BookLost)]
        for event in found:
            if isinstance(event, BookSnapshot):
                self.proof.read(event.ticker, self.kernel.now_ms)
        return found

    # ── for the judge ───────────────────────────────────────────────────────────────────────────

    def truth_sum(self, ticker: str) -> int | None:
        """The sum of the market's true book at the number the line has come to; None where nothing can be said."""
        if not self.up or self.socket is None:
            return None
        for sid, marks in reversed(self.socket.marks.items()):
            seen = self._seen.get(sid, 0)
            return next((total for seq, total in reversed(marks.get(ticker, ())) if seq <= seen), None)
        return None

    def wrong_since_ms(self, ticker: str) -> int | None:
        """Since when the exchange has lied about this book, or kept its frames back; None if it has not."""
        return self.socket.doubt_ms.get(ticker) if self.up and self.socket else None

    # ── the connection ──────────────────────────────────────────────────────────────────────────

    def _dial(self) -> None:
        if self.closed:
            return
        self.connection += 1
        self._began_ms = self.kernel.now_ms
        self._name = f"{self.connection}.{self._began_ms}"
        kind = self.faults.strike(f"upgrade/{self._name}", UPGRADE)
        if kind in REASONS:
            self._again(REASONS[kind])
            return
        socket = self.socket = Socket(
            self.venue.exchange, BOT, self._name, self._arrived, lambda why: self._down(socket, why)
        )
        self._seen = {}
        self.proof.opened()
        self.line.opened(self._tickers, self.now())
        self.evidence_ms = self.kernel.now_ms
        self.up = True
        self.post(FeedUp(self.connection))
        if kind == "flap":
            self.kernel.at(self.kernel.now_ms + 200, lambda: socket.cut("closed by the exchange"))
        self._keep_house(socket)
        self._plan_span(socket)

    def _again(self, why: str) -> None:
        pause_s = self._redial.pause_s(why, self.kernel.now_ms - self._began_ms)
        if self.refused:
            self.post(FeedDown(why))
            self.alive = False
            return
        self.kernel.at(self.kernel.now_ms + round(pause_s * 1_000), self._dial)

    def _down(self, socket: Socket, why: str) -> None:
        if self.closed or socket is not self.socket or not self.up:
            return
        self.up = False
        self.proof.lost(self.evidence_ms, self.kernel.now_ms)
        socket.close()
        self.post(FeedDown(why))
        self._again(why)

    def _keep_house(self, socket: Socket) -> None:
        if self.closed or socket is not self.socket or not self.up:
            return
        self.kernel.at(self.kernel.now_ms + HOUSE_MS, lambda: self._keep_house(socket))
        doubted, self._doubted = frozenset(self._doubted), set()
        now = self.now()
        for event in self.line.keep_house(self._tickers, doubted, now):
            self.post(event)
        if self.line.ping_wanted:
            self.line.ping_wanted = False
            self.kernel.at(self.kernel.now_ms + 30, lambda: self._pong(socket))
        self._after(socket, now)

    def _pong(self, socket: Socket) -> None:
        if socket is self.socket and self.up and socket.answers_pings:
            self.line.heard(self.now())
            self.evidence_ms = self.kernel.now_ms

    def _arrived(self, batch: list[tuple[Frame, bytes]]) -> None:
        socket = self.socket
        if self.closed or socket is None or not self.up:
            return
        now = self.now()
        self.evidence_ms = self.kernel.now_ms
        for made, data in batch:
            for event in self.line.receive(data, now):
                self.post(event)
            if made.sid and made.seq:
                self._seen[made.sid] = made.seq
                self.proof.frame(made, socket.marks, self.kernel.now_ms)
        self._after(socket, now)

    def _after(self, socket: Socket, now: Instant) -> None:
        """What the line wants sent, or that it wants to be no more."""
        if ended := self.line.ended(now):
            self._down(socket, ended)
        elif commands := self.line.session.commands():
            self.kernel.at(self.kernel.now_ms + 5, lambda: socket.receive(commands))

    def _plan_span(self, socket: Socket) -> None:
        """The line may break at once, or go bad for some seconds."""
        kernel = self.kernel

        def check() -> None:
            if self.closed or socket is not self.socket or not self.up:
                return
            socket.span = self.faults.strike(f"span/{self._name}.{kernel.now_ms}", SPANS, 0.6)
            if socket.span == "close":
                socket.cut("connection lost")
                return
            kernel.at(kernel.now_ms + SPAN_MS, check)

        kernel.at(kernel.now_ms + SPAN_MS, check)
