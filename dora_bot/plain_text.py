"""Text from outside on its way to logs and terminals: whatever cannot be seen is written out, never sent.

A title, an error of the exchange or a reason may hold line breaks that fake a log line, or sequences that make a
terminal hide, repaint or paste. JSON escapes only the first 32 of them.
"""

import json
from typing import Any


def visible(text: str) -> str:
    """Every character that is not printable (control characters, separators, lone surrogates) as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def json_line(record: Any) -> str:
    """One JSON value on one line, all of it printable; it reads back as it was. What JSON has no word for is text."""
    return visible(json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str))


def one_line(text: object) -> str:
    """A message as one printable line: one error is one line, whatever a library put into it."""
    return visible(" ".join(str(text).split()))
