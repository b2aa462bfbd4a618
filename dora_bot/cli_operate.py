"""What an operator does to a bot that runs, or that died: look, halt, resume, cancel, diagnose."""

from typing import Annotated

import typer

from dora_bot.cli_support import ExitCode, emit, note, read_settings


def register_operator_commands(app: typer.Typer) -> None:
    """Add the commands to ``dora`` itself."""
    app.command(epilog="Example: dora status --watch")(status)
    app.command(epilog="Example: dora doctor")(doctor)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object (one a second with --watch).")
    ] = False,
) -> None:
    """Show positions, orders, quotes, PnL, ages, halts and budget; from DynamoDB when no bot has run here."""
    from dora_bot.operator_status import show_status, watch_status  # noqa: PLC0415  (see cli)

    settings = read_settings()
    if watch:
        watch_status(settings, json=json)
    else:
        show_status(settings, json=json)


def doctor() -> int:
    """Check keys, clock, exchange, limits, tables, configuration and feed; say what to do about each."""
    from dora_bot.doctor import examine  # noqa: PLC0415  (see cli)

    failed = 0
    for finding in examine(read_settings()):
        emit({"check": finding.check, "ok": finding.ok, "detail": finding.detail})
        failed += not finding.ok
    if failed:
        note(f"dora: {failed} checks failed; each detail says what to do")
    return ExitCode.FAILED if failed else ExitCode.DONE
