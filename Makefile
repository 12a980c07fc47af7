# The two commands that matter: `make demo` and `make test`. Each makes .venv by itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PY := $(VENV)/bin/python
export BENTOML_DO_NOT_TRACK := True

# For `make container`: the first container engine that answers, and what to train with where there is no model.
ENGINE ?= $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)
# DEVICE=cuda: for an NVIDIA GPU.
DEVICE ?= cpu
IMAGE ?= chest_xray:$(if $(filter cuda,$(DEVICE)),cuda,latest)
TORCH_CPU := https://download.pytorch.org/whl/cpu
TRAIN ?= --dataset sample --data-dir data/demo --backbone efficientnet_lite0

.PHONY: help demo plan serve test chromium prometheus orthanc pictures reference check docs lint types bento audit container clean

help:
	@echo "make demo       train on generated images, serve the model, ask it about one image"
	@echo "make test       run the tests"
	@echo "make check      lint, types, documentation and tests: what must pass"
	@echo "make lint       ruff and the import contracts"
	@echo "make docs       the documentation as pages in site/, from docs/"
	@echo "make serve      serve the promoted model on port 3000"
	@echo "make bento      build the service and the promoted model into build/bento, with its SBOM beside it"
	@echo "make audit      look up the bento's packages in the advisory database (needs PyPI)"
	@echo "make container  the bento's image, by docker, podman or buildah; trains first if there is no model;"
	@echo "                DEVICE=cuda for an NVIDIA GPU, of bento and container"
	@echo "make pictures   the README's pictures, from a real run and its service in Chromium"
	@echo "make reference  docs/configuration.md, from the settings' docstrings"
	@echo "make clean      remove .venv, site and caches; data, runs and models stay"

demo: plan $(VENV)/.train
	@$(PY) -m trainer.demo

plan:
	@if [ -e $(VENV)/.train ]; then echo "demo: about 3 minutes on two cores; nothing is downloaded"; else \
		echo "demo: installs for 2 to 5 minutes, then runs for about 3 on two cores. To download: 0.5 GB with the CPU build" \
		"of PyTorch, which is taken where there is no NVIDIA GPU; 3 GB with the CUDA build. The CPU build in any case:" \
		"PIP_EXTRA_INDEX_URL=$(TORCH_CPU) make demo"; fi

serve: $(VENV)/.train
	$(VENV)/bin/bentoml serve

test: $(VENV)/.dev chromium prometheus orthanc
	$(PY) -m pytest -n 2 --dist loadfile

# For the page's tests, which are skipped without it.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && apt-get update --quiet --quiet && \
	apt-get install --quiet --quiet --yes --no-install-recommends chromium >/dev/null; } || \
	echo "chromium can't be installed here: the page's tests will be skipped" >&2

# For the tests of the alerts, which are skipped without it.
prometheus:
	@{ command -v promtool && command -v prometheus-alertmanager; } >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && apt-get update --quiet --quiet && \
	apt-get install --quiet --quiet --yes --no-install-recommends prometheus prometheus-alertmanager >/dev/null; } || \
	echo "prometheus can't be installed here: the tests of the alerts will be skipped" >&2

# An archive, a modality and a checker of DICOM files, for the gateway's tests, which are skipped without them.
orthanc:
	@{ command -v Orthanc && command -v storescu && command -v dciodvfy && \
	test -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so; } >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && apt-get update --quiet --quiet && \
	apt-get install --quiet --quiet --yes --no-install-recommends orthanc orthanc-dicomweb dcmtk dicom3tools >/dev/null; } || \
	echo "Orthanc can't be installed here: the gateway's tests with it will be skipped" >&2

pictures: $(VENV)/.dev chromium
	$(PY) -m tests.support.showcase

reference: $(VENV)/.train
	$(PY) -m docs.scripts.configuration

check: lint types docs test

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/lint-imports

types: $(VENV)/.dev
	$(VENV)/bin/mypy

bento: $(VENV)/.dev
	$(VENV)/bin/bentoml models get chest_xray:latest >/dev/null 2>&1 || $(PY) -m trainer $(TRAIN)
	rm -rf build/bento build/chest_xray.bento
	mkdir -p build/bento
	PATH="$(abspath $(VENV))/bin:$$PATH" $(VENV)/bin/bentoml build --output tag --arg image=$(DEVICE)
	$(VENV)/bin/bentoml export chest_xray:latest "$(CURDIR)/build/chest_xray.bento"
	tar --extract --file build/chest_xray.bento --directory build/bento
	rm build/chest_xray.bento
	$(PY) -W ignore::UserWarning -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.cdx.json build/bento/env/python/requirements.txt

audit: bento
	$(VENV)/bin/pip-audit --disable-pip --no-deps --requirement build/bento/env/python/requirements.txt

container: bento
	@test -n "$(ENGINE)" || { echo "make container: no docker, podman or buildah answers; install one" >&2; exit 2; }
	BUILDAH_FORMAT=docker $(VENV)/bin/bentoml containerize chest_xray:latest --backend $(ENGINE) --image-tag $(IMAGE)
	@# BentoML's recipe ends with its user's name, which nothing can follow; Kubernetes can't tell a name from root.
	mkdir -p build/empty
	printf 'FROM $(IMAGE)\nUSER 1034:1034\n' | BUILDAH_FORMAT=docker $(ENGINE) build --tag $(IMAGE) --file - build/empty

$(PY):
	$(PYTHON) -m venv $(VENV)

# pip's own choice on Linux is the CUDA build of PyTorch. An index that does not answer is left out: pip would ask it again and again.
define install
	@index=; \
	if [ "$$(uname)" != Linux ] || [ -n "$$PIP_EXTRA_INDEX_URL" ]; then :; \
	elif [ -e /proc/driver/nvidia ] || command -v nvidia-smi >/dev/null; then \
		echo "an NVIDIA GPU: the CUDA build of PyTorch"; \
	elif $(PY) -c 'from urllib.request import urlopen; urlopen("$(TORCH_CPU)/torch/", timeout=5)' 2>/dev/null; then \
		echo "no NVIDIA GPU: the CPU build of PyTorch"; index="--extra-index-url $(TORCH_CPU)"; \
	else \
		echo "$(TORCH_CPU) can't be reached: the build of PyTorch that pip finds by itself"; \
	fi; \
	$(VENV)/bin/pip install $$index --editable '.[$(1)]'
endef
comma := ,

$(VENV)/.train: $(PY) pyproject.toml
	$(call install,train)
	@touch $@

$(VENV)/.dev: $(PY) pyproject.toml
	$(call install,train$(comma)pacs$(comma)ray$(comma)search$(comma)dev)
	@touch $(VENV)/.train $@

clean:
	rm -rf $(VENV) site .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
