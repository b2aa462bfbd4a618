#!/usr/bin/env bash
# The fault catalogue: every module of tests/faults in a process of its own, three at a time (JOBS=), because their bots
# mostly wait. Arguments go to pytest. RESULTS= names a file for the measurements.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

module() { # module LOGS FILE PYTEST-ARGUMENTS…
    local log="$1/$(basename "$2").log" code
    .venv/bin/python -m pytest -q "${@:2}" >"$log" 2>&1
    code=$?
    [[ $code -eq 5 ]] && return 0 # none of its tests was asked for
    cat "$log"
    return "$code"
}
export -f module

[[ -n ${RESULTS:-} ]] && set -- --fault-results "$RESULTS" "$@"
printf '%s\0' tests/faults/test_*.py |
    xargs -0 -P "${JOBS:-3}" -I{} bash -c 'module "$@"' module "$logs" {} "$@"
