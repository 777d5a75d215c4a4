"""Matrices, and how a network that only streams has them laid out for a CPU.

torch hands products in float32 to MKL, which on some processors of other makers than its own uses half of their width,
and lays the weights out anew for each. oneDNN uses all of it, and takes weights that lie as it reads them.
"""

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

    def pack(self) -> None:
        """Of weights that change no more; those that move to another device or type are packed anew, where they can."""
        self.packs, self.packed = True, None
        if can_pack(self.weight):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
            self.version = self.weight._version

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is None or not self.serves(x):
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
        return self.weight.requires_grad or self.weight._version != self.version

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


def can_pack(weight: Tensor) -> bool:
    """In bfloat16 torch takes oneDNN by itself, and gains nothing by it."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_onednn and weight.device.type == "cpu" and weight.dtype == torch.float32)


def pack(network: nn.Module) -> None:
    """For streaming alone: all matrices of the network, whose weights change no more; what is packed stays so."""
    for module in network.modules():
        if isinstance(module, Linear) and (module.packed is None or module.changes()):
            module.pack()
