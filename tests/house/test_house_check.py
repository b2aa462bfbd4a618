"""Each budget of `scripts/house_check.py`, once broken and once kept."""

import pytest

from scripts.house_check import MAX_FILE_LINES, MAX_FUNCTION_LINES, findings

LONG_FUNCTION = "def f() -> None:\n" + "    x = 1\n" * MAX_FUNCTION_LINES
EIGHT = ", ".join(f"p{n}: int" for n in range(8))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (LONG_FUNCTION, "f has 61 lines"),
        ("x = 1\n" * (MAX_FILE_LINES + 1), "401 lines"),
        (f"def f({EIGHT}) -> None: ...\n", "takes 8 parameters"),
        ("x = 1  # noqa\n", "without naming the rule"),
        ("x = 1  # noqa: S101\n", "without a reason"),
        ("x = 1  # noqa: S101, PLR2004\n", "without a reason"),
        ("x = 1  # type: ignore\n", "without naming the rule"),
        ("x = 1  # type: ignore[misc]\n", "without a reason"),
        ("x = 1  # pragma: no cover\n", "without a reason"),
        ("# TODO: the rest\n", "left to do"),
        ("try:\n    f()\nexcept Exception:\n    g()\n", "except Exception without"),
        ("try:\n    f()\nexcept:\n    g()\n", "except everything without"),
        ("try:\n    f()\nexcept KeyError:\n    pass\n", "except KeyError without"),
        ("def f() -> None:\n    raise NotImplementedError\n", "unfinished"),
        ("from dora_bot.fees import _round\n", "private name _round"),
    ],
)
def test_a_broken_budget_is_found(source: str, said: str) -> None:
    (finding,) = findings(source, is_test=False)
    assert said in finding.message


@pytest.mark.parametrize(
    "source",
    [
        f"class C:\n    def f(self, {EIGHT.rpartition(',')[0]}) -> None: ...\n",
        f"@app.command()\ndef f({EIGHT}) -> None: ...\n",
        "x = 1  # noqa: S101, PLR2004  (an invariant that stays on)\n",
        "x = 1  # type: ignore[misc]  # the library ships no types\n",
        "text = 'TODO, # noqa and # type: ignore in a string are not comments'\n",
        "try:\n    f()\nexcept Exception:  # policy: halts\n    g()\n",
        "try:\n    f()\nexcept KeyError:\n    g()\n",
        "from __future__ import annotations\n",
    ],
)
def test_what_keeps_the_budgets_passes(source: str) -> None:
    assert findings(source, is_test=False) == []


def test_a_test_that_asserts_nothing_is_found() -> None:
    (finding,) = findings("def test_it() -> None:\n    f()\n", is_test=True)
    assert "test_it asserts nothing" in finding.message


@pytest.mark.parametrize("body", ["assert f()", "with pytest.raises(ValueError): f()", "check_books(f())"])
def test_a_test_that_checks_passes(body: str) -> None:
    assert findings(f"def test_it() -> None:\n    {body}\n", is_test=True) == []
