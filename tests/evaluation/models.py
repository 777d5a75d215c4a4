"""Whole model folders with random weights: a small tokenizer, and a tiny prior for its tokens."""

from pathlib import Path

from prior.config import Objective
from tests.prior.models import tiny_config, tiny_model
from tests.tokenizer.models import small_config, small_model
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.models import load_tokenizer, prior_files, tokenizer_files


def write_whole_model(folder: Path, objective: Objective = "masked") -> Path:
    """5 frames (2 latent frames) of 16 x 16 at 8 per second, 2 x 2 tokens per latent frame, without text."""
    config = small_config(f_t=4, f_s=8)
    write_folder(
        folder / "tokenizer",
        tokenizer_files(config, ClipSpec(16, 16, 8.0, 5), small_model(config).state_dict(), "# a card"),
    )
    tokenizer = load_tokenizer(folder / "tokenizer")
    prior = tiny_config(objective, spec=tokenizer.spec)
    weights = {name: tensor.float() for name, tensor in tiny_model(prior).state_dict().items()}
    files = prior_files(tokenizer, prior, ClipSpec(16, 16, 8.0, 5), weights, None, "# a card")
    write_folder(folder / "model", files)
    return folder / "model"
