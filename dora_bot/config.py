"""Everything people can set: `Settings` from the environment, `MarketConfig` and `GlobalConfig` from DynamoDB.

All are validated and bounded; a wrong value is a `ConfigError` that names the field, never a default.
Money and counts are converted to integers once, here. Unknown attributes of an item are refused, except
the bot's own answers to the editor, so that a misspelt parameter cannot be silently ignored.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dora_bot.errors import ConfigError
from dora_bot.hosts import LOOPBACK

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


def _fixed(places: int) -> BeforeValidator:
    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError("must be a number")  # noqa: TRY004  (pydantic turns ValueError into a field error)
        try:
            scaled = Decimal(str(value).strip()).scaleb(places)
        except InvalidOperation as error:
            raise ValueError(f"{value!r} is not a number") from error
        if not scaled.is_finite():
            raise ValueError(f"{value!r} is not a finite number")
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{value!r} has more than {places} decimals")
        return int(scaled)

    return BeforeValidator(convert)


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _truth(value: object) -> object:
    """Console editors write booleans as strings; only the two spellings they produce are taken."""
    text = value.strip().lower() if isinstance(value, str) else value
    return {"true": True, "false": False}.get(text, value) if isinstance(text, str) else value


PriceE4 = Annotated[int, _fixed(4)]
CountE2 = Annotated[int, _fixed(2)]
MoneyE6 = Annotated[int, _fixed(6)]
Flag = Annotated[bool, BeforeValidator(_truth), Field(strict=True)]
Word = Annotated[str, BeforeValidator(_stripped)]
Number = Annotated[
    float,
    BeforeValidator(lambda v: float(v) if isinstance(v, Decimal | str) else v),
    Field(allow_inf_nan=False),
]


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
    trading_enabled: Flag


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Absolute limits no config item may exceed, from a root-owned file in live trading."""

    max_contracts_per_market_e2: int = 100_000
    max_total_exposure_e6: int = 100_000_000_000
    max_markets: int = 2_000
    source: str = field(default="paper defaults", compare=False)
    """The file and its hash, so that a log tells under which limits a bot traded."""


_LIMITS = frozenset({"max_contracts_per_market", "max_total_exposure", "max_markets"})


def market_config(item: Mapping[str, Any], ceilings: Ceilings) -> MarketConfig:
    """Validate one (already inherited) item. Raises `ConfigError` naming the attribute and the remedy."""
    config = _validated(MarketConfig, item, f"market {item.get('market_id', '?')}")
    cap = ceilings.max_contracts_per_market_e2
    for name in ("max_inventory_yes", "max_inventory_no"):
        if getattr(config, f"{name}_e2") > cap:
            raise ConfigError(
                f"market {config.market_id}: {name} exceeds the ceiling of {cap // 100} contracts"
            )
    return config


def global_config(item: Mapping[str, Any], ceilings: Ceilings) -> GlobalConfig:
    config = _validated(GlobalConfig, {k: v for k, v in item.items() if k != "key"}, "global_config")
    if config.max_total_exposure_e6 > ceilings.max_total_exposure_e6:
        limit = ceilings.max_total_exposure_e6 // 1_000_000
        raise ConfigError(f"global_config: max_total_exposure exceeds the ceiling of ${limit}")
    return config


ItemKind = TypeVar("ItemKind", bound=_Item)


def _validated(kind: type[ItemKind], item: Mapping[str, Any], what: str) -> ItemKind:
    try:
        return kind.model_validate(
            {k.strip(): v for k, v in item.items() if k.strip() not in STATUS_ATTRIBUTES}
        )
    except ValidationError as error:
        where, problem = _first_problem(error, kind)
        raise ConfigError(f"{what}: {where}{problem}") from error


_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def decimals(field_name: str) -> int:
    """The decimals that a field's integer carries: 4 for ``min_spread_e4``, 0 for one without a suffix."""
    return {"_e2": 2, "_e4": 4, "_e6": 6}.get(field_name[-3:], 0)


def _first_problem(error: ValidationError, kind: type[BaseModel]) -> tuple[str, str]:
    """The attribute (empty if it is none in particular) and what is wrong with it, in the units people write."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return where, " is missing"
    if first["type"] == "extra_forbidden":
        return where, " is not a known attribute"
    if first["type"] in _BOUNDS:
        key, words = _BOUNDS[first["type"]]
        names = (name for name, info in kind.model_fields.items() if where in (name, info.alias))
        places = decimals(next(names, where))
        bound, given = (_written(value, places) for value in (first["ctx"][key], first["input"]))
        return where, f" must be {words} {bound} (got {given})"
    text = first["msg"].removeprefix("Value error, ")
    return where, f": {text} (got {first['input']!r:.60})" if where else text


def _written(value: object, places: int) -> str:
    return f"{Decimal(str(value)).scaleb(-places).normalize():f}"


class Settings(BaseModel):
    """The process environment, read once in `cli`. Unknown ``DORA_*`` names are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: Environment = "paper"
    kalshi_rest_url: str = ""
    kalshi_ws_url: str = ""
    kalshi_key_id: str = ""
    kalshi_private_key_path: Path | None = None
    kalshi_secret_id: str = ""
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
            where, problem = _first_problem(error, cls)
            raise ConfigError(f"environment: DORA_{where.upper()}{problem}") from error

    @property
    def order_prefix(self) -> str:
        """What the client order ids of this bot begin with; by it own orders are told from everybody else's."""
        return self.table_prefix.replace("_", "-")

    @property
    def signed_hosts(self) -> frozenset[str]:
        """Hosts that may see a signature: loopback for paper, the environment's own hosts otherwise."""
        return frozenset(url.split("/")[2] for url in _HOSTS.get(self.env, ())) or LOOPBACK

    def require_exchange(self) -> None:
        """Raises `ConfigError` unless there is an exchange to talk to and a key to sign with."""
        if not self.kalshi_rest_url or not self.kalshi_ws_url:
            raise ConfigError(
                "DORA_KALSHI_REST_URL and DORA_KALSHI_WS_URL are not set; "
                "start `dora paper-exchange` and use the addresses it prints, or `dora demo`"
            )
        has_file = bool(self.kalshi_key_id and self.kalshi_private_key_path)
        if has_file == bool(self.kalshi_secret_id):
            raise ConfigError(
                "set either DORA_KALSHI_KEY_ID with DORA_KALSHI_PRIVATE_KEY_PATH, or DORA_KALSHI_SECRET_ID"
            )

    def ceilings(self) -> Ceilings:
        """The limits file, or the paper defaults. Raises `ConfigError`; live without a file is refused."""
        if self.ceilings_path is None:
            if self.env == "live":
                raise ConfigError("DORA_CEILINGS_PATH is required for live trading")
            return Ceilings()
        try:
            content = self.ceilings_path.read_bytes()
            raw = tomllib.loads(content.decode())
            if unknown := sorted(raw.keys() - _LIMITS):
                raise ConfigError(
                    f"ceilings file {self.ceilings_path}: {unknown[0]} is not a known limit; "
                    f"known: {', '.join(sorted(_LIMITS))}"
                )
            return Ceilings(
                max_contracts_per_market_e2=int(Decimal(str(raw["max_contracts_per_market"])) * 100),
                max_total_exposure_e6=int(Decimal(str(raw["max_total_exposure"])) * 1_000_000),
                max_markets=int(raw["max_markets"]),
                source=f"{self.ceilings_path} sha256 {hashlib.sha256(content).hexdigest()}",
            )
        except OSError as error:
            raise ConfigError(f"ceilings file {self.ceilings_path}: {error.strerror}") from error
        except KeyError as error:
            raise ConfigError(f"ceilings file {self.ceilings_path}: {error.args[0]} is missing") from error
        except (tomllib.TOMLDecodeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"ceilings file {self.ceilings_path}: {error}") from error


def _known(kind: type[BaseModel]) -> str:
    return ", ".join(f"DORA_{name.upper()}" for name in sorted(kind.model_fields))
