# Everything a person does with this checkout. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?=
VENV ?= .venv
BIN = $(VENV)/bin
# Two workers: measured on two cores, with a file's tests kept together so that a framework is imported once.
WORKERS ?= 2
PYTEST_ARGS ?=
MUTATIONS ?= 10000
# Of the storage benchmark: short, formats, all (an hour or two, and 20 GB of disk) or names; the seed that trains them.
SERIES ?= short
# The one that is pushed and cloned: 1 GB a version; training it takes 6 minutes and 5 GB of memory, measuring a quarter of an hour.
REMOTE ?= gpt-1gb-bf16
SEED ?= 1

export VENV PYTHON

.PHONY: help demo test test-slow lint format fuzz bench pictures dev env-demo env-test env-dev compiler clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: env-demo ## see it work: trains, saves, branches, rolls back … in ./lepton-demo (set DEMO=FOLDER for another)
	@$(BIN)/lepton demo $(DEMO)

test: env-test ## install what the tests need, then run all of them (linters too)
	@tools/system-packages.sh git strace mariadbd kubectl systemd-analyze
	@tools/run-tests.sh -n $(WORKERS) --dist loadfile -m "not slow" $(PYTEST_ARGS)

test-slow: env-test ## the long tests: a thousand killed saves, long histories, a built wheel
	@tools/system-packages.sh git strace mariadbd radosgw ceph-mon ceph-osd nginx caddy buildah mmdebstrap git-lfs
	@tools/azurite.sh
	@tools/import-sources.sh
	@tools/run-tests.sh -m slow $(PYTEST_ARGS)

lint: env-test ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env-test ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fuzz: env-test ## 10,000 lies for every reader and the kernel (MUTATIONS=N), with the branch coverage reached
	$(BIN)/python tools/fuzz.py --mutations $(MUTATIONS)
	$(BIN)/python tools/fuzz_kernel.py --mutations $(MUTATIONS)

bench: env-test ## every benchmark, the storage of other tools too (SERIES=short|formats|all|NAMES, SEED=N)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
	@PYTHON=$(abspath $(BIN))/python benchmarks/storage/install-peers.sh
	$(BIN)/python benchmarks/storage/run.py --seed $(SEED) --only $(SERIES) $(if $(filter all,$(SERIES)),--docs docs/benchmarks.md)
	$(BIN)/python benchmarks/storage/loading.py --series build/storage/series-$(SEED)
	build/storage/peers/series/bin/python benchmarks/storage/build.py --seed $(SEED) --out build/storage/series-$(SEED) --only $(REMOTE)
	PYTHONPATH=benchmarks/storage $(BIN)/python benchmarks/remote/run.py --series build/storage/series-$(SEED)/$(REMOTE) --docs docs/benchmarks-remote.md
	$(BIN)/python benchmarks/diff/two_layers.py
	$(BIN)/python -m benchmarks.catalog.run --docs docs/scale.md
	$(BIN)/python -m benchmarks.merge.memory
	MERGEKIT_PYTHON=$$(PYTHON=$(abspath $(BIN))/python benchmarks/merge/install-mergekit.sh) $(BIN)/python benchmarks/merge/run.py

pictures: env-demo ## draw docs/images again, from the running product
	$(BIN)/python tools/draw_journey.py
	$(BIN)/python tools/draw_terminal.py

dev: env-dev ## everything above, and the hooks that run before a commit
	$(BIN)/pre-commit install

env-demo env-test env-dev: env-%:
	@tools/environment.sh $*

env-test env-dev: | compiler

compiler: # for the codec's kernel: tests are to meet it, but nobody needs one to use the package
	@tools/system-packages.sh cc

clean: ## remove the environment and everything that was built
	rm -f src/lepton_ai/store/codecs/native/tiles.so
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
