"""Fuzz every reader for a while and say what it cost: `make fuzz SECONDS=60`, or a number of messages with ``--messages``.

One JSON line a target: messages, messages a second, and the growth of memory (MB) after the first tenth. It ends with the
first message that a target does not survive, which is written to ``fuzz-failure.bin``; ``--seed`` repeats a run.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzz.samples import FRAMES, ITEMS, REPLIES, spoilt
from tests.fuzz.targets import TARGETS, Conversation, check

SAMPLES = {"reply": REPLIES, "write_reply": REPLIES, "frame": FRAMES, "conversation": FRAMES, "item": ITEMS}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def feed(name: str, rng: Random, talk: Conversation) -> None:
    """One spoilt message to the target; frames of a conversation go to one session that never ends."""
    data = spoilt(rng.choice(SAMPLES[name]), rng)
    try:
        if name != "conversation":
            TARGETS[name](data)
            return
        for event in talk.session.receive(data, 0):
            check(event)
        talk.session.commands()
    except Exception:
        Path("fuzz-failure.bin").write_bytes(data)
        raise


def fuzz(name: str, seconds: float, messages: int, seed: int) -> dict[str, object]:
    rng, talk = Random(f"{name}/{seed}"), Conversation()
    began, done, warm_mb = time.monotonic(), 0, 0.0
    while (done < messages) if messages else (time.monotonic() - began < seconds):
        feed(name, rng, talk)
        done += 1
        share = done / messages if messages else (time.monotonic() - began) / seconds
        if not warm_mb and share >= 0.1:
            warm_mb = peak_mb()
    took = time.monotonic() - began
    return {
        "name": f"fuzz_{name}",
        "messages": done,
        "per_s": round(done / took),
        "rss_mb": round(peak_mb(), 1),
        "grown_mb": round(peak_mb() - warm_mb, 1),
        "seed": seed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    args = parser.parse_args()
    for name in args.targets:
        found = fuzz(name, args.seconds / len(args.targets), args.messages, args.seed)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
