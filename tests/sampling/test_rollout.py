import itertools

import pytest
import torch

from sampling.config import SamplerConfig
from sampling.maskgit import LatentFrame
from sampling.rollout import commit_codes, copy_rollout, flush, sample_frame, sample_frames, start_rollout
from tests.sampling.fake import FakePrior, pack, unpack
from tests.sampling.fake import fake_prior as any_fake_prior
from tests.sampling.fake import plain_prior as any_plain_prior

ORDERS = ["halton", "confidence", "random", "threshold", "entropy", "raster", "autoregressive"]
GRID = (3, 2)


def fake_prior(**options) -> FakePrior:
    return any_fake_prior(shape=GRID, **options)


def plain_prior(probabilities: list[float]) -> FakePrior:
    return any_plain_prior(probabilities, shape=GRID)


def begin_rollout(prior, sampler, seeds, first_frame=0, history=None):
    """A rollout with text; with guidance, each sample also without."""
    streams = len(seeds) * (2 if sampler.guided else 1)
    past = prior.begin(torch.arange(streams) < len(seeds), streams)
    if history is not None:
        past = commit_codes(prior, past, history.repeat(streams // len(seeds), 1, 1, 1))
    return start_rollout(prior, past, seeds, first_frame=first_frame)


def zeros(videos: int, latent_frames: int) -> torch.Tensor:
    return torch.zeros(videos, latent_frames, 6, 2, dtype=torch.int64)


def frames(sampled) -> torch.Tensor:
    """[B, T, N, K]"""
    return torch.stack([each.codes_BNK for each in sampled], 1)


@pytest.mark.parametrize("order", ["halton", "confidence", "random"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_k_steps_take_k_passes(order, scale):
    """A commit shares the pass of the first proposal of the next frame, and the last frame is not committed."""
    prior, sampler = fake_prior(), SamplerConfig(order=order, steps=4, guidance_scale=scale)
    assert len(list(sample_frames(prior, begin_rollout(prior, sampler, [1, 2]), sampler, frames=10))) == 10
    assert prior.passes == 4 * 10


@pytest.mark.parametrize(("known", "passes"), [(0, [4, 4, 2, 2]), (1, [4, 2, 2]), (2, [2, 2])])
def test_the_first_frames_of_a_scene_take_more_steps(known, passes):
    """The first two latent frames of a video, including frames of the context."""
    prior, sampler = fake_prior(), SamplerConfig(steps=2, first_frames_step_multiplier=2)
    rollout = begin_rollout(prior, sampler, [1, 2], known, zeros(2, known))
    counts = []
    for _ in passes:
        before = prior.passes
        rollout, decided = sample_frame(prior, rollout, sampler)
        counts.append(prior.passes - before)
        assert decided.steps_B.tolist() == [counts[-1]] * 2
    assert counts == passes


def test_the_first_frame_takes_no_more_passes_after_known_ones():
    prior, sampler = fake_prior(), SamplerConfig(steps=4)
    rollout = begin_rollout(prior, sampler, [1], history=zeros(1, 5))
    assert prior.passes == 5
    list(sample_frames(prior, rollout, sampler, frames=1))
    assert prior.passes == 5 + 4


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_rollout_can_be_continued_from_any_state(order, scale):
    prior, sampler = fake_prior(), SamplerConfig(order=order, steps=3, guidance_scale=scale)
    whole = frames(sample_frames(prior, begin_rollout(prior, sampler, [8, 9]), sampler, frames=5))
    for cut in (0, 1, 3):
        rollout, seen = begin_rollout(prior, sampler, [8, 9]), []
        for _ in range(cut):
            rollout, decided = sample_frame(prior, rollout, sampler)
            seen.append(decided)
        saved = copy_rollout(rollout)
        list(sample_frames(prior, rollout, sampler, frames=2))  # another goes on meanwhile
        seen += sample_frames(prior, saved, sampler, frames=5 - cut)
        assert torch.equal(frames(seen), whole)


@pytest.mark.parametrize("order", ORDERS)
def test_known_frames_continue_as_if_they_had_been_sampled(order):
    prior, sampler = fake_prior(), SamplerConfig(order=order, steps=3)
    whole = frames(sample_frames(prior, begin_rollout(prior, sampler, [4]), sampler, frames=6))
    continued = begin_rollout(prior, sampler, [4], first_frame=2, history=whole[:, :2])
    assert torch.equal(frames(sample_frames(prior, continued, sampler, frames=4)), whole[:, 2:])


def test_a_past_can_be_replaced_in_the_middle():
    """A past of the same frames and text changes nothing; another text changes the next frame."""
    prior, sampler = fake_prior(), SamplerConfig(steps=3)
    whole = frames(sample_frames(prior, begin_rollout(prior, sampler, [4]), sampler, frames=6))
    rollout = begin_rollout(prior, sampler, [4])
    for _ in range(3):
        rollout, _ = sample_frame(prior, rollout, sampler)
    for with_text, same in ((True, True), (False, False)):
        past = commit_codes(prior, prior.begin(torch.tensor([with_text]), 1), whole[:, :2])
        ids = frames(sample_frames(prior, rollout._replace(past=past), sampler, frames=3))
        assert torch.equal(ids, whole[:, 3:]) == same


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_sample_of_a_batch_equals_the_sample_alone(order, scale):
    prior, sampler = fake_prior(sharpness=2.0), SamplerConfig(order=order, steps=3, guidance_scale=scale)
    together = list(sample_frames(prior, begin_rollout(prior, sampler, [4, 5, 6]), sampler, frames=4))
    for i, seed in enumerate([4, 5, 6]):
        alone = list(sample_frames(prior, begin_rollout(prior, sampler, [seed]), sampler, frames=4))
        assert torch.equal(frames(together)[i], frames(alone)[0])
        assert [each.steps_B[i] for each in together] == [each.steps_B[0] for each in alone]


@pytest.mark.parametrize("order", ORDERS)
def test_given_tokens_stay(order):
    """A corner of every frame, one whole frame, nothing in the last one."""
    prior, sampler = fake_prior(), SamplerConfig(order=order, steps=3)
    given = torch.full((2, 4, *GRID), prior.unknown)
    given[:, :3, 0, 0], given[:, 1] = 5, 2
    ids, known = given.flatten(2), given.flatten(2) != prior.unknown
    asked = LatentFrame(unpack(ids, prior.codebooks), known)
    seen = list(sample_frames(prior, begin_rollout(prior, sampler, [1, 2]), sampler, frames=5, given=asked))
    assert torch.equal(pack(frames(seen), prior.codebooks)[:, :4][known], ids[known])
    assert seen[1].steps_B.tolist() == [0, 0]
    assert min(each.steps_B.min() for each in (seen[0], *seen[2:])) > 0


def test_a_given_frame_takes_one_pass():
    prior, sampler = fake_prior(), SamplerConfig(steps=3)
    given = LatentFrame(zeros(1, 2), torch.ones(1, 2, 6, dtype=torch.bool))
    list(sample_frames(prior, begin_rollout(prior, sampler, [1]), sampler, frames=2, given=given))
    assert prior.passes == 1  # of the first; the last is not committed
    list(sample_frames(prior, begin_rollout(prior, sampler, [1]), sampler, frames=3, given=given))
    assert prior.passes == 1 + 1 + 3


def test_a_given_frame_without_known_tokens_has_no_effect():
    prior, sampler = fake_prior(), SamplerConfig(steps=3)
    nothing = LatentFrame(zeros(1, 4), torch.zeros(1, 4, 6, dtype=torch.bool))
    seen = frames(sample_frames(prior, begin_rollout(prior, sampler, [1]), sampler, frames=4, given=nothing))
    assert prior.passes == 12
    assert torch.equal(seen, frames(sample_frames(prior, begin_rollout(prior, sampler, [1]), sampler, frames=4)))


def test_an_endless_rollout_can_be_abandoned():
    prior, sampler = plain_prior([0.5, 0.5]), SamplerConfig(steps=1)
    stream = sample_frames(prior, begin_rollout(prior, sampler, [1]), sampler)
    seen = list(itertools.islice(stream, 300))
    stream.close()
    assert len(seen) == prior.passes == 300
    assert (
        len({tuple(each.codes_BNK.flatten().tolist()) for each in seen}) > 30
    )  # six fair bits: 64 frames are possible


def test_a_flushed_past_has_the_last_frame_in_it():
    prior, sampler = fake_prior(), SamplerConfig(steps=2, guidance_scale=2.0)
    rollout = begin_rollout(prior, sampler, [1, 2])
    assert flush(prior, rollout, sampler) is rollout.past
    rollout, sampled = sample_frame(prior, rollout, sampler)
    past = flush(prior, rollout, sampler)
    assert torch.equal(past.last_BN, pack(sampled.codes_BNK, prior.codebooks).repeat(2, 1))


def test_no_gradients_are_kept():
    prior, sampler = fake_prior(), SamplerConfig(steps=2)
    prior.log_p = prior.log_p.requires_grad_()
    rollout, _ = sample_frame(prior, begin_rollout(prior, sampler, [1]), sampler)
    assert not sample_frame(prior, rollout, sampler)[1].codes_BNK.requires_grad
    assert torch.is_grad_enabled()


def test_invalid_arguments_are_refused():
    prior, sampler = fake_prior(), SamplerConfig()
    past = prior.begin(None, 1)
    with pytest.raises(ValueError, match="seeds"):
        start_rollout(prior, past, [])
    rollout, known = start_rollout(prior, past, [1]), torch.ones(1, 6, dtype=torch.bool)
    for codes in (torch.zeros(1, 5, 2, dtype=torch.int64), torch.zeros(1, 6, 2)):
        with pytest.raises(ValueError, match="codes"):
            sample_frame(prior, rollout, sampler, LatentFrame(codes, known))
    with pytest.raises(ValueError, match="known"):
        sample_frame(prior, rollout, sampler, LatentFrame(zeros(1, 1)[:, 0], known.long()))


def test_order_autoregressive_needs_next_token():
    class Deaf:
        def __init__(self, prior):
            self.spec, self.device, self.begin, self.mask_noise = prior.spec, prior.device, prior.begin, 0

    prior = Deaf(fake_prior())
    rollout = start_rollout(prior, prior.begin(None, 1), [1])
    with pytest.raises(ValueError, match="autoregressive"):
        sample_frame(prior, rollout, SamplerConfig(order="autoregressive"))
