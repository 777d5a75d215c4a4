"""Small random Emu3 tokenizers, and their weights under the published names."""

import re

import torch
from torch import Tensor, nn

from tokenizer.foreign.emu3.config import Emu3TokenizerConfig
from tokenizer.foreign.emu3.tokenizer import Emu3Tokenizer
from tokenizer.foreign.emu3.weights import published_names
from tokenizer.quantize import VQConfig

CODES = VQConfig(512, 4, learning="gradient")
SMALL = Emu3TokenizerConfig(f_t=4, widths=(32, 32, 64), blocks=1, attention=(2,), quantizer=CODES)  # as 4 x 4 x 4


def emu3_model(config: Emu3TokenizerConfig, seed: int = 0) -> Emu3Tokenizer:
    torch.manual_seed(seed)
    model = Emu3Tokenizer(config).eval()
    randomize(model)
    return model


@torch.no_grad()
def randomize(model: nn.Module) -> None:
    """Random weights, the branches as strong as the path around them: what training makes of them.

    The statistics that a batch norm has stored are random too. Latents are spread over the codebook.
    """
    for name, weights in model.state_dict().items():
        if name.endswith("running_var"):
            weights.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            weights.normal_(std=0.3)
        elif name.endswith(("codebook", "embedding.weight")):
            weights.normal_()
        elif weights.ndim > 1:
            gain = 2 if len(weights) == CODES.dim else 1  # along time
            weights.normal_(std=gain * weights[0].numel() ** -0.5)
        elif weights.is_floating_point():
            weights.add_(0.2 * torch.randn_like(weights))


def published(model: Emu3Tokenizer) -> dict[str, Tensor]:
    """The weights as its own code has them: kernels over time have three dimensions."""
    ours, source = model.state_dict(), dict[str, Tensor]()
    for name, theirs in published_names(model.config).items():
        tensor = ours[name]
        if re.search(r"time_|quant_conv", theirs) and tensor.ndim == 4:
            taps = 4 if theirs.startswith("encoder.time_conv") else 3
            tensor = tensor.unflatten(1, (taps, -1)).transpose(1, 2)
        source[theirs] = tensor
        if theirs.endswith("running_var"):
            source[theirs.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    return source
