"""A convolution of few pixels as one matrix product, so that its result does not depend on the number of threads.

oneDNN sums a convolution of one small frame in an order that depends on the number of threads, which changes the last
bits. Its matrix products do not, and at these sizes they are as fast.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F

MAX_PIXELS = 64  # of a frame; from 16 x 16 on, 3 x 3 convolutions of these widths have one order of summation


class MatmulConv2d(nn.Conv2d):
    """nn.Conv2d with a second path for frozen weights: [B, H, W, C] -> [B, H, W, D], each sample on its own."""

    packed: Tensor | None = None
    packed_from: tuple[Any, ...] | None = None  # version and address of the weights that were packed

    def supports(self, x_BHWC: Tensor) -> bool:
        """Whether `matmul` applies to this input: on a CPU, in float32, with frozen weights and few pixels."""
        pixels = x_BHWC.shape[1] * x_BHWC.shape[2]
        few = pixels <= MAX_PIXELS or self.kernel_size == (1, 1)
        plain = x_BHWC.dtype == self.weight.dtype == torch.float32 and x_BHWC.device.type == "cpu"
        fixed = not (self.weight.requires_grad or x_BHWC.requires_grad or torch.compiler.is_compiling())
        real = not isinstance(x_BHWC, FakeTensor)  # a dry run has nothing to pack
        return few and plain and fixed and real and not torch.is_autocast_enabled("cpu") and has_onednn()

    def matmul(self, x_BHWC: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            self.patches(x_BHWC), self.packed_weight(), self.bias, "none", [], ""
        )
        return out

    def patches(self, x_BHWC: Tensor) -> Tensor:
        """[B, H, W, kernel * kernel * C]: the neighborhood of each pixel, with zeros beyond the border."""
        kernel, border = self.kernel_size[0], self.kernel_size[0] // 2
        if kernel == 1:
            return x_BHWC
        padded = F.pad(x_BHWC, (0, 0, border, border, border, border))
        return padded.unfold(1, kernel, 1).unfold(2, kernel, 1).permute(0, 1, 2, 4, 5, 3).flatten(3)

    def packed_weight(self) -> Tensor:
        """The weights in oneDNN's layout; packed again after they change."""
        now = (self.weight._version, self.weight.data_ptr())
        if self.packed is None or self.packed_from != now:
            rows_DK = self.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous()
            self.packed, self.packed_from = torch.ops.mkldnn._reorder_linear_weight(rows_DK), now
        return self.packed

    def __getstate__(self) -> dict[str, Any]:  # packed weights cannot be copied
        return {**self.__dict__, "packed": None, "packed_from": None}


def has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
