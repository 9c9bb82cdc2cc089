# The commands for contributors. Each target sets up what it needs; PYTHON=… selects another interpreter.

PYTHON ?= python3
NEWEST := 3.3.2
OLDEST := 2.11.0
# The last patch release of each minor version. `lowest` means the lowest versions that pyproject.toml allows.
AIRFLOWS ?= 2.11.2 3.0.6 3.1.8 3.2.2 3.3.2 lowest
# The beta of the next version is in the matrix; a release is not held up by it.
BETA := 3.4.0b2
PYTHONS ?= python3.11 python3.12 python3.13 python3.14
# How many combinations of Airflow and Python `make matrix` runs at once.
JOBS ?= 2
# Tests that cannot tell which Airflow there is: what they import has no Airflow, and the same versions beside both.
KNOW_NO_AIRFLOW := tests/protocol tests/contract tests/sandbox tests/mirror/test_model.py tests/mirror/test_order.py
# Processes that share the tests of each Airflow: one starts a whole Airflow and waits for it, the others run the rest.
WORKERS ?= 3
# These Airflows allow later versions of the named packages, but break with them.
HOLD_2.11.0 := 'universal-pathlib<0.3'
HOLD_2.11.2 := 'universal-pathlib<0.3'
HOLD_3.0.6 := 'fastapi<0.132' 'universal-pathlib<0.3'
HOLD_3.2.2 := 'fastapi<0.137' 'svcs<26.2'
# Of a beta, every part must be named.
HOLD_3.4.0b2 := 'apache-airflow-core==3.4.0b2' 'apache-airflow-task-sdk==1.4.0b2' 'sqlalchemy<2.1'
# Dependency groups that are needed in addition to the tests.
GROUPS_$(NEWEST) := --group lint --group docs --group browser --group mutation --group newest
GROUPS_$(OLDEST) := --group browser

VENV := .venv
VENV_OLDEST := .venv-airflow-$(OLDEST)
VENV_BENCH := .venv-bench
VENV_CLUSTER := .venv-cluster
export CHROMIUM ?= /usr/bin/chromium
# Airflow 2.11 runs on Python 3.11 and 3.12 only.
PYTHON_OLDEST ?= $(shell for python in "$(PYTHON)" python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo "$$python" && break; done)

# The tests import Airflow hundreds of times. Compiling it each time would take longer than all of them.
unexport PYTHONDONTWRITEBYTECODE

# `make test` runs both Airflows side by side; the output of each comes in one piece.
ifneq ($(filter test,$(MAKECMDGOALS)),)
$(info ==> testing on Airflow $(NEWEST) and $(OLDEST), side by side)
MAKEFLAGS += --jobs=2 --output-sync=target
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-newest test-oldest azure-test browser-test screenshots lint docs pages parameters matrix mutants release-check bench airflow cluster-demo cluster-test cluster-bench \
	servers pins clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## run the first example DAG on a local Airflow against the sandbox
	@$(VENV)/bin/python scripts/local_airflow.py demo

test-newest test-oldest: SIDE_BY_SIDE := --numprocesses=$(WORKERS) --dist=loadgroup --no-loadscope-reorder

# Beside the newest, the oldest leaves out what cannot differ: the interpreter is the same, too.
ifneq ($(filter test,$(MAKECMDGOALS)),)
ifeq ($(PYTHON),$(PYTHON_OLDEST))
test-oldest: SIDE_BY_SIDE += $(KNOW_NO_AIRFLOW:%=--ignore=%)
endif
endif

test: test-newest test-oldest ## run every test on the newest and on the oldest Airflow, side by side (what knows no Airflow: on the newest)

test-newest: $(VENV)/compiled
	@echo "==> testing on Airflow $(NEWEST)"
	@$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE)

test-oldest: $(VENV_OLDEST)/compiled
	@echo "==> testing on Airflow $(OLDEST)"
	@$(VENV_OLDEST)/bin/python -m pytest $(SIDE_BY_SIDE)

azure-test: $(VENV)/installed ## test the snapshots on Azurite, Azure's own stand-in, from npm
	@echo "==> installing Azurite into .azurite"
	@npm install --silent --no-save --ignore-scripts --prefix .azurite azurite@3.35.0
	@PATH="$(CURDIR)/.azurite/node_modules/.bin:$$PATH" $(VENV)/bin/python -m pytest tests/mirror/test_folder.py -k azure

browser-test: $(VENV)/installed $(VENV_OLDEST)/installed | $(CHROMIUM) ## check the pages of both Airflows in a real browser
	@echo "==> checking the pages of Airflow $(NEWEST)"
	@$(VENV)/bin/python -m pytest -m browser tests/browser
	@echo "==> checking the pages of Airflow $(OLDEST)"
	@$(VENV_OLDEST)/bin/python -m pytest -m browser tests/browser

screenshots: $(VENV)/installed $(VENV_OLDEST)/installed | $(CHROMIUM) ## retake the pictures in docs/images/
	@PYTHONPATH=. $(VENV)/bin/python scripts/screenshots.py docs/images
	@PYTHONPATH=. $(VENV_OLDEST)/bin/python scripts/screenshots.py docs/images

lint: $(VENV)/installed ## check style, types, imports and workflows, and build the documentation
	@echo "==> ruff, mypy, import-linter"
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@echo "==> workflows of the code host, and of the site's host"
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.readthedocs .readthedocs.yaml
	@$(VENV)/bin/zizmor --offline --quiet --persona pedantic .github
	@$(MAKE) --no-print-directory docs

docs: $(VENV)/installed ## build the documentation into .docs/; a warning is an error
	@echo "==> documentation"
	@$(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs .docs
	@AIRFLOW_HOME=$(CURDIR)/.airflow/docs $(VENV)/bin/python scripts/check_site.py .docs
	@echo "==> open .docs/index.html"

pages: parameters ## write the code of the example DAGs, and the names in the reference, into README and docs/ anew
	@$(VENV)/bin/python scripts/write_pages.py

parameters: $(VENV)/installed ## write the table of parameters and modes in docs/parameters.md anew
	@$(VENV)/bin/python scripts/parameter_table.py docs/parameters.md

matrix: $(VENV)/installed ## run the unit tests and the example DAGs on every supported Airflow and Python (an hour)
	@$(VENV)/bin/python scripts/matrix.py --airflow $(AIRFLOWS) $(BETA) --python $(PYTHONS) --jobs $(JOBS)

mutants: $(VENV)/installed ## change the code in one place after the other, and check that a test fails (run by hand; a part of it: ONLY="push mirror/tables")
	@$(VENV)/bin/python scripts/mutants.py $(ONLY)

release-check: $(VENV)/installed ## build a release into dist/, and check it
	@$(VENV)/bin/python scripts/release_check.py --airflow $(OLDEST) $(filter-out lowest,$(AIRFLOWS)) --python $(PYTHONS)

bench: $(VENV)/installed $(VENV_BENCH)/installed ## measure the provider next to its peers and the ideal (10 minutes)
	@$(VENV)/bin/python -m benchmarks

airflow: $(VENV)/installed ## run Airflow with the example DAGs, and the sandbox, until Ctrl+C
	@$(VENV)/bin/python scripts/local_airflow.py serve

cluster-demo: $(VENV_CLUSTER)/installed | servers ## push four shards from two Celery workers (Redis, PostgreSQL) to the sandbox
	@$(VENV_CLUSTER)/bin/python scripts/local_cluster.py

cluster-test: $(VENV_CLUSTER)/installed | servers ## test the push from several workers
	@$(VENV_CLUSTER)/bin/python -m pytest -m cluster tests/cluster

cluster-bench: $(VENV_CLUSTER)/installed | servers ## measure how a push scales with task slots (5 minutes)
	@$(VENV_CLUSTER)/bin/python -m benchmarks --cluster

# Installs the Debian packages if they are missing and we are root. Their system services are not used.
servers:
	@{ command -v redis-server && { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; }; } >/dev/null 2>&1 \
	|| { test "$$(id -u)" = 0 || { echo "needs redis-server and postgresql: apt-get install redis-server postgresql" >&2; exit 1; }; \
	echo "==> installing Redis and PostgreSQL"; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server postgresql >/dev/null; }

pins: $(VENV)/installed ## update constraints/ to the newest compatible versions
	@$(foreach airflow,$(sort $(NEWEST) $(OLDEST) $(BETA) $(filter-out lowest,$(AIRFLOWS))), \
		$(call pin,airflow-$(airflow),$(airflow),$(GROUPS_$(airflow))) &&) true
	@$(call pin,cluster,$(NEWEST),--group cluster)
	@$(call pin,lowest,$(OLDEST),--resolution lowest-direct)

clean: ## remove the environments and everything else that these commands create
	rm -rf $(VENV) $(VENV_OLDEST) $(VENV_BENCH) $(VENV_CLUSTER) .venv-matrix .azurite .airflow .docs .hypothesis .mypy_cache \
		.pytest_cache .ruff_cache .import_linter_cache dist mutants

$(VENV)/installed: constraints/airflow-$(NEWEST).txt pyproject.toml
	@$(call install,$(VENV),$(NEWEST),$(PYTHON))

$(VENV_OLDEST)/installed: constraints/airflow-$(OLDEST).txt pyproject.toml
	@test -n "$(PYTHON_OLDEST)" || { echo "Airflow $(OLDEST) needs Python 3.11 or 3.12: pass PYTHON_OLDEST=…" >&2; exit 1; }
	@$(call install,$(VENV_OLDEST),$(OLDEST),$(PYTHON_OLDEST))

$(VENV_CLUSTER)/installed: constraints/cluster.txt pyproject.toml
	@$(call install,$(VENV_CLUSTER),$(NEWEST),$(PYTHON),cluster)

# What the tests import, a fifth of all, is compiled by one process: several that start at once would all do the same.
# Whatever is wrong the tests tell.
%/compiled: %/installed
	@$*/bin/python -m pytest --collect-only --quiet >/dev/null 2>&1; touch $@

# The browser comes from the system, because the Python Package Index does not have it.
$(CHROMIUM):
	@test "$$(id -u)" = 0 && command -v apt-get > /dev/null || \
		{ echo "There is no Chromium at $@: install your system's package, or pass its path: make CHROMIUM=…" >&2; exit 1; }
	@echo "==> installing Chromium"
	@apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-liberation > /dev/null

# If a peer cannot be installed, the others are still measured; the tables show which one is missing.
$(VENV_BENCH)/installed: benchmarks/requirements.txt
	@echo "==> installing the peers into $(VENV_BENCH) (a minute)"
	@"$(PYTHON)" -m venv --clear $(VENV_BENCH)
	@$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< \
	&& touch $@ || echo "==> some peers could not be installed"

# $(call install,folder,version of Airflow,interpreter,pins instead of that version's): the pins are complete, so uv has
# nothing to resolve. pip installs uv only: for everything else it would take ten times as long.
define install
	echo "==> installing Airflow $(2) and this provider into $(1) with $(3)"; \
	"$(3)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")' \
	&& "$(3)" -m venv --clear $(1) \
	&& $(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints/$(or $(4),airflow-$(2)).txt uv \
	&& $(1)/bin/uv pip install --quiet --python $(1) --no-deps --requirement constraints/$(or $(4),airflow-$(2)).txt \
	&& $(1)/bin/uv pip install --quiet --python $(1) --no-deps --no-build-isolation --editable . \
	&& touch $@
endef

# $(call pin,name,version of Airflow,options): the pins are valid for Python 3.11 and later.
define pin
	echo "==> constraints/$(1).txt" \
	&& printf '%s\n' 'apache-airflow==$(2)' $(HOLD_$(2)) > $(VENV)/airflow.txt \
	&& $(VENV)/bin/uv pip compile pyproject.toml --all-extras --group test --group build $(3) \
		--universal --python-version 3.11 --constraints $(VENV)/airflow.txt --upgrade --quiet \
		--no-emit-index-url --no-annotate --no-header --output-file constraints/$(1).txt
endef
