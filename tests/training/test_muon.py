import pytest
import torch
from torch import nn

from tokenizer.quantize import IBQ, IBQConfig
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.module_state import make_optimizer
from videogen.training.loop.muon import Muon, orthogonalize


@pytest.mark.parametrize("arithmetic", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 40), (2, 40, 5)])
def test_singular_values_come_near_one(shape: tuple[int, int, int], arithmetic: torch.dtype) -> None:
    torch.manual_seed(0)  # a matrix may be as near to singular as chance likes, and is then left so
    made = orthogonalize(torch.randn(shape) * 37, arithmetic)
    assert made.dtype == torch.float32
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.3
    assert values.max() < 1.4


def test_directions_are_kept() -> None:
    matrix = torch.randn(1, 6, 9)
    left, _, right = torch.linalg.svd(matrix[0], full_matrices=False)
    mixed = left.T @ orthogonalize(matrix, torch.float32)[0] @ right.T
    off = mixed - torch.diag(mixed.diagonal())
    assert off.abs().max() < 1e-3


def test_vectors_are_trained_by_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    muon = Muon([ours], lr=0.1, momentum=0.9, betas=(0.9, 0.99), decay=0.3)
    adamw = torch.optim.AdamW([theirs], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(20):
        for p, optimizer in ((ours, muon), (theirs, adamw)):
            p.grad = torch.sin(p.detach() * 3 + step)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_rows_of_tables_are_trained_by_adamw_and_matrices_are_not() -> None:
    """Orthogonalized, the step of each code would depend on those of all others."""
    module = nn.ModuleDict({"codes": IBQ(IBQConfig(9, 4)), "words": nn.Embedding(5, 4), "matrix": nn.Linear(4, 4)})
    config = OptimizerConfig(1e-3, warmup=0, schedule="constant", algorithm="muon")
    groups = make_optimizer(module, config, fused=False, bf16=False).param_groups
    names = {id(p): name for name, p in module.named_parameters()}
    trained = {group["matrices"]: {names[id(p)] for p in group["params"]} for group in groups}
    assert trained == {True: {"matrix.weight"}, False: {"matrix.bias", "words.weight", "codes.codebook"}}


def test_kernels_of_one_shape_are_updated_alone_as_together() -> None:
    gradients = torch.randn(2, 4, 3, 3, 3)
    together = [nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in range(2)]
    alone = [nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in range(2)]
    optimizers = [Muon(ps, 0.1, 0.9, (0.9, 0.99), 0.0) for ps in (together, alone[:1], alone[1:])]
    for p, gradient in zip([*together, *alone], [*gradients, *gradients], strict=True):
        p.grad = gradient.clone()
    for optimizer in optimizers:
        optimizer.step()
    for p, q in zip(together, alone, strict=True):
        torch.testing.assert_close(p, q)
        assert p.detach().square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.2)


def test_parameters_without_gradient_stay() -> None:
    p, q = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))
    Muon([p, q], 0.1, 0.9, (0.9, 0.99), 0.1).step()
    assert torch.equal(p, torch.ones(3, 3))
    assert torch.equal(q, torch.ones(3))
