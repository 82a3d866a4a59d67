# make demo, make test, make lint, make benchmarks: each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CAPTURE := demo/tabletop
RUN := demo/run/point2act/demo

# Idle threads of torch and numba sleep instead of spinning on the cores the others need.
export OMP_WAIT_POLICY ?= passive

.PHONY: install demo test lint benchmarks clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable ".[sim,arm,test]"
	touch $@

# ── the demo: simulate a capture, train, grasp, prove it in physics ──────────────────────────────
demo: demo/trial/trials.json
	@echo
	@echo "grasps:  $(CURDIR)/demo/grasps.json"
	@echo "report:  $(CURDIR)/demo/report.html"

$(CAPTURE)/transforms.json: $(VENV)/.installed
	$(BIN)/point2act simulate --scene tabletop --seed 0 --output $(CAPTURE)

# Not config.yml: nerfstudio writes that before it trains, and an interrupted run must not look done.
$(RUN)/.trained: $(CAPTURE)/transforms.json
	$(BIN)/ns-train point2act --data $(CAPTURE) --output-dir demo --experiment-name run --timestamp demo
	touch $@

demo/grasps.json: $(RUN)/.trained
	$(BIN)/point2act grasp --load-config $(RUN)/config.yml --output demo/grasps.json

demo/trial/trials.json: demo/grasps.json
	$(BIN)/point2act simulate --try demo/grasps.json --output demo/trial

# ── checks ───────────────────────────────────────────────────────────────────────────────────────
# Two at a time, file by file: what a file has made serves all its tests. Slow ones last, as they are sorted.
test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

# SUITES="raster fit" measures those; with none, all of them. QUICK=--quick measures less.
benchmarks: install
	$(BIN)/python -m benchmarks $(SUITES) $(QUICK) --gate

clean:
	rm -rf $(VENV) demo build *.egg-info
