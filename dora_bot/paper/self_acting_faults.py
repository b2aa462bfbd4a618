"""Faults that strike by themselves as exchange time passes: market actions, flow, clocks, limits, keys, the port.

Each is tried when it is armed and then on every beat, until ``when`` lets it; most act once, flow again and
again. What holds "until disarmed" leaves behind how to undo it, which `until_ms` runs as well.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from dora_bot.errors import WireError
from dora_bot.paper.actors import FLOWS
from dora_bot.paper.admin_actions import ACTIONS
from dora_bot.paper.fault_kinds import KINDS, SELF
from dora_bot.paper.faults import Fault
from dora_bot.paper.specs import Refused
from dora_bot.paper.venue import TRADER

if TYPE_CHECKING:
    from dora_bot.paper.front_door import FrontDoor
    from dora_bot.paper.venue import Venue

BEAT_MS = 100
_NO_ANSWER = (Refused, WireError, KeyError, ValueError)
"""What an action raises for arguments that make no sense now."""


class SelfActingFaults:
    """The kinds that strike `itself`, over one venue and its trading port."""

    def __init__(self, venue: "Venue", door: "FrontDoor | None" = None) -> None:
        self._venue = venue
        self._door = door
        self._tasks: list[asyncio.Task[None]] = []
        self._quiet_from_ms: int | None = None
        self._lag_ms = 0

    async def arm(self, request: Mapping[str, Any]) -> Fault:
        """Arm any fault; one that acts by itself acts now if it may. Raises like the action, then disarmed."""
        fault = self._venue.faults.arm(request)
        try:
            self._venue.applied(lambda now_ms: self._first(fault, now_ms))
        except _NO_ANSWER:
            self._venue.faults.disarm(fault.fault_id)
            raise
        await self.settled()
        return fault

    async def settled(self) -> None:
        """Wait until the port is as the faults want it."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    def step(self, now_ms: int) -> None:
        """Act where something is due; what is refused now is journalled."""
        faults = self._venue.faults
        for fault in faults.armed(*_ACTS, *FLOWS):
            if faults.is_over(fault):
                faults.lapse(fault.fault_id)
            while fault.due_ms <= now_ms:
                try:
                    self._act(fault, now_ms)
                except _NO_ANSWER as error:
                    self._venue.journal.record(
                        "fault_refused", now_ms, fault_id=fault.fault_id, error=str(error)
                    )

    def world_ms(self, now_ms: int) -> int:
        """The time it is for the world, which stands still while it is quiet."""
        return (now_ms if self._quiet_from_ms is None else self._quiet_from_ms) - self._lag_ms

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def _first(self, fault: Fault, now_ms: int) -> None:
        if fault.kind == "read.stale":
            self._venue.stale.start(fault)
        elif KINDS[fault.kind].strikes == SELF:
            self._act(fault, now_ms)

    def _act(self, fault: Fault, now_ms: int) -> None:
        flow = FLOWS.get(fault.kind)
        gap_ms = BEAT_MS if flow is None else self._flow_gap_ms(fault)
        fault.due_ms = max(fault.due_ms + gap_ms, fault.due_ms + 1)
        if not self._venue.faults.due(fault):
            return
        self._venue.fault_hit(fault)
        if flow is not None:
            flow(self._venue, fault, now_ms)
        else:
            _ACTS[fault.kind](self, fault, now_ms)

    def _flow_gap_ms(self, fault: Fault) -> int:
        draw = self._venue.faults.stream(f"{fault.kind}/gaps")
        return round(draw.expovariate(fault.number("rate", 1.0)) * 1_000)

    def _undo(self, fault: Fault, undo: Callable[[], None]) -> None:
        self._venue.faults.on_disarm(fault.fault_id, undo)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    # ── the kinds ───────────────────────────────────────────────────────────────────────────────

    def refuse(self, fault: Fault, _: int) -> None:
        door = self._door
        if door is None:
            raise ValueError("this exchange has no port")
        how = fault.text("how", "refused")
        self._later(door.shut(how, keep=bool(fault.params.get("keep", False))))
        self._undo(fault, lambda: self._later(door.reopen()))

    def bucket(self, fault: Fault, now_ms: int) -> None:
        buckets = self._venue.buckets[fault.text("account", TRADER)]
        limits = {name: fault.params.get(name) for name in ("capacity", "refill", "level")}
        self._undo(fault, buckets.alter(fault.text("bucket", "write"), limits, now_ms))

    def window(self, fault: Fault, _: int) -> None:
        keys = self._venue.keys
        before = keys.window
        keys.window = type(before)(
            fault.whole("back_ms", before.back_ms), fault.whole("ahead_ms", before.ahead_ms)
        )
        self._undo(fault, lambda: setattr(keys, "window", before))

    def key(self, fault: Fault, _: int) -> None:
        keys = self._venue.keys
        before = keys.find(fault.text("key_id"))
        how = fault.text("how", "revoke")
        if how in ("revoke", "unknown"):
            keys.revoke(before.key_id)
        elif how == "scopes":
            keys.add(before.restricted(scopes=frozenset(fault.params.get("scopes", ()))))
        else:
            keys.add(before.restricted(subaccount=fault.whole("subaccount")))
        if how != "revoke":
            self._undo(fault, lambda: keys.add(before))

    def half_open(self, fault: Fault, _: int) -> None:
        for session in self._venue.sessions.values():
            if fault.text("key_id") in ("", session.key_id):
                session.dead = True

    def expiry(self, fault: Fault, _: int) -> None:
        engine = self._venue.engine
        engine.expire_late(None if fault.params.get("ignore") else fault.whole("late_ms"))
        self._undo(fault, lambda: engine.expire_late(0))

    def group_trigger(self, fault: Fault, now_ms: int) -> None:
        account, wanted = fault.text("account", TRADER), fault.text("group_id")
        for group in self._venue.engine.groups(account):
            if wanted in ("", group.group_id):
                self._venue.engine.trigger_group(account, group.group_id, now_ms, shard=group.exchange_index)

    def pause(self, fault: Fault, now_ms: int) -> None:
        self._venue.engine.pause(
            "exchange" if fault.kind == "mkt.exchange_pause" else "trading",
            now_ms,
            on=bool(fault.params.get("on", True)),
            shard=fault.params.get("shard"),
            keep_orders=bool(fault.params.get("keep_orders", False)),
        )

    def state(self, fault: Fault, now_ms: int) -> None:
        ACTIONS[fault.text("to", "deactivate")](self._venue, fault.params, now_ms)

    def rules(self, fault: Fault, now_ms: int) -> None:
        if "structure" in fault.params:
            ACTIONS["grid"](self._venue, fault.params, now_ms)
        if "fees_of" in fault.params:
            ACTIONS["fees"](self._venue, {**fault.params, "ticker": fault.params["fees_of"]}, now_ms)

    def foreign(self, fault: Fault, now_ms: int) -> None:
        what = fault.text("what", "order")
        tif = {"time_in_force": "immediate_or_cancel"} if what == "fill" else {}
        ACTIONS["cash" if what == "cash" else "foreign_order"](self._venue, {**fault.params, **tif}, now_ms)

    def clock_offset(self, fault: Fault, _: int) -> None:
        clock, by_ms = self._venue.clock, fault.whole("ms")
        clock.shift(by_ms)
        if fault.kind == "clock.offset":
            self._undo(fault, lambda: clock.shift(-by_ms))

    def clock_rate(self, fault: Fault, _: int) -> None:
        clock = self._venue.clock
        clock.set_rate(fault.number("rate", 1.0))
        self._undo(fault, lambda: clock.set_rate(1.0))

    def quiet(self, fault: Fault, now_ms: int) -> None:
        self._quiet_from_ms = now_ms
        self._undo(fault, self._wake)

    def _wake(self) -> None:
        if self._quiet_from_ms is not None:
            self._lag_ms += self._venue.now_ms() - self._quiet_from_ms
            self._quiet_from_ms = None


_ACTS: Mapping[str, Callable[[SelfActingFaults, Fault, int], None]] = {
    "http.refuse": SelfActingFaults.refuse,
    "rate.bucket": SelfActingFaults.bucket,
    "auth.window": SelfActingFaults.window,
    "auth.key": SelfActingFaults.key,
    "ws.half_open": SelfActingFaults.half_open,
    "eng.expiry": SelfActingFaults.expiry,
    "eng.group_trigger": SelfActingFaults.group_trigger,
    "mkt.pause": SelfActingFaults.pause,
    "mkt.exchange_pause": SelfActingFaults.pause,
    "mkt.state": SelfActingFaults.state,
    "mkt.rules": SelfActingFaults.rules,
    "acct.foreign": SelfActingFaults.foreign,
    "flow.quiet": SelfActingFaults.quiet,
    "clock.offset": SelfActingFaults.clock_offset,
    "clock.step": SelfActingFaults.clock_offset,
    "clock.rate": SelfActingFaults.clock_rate,
}
