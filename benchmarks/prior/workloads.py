"""What a prior is measured at, as calls to be timed, and what each cannot do without."""

import torch
from torch import Tensor

from benchmarks.measuring import Call, DeviceSetting, RequiredWork
from interfaces.tokens import TokenSpec
from prior.config import PriorConfig
from prior.laws import random_codes
from prior.memory import Past
from prior.model import LlamaPrior, PriorBatch, rotary_of, run_block
from prior.visibility import Layout


def training_step(model: LlamaPrior, clips: PriorBatch) -> Call:
    def step() -> None:
        model.zero_grad()
        model(clips).loss.mean().backward()

    return step


def separate_passes(model: LlamaPrior, clips: PriorBatch) -> Call:
    """The same numbers without complete teacher forcing: a pass for each frame, over clean frames and itself masked."""
    assert clips.known is not None
    known, spec, frames = clips.known, clips.spec, clips.targets.shape[1]

    def one(t: int) -> None:
        layout = Layout(0, t + 1, spec.tokens, model.config.window, 0, 1, "together")
        clean = model.embedding.tokens(clips.clean[:, :t])
        masked = model.embedding.tokens(clips.targets[:, t : t + 1], known[:, t : t + 1])
        x_BSC = model.embed_frames(torch.cat([clean, masked], 1), spec, None)
        rotary = rotary_of(model.config, 0, t + 1, spec.groups, x_BSC.device)
        for block in model.blocks:
            x_BSC = run_block(block, x_BSC, rotary, layout, "auto")
        features = model.norm(x_BSC[:, -spec.tokens :])
        loss = model.head.losses(features, clips.targets[:, t]).loss
        (loss.mean() / frames).backward()

    def step() -> None:
        model.zero_grad()
        for t in range(frames):
            one(t)

    return step


def proposal_call(model: LlamaPrior, spec: TokenSpec) -> Call:
    """With a full window of past, to the logits of the first code."""
    codes, known, past = full_window(model, spec)
    none_known = codes[..., :0]

    def propose() -> None:
        with torch.no_grad():
            model.head(model.propose(codes, ~known, past)[0].features, none_known)

    return propose


def token_call(model: LlamaPrior, spec: TokenSpec) -> Call:
    """The first of a frame, with a full window of past."""
    codes, _, past = full_window(model, spec)
    none_known = codes[:, :1, :0]

    def ask() -> None:
        with torch.no_grad():
            model.head(model.next_token(codes[:, :0], past).features, none_known)

    return ask


def full_window(model: LlamaPrior, spec: TokenSpec) -> tuple[Tensor, Tensor, Past]:
    """Codes of a latent frame, all of them known, and a past that is full of such frames."""
    codes, past = spec.empty(1, 1, model.device)[:, 0], model.begin(None, 1, spec)
    known = torch.ones(codes.shape[:2], dtype=torch.bool, device=model.device)
    for _ in range(model.config.window + 1):
        past = model.commit(past, model.propose(codes, known, past)[1])
    return codes, known, past


def make_prior(config: PriorConfig, where: DeviceSetting) -> LlamaPrior:
    return LlamaPrior(config).to(where.device, where.dtype)


def random_batch(config: PriorConfig, frames: int, spec: TokenSpec, where: DeviceSetting) -> PriorBatch:
    shape = (1, frames, spec.tokens)
    targets = random_codes(spec, shape, torch.Generator(where.device).manual_seed(0))
    known = torch.rand(shape, device=where.device) >= 2 / torch.pi
    return PriorBatch(targets, targets, known, None, torch.zeros(1, device=where.device), spec)


def training_work(config: PriorConfig, frames: int, tokens: int) -> RequiredWork:
    """Twice as much backward as forward; of the clean copy the last layer needs keys and values alone."""
    layers, body, attention = config.layers, block_weights(config), 4 * config.heads * config.head_dim
    seen = sum(min(t, config.window) + 1 for t in range(frames)) * tokens**2  # pairs of one copy
    keys = 2 * config.width * config.kv_heads * config.head_dim
    clean = (layers - 1) * (2 * body * frames * tokens + attention * seen) + 2 * keys * frames * tokens
    masked = layers * (2 * body * frames * tokens + attention * seen)
    head = 2 * config.width * sum(config.spec.codebooks) * frames * tokens
    return RequiredWork(3 * (clean + masked + head), 0)


def streaming_work(config: PriorConfig, tokens: int, past: int, where: DeviceSetting) -> RequiredWork:
    """One pass of `tokens` tokens that see `past` earlier ones and each other."""
    layers, body, head = config.layers, block_weights(config), config.width * sum(config.spec.codebooks)
    size, channels = where.dtype.itemsize, config.head_dim
    looks = 4 * layers * config.heads * channels * (past + tokens)
    flop = tokens * (2 * layers * body + looks + 2 * head)
    moved = (layers * body + head) + 2 * layers * config.kv_heads * channels * (past + tokens)
    return RequiredWork(flop, size * moved)


def block_weights(config: PriorConfig) -> int:
    return config.width * (2 * (config.heads + config.kv_heads) * config.head_dim + 3 * config.hidden)
