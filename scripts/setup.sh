#!/usr/bin/env bash
# Brings .venv to exactly what the hash-pinned locks say; returns at once when it is already there.
#
# pip, as every Python has it, installs only the pinned uv; uv then syncs everything else, hashes checked,
# and installs this project without network and without an isolated build (hatchling is in the lock).
# PYTHON names the interpreter to use; otherwise the first one that is new enough is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.lock-stamp
# Only what decides the environment is hashed, so that editing a lint rule does not reinstall anything.
current=$({ echo "$PWD"; cat requirements/uv.txt requirements/dev.txt scripts/setup.sh; sed '/^\[dependency-groups\]/q' pyproject.toml; } | cksum)
[[ -f $stamp && $(<"$stamp") == "$current" ]] && exit 0

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [[ ! -x .venv/bin/python ]] || ! is_new_enough .venv/bin/python; then
    interpreter=""
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
        if is_new_enough "$candidate"; then
            interpreter=$candidate
            break
        fi
    done
    if [[ -z $interpreter ]]; then
        echo "setup: no Python >= 3.11 found; install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
        exit 2
    fi
    echo "setup: creating .venv with $interpreter" >&2
    rm -rf .venv
    if ! "$interpreter" -m venv .venv; then
        rm -rf .venv
        echo "setup: $interpreter cannot create a venv; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 2
    fi
fi

echo "setup: installing the locked packages" >&2
rm -f "$stamp"
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/uv.txt
.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation --editable .
printf '%s\n' "$current" >"$stamp"
