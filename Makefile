# Every target does all its own set-up: virtual environment, packages, and (as root on Debian) Xvfb and the libraries that Qt needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo
DEBIAN := xvfb libegl1 libgl1 libgl1-mesa-dri libxcb-cursor0 libxkbcommon-x11-0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-image0 libxcb-render-util0 libxcb-randr0 libxcb-xinerama0 libdbus-1-3 libfontconfig1 fonts-dejavu-core
# What the environment takes with PyTorch for CUDA, the default on Linux.
NEEDED_GB := 9
SCREEN := xvfb-run -a -s "-screen 0 1600x1000x24"
# On a machine with a display (or another system) nothing virtual is needed.
RUN := $(if $(DISPLAY),,$(if $(shell uname -s | grep -i linux),$(SCREEN),))
# Threads that wait for work by spinning slow everything down on small machines.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint docs benchmark screen clean

demo: $(VENV)/installed screen
	$(BIN)/neurrator demo --no-window --out $(OUT)

test: $(VENV)/test-installed screen
	$(RUN) $(BIN)/python -m pytest -n 2

lint: $(VENV)/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs-installed
	$(BIN)/mkdocs build --strict

benchmark: $(VENV)/test-installed screen
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/decoders.py
	$(BIN)/python benchmarks/vision.py
	$(BIN)/python benchmarks/language.py
	$(BIN)/python benchmarks/dictionary.py
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/session_size.py
	$(BIN)/python benchmarks/backend.py
	$(RUN) $(BIN)/python benchmarks/session_window.py
	$(RUN) $(BIN)/python benchmarks/session_narrations.py
	$(RUN) $(BIN)/python benchmarks/window_play.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	@free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 1000000) }'); \
		[ "$$free" -ge $(NEEDED_GB) ] || echo "Only $$free GB of disk are free here; the environment takes about $(NEEDED_GB): make room if installing fails." >&2
	@echo "Installing napari-neurrator and all that it needs (about 3 minutes)"
	$(BIN)/python -m pip install -e ".[all]"
	@touch $@

$(VENV)/test-installed: $(VENV)/installed
	$(BIN)/python -m pip install --group test
	@touch $@

$(VENV)/docs-installed: $(VENV)/installed
	$(BIN)/python -m pip install --group docs
	@touch $@

# Xvfb and Qt's libraries, where there is no display and we may install them.
screen:
	@if [ -z "$$DISPLAY" ] && [ "$$(uname -s)" = Linux ] && ! { command -v xvfb-run && ldconfig -p | grep -q libxcb-cursor && ldconfig -p | grep -q libEGL; } >/dev/null 2>&1; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Xvfb and the libraries that Qt needs"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(DEBIAN) >/dev/null; \
		else \
			echo "There is no display: install these packages first: $(DEBIAN)" >&2; exit 2; \
		fi; \
	fi

clean:
	rm -rf $(VENV) demo dist site
