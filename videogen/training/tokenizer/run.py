"""A run of stage one from its configuration."""

from collections.abc import Callable
from pathlib import Path

from videogen.data import refuse_changed
from videogen.training.loop.config import CHANGEABLE
from videogen.training.loop.train import train
from videogen.training.loop.trainer import Listener, Outcome
from videogen.training.records.run_folder import plain
from videogen.training.tokenizer.clips import Clips
from videogen.training.tokenizer.config import TokenizerTrainingConfig
from videogen.training.tokenizer.stage import TokenizerStage

ELSEWHERE = frozenset({"data.train", "data.validation", "data.workers"})  # a set may be moved; its clips may not change


def run_tokenizer(
    config: TokenizerTrainingConfig, folder: Path, resume: bool, **listener: Callable[..., None]
) -> Outcome:
    """Train in `folder`; the listeners are those of `Listener`."""
    clips = Clips(config)
    for index in clips.indexed:
        refuse_changed(index)
    resolved = {**plain(config), "clips": clips.fingerprint()}
    return train(
        lambda: TokenizerStage(config, clips),
        config.training,
        folder,
        resolved,
        resume,
        Listener(**listener),
        CHANGEABLE | ELSEWHERE,
        remarks=(clips.used().line(),),
    )
