import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from sampling.config import SamplerConfig
from sampling.guidance import guidance_scale
from sampling.halton import halton_ranks
from sampling.maskgit import draw_settings
from sampling.orders import SCORES, RevealState, by_confidence, to_reveal
from sampling.plan import plan
from sampling.rng import StepRNG, counter_rng
from sampling.schedule import masked_after
from tests.sampling.fake import (
    FakePrior,
    FakeProposal,
    fake_prior,
    frame_of,
    pack,
    plain_prior,
    run_maskgit,
)

ORDERS = ["halton", "confidence", "random", "threshold", "entropy", "raster"]
MANY = 20_000


def masks(prior: FakePrior, batch: int) -> torch.Tensor:
    return torch.full((batch, *prior.shape), prior.unknown)


def sample(prior, sampler, seeds=(0,), frame=0, ids=None, text=None):
    """One frame from a fresh past, with twice the streams for guidance."""
    ids = masks(prior, len(seeds)) if ids is None else ids
    if sampler.guided:
        text = torch.cat([torch.ones(len(seeds), dtype=torch.bool), torch.zeros(len(seeds), dtype=torch.bool)])
    past = prior.begin(text, len(ids) * (2 if sampler.guided else 1))
    return run_maskgit(prior, past, ids, sampler, counter_rng(seeds, frame))


def revealed(prior: FakePrior, ids: torch.Tensor) -> torch.Tensor:
    """The step (from 1) at which each position became known, from the calls of the prior."""
    known = torch.stack([*prior.inputs, ids]) != prior.unknown
    return known.int().argmax(0)


def close(seen: float, p: float, draws: int) -> bool:
    return abs(seen - p) <= 4 * math.sqrt(p * (1 - p) / draws)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("schedule", ["cosine", "linear", "arccos", "square"])
def test_each_step_reveals_as_many_tokens_as_the_schedule(order, schedule):
    prior = fake_prior(sharpness=0.1)
    sampler = SamplerConfig(order=order, schedule=schedule, steps=5)
    sampled = sample(prior, sampler, seeds=range(3))
    steps = 16 if order == "raster" else 5
    left = [(ids == prior.unknown).sum((1, 2)).tolist() for ids in [*prior.inputs[1:], sampled.ids]]
    assert left == [[count] * 3 for count in masked_after(schedule, 16, steps)]
    assert sampled.steps_B.tolist() == [steps] * 3
    assert sampled.ids.min() >= 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"guidance_scale": 2.0}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.7}),
        {"guidance_scale": 3.0, "guidance_schedule": "linear", "steps": 12},
    ],
)
def test_a_sample_of_a_batch_equals_the_sample_alone(order, options):
    """Also for partly given frames, which finish at different steps."""
    prior, seeds = fake_prior(sharpness=2.0), [11, 12, 2**40, -5]
    ids = masks(prior, 4)
    ids[1, :2], ids[2] = 3, 1
    sampler = SamplerConfig(order=order, **options)
    together = sample(prior, sampler, seeds, ids=ids)
    for i, seed in enumerate(seeds):
        alone = sample(prior, sampler, [seed], ids=ids[i : i + 1])
        assert torch.equal(together.ids[i], alone.ids[0])
        assert together.steps_B[i] == alone.steps_B[0]


def test_guidance_and_noise_follow_the_steps_of_each_sample():
    sampler, cpu = SamplerConfig(guidance_scale=5.0, guidance_schedule="linear", steps=8), torch.device("cpu")
    assert guidance_scale(sampler, (7, 7), (8, 8), cpu) == 5
    assert guidance_scale(sampler, (2, 2), (8, 3), cpu).tolist() == [pytest.approx(1 + 4 * 2 / 7), 5]
    assert guidance_scale(SamplerConfig(), (7, 7), (8, 8), cpu) is None
    state = RevealState(torch.zeros(2, 16), (4, 4), 2, (8, 3), 0, sampler, counter_rng([1, 2], 0))
    fading = [by_confidence(state._replace(step=step)) for step in (2, 7)]
    assert fading[0][0].any()
    assert not fading[0][1].any()
    assert not fading[1].any()


@pytest.mark.parametrize("order", ORDERS)
def test_codes_depend_on_seed_and_frame(order):
    prior, sampler = fake_prior(), SamplerConfig(order=order)
    keys = ((1, 0), (1, 0), (2, 0), (1, 1))
    first, again, other, later = (sample(prior, sampler, [seed], frame=frame) for seed, frame in keys)
    assert torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, other.ids)
    assert not torch.equal(first.ids, later.ids)


@pytest.mark.parametrize("order", ["halton", "random", "raster"])
def test_static_orders_propose_only_the_due_positions(order):
    prior = fake_prior()
    ids = sample(prior, SamplerConfig(order=order, steps=5, guidance_scale=2.0), (3, 4)).ids
    after = [*prior.inputs[1:], torch.cat([ids, ids])]
    for before, then, places in zip(prior.inputs, after, prior.positions, strict=True):
        sampled = (before != then).flatten(1)
        assert places.shape == (4, max(2, int(sampled.sum(1).max())))
        assert sampled.gather(1, places).sum(1).tolist() == sampled.sum(1).tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_given_tokens_stay_and_are_known_from_the_first_step(order):
    prior, ids = fake_prior(), masks(fake_prior(), 2)
    given = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.4
    ids[given] = 5
    sampled = sample(prior, SamplerConfig(order=order), seeds=(1, 2), ids=ids)
    assert torch.equal(prior.inputs[0], ids)
    assert (sampled.ids[given] == 5).all()
    assert (sampled.ids < prior.unknown).all()


@pytest.mark.parametrize("order", ORDERS)
def test_a_given_frame_takes_no_steps(order):
    prior = fake_prior()
    ids = torch.ones(2, 4, 4, dtype=torch.int64)
    sampled = sample(prior, SamplerConfig(order=order), seeds=(1, 2), ids=ids)
    assert torch.equal(sampled.ids, ids)
    assert sampled.steps_B.tolist() == [0, 0]
    assert prior.passes == 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_grid_of_one_token_takes_one_step(order):
    prior = plain_prior([0.7, 0.2, 0.1], shape=(1, 1))
    sampled = sample(prior, SamplerConfig(order=order), seeds=range(MANY))
    assert prior.passes == 1
    assert (sampled.steps_B == 1).all()
    for token, p in enumerate([0.7, 0.2, 0.1]):
        assert close((sampled.ids == token).double().mean(), p, MANY)


@pytest.mark.parametrize("order", ["halton", "confidence", "random"])
def test_more_steps_than_tokens_take_one_step_per_token(order):
    prior = fake_prior(shape=(2, 3))
    sampled = sample(prior, SamplerConfig(order=order, steps=1000))
    assert prior.passes == 6
    assert sorted(revealed(prior, sampled.ids).flatten().tolist()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("order", ["halton", "random", "raster"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_in_a_whole_frame(order, temperature):
    """Static orders do not change the distribution of any token at any step."""
    p = torch.tensor([0.6, 0.3, 0.1])
    sampler = SamplerConfig(order=order, steps=3, temperature=temperature)
    ids = sample(plain_prior(p.tolist(), shape=(2, 2)), sampler, seeds=range(MANY // 4)).ids
    powered = p ** (1 / temperature)
    for token, expected in enumerate((powered / powered.sum()).tolist()):
        assert close((ids == token).double().mean(), expected, MANY)
        for place in ids.flatten(1).unbind(1):
            assert close((place == token).double().mean(), expected, MANY // 4)


def test_tokens_depend_on_those_before_them():
    """Pairs of tokens in raster order have the frequencies of the chain rule."""
    prior = fake_prior((3,), shape=(1, 2))
    ids = sample(prior, SamplerConfig(order="raster"), seeds=range(MANY)).ids.flatten(1)
    pairs = torch.bincount(ids[:, 0] * 3 + ids[:, 1], minlength=9) / MANY
    table = prior.log_p.exp()
    for a in range(3):
        for b in range(3):
            assert close(pairs[3 * a + b], float(table[0, 0, 0, a] * table[0, a, 0, b]), MANY)


def test_tokens_of_one_step_are_independent():
    prior = fake_prior((3,), shape=(1, 2))
    ids = sample(prior, SamplerConfig(steps=1), seeds=range(MANY)).ids.flatten(1)
    pairs = torch.bincount(ids[:, 0] * 3 + ids[:, 1], minlength=9) / MANY
    table = prior.log_p.exp()
    for a in range(3):
        for b in range(3):
            assert close(pairs[3 * a + b], float(table[0, 0, 0, a] * table[0, 3, 0, b]), MANY)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.5])
def test_guidance_changes_the_frequencies_by_a_power_of_the_odds(scale):
    with_text, without_text = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    prior = plain_prior(without_text, with_text, shape=(1, 1))
    text = torch.ones(MANY, dtype=torch.bool)
    sampler = SamplerConfig(guidance_scale=scale)
    ids = sample(prior, sampler, seeds=range(MANY), text=text).ids
    weights = [u * (t / u) ** scale for t, u in zip(with_text, without_text, strict=True)]
    for token, weight in enumerate(weights):
        assert close((ids == token).double().mean(), weight / sum(weights), MANY)
    assert {len(each) for each in prior.inputs} == {MANY if scale == 1 else 2 * MANY}


def test_guidance_of_100_takes_the_code_that_the_text_favors_most():
    prior = plain_prior([0.2, 0.3, 0.5], [0.5, 0.3, 0.2])
    ids = sample(prior, SamplerConfig(guidance_scale=100), seeds=range(100)).ids
    assert (ids == 0).all()


def test_guidance_grows_with_the_steps_of_a_frame():
    """With a ramp from 1 to 100, the first step has no guidance and the last one full guidance."""
    with_text, without_text = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    prior = plain_prior(without_text, with_text, shape=(1, 2))
    sampler = SamplerConfig(order="raster", guidance_scale=100, guidance_schedule="linear")
    ids = sample(prior, sampler, seeds=range(MANY)).ids.flatten(1)
    assert close((ids[:, 0] == 0).double().mean(), 0.5, MANY)
    assert (ids[:, 1] == 0).all()


def test_halton_reveals_in_the_order_of_halton_ranks():
    prior = fake_prior()
    steps = revealed(prior, sample(prior, SamplerConfig(steps=16), seeds=(3, 4)).ids)
    assert torch.equal(steps - 1, halton_ranks(4, 4, torch.device("cpu")).expand(2, -1, -1))


def test_raster_reveals_row_by_row():
    prior = fake_prior()
    steps = revealed(prior, sample(prior, SamplerConfig(order="raster"), seeds=(3, 4)).ids)
    assert torch.equal(steps - 1, torch.arange(16).view(4, 4).expand(2, -1, -1))


def test_random_orders_are_uniform_and_differ_by_sample_and_frame():
    prior = fake_prior((3,))
    places = torch.zeros(16)
    for frame in range(3):
        prior.inputs.clear()
        sampled = sample(prior, SamplerConfig(order="random", steps=16), seeds=range(1000), frame=frame)
        steps = revealed(prior, sampled.ids).flatten(1)
        assert len({tuple(row) for row in steps.tolist()}) == 1000
        places += torch.bincount((steps == 1).int().argmax(1), minlength=16)
    assert ((places - 3000 / 16) ** 2 / (3000 / 16)).sum() < 37.7  # chi-square, 15 degrees: one seed in a thousand


def test_without_noise_the_most_confident_token_is_first():
    """With equal distributions, the token whose drawn code is most probable is revealed first."""
    prior = plain_prior([0.6, 0.4])
    sampled = sample(prior, SamplerConfig(order="confidence", noise=0, steps=16), seeds=range(20))
    chosen = revealed(prior, sampled.ids) == 1
    drawn_likely = 1 - 0.4**16  # that one of the 16 draws of the first step was the likelier token
    assert drawn_likely > 0.999
    assert (sampled.ids[chosen] == 0).all()


@pytest.mark.parametrize("frame", [0, 1, 7, 100_000])
def test_noise_makes_the_order_random_in_every_frame(frame):
    """With equal confidence: without noise the order is fixed, with noise each position is first equally often."""
    prior = plain_prior([0.25] * 4, shape=(2, 2))
    sampler = SamplerConfig(order="confidence", steps=4, noise=1.0)
    first = revealed(prior, sample(prior, sampler, range(2000), frame).ids).flatten(1).argmin(1)
    for count in torch.bincount(first, minlength=4):
        assert close(float(count) / 2000, 0.25, 2000)
    prior.inputs.clear()
    still = revealed(prior, sample(prior, replace(sampler, noise=0), range(2000), frame).ids)
    assert (still == still[0]).all()


def test_the_noise_of_order_confidence_is_gumbel_noise():
    """Confidences c and d with Gumbel noise n: the first position is first with probability sigmoid((c - d) / n)."""
    prior = fake_prior((2,), shape=(1, 2))
    prior.log_p = torch.tensor([[0.8, 0.2], [0.6, 0.4]], dtype=torch.float64).log()[None, None].expand(2, 3, 2, 2)
    for noise in (0.5, 2.0):
        prior.inputs.clear()
        past = prior.begin(None, MANY)._replace(last_BN=torch.tensor([[0, 1]]).expand(MANY, 2))
        sampler = SamplerConfig(order="confidence", noise=noise, steps=2, temperature=0)  # draws 0 and 0
        sampled = run_maskgit(prior, past, masks(prior, MANY), sampler, counter_rng(range(MANY), 3))
        first = (revealed(prior, sampled.ids).flatten(1)[:, 0] == 1).double().mean()
        gap = math.log(0.8 / 0.6) / (noise * 0.5)  # half of the steps are done after the first
        assert close(first, 1 / (1 + math.exp(-gap)), MANY)


def test_threshold_reveals_all_confident_tokens_at_once():
    """Positions of token 0 in the last frame have confidence 0.95, those of token 1 have 0.6."""
    prior = fake_prior((2,))
    prior.log_p = torch.tensor([[0.95, 0.05], [0.6, 0.4]], dtype=torch.float64).log()[None, None].expand(2, 3, 2, 2)
    last = (torch.arange(16) % 3 == 0).long()  # six unsure places
    past = prior.begin(None, 1)._replace(last_BN=last[None])
    sampler = SamplerConfig(order="threshold", steps=16, temperature=0)
    sampled = run_maskgit(prior, past, masks(prior, 1), sampler, counter_rng([0], 0))
    steps = revealed(prior, sampled.ids).flatten()
    assert (steps[last == 0] == 1).all()
    assert (steps[last == 1] > 1).all()
    assert sampled.steps_B.item() == prior.passes


def test_threshold_ends_early_if_all_tokens_are_confident():
    for batch in (1, 3):
        prior = plain_prior([0.97, 0.03])
        sampled = sample(prior, SamplerConfig(order="threshold", temperature=0), seeds=range(batch))
        assert sampled.steps_B.tolist() == [1] * batch
        assert prior.passes == 1


def test_threshold_reveals_at_least_one_token_per_step():
    prior = plain_prior([0.5, 0.5])
    sampled = sample(prior, SamplerConfig(order="threshold", threshold=1.0, steps=16))
    assert sampled.steps_B.item() == prior.passes == 16
    prior = plain_prior([0.5, 0.5])
    sampled = sample(prior, SamplerConfig(order="threshold", threshold=1.0, steps=3))
    assert sampled.steps_B.item() == prior.passes == 3


def test_the_lowest_threshold_takes_one_step():
    prior = fake_prior()
    assert sample(prior, SamplerConfig(order="threshold", threshold=1e-9)).steps_B.tolist() == [1]


def test_samples_of_a_batch_finish_independently():
    """One confident sample takes one step, and does not change while the other continues."""
    prior = plain_prior([0.55, 0.45], [0.99, 0.01])
    text = torch.tensor([True, False])
    sampled = sample(prior, SamplerConfig(order="threshold", temperature=0, threshold=0.9), seeds=(1, 2), text=text)
    assert sampled.steps_B.tolist() == [1, 8]
    assert all(torch.equal(ids[0], sampled.ids[0]) for ids in prior.inputs[1:])


def test_a_given_proposal_saves_the_first_pass():
    prior, sampler = fake_prior(), SamplerConfig()
    past, ids = prior.begin(None, 1), masks(fake_prior(), 1)
    plain = run_maskgit(prior, past, ids, sampler, counter_rng([1], 0))
    frame = frame_of(prior, ids)
    proposal, _ = prior.propose(frame.codes_BNK, frame.known_BN, past)
    prior.passes = 0
    sampled = run_maskgit(prior, past, ids, sampler, counter_rng([1], 0), proposal)
    assert prior.passes == 7
    assert torch.equal(sampled.ids, plain.ids)


def drawn_everywhere(prior, past, ids, sampler, rng):
    """The same, but draws every token in every step and discards those that are not due."""
    codes, known, _ = frame_of(prior, ids)
    counts = (~known).sum(1).tolist()
    steps = tuple(sampler.steps_of(count) for count in counts)
    everywhere = torch.arange(prior.spec.tokens).expand(len(ids), -1)
    for step, turn in enumerate(plan(counts, steps, sampler.schedule, ids.device)):
        unknown = ~known
        twice = (torch.cat([each, each]) if sampler.guided else each for each in (codes, known))
        proposal = prior.propose(*twice, past)[0]
        scale = guidance_scale(sampler, (step,) * len(ids), steps, ids.device)
        drawn, confidence = proposal.sample(
            draw_settings(sampler, scale, SCORES.get(sampler.order, "none")),
            StepRNG(rng, step, prior.shape, everywhere),
        )
        due = to_reveal(RevealState(confidence, prior.shape, step, steps, 0, sampler, rng), unknown, turn.masked_B)
        codes, known = torch.where(due.unsqueeze(-1), drawn, codes), known | due
    return pack(codes, prior.codebooks).unflatten(1, prior.shape)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", [{}, {"guidance_scale": 2.0}, {"top_p": 0.7, "steps": 5}])
def test_drawing_only_due_tokens_gives_the_same_codes(order, options):
    prior, sampler = fake_prior(sharpness=2.0, shape=(4, 5)), SamplerConfig(order=order, **options)
    ids = masks(prior, 3)
    ids[1, :2], ids[2, 3, 1:] = 3, 1
    text = torch.arange(6) < 3 if sampler.guided else None
    past, rng = prior.begin(text, 6 if sampler.guided else 3), counter_rng([4, 5, 6], 2)
    wanted = drawn_everywhere(prior, past, ids, sampler, rng)
    assert torch.equal(run_maskgit(prior, past, ids, sampler, rng).ids, wanted)


@pytest.mark.parametrize("order", ORDERS)
def test_only_tokens_that_may_be_revealed_are_drawn(order, monkeypatch):
    prior, asked = fake_prior(sharpness=0.1), []
    at = FakeProposal.at
    monkeypatch.setattr(FakeProposal, "at", lambda proposal, places: (asked.append(places), at(proposal, places))[1])
    sample(prior, SamplerConfig(order=order, steps=4))
    left = [16, *masked_after("cosine", 16, 16 if order == "raster" else 4)]
    static = order not in ("confidence", "threshold", "entropy")
    counts = [was - now if static else was for was, now in pairwise(left)]
    assert [places.shape[1] for places in asked] == [max(2, count) for count in counts]
