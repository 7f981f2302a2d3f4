# What there is to do with this checkout; `make help` says it.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

BIN := .venv/bin
ROOT := $(filter 0,$(shell id -u))

# What runs on a node, in whatever its sh is; and what runs here.
NODE_SH = $(wildcard executor/*.sh executor/verbs/*.sh)
SCRIPTS = scripts/bootstrap scripts/demo .ci/run $(shell find tests -name '*.sh')

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## plan a move and make it, on two recorded nodes; needs nothing prepared
	@scripts/bootstrap run
	@scripts/demo

.PHONY: test
test: ## every check, and the tests but for the longest; as root on Debian installs what they need
	@scripts/bootstrap test
	@$(MAKE) --no-print-directory check
	@$(NOT_ROOT)
	$(PYTEST) --part some

.PHONY: test-rest
test-rest: ## the tests that `make test` leaves out (tests/tiers.py): the better part of an hour
	@scripts/bootstrap test
	@$(NOT_ROOT)
	$(PYTEST) --dist load --maxschedchunk 1 --part rest # some take ten minutes: they come first, each worker takes one at a time

PYTEST = $(if $(ROOT),VZPLAN_REQUIRE_SANDBOX=1) $(BIN)/python -m pytest -n auto --dist worksteal
NOT_ROOT = $(if $(ROOT),:,echo "not root: the tests in tests/sandbox are skipped; they make nodes by mount, loop devices and namespaces")

.PHONY: check
check: check-lint check-format check-types check-imports check-shell ## ruff, mypy, import-linter, shellcheck (`make -k check`: all, whichever fails)

.PHONY: check-lint check-format check-types check-imports check-shell
check-lint:
	$(BIN)/ruff check .

check-format:
	$(BIN)/ruff format --check .

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports

check-shell:
ifneq ($(ROOT)$(shell command -v shellcheck),)
	shellcheck --shell=sh $(NODE_SH)
	shellcheck $(SCRIPTS)
else
	@echo "check-shell: SKIPPED: shellcheck is not installed, and only root can install it: apt-get install shellcheck"
endif

.PHONY: bench
bench: ## how long things take, and how much memory; as root also on real nodes
	@scripts/bootstrap test
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench_exploration

.PHONY: figures
figures: ## measure what docs/figures.md promises, and write it there; an hour
	@scripts/bootstrap test
	@$(BIN)/python -m tests.figures

.PHONY: kernels
kernels: ## move containers between two guests of QEMU, with power cuts; makes what they boot from (as root), writes docs/kernels.md; an hour
	@scripts/bootstrap kernels
	VZPLAN_KERNELS=1 VZPLAN_KERNELS_REPORT=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/kernels

.PHONY: kernels-smoke
kernels-smoke: ## the same, one move and one power cut; minutes
	@scripts/bootstrap kernels
	VZPLAN_KERNELS=1 $(BIN)/python -m pytest -n 2 tests/kernels -m smoke

.PHONY: soak
soak: ## hours: a million steps of whatever may come between a run's commands, every pair of failures in every world, every point of every way on sandbox nodes
	@scripts/bootstrap test
	@$(BIN)/python -m tests.soak
	@$(NOT_ROOT)
	VZPLAN_SOAK=1 $(PYTEST) tests/sandbox tests/exhaustive/test_merging.py

# Every tenth mutant takes minutes on one core, all of them (EVERY=1) about an hour; FIRST=3 begins with another one.
EVERY = 10
FIRST = 0

.PHONY: mutation
mutation: ## change the source in one place at a time; does a test notice? (EVERY=10 FIRST=0: every tenth)
	@scripts/bootstrap test
	nice $(BIN)/python -m tests.mutation --every $(EVERY) --first $(FIRST)

.PHONY: sandbox
sandbox: ## start two nodes in namespaces of this machine (as root)
	@scripts/bootstrap test
	$(BIN)/python -m tests.sandbox up

.PHONY: sandbox-down
sandbox-down: ## stop them and take away what they left
	$(BIN)/python -m tests.sandbox down

.PHONY: fmt
fmt: ## format, and mend what ruff can mend by itself
	@scripts/bootstrap test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## remove the environment, caches and builds
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .mutation.json build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
