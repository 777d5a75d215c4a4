"""Model folders: what training exports and every command that uses a model opens.

    model_index.json            which parts there are
    tokenizer/config.json       the tokenizer, and the clips it was made for
    tokenizer/model.safetensors
    prior/config.json           the prior, what its clips are like, and the tokenizer whose ids it knows
    prior/model.safetensors
    text/                       how captions reach it
    prompt_vocabulary.json      the words that it knows and how others are read, for a model of a small world
    generation_config.json      how it is sampled, where that differs from the defaults
    README.md  MANIFEST.json    a model card, and the hash of every file

A run folder of training is a model folder too: its newest export counts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.checkpoint import Content, Folder, read_folder, write_folder
from videogen.conditioning.prompt_vocabulary import FILE as PROMPT_VOCABULARY
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.config.plain import from_json
from videogen.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from prior.config import PriorConfig
    from prior.model import LlamaPrior
    from sampling.config import Order, SamplerConfig
    from tokenizer.config import TokenizerConfig
    from tokenizer.model import VideoTokenizer
    from videogen.conditioning import Conditioner

FORMAT, VERSION = "videogen-model", 1
EMBEDDED = Path(__file__).parent / "playroom"  # the trained model that comes along, also by this name alone
PAINTS = "decoder."  # how the names of a tokenizer's weights begin that decide no ids
INDEX, TOKENIZER, PRIOR, GENERATION = "model_index.json", "tokenizer", "prior", "generation_config.json"


@dataclass(frozen=True)
class Preprocessing:
    """The clips a tokenizer was trained on, and what `encode` makes of others by default."""

    height: int
    width: int
    fps: float
    frames: int


@dataclass(frozen=True, eq=False)
class TokenizerModel:
    """A tokenizer ready for use: no gradients, evaluation mode, on its device."""

    network: "VideoTokenizer"
    made_for: Preprocessing
    fingerprint: str  # of all that decides ids: two tokenizers that differ in their decoders alone have the same
    path: Path
    described: Mapping[str, Any]  # its config.json, word for word

    @property
    def config(self) -> "TokenizerConfig":
        return self.network.config


@dataclass(frozen=True)
class TaughtOn:
    """The clips of ids a prior was trained on."""

    height: int  # of a latent frame
    width: int
    frames: int  # latent frames of a clip, at most
    fps: float  # of the video


@dataclass(frozen=True, eq=False)
class PriorModel:
    """A prior ready for use, with the tokenizer whose ids it knows: no gradients, evaluation mode, on its device."""

    network: "LlamaPrior"
    conditioner: "Conditioner | None"
    taught_on: TaughtOn
    tokenizer: TokenizerModel
    path: Path
    fingerprint: str  # of all files
    generation: Mapping[str, Any] | None  # its generation_config.json, word for word, where there is one
    prompt_vocabulary: PromptVocabulary | None = None  # where the model brings one

    @property
    def config(self) -> "PriorConfig":
        return self.network.config


def tokenizer_files(
    config: "TokenizerConfig", made_for: Preprocessing, weights: "Mapping[str, Tensor]", card: str
) -> dict[str, Content]:
    """The files of a model folder with nothing but a tokenizer in it."""
    return {
        INDEX: {"format": FORMAT, "version": VERSION, "parts": [TOKENIZER]},
        f"{TOKENIZER}/config.json": {"network": asdict(config), "made_for": asdict(made_for)},
        f"{TOKENIZER}/model.safetensors": dict(weights),
        "README.md": card,
    }


def prior_files(
    tokenizer: TokenizerModel,
    config: "PriorConfig",
    taught_on: TaughtOn,
    weights: "Mapping[str, Tensor]",
    conditioner: "Conditioner | None",
    card: str,
    sampler: "SamplerConfig | None" = None,
    prompt_vocabulary: PromptVocabulary | None = None,
) -> dict[str, Content]:
    """The files of a whole model: the tokenizer as it was, and a prior for it; `sampler` is how it is to be asked."""
    parts = {"network": asdict(config), "taught_on": asdict(taught_on), "tokenizer": tokenizer.fingerprint}
    return {
        f"{TOKENIZER}/config.json": dict(tokenizer.described),
        f"{TOKENIZER}/model.safetensors": tokenizer.network.state_dict(),
        "README.md": card,
        INDEX: {"format": FORMAT, "version": VERSION, "parts": [TOKENIZER, PRIOR]},
        f"{PRIOR}/config.json": parts,
        f"{PRIOR}/model.safetensors": dict(weights),
        **({} if conditioner is None else conditioner.files()),
        **({} if prompt_vocabulary is None else {PROMPT_VOCABULARY: prompt_vocabulary.to_json()}),
        **({} if sampler is None else {GENERATION: asdict(sampler)}),
    }


def load_tokenizer(path: str | Path, device: str = "cpu") -> TokenizerModel:
    """The tokenizer of a model folder (or of a run folder), every file compared with its hash first."""
    return _tokenizer_of(open_model(path, TOKENIZER), device)


def load_prior(path: str | Path, device: str = "cpu") -> PriorModel:
    """The prior of a model folder (or of a run folder) with its tokenizer, every file compared with its hash first."""
    import torch

    from prior.config import PriorConfig
    from prior.model import LlamaPrior
    from videogen.conditioning import load_conditioner

    folder = open_model(path, PRIOR)
    parts = _parts(folder, PRIOR, {"network", "taught_on", "tokenizer"})
    tokenizer = _tokenizer_of(folder, device)
    if parts["tokenizer"] != tokenizer.fingerprint:
        raise CheckpointError(f"{folder.path}: its prior was trained on the ids of another tokenizer than is in it")
    place = f"{folder.path}/{PRIOR}/config.json"
    config = from_json(PriorConfig, parts["network"], place)
    network = LlamaPrior(config)
    _fill(network, folder, PRIOR)
    network.eval().requires_grad_(False).to(torch.device(device))
    return PriorModel(
        network=network,
        conditioner=None if config.context is None else load_conditioner(folder, device=device),
        taught_on=from_json(TaughtOn, parts["taught_on"], place),
        tokenizer=tokenizer,
        path=folder.path,
        fingerprint=folder.fingerprint,
        generation=folder.json(GENERATION) if GENERATION in folder.hashes else None,
        prompt_vocabulary=prompt_vocabulary_of(folder),
    )


def prompt_vocabulary_of(folder: Folder) -> PromptVocabulary | None:
    if PROMPT_VOCABULARY not in folder.hashes:
        return None
    return PromptVocabulary.from_json(folder.json(PROMPT_VOCABULARY), f"{folder.path}/{PROMPT_VOCABULARY}")


def sampler_of(model: PriorModel) -> "SamplerConfig":
    """The settings in the model's `generation_config.json`; without one, the defaults for how its prior was taught."""
    from sampling.config import SamplerConfig

    if model.generation is not None:
        place = f"{model.path}/{GENERATION}"
        settings: SamplerConfig = from_json(SamplerConfig, model.generation, place)
        return settings
    return SamplerConfig(order="autoregressive" if model.config.objective == "next" else "halton")


def check_order(order: "Order", objective: str) -> None:
    """UsageError for an order that a prior of this objective was not taught."""
    from sampling.config import incompatibility

    if (reason := incompatibility(order, objective)) is not None:
        raise UsageError(reason)


def painted_by(model: PriorModel, tokenizer: TokenizerModel) -> PriorModel:
    """The model with another decoder, that of a tokenizer which makes the same ids of every clip."""
    if tokenizer.fingerprint != model.tokenizer.fingerprint:
        raise UsageError(
            f"{tokenizer.path}: makes other ids of a clip than the tokenizer of {model.path}; train its decoder with "
            "begin_with and decoder_only, so that ids stay what they are"
        )
    return replace(model, tokenizer=tokenizer)


def save_model(
    model: PriorModel, sampler: "SamplerConfig", path: Path, dtype: "torch.dtype", card: str | None = None
) -> Folder:
    """The model with these settings as a folder of its own, the prior's weights as `dtype`; the tokenizer's stay as
    they were, for its fingerprint is theirs.

    A model that is there already is replaced; anything else that is in the way is left alone, and said. Without a
    card of its own the folder gets that of the model.
    """
    check_order(sampler.order, model.config.objective)
    if path.exists() and not (path / INDEX).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"{path}: holds something that is no model; give a new folder")
    weights = {name: tensor.to("cpu", dtype) for name, tensor in model.network.state_dict().items()}
    card = (model.path / "README.md").read_text(encoding="utf-8") if card is None else card
    parts = model.tokenizer, model.config, model.taught_on, weights, model.conditioner
    return write_folder(path, prior_files(*parts, card, sampler, model.prompt_vocabulary))


def _tokenizer_of(folder: Folder, device: str) -> TokenizerModel:
    import torch

    from tokenizer.config import TokenizerConfig
    from tokenizer.model import VideoTokenizer

    parts = _parts(folder, TOKENIZER, {"network", "made_for"})
    place = f"{folder.path}/{TOKENIZER}/config.json"
    network = VideoTokenizer(from_json(TokenizerConfig, parts["network"], place))
    _fill(network, folder, TOKENIZER)
    made_for = from_json(Preprocessing, parts["made_for"], place)
    fingerprint = fingerprint_of(network)
    # Convolutions read their weights as they read pixels, else they are laid out anew for every frame.
    network = network.eval().requires_grad_(False).to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TokenizerModel(network, made_for, fingerprint, folder.path, parts)


def _parts(folder: Folder, part: str, names: set[str]) -> dict[str, Any]:
    parts = folder.json(f"{part}/config.json")
    if not isinstance(parts, dict) or set(parts) != names:
        raise CheckpointError(f"{folder.path}/{part}/config.json: not the configuration of a {part}")
    return parts


def _fill(network: "nn.Module", folder: Folder, part: str) -> None:
    weights = folder.tensors(f"{part}/model.safetensors")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise CheckpointError(f"{folder.path}: weights and configuration do not belong together: {reason}") from None


def has_prior(path: str | Path) -> bool:
    """Whether the model at `path` can generate; otherwise it is a tokenizer alone."""
    return PRIOR in open_model(path, TOKENIZER).json(INDEX)["parts"]


def open_model(path: str | Path, part: str) -> Folder:
    """The model folder at `path`, or in a run folder's `model`, if it has that part; `playroom` comes along."""
    path = EMBEDDED if str(path) == EMBEDDED.name and not Path(path).exists() else Path(path)
    inside = path / "model"
    try:
        folder = read_folder(inside if (inside / INDEX).is_file() else path)
    except CheckpointError as error:
        edited = f"/{GENERATION}: damaged or edited" in str(error)
        hint = "; undo the edit: `videogen export MODEL OUT KEY=VALUE` changes settings" if edited else ""
        raise CheckpointError(f"{error}{hint}") from None
    index = folder.json(INDEX) if INDEX in folder.hashes else None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise CheckpointError(f"{folder.path}: no {INDEX} of ours in it, so it is not a model")
    if index.get("version") != VERSION:
        raise CheckpointError(
            f"{folder.path}: a model of version {index.get('version')!r}; this program reads {VERSION}"
        )
    if part not in index.get("parts", []):
        raise CheckpointError(f"{folder.path}: has no {part}, only {', '.join(index.get('parts', [])) or 'nothing'}")
    return folder


def fingerprint_of(network: "VideoTokenizer") -> str:
    """Of the settings and weights that decide which ids a clip becomes; whatever paints pixels from ids is left out."""
    import torch

    digest = hashlib.sha256(json.dumps(network.config.encoding, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(PAINTS):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
