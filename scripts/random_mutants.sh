#!/usr/bin/env bash
# Random mutants of the modules that guard money, judged by our tests: scripts/random_mutants.py in a venv of its own,
# because the tool that knows how Python can be changed (cosmic-ray) brings much that nothing else here needs.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-mutation
stamp=$venv/.lock-stamp
current=$({ echo "$PWD"; cat requirements/mutation.txt; } | cksum)
if [[ ! -f $stamp || $(<"$stamp") != "$current" ]]; then
    rm -rf "$venv"
    .venv/bin/python -m venv --without-pip "$venv"
    .venv/bin/uv pip sync --quiet --python "$venv/bin/python" --require-hashes requirements/mutation.txt
    printf '%s\n' "$current" >"$stamp"
fi
exec "$venv/bin/python" -m scripts.random_mutants "$@"
