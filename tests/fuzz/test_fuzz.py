"""Hostile bytes at every place where the bot reads what it did not write. `make fuzz` looks further."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dora_bot import config, kalshi_frames
from dora_bot import kalshi_replies as replies
from dora_bot import wire_values as values
from dora_bot.ceilings import Ceilings
from dora_bot.errors import ConfigError, WireError
from dora_bot.feed_session import FeedSession
from tests.fuzz import targets
from tests.fuzz.samples import FRAMES, ITEMS, NASTY, REPLIES, T, spoilt
from tests.fuzz.targets import NAME, TARGETS, Conversation

SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "reply": REPLIES,
    "write_reply": REPLIES,
    "frame": FRAMES,
    "conversation": FRAMES,
    "item": ITEMS,
}
SEEDS = st.integers(0, 2**32)
GENERATE = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller seed is no simpler message: nothing is gained by shrinking."""


def check_target(name: str, data: bytes) -> None:
    """Targets raise for what must not be."""
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@given(seed=SEEDS)
@settings(max_examples=100, deadline=None, phases=GENERATE)
def test_a_spoilt_message_is_read_or_refused_and_breaks_nothing(name: str, seed: int) -> None:
    rng = Random(seed)
    lines = [
        spoilt(rng.choice(SAMPLES[name]), rng)
        for _ in range(rng.randint(1, 8) if name == "conversation" else 1)
    ]
    check_target(name, b"\n".join(lines))


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=300))
@settings(max_examples=50, deadline=None, phases=GENERATE)
def test_arbitrary_bytes_break_nothing(name: str, data: bytes) -> None:
    check_target(name, data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_samples_are_what_the_readers_expect(name: str) -> None:
    """Fuzzing from samples that are refused at once would look at nothing."""
    for sample in SAMPLES[name]:
        TARGETS[name](json.dumps(sample).encode())
    if name == "reply":
        readable = [s for s in REPLIES for read in targets.READERS if _reads(read, json.dumps(s).encode())]
        assert len({json.dumps(s) for s in readable}) >= len(REPLIES) - 3


def _reads(read: Callable[[bytes], Any], body: bytes) -> bool:
    try:
        read(body)
    except WireError:
        return False
    return True


# ── no quote from a poisoned book ───────────────────────────────────────────────────────────────

HARMLESS = {
    "price_dollars": (),
    "delta_fp": ("0", "-0.00", "1.0000", "-1.00"),
    "side": ("yes", "no"),
    "market_ticker": tuple(n for n in NASTY if isinstance(n, str) and NAME.fullmatch(n) and ".." not in n),
}
"""Values that a sound frame may have there: nothing tells that somebody changed them, until the next audit."""
DAMAGED = [
    (name, value)
    for name, harmless in HARMLESS.items()
    for value in NASTY
    if not any(type(value) is type(h) and value == h for h in harmless)
]


@pytest.mark.parametrize(("name", "value"), DAMAGED, ids=lambda part: repr(part)[:30])
def test_nothing_is_quoted_on_a_book_that_lost_a_delta_to_damage(name: str, value: object) -> None:
    talk = Conversation()
    assert talk.quotes()[T].quotes
    talk.hear(json.dumps(talk.server.delta(T, **{name: value})).encode())
    assert not talk.quotes()[T].quotes
    talk.take(talk.server.serve())
    assert talk.quotes()["KXT-B"].reason  # the snapshots asked for came, and life goes on


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_nothing_is_quoted_after_a_frame_that_was_cut_off(cut: int) -> None:
    """It names no subscription any more; the next number shows that it is missing."""
    talk = Conversation()
    talk.hear(json.dumps(talk.server.delta(T)).encode()[:-cut])
    talk.hear(json.dumps(talk.server.delta("KXT-B")).encode())
    assert not any(decision.quotes for decision in talk.quotes().values())


# ── found by fuzzing ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "ticker", ["KX/A", "KX..A", "../A", "%s", "{}", "KX%n", "KX\x00A", "KX\n", "", "x" * 121]
)
def test_a_ticker_that_could_be_a_path_or_a_format_is_refused_at_the_border(ticker: str) -> None:
    with pytest.raises(WireError):
        values.ticker(ticker, "ticker")


def test_a_number_of_thousands_of_digits_is_a_wrong_item_and_not_a_crash() -> None:
    with pytest.raises(ConfigError, match="60 digits"):
        config.market_config({**ITEMS[0], "min_spread": "9" * 5_000}, Ceilings())


@pytest.mark.parametrize("field", ["seq", "sid", "sending_ts_ms"])
@pytest.mark.parametrize("number", [2**63, 10**400, -1])
def test_a_number_no_store_can_hold_is_refused_at_the_border(field: str, number: int) -> None:
    with pytest.raises(WireError):
        kalshi_frames.decode(json.dumps({**FRAMES[0], field: number}).encode())


def test_amounts_beyond_anything_real_are_refused() -> None:
    fill = json.loads(json.dumps(REPLIES[4]))
    fill["fills"][0]["fee_cost"] = "9" * 15
    with pytest.raises(WireError, match="larger than anything real"):
        replies.fills(json.dumps(fill).encode())


def test_the_kinds_that_are_counted_are_bounded_whatever_the_sender_calls_its_frames() -> None:
    session = FeedSession()
    for number in range(1_000):
        session.receive(json.dumps({"type": f"kind-{number}"}).encode(), 0)
        session.receive(json.dumps({"type": "error", "msg": {"code": number}}).encode(), 0)
    assert len(session.counts) <= 65
    assert sum(session.counts.values()) == 2_000
