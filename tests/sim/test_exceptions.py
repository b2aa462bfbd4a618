"""An exception that nobody foresaw, at every port there is: it halts or ends the process, and is never quoted over (I33)."""

from pathlib import Path

import pytest

from dora_bot.exit_codes import ExitCode
from tests.sim.scene import Scene

BEGUN_MS = 12_000
NOTICED_MS = 3_000

STOPPED = frozenset({ExitCode.FAILED, ExitCode.LEASE, ExitCode.HALTED})


def test_an_exception_at_any_port_halts_or_ends_the_bot_and_leaves_no_order(tmp_path: Path) -> None:
    plain = scene(tmp_path, "plain")
    plain.until(BEGUN_MS)
    calls = list(enumerate(plain.seen, 1))
    plain.close()
    last = {name: at for at, name in calls}
    first = {name: at for at, name in reversed(calls)}
    places = sorted({(at, name) for some in (first, last) for name, at in some.items()})
    assert len(places) > 20
    assert not [f"{name}={at}: {told}" for at, name in places if (told := outcome(tmp_path, name, at))]


def scene(folder: Path, name: str, *keys: str) -> Scene:
    place = folder / name
    place.mkdir()
    return Scene(place, *keys)


def outcome(folder: Path, name: str, at: int) -> str:
    """What is wrong with how the bot took the exception; empty if nothing is."""
    world = scene(folder, f"{name}-{at}", f"raise/{name}={at}/exception")
    try:
        while not world.faults.hits and world.kernel.now_ms < BEGUN_MS + 1_000:
            world.until(world.kernel.now_ms + 100)
        if not world.faults.hits:
            return "it was never raised"
        life = world.lives[0] if world.lives else None
        world.until(world.kernel.now_ms + NOTICED_MS)
        ends = life is None or life.code in STOPPED or (life.runtime and life.runtime.parts.gate.stopping)
    except AssertionError as broken:
        return str(broken)
    else:
        return "" if world.halts() or ends else "neither a halt nor an end"
    finally:
        world.close()


@pytest.mark.parametrize("name", ["journal.intend", "create"])
def test_what_was_raised_is_kept_with_the_halt(tmp_path: Path, name: str) -> None:
    world = scene(tmp_path, "one", *(f"raise/{name}={at}/exception" for at in range(1, 120)))
    world.until(BEGUN_MS)
    evidence = [halt.evidence for host in world.hosts for halt in host.latch.halts.values()]
    world.close()
    assert any("Unexpected" in text for text in evidence)
