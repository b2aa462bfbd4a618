"""What every command shares: settings read once, one JSON object a line, and errors as exit codes.

Machine output goes to stdout, everything else to stderr, so that a pipe never has to filter.
"""

import json
import os
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dora_bot.config import Settings


class ExitCode(IntEnum):
    """The exit codes of ``dora``; scripts and the systemd unit rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    HALTED = 3
    EXCHANGE = 4
    LEASE = 5


def emit(record: Mapping[str, Any]) -> None:
    """Write one JSON object as one line of stdout, at once."""
    sys.stdout.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell the person at the terminal, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def read_settings() -> "Settings":
    """The process environment. Raises `ConfigError` for an unknown or wrong ``DORA_*`` name."""
    from dora_bot.config import Settings  # noqa: PLC0415  (pydantic costs 0.15 s that --help need not pay)

    return Settings.from_environ(os.environ)


def exit_code_of(error: BaseException) -> ExitCode:
    """The policy of an error as a number, see `dora_bot.errors`."""
    from dora_bot import errors  # noqa: PLC0415  (imported with the commands that can fail)

    if isinstance(error, errors.ConfigError | errors.Usage):
        return ExitCode.USAGE
    if isinstance(error, errors.LeaseLost):
        return ExitCode.LEASE
    if isinstance(error, errors.AuthRefused | errors.ExchangeUnreachable):
        return ExitCode.EXCHANGE
    return ExitCode.FAILED


def one_line(text: object) -> str:
    """A message without line breaks: one error is one line, whatever a library put into it."""
    return " ".join(str(text).split())
