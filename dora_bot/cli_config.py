"""``dora config``: look at config items, change them safely, see who changed what."""

import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dora_bot.cli_support import emit, note, read_settings
from dora_bot.errors import ConfigError, Usage

if TYPE_CHECKING:
    from dora_bot.config import Settings
    from dora_bot.config_editor import ConfigEditor

config_app = typer.Typer(
    help="Read and change the config items that the bot follows while it runs.",
    epilog="Example: dora config show",
    no_args_is_help=True,
)


@config_app.command(epilog="Example: dora config show KXHIGHNY-26NOV21-B50")
def show(
    market: Annotated[str, typer.Argument(help="One market, template or global; all if left out.")] = "",
) -> None:
    """Print config items with what they inherit, one JSON object a line."""
    with _editor(read_settings()) as editor:
        for item in editor.shown(market):
            emit(_plain(item))


@config_app.command(
    name="set", epilog="Example: dora config set KXHIGHNY-26NOV21-B50 min_spread=0.05 quote_size=5"
)
def set_item(
    target: Annotated[str, typer.Argument(help="MARKET, global, series#TICKER or event#TICKER.")],
    assignments: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Attributes to change.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask when the change raises risk.")] = False,
) -> None:
    """Change an item: validated, shown as a difference, confirmed where risk rises, written with a history record."""
    from dora_bot.clock import SystemClock  # noqa: PLC0415  (see cli)
    from dora_bot.config_edit import parse_assignments, require_known_target  # noqa: PLC0415  (pydantic, see cli)

    require_known_target(target)
    parsed = parse_assignments(assignments)
    settings = read_settings()
    with _editor(settings) as editor:
        proposal = editor.propose(target, parsed)
        if not proposal.old:
            _require_market(settings, target)
            note(f"{target}: a new item")
        for change in proposal.changes:
            note(f"{target}: {change}")
        if not proposal.changes:
            note(f"{target}: nothing changes")
            return
        if proposal.riskier and not yes:
            _confirm(target)
        emit(_plain(editor.apply(proposal, _author(), SystemClock().now().exchange_ms)))


@config_app.command(epilog="Example: dora config history KXHIGHNY-26NOV21-B50")
def history(
    target: Annotated[str, typer.Argument(help="MARKET, global, series#TICKER or event#TICKER.")],
) -> None:
    """Print every change of an item: when, by whom, old and new values."""
    with _editor(read_settings()) as editor:
        records = editor.history(target)
        if not records:
            raise ConfigError(f"{target} has no history: no editor ever changed an item of that name")
        for record in records:
            emit({name: value for name, value in _plain(record).items() if name != "key"})


@contextmanager
def _editor(settings: "Settings") -> "Iterator[ConfigEditor]":
    from dora_bot.ceilings_file import read_ceilings  # noqa: PLC0415  (as below)
    from dora_bot.config_editor import ConfigEditor  # noqa: PLC0415  (boto3 and pydantic cost 0.5 s, see cli)
    from dora_bot.dynamo import Dynamo  # noqa: PLC0415  (as above)

    with closing(Dynamo.connect(settings.table_prefix)) as db:
        yield ConfigEditor(db, read_ceilings(settings))


def _require_market(settings: "Settings", target: str) -> None:
    """Raises `ConfigError` if the exchange says that there is no such market; an exchange that is away does not."""
    from dora_bot.clock import SystemClock  # noqa: PLC0415  (see cli)
    from dora_bot.errors import ExchangeError  # noqa: PLC0415  (see cli)
    from dora_bot.exchange_access import connect_client, load_signer  # noqa: PLC0415  (see cli)

    if "#" in target or target == "global" or not settings.kalshi_key_id + settings.kalshi_secret_id:
        return
    with closing(connect_client(settings, load_signer(settings), SystemClock())) as client:
        try:
            known = client.get_markets(tickers=[target])
        except ExchangeError as error:
            note(f"{target}: whether this market exists could not be checked: {error}")
            return
    if not known:
        raise ConfigError(f"market {target} is unknown to {settings.kalshi_rest_url}; check the ticker")


def _confirm(target: str) -> None:
    if not sys.stdin.isatty():
        raise Usage(f"{target}: this change raises risk; repeat it with --yes to confirm")
    if not typer.confirm("This raises risk. Write it?", err=True):
        raise Usage(f"{target}: not changed")


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no passwd entry, as in some containers
        return f"uid {os.getuid()}"


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as decimal strings, as in every machine output."""
    return {name: _plain_value(value) for name, value in item.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, list):
        return [_plain_value(part) for part in value]
    return value
