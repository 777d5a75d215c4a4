"""What a prior is measured at, as calls to be timed, and what each cannot do without."""

import torch

from benchmarks.measuring import Call, DeviceSetting, RequiredWork
from prior.config import PriorConfig
from prior.model import Lesson, LlamaPrior, taught
from prior.visibility import Layout


def training_step(model: LlamaPrior, clips: Lesson) -> Call:
    def step() -> None:
        model.zero_grad()
        model(clips).loss.mean().backward()

    return step


def separate_passes(model: LlamaPrior, clips: Lesson) -> Call:
    """The same numbers without complete teacher forcing: to teach frame t, t clean frames and t itself masked."""
    assert clips.seen is not None
    seen, (_, frames, height, width) = clips.seen, clips.targets.shape

    def one(t: int) -> None:
        tokens = height * width
        layout = Layout(0, t + 1, tokens, model.config.window, 0, 1, "together")
        ids_BTN = torch.cat([clips.clean[:, :t], seen[:, t : t + 1]], 1)
        x_BSC = model.embedding(ids_BTN.flatten(1))
        turns = model.turns(0, t + 1, (height, width), x_BSC.device)
        for block in model.blocks:
            x_BSC = taught(block, x_BSC, turns, layout, "auto")
        features = model.norm(x_BSC[:, -tokens:])
        loss = model.head.answers(features, clips.targets[:, t].flatten(1)).loss
        (loss.mean() / frames).backward()  # type: ignore[no-untyped-call]

    def step() -> None:
        model.zero_grad()
        for t in range(frames):
            one(t)

    return step


def proposal_call(model: LlamaPrior, side: int) -> Call:
    """With a full window of past."""
    device = model.norm.weight.device
    masked = torch.full((1, side, side), model.vocabulary.mask, device=device)
    none_known = torch.empty(1, side, side, 0, dtype=torch.int64, device=device)
    past = model.begin(None, 1, (side, side))
    for _ in range(model.config.window + 1):
        past = model.commit(past, model.propose(torch.zeros_like(masked), past)[1])

    def propose() -> None:
        with torch.no_grad():
            model.propose(masked, past)[0].logits(none_known)

    return propose


def token_call(model: LlamaPrior, side: int) -> Call:
    """The first of a frame, with a full window of past."""
    device = model.norm.weight.device
    ids = torch.zeros((1, side, side), dtype=torch.int64, device=device)
    none_known = torch.empty(1, 1, 1, 0, dtype=torch.int64, device=device)
    past = model.begin(None, 1, (side, side))
    for _ in range(model.config.window + 1):
        past = model.commit(past, model.propose(ids, past)[1])

    def ask() -> None:
        with torch.no_grad():
            model.next_token(ids[:, 0, :0], past).logits(none_known)

    return ask


def make_prior(config: PriorConfig, where: DeviceSetting) -> LlamaPrior:
    return LlamaPrior(config).to(where.device, where.dtype)


def random_batch(config: PriorConfig, frames: int, side: int, where: DeviceSetting) -> Lesson:
    mask = config.vocabulary.mask
    targets = torch.randint(mask, (1, frames, side, side), device=where.device)
    seen = torch.where(torch.rand(targets.shape, device=where.device) < 2 / torch.pi, mask, targets)
    return Lesson(targets, targets, seen, None, torch.zeros(1, device=where.device))


def training_work(config: PriorConfig, frames: int, tokens: int) -> RequiredWork:
    """Twice as much backward as forward; of the clean copy the last layer needs keys and values alone."""
    layers, body, attention = config.layers, block_weights(config), 4 * config.heads * config.channels_a_head
    seen = sum(min(t, config.window) + 1 for t in range(frames)) * tokens**2  # pairs of one copy
    keys = 2 * config.width * config.kv_heads * config.channels_a_head
    clean = (layers - 1) * (2 * body * frames * tokens + attention * seen) + 2 * keys * frames * tokens
    masked = layers * (2 * body * frames * tokens + attention * seen)
    head = 2 * config.width * sum(config.digits) * frames * tokens
    return RequiredWork(3 * (clean + masked + head), 0)


def streaming_work(config: PriorConfig, tokens: int, past: int, where: DeviceSetting) -> RequiredWork:
    """One pass of `tokens` tokens that see `past` earlier ones and each other."""
    layers, body, head = config.layers, block_weights(config), config.width * sum(config.digits)
    size, channels = where.dtype.itemsize, config.channels_a_head
    looks = 4 * layers * config.heads * channels * (past + tokens)
    flop = tokens * (2 * layers * body + looks + 2 * head)
    moved = (layers * body + head) + 2 * layers * config.kv_heads * channels * (past + tokens)
    return RequiredWork(flop, size * moved)


def block_weights(config: PriorConfig) -> int:
    return config.width * (2 * (config.heads + config.kv_heads) * config.channels_a_head + 3 * config.hidden)
