"""Multi-head quantization: each head quantizes a learned linear view of the whole latent with codes of its own.

The factorized codebooks of Bai et al., "Factorized Visual Tokenization and Generation" (FQGAN, 2024), are of this kind;
so is the term that keeps heads from saying the same.

Legend: N.. any leading dimensions, D dimensions of a latent, K codes of a token, H heads, d dimensions of a view,
E dimensions that a map leads to.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.composite import Composite
from tokenizer.quantize.config import MultiHeadConfig
from tokenizer.quantize.nearest import CUDA_ROWS, ROWS, fill_up
from tokenizer.quantize.quantized import Quantized


class MultiHead(Composite):
    """The views of all heads are one linear map; the quantized views, side by side or added, go back by another.

    At first the way back undoes the way out, as far as the views hold the latent. Both run in float32.
    """

    noun = "heads"

    def __init__(self, config: MultiHeadConfig, quantizers: Sequence[Quantizer]):
        super().__init__(config.dim, quantizers, config.heads)
        self.config, width = config, config.quantizer.dim
        rows = config.heads * width
        self.views = nn.Linear(config.dim, rows, bias=False)
        self.join = nn.Linear(rows if config.combine == "concatenate" else width, config.dim, bias=False)
        nn.init.orthogonal_(self.views.weight, gain=max(1.0, rows / config.dim) ** 0.5)  # rows of norm 1
        with torch.no_grad():
            self.join.weight.copy_(self._first_join(self.views.weight.detach().chunk(config.heads)))

    def _first_join(self, views_HdD: Sequence[Tensor]) -> Tensor:
        """The transpose of the views, scaled so that it undoes them."""
        if self.config.combine == "concatenate":
            rows_RD = torch.cat(list(views_HdD))
            return rows_RD.T / max(1.0, len(rows_RD) / self.config.dim)
        width = len(views_HdD[0])
        return torch.stack(list(views_HdD)).sum(0).T / (len(views_HdD) * max(1.0, width / self.config.dim))

    def project(self, latents_ND: Tensor) -> Tensor:
        return at_least_float32(latents_ND)

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        pairs = zip(self.parts, self._views_of(projected_ND), strict=True)
        return torch.cat([head.to_codes(head.project(view)) for head, view in pairs], dim=-1)

    def lookup(self, codes_NK: Tensor) -> Tensor:
        pairs = zip(self.parts, self.split_codes(codes_NK), strict=True)
        return self._joined([head.lookup(codes) for head, codes in pairs])

    def quantize_projected(self, projected_ND: Tensor) -> Quantized:
        views = self._views_of(projected_ND)
        outs = [head.quantize(view) for head, view in zip(self.parts, views, strict=True)]
        out = self.together(self._joined([out.latents for out in outs]), outs, len(outs))
        if not self.config.redundancy_weight:
            return out
        own = {"redundancy": self.config.redundancy_weight * redundancy(views)}
        return out._replace(losses={**out.losses, **own})

    def _views_of(self, projected_ND: Tensor) -> tuple[Tensor, ...]:
        return linear(projected_ND, self.views.weight).chunk(len(self.parts), dim=-1)

    def _joined(self, quantized: Sequence[Tensor]) -> Tensor:
        side_by_side = self.config.combine == "concatenate"
        both = torch.cat(list(quantized), dim=-1) if side_by_side else torch.stack(list(quantized)).sum(0)
        return linear(both, self.join.weight)


def linear(x_ND: Tensor, weight_ED: Tensor) -> Tensor:
    """A linear map in the wider of both precisions, at least float32, under any autocast.

    In blocks of one shape and layout, so that a latent gives the same bits alone as in a batch, see nearest.py.
    """
    dtype = torch.promote_types(torch.promote_types(x_ND.dtype, weight_ED.dtype), torch.float32)
    flat_ND, rows = x_ND.to(dtype).reshape(-1, x_ND.shape[-1]), CUDA_ROWS if x_ND.is_cuda else ROWS
    blocks, weight_ED = torch.split(fill_up(flat_ND, rows), rows), fill_up(weight_ED.to(dtype), 1)
    with torch.autocast(x_ND.device.type, enabled=False):
        mapped = [F.linear(block, weight_ED) for block in blocks]
    return torch.cat(mapped)[: len(flat_ND)].reshape(*x_ND.shape[:-1], len(weight_ED))


def redundancy(views: Sequence[Tensor]) -> Tensor:
    """The mean squared correlation, over a batch, of a number of one view with a number of another: 0 to 1."""
    views_HNd = torch.stack([view.flatten(0, -2) for view in views])
    centered_HNd = views_HNd - views_HNd.mean(1, keepdim=True)
    normal_HNd = centered_HNd / (centered_HNd.square().mean(1, keepdim=True) + 1e-6).sqrt()
    squares_HH = (torch.einsum("gna,hnb->ghab", normal_HNd, normal_HNd) / normal_HNd.shape[1]).square().mean((-1, -2))
    heads = len(views)
    return (squares_HH.sum() - squares_HH.diagonal().sum()) / (heads * (heads - 1))
