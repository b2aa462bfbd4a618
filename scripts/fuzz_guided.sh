#!/usr/bin/env bash
# Fuzzing guided by coverage: each target of tests/fuzz for its share of FUZZ_S seconds, in a venv that has what .venv has and
# atheris besides. Ends with 1 at the first input that a target does not survive, which stays in fuzz-guided-*.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZ_S:=60}"

venv=.venv-fuzzing
stamp=$venv/.lock-stamp
current=$({ echo "$PWD"; cat requirements/dev.txt requirements/fuzzing.txt; } | cksum)
if [[ ! -f $stamp || $(<"$stamp") != "$current" ]]; then
    rm -rf "$venv"
    .venv/bin/python -m venv --without-pip "$venv"
    # Without wheels it would be built, which needs clang and its libFuzzer.
    .venv/bin/uv pip sync --quiet --only-binary atheris --python "$venv/bin/python" --require-hashes \
        requirements/dev.txt requirements/fuzzing.txt
    printf '%s\n' "$current" >"$stamp"
fi

read -ra targets <<<"${TARGETS:-reply write_reply frame conversation item}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in "${targets[@]}"; do
    log=$work/$target.log
    mkdir "$work/$target"
    if ! "$venv/bin/python" -m tests.fuzz.guided "$target" "$work/$target" -max_total_time=$((FUZZ_S / ${#targets[@]})) \
        -max_len=200000 -rss_limit_mb=512 -timeout=20 -print_final_stats=1 -artifact_prefix="fuzz-guided-$target-" \
        >"$log" 2>&1; then
        tail -n 40 "$log"
        exit 1
    fi
    awk -v name="$target" '
        /cov: / { for (at = 1; at < NF; at++) if ($at == "cov:") reached = $(at + 1) }
        /number_of_executed_units/ { messages = $2 }
        /average_exec_per_sec/ { speed = $2 }
        /peak_rss_mb/ { memory = $2 }
        END {
            printf "{\"name\": \"guided_%s\", \"messages\": %d, \"per_s\": %d, ", name, messages, speed
            printf "\"branches\": %d, \"rss_mb\": %d}\n", reached, memory
        }' "$log"
done
