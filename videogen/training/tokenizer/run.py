"""A run of stage one from its configuration."""

from collections.abc import Callable
from pathlib import Path

from videogen.data import refuse_changed
from videogen.training.loop.config import CHANGEABLE
from videogen.training.loop.distributed import data_device
from videogen.training.loop.mirror_fetch import fetch_missing_run
from videogen.training.loop.train import train
from videogen.training.loop.trainer import Callbacks, TrainingResult
from videogen.training.records.run_folder import config_dict
from videogen.training.tokenizer.clips import ClipBatches
from videogen.training.tokenizer.config import TokenizerTrainingConfig
from videogen.training.tokenizer.stage import TokenizerStage
from videogen.training.tokenizer.text import input_of, load_text, with_input

PLACES = frozenset({"data.train", "data.validation", "data.workers"})  # a set may move; its clips must stay the same


def run_tokenizer(
    config: TokenizerTrainingConfig, folder: Path, resume: bool, **callbacks: Callable[..., None]
) -> TrainingResult:
    """Train in `folder`; the callbacks are those of `Callbacks`."""
    if resume:
        fetch_missing_run(config.training.mirror, folder, Callbacks(**callbacks).on_note)
    clips = ClipBatches(config)
    for index in clips.indexed:
        refuse_changed(index)
    conditioner = load_text(config, clips, folder, "cpu" if config.text is None else data_device())
    known = with_input(config, input_of(conditioner))
    fingerprint = None if conditioner is None else conditioner.fingerprint
    resolved = {**config_dict(config), "clips": clips.fingerprint(), "conditioner": fingerprint}
    return train(
        lambda: TokenizerStage(known, clips, conditioner),
        config.training,
        folder,
        resolved,
        resume,
        Callbacks(**callbacks),
        CHANGEABLE | PLACES,
        notes=(clips.report().line(), *alignment_notes(config)),
    )


def alignment_notes(config: TokenizerTrainingConfig) -> tuple[str, ...]:
    """Whether latents are aligned, where the configuration speaks of it."""
    if config.loss.alignment is None:
        return ()
    folder = config.loss.alignment.folder
    return ("alignment: off, no folder is named" if folder is None else f"alignment: to the vision model in {folder}",)
