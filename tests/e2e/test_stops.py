"""Every way to end the bot: signals while it quotes and while it starts, and starts that cannot be."""

import json
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dora_bot.items import STATE
from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("nothing_runs_on")]

A, B = "KXSTOP-26NOV20-A", "KXSTOP-26NOV20-B"

RUN_AND_TELL = """
import json, pathlib, sys
from dora_bot.cli import main
code = main(["run"])
pathlib.Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""
"""`dora run`, and at its end the names of everything it ever imported."""


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_clean_with_everything_booked(rig: Rig, number: signal.Signals) -> None:
    rig.launch(["-c", RUN_AND_TELL], {})
    rig.quoting()
    fills = rig.fills()
    rig.hit(A, Side.ASK, 1)
    rig.hit(B, Side.BID, 2)
    assert rig.fills() == fills + 2
    assert rig.bot.stop(number) == 0
    assert not rig.run(resting)
    assert rig.status()["open_orders"] == []
    assert rig.status()["reasons"] == [number.name]
    assert rig.ledger_differences() == []
    assert rig.bot.words() == []
    report = dict(line.split(maxsplit=1) for line in rig.bot.out.read_text().splitlines())
    assert list(report) == ["stopped", "fills", "today", "realised", "unrealised", "orders"]
    assert (report["stopped"], report["fills"]) == (number.name, "2 (3.00 contracts)")
    assert report["orders"].endswith(", 0 left resting")
    counts = rig.status()["counts"]
    assert counts["risk_reads"] >= 2
    assert min(counts["rest_calls"], counts["keeper_calls"], counts["risk_calls"]) > 0
    (stopped,) = [line["orders"] for line in rig.bot.log() if line["message"] == "stopped"]
    assert re.fullmatch(r"0 resting, verified at \d\d:\d\d:\d\d after 2 reads", stopped)
    assert [line["ceilings"] for line in rig.bot.log() if line["message"] == "started"] == ["paper defaults"]


def test_the_bot_imports_neither_the_exchange_nor_the_embedded_aws(rig: Rig) -> None:
    names = json.loads((rig.folder / "modules.json").read_text())
    assert "dora_bot.runtime" in names
    assert [
        n for n in names if n.startswith(("dora_bot.paper", "dora_bot.local_aws", "moto", "pytest"))
    ] == []


STARTING: dict[str, Callable[[Rig, int], object]] = {
    "first call": lambda rig, mark: rig.run(lambda v: v.journal.last) > mark,
    "account read": lambda rig, mark: rig.run(lambda v: "/portfolio/positions" in str(v.journal.after(mark))),
    "first order": lambda rig, mark: rig.run(lambda v: "POST" in str(v.journal.after(mark))),
}


@pytest.mark.parametrize("instant", STARTING)
def test_a_signal_while_it_starts_ends_it_clean_too(rig: Rig, instant: str) -> None:
    """The orders of a killed life rest meanwhile: a start that is stopped must not leave them behind."""
    rig.start()
    rig.quoting()
    rig.bot.kill()
    assert len(rig.run(resting)) == 4
    mark = rig.run(lambda v: v.journal.last)
    rig.start()
    until(instant, lambda: STARTING[instant](rig, mark), 15.0, rig.bot.last_words)
    assert rig.bot.stop() == 0, rig.bot.last_words()
    assert not rig.run(resting)
    assert rig.bot.words() == []


# ── starts that cannot be ───────────────────────────────────────────────────────────────────────


def nobody_listens() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wrong_key(folder: Path) -> str:
    from dora_bot.paper.auth import new_private_key, write_private_key  # noqa: PLC0415  (one use)

    path = folder / "another.pem"
    write_private_key(new_private_key("rsa"), path)
    return str(path)


REFUSED: dict[str, tuple[Callable[[Rig], dict[str, str]], int, str]] = {
    "exchange unreachable": (
        lambda rig: {"DORA_KALSHI_REST_URL": f"http://127.0.0.1:{nobody_listens()}/trade-api/v2"},
        4,
        "127.0.0.1",
    ),
    "wrong key": (lambda rig: {"DORA_KALSHI_PRIVATE_KEY_PATH": wrong_key(rig.folder)}, 4, "401"),
    "no key file": (lambda rig: {"DORA_KALSHI_PRIVATE_KEY_PATH": "/nonexistent.pem"}, 2, "/nonexistent.pem"),
    "missing tables": (lambda rig: {"DORA_TABLE_PREFIX": "absent_"}, 2, "dora tables create"),
    "database unreachable": (
        lambda rig: {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{nobody_listens()}"},
        1,
        "could not connect",
    ),
    "misspelt variable": (lambda rig: {"DORA_STATE_DIRR": "x"}, 2, "DORA_STATE_DIRR"),
    "bad ceilings": (lambda rig: {"DORA_CEILINGS_PATH": "/nonexistent.toml"}, 2, "/nonexistent.toml"),
    "unknown host": (
        lambda rig: {"DORA_KALSHI_REST_URL": "https://exchange.invalid/trade-api/v2"},
        2,
        "exchange.invalid",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_start_that_cannot_be_says_why_in_one_line(rig: Rig, case: str) -> None:
    environ, code, names = REFUSED[case]
    mark = rig.run(lambda v: v.journal.last)
    rig.start(**environ(rig))
    assert rig.bot.process.wait(30) == code, rig.bot.last_words()
    assert len(rig.bot.words()) == 1
    assert names.lower() in rig.bot.words()[0].lower()
    assert not rig.run(lambda v: [e for e in v.journal.after(mark) if e.get("method") in ("POST", "DELETE")])


def test_without_a_global_config_it_does_not_start_and_leaves_no_order(rig: Rig) -> None:
    """The start fails half-way, with the orders of a killed life resting."""
    rig.start()
    rig.quoting()
    rig.bot.kill()
    item = rig.item("global_config")
    rig.aws.delete_item(TableName=rig.db.name(STATE), Key={"key": {"S": "global_config"}})
    rig.start()
    code = rig.bot.process.wait(30)
    rig.db.put(STATE, item)
    assert (code, len(rig.bot.words())) == (2, 1), rig.bot.last_words()
    assert "global_config is missing" in rig.bot.words()[0]
    assert not rig.run(resting)


def test_a_second_bot_is_refused_by_the_state_directory_and_by_the_lease(rig: Rig, tmp_path: Path) -> None:
    first = rig.start()
    rig.quoting()
    rig.start()
    assert rig.bot.process.wait(15) == 2
    assert len(rig.bot.words()) == 1
    assert "is in use by process" in rig.bot.words()[0]
    rig.start(DORA_STATE_DIR=str(tmp_path / "elsewhere"))
    assert rig.bot.process.wait(30) == 5
    assert len(rig.bot.words()) == 1
    assert "lease" in rig.bot.words()[0]
    assert first.alive
    assert len(rig.run(resting)) == 4
    assert first.stop() == 0
