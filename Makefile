# `make demo` and `make test` need Python 3.11 and git, and set up everything else in .venv.
PYTHON ?= python3.11
export MLFLOW_DISABLE_TELEMETRY = true
export MLFLOW_DISABLE_AGENT_HINT = true

.PHONY: demo test lint clean

demo: .venv/installed
	. .venv/bin/activate && mlflow run . --env-manager local --experiment-name avfusion

test: .venv/installed
	. .venv/bin/activate && pytest

lint: .venv/installed
	. .venv/bin/activate && ruff check . && ruff format --check . && mypy

# The ranges are pyproject.toml's; the exact versions are conda.yaml's.
.venv/installed: pyproject.toml conda.yaml
	$(PYTHON) -m venv .venv
	grep -oE '[A-Za-z0-9_.-]+==[^ ]+' conda.yaml > .venv/constraints.txt
	.venv/bin/python -m pip install --quiet --constraint .venv/constraints.txt --editable '.[dev]'
	touch .venv/installed

clean:
	rm -rf .venv runs mlruns mlflow.db mlflow.db.lock
