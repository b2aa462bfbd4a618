"""Latent values: what a synthetic market is really worth, as a probability that only the informed see at once.

Both kinds are exact martingales for any sequence of observation times, so no trader can profit from the
values themselves, and both agree with the settlement at 0 or 1 by construction:

* `Threshold`: "X above K at T". p = Φ(z), and every stretch of time reveals its share of the remaining
  variance, faster and faster towards the close (15-minute price markets); the settlement reveals the rest.
* `Posterior`: mutually exclusive outcomes. The truth is drawn first, evidence about it trickles in, and the
  values are Bayes' rule on that evidence: they sum to one, whatever happens (events; a single yes/no market is
  an event of two outcomes of which one is listed).

News is a jump of the information clock: much evidence at one instant. Values are floats on purpose: they are
beliefs, not money.
"""

from math import erf, exp, sqrt
from random import Random
from typing import Protocol

_SQRT2 = sqrt(2.0)


class Latent(Protocol):
    """The value process of one event; ``index`` names the outcome, times are ms and never go back."""

    def advance(self, now_ms: int) -> None: ...

    def jump(self, strength: float) -> None: ...

    def fair(self, index: int) -> float: ...

    def settle(self) -> int: ...


class Threshold:
    """One market on a Brownian level being above its strike at ``close_ms``; index is always 0.

    ``visible`` is the exponent with which the unknown variance shrinks with the time left: at 1 everything
    is known at the close, below 1 the last observation leaves something to the settlement.
    """

    def __init__(self, rng: Random, *, start_ms: int, close_ms: int, visible: float) -> None:
        self._rng = rng
        self._now_ms = start_ms
        self._close_ms = close_ms
        self._visible = visible
        self._z = 0.0

    def advance(self, now_ms: int) -> None:
        """Let time pass: what was unknown shrinks with the time left. Nothing moves in the last second."""
        now_ms = min(now_ms, self._close_ms - 1_000)
        if now_ms <= self._now_ms:
            return
        left = (self._close_ms - now_ms) / (self._close_ms - self._now_ms)
        self._now_ms = now_ms
        self._reveal(1.0 - left**self._visible)

    def jump(self, strength: float) -> None:
        """Reveal the share ``strength`` in (0, 1) of the remaining variance at once."""
        self._reveal(strength)

    def _reveal(self, share: float) -> None:
        self._z = (self._z + sqrt(share) * self._rng.gauss(0.0, 1.0)) / sqrt(1.0 - share)

    def fair(self, index: int) -> float:
        """P(yes) now; ``index`` is 0, the only market there is."""
        assert index == 0, "a threshold event lists one market"
        return 0.5 * (1.0 + erf(self._z / _SQRT2))

    def settle(self) -> int:
        """The outcome that came true: 0 (yes) or 1 (no), drawn from the last value."""
        return 0 if self._rng.random() < self.fair(0) else 1


class Posterior:
    """Beliefs about exclusive, exhaustive outcomes under Gaussian evidence.

    ``rate`` is evidence per ms: over dt each outcome's log-belief moves by √(rate·dt) at random, and the true
    one drifts up by rate·dt, which makes the normalised beliefs a martingale.
    """

    def __init__(self, rng: Random, prior: tuple[float, ...], *, start_ms: int, rate: float) -> None:
        self._rng = rng
        self._now_ms = start_ms
        self._rate = rate
        self._weights = [p / sum(prior) for p in prior]
        self._truth = rng.choices(range(len(prior)), weights=self._weights)[0]

    def advance(self, now_ms: int) -> None:
        """Let time pass: evidence in proportion to it comes in."""
        if now_ms > self._now_ms:
            self._learn(self._rate * (now_ms - self._now_ms))
            self._now_ms = now_ms

    def jump(self, strength: float) -> None:
        """News: the evidence ``strength`` (variance of each log-belief) at one instant."""
        self._learn(strength)

    def _learn(self, evidence: float) -> None:
        spread = sqrt(evidence)
        gauss = self._rng.gauss
        weights = [w * exp(spread * gauss(0.0, 1.0)) for w in self._weights]
        weights[self._truth] *= exp(evidence)
        total = sum(weights)
        self._weights = [max(w / total, 1e-12) for w in weights]

    def fair(self, index: int) -> float:
        """P(outcome ``index`` is the truth) given everything revealed so far."""
        return self._weights[index]

    def settle(self) -> int:
        """The outcome that was true all along."""
        return self._truth
