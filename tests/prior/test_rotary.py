import itertools
import math

import pytest
import torch

from interfaces.tokens import TokenGroup
from prior.rotary import apply_rotary, concat_rotary, context_rotary, coordinates, frame_rotary, pair_axes

CHANNELS, THETA, GROUPS = 12, 100.0, (TokenGroup("tokens", (2, 3)),)


def frames_at(*times):
    return frame_rotary(torch.tensor(times), GROUPS, CHANNELS, THETA)


def vectors(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, count, 1, CHANNELS, generator=generator, dtype=torch.float64)


def scores(query, query_turns, key, key_turns):
    """The scores between all positions if all have the same query and the same key."""
    q = apply_rotary(query.expand(-1, len(query_turns.cos), -1, -1), query_turns)[0, :, 0]
    k = apply_rotary(key.expand(-1, len(key_turns.cos), -1, -1), key_turns)[0, :, 0]
    return q @ k.T


@pytest.mark.parametrize("shift", [1, 17, 999_990])
def test_scores_depend_only_on_the_distance_in_time(shift):
    query, key = vectors(1), vectors(1, seed=1)
    near = scores(query, frames_at(10), key, frames_at(7, 8, 9, 10))
    far = scores(query, frames_at(10 + shift), key, frames_at(*(t + shift for t in (7, 8, 9, 10))))
    torch.testing.assert_close(far, near, rtol=0, atol=2e-6)
    other = scores(query, frames_at(11 + shift), key, frames_at(*(t + shift for t in (7, 8, 9, 10))))
    assert (other - near).abs().max() > 0.01


def test_scores_depend_only_on_the_distance_in_the_frame():
    query, key = vectors(1), vectors(1, seed=1)
    table = scores(query, frames_at(5), key, frames_at(3)).view(2, 3, 2, 3)
    seen: dict[tuple[int, int], float] = {}
    places = list(itertools.product(range(2), range(3)))
    for (y, x), (v, u) in itertools.product(places, places):
        score = table[y, x, v, u].item()
        assert score == pytest.approx(seen.setdefault((y - v, x - u), score), abs=1e-6)
    values = sorted(seen.values())
    assert len(values) == 15
    assert min(b - a for a, b in itertools.pairwise(values)) > 1e-4


def test_rotation_preserves_norms():
    turned = apply_rotary(vectors(12), frames_at(4, 9))
    torch.testing.assert_close(turned.norm(dim=-1), vectors(12).norm(dim=-1))


def test_scores_of_the_context_do_not_depend_on_time():
    query, key, context = vectors(1), vectors(1, seed=1), context_rotary(12, CHANNELS)
    for t in (2, 50, 1_000_000):
        torch.testing.assert_close(
            scores(query, frames_at(t), key, context), scores(query, frames_at(1), key, context), rtol=0, atol=0
        )


def test_the_context_has_zero_pairs_for_time_and_is_not_rotated():
    time, context = pair_axes(CHANNELS, None) == 0, context_rotary(3, CHANNELS)
    assert not context.cos[:, time].any()
    assert context.cos[:, ~time].eq(1).all()
    assert not context.sin.any()


def test_pairs_alternate_between_axes_and_each_axis_has_fast_and_slow_pairs():
    axes = pair_axes(48, None).tolist()
    assert axes == [0, 1, 2] * 8
    for axis in range(3):
        pairs = [pair for pair in range(24) if axes[pair] == axis]
        assert pairs[0] < 3
        assert pairs[-1] >= 21


def test_angles_are_exact_a_million_frames_on():
    times = (1_000_000, 999_999, 20_000_001)  # the last is no number of float32
    turns = frames_at(*times)
    for row, time in zip((0, 6, 12), times, strict=True):
        for pair in (0, 3):
            angle = math.fmod(time * THETA ** (-2 * pair / CHANNELS), 2 * math.pi)
            assert turns.cos[row, pair].item() == pytest.approx(math.cos(angle), abs=1e-6)
            assert turns.sin[row, pair].item() == pytest.approx(math.sin(angle), abs=1e-6)


def test_a_pair_is_rotated_as_llama_rotates_it():
    first, second = torch.randn(2, 6)
    rotary = frames_at(5)
    rotated = apply_rotary(torch.cat([first, second]).expand(1, 6, 1, -1), rotary)[0, :, 0]
    torch.testing.assert_close(rotated[2, 1], first[1] * rotary.cos[2, 1] - second[1] * rotary.sin[2, 1])
    torch.testing.assert_close(rotated[2, 7], second[1] * rotary.cos[2, 1] + first[1] * rotary.sin[2, 1])


def test_a_coarse_token_is_at_the_center_of_its_fine_tokens():
    groups = (TokenGroup("coarse", (2, 2)), TokenGroup("fine", (4, 4)), TokenGroup("line", (4,)))
    places = [tuple(place) for place in coordinates(groups).tolist()]
    assert places[:4] == [(0.5, 0.5), (0.5, 2.5), (2.5, 0.5), (2.5, 2.5)]
    assert places[4:20] == list(itertools.product(range(4), range(4)))
    assert places[20:] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    fine = frame_rotary(torch.tensor([3]), groups[1:2], CHANNELS, THETA)
    both = frame_rotary(torch.tensor([3]), groups[:2], CHANNELS, THETA)
    assert torch.equal(both.cos[4:], fine.cos)


def test_concatenated_rotaries_are_in_order():
    both = concat_rotary([frames_at(3), frames_at(8)])
    assert torch.equal(both.cos, frames_at(3, 8).cos)
    assert torch.equal(both.sin, frames_at(3, 8).sin)
