"""Model folders: what training exports and every command that uses a model opens.

    model_index.json            the parts of the model
    tokenizer/config.json       the tokenizer, and the clips that it was trained on
    tokenizer/model.safetensors
    tokenizer/text/             the text encoder of its decoder, for a decoder that is given captions
    prior/config.json           the prior, the clips that it was trained on, and the fingerprint of its tokenizer
    prior/model.safetensors
    text/                       the text encoder of the prior
    prompt_vocabulary.json      the words that the model knows and how others are read, for a model of a small world
    generation_config.json      the sampling settings, where they differ from the defaults
    README.md  MANIFEST.json    a model card, and the hash of every file

A run folder of training is a model folder too: its newest export is opened.

records.py    TokenizerModel and PriorModel: models ready for use
registry.py   the kinds of tokenizers and priors
hub.py        a model's name -> its folder
push.py       folder -> a repository of the hub
folder.py     opens a folder and checks its version
loading.py    folder -> model
weights.py    file of weights -> network, tensor after tensor
saving.py     model -> folder
convert.py    folders of version 1
conversions.py what can be converted
foreign.py    public tokenizers and priors -> model folders; foreign_weights.py accounts for their tensors
compare.py    a converted model beside the published classes
measures/     public networks that measure videos
perceptual.py weights of the perceptual losses
sampler.py    the sampling settings of a model

Importing this package does not import torch; its names are loaded when they are used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videogen.models.convert import convert_model
    from videogen.models.fewer_codes import fingerprint_of, keep_first_levels, keep_first_tokens
    from videogen.models.folder import INDEX, has_prior, open_model
    from videogen.models.foreign import convert_foreign
    from videogen.models.hub import BUNDLED, resolve_checkpoint, resolve_model
    from videogen.models.loading import load_prior, load_tokenizer
    from videogen.models.push import PushedModel, files_to_push, push_to_hub
    from videogen.models.records import PriorModel, TokenizerModel, count_parameters
    from videogen.models.sampler import check_sampler, sampler_of
    from videogen.models.saving import prior_files, save_image_tokenizer, save_model, tokenizer_files

__all__ = [
    "BUNDLED",
    "INDEX",
    "PriorModel",
    "PushedModel",
    "TokenizerModel",
    "check_sampler",
    "convert_foreign",
    "convert_model",
    "count_parameters",
    "files_to_push",
    "fingerprint_of",
    "has_prior",
    "keep_first_levels",
    "keep_first_tokens",
    "load_prior",
    "load_tokenizer",
    "open_model",
    "prior_files",
    "push_to_hub",
    "resolve_checkpoint",
    "resolve_model",
    "sampler_of",
    "save_image_tokenizer",
    "save_model",
    "tokenizer_files",
]

_MODULES = {
    "convert": ("convert_model",),
    "folder": ("INDEX", "has_prior", "open_model"),
    "foreign": ("convert_foreign",),
    "hub": ("BUNDLED", "resolve_checkpoint", "resolve_model"),
    "fewer_codes": ("fingerprint_of", "keep_first_levels", "keep_first_tokens"),
    "loading": ("load_prior", "load_tokenizer"),
    "push": ("PushedModel", "files_to_push", "push_to_hub"),
    "records": ("PriorModel", "TokenizerModel", "count_parameters"),
    "sampler": ("check_sampler", "sampler_of"),
    "saving": ("prior_files", "save_image_tokenizer", "save_model", "tokenizer_files"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
