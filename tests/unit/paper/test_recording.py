"""Reading tapes: frames become steps, what was not recorded is known as lost, trades are found in the volume."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from dora_bot.errors import ConfigError
from dora_bot.models import Level
from dora_bot.paper.recording import Change, Listed, Lost, Recording, Summary, Whole, load_recording

T = "KXBTC15M-26MAY110145-45"


class Tape:
    """Builds a recording line by line; times are ms from 0."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[dict[str, Any]] = []
        self.add(0, {"type": "_market", "msg": {"close_time": "1970-01-01T00:15:00Z", "market_ticker": T}})
        self.add(1, {"type": "_connected"})

    def add(self, recv_ms: int, frame: dict[str, Any]) -> None:
        self._lines.append({"recv_ms": recv_ms, "conn": 1, "frame": frame})

    def snapshot(self, recv_ms: int, seq: int, *, yes: dict[str, str], no: dict[str, str]) -> None:
        msg = {
            "market_ticker": T,
            "yes_dollars_fp": list(yes.items()),
            "no_dollars_fp": list(no.items()),
        }
        self.add(recv_ms, {"type": "orderbook_snapshot", "sid": 2, "seq": seq, "msg": msg})

    def delta(self, recv_ms: int, seq: int, side: str, price: str, delta: str) -> None:
        msg = {
            "market_ticker": T,
            "price_dollars": price,
            "delta_fp": delta,
            "side": side,
            "ts_ms": recv_ms,
        }
        self.add(recv_ms, {"type": "orderbook_delta", "sid": 2, "seq": seq, "msg": msg})

    def ticker(self, recv_ms: int, volume: str, *, price: str = "0.5000", size: str = "1.00") -> None:
        msg = {
            "market_ticker": T,
            "volume_fp": volume,
            "price_dollars": price,
            "last_trade_size_fp": size,
            "ts_ms": recv_ms,
        }
        self.add(recv_ms, {"type": "ticker", "sid": 1, "msg": msg})

    def load(self) -> Recording:
        text = "".join(json.dumps(line) + "\n" for line in self._lines).encode()
        self._path.write_bytes(gzip.compress(text, mtime=0))
        return load_recording(self._path)


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    """Bids 48 (100), 47 (50); asks 52 (80)."""
    tape = Tape(tmp_path / "a.frames.jsonl.gz")
    tape.snapshot(10, 1, yes={"0.4700": "50.00", "0.4800": "100.00"}, no={"0.4800": "80.00"})
    return tape


def changes(recording: Recording) -> list[Change]:
    return [step for step in recording.steps if isinstance(step, Change)]


def test_a_snapshot_is_a_book_on_the_yes_leg_best_first(tape: Tape) -> None:
    recording = tape.load()
    assert recording.steps[0] == Listed(0, T, 900_000, "tapered_deci_cent", 2)
    assert recording.steps[1] == Whole(
        10, T, (Level(4800, 10_000), Level(4700, 5_000)), (Level(5200, 8_000),)
    )
    assert recording.start_ms == 10


def test_a_no_delta_is_an_ask_at_one_minus_its_price(tape: Tape) -> None:
    tape.delta(20, 2, "no", "0.4700", "2.50")
    assert changes(tape.load()) == [Change(20, T, is_bid=False, price_e4=5300, delta_e2=250)]


def test_a_gap_loses_the_book_since_the_last_frame_that_followed(tape: Tape) -> None:
    tape.delta(20, 2, "yes", "0.4700", "1.00")
    tape.ticker(5_000, "1.00")
    tape.delta(9_000, 5, "yes", "0.4700", "1.00")
    tape.delta(9_100, 6, "yes", "0.4700", "1.00")
    tape.snapshot(9_200, 7, yes={"0.4000": "1.00"}, no={})
    tape.delta(9_300, 8, "yes", "0.4000", "1.00")
    steps = tape.load().steps
    assert [type(step).__name__ for step in steps] == [
        *("Listed", "Whole", "Change", "Lost", "Summary", "Whole", "Change")
    ]
    assert steps[3] == Lost(20, T)


def test_a_reconnect_loses_the_book_since_the_last_frame(tape: Tape) -> None:
    tape.add(500, {"type": "_connected"})
    tape.snapshot(600, 1, yes={"0.4000": "1.00"}, no={})
    assert Lost(10, T) in tape.load().steps


def test_half_the_volume_is_spread_over_the_decreases_at_the_touch(tape: Tape) -> None:
    tape.ticker(15, "1000.00")
    tape.delta(20, 2, "yes", "0.4800", "-30.00")
    tape.delta(21, 3, "yes", "0.4700", "-50.00")
    tape.delta(22, 4, "no", "0.4800", "-10.00")
    tape.delta(23, 5, "yes", "0.4800", "5.00")
    tape.ticker(30, "1040.00")
    assert [change.traded_e2 for change in changes(tape.load())] == [1_500, 0, 500, 0]


def test_the_last_trade_of_the_ticker_is_found_first(tape: Tape) -> None:
    tape.ticker(15, "1000.00")
    tape.delta(20, 2, "yes", "0.4800", "-30.00")
    tape.delta(22, 3, "no", "0.4800", "-10.00")
    tape.ticker(30, "1026.00", price="0.5200", size="10.00")
    assert [change.traded_e2 for change in changes(tape.load())] == [300, 1_000]


def test_a_decrease_after_the_tickers_own_time_belongs_to_the_next_one(tape: Tape) -> None:
    tape.ticker(15, "0.00")
    tape.delta(20, 2, "yes", "0.4800", "-30.00")
    tape.delta(40, 3, "yes", "0.4800", "-30.00")
    tape.ticker(30, "40.00")
    tape.ticker(50, "60.00")
    assert [change.traded_e2 for change in changes(tape.load())] == [2_000, 1_000]


def test_no_decrease_trades_more_than_itself_and_no_volume_is_invented(tape: Tape) -> None:
    tape.ticker(15, "0.00")
    tape.delta(20, 2, "yes", "0.4800", "-30.00")
    tape.ticker(30, "9999.00")
    tape.delta(40, 3, "yes", "0.4800", "-30.00")
    tape.ticker(50, "9999.00")
    assert [change.traded_e2 for change in changes(tape.load())] == [3_000, 0]


def test_volume_of_a_stretch_that_was_not_recorded_is_nobodys(tape: Tape) -> None:
    tape.ticker(15, "100.00")
    tape.add(500, {"type": "_connected"})
    tape.snapshot(600, 1, yes={"0.4800": "100.00"}, no={"0.4800": "80.00"})
    tape.delta(610, 2, "yes", "0.4800", "-30.00")
    tape.ticker(700, "900.00")
    assert [change.traded_e2 for change in changes(tape.load())] == [0]


def test_a_ticker_is_a_summary(tape: Tape) -> None:
    tape.ticker(15, "1000.00")
    assert Summary(15, T, Level(0, 0), Level(0, 0), 100_000) in tape.load().steps


def test_results_come_from_the_file_beside_the_tape(tape: Tape, tmp_path: Path) -> None:
    (tmp_path / "settlements.json").write_text(json.dumps({T: "yes"}))
    assert tape.load().results == {T: "yes"}


@pytest.mark.parametrize(
    "content", [b"", b"not gzip", gzip.compress(b"{}\n", mtime=0), gzip.compress(b"nonsense\n", mtime=0)]
)
def test_what_is_no_tape_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.frames.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.frames"):
        load_recording(path)


def test_a_missing_tape_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_recording(tmp_path / "nowhere.frames.jsonl")
