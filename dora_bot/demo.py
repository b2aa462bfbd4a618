"""``dora demo``: the exchange, the AWS endpoint and the bot as child processes, watched and then audited.

The children are started by the documented environment variables only; the demo itself does what a person would:
it creates the tables, writes the config items and reads the published status. Ctrl-C sets a flag and nothing
else, so at any moment the bot is drained first, the report is made, and every child is ended.
"""

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from dora_bot.cli_support import emit, note
from dora_bot.clock import SystemClock
from dora_bot.demo_admin import AdminPort, Disturbances
from dora_bot.demo_children import Child, Stopped, child_environment
from dora_bot.demo_report import Evidence, report, report_lines
from dora_bot.demo_setup import busiest_shard, configure, list_markets, make_tables
from dora_bot.demo_watch import fitting_watch, latest_status
from dora_bot.errors import DoraError
from dora_bot.exit_codes import ExitCode
from dora_bot.ports import Clock

_START_S: Final = 60
_DRAIN_S: Final = 20
_END_S: Final = 5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `dora demo` was asked for; ``tapes`` replace the synthetic markets."""

    seconds: float
    markets: int
    seed: int
    tapes: tuple[Path, ...]
    speed: float
    json: bool


class StopFlag:
    """Set by SIGINT, SIGTERM and SIGHUP while it is installed; the loops look at it."""

    def __init__(self) -> None:
        self.raised = False

    def __call__(self) -> bool:
        return self.raised

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        self.raised = True

    @contextlib.contextmanager
    def installed(self) -> Iterator["StopFlag"]:
        before = {n: signal.signal(n, self._raise) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_demo(options: DemoOptions) -> int:
    """Run one demo. Returns 0 only if the ledger equals the exchange and no order rests."""
    folder = _new_folder()
    children: list[Child] = []
    good = False
    with StopFlag().installed() as stopping:
        try:
            found = _Demo(options, folder, SystemClock(), stopping, children).run()
            good = (
                found["ledger_equals_exchange"] and not found["open_orders_at_end"] and not found["bot_exit"]
            )
            _tell(found, json=options.json)
        except Stopped as stopped:
            note(f"dora: {stopped}")
        finally:
            _end_all(children)
            if good:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                note(f"dora: the logs of this demo are kept in {folder}")
    return ExitCode.DONE if good else ExitCode.FAILED


def _tell(found: Mapping[str, Any], *, json: bool) -> None:
    if json:
        emit(found)
        return
    for line in report_lines(found):
        sys.stdout.write(line + "\n")


def _new_folder() -> Path:
    home = Path(".dora")
    try:
        home.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="demo-", dir=home)).resolve()
    except OSError as error:
        raise DoraError(
            f"cannot write to {home.resolve()}: {error.strerror}; run dora demo elsewhere"
        ) from error


def _end_all(children: list[Child]) -> None:
    """The bot first: its last cancels need the exchange, its last writes the tables."""
    for child in reversed(children):
        child.end(_END_S)


def _aws_environment(endpoint: str) -> dict[str, str]:
    """The usual variables; the embedded endpoint takes any credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
    }


@dataclass
class _Demo:
    options: DemoOptions
    folder: Path
    clock: Clock
    stopping: StopFlag
    children: list[Child]

    def run(self) -> dict[str, Any]:
        note("dora demo: starting the paper exchange and the local AWS …")
        aws = self._start("local-aws", [], {})
        exchange = self._start("paper-exchange", self._exchange_arguments(), {})
        aws_environ = _aws_environment(aws.first_record(self.clock, _START_S, self.stopping)["endpoint_url"])
        db = make_tables(aws_environ)
        venue = exchange.first_record(self.clock, _START_S, self.stopping)
        environ = {**aws_environ, **self._bot_environment(venue)}
        markets = list_markets(environ, venue["tickers"])
        configure(db, markets, one_tick=bool(self.options.tapes))
        admin = AdminPort(venue["admin_url"], venue["admin_token"])
        start_cash = str(admin.truth()["cash"])
        if self.stopping():
            raise Stopped("stopped before the bot started: nothing was traded")
        note(f"dora demo: {len(markets)} markets, starting the bot …")
        bot = self._start("run", ["--seconds", f"{self.options.seconds:g}", "--json"], environ)
        code = self._watch(bot, Disturbances(admin, busiest_shard(markets), self.options.seconds))
        if code:
            note(f"dora demo: the bot ended with code {code}: {bot.last_words()}")
        status = latest_status(self.folder / "bot")
        return report(Evidence(environ, venue, admin.truth(), start_cash, status, code), db)

    def _start(self, name: str, arguments: list[str], extra: Mapping[str, str]) -> Child:
        child = Child.start(name, [name, *arguments], child_environment(extra), self.folder)
        self.children.append(child)
        return child

    def _exchange_arguments(self) -> list[str]:
        options = self.options
        words = ["--profile", "real", "--seed", str(options.seed), "--speed", f"{options.speed:g}"]
        if not options.tapes:
            return [*words, "--markets", str(options.markets)]
        return [*words, "--markets", "0", *(word for tape in options.tapes for word in ("--tape", str(tape)))]

    def _bot_environment(self, venue: Mapping[str, Any]) -> dict[str, str]:
        return {
            "DORA_ENV": "paper",
            "DORA_KALSHI_REST_URL": venue["rest_url"],
            "DORA_KALSHI_WS_URL": venue["ws_url"],
            "DORA_KALSHI_KEY_ID": venue["key_id"],
            "DORA_KALSHI_PRIVATE_KEY_PATH": venue["private_key_path"],
            "DORA_STATE_DIR": str(self.folder / "bot"),
            "DORA_CONTROL_PORT": "0",
        }

    def _watch(self, bot: Child, disturbances: Disturbances) -> int:
        """Show the bot until it ends by itself or is asked to; returns its exit code."""
        started = self.clock.now().mono_ms
        with fitting_watch(sys.stdout, plain=self.options.json) as watch:
            while bot.running and not self.stopping():
                elapsed = (self.clock.now().mono_ms - started) / 1000
                if elapsed > self.options.seconds + _DRAIN_S:
                    watch.say(f"the bot did not stop {_DRAIN_S} s after its time")
                    break
                if done := disturbances.step(elapsed):
                    watch.say(done)
                watch.show(self.folder / "bot", elapsed)
                self.clock.sleep(0.25)
        disturbances.finish()
        if self.stopping():
            note("dora demo: stopping the bot, its orders are cancelled first …")
        return bot.end(_DRAIN_S)
