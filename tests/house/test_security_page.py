"""docs/security.md says of every row of the security list what shows it, and names only tests and files that are there."""

import re
import tomllib
from pathlib import Path

from dora_bot.ceilings import ceilings_from

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = 25


def rows() -> dict[str, str]:
    """The last cell of each row by its id; a row may stand for a range."""
    found: dict[str, str] = {}
    for first, last, shown in re.findall(r"^\| S(\d+)(?:–S(\d+))? \|.*\| (.*) \|$", PAGE, re.MULTILINE):
        found |= {f"S{n:02}": shown for n in range(int(first), int(last or first) + 1)}
    return found


def test_every_row_of_the_list_is_on_the_page() -> None:
    assert sorted(rows()) == [f"S{n:02}" for n in range(1, ROWS + 1)]
    assert all(rows().values())


def test_what_it_names_exists() -> None:
    named = re.findall(r"`((?:tests|dora_bot|infra)/[^`]+)`", PAGE)
    assert len(named) > 30
    missing = []
    for name in named:
        path, _, test = name.partition("::")
        file = ROOT / path
        if not file.exists() or (test and f"def {test}(" not in file.read_text()):
            missing.append(name)
    assert missing == []


def test_its_ceilings_file_is_a_good_one() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    limits = ceilings_from(tomllib.loads(example), "the page")
    assert limits.max_contracts_per_market_e2 == 10_000
    assert set(limits.hosts) == {"external-api.kalshi.com", "external-api-ws.kalshi.com"}
