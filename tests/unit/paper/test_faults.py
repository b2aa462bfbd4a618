"""Which operation a fault strikes: matching by meaning, counting by occurrence."""

from typing import Any

import pytest

from dora_bot.paper.faults import AFTER, BEFORE, FaultBox, FaultRefused


def operation(**values: str) -> dict[str, frozenset[str]]:
    return {name: frozenset({value}) for name, value in values.items()}


def strikes(spec: dict[str, Any], times: int, seed: int = 1) -> list[int]:
    """The 1-based occurrences at which a fault strikes."""
    box = FaultBox(seed)
    box.arm({"kind": "http.status", **spec})
    return [n for n in range(1, times + 1) if box.strike("http.status", operation(method="POST"))]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"nth": 3}, [3]),
        ({"every": 2}, [2, 4, 6]),
        ({"count": 2}, [1, 2]),
        ({"every": 2, "count": 1}, [2]),
    ],
)
def test_when(when: dict[str, int], expected: list[int]) -> None:
    assert strikes({"when": when}, 6) == expected


def test_probability_is_drawn_from_the_seed() -> None:
    spec = {"when": {"prob": 0.3}}
    assert strikes(spec, 1_000) == strikes(spec, 1_000)
    assert 240 < len(strikes(spec, 1_000)) < 360
    assert strikes(spec, 1_000, seed=2) != strikes(spec, 1_000)


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"method": "POST"}, True),
        ({"method": "DELETE"}, False),
        ({"path": "*/events/orders"}, True),
        ({"path": "*/balance"}, False),
        ({"client_order_id": "bot-*"}, True),
        ({"client_order_id": "cat-*"}, False),
        ({"ticker": "T-2"}, True),
        ({"ticker": "T-2", "side": "ask"}, False),
    ],
)
def test_match(match: dict[str, str], *, hit: bool) -> None:
    box = FaultBox(1)
    box.arm({"kind": "http.delay", "match": match, "params": {"ms": 1}})
    batch = {
        "method": frozenset({"POST"}),
        "path": frozenset({"/trade-api/v2/portfolio/events/orders"}),
        "client_order_id": frozenset({"bot-1", "x"}),
        "ticker": frozenset({"T-1", "T-2"}),
        "side": frozenset({"bid"}),
    }
    assert bool(box.strike("http.delay", batch)) is hit


def test_phases_are_separate() -> None:
    box = FaultBox(1)
    box.arm({"kind": "http.drop_reply", "params": {"phase": AFTER}})
    assert box.strike("http.drop_reply", operation(method="GET"), BEFORE) is None
    assert box.strike("http.drop_reply", operation(method="GET"), AFTER) is not None


def test_counts_are_shown_and_disarming_stops_it() -> None:
    box = FaultBox(1)
    fault = box.arm({"kind": "http.status", "match": {"method": "GET"}, "when": {"nth": 2}})
    for method in ("GET", "POST", "GET", "GET"):
        box.strike("http.status", operation(method=method))
    [body] = box.bodies()
    assert (body["seen"], body["hits"]) == (3, 1)
    box.disarm(fault.fault_id)
    assert not box
    with pytest.raises(KeyError):
        box.disarm(fault.fault_id)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "http.explode"},
        {"kind": "http.delay", "match": {"colour": "red"}},
        {"kind": "http.delay", "params": {"how": "reset"}},
        {"kind": "http.delay", "params": {"phase": "during"}},
        {"kind": "ws.gap", "when": {"sometimes": 1}},
        {"kind": "ws.gap", "when": [1]},
    ],
)
def test_a_misspelt_fault_is_refused_not_ignored(spec: dict[str, Any]) -> None:
    box = FaultBox(1)
    with pytest.raises(FaultRefused):
        box.arm(spec)
    assert not box
