# Two commands do everything: `make demo` and `make test`. Each sets the project up by itself.
PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: help setup setup-dev setup-serve demo demo-training train-playroom test test-slow test-browser test-services lint format bench gpu-check clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup:  ## make .venv and install what generation and training need
	@$(PYTHON) bootstrap.py

setup-dev:  ## also install the tools for tests and lint
	@$(PYTHON) bootstrap.py dev serve

setup-serve:  ## also install what the studio needs
	@$(PYTHON) bootstrap.py serve

DEMO := out/clips/clip_000000
RING := "a small red ring drifts left slowly over a dark blue background"

demo: setup  ## the bundled model makes videos of three prompts and continues a clip; a minute, all in out/
	@mkdir -p out
	@$(RUN) videogen generate $(RING) -o out/ring.mp4 --seconds 4 --seed 1 --overwrite
	@$(RUN) videogen generate $(RING) -o out/ring.gif --seconds 4 --seed 1 --overwrite --quiet
	@$(RUN) videogen data playroom out/clips --clips 3 --seed 7 --quiet
	@$(RUN) videogen continue $(DEMO).mp4 -o out/continued.mp4 --prompt "$$(cat $(DEMO).txt)" --seconds 4 --seed 1 --overwrite
	@$(RUN) videogen evaluate generation --prompts configs/playroom/demo.txt --out out/report --overwrite --drift-frames 0
	@echo
	@echo "look at  out/ring.mp4, out/ring.gif   $$(echo $(RING))"
	@echo "         out/continued.mp4            two seconds of a clip, and how the model continues it"
	@echo "         out/report/clips_0_*.png     three prompts, a row each, and what the oracle recognizes in them"
	@echo "then     .venv/bin/videogen generate \"a large yellow star spins over plain black\" -o star.mp4"
	@echo "         .venv/bin/videogen serve     the same in a browser (after: make setup-serve)"
	@echo "         make demo-training           both stages of training, in small"

demo-training: setup  ## train a small tokenizer and a small prior on a captioned world; minutes, all in out/
	@recipes/demo_training.sh

train-playroom: setup  ## train the bundled model from nothing; hours, can be stopped and run again
	@recipes/playroom.sh

test: setup-dev lint  ## lint, then all tests except the tiers below
	@OMP_NUM_THREADS=1 $(RUN) pytest -q -m "not slow and not browser and not services" -n auto --maxprocesses 4 --dist loadfile

test-slow: setup-dev  ## the long tier: thousands of scenes, hundreds of damaged files, random kills
	@$(RUN) pytest -q -m slow

test-browser: setup-dev  ## test the studio in a real Chromium, which has to be installed
	@$(PYTHON) bootstrap.py dev serve browser
	@$(RUN) pytest -q -m browser

test-services:  ## test with a real Ray cluster, S3 server, MLflow and Weights & Biases; installs them
	@$(PYTHON) bootstrap.py dev serve services
	@$(RUN) pytest -q -m services

lint: setup-dev  ## ruff, mypy, import-linter
	@$(RUN) ruff format --check --quiet .
	@$(RUN) ruff check --quiet .
	@$(RUN) mypy
	@.venv/bin/lint-imports --no-cache

format: setup-dev  ## format with ruff
	@$(RUN) ruff format --quiet .
	@$(RUN) ruff check --quiet --fix .

bench: setup-dev  ## run every benchmark and name the hardware
	@for file in $$(grep -l __main__ benchmarks/*/*.py | grep -v gpu_check); do $(RUN) $$(echo $${file%.py} | tr / .) || exit $$?; done

gpu-check:  ## check and time all GPU code, in eight minutes; without a GPU, in small
	@$(or $(wildcard .venv/bin/python),$(PYTHON)) -m benchmarks.gpu_check

clean:  ## remove all that was made here, except data sets and runs
	rm -rf .venv out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
