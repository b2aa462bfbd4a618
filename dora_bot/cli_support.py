"""What every command shares: settings read once, one JSON object a line, notes for people.

Machine output goes to stdout, everything else to stderr, so that a pipe never has to filter.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dora_bot.plain_text import json_line, visible

if TYPE_CHECKING:
    from dora_bot.config import Settings


def emit(record: Mapping[str, Any]) -> None:
    """Write one JSON object as one line of stdout, at once."""
    sys.stdout.write(json_line(record) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell the person at the terminal, on stderr."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def read_settings() -> "Settings":
    """The process environment. Raises `ConfigError` for an unknown or wrong ``DORA_*`` name."""
    from dora_bot.config import Settings  # noqa: PLC0415  (pydantic costs 0.15 s that --help need not pay)

    return Settings.from_environ(os.environ)
