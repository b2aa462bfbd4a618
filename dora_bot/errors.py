"""The exception tree. Each class is a policy: its docstring says what the bot does when it sees one."""


class DoraError(Exception):
    """Root of everything the bot raises on purpose."""


class ConfigError(DoraError):
    """Settings, a config item or an argument is wrong: refuse to start, or keep the last good value."""


class LeaseLost(DoraError):  # noqa: N818  (named for the fact, as the runbook and the design name it)
    """Another instance may hold the lease: cancel, stop quoting, exit with code 5."""


class StoreError(DoraError):
    """The journal or DynamoDB failed: no new exposure, cancels still go out."""


class ExchangeError(DoraError):
    """The exchange could not be asked, or answered with something other than the data asked for."""


class ExchangeUnreachable(ExchangeError):  # noqa: N818  (named for the fact)
    """No answer within the deadline: reads are retried by their own schedule, writes become *unknown*."""


class AuthRefused(ExchangeError):  # noqa: N818  (named for the fact)
    """401, 403 or 410: the key, its scopes or this version of the bot is not welcome. Halt."""


class RateLimited(ExchangeError):  # noqa: N818  (named for the fact)
    """429: the budget was wrong. Wait cost ÷ refill rate; safe writes go first."""


class MarketClosed(ExchangeError):  # noqa: N818  (named for the fact)
    """The market takes no orders any more: drop it."""


class WireError(ExchangeError):
    """A reply or frame lacks a field, or has one of the wrong type. Freeze at most that market."""


class InvariantViolation(DoraError):  # noqa: N818  (named for the fact)
    """Something that cannot be is: cancel everything and exit."""


class Usage(DoraError):  # noqa: N818  (named for the fact)
    """The command line is wrong: one clear line, exit code 2."""


SIGNATURE_EXPIRED = "header_timestamp_expired"
"""The code of a 401 that is about the clock, not the key: the reply's date corrects the next signature."""
