"""The real prior against a slow sampler written out token by token: no fusion, no batch, no tensors of choices.

In float64, so that no two numbers lie within rounding of each other and the ids must be equal.
"""

import itertools
import math

import pytest
import torch

from interfaces.prior import Text, clone_tensors
from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import ContextConfig, PriorConfig
from prior.model import LlamaPrior
from sampling.config import SamplerConfig
from sampling.halton import halton_ranks
from sampling.maskgit import LatentFrame
from sampling.rng import counter_rng
from sampling.rollout import commit_codes, copy_rollout, sample_frame, sample_frames, start_rollout
from sampling.schedule import masked_after, scale_at

GRID, SEEDS, FRAMES = (3, 4), (21, 22), 5
TOKENS = GRID[0] * GRID[1]
SPEC = TokenSpec((8, 5), (TokenGroup("tokens", GRID),), 4)


@pytest.fixture(scope="module", params=["masked", "autoregressive"])
def prior(request) -> LlamaPrior:
    return tiny_prior(request.param)


@pytest.fixture(scope="module")
def raster_prior() -> LlamaPrior:
    return tiny_prior("autoregressive")


def tiny_prior(objective) -> LlamaPrior:
    torch.manual_seed(3)
    config = PriorConfig(
        spec=SPEC,
        width=32,
        layers=2,
        heads=4,
        kv_heads=2,
        hidden=48,
        window=2,
        objective=objective,
        context=ContextConfig(4, vocabulary=10),
    )
    model = LlamaPrior(config).double().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.data *= 10  # far from uniform
    return model


def texts(batch: int, guided: bool) -> Text:
    text = Text(torch.arange(4 * batch).view(batch, 4) % 10, torch.ones(batch, 4, dtype=torch.bool))
    if not guided:
        return text
    both = Text(*(torch.cat([part, part]) for part in text))
    return both.without(torch.arange(2 * batch) >= batch)


def begin_rollout(prior: LlamaPrior, sampler: SamplerConfig):
    text = texts(len(SEEDS), sampler.guided)
    return start_rollout(prior, prior.begin(text, len(text.mask)), SEEDS)


def slow_choice(
    proposal, place: int, sampler: SamplerConfig, scale: float, uniforms: list[float], given: list[int] | None = None
) -> tuple[list[int], float, float]:
    """One token of one sample: its codes, their log-probability, and its entropy; `given` codes are not drawn."""
    known: list[int] = []
    confidence = entropy = 0.0
    for u in uniforms:
        codes = torch.tensor(known, dtype=torch.int64).expand(*proposal.features.shape[:2], len(known))
        rows = proposal.head(proposal.features, codes)[:, place].double()
        logits = rows[0] if len(rows) == 1 else rows[1] + scale * (rows[0] - rows[1])
        confidence += float(logits.log_softmax(0)[0] - logits[0])  # minus the log of the sum
        weights = [(math.exp((value - max(logits.tolist())) / sampler.temperature)) for value in logits.tolist()]
        best = sorted(weights, reverse=True)[: sampler.top_k]
        weights = [weight if weight >= best[-1] else 0.0 for weight in weights]
        aim, code = u * sum(weights), 0
        while sum(weights[: code + 1]) <= aim:
            code += 1
        entropy -= sum(weight / sum(weights) * math.log(weight / sum(weights)) for weight in weights if weight)
        code = code if given is None else given[len(known)]
        confidence += float(logits[code])
        known.append(code)
    return known, confidence, entropy


def slow_frame(prior, past, sampler, seed, frame, draft: list[list[int]] | None = None) -> list[list[int]]:
    """A frame of one sample by the definition, with `propose` only."""
    rng = counter_rng([seed], frame)
    tokens: list[list[int] | None] = [None] * TOKENS
    steps = sampler.steps_of(TOKENS)
    first = None
    if draft is not None and sampler.draft_threshold is not None:
        first = slow_proposal(prior, past, tokens, sampler)
        judged = [
            slow_choice(first, n, sampler, slow_scale(sampler, 0, steps), [0.5] * 2, draft[n]) for n in range(TOKENS)
        ]
        tokens = [codes if confidence >= math.log(sampler.draft_threshold) else None for codes, confidence, _ in judged]
        steps = math.ceil(steps * tokens.count(None) / TOKENS)
    for number, left in enumerate(masked_after(sampler.schedule, tokens.count(None), steps)):
        proposal = first if first is not None and number == 0 else slow_proposal(prior, past, tokens, sampler)
        unknown = tokens.count(None)
        done = number
        if sampler.order == "entropy":  # as if the schedule had led here
            done = sum(left >= unknown for left in masked_after(sampler.schedule, TOKENS, steps))
        scale = slow_scale(sampler, min(done, steps - 1), steps)
        if sampler.order == "autoregressive":
            u = rng.uniforms("codes", number, 1, 1, 2).expand(1, *GRID, 2).flatten(1, 2)[0].tolist()
        else:
            u = rng.uniforms("codes", number, *GRID, 2).flatten(1, 2)[0].tolist()
        noise = rng.gumbels("order", number, *GRID).flatten().tolist()
        fading = sampler.noise * (1 - (number + 1) / steps)
        drawn = [slow_choice(proposal, place, sampler, scale, u[place]) for place in range(TOKENS)]
        scores = {
            "halton": [-rank for rank in halton_ranks(*GRID, torch.device("cpu")).flatten().tolist()],
            "confidence": [c + fading * g for (_, c, _), g in zip(drawn, noise, strict=True)],
            "threshold": [c for _, c, _ in drawn],
            "entropy": [-entropy for _, _, entropy in drawn],
            "random": rng.uniforms("order", 0, *GRID).flatten().tolist(),
        }.get(sampler.order, [-place for place in range(TOKENS)])
        unknown = sorted((place for place in range(TOKENS) if tokens[place] is None), key=lambda p: -scores[p])
        due = unknown[: max(1, len(unknown) - left)] if unknown else []
        if sampler.order == "threshold":
            due += [place for place in unknown if drawn[place][1] >= math.log(sampler.threshold)]
        if sampler.order == "entropy":
            sums = itertools.accumulate((drawn[place][2] for place in unknown), initial=0.0)
            due += [place for place, before in zip(unknown, sums, strict=False) if before <= sampler.entropy_bound]
        for place in due:
            tokens[place] = drawn[place][0]
    return [token for token in tokens if token is not None]


def slow_proposal(prior, past, tokens, sampler):
    streams = 2 if sampler.guided else 1
    codes = torch.tensor([token or [0, 0] for token in tokens]).expand(streams, -1, -1)
    known = torch.tensor([token is not None for token in tokens]).expand(streams, -1)
    return prior.propose(codes, known, past)[0]


def slow_scale(sampler, number: int, steps: int) -> float:
    guided = sampler.guidance_start <= (number + 0.5) / steps <= sampler.guidance_end
    return scale_at(sampler.guidance_schedule, sampler.guidance_scale, number, steps) if guided else 1.0


def slow_rollout(prior, sampler) -> torch.Tensor:
    """Each sample alone; each frame is committed in a pass of its own."""
    samples, everything = [], torch.ones(2 if sampler.guided else 1, TOKENS, dtype=torch.bool)
    for row, seed in enumerate(SEEDS):
        text = texts(len(SEEDS), sampler.guided)
        rows = torch.tensor([row, row + len(SEEDS)] if sampler.guided else [row])
        past, frames, draft = prior.begin(text.rows(rows), len(rows)), [], None
        for frame in range(FRAMES):
            draft = slow_frame(prior, clone_tensors(past), sampler, seed, frame, draft)
            codes = torch.tensor([draft])
            past = prior.commit(past, prior.propose(codes.repeat(len(rows), 1, 1), everything, past)[1])
            frames.append(codes)
        samples.append(torch.stack(frames, 1))
    return torch.cat(samples)


CASES = [
    SamplerConfig(steps=4),
    SamplerConfig(order="confidence", steps=3, noise=2.0, guidance_scale=2.5, guidance_schedule="linear"),
    SamplerConfig(order="random", steps=5, schedule="arccos", temperature=0.7, top_k=4),
    SamplerConfig(order="threshold", steps=6, threshold=0.3),
    SamplerConfig(order="raster", temperature=1.3, guidance_scale=0.5),
    SamplerConfig(order="entropy", steps=6, entropy_bound=1.5, temperature=0.6, top_k=5, guidance_scale=2.0),
    SamplerConfig(order="entropy", steps=9, entropy_bound=3.0, guidance_scale=2.0, guidance_schedule="linear"),
    SamplerConfig(steps=5, guidance_scale=2.5, guidance_schedule="linear", guidance_start=0.2, guidance_end=0.8),
    SamplerConfig(steps=5, draft_threshold=0.02, guidance_scale=1.5),
    SamplerConfig(order="threshold", threshold=0.4, steps=6, draft_threshold=0.05),
]


@pytest.mark.parametrize("sampler", CASES, ids=lambda sampler: sampler.order)
def test_a_rollout_equals_the_slow_sampler(prior, sampler):
    """Beyond the window, with fused commits, both samples in a batch."""
    fast = torch.stack(
        [each.codes_BNK for each in sample_frames(prior, begin_rollout(prior, sampler), sampler, FRAMES)], 1
    )
    assert torch.equal(fast, slow_rollout(prior, sampler))


@pytest.mark.parametrize("options", [{}, {"guidance_scale": 3.0, "top_k": 5}])
def test_an_autoregressive_rollout_equals_the_slow_sampler(raster_prior, options):
    """The keys of earlier tokens of a frame give the next token the result of a whole proposal."""
    sampler = SamplerConfig(order="autoregressive", **options)
    fast = torch.stack(
        [each.codes_BNK for each in sample_frames(raster_prior, begin_rollout(raster_prior, sampler), sampler, FRAMES)],
        1,
    )
    assert torch.equal(fast, slow_rollout(raster_prior, sampler))


@pytest.mark.parametrize("order", ["halton", "threshold"])
def test_a_saved_rollout_resumes_to_the_same_codes(prior, order):
    resumes(prior, SamplerConfig(order=order, steps=3, guidance_scale=2.0))


def test_a_saved_autoregressive_rollout_resumes_to_the_same_codes(raster_prior):
    resumes(raster_prior, SamplerConfig(order="autoregressive"))


def resumes(prior, sampler):
    rollout, whole, saved = begin_rollout(prior, sampler), [], []
    for _ in range(6):
        saved.append(copy_rollout(rollout))
        rollout, decided = sample_frame(prior, rollout, sampler)
        whole.append(decided.codes_BNK)
    for number, each in enumerate(saved):
        rest = [decided.codes_BNK for decided in sample_frames(prior, each, sampler, 6 - number)]
        assert torch.equal(torch.stack(rest), torch.stack(whole[number:]))


def test_known_frames_continue_as_if_they_had_been_sampled(prior):
    sampler = SamplerConfig(steps=3)
    whole = torch.stack([each.codes_BNK for each in sample_frames(prior, begin_rollout(prior, sampler), sampler, 6)], 1)
    past = commit_codes(prior, prior.begin(texts(2, False), 2), whole[:, :4])
    continued = start_rollout(prior, past, SEEDS, first_frame=4)
    assert torch.equal(
        torch.stack([each.codes_BNK for each in sample_frames(prior, continued, sampler, 2)], 1), whole[:, 4:]
    )


def test_the_codes_of_unknown_tokens_have_no_meaning(prior: LlamaPrior) -> None:
    sampler, known_BN = SamplerConfig(order="raster"), torch.arange(TOKENS).expand(len(SEEDS), -1) % 3 == 0
    codes_BNK = torch.ones(len(SEEDS), TOKENS, 2, dtype=torch.int64)
    sampled = [
        sample_frame(prior, begin_rollout(prior, sampler), sampler, LatentFrame(given_BNK, known_BN))[1].codes_BNK
        for given_BNK in (codes_BNK, torch.where(known_BN.unsqueeze(-1), codes_BNK, -1))
    ]
    assert torch.equal(*sampled)
