#!/usr/bin/env bash
# Everything that takes too long for each change, one after the other; what it measured becomes part of docs/faults.md.
# TICKS, MINUTES, FUZZ_S and FUZZ_FRAMES shorten the simulation, the soak and the fuzzing. Ends with 1 if any part failed.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()

part() { # part NAME COMMAND…
    local name=$1 began=$SECONDS
    shift
    echo "──── $name"
    if "$@" </dev/null; then
        echo "──── $name: ok in $((SECONDS - began)) s"
    else
        echo "──── $name: FAILED after $((SECONDS - began)) s"
        failed+=("$name")
    fi
}

part "simulation" make sim TICKS="${TICKS:-1000000}" SEED="${SEED:-1}"
part "faults" make faults ARGS="-m 'nightly or not nightly'"
part "mutants" make mutants ARGS=--record
part "random mutants" make mutants-random ARGS=--record
part "fuzzing" make fuzz SECONDS="${FUZZ_S:-60}"
part "a million frames" make fuzz FRAMES="${FUZZ_FRAMES:-1000000}" ARGS=--record
part "fuzzing by coverage" make fuzz-guided SECONDS="${FUZZ_S:-60}"
part "kill -9" make kill-nine
part "soak" make soak MINUTES="${MINUTES:-30}"
make faults-page

if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'NIGHTLY FAILED: %s\n' "${failed[@]}"
    exit 1
fi
echo "nightly passed in $SECONDS s"
