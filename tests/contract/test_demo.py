"""``dora demo`` as a person runs it: real child processes, stopped at any moment, audited at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from dora_bot.dynamo import Dynamo
from dora_bot.items import TRADE_LOG, fill_item
from tests.fakes.bookings import Book

pytestmark = pytest.mark.process

REPORT_KEYS = {
    "ticks",
    "orders_placed",
    "orders_cancelled",
    "fills",
    "contracts",
    "realised_pnl",
    "unrealised_pnl",
    "fees",
    "open_orders_at_end",
    "ledger_equals_exchange",
    "max_worst_case_over_cap",
    "tick_ms",
    "reaction_ms",
    "dynamodb",
}
DOCUMENTED = {
    "DORA_ENV",
    "DORA_KALSHI_REST_URL",
    "DORA_KALSHI_WS_URL",
    "DORA_KALSHI_KEY_ID",
    "DORA_KALSHI_PRIVATE_KEY_PATH",
    "DORA_STATE_DIR",
}


class Demo:
    """A running ``dora demo --json`` in a directory of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        words = ["demo", "--json", "--markets", "3", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dora_bot.cli", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "DORA_ENV": "live"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def bot_environment(self) -> dict[str, str]:
        """Wait until the bot quotes, then what it was started with."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for status in self.folder.glob(".dora/demo-*/bot/status.json"):
                if json.loads(status.read_text()).get("open_orders"):
                    return self._child_environment("run")
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.1)
        raise AssertionError("the bot did not quote within 60 s")

    def _child_environment(self, command: str) -> dict[str, str]:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == self.process.pid and command.encode() in words:
                    pairs = (entry / "environ").read_text().split("\0")
                    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
            except OSError:  # it ended while we looked
                continue
        raise AssertionError(f"no child runs dora {command}")

    def end(self, *signals: int) -> tuple[int, dict[str, Any], str]:
        """Exit code, the report, and everything on stderr."""
        for signum in signals:
            self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, json.loads(out.splitlines()[-1]) if out else {}, err


@pytest.fixture
def running() -> Iterator[list[Demo]]:
    demos: list[Demo] = []
    yield demos
    for demo in demos:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.communicate(timeout=60)


def test_a_short_demo_ends_with_a_ledger_that_equals_the_exchange(
    tmp_path: Path, running: list[Demo]
) -> None:
    running.append(Demo(tmp_path, "--seconds", "5"))
    code, report, err = running[0].end()
    assert code == 0, err
    assert report.keys() >= REPORT_KEYS
    assert report["ledger_equals_exchange"] is True
    assert report["open_orders_at_end"] == 0
    assert report["max_worst_case_over_cap"] == 0
    assert report["orders_placed"] > 0
    assert report["ticks"] > 0
    assert list((tmp_path / ".dora").iterdir()) == [], "a good demo leaves nothing behind"


def test_ctrl_c_drains_reports_and_one_made_up_row_fails_it(tmp_path: Path, running: list[Demo]) -> None:
    running.append(Demo(tmp_path, "--seconds", "600"))
    environ = running[0].bot_environment()
    assert {name for name in environ if name.startswith("DORA_")} == DOCUMENTED
    assert environ["DORA_ENV"] == "paper", "the person's own settings must not reach the bot"
    assert not [name for name, value in environ.items() if "admin" in (name + value).lower()]

    add_row(environ)
    code, report, err = running[0].end(signal.SIGINT, signal.SIGINT)
    assert code == 1
    assert report["ledger_equals_exchange"] is False
    assert report["open_orders_at_end"] == 0
    assert "is only in the trade log" in err
    assert "Traceback" not in err
    assert len(list((tmp_path / ".dora").iterdir())) == 1, "the logs of a failed demo are kept"


def test_stopped_before_the_bot_runs_it_ends_everything(tmp_path: Path, running: list[Demo]) -> None:
    running.append(Demo(tmp_path, "--seconds", "600"))
    stderr = running[0].process.stderr
    assert stderr is not None
    assert "starting" in stderr.readline()
    code, report, err = running[0].end(signal.SIGTERM)
    assert (code, report) == (1, {})
    assert "nothing was traded" in err


def add_row(environ: dict[str, str]) -> None:
    """A fill that never happened, for a tenth of a cent."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name=environ["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    row = fill_item(Book().fill(price_e4=10, count_e2=1, fee_e6=0, ticker="KXNEVER-1"))
    db = Dynamo(client, "dora_paper_")
    db.put(TRADE_LOG, {**row, "position_version": Decimal(1)})
    db.close()
