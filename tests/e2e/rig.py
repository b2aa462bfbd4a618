"""The whole bot as its operator runs it: `dora run` as a child process, an exchange and a DynamoDB over loopback.

A `Rig` is one account on one exchange with one set of tables and one state directory; bots come and go on it. What
a test proves is the exchange's word and what lies in the tables, seldom the bot's own.
"""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import boto3
import requests

from dora_bot.config import Settings
from dora_bot.demo_children import child_environment
from dora_bot.demo_report import Evidence, audit
from dora_bot.dynamo import Dynamo
from dora_bot.items import MARKET_CONFIG, STATE, Item
from dora_bot.models import Side
from dora_bot.paper.admin_actions import OPERATOR, TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.specs import OrderRequest, OrderStatus, OrderView
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue
from dora_bot.tables import create_tables

ROOT = Path(__file__).parents[2]
START_S = 20.0
STOP_S = 20.0
ITEM: Item = {
    "enabled": True,
    "strategy": "spread",
    "max_inventory_yes": Decimal(20),
    "max_inventory_no": Decimal(20),
    "min_spread": Decimal("0.02"),
    "quote_size": Decimal(5),
    "inventory_skew_factor": Decimal("0.5"),
}
Found = TypeVar("Found")


def until(what: str, look: Callable[[], Found], seconds: float, last_words: Callable[[], str] = str) -> Found:
    """Look until there is something. Raises AssertionError naming what did not come in ``seconds``."""
    give_up = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up, f"not within {seconds} s: {what}; {last_words()}"
        time.sleep(0.02)
    return found


class Bot:
    """One life of `dora run`; its output is kept in files so that no pipe can block it."""

    def __init__(self, environ: Mapping[str, str], folder: Path, number: int, command: list[str]) -> None:
        self.out, self.err = folder / f"bot-{number}.out", folder / f"bot-{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                env={**child_environment(environ), "PYTHONPATH": str(ROOT)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, number: int = signal.SIGTERM, seconds: float = STOP_S) -> int:
        """Signal it and wait for its exit code."""
        if self.alive:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_S)

    def log(self) -> list[dict[str, Any]]:
        """The structured lines on its stderr."""
        lines = self.err.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def words(self) -> list[str]:
        """The lines on its stderr that are for a person."""
        lines = self.err.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if not line.startswith("{")]

    def last_words(self) -> str:
        text = self.err.read_text(encoding="utf-8", errors="replace")
        return f"exit {self.process.poll()}, its last words: {text[-3_000:]}"


class Rig:
    """See the module. A context manager; leaves no process and no connection."""

    def __init__(self, aws_url: str, prefix: str, folder: Path, markets: list[StaticMarket]) -> None:
        self.folder = folder
        self.prefix = prefix
        self.tickers = [market.ticker for market in markets]
        options = LaunchOptions(profile="fast")
        self.seed = options.seed
        self.server = PaperServer(options, StaticWorld(markets).install)
        self.aws = boto3.client(
            "dynamodb",
            endpoint_url=aws_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.db = Dynamo(self.aws, prefix)
        self.environ: dict[str, str] = {
            "DORA_ENV": "paper",
            "DORA_TABLE_PREFIX": prefix,
            "DORA_STATE_DIR": str(folder / "state"),
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.bots: list[Bot] = []
        self.start_cash = ""
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._exits.callback(self.db.close)
        self._exits.enter_context(self.server)
        here = self.server.here
        self.environ |= {
            "DORA_KALSHI_REST_URL": here.rest_url,
            "DORA_KALSHI_WS_URL": here.ws_url,
            "DORA_KALSHI_KEY_ID": here.key_id,
            "DORA_KALSHI_PRIVATE_KEY_PATH": str(here.private_key_path),
        }
        self.start_cash = self.run(lambda v: str(v.engine.truth(TRADER)["cash"]))
        create_tables(self.db, live=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.end_bots()
        self._exits.close()

    @property
    def own_prefix(self) -> str:
        """What every client order id of the bot begins with."""
        return Settings.from_environ(self.environ).order_prefix

    def end_bots(self) -> None:
        """Kill every bot that still runs, or stands still."""
        for bot in self.bots:
            if bot.alive:
                bot.process.send_signal(signal.SIGCONT)
                bot.kill()

    # ── the operator ────────────────────────────────────────────────────────────────────────────

    def configure(self, *tickers: str, **changes: object) -> None:
        """A complete item for each market (all of them if none is named)."""
        items = [{**ITEM, **changes, "market_id": ticker} for ticker in tickers or self.tickers]
        self.db.batch_put(MARKET_CONFIG, items)

    def edit(self, name: str, attribute: str, value: Mapping[str, Any]) -> float:
        """As the console does: set one attribute to a typed value. Returns when (seconds since 1970)."""
        is_global = name == "global_config"
        self.aws.update_item(
            TableName=self.db.name(STATE if is_global else MARKET_CONFIG),
            Key={"key" if is_global else "market_id": {"S": name}},
            UpdateExpression="SET #a = :v",
            ExpressionAttributeNames={"#a": attribute},
            ExpressionAttributeValues={":v": value},
        )
        return time.time()

    def remove(self, ticker: str, attribute: str) -> float:
        """Delete one attribute of a market's item. Returns when."""
        self.aws.update_item(
            TableName=self.db.name(MARKET_CONFIG),
            Key={"market_id": {"S": ticker}},
            UpdateExpression="REMOVE #a",
            ExpressionAttributeNames={"#a": attribute},
        )
        return time.time()

    def item(self, name: str) -> Item:
        if name == "global_config":
            return self.db.get(STATE, {"key": name})
        return self.db.get(MARKET_CONFIG, {"market_id": name})

    def dora(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Another command of the operator's, in the bot's environment."""
        return subprocess.run(
            [sys.executable, "-m", "dora_bot.cli", *arguments],
            env={**child_environment({**self.environ, **environ}), "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=45,
            check=False,
        )

    def resume(self, halt_id: str) -> None:
        """Look at a halt, then end it; a milder hold ends at once."""
        if self.dora("resume", halt_id).returncode == 0:
            return
        ended = self.dora("resume", halt_id, "--confirm")
        assert ended.returncode == 0, ended.stderr

    # ── the bot ─────────────────────────────────────────────────────────────────────────────────

    def start(self, *arguments: str, **environ: str) -> Bot:
        return self.launch(["-m", "dora_bot.cli", "run", *arguments], environ)

    def launch(self, command: list[str], environ: Mapping[str, str]) -> Bot:
        """Another program as the bot; a status of an earlier life is taken away so that none is mistaken for its."""
        (self.folder / "state" / "status.json").unlink(missing_ok=True)
        self.bots.append(Bot({**self.environ, **environ}, self.folder, len(self.bots), command))
        return self.bots[-1]

    @property
    def bot(self) -> Bot:
        return self.bots[-1]

    def quoting(self, *tickers: str, seconds: float = START_S) -> float:
        """Wait until both sides of the markets (all if none is named) rest. Returns the seconds it took."""
        wanted = {(t, side) for t in tickers or self.tickers for side in Side}
        return self.until("two-sided quotes", lambda v: wanted <= sides(v), seconds)

    def withdrawn(self, *tickers: str, seconds: float) -> float:
        """Wait until no order of ours rests in the markets (all if none is named)."""
        gone = set(tickers or self.tickers)
        return self.until("no orders", lambda v: not any(t in gone for t, _ in sides(v)), seconds)

    def until(self, what: str, condition: Callable[[Venue], object], seconds: float) -> float:
        """Wait for something at the exchange. Returns the seconds it took."""
        begun = time.monotonic()
        until(what, lambda: self.run(condition), seconds, self.bot.last_words if self.bots else str)
        return time.monotonic() - begun

    def status(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "state" / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def until_status(
        self, what: str, condition: Callable[[dict[str, Any]], object], seconds: float
    ) -> dict[str, Any]:
        """Wait for a status of which the condition holds."""

        def look() -> dict[str, Any]:
            status = self.status()
            return status if status and condition(status) else {}

        return until(what, look, seconds, self.bot.last_words)

    # ── the exchange ────────────────────────────────────────────────────────────────────────────

    def run(self, act: Callable[[Venue], Found]) -> Found:
        return self.server.run(act)

    def hit(self, ticker: str, side: Side, contracts: int) -> None:
        """Somebody trades ``side`` against our order there, whatever stands before it in the queue."""

        def act(venue: Venue) -> int:
            order = next(o for o in resting(venue, ticker) if o.side is not side)
            return venue.engine.fill_order(order.order_id, contracts * 100, venue.now_ms())

        filled = self.run(act)
        assert filled == contracts * 100

    def move(self, ticker: str, bid_e4: int, ask_e4: int) -> None:
        """The house's quotes go to new prices, 100 contracts each; what of ours is in their way is traded with."""

        def act(venue: Venue) -> None:
            now_ms = venue.now_ms()
            for order in venue.engine.orders(OPERATOR, status=OrderStatus.RESTING):
                if order.ticker == ticker:
                    venue.engine.operator_cancel(order.order_id, now_ms)
            for side, price in ((Side.BID, bid_e4), (Side.ASK, ask_e4)):
                venue.engine.create(OPERATOR, OrderRequest(ticker, side, price, 10_000), now_ms)

        self.run(act)

    def fills(self) -> int:
        return self.run(lambda v: len(v.engine.fills(TRADER)))

    def audit(self) -> dict[str, Any]:
        """The trade log against the exchange, by the checker that shares no code with the bot."""
        here = self.server.here
        venue = {"admin_url": here.admin_url, "admin_token": here.admin_token, "tickers": list(here.tickers)}
        truth = self.run(lambda v: v.engine.truth(TRADER))
        return audit(Evidence(self.environ, venue, truth, self.start_cash, self.status(), 0), self.db)

    def ledger_differences(self) -> list[str]:
        """Where the trade log and the exchange disagree."""
        found: list[str] = self.audit()["differences"]
        return found

    def admin(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call of the exchange's admin port."""
        here = self.server.here
        headers = {"Authorization": f"Bearer {here.admin_token}"}
        url = f"{here.admin_url}/admin/v1/{path}"
        reply = requests.request(method, url, json=body, headers=headers, timeout=START_S)
        assert reply.ok, reply.text
        told: dict[str, Any] = reply.json()
        return told

    def arm(self, kind: str, match: dict[str, str], params: dict[str, Any], when: dict[str, Any]) -> str:
        """A fault at the exchange, by its admin port: what acts by itself acts at once. Returns its id."""
        request = {"kind": kind, "match": match, "params": params, "when": when}
        return str(self.admin("POST", "faults", request)["fault_id"])

    def disarm(self, fault_id: str = "") -> list[int]:
        """End one fault, or all. Returns how often each struck, in the order in which they were armed."""
        armed = {fault["fault_id"]: int(fault["hits"]) for fault in self.admin("GET", "faults")["faults"]}
        if not fault_id:
            self.admin("DELETE", "faults")
            return list(armed.values())
        if fault_id in armed:  # one that struck all at once is gone already
            self.admin("DELETE", f"faults/{fault_id}")
        return [armed[one] for one in armed if one == fault_id]


# ── what an exchange shows ──────────────────────────────────────────────────────────────────────


def resting(venue: Venue, ticker: str = "") -> list[OrderView]:
    """The account's resting orders, the bot's and foreign ones."""
    orders = venue.engine.orders(TRADER, status=OrderStatus.RESTING)
    return [order for order in orders if ticker in ("", order.ticker)]


def withdraw(venue: Venue, ticker: str = "") -> int:
    """The operator of the exchange cancels our orders, so that the bot must create new ones. Returns how many."""
    orders = resting(venue, ticker)
    for order in orders:
        venue.engine.operator_cancel(order.order_id, venue.now_ms())
    return len(orders)


def sides(venue: Venue) -> set[tuple[str, Side]]:
    """(ticker, side) where the account has an order."""
    return {(order.ticker, order.side) for order in resting(venue)}


def quotes(venue: Venue, ticker: str) -> tuple[int, int]:
    """Our (bid, ask) in 0.0001 $; 0 where there is none."""
    ours = {order.side: order.price_e4 for order in resting(venue, ticker)}
    return ours.get(Side.BID, 0), ours.get(Side.ASK, 0)


def account_cuts(venue: Venue, after: int = 0) -> Iterator[dict[str, Any]]:
    """The journal's entries of what changed on the account, oldest first."""
    while entries := venue.journal.after(after):
        yield from (e for e in entries if e["kind"] == "account" and e["account"] == TRADER)
        after = int(entries[-1]["n"])


def most_live_on_a_side(venue: Venue, after: int = 0) -> int:
    """The most orders the account ever had at once on one side of one market, at any instant of the journal."""
    live: dict[tuple[str, str], set[str]] = defaultdict(set)
    most = 0
    for cut in account_cuts(venue, after):
        for order_id, order in cut["orders"].items():
            place = (order["ticker"], order["side"])
            if order["status"] == "resting":
                live[place].add(order_id)
            else:
                live[place].discard(order_id)
        most = max([most, *(len(orders) for orders in live.values())])
    return most


def arrivals(venue: Venue, method: str, path_end: str, after: int = 0) -> int:
    """How many requests of that kind arrived since entry ``after`` of the journal."""
    return sum(
        entry["kind"] == "arrival" and entry["method"] == method and entry["path"].endswith(path_end)
        for entry in venue.journal.after(after, limit=100_000)
    )
