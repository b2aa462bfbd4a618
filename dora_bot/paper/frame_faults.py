"""What armed faults do to WebSocket frames: lose, repeat, reorder, delay or damage them, or end the connection.

The numbering is the session's; a fault works on finished frames, after they were numbered. What it does to
the numbers themselves (`ws.reset_seq`, an unspent `ws.drop`) shows in all later frames of the subscription.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dora_bot.paper.drift import DRIFTS
from dora_bot.paper.faults import Fault, Operation
from dora_bot.paper.frame_damage import damaged, drifted, mirrored, with_clock_back, with_seq
from dora_bot.paper.ws_frames import Frame
from dora_bot.paper.ws_hub import PRIVATE, Subscription

if TYPE_CHECKING:
    from dora_bot.paper.venue import Venue
    from dora_bot.paper.ws_session import WsSession

_ORDER_MS = 50.0
_LATE_CHANNELS: Mapping[str, tuple[str, ...]] = {
    "user_order_before_fill": ("fill",),
    "fill_before_user_order": ("user_orders",),
    "book_before_both": ("fill", "user_orders"),
}
"""Which channels an ordering holds back."""


class FrameFaults:
    """The kinds that strike frames, for all connections."""

    def __init__(self, venue: "Venue") -> None:
        self._venue = venue
        self._losing: dict[tuple[int, int], tuple[int, bool]] = {}
        self._held: dict[tuple[int, int], tuple[int, list[Frame]]] = {}

    def through(self, session: "WsSession", sub: Subscription, made: Frame) -> list[Frame]:
        """What leaves instead of this frame, in order; nothing where a fault swallows it."""
        place = (session.connection, sub.sid)
        if not self._venue.faults:
            return [*self._held.pop(place, (0, []))[1], made]
        who = (session.connection, session.key_id)
        operation = self._venue.operations.frame(who, sub.channel, made.type, sub.sid, made.ticker)
        for step in (self._ended, self._lost):
            left = step(session, sub, made, operation)
            if left is not None:
                return left
        return self._queued(place, self._changed(session, sub, made, operation), operation)

    def forget(self, connection: int) -> None:
        """The connection is gone."""
        for places in (self._losing, self._held):
            for place in [place for place in places if place[0] == connection]:
                del places[place]

    def mutes(self, session: "WsSession", control: str) -> bool:
        """Whether a control frame (``pings`` or ``pongs``), or with "" a command's reply, is kept back."""
        operation = {"key_id": frozenset({session.key_id})}
        return session.dead or any(
            fault.text("scope", "all") == "all"
            and not fault.params.get(f"keep_{control}", False)
            and fault.matches(operation)
            and self._venue.faults.is_open(fault)
            for fault in self._venue.faults.armed("ws.silence")
        )

    # ── frames that do not leave ────────────────────────────────────────────────────────────────

    def _ended(
        self, session: "WsSession", sub: Subscription, made: Frame, operation: Operation
    ) -> list[Frame] | None:
        closing = self._strike("ws.close", operation, session)
        if closing is not None:
            session.hang_up(closing.whole("code", 1006), closing.number("after_ms") / 1_000)
            return [made] if closing.number("after_ms") else []
        terminal = self._strike("ws.terminal", operation, session)
        if terminal is not None:
            session.terminate(terminal.whole("code", 25), sub)
            return []
        return None

    def _lost(
        self, session: "WsSession", sub: Subscription, made: Frame, operation: Operation
    ) -> list[Frame] | None:
        place = (session.connection, sub.sid)
        left, unspent = self._losing.get(place, (0, False))
        if not left:
            left, unspent = self._losses(session, sub, operation)
        if not left:
            return None
        self._losing[place] = (left - 1, unspent)
        if unspent and sub.sequenced:
            sub.seq -= 1
        head = (made.sid, made.seq, made.type, made.ticker)
        self._venue.journal.frame(self._venue.now_ms(), session.connection, head, dropped=True)
        return []

    def _losses(self, session: "WsSession", sub: Subscription, operation: Operation) -> tuple[int, bool]:
        """(how many frames of this sid are to vanish from this one on, whether their numbers are used again)."""
        for kind in ("ws.gap", "ws.drop"):
            fault = self._strike(kind, operation, session)
            if fault is not None:
                return fault.whole("n", 1), fault.text("seq", "spent") == "unspent"
        if sub.channel == "order_group_updates" and self._strike("eng.group_mute", operation, session):
            return 1, True
        if session.dead or self._silent(session, sub, operation):
            return 1, False
        return 0, False

    def _silent(self, session: "WsSession", sub: Subscription, operation: Operation) -> bool:
        scopes = ("all", "sid", "private" if sub.channel in PRIVATE else "public")
        for fault in self._venue.faults.armed("ws.silence"):
            meant = fault.text("scope", "all") in scopes and fault.matches(operation)
            if meant and self._venue.faults.due(fault):
                self._venue.fault_hit(fault, connection=session.connection)
                return True
        return False

    # ── frames that leave changed ───────────────────────────────────────────────────────────────

    def _changed(
        self, session: "WsSession", sub: Subscription, made: Frame, operation: Operation
    ) -> list[Frame]:
        reset = self._strike("ws.reset_seq", operation, session) if made.seq else None
        if reset is not None:
            sub.seq = reset.whole("n", 1)
            made = with_seq(made, sub.seq)
        back = self._strike("ws.clock_back", operation, session)
        if back is not None:
            made = with_clock_back(made, back.whole("n", 1))
        mirror = self._strike("ws.mirror_no", operation, session)
        if mirror is not None and made.ticker in mirror.params.get("tickers", [made.ticker]):
            made = mirrored(made)
        for kind in DRIFTS:
            drift = self._strike(kind, operation, session)
            if drift is not None:
                made = drifted(made, drift)
        damage = self._strike("ws.frame", operation, session)
        if damage is not None:
            made = damaged(made, damage)
        again = self._strike("ws.dup", operation, session)
        return [made] * (1 + (again.whole("n", 1) if again is not None else 0))

    def _queued(self, place: tuple[int, int], frames: list[Frame], operation: Operation) -> list[Frame]:
        """Held back, reordered, or as they are."""
        delay = self._venue.strike("ws.delay", operation, connection=place[0])
        if delay is not None:
            stamp = self._venue.now_ms() if delay.text("stamp", "early") == "early" else 0
            seconds = delay.number("ms") / 1_000
            frames = [frame._replace(delay_s=seconds, sent_ms=stamp) for frame in frames]
        for how, channels in _LATE_CHANNELS.items():
            late = operation["channel"] & frozenset(channels)
            order = self._venue.strike("ws.order", operation, how=how, connection=place[0]) if late else None
            if order is not None:
                seconds = order.number("ms", _ORDER_MS) / 1_000
                frames = [frame._replace(delay_s=seconds) for frame in frames]
        return self._reordered(place, frames, operation)

    def _reordered(self, place: tuple[int, int], frames: list[Frame], operation: Operation) -> list[Frame]:
        window, held = self._held.pop(place, (0, []))
        if not held:
            fault = self._venue.strike("ws.reorder", operation, connection=place[0])
            if fault is None:
                return frames
            window = fault.whole("window", 2)
        held = [*held, *frames]
        if len(held) < window:
            self._held[place] = (window, held)
            return []
        return held[::-1]

    def _strike(self, kind: str, operation: Operation, session: "WsSession") -> Fault | None:
        return self._venue.strike(kind, operation, connection=session.connection)
