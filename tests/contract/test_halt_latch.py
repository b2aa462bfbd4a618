"""What every `ports.HaltLatch` promises, with the operator's way out; then what only the file can promise."""

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dora_bot.errors import StoreError
from dora_bot.events import HaltsChanged
from dora_bot.halts import HaltFile
from dora_bot.models import Halt, Hold, Instant
from tests.fakes.core import NOW, later
from tests.fakes.ports import MemoryLatch

Latch = HaltFile | MemoryLatch


@pytest.fixture(params=["fake", "real"])
def latch(request: pytest.FixtureRequest, tmp_path: Path) -> Latch:
    return HaltFile(tmp_path / "halts.jsonl") if request.param == "real" else MemoryLatch()


def test_a_halt_is_in_force_with_who_why_when_and_evidence(latch: Latch) -> None:
    assert latch.read() == HaltsChanged(())
    told = latch.latch("daily loss limit", "risk", "-50.01", NOW)
    assert told == latch.read()
    assert told.halts == (Halt("H1", "daily loss limit", NOW.exchange_ms, "risk", "-50.01"),)


def test_the_same_reason_is_raised_once_while_it_is_in_force(latch: Latch) -> None:
    first = latch.latch("a", "tick", "1", NOW)
    assert latch.latch("a", "risk", "2", later(1_000)) == first
    assert [h.halt_id for h in latch.latch("b", "risk", "", NOW).halts] == ["H1", "H2"]


def test_only_its_own_id_ends_a_halt_and_an_id_is_never_used_again(latch: Latch) -> None:
    latch.latch("a", "tick", "", NOW)
    latch.latch("b", "tick", "", NOW)
    assert [h.reason for h in latch.resume("H1", "operator", NOW).halts] == ["b"]
    with pytest.raises(KeyError):
        latch.resume("H1", "operator", NOW)
    assert [h.halt_id for h in latch.latch("a", "tick", "", NOW).halts] == ["H2", "H3"]


def test_milder_and_narrower_halts_say_so_and_stop_less(latch: Latch) -> None:
    assert latch.latch("loss", "tick", "", NOW, hold=Hold.REDUCE_ONLY, scope="KXA").stops == ()
    told = latch.latch("lunch", "operator", "", NOW, hold=Hold.PAUSED)
    assert [(h.hold, h.scope) for h in told.halts] == [(Hold.REDUCE_ONLY, "KXA"), (Hold.PAUSED, "")]
    assert ([h.reason for h in told.stops], told.halted) == (["lunch"], False)
    assert latch.latch("news", "operator", "", NOW).halted
    assert latch.resume("H3", "operator", NOW).halts == told.halts
    assert latch.read().halts == told.halts


def test_only_lifting_a_real_halt_counts_as_accepting_the_loss(latch: Latch) -> None:
    latch.latch("lunch", "operator", "", NOW, hold=Hold.PAUSED)
    latch.latch("loss", "tick", "", NOW)
    assert latch.resume("H1", "operator", later(1_000)).resumed_ms == 0
    assert latch.resume("H2", "operator", later(2_000)).resumed_ms == later(2_000).exchange_ms
    assert latch.read().resumed_ms == later(2_000).exchange_ms


def raised(reason: str, at: Instant, name: str = "H9", by: str = "operator") -> Halt:
    return Halt(name, reason, at.exchange_ms, by)


def test_a_halt_raised_elsewhere_is_taken_once_and_stays_resumed(tmp_path: Path) -> None:
    latch = HaltFile(tmp_path / "halts.jsonl")
    latch.latch("own", "risk", "", NOW)
    news = raised("news", NOW)
    told = latch.take([news], later(3_000))
    assert [(h.halt_id, h.reason, h.raised_ms) for h in told.halts] == [
        ("H1", "own", NOW.exchange_ms),
        ("H2", "news", NOW.exchange_ms),
    ]
    assert latch.take([news, *told.halts], later(6_000)) == told
    assert [h.reason for h in latch.resume("H2", "operator", later(7_000)).halts] == ["own"]
    assert [h.reason for h in latch.take([news], later(9_000)).halts] == ["own"]
    assert [h.reason for h in latch.take([raised("news", later(9_000))], later(9_100)).halts] == [
        "own",
        "news",
    ]


def test_a_halt_raised_anew_while_it_is_in_force_keeps_its_id(tmp_path: Path) -> None:
    latch = HaltFile(tmp_path / "halts.jsonl")
    latch.latch("news", "operator", "", NOW)
    told = latch.take([raised("news", later(5_000))], later(5_000))
    assert [(h.halt_id, h.raised_ms) for h in told.halts] == [("H1", later(5_000).exchange_ms)]
    assert latch.resume("H1", "operator", later(6_000)).halts == ()
    assert latch.take(told.halts, later(9_000)).halts == ()


def test_a_halt_without_a_time_is_of_now_and_counts_again_after_its_end(tmp_path: Path) -> None:
    latch, by_hand = HaltFile(tmp_path / "halts.jsonl"), Halt("console", "by hand", 0, "console")
    told = latch.take([by_hand], later(1_000))
    assert [(h.halt_id, h.raised_ms) for h in told.halts] == [("H1", later(1_000).exchange_ms)]
    assert latch.take([by_hand], later(4_000)) == told
    latch.resume("H1", "operator", later(5_000))
    assert [h.halt_id for h in latch.take([by_hand], later(7_000)).halts] == ["H2"]


def test_what_the_disk_does_not_take_counts_and_is_known_by_the_refusal(tmp_path: Path) -> None:
    path = tmp_path / "halts.jsonl"
    latch = HaltFile(path)
    latch.take([raised("news", NOW)], NOW)
    assert latch.refusal == ""
    path.unlink()
    path.mkdir()
    assert [h.reason for h in latch.take([raised("fire", NOW)], NOW).halts] == ["fire"]
    assert str(path) in latch.refusal


def test_two_processes_that_halt_at_once_get_two_ids(tmp_path: Path) -> None:
    path = tmp_path / "halts.jsonl"
    work = (
        "import sys, pathlib\n"
        "from dora_bot.halts import HaltFile\n"
        "from dora_bot.models import Instant\n"
        "latch = HaltFile(pathlib.Path(sys.argv[1]))\n"
        "sys.stdin.readline()\n"
        "for n in range(25):\n"
        "    latch.latch(f'{sys.argv[2]} {n}', 'risk', '', Instant(n, n + 1))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", work, str(path), name], stdin=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for process in both:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    ids = [h.halt_id for h in HaltFile(path).read().halts]
    assert (len(ids), len(set(ids))) == (50, 50)


def test_a_writer_that_hangs_with_the_lock_does_not_keep_a_halt_from_counting(tmp_path: Path) -> None:
    path = tmp_path / "halts.jsonl"
    with path.open("a") as hung:
        fcntl.flock(hung, fcntl.LOCK_EX)
        assert [h.reason for h in HaltFile(path).latch("a", "tick", "", NOW).halts] == ["a"]


def test_a_halt_outlives_the_process_and_is_seen_by_every_other(tmp_path: Path) -> None:
    path = tmp_path / "halts.jsonl"
    bot, command = HaltFile(path), HaltFile(path)
    bot.latch("a", "tick", "", NOW)
    assert command.read() == bot.read()
    command.resume("H1", "operator", NOW)
    assert bot.read().halts == ()
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("damage", ["{not json\n", '"H1"\n', '{"kind": "halt"}\n'])
def test_a_damaged_file_is_an_error_and_never_taken_for_no_halt(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "halts.jsonl"
    HaltFile(path).latch("a", "tick", "", NOW)
    with path.open("a") as file:
        file.write(damage)
    with pytest.raises(StoreError, match="cannot be read"):
        HaltFile(path).read()


def _unwritable(path: Path) -> None:
    path.mkdir()


def _damaged(path: Path) -> None:
    path.write_text("{")


@pytest.mark.parametrize("break_it", [_unwritable, _damaged])
def test_a_halt_counts_even_where_the_disk_refuses_it(
    tmp_path: Path, break_it: Callable[[Path], None]
) -> None:
    path = tmp_path / "halts.jsonl"
    break_it(path)
    latch = HaltFile(path)
    told = latch.latch("the tick failed", "tick", "why", NOW)
    (halt,) = told.halts
    assert (halt.reason, halt.raised_by) == ("the tick failed", "tick")
    assert "not on disk" in halt.evidence
    assert latch.latch("the tick failed", "tick", "again", NOW) == told


def test_a_halt_that_could_not_be_written_stays_in_force_when_the_disk_is_back(tmp_path: Path) -> None:
    path = tmp_path / "halts.jsonl"
    path.mkdir()
    latch = HaltFile(path)
    latch.latch("a", "tick", "", NOW)
    path.rmdir()
    assert [h.reason for h in latch.read().halts] == ["a"]
    assert [h.reason for h in latch.latch("b", "tick", "", NOW).halts] == ["b", "a"]


def test_a_cancel_all_is_remembered_beside_the_halts(tmp_path: Path) -> None:
    latch = HaltFile(tmp_path / "halts.jsonl")
    latch.latch("news", "operator", "", NOW)
    assert latch.emptied(later(5)).emptied_ms == later(5).exchange_ms
    again = HaltFile(tmp_path / "halts.jsonl").read()
    assert (again.emptied_ms, [h.halt_id for h in again.halts]) == (later(5).exchange_ms, ["H1"])
