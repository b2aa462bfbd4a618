"""``dora doctor``: everything that must be right before the bot may start, each checked by really doing it.

No check sends an order. A check that needs one which failed is not tried, and says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from dora_bot.ceilings_file import read_ceilings
from dora_bot.clock import SystemClock
from dora_bot.config import Settings, global_config
from dora_bot.config_resolution import is_template
from dora_bot.config_store import ConfigStore
from dora_bot.dynamo import Dynamo
from dora_bot.errors import AuthRefused, ConfigError, DoraError, ExchangeUnreachable, RateLimited
from dora_bot.exchange_access import connect_client, load_signer, try_socket
from dora_bot.exchange_client import KalshiClient
from dora_bot.items import MARKET_CONFIG
from dora_bot.keeper import CHUNK
from dora_bot.models import Balance, Market
from dora_bot.signing import Signer
from dora_bot.tables import check_tables
from dora_bot.units import money_text

CLOCK_WARN_MS: Final = 2_000
"""Signatures are refused somewhere between 10 and 30 s; a healthy machine is within milliseconds."""

_BALANCE_AGAIN_S: Final = 1.3


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; ``detail`` says what was found, and if not ok, what to do."""

    check: str
    ok: bool
    detail: str


class Unmet(DoraError):  # noqa: N818  (a check that could not be made, not an error of this program)
    """An earlier check failed, so this one was not tried."""


@dataclass
class _Patient:
    """What the checks build up for each other."""

    settings: Settings
    clock: SystemClock
    signer: Signer | None = None
    client: KalshiClient | None = None
    balance: Balance | None = None
    db: Dynamo | None = None

    def need_client(self) -> KalshiClient:
        if self.client is None:
            raise Unmet("not tried: the exchange was not reached")
        return self.client

    def need_tables(self) -> Dynamo:
        if self.db is None:
            raise Unmet("not tried: the tables are not ready")
        return self.db


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check, one finding each, in the order in which they depend on each other."""
    patient = _Patient(settings, SystemClock())
    try:
        for name, check in _CHECKS.items():
            yield _tried(name, check, patient)
    finally:
        if patient.client:
            patient.client.close()


def _tried(name: str, check: "Callable[[_Patient], str]", patient: _Patient) -> Finding:
    try:
        return Finding(name, ok=True, detail=check(patient))
    except AuthRefused as error:
        return Finding(
            name,
            ok=False,
            detail=f"{error}; check that the key id belongs to this key file and to this host, and is not revoked",
        )
    except ExchangeUnreachable as error:
        return Finding(
            name, ok=False, detail=f"{error}; check the address and the network, or start the exchange"
        )
    except DoraError as error:
        return Finding(name, ok=False, detail=str(error))


def _keys(patient: _Patient) -> str:
    patient.settings.require_exchange()
    patient.signer = load_signer(patient.settings)
    return f"key {patient.signer.key_id[:8]}… can sign"


def _exchange(patient: _Patient) -> str:
    if patient.signer is None:
        raise Unmet("not tried: there is no key to sign with")
    client = connect_client(patient.settings, patient.signer, patient.clock)
    status = client.get_exchange_status()
    patient.client = client
    told = "trading" if status.trading else "trading is paused"
    return (
        f"{patient.settings.kalshi_rest_url} answers, {told if status.active else 'the exchange is paused'}"
    )


def _clock(patient: _Patient) -> str:
    patient.need_client()
    offset = patient.clock.wall_offset_ms
    told = f"this machine differs from the exchange by {offset} ms (± {patient.clock.uncertainty_ms:.0f} ms)"
    if abs(offset) > CLOCK_WARN_MS + patient.clock.uncertainty_ms:
        raise ConfigError(f"{told}; switch on time synchronisation (chrony or systemd-timesyncd)")
    return told


def _auth(patient: _Patient) -> str:
    client = patient.need_client()
    try:
        balance = client.get_balance()
    except RateLimited:  # one balance a second at Basic tier, and a running bot reads it too
        patient.clock.sleep(_BALANCE_AGAIN_S)
        balance = client.get_balance()
    patient.balance = balance
    shards = ", ".join(f"shard {shard}: ${money_text(cash)[:-4]}" for shard, cash in balance.by_shard_e6)
    if balance.total_e6 <= 0:
        raise ConfigError("the key is accepted, but the account holds no cash; fund it before trading")
    return f"the key is accepted; cash ${money_text(balance.total_e6)[:-4]}" + (
        f" ({shards})" if shards else ""
    )


def _limits(patient: _Patient) -> str:
    limits = patient.need_client().get_limits()
    return f"tier {limits.tier}: {limits.read.refill_per_s} read and {limits.write.refill_per_s} write tokens a second"


def _tables(patient: _Patient) -> str:
    db = Dynamo.connect(patient.settings.table_prefix)
    wrong = [status for status in check_tables(db) if not status.ok]
    if wrong:
        raise ConfigError(f"table {wrong[0].table} is {wrong[0].status}: run `dora tables create`")
    patient.db = db
    return f"the four tables {patient.settings.table_prefix}* have the right keys"


def _global_config(patient: _Patient) -> str:
    item = ConfigStore(patient.need_tables()).read_global()
    config = global_config(item.raw, read_ceilings(patient.settings))
    return f"trading {'enabled' if config.trading_enabled else 'DISABLED (trading_enabled is false)'}"


def _market_items(patient: _Patient) -> str:
    items: list[dict[str, Any]] = list(patient.need_tables().scan(MARKET_CONFIG))
    rejected = [item for item in items if str(item.get("status", "")).startswith("rejected")]
    if rejected:
        first = rejected[0]
        raise ConfigError(f"{len(rejected)} items rejected, first {first['market_id']}: {first['status']}")
    if not items:
        raise ConfigError("no market is configured; make an item with `dora config set MARKET …`")
    return f"{len(items)} items"


def _funding(patient: _Patient) -> str:
    """Each shard is a clearing house of its own: cash on one buys nothing on another."""
    client = patient.need_client()
    if patient.balance is None:
        raise Unmet("not tried: the balance could not be read")
    cash = dict(patient.balance.by_shard_e6)
    markets = _configured(
        client, [str(item["market_id"]) for item in patient.need_tables().scan(MARKET_CONFIG)]
    )
    short = [m for m in markets if cash.get(m.exchange_index, 0) <= 0]
    if short:
        first = short[0]
        raise ConfigError(
            f"{len(short)} of {len(markets)} markets trade where the account has no cash, first {first.ticker} "
            f"on shard {first.exchange_index}; move cash to that shard on the exchange's site"
        )
    return f"every shard of {len(markets)} configured open markets holds cash"


def _configured(client: KalshiClient, names: list[str]) -> list[Market]:
    """The markets that the items name, by themselves or as templates."""
    tickers = [name for name in names if not is_template(name)]
    found: list[Market] = []
    for at in range(0, len(tickers), CHUNK):
        found += client.get_markets(tickers=tickers[at : at + CHUNK])
    for name in filter(is_template, names):
        kind, _, value = name.partition("#")
        query = {"series": value} if kind == "series" else {"event": value}
        found += client.get_markets(**query, status="open")
    return found


def _feed(patient: _Patient) -> str:
    patient.need_client()
    if patient.signer is None:
        raise Unmet("not tried: there is no key to sign with")
    try_socket(patient.settings, patient.signer, patient.clock)
    return f"{patient.settings.kalshi_ws_url} accepts the key"


_CHECKS: Final[dict[str, Callable[[_Patient], str]]] = {
    "keys": _keys,
    "exchange": _exchange,
    "clock": _clock,
    "auth": _auth,
    "limits": _limits,
    "tables": _tables,
    "global_config": _global_config,
    "market_config": _market_items,
    "funding": _funding,
    "feed": _feed,
}
