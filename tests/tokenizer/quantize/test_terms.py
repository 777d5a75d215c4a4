"""A small step along each term does what the term's name says; and each is its formula, written out."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizer.quantize import VQ, Terms, VQConfig, terms
from tokenizer.quantize.terms import term_losses

N, V, D = 40, 12, 3
NAMES = [field.name for field in fields(Terms) if field.name != "temperature"]


def example() -> tuple[Tensor, Tensor, Tensor]:
    latents, codebook = torch.randn(N, D, dtype=torch.float64) * 0.6, torch.randn(V, D, dtype=torch.float64)
    latents = latents @ torch.tensor([[1, 0.8, 0], [0, 1, 0.4], [0, 0, 1]], dtype=torch.float64)
    return latents.requires_grad_(), codebook.requires_grad_(), torch.cdist(latents, codebook).argmin(-1).detach()


def only(name: str, weight: float = 1.0) -> Terms:
    return replace(Terms(temperature=0.5), **{name: weight})


def p_of(latents: Tensor, codebook: Tensor) -> Tensor:
    return (-torch.cdist(latents, codebook).square() / 0.5).softmax(-1)


def entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def different(products: Tensor) -> Tensor:
    """Of a square matrix, all but the diagonal."""
    return products[~torch.eye(len(products), dtype=torch.bool)]


def nearest_neighbor(codebook: Tensor) -> Tensor:
    return (torch.cdist(codebook, codebook) + 1e9 * torch.eye(V)).amin(-1).mean()


def own_probability(latents: Tensor, codebook: Tensor, codes: Tensor) -> Tensor:
    return p_of(latents, codebook).gather(1, codes.unsqueeze(1)).log().mean()


# For each term a number that a step along it makes smaller, measured in another way than the term is.
MEASURES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sample_entropy": lambda z, c, _: -p_of(z, c).amax(-1).log().mean(),
    "batch_entropy": lambda z, c, _: p_of(z, c).mean(0).square().sum(),
    "kl_to_uniform": lambda z, c, _: p_of(z, c).square().sum(-1).mean(),
    "norm": lambda z, c, _: (c.norm(dim=-1) - 1).abs().mean(),
    "repulsion": lambda z, c, _: -nearest_neighbor(c),
    "orthogonality": lambda z, c, _: different(c @ c.T).abs().mean(),
    "orthogonality_normalized": lambda z, c, _: different(torch.cosine_similarity(c[:, None], c, dim=-1)).abs().mean(),
    "variance_hinge": lambda z, c, _: -z.std(0).mean(),
    "contrastive": lambda z, c, codes: -own_probability(z, c, codes),
    "covariance": lambda z, c, _: different(torch.corrcoef(z.T)).abs().mean(),
}


@pytest.mark.parametrize("name", NAMES)
def test_steps_along_a_term_do_what_its_name_says(name: str) -> None:
    torch.manual_seed(7)
    latents, codebook, codes = example()
    before = MEASURES[name](latents, codebook, codes)
    for _ in range(60):
        loss = term_losses(only(name), latents, codebook, codes)[name]
        slopes = torch.autograd.grad(loss, (latents, codebook), allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for leaf, slope in zip((latents, codebook), slopes, strict=True):
                leaf -= 0.05 * slope / slope.norm().clamp_min(1e-9)
    assert MEASURES[name](latents, codebook, codes) < before - 0.01 * before.abs()


# Each term of all pairs and all probabilities at once.
FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sample_entropy": lambda z, c, _: entropy(p_of(z, c)).mean(),
    "batch_entropy": lambda z, c, _: -entropy(p_of(z, c).mean(0)),
    "kl_to_uniform": lambda z, c, _: (p_of(z, c) * (p_of(z, c) * V).log()).sum(-1).mean(),
    "norm": lambda z, c, _: (c.norm(dim=-1) - 1).square().mean(),
    "repulsion": lambda z, c, _: (-(c[:, None] - c).square().sum(-1) / 0.5).exp().sum(-1).log().mean(),
    "orthogonality": lambda z, c, _: different(c @ c.T).square().mean(),
    "orthogonality_normalized": lambda z, c, _: different(F.normalize(c) @ F.normalize(c).T).square().mean(),
    "variance_hinge": lambda z, c, _: (1 - (z.var(0, correction=0) + 1e-4).sqrt()).clamp_min(0).mean(),
    "contrastive": lambda z, c, codes: -own_probability(z, c, codes),
    "covariance": lambda z, c, _: different(torch.cov(z.T, correction=0)).square().sum() / D,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_term_is_its_formula_times_its_weight(name: str) -> None:
    latents, codebook, codes = example()
    (ours,) = term_losses(only(name, 0.3), latents.view(5, 8, D), codebook, codes.view(5, 8)).values()
    oracle = 0.3 * FORMULAS[name](latents, codebook, codes)
    torch.testing.assert_close(ours, oracle, atol=1e-12, rtol=1e-8)
    inputs = (latents, codebook)
    mine = torch.autograd.grad(ours, inputs, allow_unused=True, materialize_grads=True)
    theirs = torch.autograd.grad(oracle, inputs, allow_unused=True, materialize_grads=True)
    for slope, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(slope, expected, atol=1e-10, rtol=1e-7)


def test_terms_without_weight_are_neither_there_nor_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "moments", None)  # a call would fail
    monkeypatch.setattr(terms, "repulsion", None)
    latents, codebook, codes = example()
    assert term_losses(Terms(), latents, codebook, codes) == {}
    assert list(term_losses(only("norm"), latents, codebook, codes)) == ["norm"]


def test_terms_of_soft_assignments_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, plain = [], terms.moments
    monkeypatch.setattr(terms, "moments", lambda *given: calls.append(given) or plain(*given))
    every = Terms(**dict.fromkeys(NAMES, 1.0) | {"repulsion": 0.0})
    assert set(term_losses(every, *example())) == set(NAMES) - {"repulsion"}
    assert len(calls) == 1


def test_an_unused_code_leaves_the_batch_entropy_finite() -> None:
    latents, codebook = torch.zeros(4, 2, requires_grad=True), torch.tensor([[0.0, 0.0], [300.0, 0.0]])
    codebook.requires_grad_()
    loss = term_losses(only("batch_entropy"), latents, codebook, torch.zeros(4, dtype=torch.int64))["batch_entropy"]
    assert loss == 0
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(loss, (latents, codebook)))


def test_a_run_of_codes_repels_as_all_do_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    _, codebook, _ = example()
    whole = terms.repulsion(codebook, 0.5)
    monkeypatch.setattr(terms, "REPELLING", 5)
    torch.manual_seed(0)
    some = torch.stack([terms.repulsion(codebook, 0.5) for _ in range(600)])
    assert some.std() > 0
    assert abs(some.mean() - whole) < 6 * some.std() / math.sqrt(600)


def test_orthogonality_against_a_public_library() -> None:
    library = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    _, codebook, codes = example()
    ours = term_losses(only("orthogonality_normalized"), codebook, codebook, codes)["orthogonality_normalized"]
    theirs = library.orthogonal_loss_fn(codebook.unsqueeze(0))  # a mean over all V x V pairs, not the V (V - 1)
    torch.testing.assert_close(ours * (V - 1) / V, theirs, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize(("given", "named"), [({"norm": -1.0}, "norm"), ({"temperature": 0.0}, "temperature")])
def test_impossible_weights_are_refused_by_name(given: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        Terms(**given)


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_quantizer_adds_the_terms_of_its_configuration(name: str) -> None:
    quantizer = VQ(VQConfig(V, D, learning="gradient", terms=only(name, 0.3)))
    latents = torch.randn(N, D)
    out = quantizer.quantize(latents)
    expected = term_losses(only(name, 0.3), latents, quantizer.codebook, out.codes)[name]
    assert set(out.losses) == {"commitment", "codebook", name}
    torch.testing.assert_close(out.losses[name], expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("learning", ["ema", "frozen"])
@pytest.mark.parametrize("name", ["norm", "repulsion", "orthogonality", "orthogonality_normalized"])
def test_terms_of_codes_are_refused_where_no_gradient_moves_codes(
    name: str, learning: Literal["ema", "frozen"]
) -> None:
    with pytest.raises(ValueError, match=f"^terms has {name}.*learning: {learning}"):
        VQConfig(V, D, learning=learning, terms=only(name))
    VQConfig(V, D, learning=learning, terms=only("covariance"))
