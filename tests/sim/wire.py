"""The exchange's half of a WebSocket: the paper exchange's own sessions, numbering and codec, over a line with faults.

Frames of one subscription leave in order; how late is drawn once for all that one moment brings. Every frame of the
book, of fills, orders and the life cycle is a fault point of its own; spans strike the whole connection. What the book
was at each number is remembered as a sum, so that the judge can hold the bot's book against it at (sid, seq).
"""

from collections import deque
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dora_bot.paper.auth import ApiKey
from dora_bot.paper.events import BookChanged, EngineEvent, TickerChanged, TradePrinted
from dora_bot.paper.faults import Fault
from dora_bot.paper.frame_damage import damaged, mirrored
from dora_bot.paper.ws_frames import Frame, encode, frame
from dora_bot.paper.ws_hub import Hub, Subscription
from dora_bot.paper.ws_session import ERRORS, WsSession
from tests.sim.faults import Faults
from tests.sim.kernel import Kernel

if TYPE_CHECKING:
    from dora_bot.paper.venue import Venue as PaperVenue
    from tests.sim.venue import Venue

BOOK = "orderbook_delta"
DELAY_MS = 8_000
BOOK_DELAY_MS = 1_500
"""Later than two seconds is noticed by the frames' age, which is what the slow spans are for."""

SLOW_MS = 8_000
FRAME_WEIGHT = 0.1
REMEMBERED = 4_096
DAMAGE = ("bad_json", "unknown_type", "missing_side", "negative_size")
PRIVATE_FAULTS = ("drop", "drop", "drop", "dup", "reorder", "delay", "delay", *DAMAGE)
BOOK_FAULTS = (
    "drop", "drop", "gap", "dup", "reorder", "delay", "ok", "error", "terminal", "overflow", "lie", *DAMAGE,
)  # fmt: skip
FAULTS_OF = {
    BOOK: BOOK_FAULTS,
    "fill": PRIVATE_FAULTS,
    "user_orders": PRIVATE_FAULTS,
    "market_lifecycle_v2": PRIVATE_FAULTS,
    "order_group_updates": PRIVATE_FAULTS,
}
SPANS = ("close", "half_open", "silence", "mute", "slow", "mirror")
"""``silence``: no frame, but pongs; ``mute``: no frame of the book; ``slow``: everything late, in order."""

UNHEARD = (TickerChanged, TradePrinted)
"""Nothing is decided on these; telling them would take a quarter of the simulation's time."""

_WEIGHTS: dict[tuple[bool, int], int] = {}
_MODULUS = (1 << 61) - 1


def level_weight(level: tuple[bool, int]) -> int:
    """A number for a level: the sum of size × weight over all levels stands for a whole book."""
    found = _WEIGHTS.get(level)
    if found is None:
        found = _WEIGHTS[level] = pow(3, level[1] * 2 + level[0] + 7, _MODULUS)
    return found


def book_sum(bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> int:
    total = sum(level_weight((True, price)) * size for price, size in bids)
    return (total + sum(level_weight((False, price)) * size for price, size in asks)) % _MODULUS


class Exchange:
    """What all connections share: who listens to what, and what each book is at the event that is being told."""

    def __init__(self, venue: "Venue") -> None:
        self.venue = venue
        self.hub = Hub(venue.engine)
        self.sums: dict[str, int] = {}
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()

    def publish(self, events: list[EngineEvent]) -> None:
        """Event by event, so that the sums are those of the moment."""
        for event in events:
            if isinstance(event, BookChanged):
                weight = level_weight((event.is_bid, event.price_e4))
                before = self.sums.get(event.ticker, 0)
                self.sums[event.ticker] = (before + weight * event.delta_e2) % _MODULUS
            if not isinstance(event, UNHEARD):
                self.hub.publish((event,))

    def key(self, account: str) -> ApiKey:
        return ApiKey("sim", account, self._key)


class Socket:
    """One connection as the exchange has it. ``deliver`` gets what arrives at the other end, ``closed`` its end."""

    def __init__(
        self,
        exchange: Exchange,
        account: str,
        name: str,
        deliver: Callable[[list[tuple[Frame, bytes]]], None],
        closed: Callable[[str], None],
    ) -> None:
        venue = exchange.venue
        self.name = name
        self.span = ""
        """What ails the whole connection now."""
        self.marks: dict[int, dict[str, deque[tuple[int, int]]]] = {}
        """By sid and market: what the book was at each number."""
        self.doubt_ms: dict[str, int] = {}
        """Markets whose frames lied or were kept back, and since when (virtual)."""
        self._exchange = exchange
        self._kernel: Kernel = venue.kernel
        self._faults: Faults = venue.faults
        self._deliver = deliver
        self._closed = closed
        self._gone = False
        self._frames: dict[int, int] = {}
        self._losing = 0
        self._held: dict[int, Frame] = {}
        self._batches: dict[int, tuple[int, int, list[tuple[Frame, bytes]]]] = {}
        self._ways: dict[str, Callable[[Subscription, Frame], list[Frame]]] = {
            "drop": lambda _sub, _made: [],
            "gap": lambda _sub, _made: [],
            "dup": lambda _sub, made: [made, made],
            "reorder": self._kept,
            "delay": self._late,
            "ok": lambda sub, made: [made, self._spent(sub, "ok")],
            "error": lambda sub, made: [made, self._spent(sub, "error")],
            "terminal": lambda sub, _made: self._ended(sub, 10),
            "overflow": lambda sub, _made: self._ended(sub, 25),
            "lie": lambda _sub, made: [self._lie(made)],
        }
        for damage in DAMAGE:
            self._ways[damage] = lambda _sub, made, how=damage: self._damaged(made, how)  # type: ignore[misc]  # bound now
        around = SimpleNamespace(
            engine=venue.engine, hub=exchange.hub, frame_faults=self, now_ms=lambda: venue.now_ms
        )
        self._session = WsSession(cast("PaperVenue", around), exchange.key(account), 1)
        self._session.bind(self._put)

    # ── what the client does ────────────────────────────────────────────────────────────────────

    def receive(self, commands: list[bytes]) -> None:
        if self._gone or self.span == "half_open":
            return
        self._exchange.venue.step(lambda _: None)
        for command in commands:
            self._session.receive(command)

    @property
    def answers_pings(self) -> bool:
        return not self._gone and self.span != "half_open"

    def close(self) -> None:
        """Nothing arrives any more, what is under way included."""
        self._gone = True
        self._session.close()

    def cut(self, why: str) -> None:
        if not self._gone:
            self.close()
            self._closed(why)

    # ── what leaves: `frame_faults` of the session ──────────────────────────────────────────────

    def mutes(self, _session: WsSession, _control: str) -> bool:
        return self.span in ("half_open", "silence")

    def through(self, _session: WsSession, sub: Subscription, made: Frame) -> list[Frame]:
        """What leaves instead of this frame, in order."""
        if sub.channel == BOOK:
            self._mark(made)
        if self.span:
            if self._is_kept_back(sub):
                self._doubt(made.ticker)
                return []
            if self.span == "mirror" and made.ticker and sub.channel == BOOK:
                self._doubt(made.ticker)
                made = mirrored(made)
        kinds = FAULTS_OF.get(sub.channel)
        if kinds is None:
            return [made]
        number = self._frames[sub.sid] = self._frames.get(sub.sid, 0) + 1
        kind = self._faults.strike(f"{sub.channel}/{self.name}.{sub.sid}.{number}", kinds, FRAME_WEIGHT)
        found = self._struck(sub, made, kind) if kind or self._losing else [made]
        held = self._held.pop(sub.sid, None) if found else None
        return found if held is None else [*found, held]

    def _struck(self, sub: Subscription, made: Frame, kind: str) -> list[Frame]:
        if self._losing and sub.channel == BOOK:
            self._losing -= 1
            return []
        if kind == "gap":
            self._losing = 2
        how = self._ways.get(kind)
        return [made] if how is None else how(sub, made)

    def _ended(self, sub: Subscription, code: int) -> list[Frame]:
        self._session.terminate(code, sub)
        return []

    def _kept(self, sub: Subscription, made: Frame) -> list[Frame]:
        """It follows the next one."""
        if sub.sid in self._held:
            return [made]
        self._held[sub.sid] = made
        return []

    def _late(self, sub: Subscription, made: Frame) -> list[Frame]:
        return [made._replace(delay_s=(BOOK_DELAY_MS if sub.channel == BOOK else DELAY_MS) / 1_000)]

    def _damaged(self, made: Frame, how: str) -> list[Frame]:
        if how == "missing_side" and made.type == "orderbook_snapshot":
            return [self._lie(made)]
        return [damaged(made, Fault("", "ws.frame", {}, {"how": how}, {}))]

    def _spent(self, sub: Subscription, kind: str) -> Frame:
        """A frame that tells nothing and uses up a number."""
        message = {} if kind == "ok" else {"code": 11, "msg": ERRORS[11]}
        return frame(kind, encode(message), sid=sub.sid, seq=sub.next_seq(), cid=999_999)

    def _lie(self, made: Frame) -> Frame:
        """Another size than the truth (or sides left out), which nothing in the frame betrays."""
        self._doubt(made.ticker)
        if made.type == BOOK:
            body = made.body.replace(b'"delta_fp":"', b'"delta_fp":"7', 1)
            return made._replace(body=body.replace(b'"delta_fp":"7-', b'"delta_fp":"-7', 1))
        return damaged(made, Fault("", "ws.frame", {}, {"how": "missing_side"}, {}))

    def _mark(self, made: Frame) -> None:
        if made.ticker and made.seq:
            marks = self.marks.setdefault(made.sid, {}).setdefault(made.ticker, deque(maxlen=REMEMBERED))
            marks.append((made.seq, self._exchange.sums.get(made.ticker, 0)))
            if made.type != BOOK:
                self.doubt_ms.pop(made.ticker, None)

    def _doubt(self, ticker: str) -> None:
        if ticker:
            self.doubt_ms.setdefault(ticker, self._kernel.now_ms)

    def _is_kept_back(self, sub: Subscription) -> bool:
        return self.span in ("half_open", "silence") or (self.span == "mute" and sub.channel == BOOK)

    # ── on its way ──────────────────────────────────────────────────────────────────────────────

    def _put(self, made: Frame) -> None:
        """Late by a draw of this moment and subscription, but never before the frames ahead of it."""
        now_ms = self._kernel.now_ms
        asked_ms, due_ms, batch = self._batches.get(made.lane, (-1, 0, []))
        stamped = (made, b'%b,"sending_ts_ms":%d}' % (made.body, self._exchange.venue.now_ms))
        slow_ms = SLOW_MS if self.span == "slow" else 0
        if asked_ms == now_ms and not made.delay_s:
            batch.append(stamped)
            return
        way_ms = 2 + int(12 * self._faults.share(f"{self.name}.{made.lane}.{now_ms}"))
        due_ms = max(due_ms, now_ms + way_ms + slow_ms + int(made.delay_s * 1_000))
        batch = [stamped]
        self._batches[made.lane] = (now_ms, due_ms, batch)
        self._kernel.at(due_ms, lambda: self._arrive(batch))

    def _arrive(self, batch: list[tuple[Frame, bytes]]) -> None:
        if not self._gone:
            self._deliver(batch)
