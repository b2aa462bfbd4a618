"""The paper exchange as a program: its first line, its key, its ports, and how it stops."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests

from dora_bot.errors import ConfigError, Usage
from dora_bot.paper.launch import LaunchOptions, run_paper_exchange
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue
from tests.fakes.signed_client import SignedClient

START = """
import json, sys
from pathlib import Path
from dora_bot.paper.launch import LaunchOptions, run_paper_exchange
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue
options = json.loads(sys.argv[1])
run_paper_exchange(LaunchOptions(**{**options, "state_dir": Path(options["state_dir"])}))
"""


@contextmanager
def launched(state: Path, **options: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running exchange and its first line; killed at the end if it still runs."""
    argument = json.dumps({"profile": "fast", "tier": "prestige", **options, "state_dir": str(state)})
    with subprocess.Popen(
        [sys.executable, "-c", START, argument], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_serves_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with launched(tmp_path, markets=6) as (process, here):
        assert set(here) == {
            "rest_url",
            "ws_url",
            "key_id",
            "private_key_path",
            "admin_url",
            "admin_token",
            "tickers",
        }
        key = Path(here["private_key_path"])
        assert key.parent == tmp_path
        assert key.stat().st_mode & 0o777 == 0o600
        client = SignedClient(here["rest_url"], here["key_id"], here["private_key_path"])
        listed = {m["ticker"]: m for m in client.get("/markets", status="open").body["markets"]}
        assert set(here["tickers"]) == set(listed)
        balance = client.get("/portfolio/balance").body
        funded = {row["exchange_index"]: float(row["balance"]) for row in balance["balance_breakdown"]}
        assert all(funded[market["exchange_index"]] > 0 for market in listed.values())
        client.close()
        process.send_signal(number)
        assert process.wait(10) == 0


def test_the_default_world_is_not_an_easy_one(tmp_path: Path) -> None:
    with launched(tmp_path, markets=6) as (_, here):
        base = here["rest_url"]
        markets = requests.get(f"{base}/markets", timeout=5).json()["markets"]
        events = requests.get(f"{base}/events?with_nested_markets=true", timeout=5).json()["events"]
        series = requests.get(f"{base}/series", timeout=5).json()["series"]
    assert any(market["exchange_index"] >= 1 for market in markets)
    assert any(market["price_level_structure"] == "deci_cent" for market in markets)
    assert any(event["mutually_exclusive"] and len(event["markets"]) >= 3 for event in events)
    assert any(one["fee_type"] == "quadratic_with_maker_fees" for one in series)


def test_without_the_admin_port_there_is_none(tmp_path: Path) -> None:
    with launched(tmp_path, markets=1, admin=False) as (process, here):
        assert (here["admin_url"], here["admin_token"]) == ("", "")
        assert len(open_ports(process.pid)) == 1


def open_ports(pid: int) -> list[str]:
    """The TCP ports on which a process listens, from the kernel's table."""
    links = [path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


def test_a_taken_port_is_one_clear_error(free_port: Callable[[], int]) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ConfigError, match=f"port {port} cannot be opened"):
            run_paper_exchange(LaunchOptions(port=port, markets=1))


@pytest.mark.parametrize(
    ("options", "says"),
    [(LaunchOptions(tier="gold"), "unknown tier"), (LaunchOptions(profile="kind"), "unknown profile")],
)
def test_options_that_make_no_sense_are_usage_errors(options: LaunchOptions, says: str) -> None:
    with pytest.raises(Usage, match=says):
        run_paper_exchange(options)


class BrokenEngineError(RuntimeError):
    """What the test breaks the engine with."""


def break_it(venue: Venue) -> None:
    def fail(_: str) -> NoReturn:
        raise BrokenEngineError

    venue.engine.market = fail  # type: ignore[method-assign, assignment]  # the breakage under test


def ask_a_broken_exchange() -> int:
    """The status of a read that breaks the engine; leaving the server raises what broke."""
    world = StaticWorld([StaticMarket("KXA-1-ONE")])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as server:
        server.run(break_it)
        return requests.get(f"{server.here.rest_url}/markets/KXA-1-ONE", timeout=5).status_code


def test_a_broken_engine_stops_the_exchange_instead_of_serving_on(caplog: pytest.LogCaptureFixture) -> None:
    """The client sees a 500, whose outcome is unknown to it; the operator sees the process end."""
    with pytest.raises(BrokenEngineError):
        ask_a_broken_exchange()
    assert "BrokenEngineError" in caplog.text
