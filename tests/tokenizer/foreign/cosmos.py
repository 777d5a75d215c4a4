"""Small random Cosmos tokenizers, and their weights under the published names."""

import torch
from torch import Tensor

from tokenizer.foreign.cosmos.config import CosmosTokenizerConfig
from tokenizer.foreign.cosmos.network import CosmosTokenizer, decoder_layers, encoder_layers
from tokenizer.foreign.cosmos.weights import archive_name
from tokenizer.quantize import RoundedFSQConfig

RATIOS = [(4, 8), (8, 8), (8, 16)]
LEVELS = (8, 8, 8, 5, 5, 5)


def small_cosmos(f_t: int = 4, f_s: int = 8, window: int = 3) -> CosmosTokenizerConfig:
    return CosmosTokenizerConfig(
        f_t=f_t,
        f_s=f_s,
        encoder_widths=(8, 12, 16, 16),
        encoder_blocks=1,
        decoder_widths=(12, 16, 16, 16),
        decoder_blocks=2,
        latent_channels=8,
        quantizer=RoundedFSQConfig(levels=LEVELS),
        window=window,
    )


def cosmos_model(config: CosmosTokenizerConfig, seed: int = 0) -> CosmosTokenizer:
    """Random weights, the branches as strong as the path around them: what training makes of them."""
    torch.manual_seed(seed)
    model = CosmosTokenizer(config).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim == 4:
                weights.normal_(std=weights[0].numel() ** -0.5)
            else:
                weights.add_(0.2 * torch.randn_like(weights))
            if name.startswith("encoder.layers") and weights.shape[0] == len(LEVELS) and weights.ndim == 4:
                weights.mul_(2)  # latents then reach all levels
    return model


def published(model: CosmosTokenizer) -> dict[str, Tensor]:
    """The weights as an archive holds them."""
    config, weights, source = model.config, model.state_dict(), dict[str, Tensor]()
    sides = {"encoder": encoder_layers(config, len(LEVELS)), "decoder": decoder_layers(config, len(LEVELS))}
    for side, layers in sides.items():
        for number, (name, layer) in enumerate(layers):
            for part in layer.state_dict():
                tensor = weights[f"{side}.layers.{number}.{part}"]
                if tensor.ndim == 4:
                    over_time = tensor.shape[2] != tensor.shape[3]
                    tensor = tensor.unsqueeze(4 if over_time else 2)
                source[archive_name(f"{name}.{part}")] = tensor
    return source
