#!/bin/sh
# Models that begin as the bundled one and train on tokens of its tokenizer: one that also writes captions, one that makes
# a latent frame in two proposals, and one that learns this from samples of the bundled model, without guidance. An hour
# and a half of a CPU core for each of the first two, and one for the third; stopped and run again, it resumes. Call it in
# the checkout, after `make setup`.
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

videogen data sample data/playroom_64_captioned_tokens data/playroom_64_sampled_tokens --model playroom --clips 3200 --dtype bfloat16
videogen train prior configs/prior/playroom_64_variational_cpu.yaml --tokenizer playroom --run runs/from_samples --resume \
    data.train=data/playroom_64_sampled_tokens init_from=runs/variational \
    'phases=[{from_step: 0, frames: 2}, {from_step: 300, frames: 5}]' training.steps=600 variational.noise_warmup=200 \
    optimizer.learning_rate=1.5e-3 teaching.text_dropout=0 generation.guidance_scale=1
videogen evaluate generation --model runs/from_samples --prompts playroom:1000 --out runs/from_samples_report --overwrite
