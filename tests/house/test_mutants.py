"""The catalogue of mutants fits the code: each place is there exactly once, and what is put there is Python."""

import ast
from pathlib import Path

import pytest

from scripts.mutants import Judge, Mutant, apply, catalogue, copy_tree

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("tree"))


def test_all_fifty_are_there_and_the_safety_nets() -> None:
    fifty, nets = [f"M{number:02}" for number in range(1, 51)], [f"N{number:02}" for number in range(1, 8)]
    assert [mutant.id for mutant in catalogue()] == [*fifty, *nets]


@pytest.mark.parametrize("mutant", catalogue(), ids=lambda mutant: mutant.id)
def test_a_mutant_fits_the_code_and_names_tests_that_exist(mutant: Mutant, tree: Path) -> None:
    before = apply(mutant, tree)
    try:
        for path, text in before.items():
            mutated = path.read_text(encoding="utf-8")
            assert mutated != text
            if path.suffix == ".py":
                ast.parse(mutated)
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
    killers = [*mutant.unit, *mutant.beyond]
    assert killers
    for test in killers:
        assert test == "sim" or (ROOT / test.partition("::")[0]).exists(), test


def test_a_mutant_that_no_test_notices_has_survived_and_one_whose_tests_cannot_run_is_broken() -> None:
    mutant = next(mutant for mutant in catalogue() if mutant.id == "M07")
    with Judge(1) as judge:
        assert judge.one(mutant, ["tests/unit/test_fees.py"]).end == "survived"
        assert judge.one(mutant, ["tests/unit/test_nothing.py"]).end == "broken"
        assert judge.one(mutant, ["tests/unit/test_fees.py", "tests/unit/test_execution.py"]).end == "killed"
