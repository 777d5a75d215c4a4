"""Prior and tokenizer take turns on a device that has too little memory for the weights of both.

The prior is there while latent frames are sampled, the tokenizer before and after that. A clip is sampled whole and
then decoded, so that weights move once for a clip and not for each of its latent frames. Its frames are those of
`generate`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from interfaces.tokens import TokenSpec
from videogen.errors import UsageError
from videogen.generate import (
    Clock,
    Context,
    DecoderState,
    GenerationRequest,
    LatentOutput,
    LatentSeconds,
    begin_decoder,
    begin_rollout,
    control_at,
    decode,
    latent_frames_for,
    sample,
    tail,
    whole_context,
)
from videogen.models import PriorModel
from videogen.system.threads import on_free_cores


class MovableWeights:
    """The weights of a network: always in the memory of the CPU, and copied to a device while they are used.

    Leaving the device drops the copies, because nothing changes them there.
    """

    def __init__(self, network: nn.Module, device: torch.device):
        self.device = device
        self.tensors = [
            (module, name, tensor)
            for module in network.modules()
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        ]

    def enter(self) -> None:
        copies: dict[int, Tensor] = {}  # one for weights that two modules share
        for module, name, tensor in self.tensors:
            if id(tensor) not in copies:
                copy = tensor.detach().to(self.device)
                copies[id(tensor)] = nn.Parameter(copy, False) if isinstance(tensor, nn.Parameter) else copy
            setattr(module, name, copies[id(tensor)])

    def leave(self) -> None:
        for module, name, tensor in self.tensors:
            setattr(module, name, tensor)


@dataclass(frozen=True, eq=False)
class Offload:
    """Who is on the device: the tokenizer, except inside `sampling`."""

    prior: MovableWeights
    tokenizer: MovableWeights

    @contextmanager
    def sampling(self) -> Iterator[None]:
        self.tokenizer.leave()
        try:
            self.prior.enter()
            yield
        finally:
            self.prior.leave()
            self.tokenizer.enter()


def take_turns(model: PriorModel, device: torch.device) -> tuple[PriorModel, Offload]:
    """A model on the CPU whose parts take turns on the device; text encoders stay there."""
    if device.type == "cpu":
        raise UsageError("offload is for a device with less memory than the CPU; give a device such as cuda")
    tokenizer: Any = model.tokenizer.network
    parts = Offload(MovableWeights(model.network, device), MovableWeights(tokenizer, device))
    for conditioner in (model.conditioner, model.tokenizer.conditioner):
        if conditioner is not None:
            conditioner.to(str(device))
    parts.tokenizer.enter()
    return replace(model, computes_on=device), parts


def generate_in_turns(
    parts: Offload,
    model: PriorModel,
    request: GenerationRequest,
    context: Context | None,
    num_frames: int,
    clock: Clock = time.perf_counter,
) -> Iterator[LatentOutput]:
    """What `generate` yields, with one part at a time on the device."""
    context = whole_context(model, request, context)
    spec = context.spec
    latent_frames = latent_frames_for(num_frames, spec, context.codes_BTNK.shape[1])
    if not latent_frames:
        return
    decoder = first_state(model, request, context)
    codes, steps, seconds = sample_clip(model, parts, request, context, latent_frames, clock)
    for number, (codes_BNK, steps_B, sampling) in enumerate(zip(codes, steps, seconds, strict=True), 1):
        began = clock()
        frames, decoder = decode_one(model, codes_BNK, spec, decoder)
        if number == latent_frames and (held := tail(model, decoder)) is not None:
            frames = torch.cat([frames, held], 1)
        yield LatentOutput(frames, codes_BNK, steps_B, LatentSeconds(sampling, clock() - began))


@torch.no_grad()
@on_free_cores
def first_state(model: PriorModel, request: GenerationRequest, context: Context) -> DecoderState:
    return begin_decoder(model, request, context)


@torch.no_grad()
@on_free_cores
def sample_clip(
    model: PriorModel, parts: Offload, request: GenerationRequest, context: Context, latent_frames: int, clock: Clock
) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Codes, steps and seconds of each latent frame; those of the first include the move of the weights."""
    codes, steps, seconds, began = list[Tensor](), list[Tensor](), list[float](), clock()
    with parts.sampling():
        rollout, _ = begin_rollout(model, request, context)
        for number in range(latent_frames):
            rollout, sampled = sample(model, request, rollout, control_at(model, request, number))
            codes.append(sampled.codes_BNK)
            steps.append(sampled.steps_B)
            seconds.append(clock() - began)
            began = clock()
    return codes, steps, seconds


@torch.no_grad()
@on_free_cores
def decode_one(
    model: PriorModel, codes_BNK: Tensor, spec: TokenSpec, decoder: DecoderState
) -> tuple[Tensor, DecoderState]:
    return decode(model, codes_BNK.unsqueeze(1), spec, decoder)
