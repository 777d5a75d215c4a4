"""Updates of quantizers that learn from statistics instead of gradients, such as EMA codebooks.

The forward pass of such a quantizer returns statistics, by name, such as the count and the sum of latents of each code.
They are summed over the micro-batches and processes of a step, so all processes update their quantizers alike.

The average that is validated and exported follows the quantizer's floating-point buffers with the decay of the weights,
so that the averaged encoder has a codebook of the same age.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tokenizer.quantize.base import Quantizer
from videogen.training.loop.stage import Distributed


class QuantizerStatistics:
    """The statistics of one step. Those of a step that was skipped are dropped."""

    def __init__(self, quantizer: Quantizer):
        self.quantizer = quantizer
        self._step, self._sums = -1, dict[str, Tensor]()

    def buffers(self, prefix: str) -> tuple[str, ...]:
        """The names of the buffers that an average has to follow."""
        saved = self.quantizer.state_dict()
        named = self.quantizer.named_buffers()
        return tuple(prefix + name for name, buffer in named if buffer.is_floating_point() and name in saved)

    def collect(self, step: int, statistics: Mapping[str, Tensor]) -> None:
        """Add the statistics of a micro-batch."""
        if self._step != step:
            self._step, self._sums = step, {}
        for name, value in statistics.items():
            self._sums[name] = self._sums[name] + value.detach() if name in self._sums else value.detach()

    @torch.no_grad()
    def apply(self, step: int, distributed: Distributed) -> None:
        """Sum over processes and update the quantizer; does nothing if this step has no statistics."""
        if self._step == step and self._sums:
            sums = {name: distributed.mean(self._sums[name]) * distributed.world_size for name in sorted(self._sums)}
            before = [id(buffer) for buffer in self.quantizer.buffers()]
            self.quantizer.update(sums)
            after = [id(buffer) for buffer in self.quantizer.buffers()]
            assert before == after, "update must change buffers in place: the average holds on to them"
        self._step, self._sums = -1, {}
