"""Updates of quantizers that learn from statistics instead of gradients, such as EMA codebooks.

The forward pass of such a quantizer returns statistics, by name, such as the count and the sum of latents of each code,
and samples, such as some of the latents. Statistics are added over the micro-batches and processes of a step, samples
are concatenated, so all processes update their quantizers alike.

The average that is validated and exported follows the quantizer's floating-point buffers with the decay of the weights,
so that the averaged encoder has a codebook of the same age. A code that was replaced is replaced in the average too.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from tokenizer.quantize.base import CodebookModule
from tokenizer.quantize.codebook import LearnedCodebook
from videogen.errors import UsageError
from videogen.training.loop.stage import Distributed

LEARNING = re.compile(r"quantizer\.(.*\.)?learning\.")  # tensors that only training needs


class QuantizerStatistics:
    """The statistics of one step. Those of a step that was skipped are dropped."""

    def __init__(self, quantizer: CodebookModule):
        self.quantizer = quantizer
        self._step, self._sums, self._samples = -1, dict[str, Tensor](), dict[str, list[Tensor]]()

    def buffers(self, prefix: str) -> tuple[str, ...]:
        """The names of the buffers that an average has to follow."""
        saved = self.quantizer.state_dict()
        named = ((prefix + name, buffer) for name, buffer in self.quantizer.named_buffers() if name in saved)
        return tuple(name for name, buffer in named if buffer.is_floating_point() and not LEARNING.match(name))

    def collect(self, step: int, statistics: Mapping[str, Tensor], samples: Mapping[str, Tensor] | None = None) -> None:
        """Add the statistics of a micro-batch, and keep its samples."""
        if self._step != step:
            self._step, self._sums, self._samples = step, {}, {}
        for name, value in statistics.items():
            self._sums[name] = self._sums[name] + value.detach() if name in self._sums else value.detach()
        for name, value in (samples or {}).items():
            self._samples.setdefault(name, []).append(value.detach())

    @torch.no_grad()
    def apply(self, step: int, distributed: Distributed) -> dict[str, Tensor]:
        """Update the quantizer, unless this step has no statistics; returns the rows that it replaced, by name."""
        replaced: dict[str, Tensor] = {}
        if self._step == step and (self._sums or self._samples):
            sums = {name: distributed.mean(self._sums[name]) * distributed.world_size for name in sorted(self._sums)}
            parts = {name: distributed.gather(torch.cat(self._samples[name]).cpu()) for name in sorted(self._samples)}
            samples = {name: torch.cat([part.to(distributed.device) for part in each]) for name, each in parts.items()}
            learned = [part for part in self.quantizer.modules() if isinstance(part, LearnedCodebook)]
            if any(hasattr(part.codebook, "device_mesh") for part in learned):
                raise UsageError(
                    "FSDP shards a codebook that learns by gradients, so its codes cannot be placed anew; use DDP, "
                    "learning: ema, or neither revival nor first codes from latents"
                )
            before = [id(tensor) for tensor in self._tensors()]
            replaced = self.quantizer.update({**sums, **samples})
            after = [id(tensor) for tensor in self._tensors()]
            assert before == after, "update must change tensors in place: the average holds on to them"
        self._step, self._sums, self._samples = -1, {}, {}
        return replaced

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.quantizer.buffers()
        yield from self.quantizer.parameters()
