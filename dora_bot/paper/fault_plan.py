"""Faults by seed: every operation has a stable key, and the seed and the key decide alone what happens there.

A key is ``op/subject/n/kind``, as in ``create/KXA-1-ONE.bid/3/http.drop_reply``: the third create of a bid in
that market. Since nothing else enters the draw, a fault taken out of a plan moves no other one, and the keys
that struck, posted back as ``replay``, strike again.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dora_bot.paper.fault_kinds import AFTER, BEFORE, KINDS, FaultRefused

Choice = tuple[Any, ...]

_PHASES = (BEFORE, AFTER)
SAMPLES: Mapping[str, Mapping[str, Choice | range]] = {
    "http.delay": {"phase": _PHASES, "ms": range(50, 3_000)},
    "http.hold_request": {"ms": range(500, 8_000)},
    "http.drop_reply": {"phase": _PHASES, "how": ("reset", "fin", "hang")},
    "http.status": {"phase": _PHASES, "code": (500, 502, 503, 504), "shape": ("nested", "html", "empty")},
    "http.body": {"how": ("truncate", "garbage", "wrong_object", "wrong_length")},
    "rate.deny": {},
    "read.omit": {"newest": range(1, 4)},
    "read.page": {"how": ("loop", "shift", "duplicate", "cut", "garbage")},
    "read.as_of": {"offset_ms": range(-3_000, 0)},
    "ws.drop": {"n": range(1, 4), "seq": ("spent",)},
    "ws.dup": {"n": range(1, 3)},
    "ws.reorder": {"window": range(2, 5)},
    "ws.delay": {"ms": range(20, 4_000)},
    "ws.gap": {"n": range(1, 4)},
    "ws.close": {"code": (1001, 1006, 1011)},
    "ws.terminal": {"code": (10, 25)},
    "ws.refuse": {"status": (401, 502, 503)},
    "ws.frame": {"how": ("bad_json", "nan", "unknown_type", "negative_size")},
    "eng.fill_on_cancel": {"share": (0.5, 1.0)},
    "eng.fill_on_amend": {"share": (0.5, 1.0)},
    "eng.fill_before_reply": {"share": (0.5, 1.0)},
    "eng.cancel_survivor": {"n": range(1, 3)},
    "eng.post_only_ghost": {"ms": range(3_000)},
    "eng.batch_part": {"n": range(3)},
    "eng.amend_other": {},
    "eng.reduced_by_wrong": {},
    "flow.cancel_chaser": {},
    "drift.extra": {"field": ("unheard_of",), "value": ("x",)},
}
"""What a plan may do, with what parameters: one of a tuple, or a whole number of a range."""

_MILD = {
    "http.delay": 0.01,
    "http.status": 0.002,
    "http.drop_reply": 0.002,
    "ws.gap": 0.0005,
    "ws.close": 0.0001,
    "eng.fill_on_cancel": 0.01,
}
_ROUGH = {
    **{kind: 5 * rate for kind, rate in _MILD.items()},
    "http.hold_request": 0.005,
    "http.body": 0.01,
    "rate.deny": 0.02,
    "read.omit": 0.01,
    "ws.delay": 0.005,
    "ws.dup": 0.002,
    "ws.reorder": 0.002,
    "eng.fill_before_reply": 0.02,
    "eng.reduced_by_wrong": 0.01,
}
PLAN_PROFILES: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "mild": _MILD,
    "rough": _ROUGH,
    "brutal": {kind: 0.002 if kind.startswith("ws.") else 0.05 for kind in SAMPLES},
}


@dataclass(slots=True)
class Plan:
    """A seed with rates by kind; with ``replay`` exactly these keys strike instead, for the same seed."""

    seed: int
    profile: str
    rates: Mapping[str, float]
    duration_s: float | None = None
    replay: frozenset[str] | None = None
    started_ms: int = 0
    struck: dict[str, dict[str, Any]] = field(default_factory=dict)

    def strike(
        self, kind: str, operation_keys: Iterable[str], phase: str | None, now_ms: int
    ) -> Mapping[str, Any] | None:
        """The parameters with which this kind strikes the operation in this phase, if it does."""
        rate = self.rates.get(kind, 0.0)
        if (not rate and self.replay is None) or kind not in SAMPLES or self._over(now_ms):
            return None
        for operation_key in operation_keys:
            key = f"{operation_key}/{kind}"
            draw = random.Random(f"{self.seed}/{key}")
            strikes = draw.random() < rate
            if strikes if self.replay is None else key in self.replay:
                params = _sample(kind, draw)
                if phase is None or params.get("phase", BEFORE) == phase:
                    self.struck[key] = params
                    return params
        return None

    def _over(self, now_ms: int) -> bool:
        return self.duration_s is not None and now_ms - self.started_ms > self.duration_s * 1_000

    def body(self) -> dict[str, Any]:
        """The plan and what it has done so far; posted back with ``keys`` as ``replay`` it does it again."""
        return {
            "seed": self.seed,
            "profile": self.profile,
            "rates": dict(self.rates),
            "duration_s": self.duration_s,
            "replay": None if self.replay is None else sorted(self.replay),
            "keys": list(self.struck),
            "params": dict(self.struck),
        }


def _sample(kind: str, draw: random.Random) -> dict[str, Any]:
    return {name: draw.choice(values) for name, values in SAMPLES[kind].items()}


def _rates(given: object) -> dict[str, float]:
    """Rates by kind; ``http.*`` stands for all those of a family, ``*`` for all that a plan may hold."""
    if not isinstance(given, dict) or not all(isinstance(rate, int | float) for rate in given.values()):
        raise FaultRefused("rates is an object of kinds and chances")
    rates: dict[str, float] = {}
    for pattern, rate in given.items():
        meant = [kind for kind in SAMPLES if fnmatchcase(kind, pattern)]
        if not meant:
            known = "can only be armed one by one" if pattern in KINDS else "is not a kind"
            raise FaultRefused(f"{pattern} {known}; a plan may hold: {', '.join(SAMPLES)}")
        rates |= dict.fromkeys(meant, float(rate))
    return rates


def make_plan(request: Mapping[str, Any], now_ms: int) -> Plan:
    """A plan from ``{"seed","profile"?,"rates"?,"duration_s"?,"replay"?}``. Raises `FaultRefused`."""
    strange = set(request) - {"seed", "profile", "rates", "duration_s", "replay", "keys", "params"}
    if strange or not isinstance(request.get("seed"), int):
        raise FaultRefused("a plan is seed (whole), profile, rates, duration_s, replay")
    profile = request.get("profile", "none")
    if profile not in PLAN_PROFILES:
        raise FaultRefused(f"profile is one of: {', '.join(PLAN_PROFILES)}")
    rates = {**PLAN_PROFILES[profile], **_rates(request.get("rates") or {})}
    replay = request.get("replay")
    if replay is not None and not (isinstance(replay, list) and all(isinstance(key, str) for key in replay)):
        raise FaultRefused("replay is a list of keys")
    return Plan(
        request["seed"],
        profile,
        rates,
        None if request.get("duration_s") is None else float(request["duration_s"]),
        None if replay is None else frozenset(replay),
        now_ms,
    )
