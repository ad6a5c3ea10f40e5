# make demo and make test do everything on a machine with Python 3.11+, make and a package index.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench install clean

demo: install
	$(BIN)/imgcollapse run configs/demo.yaml --out runs/demo
	$(BIN)/imgcollapse grid runs/demo

test: install lint
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: install
	$(BIN)/imgcollapse bench
	$(BIN)/python benchmarks/frechet.py

install: .venv/installed

# uv where it is found, else venv and pip; both install exactly what constraints.txt pins.
.venv/installed: pyproject.toml constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" .venv && \
		VIRTUAL_ENV=.venv uv pip install --quiet --compile-bytecode -c constraints.txt -e ".[dev]"; \
	else \
		"$(PYTHON)" -m venv .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"; \
	fi
	@touch $@

clean:
	rm -rf .venv
