"""`Ceilings`: the absolute limits of one machine, and whom it may sign for. No configuration item is above them.

In live trading they come from a file that only root can write (`ceilings_file`), so that neither a person in the
DynamoDB console nor a bot that was broken into can raise a limit or send a signature elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from dora_bot.errors import ConfigError
from dora_bot.fields import CountE2, MoneyE6, PriceE4, first_problem


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The defaults are those of paper trading."""

    max_contracts_per_market_e2: int = 100_000
    max_total_exposure_e6: int = 100_000_000_000
    max_markets: int = 2_000
    max_order_contracts_e2: int = 100_000
    max_order_notional_e6: int = 1_000_000_000
    """The most that one order can lose at worst: its price for a bid, one dollar less its price for an ask."""
    max_orders_per_market: int = 4
    """Two sides, each with at most one replacement while the old order is being cancelled."""
    max_orders: int = 8_000
    price_min_e4: int = 1
    price_max_e4: int = 9_999
    bankroll_e6: int | None = None
    """The most cash the account may hold when the bot starts: what is not there cannot be lost."""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By host the ids of the keys that are its own. If any is named, no other key is used."""
    ca_file: str = ""
    """Certificates that vouch for the hosts, instead of the usual ones."""
    source: str = field(default="paper defaults", compare=False)
    """The file and its hash, so that a log tells under which limits a bot traded."""


_Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.:-]+$", max_length=253)]
_KeyId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[!-~]+$")]


class _File(BaseModel):
    """The limits as people write them, in dollars and contracts. A limit that is missing is no limit: all are needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_contracts_per_market_e2: CountE2 = Field(alias="max_contracts_per_market", gt=0)
    max_total_exposure_e6: MoneyE6 = Field(alias="max_total_exposure", gt=0)
    max_markets: int = Field(gt=0)
    max_order_contracts_e2: CountE2 = Field(alias="max_order_contracts", gt=0)
    max_order_notional_e6: MoneyE6 = Field(alias="max_order_notional", gt=0)
    max_orders_per_market: int = Field(gt=0)
    max_orders: int = Field(gt=0)
    price_min_e4: PriceE4 = Field(alias="price_min", ge=1, le=9_999)
    price_max_e4: PriceE4 = Field(alias="price_max", ge=1, le=9_999)
    bankroll_e6: MoneyE6 = Field(alias="bankroll", gt=0)
    hosts: Mapping[_Host, tuple[_KeyId, ...]] = Field(default_factory=dict)
    ca_file: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.price_min_e4 >= self.price_max_e4:
            raise ValueError("price_min must be below price_max")
        if self.max_orders_per_market > self.max_orders:
            raise ValueError("max_orders_per_market is above max_orders")
        return self


def ceilings_from(raw: Mapping[str, Any], source: str) -> Ceilings:
    """The limits as a file writes them. Raises `ConfigError` for an unknown name, a missing limit or a bad value."""
    try:
        limits = _File.model_validate(raw)
    except ValidationError as error:
        where, problem = first_problem(error, _File)
        raise ConfigError(f"{where}{problem}") from error
    return Ceilings(**limits.model_dump(), source=source)
