"""Everything people can set: `Settings` from the environment, `MarketConfig` and `GlobalConfig` from DynamoDB.

All are validated and bounded; a wrong value is a `ConfigError` that names the field, never a default.
Money and counts are converted to integers once, here. Unknown attributes of an item are refused, except
the bot's own answers to the editor, so that a misspelt parameter cannot be silently ignored.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dora_bot.ceilings import Ceilings
from dora_bot.errors import ConfigError
from dora_bot.fields import CountE2, Flag, MoneyE6, Number, PriceE4, Word, first_problem
from dora_bot.hosts import LOOPBACK
from dora_bot.units import count_text, money_text, price_text

Environment = Literal["paper", "demo", "live"]

ANSWER_ATTRIBUTES = frozenset({"applied_version", "applied_at", "status"})
"""The bot's own words on an item."""
STATUS_ATTRIBUTES = ANSWER_ATTRIBUTES | {"updated_at", "updated_by", "version"}
"""Attributes of a config item that answer or describe the edit and configure nothing."""

_HOSTS = {
    "demo": (
        "https://external-api.demo.kalshi.co/trade-api/v2",
        "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2",
    ),
    "live": (
        "https://external-api.kalshi.com/trade-api/v2",
        "wss://external-api-ws.kalshi.com/trade-api/ws/v2",
    ),
}
_RESERVED = frozenset({"DORA_CONTROL_PORT", "DORA_CONTROL_TOKEN_PATH"})
"""Names that the interface promises and this version needs not: one environment fits every version."""
_PREFIXES = {"paper": "dora_paper_", "demo": "dora_demo_", "live": "dora_"}


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class MarketConfig(_Item):
    """One item of ``dora_market_config``. Names in DynamoDB are the aliases (dollars, contracts)."""

    market_id: Word = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._#-]+$")
    enabled: Flag
    strategy: Literal["spread"] = "spread"
    max_inventory_yes_e2: CountE2 = Field(alias="max_inventory_yes", ge=0)
    max_inventory_no_e2: CountE2 = Field(alias="max_inventory_no", ge=0)
    min_spread_e4: PriceE4 = Field(alias="min_spread", ge=1, le=5_000)
    quote_size_e2: CountE2 = Field(alias="quote_size", ge=1)
    inventory_skew_factor: Number = Field(default=0.5, ge=0, le=10)
    toxicity_score: Number = Field(default=0.0, ge=0, le=1)
    price_min_e4: PriceE4 = Field(default=100, alias="price_min", ge=1, le=9_999)
    price_max_e4: PriceE4 = Field(default=9_900, alias="price_max", ge=1, le=9_999)
    requote_tolerance_ticks: int = Field(default=1, ge=0, le=50)
    max_market_loss_e6: MoneyE6 | None = Field(default=None, alias="max_market_loss", gt=0)
    """A market that lost more than this since its first fill only reduces from then on."""
    min_requote_s: Number = Field(default=0.0, ge=0, le=3_600)
    max_markets: int = Field(default=20, ge=1, le=2_000)
    """How many open markets a ``series#`` or ``event#`` template may enable at once, soonest close first."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.price_min_e4 >= self.price_max_e4:
            raise ValueError("price_min must be below price_max")
        if self.quote_size_e2 > max(self.max_inventory_yes_e2, self.max_inventory_no_e2):
            raise ValueError("quote_size is larger than both inventory caps")
        return self


def disabled(ticker: str) -> MarketConfig:
    """What stands for a market without an item: nothing is quoted there and no position may grow."""
    return MarketConfig.model_construct(
        market_id=ticker,
        enabled=False,
        max_inventory_yes_e2=0,
        max_inventory_no_e2=0,
        min_spread_e4=5_000,
        quote_size_e2=1,
    )


class GlobalConfig(_Item):
    """The item ``global_config`` of ``dora_state``."""

    max_total_exposure_e6: MoneyE6 = Field(alias="max_total_exposure", ge=0)
    max_event_exposure_e6: MoneyE6 | None = Field(default=None, alias="max_event_exposure", ge=0)
    """The most that one event may lose at worst; without it only ``max_total_exposure`` holds."""
    max_daily_loss_e6: MoneyE6 = Field(alias="max_daily_loss", gt=0)
    max_drawdown_e6: MoneyE6 | None = Field(default=None, alias="max_drawdown", gt=0)
    """Equity this far below its peak halts; the peak begins anew when a halt is lifted."""
    max_event_loss_e6: MoneyE6 | None = Field(default=None, alias="max_event_loss", gt=0)
    """The markets of an event that together lost more than this since their first fill only reduce."""
    max_fill_15s_e2: CountE2 = Field(default=50_000, alias="max_fill_15s", ge=100, le=100_000_000)
    """Contracts matched in 15 s on one shard; the exchange itself then takes our quotes there away."""
    loop_interval_ms: int = Field(default=500, ge=50, le=60_000)
    foreign_orders: Literal["respect", "cancel"] = "respect"
    """What becomes of open orders without our prefix; ``cancel`` is for a subaccount that is the bot's alone."""
    trading_enabled: Flag


def market_config(item: Mapping[str, Any], ceilings: Ceilings) -> MarketConfig:
    """Validate one (already inherited) item. Raises `ConfigError` naming the attribute and the remedy."""
    config = _validated(MarketConfig, item, f"market {item.get('market_id', '?')}")
    for problem in _above(config, ceilings):
        raise ConfigError(f"market {config.market_id}: {problem}")
    return config


def _above(config: MarketConfig, ceilings: Ceilings) -> Iterator[str]:
    """What of an item is above a ceiling."""
    cap = ceilings.max_contracts_per_market_e2
    for name in ("max_inventory_yes", "max_inventory_no"):
        if getattr(config, f"{name}_e2") > cap:
            yield f"{name} exceeds the ceiling of {count_text(cap)} contracts"
    if config.quote_size_e2 > ceilings.max_order_contracts_e2:
        yield f"quote_size exceeds the ceiling of {count_text(ceilings.max_order_contracts_e2)} contracts an order"
    if config.price_min_e4 < ceilings.price_min_e4:
        yield f"price_min is below the ceilings' {price_text(ceilings.price_min_e4)}"
    if config.price_max_e4 > ceilings.price_max_e4:
        yield f"price_max is above the ceilings' {price_text(ceilings.price_max_e4)}"


def global_config(item: Mapping[str, Any], ceilings: Ceilings) -> GlobalConfig:
    config = _validated(GlobalConfig, {k: v for k, v in item.items() if k != "key"}, "global_config")
    if config.max_total_exposure_e6 > ceilings.max_total_exposure_e6:
        limit = money_text(ceilings.max_total_exposure_e6)
        raise ConfigError(f"global_config: max_total_exposure exceeds the ceiling of ${limit}")
    return config


ItemKind = TypeVar("ItemKind", bound=_Item)


def _validated(kind: type[ItemKind], item: Mapping[str, Any], what: str) -> ItemKind:
    try:
        return kind.model_validate(
            {k.strip(): v for k, v in item.items() if k.strip() not in STATUS_ATTRIBUTES}
        )
    except ValidationError as error:
        where, problem = first_problem(error, kind)
        raise ConfigError(f"{what}: {where}{problem}") from error


class Settings(BaseModel):
    """The process environment, read once in `cli`. Unknown ``DORA_*`` names are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: Environment = "paper"
    kalshi_rest_url: str = ""
    kalshi_ws_url: str = ""
    kalshi_key_id: str = ""
    kalshi_private_key_path: Path | None = None
    kalshi_secret_id: str = ""
    kalshi_subaccount: int = Field(default=0, ge=0, le=63)
    table_prefix: str = ""
    state_dir: Path = Path(".dora")
    ceilings_path: Path | None = None
    feed: Literal["ws", "rest"] = "ws"

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_environment(cls, data: dict[str, Any]) -> dict[str, Any]:
        env = data.get("env", "paper")
        rest, ws = _HOSTS.get(env, ("", ""))
        filled = {"kalshi_rest_url": rest, "kalshi_ws_url": ws, "table_prefix": _PREFIXES.get(env, "")}
        return {**filled, **{k: v for k, v in data.items() if v != ""}}

    @model_validator(mode="after")
    def _tables_of_this_environment(self) -> Self:
        """Real and play money must never meet in one table."""
        others = {prefix for env, prefix in _PREFIXES.items() if env != self.env}
        named_live = self.table_prefix == _PREFIXES["live"] or "live" in self.table_prefix
        if self.table_prefix in others or named_live != (self.env == "live"):
            raise ValueError(
                f"DORA_TABLE_PREFIX {self.table_prefix!r} is not one of the environment {self.env}: "
                f"{_PREFIXES[self.env]}, or one of your own with 'live' in it for live and only for live"
            )
        return self

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        ours = {k for k in environ if k.startswith("DORA_")} - _RESERVED
        named = {k.removeprefix("DORA_").lower(): environ[k] for k in ours}
        unknown = sorted(set(named) - set(cls.model_fields))
        if unknown:
            raise ConfigError(f"unknown environment variable DORA_{unknown[0].upper()}; known: {_known(cls)}")
        try:
            return cls.model_validate(named)
        except ValidationError as error:
            where, problem = first_problem(error, cls)
            variable = f"DORA_{where.upper()}" if where else ""
            raise ConfigError(f"environment: {variable}{problem}") from error

    @property
    def order_prefix(self) -> str:
        """What the client order ids of this bot begin with; by it own orders are told from everybody else's."""
        return self.table_prefix.replace("_", "-")

    @property
    def signed_hosts(self) -> frozenset[str]:
        """Hosts that may see a signature: loopback for paper, the demo venue's own; in live only the ceilings name them."""
        if self.env == "live":
            return frozenset()
        return _hosts_of(self.env) or LOOPBACK

    def trusted_hosts(self, ceilings: Ceilings) -> frozenset[str]:
        """`signed_hosts`, or in live trading those of the ceilings file. Raises `ConfigError` for a demo host there."""
        if self.env != "live":
            return self.signed_hosts
        if not ceilings.hosts:
            raise ConfigError("the ceilings file names no [hosts]; live trading signs for no other")
        if strangers := sorted(frozenset(ceilings.hosts) & _hosts_of("demo")):
            raise ConfigError(f"the ceilings file names {strangers[0]}, a host of the demo venue")
        return frozenset(ceilings.hosts)

    def require_exchange(self) -> None:
        """Raises `ConfigError` unless there is an exchange to talk to (in live by TLS) and a key to sign with."""
        if not self.kalshi_rest_url or not self.kalshi_ws_url:
            raise ConfigError(
                "DORA_KALSHI_REST_URL and DORA_KALSHI_WS_URL are not set; "
                "start `dora paper-exchange` and use the addresses it prints, or `dora demo`"
            )
        if self.env == "live" and not (
            self.kalshi_rest_url.startswith("https://") and self.kalshi_ws_url.startswith("wss://")
        ):
            raise ConfigError("live trading needs https:// and wss:// addresses")
        has_file = bool(self.kalshi_key_id and self.kalshi_private_key_path)
        if has_file == bool(self.kalshi_secret_id):
            raise ConfigError(
                "set either DORA_KALSHI_KEY_ID with DORA_KALSHI_PRIVATE_KEY_PATH, or DORA_KALSHI_SECRET_ID"
            )


def _hosts_of(env: str) -> frozenset[str]:
    return frozenset(url.split("/")[2] for url in _HOSTS.get(env, ()))


def _known(kind: type[BaseModel]) -> str:
    return ", ".join(f"DORA_{name.upper()}" for name in sorted(kind.model_fields))
