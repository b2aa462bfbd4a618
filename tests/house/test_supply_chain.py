"""What is installed is what the locks name: pinned, hashed, listed, and asked about where weaknesses are known (S17)."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.fakes.loopback_http import LoopbackHttp, Received, reply

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "dev.txt"
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)
TOOLS = Path(sys.executable).parent


def locked() -> dict[str, str]:
    """Version by name; a name that is pinned twice would be two answers to one question."""
    pins = PINNED.findall(LOCK.read_text())
    assert len(pins) == len({name for name, _ in pins})
    return dict(pins)


def make_line(target: str) -> list[str]:
    """The command of a Makefile target, as it stands there."""
    makefile = (ROOT / "Makefile").read_text()
    found = re.search(rf"^{target}: setup.*\n\t@\$\(BIN\)/(.*)$", makefile, re.MULTILINE)
    assert found
    return found[1].split()


def test_everything_that_is_depended_on_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    named += [name for extra in project["project"]["optional-dependencies"].values() for name in extra]
    names = {re.split(r"[\[>=<~!; ]", requirement, maxsplit=1)[0].lower() for requirement in named}
    assert names - locked().keys() == set()


def test_the_bill_of_materials_lists_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    tool, *options = [str(out) if word == "$(SBOM)" else word for word in make_line("sbom")]
    subprocess.run([TOOLS / tool, *options], cwd=ROOT, check=True, timeout=110)
    told = json.loads(out.read_text())
    assert told["bomFormat"] == "CycloneDX"
    assert {part["name"]: part["version"] for part in told["components"]} == locked()
    assert all(part["externalReferences"][0]["hashes"] for part in told["components"])


def audited(service: LoopbackHttp) -> subprocess.CompletedProcess[str]:
    """`make audit` with the advisories of a service on this machine."""
    tool, *options = [word for word in make_line("audit") if word != "$(ARGS)"]
    url = f"http://127.0.0.1:{service.port}/v1/query"
    return subprocess.run(
        [TOOLS / tool, *options, "--vulnerability-service", "osv", "--osv-url", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_known_weakness_of_a_locked_package_fails_the_audit() -> None:
    weak = "cryptography"

    def answer(request: Received) -> bytes:
        asked = json.loads(request.body)["package"]["name"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
        package = {"name": weak, "ecosystem": "PyPI"}
        found = {"id": "PYSEC-0", "summary": "bad", "affected": [{"package": package, "ranges": ranges}]}
        return reply(200, {"vulns": [found]} if asked == weak else {})

    with LoopbackHttp(answer) as service:
        done = audited(service)
        asked = {
            json.loads(r.body)["package"]["name"]: json.loads(r.body)["version"] for r in service.received
        }
    assert done.returncode == 1, done.stderr
    assert re.search(rf"{weak} +{re.escape(locked()[weak])} +PYSEC-0", done.stdout)
    assert len(asked.items() & locked().items()) > 100


def test_an_audit_that_cannot_ask_is_no_clean_one() -> None:
    with LoopbackHttp(lambda _request: reply(503)) as service:
        assert audited(service).returncode != 0
