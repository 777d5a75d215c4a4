#!/bin/sh
# Both stages of training in small: a captioned world, a tokenizer, a prior; minutes on a CPU, all in out/.
# Call it in the checkout, after `make setup`; `make demo-training` does both. Stopped and run again, it resumes.
set -eu
cd "$(dirname "$0")/.."
videogen() { .venv/bin/python -m videogen "$@"; }
mkdir -p out

videogen data playroom out/playroom --clips 192 --seed 7 --sheet out/playroom.png --reel out/playroom.mp4
videogen data index out/playroom
videogen data score out/playroom
videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml data.train=out/playroom data.validation_share=0.1 \
  training.steps=200 training.validate_every=100 --run out/tokenizer --resume
videogen reconstruct out/playroom/clip_000000.mp4 out/reconstructed.mp4 --model out/tokenizer --side-by-side --overwrite
videogen train prior configs/prior/playroom_64_cpu.yaml data.train=out/playroom data.validation_share=0.1 \
  data.validation_clips=16 training.precision=fp32 training.steps=60 training.validate_every=30 training.sample_every=0 \
  "phases=[{from_step: 0, frames: 5}]" --tokenizer out/tokenizer --run out/prior --resume
videogen selftest out/prior
videogen generate "a small red ring drifts left slowly over a dark blue background" -o out/small.mp4 --model out/prior \
  --seconds 4 --guidance-scale 2 --seed 1 --overwrite

echo
echo "look at  out/playroom.png         a contact sheet: one clip a row, its caption under it"
echo "         out/playroom.mp4         the same clips, playing side by side"
echo "         out/reconstructed.mp4    a clip beside its reconstruction after 200 steps of training"
echo "         out/small.mp4            a video of a prompt after 60 steps of a prior: no ring yet, but every part works"
