"""Load a text encoder from a folder by `transformers`: no network, no pickles, no code from the folder, no output."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

UNUSED = ("pooler.",)  # missing in many checkpoints, and not used for hidden states


def load_config(folder: Path) -> Any:
    """The configuration of the text model, also where it is a part of another one (as in CLIP)."""
    from transformers import AutoConfig

    with quiet(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return config if config.is_encoder_decoder else config.get_text_config()


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with quiet(folder):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_model(folder: Path) -> "nn.Module":
    """The encoder in float32 on the CPU, frozen; torch's random state does not change."""
    import torch

    kind = encoder_class(load_config(folder), folder)
    with quiet(folder), torch.random.fork_rng(devices=[]):
        network, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise CheckpointError(f"{folder}: {len(missing)} tensors are missing from its weights, such as {missing[0]}")
    frozen: nn.Module = network.eval().requires_grad_(False)
    return frozen


def encoder_class(config: Any, folder: Path) -> Any:
    """The class of the text encoder in `transformers`; for an encoder-decoder, of its encoder."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING

    classes = MODEL_FOR_TEXT_ENCODING_MAPPING
    if type(config) not in classes and not config.is_encoder_decoder:
        classes = MODEL_MAPPING
    if type(config) not in classes or not isinstance(getattr(config, "hidden_size", None), int):
        raise CheckpointError(f"{folder}: a model of type {config.model_type}, of which transformers has no encoder")
    return classes[type(config)]


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Turn off the progress bars of `transformers` and its hub."""
    from transformers.utils import logging

    bars: Any = logging  # its switches have no types
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Silence reports and warnings while loading; any error becomes a CheckpointError of one line."""
    from safetensors import SafetensorError
    from transformers.utils import logging as reports

    before = reports.get_verbosity()
    reports.set_verbosity(logging.CRITICAL)
    try:
        with without_progress_bars():
            yield
    except (OSError, LookupError, TypeError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder}: transformers cannot load it ({reason})") from None
    finally:
        reports.set_verbosity(before)
