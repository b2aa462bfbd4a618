"""The demo's hand on the paper exchange's admin port, and the two things that go wrong in every demo.

Only the demo knows the admin token; the bot meets the pause and the early determination like any other client.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import requests

from dora_bot.errors import ExchangeUnreachable

_TIMEOUT_S: Final = 10

PAUSE_AT_S: Final = 15.0
PAUSE_FOR_S: Final = 4.0
DETERMINE_AT_S: Final = 25.0
SETTLE_AFTER_S: Final = 8.0
"""The exchange pays out this long after the determination: long enough to see the bot drop the market."""


class AdminPort:
    """What the demo asks of the exchange's operator side. Raises `ExchangeUnreachable`."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def truth(self) -> dict[str, Any]:
        """Open orders, positions, fills, cash and books of the bot's account in one consistent cut."""
        return self._call("GET", "/admin/v1/truth")

    def engine(self, action: str, **fields: object) -> dict[str, Any]:
        """One operator action, such as ``pause`` or ``determine``."""
        return self._call("POST", "/admin/v1/engine", {"action": action, **fields})

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            reply = self._session.request(method, self._url + path, json=body, timeout=_TIMEOUT_S)
            reply.raise_for_status()
            record: dict[str, Any] = reply.json() if reply.content else {}
        except (requests.RequestException, ValueError) as error:
            raise ExchangeUnreachable(f"the paper exchange's admin port {path}: {error}") from error
        return record


@dataclass
class Disturbances:
    """An unscheduled pause of one shard, and a held market that is determined without a close.

    `step` is called with the seconds since the bot started and returns what it just did, for the log.
    """

    admin: AdminPort
    shard: int
    seconds: float
    """How long the bot will trade: what would not fit in is left out."""
    determine: bool = True
    """False for tapes: a recorded market ends as it was recorded."""
    _paused: bool = field(default=False, init=False)
    _resumed: bool = field(default=False, init=False)
    _determined: tuple[str, float] | None = field(default=None, init=False)
    _settled: bool = field(default=False, init=False)

    def step(self, elapsed_s: float) -> str:
        """Do what is due. A refused action is news too: the market may have ended by itself."""
        try:
            return self._step(elapsed_s)
        except ExchangeUnreachable as error:
            return str(error)

    def _step(self, elapsed_s: float) -> str:
        if not self._paused and elapsed_s >= PAUSE_AT_S and self.seconds > PAUSE_AT_S + 2 * PAUSE_FOR_S:
            self._paused = True
            self.admin.engine("pause", shard=self.shard, on=True)
            return f"the exchange pauses trading on shard {self.shard}, unannounced"
        if self._paused and not self._resumed and elapsed_s >= PAUSE_AT_S + PAUSE_FOR_S:
            return self._resume()
        fits = DETERMINE_AT_S <= elapsed_s < self.seconds - 2 * SETTLE_AFTER_S
        if self.determine and self._determined is None and fits:
            return self._determine_a_held_market(elapsed_s)
        if self._determined and not self._settled and elapsed_s >= self._determined[1] + SETTLE_AFTER_S:
            self._settled = True
            self.admin.engine("settle", ticker=self._determined[0])
            return f"{self._determined[0]} is paid out"
        return ""

    def finish(self) -> None:
        """Leave no pause behind: the bot's last cancels and the report need a working exchange."""
        if self._paused and not self._resumed:
            self._resume()

    def _resume(self) -> str:
        self._resumed = True
        self.admin.engine("pause", shard=self.shard, on=False)
        return f"trading on shard {self.shard} goes on"

    def _determine_a_held_market(self, elapsed_s: float) -> str:
        ticker = largest_position(self.admin.truth()["positions"])
        if not ticker:
            return ""
        self._determined = (ticker, elapsed_s)
        self.admin.engine("determine", ticker=ticker, result="yes")
        return f"{ticker} is determined early (yes) while the bot holds it"


def largest_position(positions: Mapping[str, str]) -> str:
    """The ticker held most, either way; empty if nothing is held."""
    held = {ticker: abs(float(count)) for ticker, count in positions.items() if float(count) != 0}
    return max(sorted(held), key=held.__getitem__, default="")
