"""Halt, pause, reduce, flatten, resume, cancel: the operator's hand on a bot that runs, hangs or is dead.

The halt file comes first, because nothing can keep it from being written; then the orders go, through the kill path
with its own connection; DynamoDB is told last, and a database that is down stops none of it.
"""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from dora_bot.cli_support import note
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.dynamo import ConditionFailed, Dynamo
from dora_bot.errors import DoraError, StoreError, Usage
from dora_bot.events import OPERATOR, HaltsChanged
from dora_bot.exchange_access import connect_client, connect_transport, load_signer
from dora_bot.flatten import Flattener
from dora_bot.halts import HaltFile
from dora_bot.items import timestamp
from dora_bot.kill import EVERYTHING, HALT, STOP, Reach, Sweeper, Swept
from dora_bot.leftovers import LEFTOVERS, LeftoverSweeper
from dora_bot.models import Halt, Hold, Instant
from dora_bot.state_dir import is_held, last_life
from dora_bot.state_store import StateStore
from dora_bot.status import halt_json
from dora_bot.units import count_text

PATIENCE_S: Final = 30.0
"""B01: zero open orders in 5 s when calls succeed, in 30 s while most of them fail."""

NOTICED_S: Final = 1.0
"""A running bot looks into the halt file every half second."""

CLOSE_S: Final = 10.0
"""How long closing is tried; what no one takes within the bound by then is left, and said."""

Confirm = Callable[[Mapping[str, int]], None]
"""Shown what will be closed (signed 0.01 contracts by ticker); raises `Usage` if that is not wanted."""

_Taken = Callable[[Sequence[Halt], Instant], HaltsChanged]
"""The halts that stand in DynamoDB → those in force, see `HaltFile.take`."""

_TELL_TRIES: Final = 5
_WORDS: Final = {Hold.PAUSED: "paused", Hold.REDUCE_ONLY: "reduce only"}


def halt(settings: Settings, reason: str) -> dict[str, Any]:
    """Latch a halt, cancel every order of the bot. Returns ``{"open_orders","seconds","halt_id"}``."""
    return _stopped(settings, _hold(settings, reason, Hold.HALTED), HALT)


def pause(settings: Settings, reason: str) -> dict[str, Any]:
    """Latch a pause, cancel every order of the bot. Returns ``{"open_orders","seconds","halt_id"}``."""
    return _stopped(settings, _hold(settings, reason, Hold.PAUSED), STOP)


def reduce_only(settings: Settings, reason: str, scope: str = "") -> dict[str, Any]:
    """From now on positions may only shrink: everywhere, or in a market (or ``event#EVENT``)."""
    held = _hold(settings, reason, Hold.REDUCE_ONLY, scope)
    held.tell(settings)
    return {"halt_id": held.halt.halt_id, "scope": scope}


def flatten(settings: Settings, ticker: str, within_e4: int, confirm: Confirm) -> Iterator[dict[str, Any]]:
    """Pause, cancel own orders, close the positions (of ``ticker``, or all). Yields a line a market, then the sum.

    ``confirm`` sees the positions first. Raises `AuthRefused` or `ExchangeUnreachable`.
    """
    clock = SystemClock()
    with closing(connect_client(settings, load_signer(settings), clock)) as client:
        flattener = Flattener(client, clock, settings.order_prefix, within_e4, ticker, note)
        confirm(flattener.positions())
        started = clock.now().mono_ms
        held = _hold(settings, "flatten", Hold.PAUSED, ticker)
        left = flattener.withdraw(PATIENCE_S)
        held.tell(settings)
        closed = flattener.close(CLOSE_S) if left == 0 else []
        for market in closed:
            yield {
                "ticker": market.ticker,
                "before": count_text(market.before_e2),
                "left": count_text(market.left_e2),
                "reason": market.reason,
            }
        seconds = round((clock.now().mono_ms - started) / 1_000, 3)
        done = left == 0 and not any(market.left_e2 for market in closed)
        yield {"flat": done, "open_orders": left, "seconds": seconds, "halt_id": held.halt.halt_id}


def resume(settings: Settings, halt_id: str, *, confirm: bool = False) -> dict[str, Any]:
    """End one halt. Returns ``{"resumed","halts"}`` with the halts that are left.

    What is HALTED ends in two steps: first it is shown and acknowledged (``resumed`` is then empty), and only a second call
    with ``confirm`` ends it. Raises `Usage` if there is none of that id, or none acknowledged to confirm.
    """
    file, clock = _halt_file(settings), SystemClock()
    found = next((halt for halt in file.read().halts if halt.halt_id == halt_id), None)
    if found is None:
        known = ", ".join(halt.halt_id for halt in file.read().halts) or "none"
        raise Usage(f"there is no halt {halt_id} in force; in force: {known}")
    if found.hold is Hold.HALTED and not confirm:
        return _acknowledged(settings, file, found)
    if found.hold is Hold.HALTED and not found.acknowledged:
        raise Usage(f"nobody has acknowledged {halt_id} yet: `dora resume {halt_id}` shows it first")
    # First the table gets this halt with its time: without one, as set by hand, it would be taken as new once it is over
    # here. And it says that it halts until then, so that one set by hand meanwhile is a change that both of us see.
    _tell_dynamo(settings, file.take)
    left = file.resume(halt_id, _person(), clock.now())
    _tell_dynamo(settings, file.take)
    return {"resumed": halt_id, "halts": [halt.halt_id for halt in left.halts]}


def _acknowledged(settings: Settings, file: HaltFile, found: Halt) -> dict[str, Any]:
    told = halt_json(found)
    where = found.scope or "everything"
    note(f"dora: {found.halt_id} halts {where}: {found.reason}; by {found.raised_by} at {told['raised_at']}")
    note(f"dora: evidence: {found.evidence or 'none'}")
    if found.acknowledged:
        note(f"dora: seen by {found.acknowledged}")
    in_force = file.acknowledge(found.halt_id, _person(), timestamp(SystemClock().now().exchange_ms))
    _tell_dynamo(settings, file.take)
    note(f"dora: acknowledged, and still in force; `dora resume {found.halt_id} --confirm` ends it")
    return {"resumed": "", "halts": [halt.halt_id for halt in in_force.halts], "halt": told}


def _person() -> str:
    """Who is at the keyboard, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as containers have them
        return f"user {os.getuid()}"


def cancel_orders(settings: Settings, prefix: str = "", reach: Reach = EVERYTHING) -> dict[str, Any]:
    """Cancel the open orders whose client ids begin with ``prefix`` (all if empty), and read back that none is left.

    Returns ``{"open_orders","seconds","verified"}``. Raises `AuthRefused` or `ExchangeUnreachable`.
    """
    clock = SystemClock()
    transport = connect_transport(settings, load_signer(settings), clock)
    file = _halt_file(settings)
    try:
        sweeper = Sweeper(
            transport, clock, prefix, lambda: file.emptied(clock.now()), settings.kalshi_subaccount
        )
        if reach is EVERYTHING:
            _announce(settings, sweeper)
        swept: Swept = sweeper.sweep(PATIENCE_S, reach, note)
    finally:
        transport.close()
    return {"open_orders": swept.open_orders, "seconds": swept.seconds, "verified": swept.verified}


def cancel_leftovers(settings: Settings) -> dict[str, Any]:
    """Cancel what the last life in the state directory may have left, and nothing of an instance that lives on.

    The service manager runs it whenever the bot ended, however that was. Needs neither the database nor a disk that
    can be written. Returns ``{"open_orders","seconds","verified"}``, or ``{"skipped"}`` with the reason why no order is
    a dead bot's. Raises as `cancel_orders`, or `StoreError`.
    """
    life = last_life(settings.state_dir)
    if not life or is_held(settings.state_dir):
        return {
            "skipped": "a bot runs there and looks after its orders" if life else "no bot has traded there"
        }
    clock = SystemClock()
    transport = connect_transport(settings, load_signer(settings), clock)
    try:
        sweeper = LeftoverSweeper(
            transport, clock, settings.order_prefix, subaccount=settings.kalshi_subaccount, life=life
        )
        swept = sweeper.sweep(PATIENCE_S, LEFTOVERS, note)
    finally:
        transport.close()
    note(f"dora: {swept.told(clock.now().exchange_ms)}")
    return {"open_orders": swept.open_orders, "seconds": swept.seconds, "verified": swept.verified}


def _announce(settings: Settings, sweeper: Sweeper) -> None:
    """Tell a bot that runs here before its orders go: it would replace them before it heard (FAULTS B15)."""
    if is_held(settings.state_dir):
        try:
            sweeper.emptied()
        except StoreError as error:
            note(f"dora: a bot may quote on: {error}")
        sweeper.clock.sleep(NOTICED_S)


@dataclass(frozen=True, slots=True)
class _Held:
    """A halt just latched, or counted in this process only where the disk refused it."""

    halt: Halt
    file: HaltFile

    def tell(self, settings: Settings) -> None:
        """Tell DynamoDB, by which a bot with another state directory learns of it within seconds.

        Raises `StoreError` if the halt is not on the disk: a bot that is running may quote on.
        """
        if not self.file.refusal:
            _tell_dynamo(settings, self.file.take)
            return
        _tell_dynamo(settings, lambda found, _now: HaltsChanged((*found, self.halt)))
        raise StoreError(f"the halt is not latched here, a bot may quote on: {self.file.refusal}")


def _hold(settings: Settings, reason: str, hold: Hold, scope: str = "") -> _Held:
    """Latch it. A milder halt of the same reason must not be taken for this one, so the hold is part of its text."""
    told = reason if hold is Hold.HALTED else f"{_WORDS[hold]}{f' in {scope}' if scope else ''}: {reason}"
    now, file = SystemClock().now(), _halt_file(settings)
    in_force = file.take([Halt("", told, now.exchange_ms, OPERATOR, "by command", hold, scope)], now)
    latched = next(halt for halt in in_force.halts if halt.reason == told)
    where = settings.state_dir.absolute()
    if not file.refusal:
        note(
            f"dora: {told} ({hold}), as {latched.halt_id} in {where}; `dora resume {latched.halt_id}` ends it"
        )
    if not (where / "lock").exists():
        note(
            f"dora: no bot has run with DORA_STATE_DIR={where}; one that runs elsewhere takes this from DynamoDB "
            "within seconds, under an id of its own: see `dora status` there"
        )
    return _Held(latched, file)


def _stopped(settings: Settings, held: _Held, reach: Reach) -> dict[str, Any]:
    """The orders go first; then the database is told, whatever became of them."""
    try:
        swept = cancel_orders(settings, settings.order_prefix, reach)
    finally:
        held.tell(settings)
    return {**swept, "halt_id": held.halt.halt_id}


def _halt_file(settings: Settings) -> HaltFile:
    return HaltFile(settings.state_dir / "halts.jsonl")


def _tell_dynamo(settings: Settings, taken: _Taken) -> None:
    """Write what is in force here and there, without what was resumed here. A database that is down only gets a note."""
    try:
        with closing(Dynamo.connect(settings.table_prefix)) as db:
            store = StateStore(db)
            for _ in range(_TELL_TRIES):
                risk = store.risk_state()
                try:
                    store.set_halts(taken(risk.halts, SystemClock().now()).halts, risk.halt_mark)
                    break
                except ConditionFailed:  # somebody wrote in between: what they wrote is looked at, too
                    continue
            else:
                raise StoreError("its halts change faster than they can be read")
    except DoraError as error:
        note(f"dora: DynamoDB does not know of it yet: {error}")
