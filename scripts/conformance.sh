#!/usr/bin/env bash
# Runs the foreign Kalshi clients against the paper exchange: tests/conformance, in a venv of their own.
#
# The official SDK needs Python 3.13, the project runs on 3.11; so the clients get .venv-conformance and are
# started as programs by the tests, which run in .venv. Without a Python 3.13 this says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
    local candidate
    for candidate in ${PYTHON313:-} python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

venv=.venv-conformance
stamp=$venv/.lock-stamp
current=$({ echo "$PWD"; cat requirements/conformance.txt; } | cksum)
if [[ ! -f $stamp || $(<"$stamp") != "$current" ]]; then
    interpreter=$(find_python)
    if [[ -z $interpreter ]]; then
        echo "conformance: SKIPPED, no Python 3.13 on this machine (name one with PYTHON313=/path/to/python3.13)"
        exit 0
    fi
    rm -rf "$venv"
    "$interpreter" -m venv --without-pip "$venv"
    .venv/bin/uv pip sync --quiet --python "$venv/bin/python" --require-hashes requirements/conformance.txt
    printf '%s\n' "$current" >"$stamp"
fi
CONFORMANCE_PYTHON=$PWD/$venv/bin/python exec .venv/bin/python -m pytest tests/conformance "$@"
