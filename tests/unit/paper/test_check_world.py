"""The check of the world: its facts are the measured ones, it measures every one of them, and it can fail."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from dora_bot.paper.check_world import Fact, WorldRun, check_world, load_facts, measure, report_lines

_STATS = Path(__file__).resolve().parents[4] / "shared" / "data" / "stats.json"


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """One run with the naive maker, a tenth of the real check's length."""
    return measure(WorldRun(markets=24, seed=1).run(fills=2_000))


def test_every_range_is_what_the_recorded_markets_say() -> None:
    if not _STATS.exists():
        pytest.skip("stats.json is in ../shared")
    stats = json.loads(_STATS.read_text())
    measured = [fact for fact in load_facts() if "/" in fact.source]
    assert len(measured) > 20
    for fact in measured:
        values = [_at(stats, pointer.split("/")) for pointer in fact.source.split(", ")]
        assert (fact.low, fact.high) == (min(values), max(values)), fact.name


def _at(stats: Any, keys: list[str]) -> float:
    for key in keys:
        stats = stats[key]
    return float(stats)


def test_the_world_holds_up_even_over_a_short_run(found: dict[str, float]) -> None:
    failed = [line for line in report_lines(found, load_facts()) if not line["ok"]]
    assert [line["check"] for line in failed] == ["naive_fills"]


def test_a_figure_outside_its_range_is_reported_as_such() -> None:
    (line,) = report_lines({"x": 0.2}, [Fact("x", -0.5, 0.0, "here")])
    assert line == {"check": "x", "value": 0.2, "low": -0.5, "high": 0.0, "ok": False, "source": "here"}


def test_too_few_fills_fail_the_check_and_every_figure_is_printed() -> None:
    out = io.StringIO()
    assert check_world(markets=6, fills=60, out=out) == 1
    lines = [json.loads(text) for text in out.getvalue().splitlines()]
    assert [line["check"] for line in lines] == [fact.name for fact in load_facts()]
    assert not lines[0]["ok"]


def test_stepping_inside_the_spread_is_no_money_machine(found: dict[str, float]) -> None:
    """Being first in every queue pays for the adverse selection it meets, and little more."""
    inside = measure(WorldRun(markets=24, seed=1, inside=1).run(fills=2_000))
    assert -0.5 < inside["naive_edge_c"] < 0.5
    assert found["naive_edge_c"] < 0.1
