# Each target makes the virtual environment that it needs; exact versions stand in constraints.txt.
PYTHON ?= python3
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Tests mostly wait for one core. Those of the benchmarks look at what the machine does beside them, and run alone.
IN_TWO = -n 2 --dist loadfile
# Two processes on two cores, each with a thread for torch and one for ONNX Runtime: more are in each other's way.
ONE_THREAD = OMP_NUM_THREADS=1 LATENTRT_THREADS=1
PROMPT = "a large red heart to the left of a large yellow star on a blue background"
TORCH_FREE = "import importlib.util as u; found=[m for m in ('torch','onnx','diffusers','transformers') if u.find_spec(m)]; raise SystemExit(f'not torch-free: {found}' if found else 0)"
INPUTS = pyproject.toml constraints.txt runtime/latentrt/_version.py

.PHONY: help demo test check docs dev test-runtime test-bench test-export slow format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv-demo/stamp ## paint demo.png with the included model, in an environment that has the runtime only
	@.venv-demo/bin/latentrt generate $(PROMPT) --seed 0 --out demo.png

# The runtime and nothing else: pip itself goes when it has done its work.
.venv-demo/stamp: $(INPUTS) $(shell find runtime -name '*.py' -o -name '*.json' -o -name '*.safetensors' -o -name '*.txt')
	@$(PYTHON) -m venv --clear .venv-demo
	@.venv-demo/bin/python $(PIP_INSTALL) '.[cpu]'
	@.venv-demo/bin/python -m pip uninstall --quiet --yes pip setuptools
	@touch $@

dev: .venv/stamp ## make .venv, the development environment: everything, torch too, the project editable

.venv/stamp: $(INPUTS)
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP_INSTALL) torch==2.13.0
	@.venv/bin/python $(PIP_INSTALL) -e '.[dev]'
	@touch $@

# Lint, types and the reference, without torch: a newcomer checks in a minute. Bytecode is made for what is used.
.venv-check/stamp: $(INPUTS)
	@test -x .venv-check/bin/python || $(PYTHON) -m venv .venv-check
	@.venv-check/bin/python $(PIP_INSTALL) --no-compile -e '.[cpu,bench,check]'
	@touch $@

# The torch-free environment, for the runtime's own tests.
.venv-runtime/stamp: $(INPUTS)
	@test -x .venv-runtime/bin/python || $(PYTHON) -m venv .venv-runtime
	@.venv-runtime/bin/python $(PIP_INSTALL) -e '.[cpu,test]'
	@touch $@

# The benchmarks' environment: what a user of `latentrt bench` has; torch-free too.
.venv-bench/stamp: $(INPUTS)
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python $(PIP_INSTALL) -e '.[cpu,bench,test]'
	@touch $@

test: check test-runtime test-bench test-export ## everything that CI runs: check, the parts without torch, then the rest with it

check: .venv-check/stamp ## format, lint, types, reference
	.venv-check/bin/ruff format --check .
	.venv-check/bin/ruff check .
	.venv-check/bin/mypy
	@$(MAKE) --no-print-directory docs

docs: .venv-check/stamp ## write the reference of the public face to build/docs, from the docstrings
	rm -rf build/docs
	.venv-check/bin/python tools/make_docs.py build/docs

test-runtime: .venv-runtime/stamp ## the runtime's tests where torch, onnx, diffusers and transformers are absent
	.venv-runtime/bin/python -c $(TORCH_FREE)
	$(ONE_THREAD) .venv-runtime/bin/python -m pytest -q $(IN_TWO) -m "not slow" tests/runtime

test-bench: .venv-bench/stamp ## the benchmarks' tests, without torch as well
	.venv-bench/bin/python -c $(TORCH_FREE)
	.venv-bench/bin/python -m pytest -q -m "not slow" tests/benchmarks

test-export: .venv/stamp ## the exporter's tests, with torch; that the runtime does not import it where it is; and OpenVINO's plugin
	$(ONE_THREAD) .venv/bin/python -m pytest -q $(IN_TWO) -m "not slow" tests/export tests/runtime/test_imports.py tests/runtime/engine/test_openvino.py

slow: .venv/stamp ## the tests that need minutes or gigabytes
	.venv/bin/python -m pytest -q -m slow

format: .venv-check/stamp ## rewrite the sources in the project's format
	.venv-check/bin/ruff format .
	.venv-check/bin/ruff check --fix .

clean: ## remove the virtual environments and caches
	rm -rf .venv .venv-check .venv-runtime .venv-bench .venv-demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
