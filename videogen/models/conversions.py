"""What `videogen convert KIND SOURCE OUT` can convert: one group for each sort of public weights.

A group maps kinds to what is known of them. A new kind is an entry in its group, a new sort is a new group.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prior.kinds import FOREIGN_PRIORS
from tokenizer.foreign import FOREIGN
from videogen.clip_spec import ClipSpec
from videogen.errors import UsageError
from videogen.models.foreign import convert_foreign
from videogen.models.measures.convert import convert_measure, parameters_of
from videogen.models.measures.registry import MEASURES
from videogen.models.records import PriorModel, TokenizerModel, count_parameters


@dataclass(frozen=True)
class Request:
    kind: str
    source: Path
    out: Path
    options: Mapping[str, str]  # KEY=VALUE
    dtype: torch.dtype
    clips: ClipSpec | None  # of models, whose weights do not say it


@dataclass(frozen=True)
class Converted:
    folder: Path
    parameters: int
    fingerprint: str
    model: TokenizerModel | PriorModel | None = None


@dataclass(frozen=True)
class Group:
    name: str
    kinds: Mapping[str, Any]
    convert: Callable[[Request], Converted]
    has_clips: bool  # whether `clips` are stored


def _convert_model(request: Request) -> Converted:
    assert request.clips is not None
    made = convert_foreign(request.kind, request.source, request.out, request.clips, request.options, request.dtype)
    return Converted(made.path, count_parameters(made.network), made.fingerprint, made)


def _convert_measure(request: Request) -> Converted:
    made = convert_measure(request.kind, request.source, request.out, request.options, request.dtype)
    return Converted(made.path, parameters_of(made), made.fingerprint)


GROUPS = (
    Group("tokenizers", FOREIGN, _convert_model, has_clips=True),
    Group("priors", FOREIGN_PRIORS, _convert_model, has_clips=True),
    Group("measures", MEASURES, _convert_measure, has_clips=False),
)


def group_of(kind: str) -> Group:
    """UsageError for a kind that no group has."""
    for group in GROUPS:
        if kind in group.kinds:
            return group
    known = "; ".join(f"{', '.join(group.kinds)} ({group.name})" for group in GROUPS)
    raise UsageError(f"KIND is {kind[:60]!a}; public checkpoints are of the kinds {known}")
