"""The calls that the benchmarks of the prior time, and the operations and bytes that each needs."""

import torch
from torch import Tensor

from benchmarks.measuring import Call, DeviceSetting, RequiredWork, grid_spec
from prior.config import PriorConfig
from prior.laws import random_codes
from prior.memory import Past
from prior.model import LlamaPrior, PriorBatch, run_block
from prior.visibility import Layout


def training_step(model: LlamaPrior, batch: PriorBatch) -> Call:
    def step() -> None:
        model.zero_grad()
        model(batch).loss.mean().backward()

    return step


def separate_passes(model: LlamaPrior, batch: PriorBatch) -> Call:
    """The same training step in one pass per latent frame t: t clean frames and frame t masked."""
    assert batch.known is not None
    known, (_, frames, tokens, _) = batch.known, batch.targets.shape

    def one(t: int) -> None:
        layout = Layout(0, t + 1, tokens, model.config.window, 1, "together")
        clean_BTNC = model.embedding.tokens(batch.clean[:, :t])
        masked_BTNC = model.embedding.tokens(batch.targets[:, t : t + 1], known[:, t : t + 1])
        x_BSC = model.embed_frames(torch.cat([clean_BTNC, masked_BTNC], 1), batch.spec, None)
        rotary = model.sequence_rotary(layout, batch.spec.groups, x_BSC.device)
        for block in model.blocks:
            x_BSC = run_block(block, x_BSC, rotary, layout, "auto")
        loss = model.head.losses(model.norm(x_BSC[:, -tokens:]), batch.targets[:, t]).loss
        (loss.mean() / frames).backward()

    def step() -> None:
        model.zero_grad()
        for t in range(frames):
            one(t)

    return step


def full_past(model: LlamaPrior) -> Past:
    """A past whose window is full of latent frames of zeros."""
    past = model.begin(None, 1)
    codes_BNK, known_BN = decided(model)
    for _ in range(model.config.window + 1):
        past = model.commit(past, model.propose(codes_BNK, known_BN, past)[1])
    return past


def decided(model: LlamaPrior) -> tuple[Tensor, Tensor]:
    """A latent frame of zeros, and that all of it is known."""
    codes_BNK = model.spec.empty(1, 1, model.device)[:, 0]
    return codes_BNK, torch.ones(codes_BNK.shape[:2], dtype=torch.bool, device=model.device)


def proposal_call(model: LlamaPrior) -> Call:
    """A proposal of a masked latent frame with a full window, to the logits of the first code."""
    past, (codes_BNK, known_BN) = full_past(model), decided(model)

    def propose() -> None:
        with torch.no_grad():
            proposal, _ = model.propose(codes_BNK, ~known_BN, past)
            model.head(proposal.features, codes_BNK[..., :0])

    return propose


def token_call(model: LlamaPrior) -> Call:
    """The first token of a latent frame with a full window, to the logits of its first code."""
    past, (codes_BNK, _) = full_past(model), decided(model)

    def next_token() -> None:
        with torch.no_grad():
            proposal = model.next_token(codes_BNK[:, :0], past)
            model.head(proposal.features, codes_BNK[:, :1, :0])

    return next_token


def make_prior(config: PriorConfig, where: DeviceSetting) -> LlamaPrior:
    return LlamaPrior(config).to(where.device, where.dtype)


def make_config(shape: dict[str, int], codes: int, side: int) -> PriorConfig:
    spec = grid_spec((codes,), side)
    return PriorConfig(**shape, spec=spec, objective="masked", context=None)  # type: ignore[arg-type]


def random_batch(config: PriorConfig, frames: int, where: DeviceSetting) -> PriorBatch:
    generator = torch.Generator(where.device).manual_seed(0)
    shape = (1, frames, config.spec.tokens)
    targets = random_codes(config.spec, shape, generator)
    known = torch.rand(shape, generator=generator, device=where.device) >= 2 / torch.pi
    return PriorBatch(targets, targets, known, None, torch.zeros(1, device=where.device), config.spec)


def training_work(config: PriorConfig, frames: int) -> RequiredWork:
    """Backward costs twice forward; the last layer needs only keys and values of the clean copy."""
    tokens = config.spec.tokens
    layers, body, attention = config.layers, block_weights(config), 4 * config.heads * config.head_dim
    pairs = sum(min(t, config.window) + 1 for t in range(frames)) * tokens**2  # visible in one copy
    keys = 2 * config.width * config.kv_heads * config.head_dim
    clean = (layers - 1) * (2 * body * frames * tokens + attention * pairs) + 2 * keys * frames * tokens
    masked = layers * (2 * body * frames * tokens + attention * pairs)
    head = 2 * config.width * sum(config.spec.codebooks) * frames * tokens
    return RequiredWork(3 * (clean + masked + head), 0)


def streaming_work(config: PriorConfig, tokens: int, past: int, where: DeviceSetting) -> RequiredWork:
    """One pass of `tokens` tokens that see `past` earlier ones and each other."""
    layers, body, head = config.layers, block_weights(config), config.width * sum(config.spec.codebooks)
    size, channels = where.dtype.itemsize, config.head_dim
    attention = 4 * layers * config.heads * channels * (past + tokens)
    flop = tokens * (2 * layers * body + attention + 2 * head)
    read = (layers * body + head) + 2 * layers * config.kv_heads * channels * (past + tokens)
    return RequiredWork(flop, size * read)


def block_weights(config: PriorConfig) -> int:
    return config.width * (2 * (config.heads + config.kv_heads) * config.head_dim + 3 * config.hidden)
