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
from dora_bot.demo_children import Child, Stopped, child_environment
from dora_bot.errors import DoraError
from dora_bot.exit_codes import ExitCode

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
    """Run one demo. Returns 0 only if the ledger equals the exchange, no order rests, and the bot ended well."""
    children: list[Child] = []
    good = stopped_early = False
    with StopFlag().installed() as stopping:
        folder = _new_folder()
        try:
            found = _run(options, folder, children, stopping)
            good = (
                found["ledger_equals_exchange"] and not found["open_orders_at_end"] and not found["bot_exit"]
            )
            _tell(found, json=options.json)
        except Stopped as stopped:
            stopped_early = True
            note(f"dora: {stopped}")
        finally:
            _end_all(children)
            if good or stopped_early:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                note(f"dora: the logs of this demo are kept in {folder}")
    return ExitCode.DONE if good else ExitCode.FAILED


def _run(options: DemoOptions, folder: Path, children: list[Child], stopping: StopFlag) -> dict[str, Any]:
    note("dora demo: starting the paper exchange and the local AWS …")
    environ = child_environment({})
    for name, arguments in (("local-aws", []), ("paper-exchange", _exchange_arguments(options))):
        children.append(Child.start(name, [name, *arguments], environ, folder))
    # Only now: AWS and HTTP libraries take longer to import than the children to start.
    from dora_bot.demo_session import Session  # noqa: PLC0415  (as the line above says)

    return Session(options, folder, children, stopping).run()


def _exchange_arguments(options: DemoOptions) -> list[str]:
    words = ["--profile", "real", "--seed", str(options.seed), "--speed", f"{options.speed:g}"]
    if not options.tapes:
        return [*words, "--markets", str(options.markets)]
    return [*words, "--markets", "0", *(word for tape in options.tapes for word in ("--tape", str(tape)))]


def _tell(found: Mapping[str, Any], *, json: bool) -> None:
    if json:
        emit(found)
        return
    from dora_bot.demo_report import report_lines  # noqa: PLC0415  (see _run)

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
