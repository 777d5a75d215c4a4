#!/bin/sh
# Trains the bundled model from nothing: hours on a CPU. It can be stopped at any time; run again, it resumes.
# Call it in the checkout, after `make setup`; `make train-playroom` does both.
set -eu
cd "$(dirname "$0")/.."
videogen() { .venv/bin/python -m videogen "$@"; }
prior() { videogen train prior "$@" --tokenizer runs/playroom_64_cpu --resume; }

held_out=configs/playroom/held_out.yaml
frames=configs/prior/playroom_64_cpu_pictures.yaml
openings=configs/prior/playroom_64_cpu_openings.yaml
clips=configs/prior/playroom_64_cpu.yaml

# The tokenizer
videogen data playroom data/playroom_64 --clips 6000 --seed 1
videogen data index data/playroom_64
videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml --run runs/playroom_64_cpu --resume

# The prior: clips from their first frames ...
videogen data playroom data/playroom_64_clips/short --config $held_out clips=16000 frames=17
videogen data playroom data/playroom_64_clips/long --config $held_out clips=3000 seed=2
videogen data index data/playroom_64_clips
videogen encode data/playroom_64_clips data/playroom_64_tokens --model runs/playroom_64_cpu --workers 2
videogen data playroom data/playroom_64_pictures --config $held_out clips=120000 frames=1 seed=11
videogen data index data/playroom_64_pictures
videogen encode data/playroom_64_pictures data/playroom_64_picture_tokens --model runs/playroom_64_cpu --workers 2
prior $frames
prior $clips init_from=runs/playroom_64_cpu_pictures --run runs/playroom_64_cpu_clips

# ... then, in turn, their first two latent frames and whole clips ...
videogen data playroom data/playroom_64_openings --config $held_out clips=48000 frames=5 seed=21
videogen data index data/playroom_64_openings
videogen encode data/playroom_64_openings data/playroom_64_opening_tokens --model runs/playroom_64_cpu --workers 2
prior $openings
prior $clips data.clip_start_share=0.75 init_from=runs/playroom_64_cpu_openings --run runs/playroom_64_cpu_clips_2
prior $openings init_from=runs/playroom_64_cpu_clips_2 training.steps=3600 --run runs/playroom_64_cpu_openings_2
prior $clips data.clip_start_share=0.75 init_from=runs/playroom_64_cpu_openings_2 \
  training.steps=3200 optimizer.learning_rate=1.5e-3 \
  "phases=[{from_step: 0, frames: 5}, {from_step: 2800, frames: 5, rollout_share: 0.25}]" \
  --run runs/playroom_64_cpu_clips_3

# ... and clips that it has not seen
videogen data playroom data/playroom_64_fresh/short --config $held_out clips=24000 frames=17 seed=31
videogen data playroom data/playroom_64_fresh/long --config $held_out clips=3000 seed=2
videogen data index data/playroom_64_fresh
videogen encode data/playroom_64_fresh data/playroom_64_fresh_tokens --model runs/playroom_64_cpu --workers 2
prior $clips data.clip_start_share=0.75 init_from=runs/playroom_64_cpu_clips_3 data.train=data/playroom_64_fresh_tokens \
  training.steps=3400 optimizer.learning_rate=1.5e-3 \
  "phases=[{from_step: 0, frames: 5}, {from_step: 3000, frames: 5, rollout_share: 0.25}]" \
  --run runs/playroom_64_prior

# A better decoder for the same tokens, in two sizes
decoder=configs/tokenizer/playroom_64_cpu_decoder.yaml
videogen train tokenizer $decoder --resume
videogen train tokenizer $decoder init_from=runs/playroom_64_cpu_decoder "tokenizer.decoder_blocks=[6, 4]" \
  training.steps=6000 optimizer.learning_rate=1.5e-3 --run runs/playroom_64_cpu_grown_decoder --resume

# One model folder, and a report about it
videogen export runs/playroom_64_prior runs/playroom_64_model --decoder runs/playroom_64_cpu_grown_decoder \
  --prompt-vocabulary configs/playroom/prompt_vocabulary.yaml --dtype float16 --overwrite
videogen evaluate generation --model runs/playroom_64_model --prompts playroom:200 --out runs/playroom_64_report --overwrite
