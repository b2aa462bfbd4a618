"""The command line without any service: help, exit codes, one clear line for every mistake."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dora_bot import __version__
from dora_bot.cli import main

COMMANDS = [
    "demo",
    "paper-exchange",
    "local-aws",
    "tables create",
    "tables check",
    "run",
    "config show",
    "config set",
    "config history",
    "status",
    "halt",
    "resume",
    "cancel-all",
    "doctor",
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("DORA_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DORA_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


Refusal = Callable[..., str]


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run a command that must fail with the given code; returns its one line."""

    def run(code: int, *arguments: str) -> str:
        assert main(arguments) == code
        told = capsys.readouterr()
        assert told.out == ""
        lines = told.err.splitlines()
        assert len(lines) == 1, told.err
        assert lines[0].startswith("dora: ")
        assert "Traceback" not in told.err
        return lines[0]

    return run


def exchange_settings(monkeypatch: pytest.MonkeyPatch, rest_url: str, key_path: Path) -> None:
    monkeypatch.setenv("DORA_KALSHI_REST_URL", rest_url)
    monkeypatch.setenv("DORA_KALSHI_WS_URL", "ws://127.0.0.1:9/trade-api/ws/v2")
    monkeypatch.setenv("DORA_KALSHI_KEY_ID", "key-1")
    monkeypatch.setenv("DORA_KALSHI_PRIVATE_KEY_PATH", str(key_path))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"Example: dora {command}" in capsys.readouterr().out


def test_the_version_is_printed_by_the_installed_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dora_bot.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"dora {__version__}\n"


def test_the_version_needs_no_heavy_library() -> None:
    code = "import sys; from dora_bot.cli import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"boto3", "pydantic", "requests", "rich", "moto"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--fast"], "--fast"),
        (["frobnicate"], "frobnicate"),
        (["run", "--seconds", "soon"], "--seconds"),
        (["resume"], "halt_id"),
        (["halt"], "--reason"),
        (["demo", "--markets", "0"], "--markets"),
        (["demo", "--tape", "/nowhere.frames.jsonl"], "/nowhere.frames.jsonl"),
        (["demo", "--tape", "/etc/passwd"], "not a recording"),
        (["paper-exchange", "--port", "99999"], "--port"),
        (["local-aws", "--port", "65536"], "--port"),
        (["config", "set", "KXA", "min_spread"], "min_spread"),
        (["config", "set", "KXA B", "min_spread=0.05"], "KXA B"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    refusal: Refusal, arguments: list[str], named: str
) -> None:
    assert named in refusal(2, *arguments)


def test_an_unknown_variable_is_named(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_KALSHI_KEY", "x")
    line = refusal(2, "run")
    assert "DORA_KALSHI_KEY;" in line
    assert "DORA_KALSHI_KEY_ID" in line


@pytest.mark.parametrize(
    ("env", "flags", "said"),
    [
        ("live", [], "say so with `dora run --live` as well"),
        ("paper", ["--live"], "needs DORA_ENV=live; it is paper"),
        ("demo", ["--live"], "needs DORA_ENV=live; it is demo"),
        ("live", ["--live"], "DORA_CEILINGS_PATH is required for live trading"),
    ],
)
def test_each_switch_of_live_trading_alone_is_refused(
    env: str, flags: list[str], said: str, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, key_file: Path
) -> None:
    monkeypatch.setenv("DORA_ENV", env)
    monkeypatch.setenv("DORA_KALSHI_KEY_ID", "key-1")
    monkeypatch.setenv("DORA_KALSHI_PRIVATE_KEY_PATH", str(key_file))
    assert said in refusal(2, "run", *flags)


def test_without_an_exchange_the_remedy_is_told(refusal: Refusal) -> None:
    for command in (["run"], ["cancel-all"]):
        assert "dora paper-exchange" in refusal(2, *command)


def test_a_missing_key_file_is_named(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exchange_settings(monkeypatch, "http://127.0.0.1:9/trade-api/v2", tmp_path / "no.pem")
    for command in (["run"], ["cancel-all"]):
        assert str(tmp_path / "no.pem") in refusal(2, *command)


def test_a_file_that_is_no_key_is_named(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bad.pem").write_text("-----BEGIN NOTHING-----\n")
    exchange_settings(monkeypatch, "http://127.0.0.1:9/trade-api/v2", tmp_path / "bad.pem")
    assert "not a readable private key" in refusal(2, "run")


@pytest.mark.parametrize("url", ["https://kalshi.example/trade-api/v2", "ftp://127.0.0.1/x", "nonsense"])
def test_a_host_that_is_not_the_exchange_never_sees_a_signature(
    url: str, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, key_file: Path
) -> None:
    exchange_settings(monkeypatch, url, key_file)
    for command in (["run"], ["cancel-all"]):
        line = refusal(2, *command)
        assert "host" in line or "address" in line


def test_an_exchange_that_does_not_answer_is_code_4(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, key_file: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    exchange_settings(monkeypatch, f"http://127.0.0.1:{port}/trade-api/v2", key_file)
    line = refusal(4, "run")
    assert f"Connection refused (http://127.0.0.1:{port})" in line
    assert "start the exchange" in line
    assert "urllib3" not in line


def test_a_database_that_does_not_answer_is_told_with_the_remedy(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-east-1")
    assert "start `dora local-aws`" in refusal(1, "tables", "check")


def test_aws_without_a_region_is_told(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    assert "AWS_REGION" in refusal(2, "tables", "check")


def test_a_halt_that_is_not_there_is_code_2(refusal: Refusal) -> None:
    assert "no halt H9" in refusal(2, "resume", "H9")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_markets = [", "ceilings"),
        ("max_markets = 5", "max_contracts_per_market is missing"),
        ('max_contracts_per_market = "lots"\nmax_total_exposure = 5\nmax_markets = 1', "ceilings"),
    ],
)
def test_a_bad_ceilings_file_is_named(
    text: str, named: str, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "ceilings.toml"
    path.write_text(text)
    monkeypatch.setenv("DORA_CEILINGS_PATH", str(path))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    line = refusal(2, "config", "set", "KXA", "min_spread=0.05")
    assert str(path) in line
    assert named in line


def test_the_status_of_a_stopped_bot_is_what_it_published_last_without_its_posture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = {"time": "2026-11-20T12:00:03Z", "env": "paper", "posture": "RUN", "open_orders": []}
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "status.json").write_text(json.dumps(published))
    assert main(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == published | {"posture": "STOPPED", "reasons": told["reasons"], "halts": []}
    assert main(["status"]) == 0
    assert "STOPPED" in capsys.readouterr().out


def test_watching_tells_one_object_a_second_until_ctrl_c(tmp_path: Path) -> None:
    published = {"time": "2100-01-01T00:00:00.000Z", "posture": "RUN", "halts": []}
    (tmp_path / "status.json").write_text(json.dumps(published))
    with subprocess.Popen(
        [sys.executable, "-m", "dora_bot.cli", "status", "--watch", "--json"],
        env={**os.environ, "DORA_STATE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline()) for _ in range(2)] == [published] * 2
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
