# The two commands that matter: `make demo` and `make test`. Each makes .venv by itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PY := $(VENV)/bin/python
export BENTOML_DO_NOT_TRACK := True

.PHONY: help demo serve test check lint types clean

help:
	@echo "make demo    train on generated films, serve the model, ask it about one film"
	@echo "make test    run the tests"
	@echo "make check   ruff, mypy and the tests"
	@echo "make serve   serve the newest model on port 3000"
	@echo "make clean   remove .venv and caches; data, runs and models stay"

demo: $(VENV)/.train
	$(PY) -m trainer.demo

serve: $(VENV)/.train
	$(VENV)/bin/bentoml serve

test: $(VENV)/.dev
	$(PY) -m pytest

check: lint types test

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

types: $(VENV)/.dev
	$(VENV)/bin/mypy

$(PY):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(PY) pyproject.toml
	$(VENV)/bin/pip install --quiet --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	$(VENV)/bin/pip install --quiet --editable '.[train,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
