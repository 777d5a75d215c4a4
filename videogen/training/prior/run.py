"""A run of stage two from its configuration: what it would be, and the run itself."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from sampling.config import SamplerConfig
from videogen.conditioning import BPEConfig, Conditioner, load_conditioner, make_conditioner
from videogen.conditioning.bpe import BPEConditioner
from videogen.conditioning.folder import CONFIG
from videogen.data import load_index, refuse_changed
from videogen.data.split import hold_out
from videogen.errors import DataError, UsageError
from videogen.models import INDEX, TokenizerModel, load_tokenizer, open_model
from videogen.tokens import TokenSet, encode
from videogen.tokens.description import NAME
from videogen.tokens.windows import split_rows
from videogen.training.loop.config import CHANGEABLE
from videogen.training.loop.distributed import device_for_lessons
from videogen.training.loop.train import train
from videogen.training.loop.trainer import Listener, Outcome
from videogen.training.prior.batches import Lessons
from videogen.training.prior.config import PriorTrainingConfig
from videogen.training.prior.init_weights import beginning
from videogen.training.prior.stage import PRIOR, PriorStage
from videogen.training.records.run_folder import OnNote, RunFolder, plain

ELSEWHERE = frozenset({"data.train", "data.validation", "kernel", "recompute", "tokenizer_preset"})
ASKED = frozenset({"generation", *(f"generation.{field.name}" for field in fields(SamplerConfig))})  # trains nothing
TOKENIZER_PATH = "tokenizer_path"  # where the tokenizer was when the run began
LOOKED_AT = 8  # clips that a dry run encodes: the longest, for the phases may want long ones


def run_prior(
    config: PriorTrainingConfig,
    tokenizer_path: Path | None,
    folder: Path,
    resume: bool,
    **listener: Callable[..., None],
) -> Outcome:
    """Train in `folder` on the ids of a tokenizer; the listeners are those of `Listener`.

    A run that has begun knows its tokenizer: it has a copy in its model, and knows where it was.
    """
    device, told = device_for_lessons(), Listener(**listener)
    note = told.on_note if os.environ.get("RANK", "0") == "0" else Listener().on_note
    tokenizer = load_tokenizer(tokenizer_path or tokenizer_of_run(folder), device)
    check_validation(config, tokenizer.fingerprint)
    places = ((config.data.train, folder / "tokens"), (config.data.validation, folder / "validation_tokens"))
    for data, place in places:
        if data is not None and not (data / NAME).is_file() and not is_finished(place):
            refuse_changed(load_index(data))
    sets = [None if data is None else open_tokens(data, tokenizer, place, note) for data, place in places]
    assert sets[0] is not None
    lessons = Lessons(config, sets[0], sets[1])
    conditioner = text_of(config, lessons, folder, device)
    facts = {
        "tokenizer": tokenizer.fingerprint,
        TOKENIZER_PATH: RunFolder(folder).fact(TOKENIZER_PATH) or str(Path(tokenizer.path).resolve()),
        "tokens": [None if each is None else plain(each.description) for each in sets],
        "conditioner": None if conditioner is None else conditioner.fingerprint,
    }
    return train(
        lambda: PriorStage(config, lessons, tokenizer, conditioner),
        config.training,
        folder,
        {**plain(config), **facts},
        resume,
        told,
        CHANGEABLE | ELSEWHERE | ASKED | {TOKENIZER_PATH},
        remarks=(lessons.used().line(),),
    )


def tokenizer_of_run(folder: Path) -> Path:
    """The tokenizer of a run that has begun; UsageError for any other folder."""
    run = RunFolder(folder)
    if (run.model / INDEX).is_file():
        return run.model
    known = run.fact(TOKENIZER_PATH)
    if known is None:
        raise UsageError("a prior learns the ids of a tokenizer: --tokenizer names its model folder or its run")
    return Path(known)


def check_validation(config: PriorTrainingConfig, tokenizer: str | None) -> None:
    """DataError for clips that the run could not be judged by, before hours are spent on encoding the others; for
    tokens of another tokenizer than that of this fingerprint, where there is one, CheckpointError."""
    train, validation = config.data.train, config.data.validation
    if validation is not None and (validation / NAME).is_file():
        TokenSet.open(validation, tokenizer)
    elif validation is not None:
        if not load_index(validation).good:
            raise DataError(f"{validation}: no clip of it can be used, so there is nothing to validate with")
    elif (train / NAME).is_file():
        split_rows(TokenSet.open(train, tokenizer), config.data.validation_share)
    else:
        hold_out(load_index(train), config.data.validation_share)


def open_tokens(data: Path, tokenizer: TokenizerModel, place: Path, on_note: OnNote) -> TokenSet:
    """A set of this tokenizer's tokens; from clips, it is made in `place` first, by all processes together."""
    if not (data / NAME).is_file():
        index = load_index(data)
        if not is_finished(place):
            on_note(f"encoding {len(index.good)} clips first; `videogen encode --workers` shares the work")
        encode(index, place, tokenizer)
        data = place
    return TokenSet.open(data, tokenizer.fingerprint)


def is_finished(place: Path) -> bool:
    try:
        return bool(len(TokenSet.open(place)))
    except DataError:
        return False


def text_of(config: PriorTrainingConfig, lessons: Lessons, folder: Path, device: str) -> Conditioner | None:
    """Of the captions; a run that begins with another model speaks its language, for its weights know no other."""
    if config.text is None:
        return None
    if config.begin_with is not None and isinstance(config.text, BPEConfig):
        return language_of(config.begin_with, config.text, folder)
    windows = lessons.windows[0]
    captions = {windows.tokens.label(int(row))[1] for row in windows.rows}
    return make_conditioner(config.text, captions, folder / "features", device)


def language_of(path: Path, config: BPEConfig, folder: Path) -> BPEConditioner:
    """The words of the model that a run in `folder` begins with, of which its own export has a copy: to go on, a run
    needs nothing but itself."""
    own = folder / "model"
    with beginning():
        model = open_model(own if (own / INDEX).is_file() else path, PRIOR)
    given = load_conditioner(model) if CONFIG in model.hashes else None
    if not isinstance(given, BPEConditioner) or given.config != config:
        raise UsageError(f"begin_with names {path}, whose text is another than this configuration's")
    return given
