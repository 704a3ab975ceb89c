# Needs python3 (3.11 or newer) and nothing else; everything is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# Tests and benchmarks start hundreds of Python processes. Where this variable forbids to keep compiled files, each of them
# compiles pandas, IPython and all else from source, which takes longer than what they do.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench docs findings constraints wheel system clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"lcnb needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python has no venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

help:  ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do printf '%-10s%s\n' "$$target" "$$text"; done

demo: $(STAMP)  ## Run a runbook in the sandbox, and say where its report is. The default.
	@$(BIN)/lcnb demo

check: $(STAMP)  ## Lint, format and type checks.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The S3 server of some tests. Its libraries exclude releases that lcnb is tested with, so it has an environment of its own.
S3_STAMP := .venv/s3-server/installed
$(S3_STAMP): $(STAMP) tests/s3-server.txt
	$(PYTHON) -m venv .venv/s3-server
	.venv/s3-server/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement tests/s3-server.txt
	@touch $@

# Some tests need programs of the system: a browser, a Redis, cron. Without them, and without the right to install
# them, those tests are skipped, and pytest says so.
system: $(S3_STAMP)  ## Install the programs that some tests need, where that is allowed.
	@missing=; for program in chromium redis-server crontab sshd promtool configurable-http-proxy; do \
	  PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	    chromium fonts-dejavu-core redis-server cron openssh-server prometheus >/dev/null || echo "not all could be installed: some tests are skipped"; \
	  command -v configurable-http-proxy >/dev/null || npm install --silent --global configurable-http-proxy || echo "no proxy for JupyterHub: its tests are skipped"; \
	else echo "some tests are skipped without:$$missing (Debian: apt-get install chromium redis-server cron openssh-server prometheus; npm install --global configurable-http-proxy)"; fi

# Linting needs the processors, fetching programs the network. Most tests wait for kernels and processes, so there are more
# workers than processors; browsers want the machine for themselves. A file's tests share what it has set up.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
test:  ## Run all checks and all tests.
	@$(MAKE) --no-print-directory -j2 check system
	$(PYTEST) -n 3 --ignore tests/browser
	$(PYTEST) -n 2 tests/browser

bench: $(STAMP)  ## Measure, and write benchmarks/RESULTS.md.
	$(BIN)/python -m benchmarks

# Each script installs public packages in a folder of its own and fails when they no longer behave as it describes.
findings:  ## Run each script of findings/: what surprised us in the libraries and tools that we use.
	@failed=0; for script in findings/*.sh; do \
	  if [ ! -e "$$script" ]; then echo "no scripts in findings/"; continue; fi; \
	  if output=$$(bash "$$script" 2>&1); then echo "as described: $$script"; \
	  else failed=1; echo "$$output"; echo "no longer as described: $$script"; fi; \
	done; exit $$failed

# Users get the ranges of pyproject.toml; what the tests run with is pinned, so that CI is the same tomorrow.
constraints:  ## Write constraints.txt: the newest releases that pyproject.toml allows. Then run `make test`.
	rm -rf dist/constraints && $(PYTHON) -m venv dist/constraints
	dist/constraints/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	dist/constraints/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf dist/constraints

# Pages that run something use a sandbox; nothing is loaded from the network, neither now nor by the site.
docs: $(STAMP)  ## Build the documentation site: dist/docs/index.html.
	rm -rf dist/docs dist/doctrees
	$(BIN)/sphinx-build --nitpicky --fail-on-warning --keep-going --quiet --doctree-dir dist/doctrees docs dist/docs

wheel: $(STAMP)  ## Build the wheel and the sdist in dist/, and check them as PyPI does.
	rm -f dist/lcnb-*
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/lcnb-*

clean:  ## Remove the environment and what was built.
	rm -rf .venv dist
