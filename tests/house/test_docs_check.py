"""The documentation's checker runs what is typed and compares what is said."""

from pathlib import Path

import pytest

from scripts.docs_check import ROOT, Block, Command, blocks_of, judge, prepare, quick_problems, run_session

README = ROOT / "README.md"


def session(text: str, folder: Path) -> list[str]:
    """The problems of the one block in ``text``, run for real."""
    (block,) = blocks_of(README, text)
    return list(judge(block, run_session(block, folder, prepare(folder))))


def test_a_block_is_read_with_its_words_exits_and_output() -> None:
    text = "words\n\n```console output timeout=7\n$ one \\\n  more\nsaid\n$ two  # exit 3\n```\n"
    (block,) = blocks_of(README, text)
    assert block == Block(
        README,
        3,
        frozenset({"output", "timeout=7"}),
        (Command("one   more", 0, ("said",)), Command("two", 3, ())),
    )
    assert block.timeout_s == 7


@pytest.mark.parametrize(
    "body",
    [
        "$ true",
        "$ false  # exit 1",
        "$ name=kept\n$ test $name = kept",
        '$ test -z "$(ls $DORA_STATE_DIR 2>/dev/null)"',
        "$ sleep 30 &",
    ],
)
def test_what_holds_passes(body: str, tmp_path: Path) -> None:
    assert session(f"```console\n{body}\n```\n", tmp_path) == []


@pytest.mark.parametrize(
    ("words", "body", "said"),
    [
        ("", "$ false", "`false` exited 1, not 0"),
        ("", "$ true  # exit 2", "`true` exited 0, not 2"),
        ("", "$ exit 0\n$ true", "`exit 0` did not end"),
        (" output", "$ echo one\ntwo", "`echo one` printed"),
        (" timeout=0.5", "$ sleep 30", "no end within"),
    ],
)
def test_what_does_not_hold_is_named(words: str, body: str, said: str, tmp_path: Path) -> None:
    (problem,) = session(f"```console{words}\n{body}\n```\n", tmp_path)
    assert said in problem


def test_output_may_leave_things_out(tmp_path: Path) -> None:
    assert session("```console output\n$ echo first; echo 42 of 50\nfirst\n… of 50\n```\n", tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("see [this](docs/nowhere.md)", "docs/nowhere.md leads nowhere"),
        ("type `make coffee`", "no `make coffee`"),
        ("```console\noutput alone\n```\n", "without a command"),
    ],
)
def test_reading_alone_finds(text: str, said: str) -> None:
    (problem,) = quick_problems(README, text)
    assert said in problem


def test_reading_alone_passes_what_is_there() -> None:
    assert list(quick_problems(README, "see [this](docs/mission.md), type `make test`")) == []
