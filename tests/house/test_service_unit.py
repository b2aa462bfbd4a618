"""The unit file, judged by systemd's own tools; nothing is installed and nothing started."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "infra" / "systemd" / "dora.service"
WORST_EXPOSURE = 2.0

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With a program that exists in the place of the installed one; an unknown name or value would be told."""
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text().replace("/opt/dora/.venv/bin/dora", "/bin/true"))
    judged = analyze("verify", str(there))
    assert (judged.returncode, judged.stderr) == (0, "")


def test_it_may_do_little_besides_its_work() -> None:
    judged = analyze("security", "--offline=true", str(UNIT))
    found = re.search(r"Overall exposure level for dora\.service: ([\d.]+)", judged.stdout)
    assert found is not None, judged.stderr
    assert float(found[1]) <= WORST_EXPOSURE


def test_no_core_dump_can_hold_the_key_and_code_is_not_writable() -> None:
    lines = UNIT.read_text().splitlines()
    assert {"LimitCORE=0", "ProtectSystem=strict", "NoNewPrivileges=yes", "User=dora"} <= set(lines)
    assert not [line for line in lines if line.startswith(("ReadWritePaths=", "CapabilityBoundingSet=CAP"))]
