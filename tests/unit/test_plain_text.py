"""Nothing from outside can fake a log line or steer a terminal: what cannot be seen is written out (S19)."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dora_bot.cli_support import emit, note
from dora_bot.errors import ExchangeError
from dora_bot.plain_text import json_line, one_line, visible
from dora_bot.telemetry import Telemetry

NASTY = 'x\n{"level":"INFO","message":"halt lifted"}\r\x1b[2J\x9b31m\u2028\u2029\x85\x00\x7f\ud800\u202e\U000e0001'
ANY_TEXT = st.text(st.characters(codec=None)) | st.text(st.sampled_from(NASTY))


def harmless(text: str) -> bool:
    return text.isprintable() and text.encode("utf-8").decode("utf-8") == text


@given(ANY_TEXT)
@example(NASTY)
def test_a_record_is_one_printable_line_that_reads_back_as_it_was(text: str) -> None:
    line = json_line({"reason": text, text: [1, None]})
    assert harmless(line)
    assert json.loads(line) == {"reason": text, text: [1, None]}


@given(ANY_TEXT)
@example(NASTY)
def test_what_people_are_told_is_one_printable_line(text: str) -> None:
    assert harmless(one_line(text))
    err, out = io.StringIO(), io.StringIO()
    with redirect_stderr(err), redirect_stdout(out):
        note(text)
        emit({"reason": text})
    for told in (err.getvalue(), out.getvalue()):
        assert told.endswith("\n")
        assert harmless(told[:-1])


@pytest.mark.parametrize("text", ["plain", "KXFED-26 · ×2 – naïve", "", "日本"])
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@settings(max_examples=25)
@given(st.lists(ANY_TEXT, min_size=1, max_size=5))
@example([NASTY])
def test_the_log_is_one_object_a_line_whatever_is_logged(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        telemetry = Telemetry(Path(folder), to_stderr=False)
        for text in texts:
            telemetry.problem(text, ExchangeError(text))
            telemetry.log.info(text, extra={"reason": text})
        telemetry.close()
        content = (Path(folder) / "bot.log").read_bytes().decode("utf-8")
    lines = content.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 2 * len(texts)
    assert all(map(harmless, lines))
    assert [json.loads(line)["reason"] for line in lines[1::2]] == texts
