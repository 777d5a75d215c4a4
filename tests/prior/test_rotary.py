import itertools
import math

import pytest
import torch

from prior.rotary import context_turns, frame_turns, joined, line_turns, pair_axes, turn

CHANNELS, THETA, GRID = 12, 100.0, (2, 3)


def frames_at(*times, timeless=()):
    silent = torch.tensor([t in timeless for t in times])
    return frame_turns(torch.tensor(times), GRID, CHANNELS, THETA, silent)


def vectors(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, count, 1, CHANNELS, generator=generator, dtype=torch.float64)


def scores(query, query_turns, key, key_turns):
    """What every position makes of every other, when all send the same query and the same key."""
    q = turn(query.expand(-1, len(query_turns.cos), -1, -1), query_turns)[0, :, 0]
    k = turn(key.expand(-1, len(key_turns.cos), -1, -1), key_turns)[0, :, 0]
    return q @ k.T


@pytest.mark.parametrize("shift", [1, 17, 999_990])
def test_only_the_distance_in_time_counts(shift):
    query, key = vectors(1), vectors(1, seed=1)
    near = scores(query, frames_at(10), key, frames_at(7, 8, 9, 10))
    far = scores(query, frames_at(10 + shift), key, frames_at(*(t + shift for t in (7, 8, 9, 10))))
    torch.testing.assert_close(far, near, rtol=0, atol=2e-6)
    other = scores(query, frames_at(11 + shift), key, frames_at(*(t + shift for t in (7, 8, 9, 10))))
    assert (other - near).abs().max() > 0.01


def test_only_the_distance_in_the_frame_counts():
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


def test_turning_keeps_lengths():
    turned = turn(vectors(12), frames_at(4, 9))
    torch.testing.assert_close(turned.norm(dim=-1), vectors(12).norm(dim=-1))


def test_what_is_timeless_looks_the_same_to_every_frame():
    query, key = vectors(1), vectors(1, seed=1)
    for kept in (frames_at(0, 1, timeless=(0, 1)), context_turns(12, CHANNELS)):
        for t in (2, 50, 1_000_000):
            torch.testing.assert_close(
                scores(query, frames_at(t), key, kept), scores(query, frames_at(1), key, kept), rtol=0, atol=0
            )
    assert torch.equal(frames_at(0, 1, timeless=(0, 1)).cos[:6], frames_at(0, 1, timeless=(0, 1)).cos[6:])


def test_the_silent_part_is_time_and_nothing_else():
    time = pair_axes(CHANNELS, None) == 0
    sink, plain = frames_at(0, timeless=(0,)), frames_at(0)
    assert torch.equal(sink.cos[:, ~time], plain.cos[:, ~time])
    assert torch.equal(sink.sin[:, ~time], plain.sin[:, ~time])
    for turns in (sink, context_turns(3, CHANNELS)):
        assert not turns.cos[:, time].any()
        assert not turns.sin[:, time].any()
    assert context_turns(3, CHANNELS).cos[:, ~time].eq(1).all()


def test_axes_take_turns_and_each_has_fast_and_slow_pairs():
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


def test_a_line_is_turned_as_llama_turns_it():
    turns = line_turns(5, 4, CHANNELS, 10_000.0)
    for row in range(4):
        for pair in range(6):
            angle = (5 + row) * 10_000.0 ** (-2 * pair / CHANNELS)
            assert turns.cos[row, pair].item() == pytest.approx(math.cos(angle), abs=1e-7)
    first, second = torch.randn(2, 6)
    turned = turn(torch.cat([first, second]).expand(1, 4, 1, -1), turns)[0, :, 0]
    torch.testing.assert_close(turned[2, 1], first[1] * turns.cos[2, 1] - second[1] * turns.sin[2, 1])
    torch.testing.assert_close(turned[2, 7], second[1] * turns.cos[2, 1] + first[1] * turns.sin[2, 1])


def test_joined_turns_stand_one_after_the_other():
    both = joined(frames_at(3), frames_at(8))
    assert torch.equal(both.cos, frames_at(3, 8).cos)
    assert torch.equal(both.sin, frames_at(3, 8).sin)
