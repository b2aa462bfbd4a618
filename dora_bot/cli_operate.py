"""What an operator does to a bot that runs, or that died: look, halt, resume, cancel, diagnose."""

import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from dora_bot.cli_support import emit, note, read_settings
from dora_bot.errors import Usage
from dora_bot.exit_codes import ExitCode
from dora_bot.units import ONE_E4, count_text


def register_operator_commands(app: typer.Typer) -> None:
    """Add the commands to ``dora`` itself."""
    app.command(epilog="Example: dora status --watch")(status)
    app.command(epilog='Example: dora halt --reason "news on KXFED"')(halt)
    app.command(epilog='Example: dora pause --reason "lunch"')(pause)
    app.command(name="reduce-only", epilog='Example: dora reduce-only KXFED-26 --reason "news"')(reduce_only)
    app.command(epilog="Example: dora flatten KXFED-26 --within 0.03")(flatten)
    app.command(epilog="Example: dora resume H1; dora resume H1 --confirm")(resume)
    app.command(name="cancel-all", epilog="Example: dora cancel-all")(cancel_all)
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


def halt(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the halt and shown until it ends.")],
) -> int:
    """Stop quoting until `dora resume`, and cancel every order now. Works whether the bot runs or not."""
    from dora_bot import operator_stop  # noqa: PLC0415  (see cli)

    return _swept(operator_stop.halt(read_settings(), reason))


def pause(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; shown until it ends.")],
) -> int:
    """Take all quotes back and place none until `dora resume`; positions, books and risk go on."""
    from dora_bot import operator_stop  # noqa: PLC0415  (see cli)

    return _swept(operator_stop.pause(read_settings(), reason))


def reduce_only(
    market: Annotated[str, typer.Argument(help="A market, or event#EVENT; everything if left out.")] = "",
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; shown until it ends.")],
) -> None:
    """Quote only what shrinks a position, until `dora resume`."""
    from dora_bot import operator_stop  # noqa: PLC0415  (see cli)

    emit(operator_stop.reduce_only(read_settings(), reason, market))


def flatten(
    market: Annotated[str, typer.Argument(help="A market; every position if left out.")] = "",
    *,
    within: Annotated[
        str, typer.Option("--within", help="How many dollars worse than the best price now.")
    ] = "0.05",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Pause, cancel, and close positions with orders that only reduce and never rest. `dora resume` ends the pause."""
    from dora_bot import operator_stop  # noqa: PLC0415  (see cli)

    def confirm(held: Mapping[str, int]) -> None:
        for ticker, net_e2 in held.items():
            note(f"dora: {ticker}: {count_text(net_e2)} contracts will be closed")
        _ask(yes=yes)

    lines = list(operator_stop.flatten(read_settings(), market, _dollars(within), confirm))
    for line in lines:
        emit(line)
    return ExitCode.DONE if lines[-1]["flat"] else ExitCode.FAILED


def _ask(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Usage("this trades; repeat it with --yes to confirm")
    if not typer.confirm("Close them now?", err=True):
        raise Usage("nothing was done")


def _dollars(text: str) -> int:
    """A distance in prices, in 0.0001 $."""
    try:
        value = Decimal(text).scaleb(4)
    except InvalidOperation as error:
        raise Usage(f"--within {text!r} is not a number; write for example 0.05") from error
    if not 0 <= value < ONE_E4:
        raise Usage("--within must be at least 0 and below 1")
    return int(value)


def resume(
    halt_id: Annotated[str, typer.Argument(help="The halt to end, as `dora status` shows it.")],
    *,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="End a halt that was shown and acknowledged before.")
    ] = False,
) -> int:
    """End one halt, pause or reduce-only; the bot quotes again when none is left.

    A halt ends in two steps: without --confirm it is shown and acknowledged, stays in force, and the exit code is 3.
    """
    from dora_bot import operator_stop  # noqa: PLC0415  (see cli)

    told = operator_stop.resume(read_settings(), halt_id, confirm=confirm)
    emit(told)
    return ExitCode.DONE if told["resumed"] else ExitCode.HALTED


def cancel_all(
    *,
    leftovers: Annotated[
        bool,
        typer.Option("--leftovers", help="Only what a bot that ended in DORA_STATE_DIR may have left."),
    ] = False,
) -> int:
    """Cancel every open order of the account and read back that none is left. A running bot quotes on after a minute."""
    from dora_bot import operator_stop  # noqa: PLC0415  (see cli)

    if leftovers:
        swept = operator_stop.cancel_leftovers(read_settings())
        if "skipped" not in swept:
            return _swept(swept)
        emit(swept)
        return ExitCode.DONE
    return _swept(operator_stop.cancel_orders(read_settings()))


def _swept(result: dict[str, Any]) -> int:
    emit(result)
    if result["open_orders"]:
        note(
            f"dora: {result['open_orders']} orders still rest; try again, or cancel them on the exchange's site"
        )
        return ExitCode.FAILED
    if not result["verified"]:
        note("dora: no order is listed, but no two lists newer than the cancels could be read; look again")
        return ExitCode.FAILED
    return ExitCode.DONE


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
