"""What every quantizer promises.

    latents -- project --> where the codebook lies -- to_codes --> codes -- to_latents --> quantized latents

`to_latents` checks the codes, which on a GPU waits for them; `quantize` looks up codes that it has just made.

Legend: N.. any leading dimensions, D dimensions of a latent, K codes of a token, E channels that come from the encoder:
the latent and, where `encoder_dim_of` says so, more after it. Codes are int64, each below the size of its codebook. A
quantizer without codebooks has continuous tokens: its codes are float32, K = D.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tokenizer.precision import at_least_float32
from tokenizer.quantize.quantized import Quantized, joined

LARGEST_CODEBOOK = 16  # small tables see every row often: a prior reaches the same nats after half the steps


class CodebookModule(nn.Module, ABC):
    """What training needs to know of a quantizer, or of several, one for each group of tokens."""

    codebook_sizes: Tensor

    def __init__(self, dim: int, codebooks: Sequence[int]):
        super().__init__()
        self.dim = dim
        self.register_buffer("codebook_sizes", torch.tensor(codebooks), persistent=False)
        self._codebooks = tuple(codebooks)

    @property
    def codebooks(self) -> tuple[int, ...]:
        """The size of each codebook of a token; none where tokens are continuous."""
        return self._codebooks

    @property
    def channels(self) -> int | None:
        """The numbers of a continuous token; None where tokens have codes."""
        return None if self.codebooks else self.dim

    @property
    def parts(self) -> tuple["Quantizer", ...]:
        """The quantizers that this one is composed of; none for a family that stands alone."""
        return ()

    @property
    def leaves(self) -> tuple["Quantizer", ...]:
        """The different quantizers without parts; each gives all of its own codes back through their latents."""
        return tuple(dict.fromkeys(leaf for part in self.parts for leaf in part.leaves))

    @property
    def looks_for_codes(self) -> bool:
        """Whether the first codes are still to be found in latents: until then codes say little."""
        return any(part.looks_for_codes for part in dict.fromkeys(self.parts))

    def begin_training(self) -> None:
        """Makes the tensors that only training needs, under the name `learning`: models are without them."""
        for part in dict.fromkeys(self.parts):
            part.begin_training()

    def set_step(self, step: int) -> None:
        """Says where training stands, before each step: schedules depend on it, and what is done once in a while."""
        for part in dict.fromkeys(self.parts):
            part.set_step(step)

    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Moves a codebook that follows statistics and samples instead of gradients, in place, alike in all processes.

        Returns what was replaced rather than moved, so that averages jump along: bool [V] rows by the tensor's name.
        """
        return {}

    @abstractmethod
    def of_group(self, number: int) -> "Quantizer":
        """The quantizer of the tokens of this group."""

    @abstractmethod
    def join_groups(self, outs: Sequence[Quantized]) -> Quantized:
        """What the groups of tokens gave, as one: tokens side by side [.., N, ..], and losses added up."""


class Quantizer(CodebookModule):
    """Latents of D numbers to K codes and back, in float32 under any autocast."""

    @abstractmethod
    def project(self, latents_NE: Tensor) -> Tensor:
        """The continuous latents in the space of the quantized ones: what quantization rounds, of D numbers."""

    @abstractmethod
    def to_codes(self, projected_ND: Tensor) -> Tensor:
        """Codes [N.., K] of the nearest quantized latent; its own codes for a quantized latent.

        In bfloat16 too, unless two learned codes are so close that they are the same in bfloat16.
        """

    @abstractmethod
    def lookup(self, codes_NK: Tensor) -> Tensor:
        """The quantized latents [N.., D] of these codes, float32; undefined for codes out of range."""

    def to_latents(self, codes_NK: Tensor) -> Tensor:
        """The quantized latents of these codes, float32; ValueError for codes out of range."""
        self.check_codes(codes_NK)
        return self.lookup(codes_NK)

    @property
    def leaves(self) -> tuple["Quantizer", ...]:
        return super().leaves or (self,)

    def of_group(self, number: int) -> "Quantizer":
        """The same one for all groups."""
        return self

    def join_groups(self, outs: Sequence[Quantized]) -> Quantized:
        return outs[0] if len(outs) == 1 else joined(outs, lambda number: "")

    def pass_gradient(self, projected_ND: Tensor, quantized_ND: Tensor) -> Tensor:
        """What the decoder gets: the quantized latents, with the gradient straight through, unless overridden.

        In evaluation mode always the quantized latents.
        """
        return projected_ND + (quantized_ND - projected_ND).detach()

    def losses(self, projected_ND: Tensor, quantized_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        """Named, weighted terms of the training loss."""
        return {}

    def metrics(self, latents_ND: Tensor, quantized_ND: Tensor) -> dict[str, Tensor]:
        """Named scalars without gradients, for the log alone: of the decoder's latents, beside those of the codes."""
        return {}

    def statistics(self, projected_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        """What `update` needs to know of a batch, as sums without gradients; empty for a codebook that is not learned.

        The trainer adds the statistics of all micro-batches and processes, and calls `update` once after the step.
        """
        return {}

    def samples(self, projected_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        """What `update` needs row by row, such as some of the latents: [M, ...] without gradients.

        The trainer concatenates them in the order of micro-batches, then of processes.
        """
        return {}

    def quantize(self, latents_NE: Tensor) -> Quantized:
        """Quantizes what comes from the encoder, with gradients."""
        with torch.autocast(latents_NE.device.type, enabled=False):
            return self.quantize_projected(self.project(at_least_float32(latents_NE)))

    def quantize_projected(self, projected_ND: Tensor) -> Quantized:
        """The same of latents that are projected already, and of what is left of them, which need not be."""
        codes_NK = self.to_codes(projected_ND.detach())
        quantized_ND = self.lookup(codes_NK).to(projected_ND.dtype)
        passed_ND = self.pass_gradient(projected_ND, quantized_ND)
        return Quantized(
            passed_ND,
            codes_NK,
            self.losses(projected_ND, quantized_ND, codes_NK),
            self.metrics(passed_ND.detach(), quantized_ND.detach()),
            self.statistics(projected_ND.detach(), codes_NK),
            self.samples(projected_ND.detach(), codes_NK),
        )

    def check_codes(self, codes_NK: Tensor) -> None:
        if codes_NK.dtype != torch.int64 or codes_NK.shape[-1:] != (len(self.codebooks),):
            expected = f"int64 [..., {len(self.codebooks)}]"
            raise ValueError(f"codes are {codes_NK.dtype} {list(codes_NK.shape)}; expected {expected}")
        wrong_NK = (codes_NK < 0) | (codes_NK >= self.codebook_sizes)
        if wrong_NK.any():  # one question, because a GPU is waited for at each
            code, place = int(codes_NK[wrong_NK][0]), int(wrong_NK.nonzero()[0, -1])
            raise ValueError(f"code {code} of codebook {place}: its codes are 0 to {self.codebooks[place] - 1}")


class ScalarQuantizer(Quantizer):
    """Each dimension has a few levels of its own; neighboring dimensions share a codebook of at most 16 codes.

    A code counts through the levels of its dimensions, the first dimension fastest.
    """

    strides: Tensor
    levels: Tensor
    codebook_of: Tensor

    def __init__(self, levels: Sequence[int]):
        super().__init__(len(levels), group_radices(levels))
        self.run_lengths = runs(levels, self.codebooks)
        places: list[int] = []
        strides: list[int] = []
        for place, length in enumerate(self.run_lengths):
            start = len(places)
            places += [place] * length
            strides += [math.prod(levels[start : start + i]) for i in range(length)]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("codebook_of", torch.tensor(places), persistent=False)

    @abstractmethod
    def to_levels(self, projected_ND: Tensor) -> Tensor:
        """The number of the nearest level of each dimension: int64 [N.., D]."""

    @abstractmethod
    def from_levels(self, levels_ND: Tensor) -> Tensor:
        """The values of these levels, float32."""

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        levels_ND = self.to_levels(projected_ND)
        if len(self.codebooks) == self.dim:
            return levels_ND
        parts = torch.split(levels_ND * self.strides, self.run_lengths, dim=-1)
        return torch.stack([part.sum(-1) for part in parts], dim=-1)

    def lookup(self, codes_NK: Tensor) -> Tensor:
        if len(self.codebooks) == self.dim:
            return self.from_levels(codes_NK)
        return self.from_levels(codes_NK[..., self.codebook_of] // self.strides % self.levels)


def group_radices(radices: Sequence[int], largest: int = LARGEST_CODEBOOK) -> tuple[int, ...]:
    """Codebooks out of the radices of a code (levels of FSQ, twos of LFQ), as few and as even as `largest` allows.

    Neighboring radices are multiplied: eighteen twos give (4, 16, 16, 16, 16), (8, 8, 8, 5, 5, 5) stays what it is.
    """
    if not radices or min(radices) < 2:
        raise ValueError(f"radices = {tuple(radices)}: expected one or more numbers of at least 2")
    for count in range(1, len(radices) + 1):
        best = _most_even(tuple(radices), count)
        if max(best) <= largest:
            return best
    return tuple(radices)


@functools.cache
def _most_even(radices: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The cut into `count` runs whose largest product is smallest."""
    if count == 1:
        return (math.prod(radices),)
    cuts = range(1, len(radices) - count + 2)
    candidates = [(math.prod(radices[:cut]), *_most_even(radices[cut:], count - 1)) for cut in cuts]
    return min(candidates, key=lambda sizes: (max(sizes), sizes))


def runs(radices: Sequence[int], codebooks: Sequence[int]) -> list[int]:
    """How many neighboring radices make up each codebook."""
    lengths, start = [], 0
    for size in codebooks:
        length = 1
        while math.prod(radices[start : start + length]) < size:
            length += 1
        lengths.append(length)
        start += length
    return lengths
