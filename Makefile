# Regraft: every habit of this repository is a target here. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PEERS := .venv-peers
PORT ?= 8080
CHAOS_SECONDS ?= 600
CHAOS_SEED ?= 1
CHAOS_DB ?= sqlite
CHAOS_REAL ?= 0
FUZZ_SECONDS ?= 300
FUZZ_SEED ?= 1
TEST_PROCESSES ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN := $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: audit bench bench-peers bench-control bench-quality bench-serving fuzz help install install-dev demo up test lint types unit chaos chaos-full lock openapi migration clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first, on its own: torch and torchvision must come as the one pair that was tested.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt torch torchvision
	$(PIP) install -q -c constraints.txt -e '.[server,serve,worker]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e '.[server,serve,worker,dev]'
	@touch $@

install: $(VENV)/.installed ## create .venv and install what running needs
install-dev: $(VENV)/.installed-dev ## … and what testing needs

demo: install ## one real job, end to end, on the embedded stack (SQLite, Redis, api, workers)
	@$(RUN) -m deploy.demo

up: install ## keep the embedded stack running; prints its address and a key
	@$(RUN) -m deploy.stack --port $(PORT)

test: install-dev lint types audit unit ## everything: lint, types, rooms, budgets, and all tests but the long campaigns

lint: install-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev ## mypy --strict over everything, tests too
	$(BIN)/mypy

audit: install-dev ## known vulnerabilities in what is installed, where a source of them is reachable
	@$(RUN) -m deploy.audit $(AUDIT)

# Faults come last and alone: they hold the service to times.
unit: install-dev ## pytest, on real databases, a real Redis and real processes
	$(RUN) -m pytest -m "not campaign and not fault" -n $(TEST_PROCESSES) --dist loadfile
	$(RUN) -m pytest -m "fault and not campaign"

chaos: install-dev ## kill, freeze and wipe the real service at random; see docs/reliability.md
	@CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) CHAOS_DB=$(CHAOS_DB) \
	CHAOS_REAL=$(CHAOS_REAL) $(RUN) -m benchmarks.chaos

fuzz: install-dev ## generated and damaged requests against the running service; JSON
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(RUN) -m benchmarks.fuzz

bench-control: install-dev ## submits, polls, lists, queue-to-start, transfers on both databases; JSON
	@$(RUN) -m benchmarks.control $(BENCH)

bench-serving: install-dev ## 1,000 merchants' heads on one loaded backbone; JSON
	@$(RUN) -m benchmarks.serving $(BENCH)

bench-quality: install ## few-shot curves of every strategy, BENCH="--seconds 600"; goes on where it was
	@$(RUN) -m benchmarks.quality $(BENCH)

bench: install ## head-only jobs, fine-tuning, storage and small merchants beside plain PyTorch; JSON, SVG
	@$(RUN) -m benchmarks.speed $(BENCH)

bench-peers: install ## … and beside Hugging Face Trainer and fastai, which get an environment of their own
	$(PYTHON) -m venv $(PEERS)
	$(RUN) -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$$($(PEERS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/ours.pth"
	$(PEERS)/bin/python -m pip --disable-pip-version-check install -q transformers accelerate fastai
	@$(RUN) -m benchmarks.speed $(BENCH)

chaos-full: install-dev ## every test of a fault 20 times, each at another moment; about an hour
	FAULT_REPEATS=20 $(RUN) -m pytest -m fault -n 2 --timeout 400

openapi: install ## write docs/openapi.json anew from the routes
	$(RUN) -m api.openapi > docs/openapi.json

lock: install-dev ## write constraints.txt anew from what is installed
	{ sed -n "/^#/p" constraints.txt; $(PIP) freeze --exclude-editable | grep -vE "^(nvidia-|cuda-|triton)"; } > constraints.new
	mv constraints.new constraints.txt

clean: ## remove the environment and all local state
	rm -rf $(VENV) $(PEERS) .regraft build *.egg-info
