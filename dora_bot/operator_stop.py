"""Halt, pause, reduce, flatten, resume, cancel: the operator's hand on a bot that runs, hangs or is dead.

The halt file comes first, because nothing can keep it from being written; then the orders go, through the kill path
with its own connection; DynamoDB is told last, and a database that is down stops none of it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from dora_bot.cli_support import note
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.dynamo import Dynamo
from dora_bot.errors import DoraError, Usage
from dora_bot.events import HaltsChanged
from dora_bot.exchange_access import connect_client, connect_transport, load_signer
from dora_bot.flatten import Flattener
from dora_bot.halts import HaltFile
from dora_bot.kill import Sweeper, Swept
from dora_bot.models import Hold
from dora_bot.state_store import StateStore
from dora_bot.units import count_text

PATIENCE_S: Final = 30.0
"""B01: zero open orders in 5 s when calls succeed, in 30 s while most of them fail."""

CLOSE_S: Final = 10.0
"""How long closing is tried; what no one takes within the bound by then is left, and said."""

Confirm = Callable[[Mapping[str, int]], None]
"""Shown what will be closed (signed 0.01 contracts by ticker); raises `Usage` if that is not wanted."""

_OPERATOR: Final = "operator"
_WORDS: Final = {Hold.PAUSED: "paused", Hold.REDUCE_ONLY: "reduce only"}


def halt(settings: Settings, reason: str) -> dict[str, Any]:
    """Latch a halt, cancel every order of the bot. Returns ``{"open_orders","seconds","halt_id"}``."""
    halt_id = _held(settings, reason, Hold.HALTED)
    return {**cancel_orders(settings, settings.order_prefix), "halt_id": halt_id}


def pause(settings: Settings, reason: str) -> dict[str, Any]:
    """Latch a pause, cancel every order of the bot. Returns ``{"open_orders","seconds","halt_id"}``."""
    halt_id = _held(settings, reason, Hold.PAUSED)
    return {**cancel_orders(settings, settings.order_prefix), "halt_id": halt_id}


def reduce_only(settings: Settings, reason: str, scope: str = "") -> dict[str, Any]:
    """From now on positions may only shrink: everywhere, or in a market (or ``event#EVENT``)."""
    return {"halt_id": _held(settings, reason, Hold.REDUCE_ONLY, scope), "scope": scope}


def flatten(settings: Settings, ticker: str, within_e4: int, confirm: Confirm) -> Iterator[dict[str, Any]]:
    """Pause, cancel own orders, close the positions (of ``ticker``, or all). Yields a line a market, then the sum.

    ``confirm`` sees the positions first. Raises `AuthRefused` or `ExchangeUnreachable`.
    """
    clock = SystemClock()
    with closing(connect_client(settings, load_signer(settings), clock)) as client:
        flattener = Flattener(client, clock, settings.order_prefix, within_e4, ticker, note)
        confirm(flattener.positions())
        started = clock.now().mono_ms
        halt_id = _held(settings, "flatten", Hold.PAUSED, ticker)
        left = flattener.withdraw(PATIENCE_S)
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
        yield {"flat": done, "open_orders": left, "seconds": seconds, "halt_id": halt_id}


def resume(settings: Settings, halt_id: str) -> dict[str, Any]:
    """End one halt. Returns the halts that are left. Raises `Usage` if there is none of that id."""
    file = _halt_file(settings)
    try:
        left = file.resume(halt_id, _OPERATOR, SystemClock().now())
    except KeyError as error:
        known = ", ".join(halt.halt_id for halt in file.read().halts) or "none"
        raise Usage(f"there is no halt {halt_id} in force; in force: {known}") from error
    _tell_dynamo(settings, left)
    return {"resumed": halt_id, "halts": [halt.halt_id for halt in left.halts]}


def cancel_orders(settings: Settings, prefix: str = "") -> dict[str, Any]:
    """Cancel the open orders whose client ids begin with ``prefix`` (all if empty), and read back that none is left.

    Returns ``{"open_orders","seconds"}``. Raises `AuthRefused` or `ExchangeUnreachable`.
    """
    clock = SystemClock()
    transport = connect_transport(settings, load_signer(settings), clock)
    try:
        swept: Swept = Sweeper(transport, clock, prefix).sweep(PATIENCE_S, note)
    finally:
        transport.close()
    return {"open_orders": swept.open_orders, "seconds": swept.seconds}


def _held(settings: Settings, reason: str, hold: Hold, scope: str = "") -> str:
    """Latch it. A milder halt of the same reason must not be taken for this one, so the hold is part of its text."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    told = reason if hold is Hold.HALTED else f"{_WORDS[hold]}{f' in {scope}' if scope else ''}: {reason}"
    now = SystemClock().now()
    in_force = _halt_file(settings).latch(told, _OPERATOR, "by command", now, hold=hold, scope=scope)
    latched = next(halt for halt in in_force.halts if halt.reason == told)
    note(f"dora: {told} ({hold}), as {latched.halt_id}; `dora resume {latched.halt_id}` ends it")
    _tell_dynamo(settings, in_force)
    return latched.halt_id


def _halt_file(settings: Settings) -> HaltFile:
    return HaltFile(settings.state_dir / "halts.jsonl")


def _tell_dynamo(settings: Settings, in_force: HaltsChanged) -> None:
    """So that a bot started elsewhere stays halted too. A database that is down must not keep orders alive."""
    try:
        with closing(Dynamo.connect(settings.table_prefix)) as db:
            StateStore(db).set_halts(in_force.halts)
    except DoraError as error:
        note(f"dora: DynamoDB does not know of it yet: {error}")
