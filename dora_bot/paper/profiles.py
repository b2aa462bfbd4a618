"""How (un)kind the exchange's network is: latency, lagging account reads, channels that overtake each other.

``real`` has the measured order round trip (p50 47 ms, p95 109 ms) split before and after application, account
reads that lie 0.4 to 1 s back, and a delay of its own for every frame of a channel. ``fast`` has none of it
and is for latency benchmarks. All draws come from seeded streams, one for each purpose.
"""

import math
import random
from dataclasses import dataclass

from dora_bot.errors import Usage

_Z95 = 1.6448536269514722
"""The standard normal's 95th percentile: turns (p50, p95) into a log-normal's sigma."""


@dataclass(frozen=True, slots=True)
class ProfileTerms:
    """The numbers behind a profile's name, all in ms; a pair is (low, high) of a uniform draw."""

    name: str
    round_trip_p50: float = 0.0
    round_trip_p95: float = 0.0
    before_share: tuple[float, float] = (0.0, 0.0)
    read_lag: tuple[int, int] = (0, 0)
    frame_delay: tuple[float, float] = (0.0, 0.0)


PROFILES = {
    terms.name: terms
    for terms in (
        ProfileTerms("fast"),
        ProfileTerms("real", 47.0, 109.0, (0.3, 0.7), (400, 1_000), (2.0, 30.0)),
    )
}

_LAG_HOLDS_MS = 1_000
"""The account reads' lag is redrawn this often: a replica falls behind and catches up, it does not jitter."""


class Profile:
    """The draws of one profile. Raises `Usage` for a name that is not one."""

    def __init__(self, name: str, seed: int) -> None:
        if name not in PROFILES:
            raise Usage(f"unknown profile {name!r}; there are: {', '.join(sorted(PROFILES))}")
        self.terms = PROFILES[name]
        self._http = random.Random(f"{seed}/http")
        self._lag = random.Random(f"{seed}/lag")
        self._frames = random.Random(f"{seed}/frames")
        self._lag_ms = self._draw_lag()
        self._lag_until_ms = 0

    def request_delays_s(self) -> tuple[float, float]:
        """Seconds to wait before and after a request is applied."""
        terms = self.terms
        if not terms.round_trip_p50:
            return 0.0, 0.0
        sigma = math.log(terms.round_trip_p95 / terms.round_trip_p50) / _Z95
        total = terms.round_trip_p50 * math.exp(self._http.gauss(0.0, sigma)) / 1_000
        share = self._http.uniform(*terms.before_share)
        return total * share, total * (1 - share)

    def read_lag_ms(self, now_ms: int) -> int:
        """How far account reads lie behind at this moment."""
        if now_ms >= self._lag_until_ms:
            self._lag_ms = self._draw_lag()
            self._lag_until_ms = now_ms + _LAG_HOLDS_MS
        return self._lag_ms

    def frame_delay_s(self) -> float:
        """How long the next frame of a channel takes to leave."""
        low, high = self.terms.frame_delay
        return self._frames.uniform(low, high) / 1_000 if high else 0.0

    def _draw_lag(self) -> int:
        low, high = self.terms.read_lag
        return self._lag.randint(low, high)
