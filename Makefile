# Two commands do everything on a fresh Debian machine, as root: `make drill` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PACKAGES := systemd-container mmdebstrap gdisk dosfstools mtools zstd e2fsprogs openssh-client apt-utils \
  debian-archive-keyring nftables iproute2 util-linux maven default-jdk-headless qemu-system-x86 ovmf \
  python3-venv gettext-base gcc libc6-dev libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-noto-cjk \
  fonts-hanazono fonts-dejavu-core

.PHONY: help setup drill fresh-lab test test-all lint unit bench locale clean

help:  ## What can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## Install what is needed (Debian packages and Python packages), about 2 min
$(VENV)/.ready: pyproject.toml Makefile
	@echo "== Installing Debian packages (about 1 min the first time)"
	@missing=$$(for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	 if [ -n "$$missing" ]; then apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
	@echo "== Installing Python packages (about 1 min)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip -q install -e '.[dev]'
	@touch $@

drill: setup  ## Build the lab, break its application server, rebuild it, print the measured RTO
	@echo "== Building the recovery kit (about 6 min the first time, then seconds)"
	@$(BIN)/rmc-dr -i inventories/lab kit build
	@echo "== The drill (about 4 min the first time, then 3)"
	@$(BIN)/rmc-dr drill appserver

lint: setup  ## ruff, mypy --strict, ansible-lint
	@echo "== Style and types (about 1 min)"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/ansible-lint -q

unit: setup  ## Tests that need no root and no network
	@echo "== Unit tests (about 3 min)"
	@$(BIN)/pytest -q -n auto tests/unit

fresh-lab: setup  # a lab kept from before may be broken in any way
	@echo "== Building the recovery kit (about 6 min the first time, then seconds)"
	@$(BIN)/rmc-dr -i inventories/lab kit build
	@echo "== A fresh lab (about 2 min)"
	@$(BIN)/rmc-dr -i inventories/lab lab up --fresh

test: lint unit fresh-lab  ## Everything that CI runs: style, units, one rebuild and the refusals on the lab
	@echo "== Lab tests (about 16 min)"
	@$(BIN)/pytest -q -m lab --durations=25 --durations-min=10 tests/lab

locale: setup  ## Collect the sentences to translate, and compile the translations
	@mkdir -p .cache
	@$(BIN)/pybabel -q extract -F rmc_dr/locale/babel.cfg --no-wrap --add-location=file -o .cache/rmc_dr.pot rmc_dr
	@$(BIN)/pybabel -q update -i .cache/rmc_dr.pot -d rmc_dr/locale -D rmc_dr -l zh_CN --no-wrap \
	  --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	@$(BIN)/pybabel -q compile -d rmc_dr/locale -D rmc_dr

bench: setup  ## Ratios against the limit and against rivals, about 2.5 h (an estimate); writes docs/benchmarks.md
	@echo "== Benchmarks (about 2.5 h, an estimate; needs the lab and 40 GiB of room; parts alone: docs/benchmarks.md)"
	@$(BIN)/python tests/bench/bench.py

test-all: lint unit fresh-lab  ## Everything, the long tests included, about 5 h; writes docs/proof.json and the fault table
	@RMC_DR_LONG=all $(BIN)/pytest -q -m lab tests/lab

clean:  ## Take the lab down and forget what was built
	@$(BIN)/rmc-dr lab down --purge
