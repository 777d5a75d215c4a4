"""A prior's nats are the bytes of the codec."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sampling.coding import AS_MODELLED
from sampling.config import SamplerConfig
from tests.prior.models import tiny_config, tiny_model
from videogen.codec.probabilities import Coded, CodedTokens, PriorProbabilities
from videogen.codec.range_coder import SymbolWriter

FRAMES, SHAPE = 24, (6, 6)


@dataclass(frozen=True)
class Watched:
    """Codes a latent frame, and remembers in which order."""

    coded: Coded
    steps: list[Tensor] = field(default_factory=list)

    def at(self, positions_BM: Tensor, due_BM: Tensor) -> CodedTokens:
        self.steps.append(positions_BM[0][due_BM[0]])
        return self.coded.at(positions_BM, due_BM)


@torch.no_grad()
def test_the_payload_is_the_negative_log_likelihood_of_the_schedule() -> None:
    config = tiny_config(codebooks=(5, 4), shape=SHAPE)
    prior, spec = tiny_model(config), config.spec
    codes_TNK = torch.stack([torch.randint(0, size, (FRAMES, 36), generator=rng(size)) for size in spec.codebooks], -1)
    coder, sampler = SymbolWriter(), SamplerConfig(order="halton", steps=5)
    probabilities = PriorProbabilities(prior, None, spec, sampler)
    probabilities.begin()
    past, nats = prior.begin(None, 1, spec), 0.0
    for codes_NK in codes_TNK:
        watched = Watched(Coded(coder, codes_NK))
        probabilities.code(watched)  # type: ignore[arg-type]
        assert sorted(torch.cat(watched.steps).tolist()) == list(range(36)), "each token once"
        known_BN = torch.zeros(1, 36, dtype=torch.bool)
        for positions_M in watched.steps:
            shown = torch.where(known_BN[..., None], codes_NK[None], 0)
            proposal, _ = prior.propose(shown, known_BN, past)
            nats -= float(proposal.log_probability(codes_NK[None], AS_MODELLED)[0, positions_M].sum())
            known_BN[0, positions_M] = True
        past = prior.commit(past, prior.propose(codes_NK[None], known_BN, past)[1])
    bits, flat = nats / math.log(2), FRAMES * 36 * spec.bits
    assert abs(8 * len(coder.bytes()) / bits - 1) < 0.01
    assert abs(bits / flat - 1) > 0.05, "a coder that does not listen to the prior would be noticed"


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
