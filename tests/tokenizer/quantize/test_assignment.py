"""Soft assignments in blocks against the same written out, in values and in every element of the gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tokenizer.quantize import assignment
from tokenizer.quantize.assignment import mixture, moments

N, V, D, TEMPERATURE = 23, 17, 3, 0.7


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "BLOCK_SIZE", 5 * V)


def leaves() -> tuple[Tensor, Tensor]:
    latents, codebook = torch.randn(N, D, dtype=torch.float64), torch.randn(V, D, dtype=torch.float64)
    return latents.requires_grad_(), codebook.requires_grad_()


def distances(latents_ND: Tensor, codebook_VD: Tensor) -> Tensor:
    return (latents_ND.unsqueeze(1) - codebook_VD).square().sum(-1)


def same_with_gradients(ours: Tensor, oracle: Tensor, inputs: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(ours, oracle, atol=1e-12, rtol=1e-10)
    weights = torch.randn_like(ours)
    mine = torch.autograd.grad((ours * weights).sum(), inputs)
    theirs = torch.autograd.grad((oracle * weights).sum(), inputs)
    for slope, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(slope, expected, atol=1e-12, rtol=1e-9)


def test_the_mixture_is_that_of_all_codes() -> None:
    latents, codebook = leaves()
    p = (-distances(latents, codebook) / TEMPERATURE).softmax(-1)
    same_with_gradients(mixture(latents, codebook, TEMPERATURE), p @ codebook, (latents, codebook))


@pytest.mark.parametrize("k", [1, 4, V])
def test_with_k_only_the_nearest_codes_are_mixed(k: int) -> None:
    latents, codebook = leaves()
    logits = -distances(latents, codebook) / TEMPERATURE
    far = logits < logits.topk(k).values[:, -1:]
    p = logits.masked_fill(far, -torch.inf).softmax(-1)
    same_with_gradients(mixture(latents, codebook, TEMPERATURE, k=k), p @ codebook, (latents, codebook))


def test_noise_joins_the_distances_and_its_gradient_sees_the_same() -> None:
    latents, codebook = leaves()
    torch.manual_seed(3)
    noisy = mixture(latents, codebook, TEMPERATURE, noisy=True)
    torch.manual_seed(3)
    noise = assignment.gumbel_noise(torch.randint(-(2**62), 2**62, (N, 1)), V)
    p = ((noise - distances(latents, codebook)) / TEMPERATURE).softmax(-1)
    same_with_gradients(noisy, p @ codebook, (latents, codebook))
    assert not torch.equal(mixture(latents, codebook, TEMPERATURE, noisy=True), noisy)  # the next one is another


def test_a_hard_mixture_has_the_codes_and_the_gradient_of_the_soft_one() -> None:
    latents, codebook = leaves()
    codes = distances(latents, codebook).argmin(-1)
    p = (-distances(latents, codebook) / TEMPERATURE).softmax(-1)
    one_hot = torch.nn.functional.one_hot(codes, V) + p - p.detach()
    ours = mixture(latents, codebook, TEMPERATURE, hard_ND=codebook[codes])
    assert torch.equal(ours, codebook[codes])
    same_with_gradients(ours, one_hot @ codebook, (latents, codebook))


def entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


ORACLES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean_V": lambda logits: logits.softmax(-1).mean(0),
    "entropy": lambda logits: entropy(logits.softmax(-1)).mean(),
    "logsumexp": lambda logits: logits.logsumexp(-1).mean(),
}


@pytest.mark.parametrize("name", ORACLES)
def test_each_moment_is_that_of_all_probabilities(name: str) -> None:
    latents, codebook = leaves()
    oracle = ORACLES[name](-distances(latents, codebook) / TEMPERATURE)
    same_with_gradients(getattr(moments(latents, codebook, TEMPERATURE), name), oracle, (latents, codebook))


def test_the_gradients_of_all_moments_add_up() -> None:
    latents, codebook = leaves()
    logits = -distances(latents, codebook) / TEMPERATURE
    oracle = torch.cat([oracle(logits).flatten() for oracle in ORACLES.values()])
    ours = torch.cat([moment.flatten() for moment in moments(latents, codebook, TEMPERATURE)])
    same_with_gradients(ours, oracle, (latents, codebook))


def test_the_temperature_may_be_a_tensor() -> None:
    latents, codebook = leaves()
    given = mixture(latents, codebook, torch.tensor(TEMPERATURE, dtype=torch.float64))
    torch.testing.assert_close(given, mixture(latents, codebook, TEMPERATURE), atol=1e-12, rtol=0)


def test_a_temperature_near_zero_leaves_the_nearest_code_and_finite_gradients() -> None:
    latents, codebook = (leaf.float().detach().requires_grad_() for leaf in leaves())
    nearest = codebook[distances(latents, codebook).argmin(-1)]
    mixed, means = mixture(latents, codebook, 1e-6, k=3), moments(latents, codebook, 1e-6)
    torch.testing.assert_close(mixed, nearest, atol=1e-6, rtol=0)
    assert means.entropy < 1e-3
    slopes = torch.autograd.grad(mixed.sum() + means.entropy + means.logsumexp, (latents, codebook))
    assert all(slope.isfinite().all() for slope in slopes)


def test_no_block_holds_more_than_its_share_and_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "BLOCK_SIZE", 4 * V)
    latents, codebook = leaves()
    sizes: list[int] = []

    def kept(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        sum(map(torch.sum, moments(latents, codebook, 1.0))) + mixture(latents, codebook, 1.0, noisy=True).sum()
    assert max(sizes) <= max(N, V) * D
    heights = [rows.stop - rows.start for rows in assignment._blocks(latents, codebook)]
    assert heights == [4] * 6
