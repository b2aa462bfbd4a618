"""One target fuzzed by atheris, which keeps what reaches new branches of the readers: `make fuzz-guided SECONDS=300`.

usage: guided TARGET CORPUS [libFuzzer options]; needs the environment of `scripts/fuzz_guided.sh`.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["dora_bot"], enable_loader_override=False):
    from tests.fuzz.run import SAMPLES
    from tests.fuzz.samples import spoilt
    from tests.fuzz.targets import TARGETS


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time a value of the message changed as the other fuzzing does it, else bytes as libFuzzer would."""
    rng = Random(seed)
    if rng.random() < 0.5:
        # What is no message any more has only its bytes.
        with suppress(ValueError, RecursionError):
            message = json.loads(data)
            if isinstance(message, dict | list):
                return spoilt(message, rng)[:max_size]
    return bytes(atheris.Mutate(data, max_size))


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    target, corpus, *options = sys.argv[1:]
    for number, sample in enumerate(SAMPLES[target]):
        Path(corpus, f"sample-{number}").write_text(json.dumps(sample))
    atheris.Setup([target, corpus, *options], TARGETS[target], custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
