"""Apply each mutant of tests/mutants/catalogue.toml to a copy of the tree and see the tests notice it.

usage: python -m scripts.mutants [--only M01,M02] [--touched] [--quick] [--record] [--jobs 2]

A mutant is killed by tests that fail, and by nothing else: one that does not even import is broken, one that all
named tests survive has survived. With ``--touched`` only mutants are tried whose file changed since the last recorded
run. With ``--quick`` the unit tests alone judge, those mutants that have some. With ``--record`` each is judged twice, by its unit tests and with the unit tests off, and the table goes
into docs/results for docs/faults.md. A test that killed must pass on the unchanged tree. Prints one JSON line a mutant
and a sum; exit 1 unless all were killed, and at least 40 with the unit tests off.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from scripts.results import Section, commit_of, rows_of

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
CATALOGUE = ROOT / "tests" / "mutants" / "catalogue.toml"
SECTION = "mutants"
BEYOND_WANTED = 40
KILLED_BY = "`"
"""How a cell of the table begins that names a test."""
PATIENCE_S = 300
PASSED, FAILED = 0, 1
"""pytest's and the simulation's exit codes; any other says that the tests did not run."""


@dataclass(frozen=True, slots=True)
class Edit:
    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """``unit`` and ``beyond``: the tests that must notice, as pytest takes them, or ``sim``."""

    id: str
    what: str
    edits: tuple[Edit, ...]
    unit: tuple[str, ...]
    beyond: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``end`` is killed, survived or broken; ``by`` the test that killed it."""

    mutant: Mutant
    end: str
    by: str
    seconds: float

    def line(self) -> str:
        told = {"id": self.mutant.id, "what": self.mutant.what, "end": self.end, "by": self.by}
        return json.dumps({**told, "seconds": round(self.seconds, 1)})


def catalogue() -> list[Mutant]:
    """All mutants in the order of their ids."""
    found = [
        Mutant(
            told["id"],
            told["what"],
            tuple(Edit(**edit) for edit in told["edit"]),
            tuple(told["unit"]),
            tuple(told["beyond"]),
        )
        for told in tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))["mutant"]
    ]
    return sorted(found, key=lambda mutant: mutant.id)


Killers = Callable[[Mutant], Sequence[str]]


def copy_tree(folder: Path) -> Path:
    """The files that git tracks or would track, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def apply(mutant: Mutant, tree: Path) -> dict[Path, str]:
    """Patch the tree. Returns the files as they were. Raises ValueError for an edit that does not fit exactly once."""
    before: dict[Path, str] = {}
    for edit in mutant.edits:
        path = tree / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"{mutant.id}: its place in {edit.file} is there {text.count(edit.old)} times")
        before.setdefault(path, text)
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return before


def tests_fail(tree: Path, test: str) -> int:
    """Run one killer in the tree. Returns its exit code; running out of patience counts as a failure."""
    pytest = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test]
    command = ["-m", "tests.mutants.simulated"] if test == "sim" else pytest
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [str(PYTHON), *command],
            cwd=tree,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FAILED
    return done.returncode


class Judge:
    """Judges mutants in copies of the tree, ``jobs`` at a time. A context manager; it removes the copies."""

    def __init__(self, jobs: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dora-mutants-")
        self._pool = ThreadPoolExecutor(jobs)
        self._trees: SimpleQueue[Path] = SimpleQueue()
        self._sound: set[str] = set()
        for number in range(jobs):
            self._trees.put(copy_tree(Path(self._folder.name) / str(number)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def all(self, mutants: Sequence[Mutant], killers: Killers) -> list[Verdict]:
        """Every mutant by its killers, printed as it is known. Raises ValueError as `one`."""
        return list(self._pool.map(lambda mutant: self.one(mutant, killers(mutant)), mutants))

    def one(self, mutant: Mutant, killers: Iterable[str]) -> Verdict:
        """Raises ValueError if the test that failed fails without the mutant, too."""
        begun = time.monotonic()
        tree = self._trees.get()
        try:
            end, by = self._end(mutant, tree, killers)
        finally:
            self._trees.put(tree)
        verdict = Verdict(mutant, end, by, time.monotonic() - begun)
        print(verdict.line(), flush=True)
        return verdict

    def _end(self, mutant: Mutant, tree: Path, killers: Iterable[str]) -> tuple[str, str]:
        for test in killers:
            before = apply(mutant, tree)
            try:
                code = tests_fail(tree, test)
            finally:
                for path, text in before.items():
                    path.write_text(text, encoding="utf-8")
            if code not in (PASSED, FAILED):
                return "broken", f"{test}: exit {code}"
            if code == FAILED:
                if test not in self._sound and tests_fail(tree, test) != PASSED:
                    raise ValueError(f"{test} fails without any mutant")
                self._sound.add(test)
                return "killed", test
        return "survived", ""


def touched(mutants: Sequence[Mutant], section: str) -> list[Mutant]:
    """Those in whose files something changed since the section was written; all, if that cannot be told."""
    try:
        command = ["git", "diff", "--name-only", commit_of(section)]
    except FileNotFoundError:
        return list(mutants)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    if done.returncode:
        return list(mutants)
    changed = set(done.stdout.split())
    return [mutant for mutant in mutants if any(edit.file in changed for edit in mutant.edits)]


def record(mutants: Sequence[Mutant], jobs: int) -> bool:
    """Judge these twice and write the table; the rows of others stay. Returns whether enough of all died."""
    with Judge(jobs) as judge:
        by_unit = judge.all([m for m in mutants if m.unit], lambda m: m.unit)
        by_rest = judge.all([m for m in mutants if m.beyond], lambda m: m.beyond)
    found = [{v.mutant.id: v for v in verdicts} for verdicts in (by_unit, by_rest)]
    fresh = {m.id: [m.id, m.what, *(_told(verdicts.get(m.id)) for verdicts in found)] for m in mutants}
    known = {row[0]: row for row in rows_of(SECTION)}
    rows = [row for mutant in catalogue() if (row := (known | fresh).get(mutant.id))]
    killed = sum(any(by.startswith(KILLED_BY) for by in row[2:]) for row in rows)
    beyond = sum(row[3].startswith(KILLED_BY) for row in rows)
    text = f"{killed} of {len(rows)} were killed, {beyond} of them also (or only) with the unit tests off."
    columns = ("mutant", "mistake", "unit tests", "without the unit tests")
    Section("Mutants", "make mutants ARGS=--record", text, columns, rows).write(SECTION)
    print(text)
    return killed == len(catalogue()) and beyond >= BEYOND_WANTED


def _told(verdict: Verdict | None) -> str:
    if verdict is None:
        return "–"
    return f"{KILLED_BY}{verdict.by.removeprefix('tests/')}`" if verdict.end == "killed" else verdict.end


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="ids, separated by commas")
    parser.add_argument(
        "--touched", action="store_true", help="only those of files changed since the last record"
    )
    parser.add_argument("--quick", action="store_true", help="by the unit tests alone")
    parser.add_argument("--record", action="store_true", help="judge twice, and write the table")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    mutants = catalogue()
    if options.only:
        mutants = [mutant for mutant in mutants if mutant.id in options.only.split(",")]
    if options.record:
        return 0 if record(mutants, options.jobs) else 1
    if options.touched:
        mutants = touched(mutants, SECTION)
    if options.quick:
        mutants = [mutant for mutant in mutants if mutant.unit]
    with Judge(options.jobs) as judge:
        verdicts = judge.all(mutants, lambda m: m.unit if options.quick else (*m.unit, *m.beyond))
    ends = [verdict.end for verdict in verdicts]
    print(json.dumps({"mutants": len(ends), **{e: ends.count(e) for e in ("killed", "survived", "broken")}}))
    return 0 if ends.count("killed") == len(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
