"""The session guards themselves: an unlisted skip and a stray process must each fail the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.skips import ROOT, Rule, read_rules


def run_pytest(folder: Path, source: str, plugin: str, **environ: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_inner.py").write_text(source)
    inherited = {
        k: v for k, v in os.environ.items() if k not in {"CI", "PYTEST_SESSION_MARK", "PYTEST_ADDOPTS"}
    }
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            plugin,
            "--rootdir",
            str(folder),
            "-p",
            "no:cacheprovider",
            ".",
        ],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SKIPPED = "import pytest\ndef test_it():\n    pytest.skip('no reason at all')\n"
MODULE_SKIPPED = "import pytest\npytest.skip('no reason at all', allow_module_level=True)\n"
XFAILED = "import pytest\n@pytest.mark.xfail(reason='some day')\ndef test_it():\n    assert False\n"


@pytest.mark.parametrize("source", [SKIPPED, MODULE_SKIPPED, XFAILED])
def test_an_unlisted_skip_fails_ci_and_nothing_else(tmp_path: Path, source: str) -> None:
    in_ci = run_pytest(tmp_path, source, "tests.plugins.skips", CI="true")
    assert in_ci.returncode == 1
    assert "this fails the run" in in_ci.stdout

    at_home = run_pytest(tmp_path, source, "tests.plugins.skips")
    assert at_home.returncode in {0, 5}  # 5: pytest collected nothing but the skipped module
    assert "allowed_skips.txt does not list" in at_home.stdout


def test_a_rule_for_missing_shared_files_holds_only_without_them() -> None:
    rule = Rule("*../shared*", "no-shared")
    assert rule.allows("needs ../shared/data", shared_present=False)
    assert not rule.allows("needs ../shared/data", shared_present=True)
    assert not rule.allows("too slow", shared_present=False)


@pytest.mark.parametrize("line", ["*", "* | always | ", "* | sometimes | because"])
def test_a_rule_without_its_reason_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (unpacking and our own check both say ValueError)
        read_rules(line)


STRAY = """
import subprocess, sys
def test_it():
    command = [sys.executable, '-c', 'import time; print(flush=True); time.sleep(60)']
    stray = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    stray.stdout.readline()  # before it runs /proc shows neither its command nor its environment
"""


def test_a_process_that_outlives_the_tests_fails_the_run_and_is_ended(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, STRAY, "tests.plugins.leftovers")
    assert run.returncode == 1
    assert "processes that outlived the tests" in run.stdout
    pid = run.stdout.split("(killed now)")[1].split("\n")[1].split()[0]
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "Z (zombie)" in status.read_text()


def test_a_clean_session_passes(tmp_path: Path) -> None:
    run = run_pytest(
        tmp_path, "def test_it():\n    assert 1 + 1 == 2\n", "tests.plugins.leftovers", CI="true"
    )
    assert run.returncode == 0
    assert "1 passed" in run.stdout
