# make demo, pictures, test, test-all, lint, docs, benchmarks, dist, python-versions: each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CAPTURE := demo/tabletop
RUN := demo/run/point2act/demo
# Compatible editable mode: type checkers resolve `import point2act` from any folder.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat

# The pip that comes with Python 3.10 does not resolve the dependencies in half an hour.
RESOLVER := pip>=24.1

# Idle threads of torch and numba sleep instead of spinning on the cores the others need.
export OMP_WAIT_POLICY ?= passive

.PHONY: install demo pictures test test-all pytest pytest-all kernels lint schemas docs benchmarks dist python-versions clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "$(RESOLVER)"
	$(PIP) --editable ".[sim,act,test]"
	touch $@

# ── the demo: simulate a capture, train, grasp, prove it in physics ──────────────────────────────
demo: demo/trial/trials.json
	@echo
	@echo "grasps:  $(CURDIR)/demo/grasps.json"
	@echo "report:  $(CURDIR)/demo/report.html"

$(CAPTURE)/transforms.json: $(VENV)/.installed
	$(BIN)/point2act simulate --scene tabletop --seed 0 --sensor stereo --output $(CAPTURE)

# Not config.yml: nerfstudio writes that before it trains, and an interrupted run must not look done.
$(RUN)/.trained: $(CAPTURE)/transforms.json
	$(BIN)/ns-train point2act --data $(CAPTURE) --output-dir demo --experiment-name run --timestamp demo
	touch $@

demo/grasps.json: $(RUN)/.trained
	$(BIN)/point2act grasp --load-config $(RUN)/config.yml --output demo/grasps.json

demo/trial/trials.json: demo/grasps.json
	$(BIN)/point2act simulate --try demo/grasps.json --output demo/trial

# The pictures of README and docs: the cap of the bottle, from a view that shows it; the page and the report.
pictures: $(CAPTURE)/transforms.json
	$(BIN)/point2act run $(CAPTURE) --output demo/out
	$(BIN)/python tests/draw_page.py demo/out docs/assets
	$(BIN)/python examples/13_figure.py demo/out $(CAPTURE)/points.json docs/assets/demo.jpg \
		--query 2 --view 23 --trial

# ── checks ───────────────────────────────────────────────────────────────────────────────────────
# Two workers, file by file: a file's fixtures are set up once. conftest.py sorts files, longest first.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Lint runs beside the tests. test-all adds slow variants of tested behaviour, the tests of the benchmarks,
# more examples of each property, and types and shapes checked at run time.
test: install
	$(MAKE) --jobs 2 lint pytest

test-all: install
	$(MAKE) --jobs 2 lint pytest-all

pytest: kernels
	$(PYTEST) -m "not full"

pytest-all: kernels
	HYPOTHESIS_PROFILE=ci POINT2ACT_CHECK_TYPES=1 $(PYTEST) tests benchmarks/tests

# Compiled once, while lint uses the other core: in a fresh clone both workers would compile the same kernels.
kernels: install
	$(BIN)/python -c "from point2act.splatting.cpu.compile_kernels import warm_up; warm_up(compiling=lambda: None)"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/check_language.py
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python

# The JSON Schemas that ship, from the models of the formats.
schemas: install
	$(BIN)/python tests/write_schemas.py

docs: install
	$(BIN)/python -c "import material, mkdocstrings" 2> /dev/null || $(PIP) --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir build/site

# SUITES="raster fit" measures those; with none, all of them. QUICK=--quick measures less.
benchmarks: install
	$(BIN)/python -m benchmarks $(SUITES) $(QUICK) --gate

# ── distributions ────────────────────────────────────────────────────────────────────────────────
# The wheel alone is installed in a new environment, which finds its dependencies in $(VENV).
WHEEL := build/wheel

dist: install
	$(BIN)/python -m twine --version > /dev/null 2>&1 || $(PIP) --editable ".[dist]"
	rm -rf dist $(WHEEL)
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/pip install --quiet --disable-pip-version-check --no-deps dist/*.whl
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$($(WHEEL)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/dependencies.pth"
	cd $(WHEEL) && bin/python -c "import point2act, sys; assert point2act.__file__.startswith(sys.prefix)"
	cd $(WHEEL) && bin/point2act simulate --scene tabletop --seed 0 --output capture
	cd $(WHEEL) && bin/point2act run capture --output out
	cd $(WHEEL) && bin/point2act simulate --try out/grasps.json --output trial

# A smoke run on other versions of Python, each with all dependencies in an environment of its own.
VERSIONS := 3.10 3.12

python-versions: $(addprefix build/python,$(VERSIONS))

.PHONY: $(addprefix build/python,$(VERSIONS))
$(addprefix build/python,$(VERSIONS)): build/python%:
	@python=$$(ls -d $$HOME/.pyenv/versions/$*.*/bin/python 2> /dev/null | tail -1); \
	python=$${python:-$$(command -v python$*)}; \
	if [ -z "$$python" ]; then echo "python-versions: no Python $* on this machine, skipped"; exit 0; fi; \
	set -e; $$python -m venv $@; $@/bin/pip install --quiet --upgrade "$(RESOLVER)"; \
	$@/bin/pip install --quiet --disable-pip-version-check ".[sim]"; cd $@; \
	bin/point2act simulate --scene tabletop --seed 0 --output capture; \
	bin/point2act run capture --output out

clean:
	rm -rf $(VENV) demo build dist *.egg-info
