"""The whole bot in virtual time, short form: the sweep of fault rates on fixed seeds, and the simulation's own promises.

``make sim`` runs longer ones.
"""

import os

import pytest

from tests.sim.run import PAIRS, describe, plan, shortfalls, simulate, sweep, total
from tests.sim.shrink import Case, regressions

TICKS = 12_000
"""A glance: CI also runs ``make sim TICKS=100000``."""

SEED = 11

FAULTS = 60
"""Different faults, by place and kind, that must have struck."""


@pytest.mark.timeout(600)
def test_no_invariant_breaks_over_the_sweep_of_fault_rates_and_enough_was_seen() -> None:
    results = [one.result for one in sweep(plan(SEED, TICKS), os.cpu_count() or 1)]
    assert not [describe(result, tries=20) for result in results if result.violations]
    assert sum(result.ticks for result in results) >= TICKS
    assert not shortfalls(results)
    counts, faults, pairs = total(results)
    assert counts["killed"] > 0
    assert counts["halts"] > 0
    assert len(faults) >= FAULTS
    assert len(pairs) >= PAIRS


def test_the_same_seed_repeats_itself_byte_for_byte_and_another_does_not() -> None:
    first, again, other = simulate(5, 0.05, 600), simulate(5, 0.05, 600), simulate(6, 0.05, 600)
    assert first.digest == again.digest
    assert first.records == again.records
    assert first.digest != other.digest


def test_the_keys_of_a_run_replay_it() -> None:
    wild = simulate(7, 0.05, 600)
    assert wild.keys
    assert simulate(7, 0.05, 600, frozenset(wild.keys)).digest == wild.digest


def test_a_sweep_that_saw_nothing_is_not_a_pass() -> None:
    quiet = simulate(1, 0.0, 300)
    assert not quiet.violations
    assert any("killed" in text or "halts" in text for text in shortfalls([quiet] * 40))


def test_failures_that_were_mended_stay_mended() -> None:
    broken = [(stored, Case.load(stored).run().violations) for stored in regressions()]
    assert not [pair for pair in broken if pair[1]]
