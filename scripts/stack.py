"""The bot as a child process on a paper exchange inside this process and an embedded AWS beside it.

What a script measures or checks with it is the exchange's word, not the bot's.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from dora_bot.clock import SystemClock
from dora_bot.demo_children import Child, child_environment
from dora_bot.demo_report import Evidence
from dora_bot.demo_setup import make_tables
from dora_bot.items import MARKET_CONFIG
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions, WorldBuilder
from dora_bot.paper.specs import OrderStatus, OrderView
from dora_bot.paper.testing import PaperServer
from dora_bot.paper.venue import Venue

START_S = 30.0
ITEM = {
    "enabled": True,
    "strategy": "spread",
    "max_inventory_yes": Decimal(100),
    "max_inventory_no": Decimal(100),
    "min_spread": Decimal("0.03"),
    "quote_size": Decimal(5),
    "inventory_skew_factor": Decimal("0.5"),
}


@dataclass(slots=True)
class Stack:
    """A context manager; ``bot`` runs from `start_bot` on."""

    options: LaunchOptions
    build: WorldBuilder | None = None
    item: Mapping[str, Any] = field(default_factory=lambda: dict(ITEM))
    clock: SystemClock = field(default_factory=SystemClock)
    folder: Path = field(init=False)
    server: PaperServer = field(init=False)
    environ: dict[str, str] = field(init=False)
    bot: Child = field(init=False)
    _exits: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="dora-bench-")))
        self.server = self._exits.enter_context(PaperServer(self.options, self.build))
        aws = Child.start("local-aws", ["local-aws"], child_environment({}), self.folder)
        self._exits.callback(aws.end, 5.0)
        here = self.server.here
        self.environ = {
            "DORA_ENV": "paper",
            "DORA_KALSHI_REST_URL": here.rest_url,
            "DORA_KALSHI_WS_URL": here.ws_url,
            "DORA_KALSHI_KEY_ID": here.key_id,
            "DORA_KALSHI_PRIVATE_KEY_PATH": str(here.private_key_path),
            "DORA_STATE_DIR": str(self.folder / "bot"),
            "DORA_CONTROL_PORT": "0",
            "AWS_ENDPOINT_URL": aws.first_record(self.clock, START_S, lambda: False)["endpoint_url"],
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        self.configure(here.tickers)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def configure(self, tickers: Sequence[str]) -> None:
        make_tables(self.environ).batch_put(MARKET_CONFIG, [{**self.item, "market_id": t} for t in tickers])

    def start_bot(self, *arguments: str) -> None:
        self.bot = Child.start(
            "run", ["run", "--json", *arguments], child_environment(self.environ), self.folder
        )
        self._exits.callback(self.bot.end, 15.0)

    def wait_until(self, condition: Callable[[Venue], bool], seconds: float, every_s: float = 0.02) -> float:
        """Poll ``condition(venue)`` on the exchange's thread. Returns the seconds it took.

        Raises `TimeoutError` with the bot's last words.
        """
        begun = self.clock.now().mono_ms
        while not self.server.run(condition):
            if self.clock.now().mono_ms - begun > seconds * 1_000:
                raise TimeoutError(f"not within {seconds} s; the bot says: {self.bot.last_words()}")
            self.clock.sleep(every_s)
        return (self.clock.now().mono_ms - begun) / 1_000

    def evidence(self, start_cash: str, bot_exit: int) -> Evidence:
        """What the demo's report and the independent checker judge."""
        here = self.server.here
        venue = {"admin_url": here.admin_url, "admin_token": here.admin_token, "tickers": list(here.tickers)}
        truth = self.server.run(lambda v: v.engine.truth(TRADER))
        return Evidence(self.environ, venue, truth, start_cash, self.status(), bot_exit)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "bot" / "status.json").read_text(encoding="utf-8"))
        return found


def resting(venue: Venue) -> list[OrderView]:
    """The bot's resting orders."""
    return venue.engine.orders(TRADER, status=OrderStatus.RESTING)


def report(name: str, value: float, unit: str, n: int, **more: object) -> None:
    """One benchmark figure as a line of JSON on stdout."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "n": n, **more}), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
