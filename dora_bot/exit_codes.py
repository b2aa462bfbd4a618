"""The exit codes of ``dora``, and which error ends in which: scripts and the systemd unit rely on them."""

from enum import IntEnum

from dora_bot.errors import AuthRefused, ConfigError, ExchangeUnreachable, LeaseLost, Usage


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    HALTED = 3
    EXCHANGE = 4
    LEASE = 5


def exit_code_of(error: BaseException) -> ExitCode:
    """The policy of an error as a number, see `dora_bot.errors`."""
    if isinstance(error, ConfigError | Usage):
        return ExitCode.USAGE
    if isinstance(error, LeaseLost):
        return ExitCode.LEASE
    if isinstance(error, AuthRefused | ExchangeUnreachable):
        return ExitCode.EXCHANGE
    return ExitCode.FAILED
