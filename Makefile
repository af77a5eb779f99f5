# `make` lists the targets. Everything happens in .venv; nothing is installed outside it.
PYTHON ?= python3
RUN := .venv/bin
READY := .venv/.ready

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup test long audit faults faults-full bench bench-full bench-guard soak check format demo up up-cluster lock migration clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with exactly the pinned dependencies

# --no-deps: the lock lists every package, and older pips misread extras when they check hashes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "recall needs Python 3.11 or newer; try: make setup PYTHON=python3.11")'
	test -x $(RUN)/python || $(PYTHON) -m venv .venv
	$(RUN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(RUN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test: $(READY) ## all tests but the long ones; one file or a few: make test TESTS="tests/store -k gate"
	$(RUN)/pytest -n 2 --dist worksteal -m "not slow" $(TESTS)

long: $(READY) ## the tests that take long: whole real histories on the other store
	$(RUN)/pytest -n 2 --dist loadfile -m slow $(TESTS)

faults: $(READY) ## kills, drawn worlds, planted bugs: the promises in figures, in a few minutes
	PYTHONPATH=. $(RUN)/python -m tests.faults.campaign --size ci

faults-full: $(READY) ## the same as a release is measured with; takes hours
	PYTHONPATH=. $(RUN)/python -m tests.faults.campaign --size full

bench: $(READY) ## how fast, against what it could be: ratios, 30,000 to 300,000 people, in a quarter of an hour
	$(RUN)/python -m benchmarks.run --size small

bench-full: $(READY) ## the same with a million people; takes hours and 50 GB
	$(RUN)/python -m benchmarks.run --size full

bench-guard: $(READY) ## does the gate stay proportional, and an idle run free? counts work, not time; a minute
	$(RUN)/python -m benchmarks.guard

soak: $(READY) ## 200 virtual days on one store of each kind: does time or memory grow? half an hour
	$(RUN)/python -m benchmarks.soak --store sqlite --days 200
	$(RUN)/python -m benchmarks.soak --store postgresql --days 200 --prefect 20

check: $(READY) ## format, lint, types, the rules of the house
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/pytest -q tests/test_house.py

# In a place of its own: pip-audit is no dependency of ours. --strict, because a package it cannot ask about counts as
# sound otherwise. It asks PyPI itself, whatever index packages are installed from; without it, it ends with a traceback,
# of which only the last line tells anything.
audit: $(READY) ## known vulnerabilities of every pinned dependency; asks PyPI
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(RUN)/python -m venv "$$tools" \
	&& "$$tools/bin/pip" install --quiet pip-audit 2> "$$tools/said" \
	&& "$$tools/bin/pip-audit" --strict --no-deps --disable-pip --progress-spinner off -r requirements.lock 2> "$$tools/said" \
	&& echo "audit: no known vulnerability in any pinned dependency" \
	|| { tail -n 1 "$$tools/said" >&2; \
	     echo "audit: a vulnerability is listed above, or not every package could be asked about; nothing is proved" >&2; exit 1; }

format: $(READY) ## put code into the one format
	$(RUN)/ruff check --fix-only --quiet .
	$(RUN)/ruff format --quiet .

demo: $(READY) ## the main job on simulated people: find, send, wait, measure
	$(RUN)/recall demo

up: $(READY) ## Prefect server and worker on this machine
	$(RUN)/recall up

up-cluster: $(READY) ## the same as on several machines: PostgreSQL, a server with a password, three workers
	$(RUN)/recall up --cluster

# Universal: one lock for every Python from 3.11 on. No index, host or path in it: it installs from any registry.
LOCK := uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --quiet -o requirements.lock

lock: $(READY) ## upgrade every pinned dependency
	$(RUN)/$(LOCK) --upgrade

migration: $(READY) ## print what recall/store/schema has and the migrations lack
	$(RUN)/python -m recall.store.migrations.draft

clean: ## remove caches and .venv; data in var/ stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
