"""The bot's belief as one object: what it published in its state directory, else what DynamoDB keeps of it."""

import sys
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.live import Live

from dora_bot.cli_support import emit, note
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.dynamo import Dynamo
from dora_bot.errors import StoreError
from dora_bot.events import HaltsChanged
from dora_bot.halts import IN_MEMORY, HaltFile
from dora_bot.items import parse_timestamp
from dora_bot.ports import Clock
from dora_bot.state_dir import is_held, read_status
from dora_bot.state_store import OPEN_ORDERS, POSITIONS, StateStore
from dora_bot.status import halt_json
from dora_bot.tables import require_tables
from dora_bot.units import money_text
from dora_bot.view import progress_line, render, render_text

_WATCH_EVERY_S = 0.5
_LINE_EVERY_S = 5.0
_FRESH_S = 5.0
"""A running bot publishes twice a second; an older status is its own only while it holds the state directory."""


def current_status(settings: Settings) -> dict[str, Any]:
    """The status object of INTERFACES. Raises `StoreError` or `ConfigError` if nothing is known anywhere."""
    try:
        return _with_halts(read_status(settings.state_dir), settings)
    except StoreError as error:
        note(f"dora: {error}; showing what DynamoDB keeps")
    with closing(Dynamo.connect(settings.table_prefix)) as db:
        require_tables(db)
        return stored_status(StateStore(db), settings.env)


def _with_halts(told: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The halts of the file, which a running bot follows within a second; a dead one told what it will not do any more."""
    age_s = _age_s(told, SystemClock())
    in_force = HaltFile(settings.state_dir / "halts.jsonl").read()
    if (age_s is not None and age_s < _FRESH_S) or is_held(settings.state_dir):
        unwritten = [halt for halt in told.get("halts", ()) if halt["halt_id"].startswith(IN_MEMORY)]
        return told | {"halts": [*map(halt_json, in_force.halts), *unwritten]}
    return told | {
        "posture": "HALTED" if in_force.halted else "STOPPED",
        "reasons": [
            f"no bot runs: orders and quotes are as of {told.get('time')}",
            *(f"{halt.halt_id}: {halt.reason}" for halt in in_force.halts),
        ],
        "halts": [halt_json(halt) for halt in in_force.halts],
    }


def stored_status(store: StateStore, env: str) -> dict[str, Any]:
    """What can be told without a bot: positions, last published orders, day's PnL and halts."""
    risk = store.risk_state()
    orders = store.item(OPEN_ORDERS)
    view = store.item(POSITIONS)
    positions = view.get("positions", {})
    return {
        "time": view.get("updated_at", ""),
        "env": env,
        "posture": "HALTED" if HaltsChanged(risk.halts).halted else "STOPPED",
        "halts": [halt_json(halt) for halt in risk.halts],
        "feed": "down",
        "open_orders": [
            {
                "order_id": order_id,
                "client_order_id": order["client_order_id"],
                "ticker": order["market_id"],
                "side": {"buy": "bid", "sell": "ask"}[order["side"]],
                "price": f"{order['price']:.4f}",
                "remaining_count": f"{order['size']:.2f}",
            }
            for order_id, order in orders.get("orders", {}).items()
        ],
        "positions": {
            ticker: {
                "net": _net(held),
                "avg_cost": f"{held['avg_cost_yes'] or held['avg_cost_no']:.4f}",
                "worst_case_loss": f"{_paid(held):.6f}",
            }
            for ticker, held in positions.items()
        },
        "pnl": {"day": risk.day, "daily": money_text(risk.daily_pnl_e6)},
        "markets": {
            ticker: {"net": _net(held), "reason": "no bot runs"} for ticker, held in positions.items()
        },
        "budget": {},
        "ages": {},
    }


def _paid(held: Mapping[str, Decimal]) -> Decimal:
    """What is lost if the market settles against us: all that the contracts cost."""
    return held["yes_qty"] * held["avg_cost_yes"] + held["no_qty"] * held["avg_cost_no"]


def _net(held: Mapping[str, Decimal]) -> str:
    return f"{held['yes_qty'] - held['no_qty']:.2f}"


def show_status(settings: Settings, *, json: bool) -> None:
    """Print the status once: JSON, or the screen as text."""
    found = current_status(settings)
    if json:
        emit(found)
        return
    console = Console()
    age_s = _age_s(found, SystemClock())
    if console.is_terminal:
        console.print(render(found, console.width, console.height, age_s))
    else:
        sys.stdout.write(render_text(found, age_s=age_s))


def watch_status(settings: Settings, *, json: bool) -> None:
    """Show the status until Ctrl-C: a screen in a terminal, lines elsewhere. Ctrl-C ends it without complaint."""
    clock, console = SystemClock(), Console()
    found = current_status(settings)
    try:
        if json or not console.is_terminal:
            while True:
                emit(found) if json else note(progress_line(found))
                clock.sleep(1.0 if json else _LINE_EVERY_S)
                found = current_status(settings)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                size = console.size
                live.update(render(found, size.width, size.height, _age_s(found, clock)), refresh=True)
                clock.sleep(_WATCH_EVERY_S)
                found = current_status(settings)
    except KeyboardInterrupt:
        return


def _age_s(found: dict[str, Any], clock: Clock) -> float | None:
    try:
        return (clock.now().exchange_ms - parse_timestamp(found["time"])) / 1000
    except (KeyError, StoreError):
        return None
