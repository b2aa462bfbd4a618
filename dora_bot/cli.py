"""``dora``: runs one command and turns every ending into an exit code and at most one line on stderr.

The commands are in `cli_app`, imported when one is run: ``dora --version`` needs none of them, and Ctrl-C while
they are still being imported must not end in a traceback.
"""

import resource
import sys
from collections.abc import Sequence

from dora_bot import __version__
from dora_bot.cli_support import note
from dora_bot.errors import DoraError, ExchangeUnreachable
from dora_bot.exit_codes import ExitCode, exit_code_of
from dora_bot.plain_text import one_line

_AWAY = "; check the address and the network, or start the exchange"
_TYPER_INTERRUPTED = 130
"""What typer returns for Ctrl-C inside a command, instead of raising."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        sys.stdout.write(f"dora {__version__}\n")
        return ExitCode.DONE
    # A crash must not write the private key to a disk (S09).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        note("dora: stopped")
        return ExitCode.FAILED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        return ExitCode.DONE
    except DoraError as error:
        if "--debug" in arguments:
            raise
        note(f"dora: {one_line(error)}{_AWAY if isinstance(error, ExchangeUnreachable) else ''}")
        return exit_code_of(error)
    except Exception as error:  # policy: an unexpected error ends as one line and exit code 1
        if "--debug" in arguments:
            raise
        note(f"dora: unexpected {type(error).__name__}: {one_line(error)} (dora --debug … shows the stack)")
        return ExitCode.FAILED


def _run(arguments: list[str]) -> int:
    import typer  # noqa: PLC0415  (see the module docstring)

    from dora_bot.cli_app import app  # noqa: PLC0415  (see the module docstring)

    try:
        code = int(app(arguments, standalone_mode=False, prog_name="dora") or ExitCode.DONE)
    except typer.TyperException as error:
        note(f"dora: {one_line(error.format_message())} (try --help)")
        return ExitCode.USAGE
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == _TYPER_INTERRUPTED:
        raise KeyboardInterrupt
    return code


if __name__ == "__main__":
    sys.exit(main())
