#!/usr/bin/env bash
# The tests (`make test`): what computes goes over all cores, then come the whole bots one after the other, whose answers
# are timed. Arguments go to pytest; if they name tests, only those run. JUNIT=FOLDER leaves reports there.
set -uo pipefail
cd "$(dirname "$0")/.."
worst=0

run() { # run NAME ARGUMENT…
    .venv/bin/python -m pytest ${JUNIT:+"--junit-xml=$JUNIT/$1.xml"} "${@:2}"
    local code=$?
    # 5: no test was selected here, which is no failure of the other half.
    if ((code != 5 && code > worst)); then worst=$code; fi
}

for argument in "$@"; do
    if [[ -e ${argument%%::*} ]]; then
        run named "$@"
        exit "$worst"
    fi
done
run computing --numprocesses auto --dist loadfile --ignore tests/e2e "$@"
run whole-bots tests/e2e "$@"
exit "$worst"
