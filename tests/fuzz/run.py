"""Fuzz every reader for a while and say what it cost: `make fuzz SECONDS=60`, or `make fuzz FRAMES=1000000`.

One JSON line a target: messages, messages a second, and the memory (MB) after the first tenth and at the end. It ends with
the first message that a target does not survive, which is written to ``fuzz-failure.bin``; ``--seed`` repeats a run. With
``--messages`` it also ends badly where memory grew by more than `MOST_GROWN_MB` after the first tenth.
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from scripts.results import Section
from tests.fuzz.samples import FRAMES, ITEMS, REPLIES, spoilt
from tests.fuzz.targets import NOW, TARGETS, Conversation, check

SAMPLES = {"reply": REPLIES, "write_reply": REPLIES, "frame": FRAMES, "conversation": FRAMES, "item": ITEMS}
MOST_GROWN_MB = 10.0
ANSWER_EVERY = 10
REDIAL_EVERY = 200
"""Frames after which the exchange answers, and after which the connection is a new one: a session that waits for
ever would show nothing but how it waits.
"""


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


@dataclass
class Talk:
    """One session and one state that hear all the frames of a run. ``quoted`` counts those after which a quote was wished."""

    rng: Random
    heard: int = 0
    quoted: int = 0

    def __post_init__(self) -> None:
        self.live = Conversation()

    def hear(self, data: bytes) -> None:
        live = self.live
        for event in live.session.receive(data, NOW.mono_ms):
            check(event)
            live.state.apply(event, NOW)
        self.heard += 1
        self.quoted += any(decision.quotes for decision in live.quotes().values())
        if live.session.broken or self.heard % REDIAL_EVERY == 0:
            live.redial()
        elif self.heard % ANSWER_EVERY == 0:
            live.answer()

    def sample(self) -> dict[str, object]:
        """A frame for this moment: if it is numbered among the books' changes it has the next number."""
        frame = self.rng.choice(FRAMES)
        if "seq" not in frame or frame["sid"] != FRAMES[0]["sid"]:
            return frame
        sid = self.live.server.sids["orderbook_delta"]
        self.live.server.seq[sid] += 1
        return {**frame, "sid": sid, "seq": self.live.server.seq[sid]}


@dataclass(frozen=True, slots=True)
class Found:
    """What fuzzing one target cost; memory in MB."""

    name: str
    messages: int
    per_s: int
    warm_mb: float
    rss_mb: float
    quoted: int
    seed: int

    @property
    def grown_mb(self) -> float:
        return round(self.rss_mb - self.warm_mb, 1)


def feed(name: str, rng: Random, talk: Talk) -> None:
    """One spoilt message to the target; frames of a conversation go to one that never ends."""
    data = spoilt(talk.sample() if name == "conversation" else rng.choice(SAMPLES[name]), rng)
    try:
        if name == "conversation":
            talk.hear(data)
        else:
            TARGETS[name](data)
    except Exception:
        Path("fuzz-failure.bin").write_bytes(data)
        raise


def fuzz(name: str, seconds: float, messages: int, seed: int) -> Found:
    rng = Random(f"{name}/{seed}")
    talk = Talk(rng)
    began, done, warm_mb = time.monotonic(), 0, 0.0
    while (done < messages) if messages else (time.monotonic() - began < seconds):
        feed(name, rng, talk)
        done += 1
        share = done / messages if messages else (time.monotonic() - began) / seconds
        if not warm_mb and share >= 0.1:
            warm_mb = round(peak_mb(), 1)
    took = time.monotonic() - began
    return Found(name, done, round(done / took), warm_mb, round(peak_mb(), 1), talk.quoted, seed)


def record(found: list[Found]) -> None:
    columns = ("target", "messages", "per s", "MB after a tenth", "MB at the end", "with a quote wished")
    rows = [
        [str(part) for part in (f.name, f.messages, f.per_s, f.warm_mb, f.rss_mb, f.quoted)] for f in found
    ]
    text = f"No crash, no quote on a book that is not proven; memory may grow by {MOST_GROWN_MB:g} MB."
    command = f"make fuzz FRAMES={found[0].messages}"
    Section("Hostile frames", command, text, columns, rows, seed=found[0].seed).write("fuzzing")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="into docs/results")
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    args = parser.parse_args()
    found = []
    for name in args.targets:
        found.append(fuzz(name, args.seconds / len(args.targets), args.messages, args.seed))
        sys.stdout.write(json.dumps({**asdict(found[-1]), "grown_mb": found[-1].grown_mb}) + "\n")
        sys.stdout.flush()
    if args.record:
        record(found)
    grew = [f.name for f in found if args.messages and f.grown_mb > MOST_GROWN_MB]
    blind = [f.name for f in found if f.name == "conversation" and not f.quoted]
    for name, why in [(n, "memory grew too much") for n in grew] + [(n, "nothing was quoted") for n in blind]:
        sys.stderr.write(f"{name}: {why}\n")
    return 1 if grew or blind else 0


if __name__ == "__main__":
    raise SystemExit(main())
