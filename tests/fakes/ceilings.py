"""Ceilings files as an operator writes them."""

from collections.abc import Mapping
from pathlib import Path

LIMITS = """\
max_contracts_per_market = 12.5
max_total_exposure = 3_000
max_markets = 4
max_order_contracts = 10
max_order_notional = 8
max_orders_per_market = 4
max_orders = 12
price_min = 0.05
price_max = 0.95
bankroll = 1_000_000
"""


def write_ceilings(path: Path, text: str = LIMITS, *, hosts: Mapping[str, list[str]] | None = None) -> Path:
    """The file, writable by its owner alone whatever the umask; ``hosts`` are appended as their table."""
    named = "".join(f'"{host}" = {keys}\n' for host, keys in (hosts or {}).items())
    path.write_text(f"{text}\n[hosts]\n{named}" if named else text)
    path.chmod(0o644)
    return path
