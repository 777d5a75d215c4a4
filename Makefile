# Two commands do everything: `make demo` and `make test`. Each sets the project up by itself.
PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: help setup setup-dev demo test test-slow lint format bench clean

help:  ## what can be made here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:  ## make .venv and install what generation and training need
	@$(PYTHON) bootstrap.py

setup-dev:  ## the same, with the tools for tests and lint
	@$(PYTHON) bootstrap.py dev

TINY := data.validation_share=0.1 training.steps=200 training.validate_every=100
SMALL := data.validation_share=0.1 data.validation_clips=16 training.steps=60 training.validate_every=30 training.sample_every=0 "phases=[{from_step: 0, frames: 5}]"
RING := "a small red ring drifts left over a dark blue background"

demo: setup  ## make a captioned world, train a small tokenizer and prior on it, generate; minutes, all in out/
	@mkdir -p out
	@$(RUN) videogen data playroom out/playroom --clips 192 --seed 7 --sheet out/playroom.png --reel out/playroom.mp4
	@$(RUN) videogen data index out/playroom
	@$(RUN) videogen data score out/playroom
	@$(RUN) videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml data.train=out/playroom $(TINY) --run out/tokenizer --resume
	@$(RUN) videogen reconstruct out/playroom/clip_000000.mp4 out/seen.mp4 --model out/tokenizer --side-by-side
	@$(RUN) videogen train prior configs/prior/playroom_64_cpu.yaml data.train=out/playroom $(SMALL) --tokenizer out/tokenizer --run out/prior --resume
	@$(RUN) videogen selftest out/prior
	@$(RUN) videogen generate $(RING) -o out/ring.mp4 --model out/prior --seconds 4 --guidance-scale 2 --seed 1 --overwrite
	@echo
	@echo "look at  out/playroom.png         a contact sheet: one clip a row, its caption under it"
	@echo "         out/playroom.mp4         the same clips, playing side by side"
	@echo "         out/seen.mp4             a clip beside what 200 steps of training give back of it"
	@echo "         out/ring.mp4             what 60 steps of a prior make of a prompt: no ring yet, but every part at work"
	@echo "then     .venv/bin/videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml --help"

test: setup-dev lint  ## lint, then every test but the slow ones
	@$(RUN) pytest -q -m "not slow"

test-slow: setup-dev  ## the long tier: thousands of scenes, hundreds of damaged files, random kills
	@$(RUN) pytest -q -m slow

lint: setup-dev  ## ruff, mypy, import-linter
	@$(RUN) ruff format --check --quiet .
	@$(RUN) ruff check --quiet .
	@$(RUN) mypy
	@.venv/bin/lint-imports --no-cache

format: setup-dev  ## let ruff put the code in order
	@$(RUN) ruff format --quiet .
	@$(RUN) ruff check --quiet --fix .

bench: setup-dev  ## every benchmark, one after the other, with the hardware named
	@for file in benchmarks/[a-z]*.py; do [ $$file = benchmarks/hardware.py ] || $(RUN) benchmarks.$$(basename $$file .py) || exit $$?; done

clean:  ## remove what was made here, but not the data sets and runs
	rm -rf .venv out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
