"""F62, F63: a thread of the bot dies, hangs, or goes on without doing anything."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_bot.items import STATE
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until
from tests.faults.case import Case
from tests.faults.supervisor import injected

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

A, B = "KXTHRD-26NOV20-A", "KXTHRD-26NOV20-B"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


@pytest.fixture(autouse=True)
def ended(rig: Rig) -> Iterator[None]:
    """The next test starts without the halt that this one meant to raise."""
    yield
    rig.end_bots()
    (rig.folder / "state" / "halts.jsonl").unlink(missing_ok=True)
    rig.aws.delete_item(TableName=rig.db.name(STATE), Key={"key": {"S": "risk_state"}})


def break_thread(rig: Rig, case: Case, thread: str, how: str) -> float:
    """Have a quoting bot fail in that thread. Returns when that was, in seconds since 1970."""
    trigger = rig.folder / f"{thread}-{how}"
    rig.launch(injected(thread, how, trigger), {})
    rig.quoting(seconds=60.0)
    case.held("both sides of both markets rest", len(rig.run(resting)) == 4)
    trigger.touch()
    struck = trigger.with_suffix(".struck")
    until("the fault", struck.exists, 10.0, rig.bot.last_words)
    case.struck(f"proc.{how} {thread}")
    return struck.stat().st_mtime


def halts(rig: Rig) -> list[str]:
    file = rig.folder / "state" / "halts.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [str(json.loads(line)["reason"]) for line in lines]


def noticed(rig: Rig, reason: str) -> bool:
    """By a halt, or by the risk thread's word in the log."""
    said = [str(line.get("reason")) for line in rig.bot.log() if line["message"] == "threads"]
    return reason in said or reason in halts(rig)


def measure(rig: Rig, case: Case, since: float, reason: str) -> None:
    until(reason, lambda: noticed(rig, reason), 10.0, rig.bot.last_words)
    case.measured("I27", max(time.time() - since, 0.0))
    rig.withdrawn(seconds=5.0)


HALTING = {
    ("risk", "raise"): "the risk thread died",
    ("risk", "exit"): "the risk thread hangs",
    ("risk", "hang"): "the risk thread hangs",
    ("risk", "freeze"): "the risk thread hangs",
    ("feed", "raise"): "the feed thread died",
    ("feed", "exit"): "the feed thread died",
    ("lease", "raise"): "the lease thread died",
    ("drain", "raise"): "the drain thread died",
    ("keeper", "raise"): "the keeper thread died",
}


@pytest.mark.fault("F62", "F63")
@pytest.mark.parametrize(("thread", "how"), HALTING, ids=[f"{t}-{h}" for t, h in HALTING])
def test_a_thread_that_is_gone_or_blind_halts_the_bot(case: Case, rig: Rig, thread: str, how: str) -> None:
    """Guards: `Runtime.after_tick` watches the risk thread, `Runtime.judge` the feed, `Loop` reports its own end."""
    since = break_thread(rig, case, thread, how)
    measure(rig, case, since, HALTING[thread, how])
    assert HALTING[thread, how] in halts(rig)
    mark = rig.run(lambda v: v.journal.last)
    time.sleep(1.5)
    assert not [r for r in case.history(mark).requests if r.is_exposure]
    assert rig.bot.stop(seconds=40.0) == 3, rig.bot.last_words()


@pytest.mark.fault("F62", "F63")
@pytest.mark.parametrize("thread", ["feed", "lease", "drain", "keeper", "account"])
def test_a_thread_that_hangs_freezes_the_bot(case: Case, rig: Rig, thread: str) -> None:
    """Guard: `Runtime.look_at_threads`; without it the lease's margin is the first to end, after 13 s."""
    since = break_thread(rig, case, thread, "hang")
    measure(rig, case, since, f"the {thread} thread stands still")
    assert rig.bot.alive
    rig.bot.stop(seconds=60.0)
    assert not rig.run(resting)


@pytest.mark.fault("F62")
def test_a_tick_that_hangs_is_frozen_and_its_orders_go(case: Case, rig: Rig) -> None:
    """Guard: `RiskMonitor.judge`. It waits 3 s and a beat of 0.5 s, for a tick may be in a call that long."""
    since = break_thread(rig, case, "MainThread", "hang")
    rig.withdrawn(seconds=8.0)
    case.measured("B02", time.time() - since)
    until("a halt", lambda: "the tick loop does not answer" in halts(rig), 20.0)
    assert (rig.folder / "state" / "halts.jsonl").exists()


def test_the_trigger_is_what_breaks_it(rig: Rig, tmp_path: Path) -> None:
    """The launcher itself changes nothing: a bot under it quotes, and ends clean."""
    rig.launch(injected("risk", "hang", tmp_path / "never"), {})
    rig.quoting(seconds=60.0)
    assert rig.bot.stop() == 0
