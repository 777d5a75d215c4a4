"""`draft_threshold`: copies of probable tokens of the latent frame before."""

import math

import pytest
import torch

from interfaces.prior import DrawSettings
from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import ControlConfig
from sampling.config import SamplerConfig
from sampling.guidance import control_for_guidance
from sampling.maskgit import maskgit
from sampling.rng import StepRNG, counter_rng
from sampling.rollout import commit_codes, copy_rollout, masked_frame, sample_frame, sample_frames, start_rollout
from tests.prior.models import WORDS, tiny_batch, tiny_config, tiny_model
from tests.sampling.fake import FakePrior, fake_prior, frame_of, plain_prior, run_maskgit, unpack

ORDERS = ["halton", "confidence", "random", "threshold", "entropy", "raster"]
SEEDS = (4, 5, 6)


def draft_of(prior: FakePrior, batch: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, prior.unknown, (batch, *prior.shape), generator=generator)


def masks(prior: FakePrior, batch: int) -> torch.Tensor:
    return torch.full((batch, *prior.shape), prior.unknown)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5])
def test_exactly_the_tokens_above_the_threshold_are_copied(scale, threshold, seed):
    """By the table of the prior: at the first step no token is known. One more token is revealed by that step."""
    prior = fake_prior((3, 2), sharpness=1.5, seed=seed)
    sampler = SamplerConfig(draft_threshold=threshold, guidance_scale=scale, steps=16, order="random")
    draft, last, streams = draft_of(prior, 1, seed), draft_of(prior, 1, seed + 9).flatten(), 2 if sampler.guided else 1
    past = prior.begin(torch.tensor([True, False][:streams]), streams)._replace(last_BN=last.expand(streams, -1))
    sampled = run_maskgit(prior, past, masks(prior, 1), sampler, counter_rng([1], 0), draft=draft)
    before = torch.full((16,), prior.unknown)
    before[0] = last[-1]
    tables = [prior.log_p[text, before, last] for text in (1, 0)]
    log_p = tables[0] if scale == 1 else guided_joint(prior, tables, scale)
    wanted = log_p.gather(-1, draft.flatten()[:, None]).flatten() >= math.log(threshold)
    assert wanted.sum() < 16
    assert wanted.any() or threshold == 0.5
    known = (prior.inputs[1][0] != prior.unknown).flatten()
    assert known[wanted].all()
    assert (known & ~wanted).sum() == 1
    assert torch.equal(sampled.ids.flatten()[wanted], draft.flatten()[wanted])


def guided_joint(prior: FakePrior, tables: list[torch.Tensor], scale: float) -> torch.Tensor:
    """The log-probabilities of tokens if each code is guided given those before it: float64 [N, size]."""
    every = unpack(torch.arange(prior.unknown), prior.codebooks)
    total = torch.zeros_like(tables[0])
    for place, size in enumerate(prior.codebooks):
        for token, codes in enumerate(every.tolist()):
            same = (every[:, :place] == every[token, :place]).all(-1)
            logits = [
                torch.stack([table[:, same & (every[:, place] == code)].logsumexp(-1) for code in range(size)], -1)
                for table in tables
            ]
            guided = logits[1] + scale * (logits[0] - logits[1])
            total[:, token] += guided.log_softmax(-1)[:, codes[place]]
    return total


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", [{}, {"guidance_scale": 2.0}, {"steps": 16, "temperature": 0.5}])
def test_a_sample_of_a_batch_equals_the_sample_alone(order, options):
    """Samples whose drafts are worth more take fewer steps; given tokens stay."""
    prior, sampler = fake_prior(sharpness=2.0), SamplerConfig(order=order, draft_threshold=0.3, **options)
    draft, ids = draft_of(prior, 3, seed=2), masks(prior, 3)
    ids[2, :2] = 3
    streams = 2 if sampler.guided else 1

    def run(rows: slice, seeds):
        text = torch.arange(streams * len(seeds)) < len(seeds)
        past = prior.begin(text, len(text))
        return run_maskgit(prior, past, ids[rows], sampler, counter_rng(seeds, 1), draft=draft[rows])

    together = run(slice(None), SEEDS)
    assert (together.ids[2, :2] == 3).all()
    for row, seed in enumerate(SEEDS):
        alone = run(slice(row, row + 1), (seed,))
        assert torch.equal(alone.ids[0], together.ids[row])
        assert alone.steps_B[0] == together.steps_B[row]


def peaked_prior() -> FakePrior:
    """Token 0 everywhere: with probability 0.99 where the frame before has token 0, with 0.6 where it has token 1."""
    prior = fake_prior((2,))
    prior.log_p = torch.tensor([[0.99, 0.01], [0.6, 0.4]], dtype=torch.float64).log()[None, None].expand(2, 3, 2, 2)
    return prior


@pytest.mark.parametrize(("sure", "steps"), [(0, 8), (1, 8), (8, 4), (9, 4), (15, 1), (16, 1)])
def test_steps_are_in_proportion_to_what_is_left(sure, steps):
    """Of 16 tokens in 8 steps; a frame that is copied as a whole takes the one pass that judged it."""
    prior = peaked_prior()
    last = (torch.arange(16) >= sure).long()
    past = prior.begin(None, 2)._replace(last_BN=last.expand(2, -1))
    sampler, draft = SamplerConfig(draft_threshold=0.9), torch.zeros(2, 4, 4, dtype=torch.int64)
    sampled = run_maskgit(prior, past, masks(prior, 2), sampler, counter_rng([1, 2], 0), draft=draft)
    assert sampled.steps_B.tolist() == [steps] * 2
    assert prior.passes == steps
    assert (sampled.ids.flatten(1)[:, :sure] == 0).all()


def test_a_draft_that_is_refused_changes_nothing():
    prior = fake_prior(sharpness=0.5)
    past, ids = prior.begin(None, 2), masks(prior, 2)
    for order in ORDERS:
        plain = run_maskgit(prior, past, ids, SamplerConfig(order=order), counter_rng([1, 2], 0))
        sampler = SamplerConfig(order=order, draft_threshold=1.0)
        refused = run_maskgit(prior, past, ids, sampler, counter_rng([1, 2], 0), draft=draft_of(prior, 2))
        assert torch.equal(refused.ids, plain.ids)
        assert torch.equal(refused.steps_B, plain.steps_B)


def test_without_a_threshold_the_draft_is_not_read():
    prior = fake_prior()
    past, ids = prior.begin(None, 2), masks(prior, 2)
    plain = run_maskgit(prior, past, ids, SamplerConfig(), counter_rng([1, 2], 0))
    same = run_maskgit(prior, past, ids, SamplerConfig(), counter_rng([1, 2], 0), draft=draft_of(prior, 2))
    assert torch.equal(plain.ids, same.ids)


def test_a_frame_that_is_given_takes_no_pass():
    prior, ids = fake_prior(), torch.ones(2, 4, 4, dtype=torch.int64)
    sampler = SamplerConfig(draft_threshold=0.1)
    sampled = run_maskgit(prior, prior.begin(None, 2), ids, sampler, counter_rng([1, 2], 0), draft=draft_of(prior, 2))
    assert sampled.steps_B.tolist() == [0, 0]
    assert prior.passes == 0


def test_each_group_is_judged_by_its_own_first_proposal():
    """The second group knows the first: its first token is probable only after a 1, which the first group ends with."""
    prior = fake_prior((2,), shape=(6,))
    log_p = torch.tensor([0.5, 0.5], dtype=torch.float64).log().expand(2, 3, 2, 2).clone()
    log_p[:, 1, :, 0] = math.log(0.99)
    log_p[:, 1, :, 1] = math.log(0.01)
    prior.log_p = log_p
    spec = TokenSpec((2,), (TokenGroup("coarse", (2,)), TokenGroup("fine", (4,))), 4)
    frame = frame_of(prior, torch.tensor([[2, 1, 2, 2, 2, 2]]))  # the last coarse token is given
    draft = torch.zeros(1, 6, 1, dtype=torch.int64)
    sampler = SamplerConfig(draft_threshold=0.9, steps=4)
    maskgit(prior, prior.begin(None, 1), spec, frame, sampler, counter_rng([1], 0), None, draft)
    first, second = prior.inputs[:2]
    assert first.tolist() == [[2, 1, 2, 2, 2, 2]]
    assert second[0, 0] != 2
    assert second[0, 2:].tolist() == [2, 2, 2, 2]
    assert prior.inputs[2][0, 2] == 0


@pytest.mark.parametrize("drops", ["text", "control", "both"])
def test_the_second_stream_of_a_draft_has_the_control_that_it_has_elsewhere(drops):
    """A draft that has to make the first proposal makes the one that a rollout would hand over."""
    config = tiny_config(context=WORDS, control=ControlConfig(discrete=3))
    model, text = tiny_model(config), tiny_batch(config).text
    sampler = SamplerConfig(draft_threshold=0.1, guidance_scale=3.0, guidance_drops=drops, steps=3)
    frame = masked_frame(config.spec, 2, torch.device("cpu"), torch.tensor([1, 2]))
    draft = torch.randint(0, 3, frame.codes_BNK.shape, generator=torch.Generator().manual_seed(0))
    past = model.begin(text.rows(torch.tensor([0, 1, 0, 1])), 4)
    inputs = (torch.cat([each, each]) for each in (frame.codes_BNK, frame.known_BN))
    proposal, _ = model.propose(*inputs, past, control_for_guidance(frame.control, sampler))
    rest = config.spec, frame, sampler, counter_rng([1, 2], 0)
    one, other = (maskgit(model, past, *rest, given, draft) for given in (None, proposal))
    assert torch.equal(one.codes_BNK, other.codes_BNK)
    assert torch.equal(one.steps_B, other.steps_B)


@pytest.mark.parametrize("order", ["halton", "entropy"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_rollouts_copy_from_the_frame_before(order, scale):
    """Known frames continue as if they had been sampled, a copy of the state too, and samples do not mix."""
    prior = fake_prior(sharpness=2.0, shape=(3, 2))
    sampler = SamplerConfig(order=order, steps=6, draft_threshold=0.2, guidance_scale=scale)
    copies = 2 if sampler.guided else 1

    def begun(seeds, history=None):
        streams = copies * len(seeds)
        past = prior.begin(torch.arange(streams) < len(seeds), streams)
        if history is None:
            return start_rollout(prior, past, seeds)
        past = commit_codes(prior, past, history.repeat(copies, 1, 1, 1))
        return start_rollout(prior, past, seeds, None, history.shape[1], history[:, -1])

    outputs = list(sample_frames(prior, begun(SEEDS), sampler, 6))
    whole, steps = (torch.stack([getattr(each, name) for each in outputs], 1) for name in ("codes_BNK", "steps_B"))
    assert steps[:, 1:].min() < 6
    same = whole[:, 1:] == whole[:, :-1]
    assert same.any()
    continued = list(sample_frames(prior, begun(SEEDS, whole[:, :2]), sampler, 4))
    assert torch.equal(torch.stack([each.codes_BNK for each in continued], 1), whole[:, 2:])
    rollout, _ = sample_frame(prior, begun(SEEDS), sampler)
    saved = copy_rollout(rollout)
    list(sample_frames(prior, rollout, sampler, 2))
    resumed = list(sample_frames(prior, saved, sampler, 5))
    assert torch.equal(torch.stack([each.codes_BNK for each in resumed], 1), whole[:, 1:])
    for row, seed in enumerate(SEEDS):
        alone = list(sample_frames(prior, begun((seed,)), sampler, 6))
        assert torch.equal(torch.cat([each.codes_BNK for each in alone]), whole[row])
        assert torch.equal(torch.cat([each.steps_B for each in alone]), steps[row])


def test_a_draft_saves_passes():
    prior = plain_prior([0.97, 0.03])
    counts = []
    for threshold in (None, 0.9):
        prior.passes = 0
        sampler = SamplerConfig(steps=8, draft_threshold=threshold)
        list(sample_frames(prior, start_rollout(prior, prior.begin(None, 1), [3]), sampler, 10))
        counts.append(prior.passes)
    assert counts[0] == 80
    assert 8 + 9 <= counts[1] < 30


@pytest.mark.parametrize("guidance", [None, 2.5, torch.tensor([2.5])], ids=str)
def test_the_log_probability_of_drawn_codes_is_the_one_told_with_them(guidance):
    prior = fake_prior(sharpness=0.3)
    past = prior.begin(torch.tensor([True, False]), 2)
    frame, rows = frame_of(prior, masks(prior, 2)), 2 if guidance is None else 1
    proposal, _ = prior.propose(frame.codes_BNK, frame.known_BN, past)
    settings = DrawSettings(temperature=2.0, top_k=2, guidance=guidance)
    numbers = StepRNG(counter_rng(range(rows), 0), 0, prior.shape, torch.arange(16).expand(rows, -1))
    codes, told = proposal.sample(settings, numbers)
    assert torch.equal(proposal.log_probability(codes, settings), told)
    assert told.unique().numel() > 2
