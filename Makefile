# Two commands do everything: `make demo` and `make test`. Each sets the project up by itself.
PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: help setup setup-dev setup-serve demo demo-training train-playroom test test-slow test-browser lint format bench gpu-check clean

help:  ## what can be made here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup:  ## make .venv and install what generation and training need
	@$(PYTHON) bootstrap.py

setup-dev:  ## the same, with the tools for tests and lint
	@$(PYTHON) bootstrap.py dev serve

setup-serve:  ## the same, with what the studio needs
	@$(PYTHON) bootstrap.py serve

DEMO := out/clips/clip_000000
RING := "a small red ring drifts left slowly over a dark blue background"

demo: setup  ## the model that comes along makes videos of three prompts and goes on from a clip; a minute, all in out/
	@mkdir -p out
	@$(RUN) videogen generate $(RING) -o out/ring.mp4 --seconds 4 --seed 1 --overwrite
	@$(RUN) videogen generate $(RING) -o out/ring.gif --seconds 4 --seed 1 --overwrite --quiet
	@$(RUN) videogen data playroom out/clips --clips 3 --seed 7 --quiet
	@$(RUN) videogen continue $(DEMO).mp4 -o out/continued.mp4 --prompt "$$(cat $(DEMO).txt)" --seconds 4 --seed 1 --overwrite
	@$(RUN) videogen evaluate generation --prompts configs/playroom/demo.txt --out out/report --overwrite --drift-frames 0
	@echo
	@echo "look at  out/ring.mp4, out/ring.gif   $$(echo $(RING))"
	@echo "         out/continued.mp4            two seconds of a clip, and what the model goes on with"
	@echo "         out/report/clips_0_*.png     three prompts, a row each, and what the oracle sees in them"
	@echo "then     .venv/bin/videogen generate \"a large yellow star spins over plain black\" -o star.mp4"
	@echo "         .venv/bin/videogen serve     the same in a browser (after: make setup-serve)"
	@echo "         make demo-training           both stages of training, in small"

TINY := data.validation_share=0.1 training.steps=200 training.validate_every=100
SMALL := training.precision=fp32 data.validation_share=0.1 data.validation_clips=16 training.steps=60 training.validate_every=30 training.sample_every=0 "phases=[{from_step: 0, frames: 5}]"

demo-training: setup  ## make a captioned world, train a small tokenizer and a small prior on it; minutes, all in out/
	@mkdir -p out
	@$(RUN) videogen data playroom out/playroom --clips 192 --seed 7 --sheet out/playroom.png --reel out/playroom.mp4
	@$(RUN) videogen data index out/playroom
	@$(RUN) videogen data score out/playroom
	@$(RUN) videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml data.train=out/playroom $(TINY) --run out/tokenizer --resume
	@$(RUN) videogen reconstruct out/playroom/clip_000000.mp4 out/seen.mp4 --model out/tokenizer --side-by-side --overwrite
	@$(RUN) videogen train prior configs/prior/playroom_64_cpu.yaml data.train=out/playroom $(SMALL) --tokenizer out/tokenizer --run out/prior --resume
	@$(RUN) videogen selftest out/prior
	@$(RUN) videogen generate $(RING) -o out/small.mp4 --model out/prior --seconds 4 --guidance-scale 2 --seed 1 --overwrite
	@echo
	@echo "look at  out/playroom.png         a contact sheet: one clip a row, its caption under it"
	@echo "         out/playroom.mp4         the same clips, playing side by side"
	@echo "         out/seen.mp4             a clip beside what 200 steps of training give back of it"
	@echo "         out/small.mp4            what 60 steps of a prior make of a prompt: no ring yet, but every part at work"

CLIPS := data/playroom_64_clips
OPENINGS := data/playroom_64_openings
HELD_OUT := --config configs/playroom/held_out.yaml
CLIPS_AGAIN := configs/prior/playroom_64_cpu.yaml data.clip_start_share=0.75
LAST := training.steps=3200 optimizer.learning_rate=1.5e-3 "phases=[{from_step: 0, frames: 5}, {from_step: 2800, frames: 5, rollout_share: 0.25}]"
FRESH := data/playroom_64_fresh
LAST_FRESH := data.train=$(FRESH)_tokens training.steps=3400 optimizer.learning_rate=1.5e-3 "phases=[{from_step: 0, frames: 5}, {from_step: 3000, frames: 5, rollout_share: 0.25}]"
GROWN := init_from=runs/playroom_64_cpu_decoder "tokenizer.decoder_blocks=[6, 4]" training.steps=6000 optimizer.learning_rate=1.5e-3

train-playroom: setup  ## make the model that comes along from nothing; hours, can be stopped and run again
	@$(RUN) videogen data playroom data/playroom_64 --clips 6000 --seed 1
	@$(RUN) videogen data index data/playroom_64
	@$(RUN) videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml --run runs/playroom_64_cpu --resume
	@$(RUN) videogen data playroom $(CLIPS)/short $(HELD_OUT) clips=16000 frames=17
	@$(RUN) videogen data playroom $(CLIPS)/long $(HELD_OUT) clips=3000 seed=2
	@$(RUN) videogen data index $(CLIPS)
	@$(RUN) videogen encode $(CLIPS) data/playroom_64_tokens --model runs/playroom_64_cpu --workers 2
	@$(RUN) videogen data playroom data/playroom_64_pictures $(HELD_OUT) clips=120000 frames=1 seed=11
	@$(RUN) videogen data index data/playroom_64_pictures
	@$(RUN) videogen encode data/playroom_64_pictures data/playroom_64_picture_tokens --model runs/playroom_64_cpu --workers 2
	@$(RUN) videogen train prior configs/prior/playroom_64_cpu_pictures.yaml --tokenizer runs/playroom_64_cpu --resume
	@$(RUN) videogen train prior configs/prior/playroom_64_cpu.yaml init_from=runs/playroom_64_cpu_pictures --tokenizer runs/playroom_64_cpu --run runs/playroom_64_cpu_clips --resume
	@$(RUN) videogen data playroom $(OPENINGS) $(HELD_OUT) clips=48000 frames=5 seed=21
	@$(RUN) videogen data index $(OPENINGS)
	@$(RUN) videogen encode $(OPENINGS) data/playroom_64_opening_tokens --model runs/playroom_64_cpu --workers 2
	@$(RUN) videogen train prior configs/prior/playroom_64_cpu_openings.yaml --tokenizer runs/playroom_64_cpu --resume
	@$(RUN) videogen train prior $(CLIPS_AGAIN) init_from=runs/playroom_64_cpu_openings --tokenizer runs/playroom_64_cpu --run runs/playroom_64_cpu_clips_2 --resume
	@$(RUN) videogen train prior configs/prior/playroom_64_cpu_openings.yaml init_from=runs/playroom_64_cpu_clips_2 training.steps=3600 --tokenizer runs/playroom_64_cpu --run runs/playroom_64_cpu_openings_2 --resume
	@$(RUN) videogen train prior $(CLIPS_AGAIN) init_from=runs/playroom_64_cpu_openings_2 $(LAST) --tokenizer runs/playroom_64_cpu --run runs/playroom_64_cpu_clips_3 --resume
	@$(RUN) videogen data playroom $(FRESH)/short $(HELD_OUT) clips=24000 frames=17 seed=31
	@$(RUN) videogen data playroom $(FRESH)/long $(HELD_OUT) clips=3000 seed=2
	@$(RUN) videogen data index $(FRESH)
	@$(RUN) videogen encode $(FRESH) $(FRESH)_tokens --model runs/playroom_64_cpu --workers 2
	@$(RUN) videogen train prior $(CLIPS_AGAIN) init_from=runs/playroom_64_cpu_clips_3 $(LAST_FRESH) --tokenizer runs/playroom_64_cpu --run runs/playroom_64_prior --resume
	@$(RUN) videogen train tokenizer configs/tokenizer/playroom_64_cpu_decoder.yaml --resume
	@$(RUN) videogen train tokenizer configs/tokenizer/playroom_64_cpu_decoder.yaml $(GROWN) --run runs/playroom_64_cpu_grown_decoder --resume
	@$(RUN) videogen export runs/playroom_64_prior runs/playroom_64_model --decoder runs/playroom_64_cpu_grown_decoder --prompt-vocabulary configs/playroom/prompt_vocabulary.yaml --dtype float16 --overwrite
	@$(RUN) videogen evaluate generation --model runs/playroom_64_model --prompts playroom:200 --out runs/playroom_64_report --overwrite

test: setup-dev lint  ## lint, then every test but the slow ones and those in a browser
	@$(RUN) pytest -q -m "not slow and not browser"

test-slow: setup-dev  ## the long tier: thousands of scenes, hundreds of damaged files, random kills
	@$(RUN) pytest -q -m slow

test-browser: setup-dev  ## the studio in a real Chromium, which has to be installed
	@$(PYTHON) bootstrap.py dev serve browser
	@$(RUN) pytest -q -m browser

lint: setup-dev  ## ruff, mypy, import-linter
	@$(RUN) ruff format --check --quiet .
	@$(RUN) ruff check --quiet .
	@$(RUN) mypy
	@.venv/bin/lint-imports --no-cache

format: setup-dev  ## let ruff put the code in order
	@$(RUN) ruff format --quiet .
	@$(RUN) ruff check --quiet --fix .

bench: setup-dev  ## every benchmark, one after the other, with the hardware named
	@for file in $$(grep -l __main__ benchmarks/*/*.py | grep -v gpu_check); do $(RUN) $$(echo $${file%.py} | tr / .) || exit $$?; done

gpu-check:  ## prove and time everything that is written for a GPU, in eight minutes; without one, in small
	@$(or $(wildcard .venv/bin/python),$(PYTHON)) -m benchmarks.gpu_check

clean:  ## remove what was made here, but not the data sets and runs
	rm -rf .venv out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
