# Two commands need nothing before them: `make demo` and `make test`.
# ARGS passes options on: make demo ARGS="--seconds 30 --json"

.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs-check conformance bench fuzz fuzz-guided sim faults faults-short faults-page mutants mutants-random soak nightly kill-nine doctor mission audit sbom lock clean
SHELL := /bin/bash
BIN := .venv/bin
export PYTHON

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## create or refresh .venv from the hash-pinned locks (PYTHON= names the interpreter)
	@scripts/setup.sh

demo: setup  ## a paper exchange, a local AWS and the bot, watched live; no account, no network
	@$(BIN)/dora demo $(ARGS)

test: setup  ## everything CI runs that needs neither a browser nor node
	@scripts/test.sh $(ARGS)

check: setup  ## lint, format, types, architecture, house rules; not the tests again
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/house_check.py
	@$(BIN)/python scripts/docs_check.py --quick

docs-check: setup  ## run every console block of README and docs
	@$(BIN)/python scripts/docs_check.py $(ARGS)

conformance: setup  ## foreign Kalshi clients against the paper exchange (needs Python 3.13)
	@scripts/conformance.sh $(ARGS)

bench: setup  ## every figure as one JSON line; needs a quiet machine
	@for script in scripts/bench_*.py; do $(BIN)/python -m scripts.$$(basename $$script .py) || exit 1; done

SECONDS ?= 60
fuzz: setup  ## hostile messages to every reader of what the exchange and the tables say (SECONDS=, or FRAMES= to one session)
	@$(BIN)/python -m tests.fuzz.run $(if $(FRAMES),--messages $(FRAMES) conversation,--seconds $(SECONDS)) $(ARGS)

fuzz-guided: setup  ## the same readers by atheris, which looks for new branches (SECONDS=; Python 3.11 to 3.13 on x86_64)
	@FUZZ_S=$(SECONDS) scripts/fuzz_guided.sh

TICKS ?= 100000
SEED ?= 1
PROFILE ?= sweep
sim: setup  ## the whole bot in virtual time with faults (TICKS= SEED= PROFILE=clean|mild|rough|brutal|sweep)
	@$(BIN)/python -m tests.sim.run --ticks $(TICKS) --seed $(SEED) --profile $(PROFILE) $(ARGS)

FAULT_RESULTS := .pytest_cache/faults.jsonl
COVERED := dora_bot/main.py,dora_bot/execution.py,dora_bot/reconcile.py,dora_bot/risk_manager.py,dora_bot/risk_monitor.py
sim-coverage: setup  ## which branches of the trading core the simulation alone reaches; fails below 95 %
	@$(BIN)/coverage run --data-file=.pytest_cache/sim.coverage --branch --concurrency=greenlet --include=$(COVERED) \
	    -m tests.sim.run --ticks $(TICKS) --seed $(SEED) --jobs 1 $(ARGS)
	@$(BIN)/coverage report --data-file=.pytest_cache/sim.coverage --show-missing --fail-under=95

faults: setup  ## the process-level fault catalogue: real bots, injected faults, the bounds measured (~15 min)
	@mkdir -p .pytest_cache && rm -f $(FAULT_RESULTS) && touch $(FAULT_RESULTS)
	@RESULTS=$(FAULT_RESULTS) scripts/faults.sh $(ARGS); code=$$?; \
	    $(BIN)/python -m scripts.faults_report $(FAULT_RESULTS) && exit $$code

faults-short: setup  ## some of them, in two minutes; writes nothing
	@scripts/faults.sh -m short $(ARGS)

faults-page:  ## docs/faults.md anew from the tests' marks and the results of the last `make faults`
	@$(BIN)/python -m scripts.faults_report

mutants: setup  ## mistakes applied to the code one by one, each of which some test must notice
	@$(BIN)/python -m scripts.mutants $(ARGS)

mutants-random: setup  ## random changes of risk, execution, reconciliation, state and diff: 85 % must be noticed
	@scripts/random_mutants.sh $(ARGS)

MINUTES ?= 30
soak: setup  ## the bot on 48 markets for MINUTES= (30): memory, threads, descriptors and log stay bounded
	@$(BIN)/python -m scripts.soak --minutes $(MINUTES) $(ARGS)

nightly: setup  ## everything that takes hours: long simulation, all faults, all mutants, fuzzing, soak; into docs/faults.md
	@scripts/nightly.sh

kill-nine: setup  ## SIGKILL the quoting bot 20 times and audit it against the exchange each time
	@$(BIN)/python -m scripts.kill_nine $(ARGS)

doctor: setup  ## what is missing for `dora run`, and what to do about it
	@$(BIN)/dora doctor

mission: setup  ## run the tests and hold docs/mission.md against their results
	@mkdir -p .pytest_cache/reports && JUNIT=.pytest_cache/reports scripts/test.sh -q
	@$(BIN)/python scripts/mission.py .pytest_cache/reports/*.xml

audit: setup  ## ask for known vulnerabilities of every locked package (the registry is asked for each by name)
	@$(BIN)/pip-audit --requirement requirements/dev.txt --require-hashes --disable-pip --progress-spinner off $(ARGS)

SBOM ?= sbom.cdx.json
sbom: setup  ## the locked packages with their hashes as a CycloneDX list (SBOM=)
	@$(BIN)/cyclonedx-py requirements requirements/dev.txt --pyproject pyproject.toml --output-reproducible -o $(SBOM)

LOCK := $(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: setup  ## resolve the dependencies anew; the locks carry hashes and name no host
	@$(LOCK) --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	@$(LOCK) --python-version 3.11 pyproject.toml --extra local --group dev requirements/uv.in -o requirements/dev.txt
	@$(LOCK) --python-version 3.13 requirements/conformance.in -o requirements/conformance.txt
	@$(LOCK) --python-version 3.11 requirements/mutation.in -o requirements/mutation.txt
	@$(LOCK) --python-version 3.11 requirements/fuzzing.in -o requirements/fuzzing.txt

clean:  ## remove the environments and caches, not your .dora state
	rm -rf .venv .venv-conformance .venv-fuzzing .venv-mutation .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
