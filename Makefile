PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
BASELINES := .venv-baselines
BIOIMAGEIO := .venv-bioimageio
PACKAGING := .venv-packaging
# Tests that `make package` runs in the unpacked sdist.
TESTS ?= tests
# Packages whose names the tests check, or that only one test may see: they cannot be installed beside the others.
BINDINGS := $(VENV)/bindings
# NVIDIA has nothing for macOS; tests of what is not there skip.
GPU_PACKAGES := $(if $(filter Darwin,$(shell uname -s)),,$(BINDINGS)/cupy $(BINDINGS)/onnxruntime-gpu)
# PIP_ARGS: for example --index-url of a mirror, or of CPU builds of torch.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt

SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: demo docs test test-slow lint ci lowest baselines bioimageio bench bench-cameras bench-cluster bench-engines bench-live bench-matched bench-memory \
	bench-peers bench-pipeline bench-train package records sample formats clean

demo: $(VENV)/.demo  ## denoise the shipped sample volume with the shipped model
	@mkdir -p demo
	$(BIN)/baikal-run examples/nuclei.ome.zarr demo/nuclei_denoised.ome.zarr --overwrite \
		--preview demo/before_after.png --report demo/report.html

test: $(VENV)/.dev  ## all tests, in two processes
	$(BIN)/pytest -n 2 --dist worksteal

test-slow: $(VENV)/.dev $(GPU_PACKAGES) $(BASELINES)/.done $(BIOIMAGEIO)/.done  ## tests that take long, need a C++ compiler or large packages
	$(BIN)/pytest -m slow

lint: $(VENV)/.dev  ## style, types, import layers, and the site's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SITE)

docs: $(VENV)/.dev  ## the site, in site/; a broken link or anchor stops it
	$(SITE)

ci: lint test

lowest:  ## the main job and a training with the lowest versions of what they depend on
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints-lowest.txt -e ".[cpu,train]"
	$(LOWEST)/bin/baikal-run examples/nuclei.ome.zarr --dry-run
	$(LOWEST)/bin/baikal-simulate nuclei $(LOWEST)/data --count 3 --size 64 --format tiff
	$(LOWEST)/bin/baikal-train $(LOWEST)/data/clean -o $(LOWEST)/net.pt --iterations 2 --batch 2

baselines: $(BASELINES)/.done  ## CAREamics, for the methods n2v, structn2v and care, in an environment of its own

bioimageio: $(BIOIMAGEIO)/.done  ## bioimageio.core, which tests packages of bioimage.io, in an environment of its own

package: $(VENV)/.dev  ## sdist and wheel in dist/, and the tests as they are in the sdist
	rm -rf dist $(PACKAGING)
	$(PYTHON) -m venv $(PACKAGING)
	$(PACKAGING)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) build twine
	$(PACKAGING)/bin/python -m build --outdir dist
	$(PACKAGING)/bin/twine check --strict dist/*
	test $$(cat dist/*.whl | wc -c) -lt 40000000
	mkdir dist/sdist && tar -xzf dist/*.tar.gz -C dist/sdist --strip-components 1
	cd dist/sdist && PYTHONPATH=$(CURDIR)/dist/sdist:$(CURDIR)/dist/sdist/training:$(CURDIR)/dist/sdist/export:$(CURDIR)/dist/sdist/evaluation:$(CURDIR)/dist/sdist/plugin \
		$(CURDIR)/$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

bench: $(VENV)/.dev  ## time outside the engine, and the ratio to torch
	$(BIN)/python benchmarks/speed.py

bench-cameras: $(VENV)/.dev  ## defects of cameras and noise that pixels share, on simulated planes
	$(BIN)/python benchmarks/cameras.py

bench-cluster: $(VENV)/.dev  ## what a task costs when a run is shared out through Dask
	$(BIN)/python benchmarks/cluster.py

bench-engines: $(VENV)/.dev  ## every engine that works here, one core, as ratios to torch eager
	$(BIN)/python benchmarks/engines.py

bench-matched: $(VENV)/.dev  ## matched against its engine calls, and against the paper's setting in torch eager
	$(BIN)/python benchmarks/matched.py

bench-live: $(VENV)/.dev  ## live denoising: time beside the engine, and ten minutes of overload
	$(BIN)/python benchmarks/live.py

bench-memory: $(VENV)/.dev  ## peak memory over a virtual volume of 1 GB and of 32 GB
	$(BIN)/python benchmarks/memory.py

bench-peers: $(VENV)/.dev  ## a plane and file to file, beside torch, diffusers, CAREamics and BM3D
	$(BIN)/python benchmarks/peers.py

bench-pipeline: $(VENV)/.dev  ## a run without its network against a plain copy, and matched against its engine calls
	$(BIN)/python benchmarks/pipeline.py

bench-train: $(VENV)/.dev  ## training speed against the bare torch step, and memory over 2,000 steps
	$(BIN)/python benchmarks/training.py --memory-steps 2000

records: $(VENV)/.dev  ## what each precision of the shipped models loses on this machine, into the records beside them
	for model in $(wildcard baikal_deploy/models/*.onnx); do $(BIN)/baikal-export $$model --record || exit 1; done

sample: $(VENV)/.dev  ## make the sample volume again
	$(BIN)/python examples/make_sample.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[cpu]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[dev]"
ifneq ($(GPU_PACKAGES),)
	$(PIP) --no-deps --upgrade --target $(BINDINGS)/tensorrt-10.16 tensorrt-cu13-bindings==10.16.1.11
	$(PIP) --no-deps --upgrade --target $(BINDINGS)/tensorrt-11.4 tensorrt-cu13-bindings==11.4.0.106
	$(PIP) --no-deps --upgrade --target $(BINDINGS)/cuda cuda-bindings==13.5.0 cuda-pathfinder==1.9.0
endif
	@touch $@

$(BINDINGS)/cupy: | $(VENV)/.dev
	$(PIP) --no-deps --target $@ cupy-cuda13x==14.2.0

$(BINDINGS)/onnxruntime-gpu: | $(VENV)/.dev
	$(PIP) --no-deps --target $@ onnxruntime-gpu==1.31.1

$(BASELINES)/.done: requirements-baselines.txt
	$(PYTHON) -m venv $(BASELINES)
	$(BASELINES)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r $<
	$(BASELINES)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps careamics==0.3.5
	@touch $@

$(BIOIMAGEIO)/.done: requirements-bioimageio.txt
	$(PYTHON) -m venv $(BIOIMAGEIO)
	$(BIOIMAGEIO)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r $<
	@touch $@

formats: $(VENV)/.dev  ## the table of tests/formats.md, from sample files in ../shared/data
	$(BIN)/python -m tests.formats

clean:
	rm -rf $(VENV) $(BASELINES) $(BIOIMAGEIO) $(PACKAGING) demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
