"""The state directory: one process at a time, the same name after a restart, a status others can read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dora_bot.errors import ConfigError, StoreError
from dora_bot.state_dir import StateDir, read_status

OPEN = """
import pathlib, sys
from dora_bot.state_dir import StateDir
try:
    StateDir.open(pathlib.Path(sys.argv[1]), "paper")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_second_process_is_refused_with_the_holder_and_the_remedy(tmp_path: Path) -> None:
    with StateDir.open(tmp_path / "new", "paper"):
        told = subprocess.run(
            [sys.executable, "-c", OPEN, str(tmp_path / "new")], capture_output=True, text=True, check=True
        ).stdout
    assert "ConfigError" in told
    assert f"in use by process {os.getpid()}" in told
    assert "DORA_STATE_DIR" in told


def test_the_lock_ends_with_the_holder(tmp_path: Path) -> None:
    with StateDir.open(tmp_path, "paper"), pytest.raises(ConfigError):
        StateDir.open(tmp_path, "paper")
    StateDir.open(tmp_path, "paper").close()


def test_the_instance_keeps_its_name_and_others_have_another(tmp_path: Path) -> None:
    with StateDir.open(tmp_path / "a", "paper") as first:
        name = first.instance_id
    with StateDir.open(tmp_path / "a", "paper") as again, StateDir.open(tmp_path / "b", "paper") as other:
        assert again.instance_id == name
        assert other.instance_id != name


def test_the_last_status_is_read_without_the_lock(tmp_path: Path) -> None:
    with StateDir.open(tmp_path, "paper") as held:
        held.publish_status(b'{"posture": "RUN"}')
        held.publish_status(b'{"posture": "HALTED"}')
        assert read_status(tmp_path) == {"posture": "HALTED"}
    assert read_status(tmp_path) == {"posture": "HALTED"}


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_a_status_that_is_none_is_a_store_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(StoreError, match="has not run"):
        read_status(tmp_path)
    (tmp_path / "status.json").write_bytes(content)
    with pytest.raises(StoreError):
        read_status(tmp_path)


def test_a_directory_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="DORA_STATE_DIR"):
        StateDir.open(tmp_path / "file" / "below", "paper")


def test_a_directory_of_another_environment_is_refused(tmp_path: Path) -> None:
    """Halts, fills and intents of play money are not those of real money (S21)."""
    StateDir.open(tmp_path, "paper").close()
    with pytest.raises(ConfigError, match="belongs to the environment paper, not live"):
        StateDir.open(tmp_path, "live")
    StateDir.open(tmp_path, "paper").close()
