"""The files of model folders, and saving a model that is in memory."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.checkpoint import Content, Folder, write_folder
from videogen.clip_spec import ClipSpec
from videogen.conditioning.prompt_vocabulary import FILE as PROMPT_VOCABULARY
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.errors import UsageError
from videogen.models.folder import FORMAT, GENERATION, INDEX, PRIOR, TOKENIZER, VERSION
from videogen.models.measures.folder import is_measure
from videogen.models.records import PriorModel, TokenizerModel
from videogen.models.registry import PRIORS, TOKENIZERS, kind_of
from videogen.models.sampler import check_sampler

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sampling.config import SamplerConfig
    from videogen.conditioning import Conditioner


def tokenizer_files(
    config: Any,
    clips: ClipSpec,
    weights: "Mapping[str, Tensor]",
    card: str,
    conditioner: "Conditioner | None" = None,
) -> dict[str, Content]:
    """The files of a model folder that holds a tokenizer alone; the type of its configuration decides its kind."""
    parts = {"kind": kind_of(config, TOKENIZERS), "network": asdict(config), "clips": asdict(clips)}
    return {
        INDEX: {"format": FORMAT, "version": VERSION, "parts": [TOKENIZER]},
        f"{TOKENIZER}/config.json": parts,
        f"{TOKENIZER}/model.safetensors": dict(weights),
        **caption_files(conditioner),
        "README.md": card,
    }


def save_image_tokenizer(model: TokenizerModel, path: Path) -> Folder:
    """Writes the image tokenizer inside a factorized one as a model of its own; UsageError if it has none."""
    image = getattr(model.network, "image", None)
    if image is None:
        raise UsageError(f"{model.path}: has no image tokenizer; a factorized one has, if trained with image_quantizer")
    check_new(path)
    card = (
        f"# An image tokenizer\n\nThe network for frames of a factorized video tokenizer, {model.fingerprint[:12]}.\n"
    )
    clips = replace(model.clips, frames=1)
    return write_folder(path, tokenizer_files(image.config, clips, image.state_dict(), card))


def caption_files(conditioner: "Conditioner | None") -> dict[str, Content]:
    """The files under `tokenizer/text/`, for a tokenizer whose decoder is given captions; `text/` is the prior's."""
    files = {} if conditioner is None else conditioner.files()
    return {f"{TOKENIZER}/{name}": content for name, content in files.items()}


def prior_files(
    tokenizer: TokenizerModel,
    config: Any,
    clips: ClipSpec,
    weights: "Mapping[str, Tensor]",
    conditioner: "Conditioner | None",
    card: str,
    sampler: "SamplerConfig | None" = None,
    prompt_vocabulary: PromptVocabulary | None = None,
) -> dict[str, Content]:
    """The files of a whole model: the tokenizer unchanged, a prior for it, and how the prior is sampled."""
    parts = {
        "kind": kind_of(config, PRIORS),
        "network": asdict(config),
        "clips": asdict(clips),
        "tokenizer": tokenizer.fingerprint,
    }
    return {
        f"{TOKENIZER}/config.json": dict(tokenizer.described),
        f"{TOKENIZER}/model.safetensors": tokenizer.network.state_dict(),
        **caption_files(tokenizer.conditioner),
        "README.md": card,
        INDEX: {"format": FORMAT, "version": VERSION, "parts": [TOKENIZER, PRIOR]},
        f"{PRIOR}/config.json": parts,
        f"{PRIOR}/model.safetensors": dict(weights),
        **({} if conditioner is None else conditioner.files()),
        **({} if prompt_vocabulary is None else {PROMPT_VOCABULARY: prompt_vocabulary.to_json()}),
        **({} if sampler is None else {GENERATION: asdict(sampler)}),
    }


def save_model(
    model: PriorModel, sampler: "SamplerConfig", path: Path, dtype: "torch.dtype", card: str | None = None
) -> Folder:
    """Writes the model with these settings as a new folder, the prior's weights as `dtype`.

    The tokenizer's weights keep their type, for its fingerprint depends on them. A model at `path` is replaced;
    anything else there is a UsageError. Without `card` the model's own README.md is copied.
    """
    check_sampler(sampler, model.config)
    check_new(path)
    weights = {name: tensor.to("cpu", dtype) for name, tensor in model.network.state_dict().items()}
    card = (model.path / "README.md").read_text(encoding="utf-8") if card is None else card
    parts = model.tokenizer, model.config, model.clips, weights, model.conditioner
    return write_folder(path, prior_files(*parts, card, sampler, model.prompt_vocabulary))


def check_new(path: Path) -> None:
    """UsageError for a folder that holds something else than a model or a measure."""
    ours = (path / INDEX).is_file() or is_measure(path)
    if path.exists() and not ours and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"{path}: holds something that is no model; give a new folder")
