"""Tiny priors with random weights, and batches for them."""

import itertools

import torch
from torch import Tensor

from interfaces.tokens import TokenGroup, TokenSpec
from interfaces.verdict import Verdict
from prior import laws
from prior.config import ContextConfig, ControlConfig, Objective, PriorConfig
from prior.head_config import ChainConfig, HeadConfig
from prior.kinds import AnyPriorConfig, make_prior
from prior.laws import random_batch
from prior.model import LlamaPrior, PriorBatch, as_llama
from prior.network import PriorNetwork
from prior.pixelcnn.config import PixelCNNConfig, PixelCNNShape

WORDS = ContextConfig(length=3, vocabulary=7)
FEATURES = ContextConfig(length=4, features=5)
GRID = (2, 3)
CHAIN = ChainConfig()


GROUPS_OF_TWO = TokenSpec((5, 3), (TokenGroup("coarse", (2, 2)), TokenGroup("fine", (4, 4))), 4)


def grid_spec(codebooks: tuple[int, ...], shape: tuple[int, ...] = GRID) -> TokenSpec:
    return TokenSpec(codebooks, (TokenGroup("tokens", shape),), 4)


def tiny_config(
    objective: Objective = "masked",
    codebooks: tuple[int, ...] = (4, 3),
    window: int = 2,
    context: ContextConfig | None = None,
    layers: int = 2,
    qk_norm: bool = True,
    shape: tuple[int, ...] = GRID,
    spec: TokenSpec | None = None,
    control: ControlConfig | None = None,
    head: HeadConfig = CHAIN,
    mask_noise: int = 0,
) -> PriorConfig:
    return PriorConfig(
        spec=spec or grid_spec(codebooks, shape),
        width=48,  # heads of twelve channels, six pairs: two for each axis
        layers=layers,
        heads=4,
        kv_heads=2,
        hidden=40,
        window=window,
        objective=objective,
        context=context,
        control=control,
        qk_norm=qk_norm,
        head=head,
        mask_noise=mask_noise,
    )


def tiny_pixelcnn(
    codebooks: tuple[int, ...] = (4, 3),
    window: int = 2,
    context: ContextConfig | None = None,
    shape: tuple[int, ...] = GRID,
    spec: TokenSpec | None = None,
    control: ControlConfig | None = None,
    layers: int = 2,
    head: HeadConfig = CHAIN,
) -> PixelCNNConfig:
    spec = spec or grid_spec(codebooks, shape)
    return PixelCNNShape(width=12, layers=layers, window=window, head=head).with_tokens(spec, context, control)


def tiny_model(config: PriorConfig, seed: int = 0) -> LlamaPrior:
    """A Llama of `random_weights`."""
    return as_llama(random_weights(make_prior(config), seed))


def random_weights(model: PriorNetwork, seed: int = 0) -> PriorNetwork:
    """The model in float64 with random weights large enough to matter: vectors of size 1 stay of about that size."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            matrix = parameter.ndim >= 2 and not any(part in name for part in ("tables", "known", "place", "tokens"))
            norm = "norm" in name or "before" in name
            parameter.copy_(1 + 0.3 * noise if norm else noise * parameter[0].numel() ** -0.5 if matrix else noise)
    return model


def tiny_batch(
    config: AnyPriorConfig, batch: int = 2, frames: int = 5, noise: float = 0.0, seed: int = 0
) -> PriorBatch:
    generator = torch.Generator().manual_seed(seed)
    return random_batch(config, batch, frames, config.spec, generator, noise)


class FixedNumbers:
    """A TokenRNG that gives the same numbers [B, M, count] at every call."""

    def __init__(self, numbers: Tensor):
        self.numbers = numbers

    def uniforms(self, count: int) -> Tensor:
        return self.numbers[..., :count]

    def normals(self, count: int) -> Tensor:
        return self.numbers[..., :count]


def every_law(model: PriorNetwork, batch: PriorBatch) -> list[Verdict]:
    """All laws of a prior, for float64."""
    return [
        laws.streaming_is_the_training_path(model, batch, 1e-6),
        laws.proposing_twice_is_proposing_once(model, batch),
        laws.a_copied_past_resumes(model, batch),
        laws.advancing_is_committing_and_proposing(model, batch, 1e-6),
        laws.shifting_a_stream_changes_nothing(model, batch, 1e-4),
        laws.a_past_does_not_grow(model, batch, 2),
        laws.a_row_of_a_batch_is_the_row_alone(model, batch, 1e-6),
    ]


def every_frame(config: AnyPriorConfig) -> PriorBatch:
    """All latent frames that there are, each after the same first one and with the same caption."""
    tokens = list(itertools.product(*map(range, config.spec.codebooks)))
    frames = torch.tensor(list(itertools.product(tokens, repeat=config.spec.tokens)))
    one, count = tiny_batch(config, batch=1, frames=2), len(frames)
    codes = torch.cat([one.targets[:, :1].expand(count, -1, -1, -1), frames[:, None]], 1)
    text = None if one.text is None else one.text.rows(torch.zeros(count, dtype=torch.int64))
    return one._replace(targets=codes, clean=codes, text=text, noise_B=torch.zeros(count))
