#!/bin/sh
# Two models that begin as the bundled one and train on tokens of its tokenizer: one that also writes captions, and one
# that makes a latent frame in two proposals. About an hour and a half of a CPU core each; stopped and run again, it
# resumes. Call it in the checkout, after `make setup`.
set -eu
cd "$(dirname "$0")/.."
videogen() { .venv/bin/python -m videogen "$@"; }

videogen data playroom data/playroom_64_captioned --config configs/playroom/held_out.yaml clips=10000 frames=17 seed=31
videogen data index data/playroom_64_captioned
videogen encode data/playroom_64_captioned data/playroom_64_captioned_tokens --model playroom --workers 2

videogen train prior configs/prior/playroom_64_cpu_unified.yaml --tokenizer playroom --run runs/unified --resume
videogen data playroom data/playroom_64_fresh_clips --config configs/playroom/held_out.yaml clips=2000 frames=17 seed=47
videogen data index data/playroom_64_fresh_clips
videogen evaluate captions data/playroom_64_fresh_clips --model runs/unified --out runs/unified_captions --overwrite
videogen evaluate generation --model runs/unified --prompts playroom:500 --out runs/unified_report --overwrite

videogen train prior configs/prior/playroom_64_variational_cpu.yaml --tokenizer playroom --run runs/variational --resume
videogen evaluate generation --model runs/variational --prompts playroom:1000 --out runs/variational_report --overwrite
