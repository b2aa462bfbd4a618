"""Recorded tapes for tests, where the shared data is there."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_SHARED = _ROOT.parent / "shared" / "data" / "ws_kxbtc15m"


def recorded_tape(name: str) -> Path:
    """A recorded tape by the start of its name; skips the test where the shared data is absent."""
    found = sorted(_SHARED.glob(f"{name}*.frames.jsonl.gz"))
    if not found:
        pytest.skip("recorded tapes are in ../shared")
    return found[0]
