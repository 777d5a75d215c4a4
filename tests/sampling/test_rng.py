import torch
from hypothesis import given
from hypothesis import strategies as st

from sampling.rng import StepRNG, as_int64, counter_rng, mix

WORD = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The published generator, in Python integers."""
    state = (state + 0x9E3779B97F4A7C15) & WORD
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
    return state ^ (state >> 31)


@given(st.integers(0, WORD))
def test_mix_is_splitmix64(state):
    golden = torch.tensor(as_int64(0x9E3779B97F4A7C15))
    assert int(mix(torch.tensor(as_int64(state)) + golden)) == as_int64(splitmix64(state))


def test_the_first_output_of_the_published_generator():
    assert splitmix64(0) == 0xE220A8397B1DCDAF


@given(st.lists(st.integers(-(2**70), 2**70), min_size=2, max_size=5), st.integers(0, 2**40), st.integers(0, 300))
def test_a_sample_of_a_batch_draws_the_same_alone(seeds, frame, step):
    together = counter_rng(seeds, frame).uniforms("codes", step, 3, 2)
    alone = [counter_rng([seed], frame).uniforms("codes", step, 3, 2) for seed in seeds]
    assert torch.equal(together, torch.cat(alone))


def test_a_number_does_not_depend_on_how_many_are_drawn():
    rng = counter_rng([3, 4], 5)
    assert torch.equal(rng.uniforms("order", 1, 7, 9)[:, :3, :4], rng.uniforms("order", 1, 3, 4))


def test_seed_frame_purpose_step_and_place_all_count():
    draws = [
        counter_rng([seed], frame).uniforms(purpose, step, 2, 2, 2)
        for seed in (0, 1, -1, 2**32, 2**63)
        for frame in (0, 1, 2**33)
        for purpose in ("codes", "order", "noise")
        for step in (0, 1, 2)
    ]
    numbers = torch.stack(draws).flatten()
    assert len(numbers.unique()) == len(numbers) == 5 * 3 * 3 * 3 * 8


def test_numbers_are_uniform_and_uncorrelated():
    u = torch.stack([counter_rng(range(50), frame).uniforms("codes", 2, 8, 8) for frame in range(40)])  # [40, 50, 8, 8]
    assert 0 < u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    counts = torch.histc(u.float(), 64, 0, 1)
    expected = u.numel() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 103.4  # chi-square, 63 degrees: one seed in a thousand
    centred = (u - 0.5) * 12**0.5
    for dim in range(4):
        pairs = centred.narrow(dim, 0, u.shape[dim] - 1) * centred.narrow(dim, 1, u.shape[dim] - 1)
        assert abs(pairs.mean()) < 4 / pairs.numel() ** 0.5


def test_gumbel_noise_is_finite_and_has_the_right_mean():
    noise = counter_rng(range(100), 0).gumbels("order", 0, 1000)
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 4 * 1.2825 / 100_000**0.5
    assert abs(noise.std() - 1.2825) < 0.02


def test_a_token_draws_the_same_with_any_other_tokens():
    rng, every = counter_rng([3, 4], 1), torch.arange(12).expand(2, -1)
    some = torch.tensor([[3, 0, 11], [5, 6, 7]])
    for draw in ("uniforms", "normals"):
        whole = getattr(StepRNG(rng, 2, (3, 4), every), draw)(5)
        part = getattr(StepRNG(rng, 2, (3, 4), some), draw)(5)
        assert torch.equal(part, whole.gather(1, some.unsqueeze(-1).expand(-1, -1, 5)))


def test_normal_numbers_are_normal_and_uncorrelated():
    places = torch.arange(64).expand(200, -1)
    n = torch.stack([StepRNG(counter_rng(range(200), frame), 0, (8, 8), places).normals(4) for frame in range(10)])
    assert n.isfinite().all()
    assert abs(n.mean()) < 4 / n.numel() ** 0.5
    assert abs(n.var() - 1) < 4 * (2 / n.numel()) ** 0.5
    assert abs((n**4).mean() - 3) < 4 * (96 / n.numel()) ** 0.5
    assert abs((n[..., :2] * n[..., 2:]).mean()) < 4 / (n.numel() / 2) ** 0.5
