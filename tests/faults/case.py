"""One fault test: what it injects, what had to be so, what it measured; and what every one of them must leave."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.fault_catalogue import ROOT, bounds
from tests.e2e.rig import Rig
from tests.faults.predicates import PREDICATES, History, lives_s

LEDGER_S = 15.0
CHECKS = frozenset({*PREDICATES, "ledger", "cap"})


class Case:
    """Use it through the fixture ``case``, which opens it on the module's rig and closes it with all its checks.

    A fault of the exchange is armed with `arm`; any other (a signal, a cut line) is told with `struck`. `held` asserts
    a precondition, `measured` a bound of ``bounds.txt``.
    """

    def __init__(self, rig: Rig, rows: tuple[str, ...], test: str) -> None:
        self.rig = rig
        self.rows = rows
        self.test = test
        self.mark = rig.run(lambda v: v.journal.last)
        self.hits: Counter[str] = Counter()
        self.preconditions: list[str] = []
        self.measures: dict[str, float] = {}
        self.exempted: dict[str, str] = {}
        self._armed: dict[str, str] = {}
        self._any: list[frozenset[str]] = []
        self._begun = time.monotonic()

    # ── while the test runs ─────────────────────────────────────────────────────────────────────

    def arm(
        self,
        kind: str,
        match: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> str:
        """A fault at the exchange; returns its id. It must strike before the case ends."""
        fault_id = self.rig.arm(kind, dict(match or {}), dict(params or {}), dict(when or {}))
        self._armed[fault_id] = kind
        return fault_id

    def arm_any(
        self,
        kind: str,
        matches: Sequence[Mapping[str, str]],
        params: Mapping[str, Any],
        when: Mapping[str, Any],
    ) -> list[str]:
        """The same fault on several kinds of calls, at least one of which must be struck."""
        armed = [self.arm(kind, match, params, when) for match in matches]
        self._any.append(frozenset(armed))
        return armed

    def struck(self, what: str, times: int = 1) -> None:
        """A fault that is none of the exchange's: ``SIGKILL``, ``gate shut`` …"""
        assert times >= 1, f"{what} never struck"
        self.hits[what] += times

    def hits_of(self, fault_id: str) -> int:
        return self.rig.run(lambda v: v.faults.hits(fault_id))

    def until_hit(self, fault_id: str, seconds: float, times: int = 1) -> float:
        """Wait until a fault has struck. Returns the seconds it took."""
        return self.rig.until(
            f"{self._armed[fault_id]} × {times}", lambda v: v.faults.hits(fault_id) >= times, seconds
        )

    def disarm(self, *fault_ids: str) -> None:
        """End these faults, or all; each must have struck."""
        for fault_id in fault_ids or tuple(self._armed):
            kind, hits = self._armed.pop(fault_id), self.hits_of(fault_id)
            together = next((ids for ids in self._any if fault_id in ids), frozenset())
            if hits or not any(map(self.hits_of, together)):
                self.struck(kind, hits)
            self.rig.disarm(fault_id)

    def held(self, what: str, condition: object) -> None:
        """What must have been so for the test to mean anything."""
        assert condition, f"precondition: {what}"
        self.preconditions.append(what)

    def measured(self, measure: str, value: float) -> None:
        """A value of a measure of ``bounds.txt``; its limit must hold. The worst one of the test is kept."""
        bound = bounds()[measure]
        assert bound.holds(value), f"{measure}: {value:g} {bound.unit}, the limit is {bound.shown_limit()}"
        known = [self.measures[measure]] if measure in self.measures else []
        self.measures[measure] = round(bound.worst([*known, value]), 3)

    def exempt(self, check: str, why: str) -> None:
        """Leave out one of the checks at the end, saying why it cannot hold here."""
        assert check in CHECKS, f"{check} is none of {sorted(CHECKS)}"
        self.exempted[check] = why

    def history(self, after: int | None = None) -> History:
        """The journal since the case began, or since an entry."""
        since = self.mark if after is None else after
        entries = self.rig.run(lambda v: v.journal.after(since, limit=1_000_000))
        return History(entries, self.rig.server.here.key_id, self.rig.own_prefix)

    # ── at its end ──────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Every check that is not exempted. Raises AssertionError naming what was found."""
        self.disarm()
        assert self.hits, "no fault was injected"
        assert self.preconditions, "no precondition was stated"
        history = self.history()
        found = {
            name: breaches[:5]
            for name, judge in PREDICATES.items()
            if name not in self.exempted and (breaches := judge(history))
        }
        assert not found, f"the journal shows {found}"
        if lives := [*lives_s(history)]:
            self.measured("B13", max(lives))
        self._audit()

    def _audit(self) -> None:
        """The ledger comes to equal the exchange, and no worst case ever stood above a cap."""
        give_up = time.monotonic() + LEDGER_S
        audited = self.rig.audit()
        while audited["differences"] and "ledger" not in self.exempted:
            assert time.monotonic() < give_up, f"the ledger differs: {audited['differences'][:5]}"
            time.sleep(0.3)
            audited = self.rig.audit()
        if "cap" not in self.exempted:
            self.measured("B12", max(float(audited["max_worst_case_over_cap"]), 0.0))

    def result(self, seed: int) -> dict[str, Any]:
        """The line for the report."""
        return {
            "test": self.test,
            "rows": list(self.rows),
            "hits": dict(self.hits),
            "preconditions": self.preconditions,
            "measured": self.measures,
            "exempted": self.exempted,
            "seconds": round(time.monotonic() - self._begun, 1),
            "seed": seed,
            "commit": commit(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }


@contextmanager
def written(case: Case, path: Path | None) -> Iterator[Case]:
    """Appends the case's result to the file, if there is one, once its checks have passed."""
    yield case
    if path is not None:
        line = json.dumps(case.result(case.rig.seed), ensure_ascii=False, sort_keys=True)
        with path.open("a", encoding="utf-8") as results:
            results.write(line + "\n")


def commit() -> str:
    """The short hash of what is tested, with a ``+`` where files were changed since."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()
