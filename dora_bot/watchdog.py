"""The dead man's switch: on another machine, with a key of its own, it cancels what a bot that is gone left behind.

It can only read, cancel and trigger order groups, and needs nothing that the bot needs: no database, no file, no lock. Life
is judged by the exchange's own word first: a bot that lives amends at least one of its orders every 20 seconds, so orders
of which none was updated for longer belong to nobody. A heartbeat, kept elsewhere, is the second witness; as long as it is
fresh the bot is not gone. Ages are differences of the exchange's own times: no clock of this machine can make a bot old.

A healthy bot must never be hit. Without orders there is nothing to do (a pause, maintenance, a quiet night, a stop); one
read that fails decides nothing; a verdict must hold in two looks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from dora_bot.errors import DoraError, ExchangeError
from dora_bot.kill import HALT, Sweeper
from dora_bot.ports import Clock

EVERY_MS = 5_000
STALE_MS = 30_000
"""An order or heartbeat this old is no sign of life; a living bot gives one every 20 s (FAULTS S04)."""
CARRY_OUT_MS = 10_000
"""So long a bot that says that it is halted or stopped may take to cancel its orders itself."""
BLIND_MS = 60_000
"""After so long without a usable look somebody is told."""
PATIENCE_S = 20.0


class Signs(NamedTuple):
    """What is known of the bot besides its orders.

    ``heartbeat_ms``: exchange time of its last heartbeat, 0 if there is none. ``ended``: why it must have no orders, as it
    told itself (a halt, a stop). ``halt``: why somebody wants everything cancelled now. Empty if not.
    """

    heartbeat_ms: int = 0
    ended: str = ""
    halt: str = ""


@dataclass(slots=True)
class Watchdog:
    """``signs`` and ``alert`` may raise `DoraError`: then nothing is known, or the alert is kept and tried again."""

    sweeper: Sweeper
    clock: Clock
    signs: Callable[[], Signs]
    alert: Callable[[str], None]
    trips: int = 0
    _due_ms: int = 0
    _verdict_since_ms: int | None = None
    _ended_since_ms: int | None = None
    _seen_ms: int | None = None
    _blind: bool = False
    _told: str = ""
    _alerts: list[str] = field(default_factory=list)

    def step(self) -> str:
        """Look if it is time to, act if need be. Returns what was done, in words; empty if nothing was."""
        now = self.clock.now()
        self._send_alerts()
        if now.mono_ms < self._due_ms:
            return ""
        self._due_ms = now.mono_ms + EVERY_MS
        signs = self._read_signs()
        if signs.halt:
            return self._trip(f"asked to: {signs.halt}")
        try:
            as_of_ms = self.sweeper.as_of_ms()
            newest_ms = _newest_ms(self.sweeper.resting())
        except ExchangeError as error:
            return self._unseen(str(error), now.mono_ms)
        self._seen_ms, self._blind = now.mono_ms, False
        if newest_ms is None:
            self._verdict_since_ms = self._ended_since_ms = None
            return ""
        return self._judge(signs, as_of_ms, newest_ms, now.mono_ms)

    def _judge(self, signs: Signs, as_of_ms: int, newest_ms: int, mono_ms: int) -> str:
        """Orders rest: is there anybody behind them?"""
        if signs.ended:
            self._ended_since_ms = mono_ms if self._ended_since_ms is None else self._ended_since_ms
            if mono_ms - self._ended_since_ms >= CARRY_OUT_MS:
                return self._trip(f"the bot has ended ({signs.ended}), and its orders rest")
        else:
            self._ended_since_ms = None
        silent_ms, beat_ms = as_of_ms - newest_ms, as_of_ms - signs.heartbeat_ms
        if silent_ms <= STALE_MS or beat_ms <= STALE_MS:
            self._verdict_since_ms = None
            return ""
        if self._verdict_since_ms is None:
            self._verdict_since_ms = mono_ms
            return ""
        beat = f"the last heartbeat {beat_ms // 1_000} s old" if signs.heartbeat_ms else "no heartbeat"
        return self._trip(f"the bot is gone: no order updated for {silent_ms // 1_000} s, {beat}")

    def _trip(self, why: str) -> str:
        """Cancel first, tell afterwards. What is left or cannot be seen is tried again at the next look."""
        self.trips += 1
        self._due_ms = 0
        try:
            swept = self.sweeper.sweep(PATIENCE_S, HALT)
        except DoraError as error:
            done = f"nothing could be cancelled: {error}"
        else:
            state = "verified" if swept.verified else "not verified"
            done = f"{swept.cancels} cancels sent, {swept.open_orders} orders left resting, {state}"
            if swept.verified and not swept.open_orders:
                self._due_ms = self.clock.now().mono_ms + EVERY_MS
                self._verdict_since_ms = self._ended_since_ms = None
        told = f"watchdog: {why}; {done}"
        return told if told == self._told else self._tell(told)

    def _tell(self, text: str) -> str:
        self._told = text
        self._alerts.append(text)
        self._send_alerts()
        return text

    def _unseen(self, problem: str, mono_ms: int) -> str:
        if self._seen_ms is None:
            self._seen_ms = mono_ms
        if mono_ms - self._seen_ms < BLIND_MS or self._blind:
            return ""
        self._blind = True
        return self._tell(f"watchdog: the account could not be read for a minute: {problem}")

    def _read_signs(self) -> Signs:
        try:
            return self.signs()
        except DoraError:
            return Signs()  # no witness; the orders themselves remain one

    def _send_alerts(self) -> None:
        while self._alerts:
            try:
                self.alert(self._alerts[0])
            except DoraError:
                return  # kept for the next step
            self._alerts.pop(0)


def _newest_ms(orders: list[dict[str, Any]]) -> int | None:
    """When any of the orders was last updated, None without orders. Raises `ExchangeError` for a row without a time."""
    times = [order.get("last_update_time") or order.get("created_time") for order in orders]
    try:
        return max((round(datetime.fromisoformat(str(t)).timestamp() * 1_000) for t in times), default=None)
    except ValueError as error:
        raise ExchangeError(f"an order without a time of its last update: {error}") from error
