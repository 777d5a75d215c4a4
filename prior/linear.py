"""Linear layers with weights that are packed for oneDNN, for streaming on a CPU.

torch computes float32 products with MKL, which uses half of the vector width of some non-Intel processors and lays out
the weights again for each product. oneDNN uses the full width and takes weights that are already laid out.
"""

import functools
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """`nn.Linear`; once packed, products of more than one row use the packed weights.

    A single row is faster without. The choice depends on the rows of one sample, not on the batch size, so a sample
    gives the same result alone and in a batch.
    """

    packing = False
    packed: Tensor | None = None
    version = 0  # of the weights when they were packed
    norms: tuple[nn.RMSNorm, ...] = ()  # the preceding norm, packed with the matrix; a tuple is no submodule

    def pack(self) -> None:
        """Packs the weights, which must not change afterwards; a move to another device or dtype packs them again."""
        self.packing, self.packed = True, None
        if can_pack(self.weight):
            weight = self.weight.detach()
            for norm in self.norms:
                weight = (weight.double() * norm.weight.detach().double() * self.in_features**0.5).float()
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight)
            self.version = self.weight_version()

    def fuse_norm(self, norm: nn.RMSNorm) -> None:
        """Call it before `pack`: the input of this layer is the output of `norm`; `after_norm` computes both."""
        self.norms = (norm,)

    def after_norm(self, x: Tensor) -> Tensor:
        """self(norm(x)) for the norm of `fuse_norm`, whose weights are part of the packed matrix."""
        (norm,) = self.norms
        if self.packed is None or not self.can_use_packed(x):
            return self(norm(x))  # type: ignore[no-any-return]
        rows = unit_rms(x, norm.eps)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")
        return product

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is None or self.norms or not self.can_use_packed(x):
            return F.linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return product

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + self(x), in one operation if the weights are packed."""
        if self.packed is None or not self.can_use_packed(x):
            return y + F.linear(x, self.weight, self.bias)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, y, self.packed, self.bias, "add")
        return total

    def can_use_packed(self, x: Tensor) -> bool:
        return not (x.shape[-2] == 1 or self.is_stale() or x.dtype != self.weight.dtype or x.requires_grad)

    def is_stale(self) -> bool:
        """Whether the weights may have changed since they were packed."""
        return self.weight.requires_grad or self.weight_version() != self.version

    def weight_version(self) -> int:
        """A number that grows with every in-place change of the weights."""
        version: int = self.weight._version
        for norm in self.norms:
            version += norm.weight._version
        return version

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.packing:
            self.pack()
        return self

    def __getstate__(self) -> dict[str, Any]:  # packed weights cannot be copied
        return {**self.__dict__, "packed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.packing:
            self.pack()


def unit_rms(x: Tensor, epsilon: float | None) -> Tensor:
    """RMSNorm(x) without its weight, divided by the square root of the number of channels."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.hypot(length, root((epsilon or 0.0) * x.shape[-1], x.dtype))


@functools.cache
def root(square: float, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(square**0.5, dtype=dtype)


def can_pack(weight: Tensor) -> bool:
    """Whether packing helps: float32 on a CPU with oneDNN; torch uses oneDNN for bfloat16 by itself."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_onednn and weight.device.type == "cpu" and weight.dtype == torch.float32)


def pack(network: nn.Module) -> None:
    """Packs all linear layers of a network that only streams; its weights must not change afterwards."""
    for module in network.modules():
        if isinstance(module, Linear) and (module.packed is None or module.is_stale()):
            module.pack()
