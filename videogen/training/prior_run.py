"""A run of stage two from its configuration: what it would be, and the run itself."""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from heapq import nlargest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sampling.config import SamplerConfig
from videogen.conditioning import BPEConfig, Conditioner, load_conditioner, make_conditioner
from videogen.conditioning.bpe import BPEConditioner
from videogen.conditioning.folder import CONFIG
from videogen.data import Index, load_index, refuse_changed
from videogen.data.index import IndexedClip
from videogen.data.split import hold_out
from videogen.data.window import duration
from videogen.errors import DataError, UsageError
from videogen.models import INDEX, TokenizerModel, load_tokenizer, open_model
from videogen.tokens import TokenSet, encode
from videogen.tokens.description import NAME
from videogen.tokens.windows import split_rows
from videogen.training.begin import beginning
from videogen.training.budget import kept_bytes, saved_bytes
from videogen.training.lessons import LessonBatch, Lessons
from videogen.training.plain import plain, said
from videogen.training.prior_config import PriorPhaseConfig, PriorTrainingConfig
from videogen.training.prior_stage import PRIOR, PriorStage
from videogen.training.processes import device_for_lessons
from videogen.training.run_folder import OnNote, RunFolder
from videogen.training.stage import Json
from videogen.training.trainer import CHANGEABLE, Listener, Outcome, train

ELSEWHERE = frozenset({"data.train", "data.validation", "kernel", "recompute"})
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
    check_validation(config, tokenizer)
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


def check_validation(config: PriorTrainingConfig, tokenizer: TokenizerModel) -> None:
    """DataError for clips that the run could not be judged by, before hours are spent on encoding the others."""
    train, validation = config.data.train, config.data.validation
    if validation is not None and (validation / NAME).is_file():
        TokenSet.open(validation, tokenizer.fingerprint)
    elif validation is not None:
        if not load_index(validation).good:
            raise DataError(f"{validation}: no clip of it can be used, so there is nothing to validate with")
    elif (train / NAME).is_file():
        split_rows(TokenSet.open(train, tokenizer.fingerprint), config.data.validation_share)
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


def survey(config: PriorTrainingConfig, tokenizer_path: Path) -> tuple[Json, str]:
    """What a run would train, on what, in how much memory and time: as figures and as text."""
    device = device_for_lessons()
    tokenizer = load_tokenizer(tokenizer_path, device)
    check_validation(config, tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        lessons, clips = looked_at(config, tokenizer, Path(scratch))
        conditioner = text_of(config, lessons, Path(scratch), device)
        stage = PriorStage(config, lessons, tokenizer, conditioner)
        first, longest = (batch_at(stage, step) for step in (0, longest_phase(config).from_step))
        bytes_, seconds = cost(stage, longest)
    training = config.training
    micro = training.batch_size // training.accumulation
    figures: dict[str, Any] = {
        **stage.figures(),
        **clips,
        "steps": training.steps,
        "epochs": training.steps * training.batch_size / clips["clips"],
        "micro-batches": [[micro, phase.frames, *lessons.grid] for phase in config.phases],
        "first clips": list(first.keys[:4]),
        "memory in MiB": {name: each // 2**20 for name, each in bytes_.items()},
        "hours on this machine's CPU": seconds * training.steps * training.batch_size / 3600,
    }
    return figures, "\n".join(f"{name:<28} {said(value)}" for name, value in figures.items())


def looked_at(config: PriorTrainingConfig, tokenizer: TokenizerModel, scratch: Path) -> tuple[Lessons, Json]:
    """The run's own lessons, or those of a few clips where they are not encoded yet; and how many clips it has."""
    train, validation = config.data.train, config.data.validation
    tokens = tokens_of(train, tokenizer, scratch)
    if all(data is None or (data / NAME).is_file() for data in (train, validation)):
        others = None if validation is None else TokenSet.open(validation, tokenizer.fingerprint)
        lessons = Lessons(config, tokens, others)
        return lessons, lessons.used().figures()
    own = replace(config, data=replace(config.data, validation=train))  # so few clips are not split
    return Lessons(own, tokens, tokens), clips_to_encode(config)


def tokens_of(data: Path, tokenizer: TokenizerModel, scratch: Path) -> TokenSet:
    """The tokens, or those of the few longest clips where none are made yet."""
    if (data / NAME).is_file():
        return TokenSet.open(data, tokenizer.fingerprint)
    index: Index = load_index(data)
    encode(replace(index, good=tuple(nlargest(LOOKED_AT, index.good, seconds_of))), scratch / "tokens", tokenizer)
    return TokenSet.open(scratch / "tokens", tokenizer.fingerprint)


def clips_to_encode(config: PriorTrainingConfig) -> Json:
    """How many clips a run would have, as far as it is known before they are encoded."""
    data = config.data
    if data.validation is None:
        train, held_out = (len(part.good) for part in hold_out(load_index(data.train), data.validation_share))
    else:
        train, held_out = (count_of(each) for each in (data.train, data.validation))
    return {
        "clips": train,
        "clips to validate with": min(held_out, data.validation_clips),
        "clips too short": "known when they are encoded",
    }


def count_of(data: Path) -> int:
    return len(TokenSet.open(data)) if (data / NAME).is_file() else len(load_index(data).good)


def seconds_of(clip: IndexedClip) -> float:
    """How long the clip's window is, nearly."""
    start, end = clip.entry.start or 0.0, duration(clip.scan.seconds)
    return (end if clip.entry.end is None else min(end, clip.entry.end)) - start


def longest_phase(config: PriorTrainingConfig) -> PriorPhaseConfig:
    """The one that costs most, of those that the run comes to."""
    reached = [phase for phase in config.phases if phase.from_step < config.training.steps]
    return max(reached, key=lambda phase: phase.frames)


def batch_at(stage: PriorStage, step: int) -> LessonBatch:
    with closing(stage.batches({}, step, stage.config.training.accumulation, 0, 1)) as batches:
        return next(batches)


def cost(stage: PriorStage, batch: LessonBatch) -> tuple[dict[str, int], float]:
    """Bytes of a step, and seconds of one clip, forward and backward, on the CPU."""
    training, network = stage.config.training, stage.network
    lesson = stage.lesson(batch, torch.device("cpu"))
    one = lesson._replace(
        targets=lesson.targets[:1],
        clean=lesson.clean[:1],
        seen=None if lesson.seen is None else lesson.seen[:1],
        text=None if lesson.text is None else lesson.text.rows(slice(0, 1)),
        rate_B=lesson.rate_B[:1],
    )

    def forward() -> Tensor:
        return network(one, "gathered", 0.0, stage.config.recompute).loss.mean()  # type: ignore[no-any-return]

    activations = saved_bytes(network, forward) * (training.batch_size // training.accumulation)
    if training.precision == "bf16":
        activations //= 2
    began = time.perf_counter()
    forward().backward()  # type: ignore[no-untyped-call]
    seconds = time.perf_counter() - began
    kept = kept_bytes(stage.players[PRIOR])
    return {"weights, averages, optimizers": kept, "activations": activations, "together": kept + activations}, seconds
