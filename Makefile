# `make demo` and `make test` need git and Python 3.11 (or 3.12 or 3.13: make test PYTHON=python3.13 VENV=.venv-3.13),
# and set up everything else in .venv.
PYTHON ?= python3.11
VENV ?= .venv
TOOLS = .venv-tools
export MLFLOW_DISABLE_TELEMETRY = true
export MLFLOW_DISABLE_AGENT_HINT = true
export NO_MKDOCS_2_WARNING = true

.PHONY: demo test lint docs gallery mlproject install lock audit clean

demo: install
	. $(VENV)/bin/activate && mlflow run . --env-manager local --experiment-name avfusion

# Two processes share the files of tests; pytest alone runs them in one.
# Bytecode is kept even where the environment forbids it: else each of hundreds of processes compiles the project anew.
test: install
	. $(VENV)/bin/activate && PYTHONDONTWRITEBYTECODE= pytest --numprocesses 2 --dist loadfile

lint: install
	. $(VENV)/bin/activate && ruff check . && ruff format --check . && mypy

# The docs as a site, without the network: open build/docs/index.html. A link to nowhere is an error.
docs: install
	$(VENV)/bin/python -m mkdocs build

# Makes docs/gallery.md and all pictures of the docs anew, from one run on synthetic scenes; the pages need Chromium.
gallery: install
	. $(VENV)/bin/activate && python -m docs.making.pictures

# Writes MLproject from the tables in entrypoints/entry_points.py and options.py.
mlproject: install
	$(VENV)/bin/python -m entrypoints.mlproject

install: $(VENV)/installed

# Every package, pip and setuptools too, in the version of requirements.lock: wheels only, so that nothing is built but
# the project itself, and checked by their hashes. Not so torch and the CUDA packages that it alone brings: where pip's
# find-links folder has a local build of torch (for CPUs, say), its hash is in no index, and pip must be free to take it.
$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	awk '/^[^ ]/ {torch = /^(torch|triton|cuda-|nvidia-)/} !torch' requirements.lock > $(VENV)/hashed.txt
	grep -oE '^[^ #]+==[^\\]+' requirements.lock > $(VENV)/pinned.txt
	$(VENV)/bin/python -m pip install --quiet --only-binary :all: --no-deps --require-hashes --requirement $(VENV)/hashed.txt
	PYTHONWARNINGS=ignore $(VENV)/bin/python -m pip install --quiet --only-binary :all: --no-build-isolation --constraint $(VENV)/pinned.txt --editable '.[dev]'
	touch $(VENV)/installed

# Solves pyproject.toml's ranges anew for all Pythons and platforms at once. Versions that still fit stay as they are;
# without the file, all become the newest: rm requirements.lock && make lock
lock: $(TOOLS)/installed
	$(TOOLS)/bin/uv pip compile pyproject.toml --quiet --extra dev --universal --python-version 3.11 --fork-strategy fewest \
		--no-build --generate-hashes --custom-compile-command 'make lock' --output-file requirements.lock
	sed -nE 's/^([a-z0-9-]+)==([^ ]+).*/s,- \1==[^ ]+,- \1==\2,/p' requirements.lock > $(TOOLS)/conda.sed
	sed -i -E -f $(TOOLS)/conda.sed conda.yaml

# Asks the index's service for known vulnerabilities of what the lock pins: needs the network, so it is no part of CI.
audit: $(TOOLS)/installed
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

$(TOOLS)/installed: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet uv==0.13.9 pip-audit==2.10.1
	touch $(TOOLS)/installed

clean:
	rm -rf $(VENV) $(TOOLS) runs mlruns mlflow.db mlflow.db.lock
