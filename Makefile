# make run    everything, here: database, mailbox, web app, worker; PORT=9090 for other ports than 8080 and 8081
# make test   all checks and tests, against a real PostgreSQL and a real SMTP server
# make bench  timings; never part of the tests
# make lock   resolve the dependencies anew

PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
PIP = $(VENV_PYTHON) -m pip --disable-pip-version-check --quiet
# A lock file is whole, so nothing is to be resolved: older pips, asked to, take a newer release than the one that is pinned.
FROM_LOCK = $(PIP) install --no-deps --require-hashes -r

.PHONY: run test lint types layers unit chromium bench lock clean

run: .venv/installed-dev
	@exec .venv/bin/newsletter dev $(if $(PORT),--port $(PORT))

test: .venv/installed-test chromium lint types layers unit

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-dev: .venv/bin/python requirements-dev.lock pyproject.toml
	@echo "Installing what is needed to run. This happens once."
	@$(FROM_LOCK) requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-test: .venv/bin/python requirements-test.lock pyproject.toml
	@echo "Installing what is needed to test. This happens once."
	@$(FROM_LOCK) requirements-test.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ .venv/installed-dev

# Browser tests want Debian's Chromium, and what drives it wants libatomic. Where they can be neither found nor installed these
# tests are reported as skipped.
chromium: .venv/bin/python
	@command -v chromium >/dev/null && $(VENV_PYTHON) -c "import ctypes; ctypes.CDLL('libatomic.so.1')" 2>/dev/null || \
	  { command -v apt-get >/dev/null && \
	  { [ "$$(id -u)" = 0 ] && as_root= || as_root="sudo -n"; \
	    $$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends chromium libatomic1; } >/dev/null 2>&1; } || \
	  echo "Chromium is missing and could not be installed: browser tests will be skipped."

lint:
	@.venv/bin/ruff check newsletter tests
	@.venv/bin/ruff format --check --quiet newsletter tests

types:
	@.venv/bin/mypy

layers:
	@.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

# Three at once: a test waits for PostgreSQL or a browser a third of its time.
unit:
	@$(VENV_PYTHON) -m pytest -n 3 --dist worksteal --cov --cov-report=term:skip-covered

bench: .venv/installed-test
	@$(VENV_PYTHON) -m tests.bench

lock: .venv/bin/python
	@$(PIP) install uv
	@.venv/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra test -o requirements-test.lock pyproject.toml
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra dev -c requirements-test.lock -o requirements-dev.lock pyproject.toml
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  -c requirements-test.lock -o requirements.lock pyproject.toml

clean:
	rm -rf .venv .newsletter .coverage* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
