"""The nearest of V codes to each of N vectors, in blocks: nothing of size N x V is ever in memory.

    |x - c|^2 = |x|^2 - 2 (x . c - |c|^2 / 2)

so the nearest code has the largest x . c - |c|^2 / 2, which is one matrix product a block. Vectors and codes are
measured from the middle of the codebook first: the closer both are to 0, the less the product cancels.

Every block has the same number of rows, the last one filled up, and the same layout: a matrix product of another shape
or layout may round differently, and a vector would get another code alone than in a batch, or in a stream than offline.
So would another row of the same block, where few or odd numbers are multiplied; with WIDTH at a time all rows agree.

Legend: N vectors, V codes, D dimensions.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tokenizer.precision import full_float32

ROWS, CODES = 64, 4096  # of a block: a mebibyte of products, which stays in a core's cache
CUDA_ROWS, CUDA_CODES = 2048, 16384  # 128 MiB: few launches
WIDTH = 8  # dimensions are filled up with zeros to a multiple


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it would write out every block
@torch.no_grad()
def nearest_codes(vectors_ND: Tensor, codes_VD: Tensor) -> Tensor:
    """int64 [N..]: the number of the nearest code, the first of equally near ones.

    Float32 arithmetic, whatever the vectors are. Vectors in bfloat16 are compared with codes rounded to bfloat16, so a
    code that was rounded finds itself.
    """
    if vectors_ND.dtype == torch.bfloat16:
        codes_VD = codes_VD.bfloat16()
    with full_float32(vectors_ND.device):
        codes_VD = codes_VD.float()
        middle_D = codes_VD.mean(0)
        centered_VD = codes_VD - middle_D
        halves_V = centered_VD.square().sum(1) / 2
        flat_ND = vectors_ND.reshape(-1, vectors_ND.shape[-1]).float() - middle_D
        return _nearest(flat_ND, centered_VD, halves_V).view(vectors_ND.shape[:-1])


def _nearest(vectors_ND: Tensor, codes_VD: Tensor, halves_V: Tensor) -> Tensor:
    cuda = vectors_ND.is_cuda
    rows, columns = (CUDA_ROWS, CUDA_CODES) if cuda else (ROWS, CODES)
    count = len(vectors_ND)
    padded_ND, codes_VD = fill_up(vectors_ND, rows), fill_up(codes_VD, 1)
    found_N = torch.empty(len(padded_ND), dtype=torch.int64, device=vectors_ND.device)
    blocks = list(zip(torch.split(codes_VD, columns), torch.split(halves_V, columns), strict=True))
    products = padded_ND.new_empty(rows * min(columns, len(codes_VD)))  # reused: fresh memory costs more than sums
    for start in range(0, count, rows):
        rows_RD, found_R = padded_ND[start : start + rows], found_N[start : start + rows]
        best_R: Tensor | None = None
        for number, (block_CD, halves_C) in enumerate(blocks):
            out_RC = products[: rows * len(block_CD)].view(rows, len(block_CD))
            value_R, place_R = torch.addmm(halves_C, rows_RD, block_CD.T, beta=-1, out=out_RC).max(1)
            if best_R is None:
                best_R = value_R
                found_R.copy_(place_R)
                continue
            better_R = value_R > best_R
            best_R = torch.where(better_R, value_R, best_R)
            found_R.copy_(torch.where(better_R, place_R + number * columns, found_R))
    return found_N[:count]


def fill_up(x_ND: Tensor, rows: int) -> Tensor:
    """With zeros, to a multiple of this many rows and of WIDTH dimensions, in rows one after the other."""
    count, dim = x_ND.shape
    return F.pad(x_ND.contiguous(), (0, -dim % WIDTH, 0, -count % rows))


def sums_by_code(vectors_ND: Tensor, codes_N: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many vectors each code has, float32 [V], and their sum [V, D]."""
    vectors_ND, codes_N = vectors_ND.reshape(-1, vectors_ND.shape[-1]), codes_N.reshape(-1)
    return counts_by_code(codes_N, size).to(vectors_ND), vectors_ND.new_zeros(size, vectors_ND.shape[-1]).index_add_(
        0, codes_N, vectors_ND
    )


def counts_by_code(codes_N: Tensor, size: int) -> Tensor:
    """How many tokens each code has, float32 [V]."""
    codes_N = codes_N.reshape(-1)
    ones_N = torch.ones(len(codes_N), device=codes_N.device)
    return torch.zeros(size, device=codes_N.device).index_add_(0, codes_N, ones_N)


def kmeans(vectors_ND: Tensor, size: int, rounds: int, generator: torch.Generator) -> Tensor:
    """`size` centers [V, D] of at least as many vectors (Lloyd's algorithm); a center without vectors stays."""
    chosen = torch.randperm(len(vectors_ND), generator=generator)[:size].to(vectors_ND.device)
    centers_VD = apart(vectors_ND[chosen], vectors_ND, generator)
    for _ in range(rounds):
        counts_V, sums_VD = sums_by_code(vectors_ND, nearest_codes(vectors_ND, centers_VD), size)
        means_VD = sums_VD / counts_V.clamp_min(1)[:, None]
        centers_VD = torch.where(counts_V[:, None] > 0, means_VD, centers_VD)
    return centers_VD


def apart(new_VD: Tensor, among_ND: Tensor, generator: torch.Generator) -> Tensor:
    """Moved by a hundredth of the deviation of `among_ND`: latents of a plain surface are equal, codes must not be."""
    noise_VD = torch.randn(new_VD.shape, generator=generator).to(new_VD)
    least = 0.1 * among_ND.square().mean().sqrt() + 1e-6
    return new_VD + 0.01 * among_ND.std(0, correction=0).maximum(least) * noise_VD
