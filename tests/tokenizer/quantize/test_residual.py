"""Residual levels: prefixes, dropout, shared codebooks, scales, and a public library by others."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.tokenizer.quantize.combinations import BY_GRADIENT, EMA, FINER_FSQ, GROUPED_RESIDUAL, RESIDUAL
from tests.tokenizer.quantize.families import lfq
from tokenizer.quantize import VQ, FSQConfig, Quantizer, Residual, ResidualConfig, VQConfig, make_quantizer
from tokenizer.quantize.vq import rotated


def residual(config: ResidualConfig, seed: int = 0) -> Residual:
    torch.manual_seed(seed)
    quantizer = make_quantizer(config)
    assert isinstance(quantizer, Residual)
    return quantizer


def test_each_level_quantizes_what_is_left_over() -> None:
    quantizer, latents = residual(RESIDUAL), torch.randn(50, 4)
    left, columns = latents, []
    for level in quantizer.levels:  # type: ignore[union-attr]
        distances_NV = torch.cdist(left.double(), level.codebook.double())
        columns.append(distances_NV.argmin(-1))
        left = left - level.codebook[columns[-1]]
    out = quantizer.quantize(latents)
    assert torch.equal(out.codes, torch.stack(columns, -1))
    torch.testing.assert_close(latents - out.latents, left, atol=1e-5, rtol=0)
    sizes = [float(out.metrics[f"left_after_{number}"]) for number in range(1, 5)]
    assert sizes[-1] == pytest.approx(float(left.norm() / latents.norm()), rel=1e-4)


@pytest.mark.parametrize("config", [RESIDUAL, FINER_FSQ, replace(RESIDUAL, quantizer=BY_GRADIENT, shared=True)])
def test_any_prefix_decodes(config: ResidualConfig) -> None:
    quantizer = residual(config)
    codes = quantizer.quantize(torch.randn(40, 3, quantizer.dim)).codes
    each, total = len(quantizer.parts[0].codebooks), torch.zeros(40, 3, quantizer.dim)
    for levels in range(1, config.depth + 1):
        part, scale = quantizer.parts[levels - 1], config.scale ** (levels - 1)
        total = total + part.lookup(codes[..., each * (levels - 1) : each * levels]) * scale
        torch.testing.assert_close(quantizer.prefix(codes, levels), total)
        assert torch.equal(quantizer.prefix(codes[..., : each * levels], levels), quantizer.prefix(codes, levels))
    assert torch.equal(quantizer.prefix(codes, config.depth), quantizer.to_latents(codes))
    for wrong in (0, config.depth + 1):
        with pytest.raises(ValueError, match=f"levels = {wrong} must lie in 1 .. {config.depth}"):
            quantizer.prefix(codes, wrong)
    with pytest.raises(ValueError, match=f"2 levels have {each * 2} codes a token"):
        quantizer.prefix(codes[..., : each * 2 - 1], 2)


def test_scaled_levels_make_each_error_smaller() -> None:
    """Levels of FSQ at 1 / L are digits: the error is at most half a cell of L^depth cells."""
    quantizer = residual(ResidualConfig(FSQConfig(levels=(4, 4)), depth=5, scale=0.25))
    latents = torch.randn(500, 2)
    codes = quantizer.quantize(latents).codes
    for levels in range(1, 6):
        errors = (quantizer.prefix(codes, levels) - latents.tanh()).abs()
        assert errors.max() <= 4.0**-levels + 1e-6
    signs = residual(ResidualConfig(lfq(3), depth=6, scale=0.5))
    values = signs.quantize(latents.repeat(1, 2)[:, :3].clamp(-1.9, 1.9))
    assert float(values.metrics["left_after_6"]) < 0.05 < float(values.metrics["left_after_1"])


def test_shared_levels_are_own_levels_with_equal_codebooks() -> None:
    config = ResidualConfig(EMA, depth=3, shared=True)
    shared, own = residual(config), residual(replace(config, shared=False))
    assert len(shared.leaves) == 1
    assert len(shared.codebooks) == 3
    for leaf in own.leaves:
        leaf.load_state_dict(shared.leaves[0].state_dict())
    for quantizer in (shared, own):
        quantizer.begin_training()
        quantizer.set_step(1)
    latents = torch.randn(2, 30, 4)
    mine, theirs = shared.quantize(latents), own.quantize(latents)
    assert torch.equal(mine.codes, theirs.codes)
    assert torch.equal(mine.latents, theirs.latents)
    assert mine.losses == theirs.losses
    for name in ("counts", "sums"):
        together = torch.stack([theirs.statistics[f"levels.{level}.{name}"] for level in range(3)]).sum(0)
        assert torch.equal(mine.statistics[f"levels.0.{name}"], together)
    rows = torch.cat([theirs.samples[f"levels.{level}.latents"] for level in range(3)])
    assert torch.equal(mine.samples["levels.0.latents"], rows)
    assert set(mine.statistics) == {"levels.0.counts", "levels.0.sums"}


def used_levels(quantizer: Residual, latents: Tensor) -> tuple[int, Tensor, dict[str, Tensor]]:
    """How many levels the latents hold."""
    out = quantizer.quantize(latents)
    near = [n for n in range(1, 5) if torch.allclose(quantizer.prefix(out.codes, n), out.latents, atol=1e-5)]
    assert len(near) == 1
    return near[0], out.codes, out.statistics


def test_dropout_uses_every_number_of_levels_and_only_in_training() -> None:
    quantizer, latents = residual(replace(RESIDUAL, dropout=1.0)).train(), torch.randn(20, 4)
    quantizer.begin_training()
    whole, seen = quantizer.to_codes(latents), set()
    for _ in range(60):
        levels, codes, statistics = used_levels(quantizer, latents)
        assert torch.equal(codes, whole), "codes of unused levels are made as well"
        counted = [int(statistics[f"levels.{level}.counts"].sum()) for level in range(4)]
        assert counted == [20 if level < levels else 0 for level in range(4)]
        seen.add(levels)
    assert seen == {1, 2, 3, 4}
    state = torch.get_rng_state()
    assert all(used_levels(quantizer.eval(), latents)[0] == 4 for _ in range(8))
    assert torch.equal(state, torch.get_rng_state()), "nothing is drawn where nothing is left out"


def test_a_level_that_is_not_used_teaches_nothing_and_learns_nothing() -> None:
    quantizer = residual(ResidualConfig(BY_GRADIENT, depth=4, dropout=1.0)).train()
    latents = torch.randn(20, 4, requires_grad=True)
    for seed in range(12):
        torch.manual_seed(seed)
        out = quantizer.quantize(latents)
        alone = residual(ResidualConfig(BY_GRADIENT, depth=4)).eval()
        levels = next(n for n in range(1, 5) if torch.allclose(alone.prefix(out.codes, n), out.latents, atol=1e-5))
        parameters = [leaf.codebook for leaf in quantizer.leaves]
        terms = out.latents.sum() + sum(out.losses.values())
        slopes = torch.autograd.grad(terms, parameters, retain_graph=True)  # every parameter has a part in each step
        assert [bool(slope.any()) for slope in slopes] == [level < levels for level in range(4)]
        shorter = Residual(ResidualConfig(BY_GRADIENT, depth=levels), list(quantizer.leaves[:levels])).quantize(latents)
        torch.testing.assert_close(out.losses, shorter.losses)
        (mine,) = torch.autograd.grad(out.latents.square().sum(), latents)
        (theirs,) = torch.autograd.grad(shorter.latents.square().sum(), latents)
        torch.testing.assert_close(mine, theirs)


def test_dropout_after_a_resume_is_that_of_a_run_that_never_stopped() -> None:
    quantizer, latents = residual(replace(RESIDUAL, dropout=0.6)).train(), torch.randn(20, 4)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append([quantizer.quantize(latents).latents for _ in range(20)])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert len({float(latents.sum()) for latents in results[0]}) > 1


def test_dropout_does_not_kill_codes() -> None:
    """A level that was left out has no tokens; that does not make its codes unused."""
    revived = replace(EMA, revival=replace(EMA.revival, every=1))  # type: ignore[type-var]
    quantizer = residual(ResidualConfig(revived, depth=2))
    quantizer.begin_training()
    torch.manual_seed(0)
    level: VQ = quantizer.levels[1]  # type: ignore[union-attr, index, assignment]
    before = level.codebook.clone()
    nothing = {"counts": torch.zeros(16), "sums": torch.zeros(16, 4)}
    samples = {"latents": torch.randn(30, 4), "errors": torch.rand(30)}
    for step in range(60):
        quantizer.set_step(step)
        replaced = quantizer.update({f"levels.1.{name}": value for name, value in {**nothing, **samples}.items()})
        assert not replaced["levels.1.codebook"].any()
    assert torch.equal(level.codebook, before)


def test_rotation_adds_its_own_deviation_to_one_gradient() -> None:
    turning = replace(BY_GRADIENT, gradient="rotation")
    quantizer = residual(ResidualConfig(turning, depth=3))
    latents, weights = torch.randn(9, 4, requires_grad=True), torch.randn(9, 4)
    (through,) = torch.autograd.grad((quantizer.quantize(latents).latents * weights).sum(), latents)
    left, expected = latents.detach(), weights.clone()
    for level in quantizer.leaves:
        leaf = left.clone().requires_grad_()
        value = level.lookup(level.to_codes(left)).detach()
        expected += torch.autograd.grad((rotated(leaf, value) * weights).sum(), leaf)[0] - weights
        left = left - value
    torch.testing.assert_close(through, expected)


# Against a public library, which passes the decoder's gradient to the encoder once for each level: the residual that
# each of its levels gets is differentiable, and so is the latent that it returns. Here it passes once.

DEPTH = 4


def library_levels(model: torch.nn.Module) -> list[torch.nn.Module]:
    return list(model.layers)  # type: ignore[arg-type]


def copy_codebooks(quantizer: Quantizer, theirs: list[torch.nn.Module]) -> None:
    for leaf, layer in zip(quantizer.leaves, theirs, strict=True):
        layer._codebook.embed.data.copy_(leaf.codebook.detach()[None])  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("groups", [1, 2])
def test_against_a_public_library(groups: int) -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    frozen = VQConfig(16, 4, learning="frozen", commitment_weight=0.25)
    config = ResidualConfig(frozen, DEPTH)
    torch.manual_seed(0)
    ours = make_quantizer(config if groups == 1 else replace(GROUPED_RESIDUAL, quantizer=config))
    settings = {"num_quantizers": DEPTH, "codebook_size": 16, "commitment_weight": 0.25, "rotation_trick": False}
    if groups == 1:
        theirs = library.ResidualVQ(dim=4, **settings).train()
        layers = library_levels(theirs)
    else:
        theirs = library.GroupedResidualVQ(dim=8, groups=2, **settings).train()
        layers = [layer for rvq in theirs.rvqs for layer in library_levels(rvq)]
    copy_codebooks(ours, layers)
    latents, weights = torch.randn(2, 30, 4 * groups), torch.randn(2, 30, 4 * groups)
    mine, other = latents.clone().requires_grad_(), latents.clone().requires_grad_()
    out = ours.quantize(mine)
    values, ids, losses = theirs(other, freeze_codebook=True)
    ids = ids if groups == 1 else torch.cat(list(ids), -1)
    assert torch.equal(out.codes, ids)
    torch.testing.assert_close(out.latents, values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.losses["commitment"], losses.sum(), atol=1e-5, rtol=1e-5)
    (my_slope,) = torch.autograd.grad((out.latents * weights).sum(), mine, retain_graph=True)
    (their_slope,) = torch.autograd.grad((values * weights).sum(), other, retain_graph=True)
    torch.testing.assert_close(my_slope, weights)
    torch.testing.assert_close(their_slope, DEPTH * weights)
    (my_pull,) = torch.autograd.grad(out.losses["commitment"], mine)
    (their_pull,) = torch.autograd.grad(losses.sum(), other)
    torch.testing.assert_close(my_pull, their_pull)


@pytest.mark.parametrize("first", ["kmeans", "online"])
def test_levels_find_their_first_codes_one_after_the_other(first: str) -> None:
    config = ResidualConfig(VQConfig(16, 4, first=first, first_samples=100), depth=3)  # type: ignore[arg-type]
    quantizer, placed = residual(config).train(), list[list[int]]()
    quantizer.begin_training()
    for step in range(60):
        quantizer.set_step(step)
        out = quantizer.quantize(torch.randn(60, 4))
        replaced = quantizer.update({**out.statistics, **out.samples})
        placed.append([number for number in range(3) if replaced[f"levels.{number}.codebook"].any()])
    order = [level for levels in placed for level in levels]
    assert set(order) == {0, 1, 2}
    assert order == sorted(order)
    assert not quantizer.looks_for_codes
    quantizer.eval()
    latents = torch.randn(500, 4)
    codes = quantizer.to_codes(latents)
    errors = [float((latents - quantizer.prefix(codes, levels)).square().mean()) for levels in (1, 2, 3)]
    assert errors[0] > 1.5 * errors[1] > 1.5 * 1.5 * errors[2]
