"""`group_steps`: the steps of each group of tokens."""

import pytest
import torch

from interfaces.tokens import TokenGroup, TokenSpec
from sampling.config import SamplerConfig
from sampling.maskgit import maskgit
from sampling.rng import counter_rng
from sampling.schedule import masked_after
from tests.sampling.fake import FakePrior, fake_prior, frame_of

COARSE, FINE = TokenGroup("coarse", (2, 2)), TokenGroup("fine", (3, 4))


def sample(sampler: SamplerConfig, ids: torch.Tensor | None = None, groups=(COARSE, FINE)):
    prior = fake_prior()
    ids = torch.full((1, 4, 4), prior.unknown) if ids is None else ids
    spec = TokenSpec(prior.codebooks, groups, 4)
    sampled = maskgit(prior, prior.begin(None, 1), spec, frame_of(prior, ids), sampler, counter_rng([1], 0))
    return prior, sampled


def masked(prior: FakePrior) -> list[tuple[int, int]]:
    """The number of masked tokens of each group at each pass."""
    counts = [(ids.flatten(1)[0] == prior.unknown) for ids in prior.inputs]
    return [(int(unknown[:4].sum()), int(unknown[4:].sum())) for unknown in counts]


@pytest.mark.parametrize(("given", "coarse", "fine"), [("1+3", 1, 3), ("4+1", 4, 1), ("2+2", 2, 2), ("9+99", 4, 12)])
def test_each_group_takes_its_own_steps(given, coarse, fine):
    prior, sampled = sample(SamplerConfig(group_steps=given, steps=5))
    assert sampled.steps_B.tolist() == [coarse + fine]
    first = [(left, 12) for left in (4, *masked_after("cosine", 4, coarse)[:-1])]
    second = [(0, left) for left in (12, *masked_after("cosine", 12, fine)[:-1])]
    assert masked(prior) == first + second


def test_without_it_each_group_takes_the_same_steps():
    plain, same = sample(SamplerConfig(steps=3))[1], sample(SamplerConfig(steps=7, group_steps="3+3"))[1]
    assert plain.steps_B.tolist() == [6]
    assert torch.equal(plain.codes_BNK, same.codes_BNK)


@pytest.mark.parametrize(("given", "groups"), [("2", (COARSE, FINE)), ("1+2", (TokenGroup("tokens", (4, 4)),))])
def test_a_wrong_number_of_groups_is_an_error(given, groups):
    with pytest.raises(ValueError, match=r"^group_steps = [0-9+]+: .*: [12]; .*: [12]$"):
        sample(SamplerConfig(group_steps=given), groups=groups)
