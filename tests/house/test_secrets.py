"""No key, token or address of a package index is in the tree, committed or about to be."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SECRETS = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/=]{20}"),
    "AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "AWS secret key": re.compile(r"(?i)aws_?secret_?access_?key\W{1,4}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
    "bearer token": re.compile(r"Bearer [A-Za-z0-9_\-.]{24,}"),
    "password in a URL": re.compile(r"\b[a-z]+://[^/\s:@{}]+:[^/\s:@{}]+@"),
}


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def secrets_in(text: str) -> list[str]:
    return [name for name, pattern in SECRETS.items() if pattern.search(text)]


def test_no_file_holds_a_secret() -> None:
    found = {
        str(path.relative_to(ROOT)): kinds
        for path in tracked_files()
        if (kinds := secrets_in(path.read_text(errors="replace")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN " + "RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA" * 3, "private key"),
        ("key = " + "AKIA" + "Q" * 16, "AWS access key"),
        ("AWS_SECRET_" + "ACCESS_KEY=" + "aB3/" * 10, "AWS secret key"),
        ("Authorization: Bearer" + " " + "x" * 32, "bearer token"),
        ("https://someone:" + "something@host/path", "password in a URL"),
    ],
)
def test_the_scan_finds_each_kind(text: str, kind: str) -> None:
    assert secrets_in(text) == [kind]


def test_locks_are_hashed_and_name_no_host() -> None:
    for name in ("uv", "dev", "conformance"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        requirements = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
        assert requirements
        assert all("--hash=sha256:" in requirement for requirement in requirements)
        assert "://" not in text
        assert "--index" not in text


def test_an_environment_file_is_never_committed() -> None:
    assert [
        path.name for path in tracked_files() if path.name == ".env" or path.suffix in {".pem", ".key"}
    ] == []
