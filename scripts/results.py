"""Results of a long run as a section of docs/faults.md: one JSON file in docs/results, see `scripts.faults_report`."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"


def head() -> str:
    """The commit that is checked out, with a + if the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A table with what made it. ``rows`` are texts, as many a row as ``columns``."""

    title: str
    command: str
    text: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    seed: int | None = None
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    commit: str = field(default_factory=head)

    def write(self, name: str) -> None:
        """Into ``docs/results/NAME.json``, instead of what an earlier run wrote there."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def commit_of(name: str) -> str:
    """The commit at which a section was last written. Raises FileNotFoundError if it never was."""
    told = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return str(told["commit"]).removesuffix("+")


def rows_of(name: str) -> list[list[str]]:
    """The rows of a section as it was last written; none if it never was."""
    path = FOLDER / f"{name}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else []
