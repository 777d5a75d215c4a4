"""A lab of two tiny variants, whose trainings run in this process: starting one imports torch each time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from videogen.lab.child import ACTIONS
from videogen.lab.job import LabJob

BASE = """\
schema: tokenizer
data: {train: clips, fps: 8, validation_clips: 2, workers: 1}
phases:
  - {from_step: 0, height: 16, width: 16, frames: 5}
tokenizer:
  f_t: 4
  f_s: 8
  front: haar
  front_t: 4
  front_s: 4
  encoder_widths: [4, 8]
  encoder_blocks: [1, 1]
  decoder_widths: [4, 8]
  decoder_blocks: [1, 1]
  attention: false
  kernel_t: 2
  quantizer: {kind: fsq, levels: [4, 4]}
  spread_weight: 0.1
loss: {l1: 1, l2: 1, perceptual: null, adversarial: null}
optimizer: {learning_rate: 1e-3, warmup: 1, schedule: cosine}
training: {steps: 9, batch_size: 2}
"""
RECIPE = """\
schema: lab
title: Two of a kind
question: Which is larger?
base: base.yaml
data: {kind: playroom, train: {clips: 6, size: 16, frames: 5, seed: 3}, held_out: 3}
budget: {steps: 3}
measures: [reconstruction, usage, oracle, prefix, soft_gap, cost]
validations: 3
variants:
  small: {label: "4 x 4", group: FSQ}
  large:
    label: 8 x 8
    group: FSQ
    note: has more codes
    set:
      tokenizer.quantizer: {kind: fsq, levels: [8, 8]}
charts:
  - {kind: curves, figures: [psnr], title: While training}
  - {kind: values, figures: [psnr], title: In the end}
  - {kind: values, figures: [codebook_use, codebook_evenness], title: Usage}
  - {kind: points, figures: [bits_per_token, psnr], title: Points}
  - {kind: lines, figures: [bits_per_token, psnr], title: Lines}
  - {kind: numbered, figures: [psnr_levels], title: No residual quantizer here}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """recipe.yaml, with its base beside it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("recipe.yaml").write_text(RECIPE)
    return Path("recipe.yaml")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was run, as (action, variant)."""
    ran: list[tuple[str, str]] = []

    def run(action: str, folder: Path, threads: int, name: str) -> None:
        ran.append((action, name))
        ACTIONS[action](LabJob.read(folder), folder)

    for module in ("runner", "parallel"):
        monkeypatch.setattr(f"videogen.lab.{module}.run_child", run)
    return ran


@pytest.fixture
def change(recipe: Path) -> Callable[[str, str], None]:
    """Replaces text of the recipe that is there once."""

    def replace(before: str, after: str) -> None:
        text = recipe.read_text()
        assert text.count(before) == 1
        recipe.write_text(text.replace(before, after))

    return replace
