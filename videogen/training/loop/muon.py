"""Muon: momentum whose update of each matrix is orthogonalized, so that all directions learn at the same rate.

Published by Jordan et al. (2024); the scale that lets it share AdamW's learning rate is that of Liu et al., "Muon is
Scalable for LLM Training" (2025). Kernels count as matrices [out, in * height * width]; vectors and embedding tables
are trained by AdamW.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
NEWTON_SCHULZ_STEPS = 5
A, B, C = 3.4445, -4.7750, 2.0315  # the quintic that brings singular values from (0, 1] near 1 in five steps
ADAMW_RMS = 0.2  # root mean square of AdamW's updates


class Muon(torch.optim.Optimizer):
    """Parameters of two or more dimensions by Muon, the others and `embeddings` by AdamW, at one learning rate."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        betas: tuple[float, float],
        decay: float,
        embeddings: Iterable[nn.Parameter] = (),
        bf16: bool = False,
    ):
        """With `bf16` the matrices are orthogonalized in bfloat16, whose rounding the five steps tolerate."""
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        everything, tables = list(parameters), {id(table) for table in embeddings}
        matrices = [p for p in everything if p.ndim >= 2 and id(p) not in tables]
        vectors = [p for p in everything if p.ndim < 2 or id(p) in tables]
        shared = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": decay}
        groups: list[dict[str, Any]] = [
            {"params": matrices, "matrices": True},
            {"params": vectors, "matrices": False},
        ]
        super().__init__([group for group in groups if group["params"]], shared)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if trained:
                (self._step_matrices if group["matrices"] else self._step_vectors)(trained, group)

    def _step_matrices(self, trained: list[Tensor], group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, ...], list[Tensor]] = {}
        for p in trained:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
            by_shape.setdefault(tuple(p.flatten(1).shape), []).append(p)
        torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
        for shape, alike in by_shape.items():
            gradients = [p.grad for p in alike if p.grad is not None]
            moments = [self.state[p]["momentum"] for p in alike]
            torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
            nesterov = torch._foreach_lerp(gradients, moments, group["momentum"])
            directions = orthogonalize(torch.stack([update.flatten(1) for update in nesterov]), self.dtype)
            rate = -group["lr"] * ADAMW_RMS * max(shape) ** 0.5
            for p, direction in zip(alike, directions, strict=True):
                p.add_(direction.reshape(p.shape), alpha=rate)

    def _step_vectors(self, trained: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for p in trained:
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] += 1
            count = float(state["step"])
            assert p.grad is not None
            state["exp_avg"].lerp_(p.grad, 1 - first)
            state["exp_avg_sq"].lerp_(p.grad.square(), 1 - second)
            deviation = (state["exp_avg_sq"] / (1 - second**count)).sqrt_().add_(1e-8)
            p.addcdiv_(state["exp_avg"], deviation, value=-group["lr"] / (1 - first**count))


def orthogonalize(matrices_NRC: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: singular values end between about 0.7 and 1.2."""
    wide = matrices_NRC.shape[1] <= matrices_NRC.shape[2]
    x = (matrices_NRC if wide else matrices_NRC.mT).to(dtype)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    nearest: Tensor = (x if wide else x.mT).to(matrices_NRC.dtype)
    return nearest
