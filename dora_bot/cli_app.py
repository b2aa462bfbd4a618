"""The commands of ``dora``. Each is a thin shell around one function elsewhere.

Imports inside commands are on purpose: ``dora --help`` must not pay for boto3, and a machine that only halts
needs neither the exchange nor the embedded AWS.
"""

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from dora_bot import __version__
from dora_bot.cli_config import config_app
from dora_bot.cli_operate import register_operator_commands
from dora_bot.cli_support import emit, read_settings
from dora_bot.errors import ConfigError, Usage
from dora_bot.exit_codes import ExitCode

app = typer.Typer(
    name="dora",
    help="A market maker for Kalshi prediction markets, with its own paper exchange.",
    epilog="Example: dora demo --seconds 60",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
tables_app = typer.Typer(
    help="Create or verify the four DynamoDB tables.",
    epilog="Example: dora tables create",
    no_args_is_help=True,
)
app.add_typer(tables_app, name="tables")
app.add_typer(config_app, name="config")
register_operator_commands(app)

TapeOption = Annotated[
    list[Path] | None, typer.Option("--tape", help="Play this recording instead of synthetic markets.")
]
StateOption = Annotated[
    Path | None, typer.Option("--state", help="Keep state here over restarts; without it, in memory only.")
]


def _show_version(value: bool) -> None:  # noqa: FBT001  (typer hands an option's value over by position)
    if value:
        sys.stdout.write(f"dora {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack of an unexpected error.")] = False,
) -> None:
    """Options in front of every command; `main` reads ``--debug`` itself."""
    del version, debug


@app.command(epilog="Example: dora demo --seconds 60 --json")
def demo(
    *,
    seconds: Annotated[float, typer.Option(help="How long the bot trades.", min=1)] = 120,
    markets: Annotated[int, typer.Option(help="How many synthetic markets.", min=1, max=500)] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic markets.")] = 1,
    tape: TapeOption = None,
    speed: Annotated[float, typer.Option(help="Speed of the tape.", min=0.01)] = 1,
    json: Annotated[bool, typer.Option("--json", help="Plain lines, last one a JSON report.")] = False,
) -> int:
    """Watch the bot trade: paper exchange, local AWS and the bot, with a report at the end. No account needed."""
    from dora_bot.demo import DemoOptions, run_demo  # noqa: PLC0415  (see the module docstring)

    options = DemoOptions(seconds, markets, seed, _readable(tape), speed, json)
    return run_demo(options)


@app.command(name="paper-exchange", epilog="Example: dora paper-exchange --markets 6 --seed 1")
def paper_exchange(  # noqa: PLR0913  (one parameter an option; typer builds the command from them)
    *,
    port: Annotated[
        int, typer.Option(help="Trading port on 127.0.0.1; 0 picks a free one.", min=0, max=65_535)
    ] = 0,
    admin_port: Annotated[int, typer.Option(help="Admin port; 0 picks a free one.", min=0, max=65_535)] = 0,
    markets: Annotated[int, typer.Option(help="How many synthetic markets.", min=0, max=2000)] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the world.")] = 1,
    tape: TapeOption = None,
    speed: Annotated[float, typer.Option(help="Speed of the tape.", min=0.01)] = 1,
    tier: Annotated[str, typer.Option(help="Rate-limit tier: basic, advanced, expert, premier …")] = "basic",
    profile: Annotated[str, typer.Option(help="Latency: real (as measured) or fast.")] = "real",
    compat: Annotated[bool, typer.Option("--compat", help="Add fields older SDKs demand.")] = False,
    no_admin: Annotated[bool, typer.Option("--no-admin", help="No admin port.")] = False,
    check_world: Annotated[
        bool, typer.Option("--check-world", help="Measure the synthetic markets and exit.")
    ] = False,
    state: StateOption = None,
) -> int:
    """Run a Kalshi-compatible exchange on loopback until SIGTERM; the first line says where it is."""
    if check_world:
        from dora_bot.paper.check_world import check_world as check  # noqa: PLC0415  (see the module docstring)

        return check(seed=seed, out=sys.stdout)
    from dora_bot.paper.launch import LaunchOptions, run_paper_exchange  # noqa: PLC0415  (see the module docstring)

    options = LaunchOptions(
        port=port,
        admin_port=admin_port,
        markets=markets,
        seed=seed,
        tapes=_readable(tape),
        speed=speed,
        tier=tier,
        profile=profile,
        compat=compat,
        admin=not no_admin,
        state_dir=state,
    )
    run_paper_exchange(options)
    return ExitCode.DONE


@app.command(name="local-aws", epilog="Example: dora local-aws --state .dora/aws")
def local_aws(
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 picks a free one.", min=0, max=65_535)] = 0,
    state: StateOption = None,
) -> None:
    """Run the embedded AWS endpoint until SIGTERM; the first line says where it is."""
    from dora_bot.local_aws import run_local_aws  # noqa: PLC0415  (see the module docstring)

    run_local_aws(port, state)


@tables_app.command(name="create", epilog="Example: dora tables create")
def tables_create() -> None:
    """Create the tables that are missing and seed global_config where it is absent."""
    from dora_bot.dynamo import Dynamo  # noqa: PLC0415  (see the module docstring)
    from dora_bot.tables import create_tables  # noqa: PLC0415  (see the module docstring)

    settings = read_settings()
    with closing(Dynamo.connect(settings.table_prefix)) as db:
        for status in create_tables(db, live=settings.env == "live"):
            emit({"table": status.table, "status": status.status})


@tables_app.command(name="check", epilog="Example: dora tables check")
def tables_check() -> int:
    """Verify that the four tables exist with the right keys."""
    from dora_bot.dynamo import Dynamo  # noqa: PLC0415  (see the module docstring)
    from dora_bot.tables import check_tables  # noqa: PLC0415  (see the module docstring)

    with closing(Dynamo.connect(read_settings().table_prefix)) as db:
        found = check_tables(db)
    for status in found:
        emit({"table": status.table, "status": status.status})
    wrong = [status for status in found if not status.ok]
    if wrong:
        raise ConfigError(f"table {wrong[0].table} is {wrong[0].status}: run `dora tables create`")
    return ExitCode.DONE


@app.command(epilog="Example: dora run --seconds 60 --json")
def run(
    *,
    seconds: Annotated[float, typer.Option(help="Stop after this long; 0 = until stopped.", min=0)] = 0,
    ticks: Annotated[int, typer.Option(help="Stop after this many ticks; 0 = no limit.", min=0)] = 0,
    live: Annotated[bool, typer.Option("--live", help="Trade real money; needs DORA_ENV=live, too.")] = False,
    observe: Annotated[bool, typer.Option("--observe", help="Decide and log, but place no order.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One TickReport a line on stdout.")] = False,
    standby: Annotated[
        bool,
        typer.Option("--standby", help="While another instance runs, wait and take over when it is gone."),
    ] = False,
) -> int:
    """Run the bot. Ctrl-C and SIGTERM cancel every order, save everything and report."""
    settings = read_settings()
    if live != (settings.env == "live"):
        raise Usage(
            f"--live trades real money and needs DORA_ENV=live; it is {settings.env}"
            if live
            else "DORA_ENV=live trades real money; say so with `dora run --live` as well"
        )
    from dora_bot.stop_signals import StopSignals  # noqa: PLC0415  (see the module docstring)

    with StopSignals() as signals:
        from dora_bot.bootstrap import run_bot  # noqa: PLC0415  (see the module docstring)
        from dora_bot.runtime import RunOptions  # noqa: PLC0415  (see the module docstring)

        socket = os.environ.get("NOTIFY_SOCKET", "")
        options = RunOptions(
            seconds, ticks, observe=observe, json=json, standby=standby, notify_socket=socket
        )
        return run_bot(settings, options, signals)


def _readable(tapes: list[Path] | None) -> tuple[Path, ...]:
    for path in tapes or ():
        if not path.is_file() or not path.name.removesuffix(".gz").removesuffix(".zst").endswith(".jsonl"):
            missing = "not a recording" if path.is_file() else "no such file"
            raise Usage(f"--tape {path}: {missing}; give a recording *.frames.jsonl[.gz|.zst]")
    return tuple(tapes or ())
