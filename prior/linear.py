"""Matrices, and how a network that only streams has them laid out for a CPU.

torch hands products in float32 to MKL, which on some processors of other makers than its own uses half of their width,
and lays the weights out anew for each. oneDNN uses all of it, and takes weights that lie as it reads them.
"""

import functools
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """As in torch, until it is packed. Then products of several rows take the packed weights.

    One row alone is faster as it was. Which way is taken depends on the rows of one sample, never on how many samples
    there are: a sample of a batch stays what it is alone.
    """

    packs = False
    packed: Tensor | None = None
    version = 0  # of the weights that are packed
    norms: tuple[nn.RMSNorm, ...] = ()  # the one that comes before, packed with the matrix; a tuple is no part of it

    def pack(self) -> None:
        """Of weights that change no more; those that move to another device or type are packed anew, where they can."""
        self.packs, self.packed = True, None
        if can_pack(self.weight):
            weight = self.weight.detach()
            for norm in self.norms:
                weight = (weight.double() * norm.weight.detach().double() * self.in_features**0.5).float()
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight)
            self.version = self.current()

    def follow(self, norm: nn.RMSNorm) -> None:
        """Before it is packed: it will be given what this norm makes, and asked by `after_norm` where it streams."""
        self.norms = (norm,)

    def after_norm(self, x: Tensor) -> Tensor:
        """self(norm(x)) of the norm that it follows, whose weights a packed matrix holds already."""
        (norm,) = self.norms
        if self.packed is None or not self.serves(x):
            return self(norm(x))  # type: ignore[no-any-return]
        rows = unit(x, norm.eps)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")
        return product

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is None or self.norms or not self.serves(x):
            return F.linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return product

    def added_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + self(x), of x and y alike in type and rows; packed weights add while they multiply."""
        if self.packed is None or not self.serves(x):
            return y + F.linear(x, self.weight, self.bias)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, y, self.packed, self.bias, "add")
        return total

    def serves(self, x: Tensor) -> bool:
        return not (x.shape[-2] == 1 or self.changes() or x.dtype != self.weight.dtype or x.requires_grad)

    def changes(self) -> bool:
        """Whether what was packed may be another matrix than the one that holds."""
        return self.weight.requires_grad or self.current() != self.version

    def current(self) -> int:
        """Grows with every change of the weights that are packed."""
        version: int = self.weight._version
        for norm in self.norms:
            version += norm.weight._version
        return version

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.packs:
            self.pack()
        return self

    def __getstate__(self) -> dict[str, Any]:  # packed weights cannot be copied
        return {**self.__dict__, "packed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.packs:
            self.pack()


def unit(x: Tensor, epsilon: float | None) -> Tensor:
    """An RMS norm's output over the root of its size: x over its length, in which `epsilon` counts for each channel."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.hypot(length, root((epsilon or 0.0) * x.shape[-1], x.dtype))


@functools.cache
def root(square: float, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(square**0.5, dtype=dtype)


def can_pack(weight: Tensor) -> bool:
    """In bfloat16 torch takes oneDNN by itself, and gains nothing by it."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_onednn and weight.device.type == "cpu" and weight.dtype == torch.float32)


def pack(network: nn.Module) -> None:
    """For streaming alone: all matrices of the network, whose weights change no more; what is packed stays so."""
    for module in network.modules():
        if isinstance(module, Linear) and (module.packed is None or module.changes()):
            module.pack()
