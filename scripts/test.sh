#!/usr/bin/env bash
# The tests (`make test`): the whole bots, which mostly wait, beside everything else, which mostly computes. Arguments go to
# pytest; if they name tests, only those run. JUNIT=FOLDER leaves reports there.
set -uo pipefail
cd "$(dirname "$0")/.."
kept=$(mktemp)
bots=""
trap 'rm -f "$kept"; [[ -z $bots ]] || kill "$bots" 2>/dev/null' EXIT

run() { # run NAME ARGUMENT…
    .venv/bin/python -m pytest ${JUNIT:+"--junit-xml=$JUNIT/$1.xml"} "${@:2}"
    local code=$?
    # 5: no test was selected here, which is no failure of the other half.
    return $((code == 5 ? 0 : code))
}

for argument in "$@"; do
    if [[ -e ${argument%%::*} ]]; then
        run named "$@"
        exit
    fi
done
run whole-bots tests/e2e "$@" &>"$kept" &
bots=$!
run computing tests/unit tests/contract tests/fuzz tests/house tests/sim "$@"
code=$?
wait "$bots"
other=$?
bots=""
cat "$kept"
exit $((other > code ? other : code))
