"""A run of stage two from its configuration."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from interfaces.tokens import TokenSpec
from prior.heads import make_head
from sampling.config import SamplerConfig
from videogen.conditioning import BPEConfig, Conditioner, load_conditioner, make_conditioner
from videogen.conditioning.bpe import BPEConditioner
from videogen.conditioning.folder import CONFIG
from videogen.data import load_index, refuse_changed
from videogen.data.split import hold_out
from videogen.errors import DataError, UsageError
from videogen.models import INDEX, TokenizerModel, check_sampler, keep_first_tokens, load_tokenizer, open_model
from videogen.storage import Location
from videogen.tokens import TokenSet, encode
from videogen.tokens.description import NAME, read_description
from videogen.tokens.windows import split_rows
from videogen.training.loop.config import CHANGEABLE
from videogen.training.loop.distributed import data_device
from videogen.training.loop.mirror_fetch import fetch_missing_run
from videogen.training.loop.stage import naming_init_from
from videogen.training.loop.train import train
from videogen.training.loop.trainer import Callbacks, TrainingResult
from videogen.training.prior.batches import TokenBatches
from videogen.training.prior.config import PriorTrainingConfig
from videogen.training.prior.distillation import DistillationStage
from videogen.training.prior.stage import PRIOR, PriorStage
from videogen.training.prior.variational import VariationalStage
from videogen.training.records.run_folder import RunFolder, config_dict

CHANGEABLE_HERE = frozenset({"data.train", "data.validation", "kernel", "recompute", "tokenizer_preset"})
GENERATION = frozenset({"generation", *(f"generation.{field.name}" for field in fields(SamplerConfig))})
TOKENIZER_PATH = "tokenizer_path"  # where the tokenizer was when the run began


def run_prior(
    config: PriorTrainingConfig,
    tokenizer_path: Path | None,
    folder: Path,
    resume: bool,
    **callbacks: Callable[..., None],
) -> TrainingResult:
    """Train in `folder` on the tokens of a tokenizer; the callbacks are those of `Callbacks`.

    A run that has begun needs no tokenizer path: its model holds a copy, and its configuration the path.
    """
    device, given = data_device(), Callbacks(**callbacks)
    told = given if os.environ.get("RANK", "0") == "0" else Callbacks()
    if resume:
        fetch_missing_run(config.training.mirror, folder, told.on_note)
    tokenizer = tokenizer_for(config.data.train, tokenizer_path or tokenizer_of_run(folder), device)
    check_head(config, tokenizer.spec)
    check_generation(config, tokenizer.spec)
    check_validation(config, tokenizer.fingerprint)
    places = ((config.data.train, folder / "tokens"), (config.data.validation, folder / "validation_tokens"))
    for data, place in places:
        if data is not None and not (data / NAME).is_file() and not is_finished(place):
            refuse_changed(load_index(data))
    sets = [None if data is None else open_tokens(data, tokenizer, place, told) for data, place in places]
    assert sets[0] is not None
    if sets[1] is not None:
        sets[1].require_control(sets[0].description.control)
    if config.teaching.control_dropout and sets[0].description.control is None:
        raise UsageError(f"teaching.control_dropout is {config.teaching.control_dropout:g}, and no clip has a control")
    token_batches = TokenBatches(config, sets[0], sets[1])
    conditioner = load_text(config, token_batches, folder, device)
    dependencies = {
        "tokenizer": tokenizer.fingerprint,
        TOKENIZER_PATH: RunFolder(folder).recorded(TOKENIZER_PATH) or str(Path(tokenizer.path).resolve()),
        "tokens": [None if each is None else config_dict(each.description) for each in sets],
        "conditioner": None if conditioner is None else conditioner.fingerprint,
    }
    return train(
        lambda: make_stage(config, token_batches, tokenizer, conditioner),
        config.training,
        folder,
        {**config_dict(config), **dependencies},
        resume,
        given,
        CHANGEABLE | CHANGEABLE_HERE | GENERATION | {TOKENIZER_PATH},
        notes=(token_batches.report().line(),),
    )


def make_stage(
    config: PriorTrainingConfig,
    token_batches: TokenBatches,
    tokenizer: TokenizerModel,
    conditioner: Conditioner | None,
) -> PriorStage:
    kind: type[PriorStage] = PriorStage
    if config.distillation is not None:
        kind = DistillationStage
    elif config.variational is not None:
        kind = VariationalStage
    return kind(config, token_batches, tokenizer, conditioner)


def tokenizer_for(data: Location, path: str | Path, device: str = "cpu") -> TokenizerModel:
    """The tokenizer at `path`, making only as many first tokens as the token set `data` holds, if it is one."""
    model = load_tokenizer(path, device)
    if not model.prefixes or not (data / NAME).is_file():
        return model
    tokens = read_description(data).spec.tokens
    return keep_first_tokens(model, tokens) if tokens < model.spec.tokens else model


def tokenizer_of_run(folder: Path) -> Path:
    """The tokenizer of a run that has begun; UsageError for any other folder."""
    run = RunFolder(folder)
    known = run.recorded(TOKENIZER_PATH)  # before the model: a run of version 1 says so itself
    if (run.model / INDEX).is_file():
        return run.model
    if known is None:
        raise UsageError("--tokenizer is missing: name the model folder or the run of the tokenizer")
    return Path(known)


def check_head(config: PriorTrainingConfig, spec: TokenSpec) -> None:
    """UsageError for a head that cannot draw these tokens, before hours are spent on encoding."""
    try:
        with torch.device("meta"):
            make_head(config.prior.head, spec, config.prior.width)
        config.prior.with_tokens(spec, None)
    except ValueError as error:
        raise UsageError(f"prior.{error}") from None


def check_generation(config: PriorTrainingConfig, spec: TokenSpec) -> None:
    """UsageError for sampling settings that do not fit these tokens."""
    if config.generation is not None:
        check_sampler(config.generation, config.prior.with_tokens(spec, None))


def check_validation(config: PriorTrainingConfig, tokenizer: str | None) -> None:
    """Check the validation set before hours are spent on encoding.

    DataError if it has no usable clip; CheckpointError if its tokens are of a tokenizer with another fingerprint.
    """
    train, validation = config.data.train, config.data.validation
    if validation is not None and (validation / NAME).is_file():
        TokenSet.open(validation, tokenizer)
    elif validation is not None:
        if not load_index(validation).good:
            raise DataError(f"{validation}: no usable clip, so there is nothing to validate with")
    elif (train / NAME).is_file():
        split_rows(TokenSet.open(train, tokenizer), config.data.validation_share)
    else:
        hold_out(load_index(train), config.data.validation_share)


def open_tokens(data: Location, tokenizer: TokenizerModel, place: Path, callbacks: Callbacks) -> TokenSet:
    """The tokens of this tokenizer in `data`; clips are first encoded to `place`, by all processes together."""
    if not (data / NAME).is_file():
        index = load_index(data)
        if not is_finished(place):
            callbacks.on_note(f"encoding {len(index.good)} clips first; `videogen encode --workers` shares the work")
        encode(index, place, tokenizer, on_progress=callbacks.on_encoding)
        data = place
    return TokenSet.open(data, tokenizer.fingerprint)


def is_finished(place: Path) -> bool:
    try:
        return bool(len(TokenSet.open(place)))
    except DataError:
        return False


def load_text(
    config: PriorTrainingConfig, token_batches: TokenBatches, folder: Path, device: str
) -> Conditioner | None:
    """The reader of captions. A run with `init_from` keeps the vocabulary that its first weights were trained with."""
    if config.text is None:
        return None
    if config.init_from is not None and isinstance(config.text, BPEConfig):
        return vocabulary_of(config.init_from, config.text, folder)
    windows = token_batches.windows[0]
    captions = {windows.tokens.label(int(row))[1] for row in windows.rows}
    return make_conditioner(config.text, captions, folder / "features", device)


def vocabulary_of(path: Path, config: BPEConfig, folder: Path | None = None) -> BPEConditioner:
    """The vocabulary of the `init_from` model, from the copy in the run's own export if there is one."""
    own = None if folder is None else folder / "model"
    with naming_init_from():
        model = open_model(path if own is None or not (own / INDEX).is_file() else own, PRIOR)
    given = load_conditioner(model) if CONFIG in model.hashes else None
    if not isinstance(given, BPEConditioner) or given.config != config:
        raise UsageError(f"init_from names {path}, whose text configuration differs from this one")
    return given
