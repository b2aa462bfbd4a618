"""The environment: a venv of a Python that is new enough, or one line that says what to do."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """What the set-up reads, in a folder without an environment."""
    for name in ("scripts/setup.sh", "requirements/uv.txt", "requirements/dev.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_tests_run_in_a_venv_of_a_python_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert sys.version_info >= (3, 11)
    assert sys.prefix != sys.base_prefix


def test_a_python_that_is_too_old_is_refused_with_the_remedy(fresh: Path) -> None:
    old = fresh / "python3.10"
    old.write_text("#!/bin/sh\nexit 1\n")  # what its version check would answer
    old.chmod(0o755)
    run = subprocess.run(
        ["bash", str(fresh / "scripts/setup.sh")],
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 2
    assert "no Python >= 3.11 found" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (fresh / ".venv").exists()
