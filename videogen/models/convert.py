"""Model folders of version 1, whose tokens were single integers: the weights stay, the configurations are new."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interfaces.tokens import TokenSpec
from videogen.checkpoint import Content, Folder, read_folder, write_folder
from videogen.clip_spec import ClipSpec
from videogen.config.serialization import from_json
from videogen.errors import CheckpointError, UsageError
from videogen.models.folder import FORMAT, GENERATION, INDEX, PRIOR, TOKENIZER, VERSION, part_of
from videogen.models.loading import load_prior, load_tokenizer
from videogen.models.records import PriorModel, TokenizerModel
from videogen.models.registry import TOKENIZERS

RENAMED_SETTINGS = {"opening": "first_frames_step_multiplier"}  # of generation_config.json
RENAMED_VALUES = {"next": "autoregressive"}  # of an order, and of an objective


def convert_model(old: Path, new: Path) -> TokenizerModel | PriorModel:
    """Convert a model folder of version 1, or the one in a run folder, into the new folder `new`; returns the model.

    The files of weights are copied byte by byte. CheckpointError for a prior that this version cannot express.
    """
    if new.exists():
        raise UsageError(f"{new}: is there already; name a new folder")
    folder = _open(old)
    parts = folder.json(INDEX)["parts"]
    changed: dict[str, Content] = {INDEX: {"format": FORMAT, "version": VERSION, "parts": parts}}
    changed[f"{TOKENIZER}/config.json"], network = _tokenizer(folder)
    if PRIOR in parts:
        changed[f"{PRIOR}/config.json"] = _prior(folder, network)
    if GENERATION in folder.hashes:
        changed[GENERATION] = _settings(folder.json(GENERATION))
    write_folder(new, {name: folder.path / name for name in folder.hashes} | changed)
    try:
        return (load_prior if PRIOR in parts else load_tokenizer)(new)
    except CheckpointError:
        shutil.rmtree(new)
        raise


def _open(old: Path) -> Folder:
    inside = old / "model"
    folder = read_folder(inside if (inside / INDEX).is_file() else old)
    index = folder.json(INDEX) if INDEX in folder.hashes else None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise CheckpointError(f"{folder.path}: not a model: no {INDEX} of format {FORMAT}")
    if index.get("version") != 1:
        raise UsageError(f"{folder.path}: a model of version {index.get('version')!r}; only version 1 is converted")
    return folder


def _tokenizer(folder: Folder) -> tuple[dict[str, Any], Any]:
    """The new configuration, and a network of its shape."""
    parts = part_of(folder, TOKENIZER, {"network", "made_for"})
    kind = TOKENIZERS["cnn"]
    network = kind.make(from_json(kind.config, parts["network"], f"{folder.path}/{TOKENIZER}/config.json"))
    return {"kind": "cnn", "network": parts["network"], "clips": parts["made_for"]}, network


def _prior(folder: Folder, tokenizer: Any) -> dict[str, Any]:
    """Version 1 counted the tokens of a latent frame and latent frames, where `clips` counts pixels and frames."""
    parts = part_of(folder, PRIOR, {"network", "taught_on", "tokenizer"})
    network, trained_on, multiple = dict(parts["network"]), parts["taught_on"], tokenizer.size_multiple
    height, width = trained_on["height"] * multiple, trained_on["width"] * multiple
    spec: TokenSpec = tokenizer.spec(height, width)
    clips = asdict(ClipSpec(height, width, trained_on["fps"], spec.video_frames(trained_on["frames"])))
    if (digits := tuple(network.pop("digits"))) != spec.codebooks:
        raise CheckpointError(f"{folder.path}: its prior has digits {digits}, its tokenizer codebooks {spec.codebooks}")
    if network.pop("positions") != "frame" or network.pop("head_width") is not None:
        raise CheckpointError(f"{folder.path}: its prior has positions: line or a head_width, which are gone")
    network["objective"] = RENAMED_VALUES.get(network["objective"], network["objective"])
    network |= {"spec": asdict(spec), "control": None, "head": "chain"}
    return {"kind": "llama", "network": network, "clips": clips, "tokenizer": parts["tokenizer"]}


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    renamed = {RENAMED_SETTINGS.get(name, name): value for name, value in settings.items()}
    if "order" in renamed:
        renamed["order"] = RENAMED_VALUES.get(renamed["order"], renamed["order"])
    return renamed
