"""The nearest codes, in blocks, against every distance in float64."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from tests.training.programs import CHECKOUT, ENVIRONMENT
from tokenizer.quantize.nearest import CODES, ROWS, kmeans, nearest_codes, sums_by_code


@pytest.mark.parametrize(("size", "dim"), [(2, 1), (700, 2), (CODES + 1, 5), (2 * CODES + 300, 32)])
def test_they_are_the_nearest(size: int, dim: int) -> None:
    vectors, codes = torch.randn(3, ROWS + 7, dim) + 2, torch.randn(size, dim) + 2
    exact = torch.cdist(vectors.double(), codes.double())
    found = nearest_codes(vectors, codes)
    assert found.shape == (3, ROWS + 7)
    distance = exact.gather(-1, found.unsqueeze(-1))[..., 0]
    assert torch.allclose(distance, exact.min(-1).values, rtol=1e-5, atol=1e-5)
    assert (found == exact.argmin(-1)).float().mean() > 0.999


def test_no_vectors_have_no_codes() -> None:
    assert nearest_codes(torch.randn(2, 0, 5), torch.randn(9, 5)).shape == (2, 0)


def test_of_equally_near_codes_it_is_the_first() -> None:
    codes = torch.randn(50, 3).repeat(CODES // 25, 1)
    assert torch.equal(nearest_codes(codes, codes), torch.arange(len(codes)) % 50)


@pytest.mark.parametrize("size", [300, CODES + 1])
def test_alone_and_in_any_batch_a_vector_has_the_same_code(size: int) -> None:
    codes = torch.randint(-1, 2, (size, 4)).float() + 1e-7 * torch.randn(size, 4)  # many codes are almost equally near
    vectors = torch.randn(150, 4)
    together = nearest_codes(vectors, codes)
    for start in (0, 1, 63, 64, 149):
        assert torch.equal(nearest_codes(vectors[start:], codes), together[start:])
        assert nearest_codes(vectors[start], codes) == together[start]


@pytest.mark.parametrize("dim", [5, 13, 16])
@pytest.mark.parametrize("size", [2, 7, 40])
def test_products_are_the_same_bits_in_any_row_and_layout(size: int, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    addmm = torch.addmm

    def spy(*given: Tensor, **options: object) -> Tensor:
        seen.append(addmm(*given, **options).clone())  # type: ignore[call-overload]
        return seen[-1]

    monkeypatch.setattr(torch, "addmm", spy)
    codes, vectors = torch.randn(size, dim), torch.randn(64, dim)
    order = torch.randperm(64)
    for given in (vectors, vectors.T.contiguous().T, vectors[order], vectors[37]):
        nearest_codes(given, codes)
    assert torch.equal(seen[1], seen[0])
    assert torch.equal(seen[2], seen[0][order])
    assert torch.equal(seen[3][0], seen[0][37])


@pytest.mark.parametrize("dim", [4, 16])
def test_a_code_rounded_to_bfloat16_finds_itself(dim: int) -> None:
    codes = torch.randn(2048, dim)
    assert torch.equal(nearest_codes(codes.bfloat16(), codes), torch.arange(2048))


def test_autocast_changes_nothing() -> None:
    vectors, codes = torch.randn(500, 8), torch.randn(900, 8)
    with torch.autocast("cpu", torch.bfloat16):
        under = nearest_codes(vectors, codes)
    assert torch.equal(under, nearest_codes(vectors, codes))


@pytest.mark.parametrize("tokens", [2048, pytest.param(65_536, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_tokens_times_codes(tokens: int) -> None:
    program = f"""
import resource, torch
from tokenizer.quantize.nearest import nearest_codes
torch.set_num_threads(1)
vectors, codes = torch.randn({tokens}, 8), torch.randn(262_144, 8)
nearest_codes(vectors[:8], codes[:8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nearest_codes(vectors, codes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert int(done.stdout) < 300 * 1024, done.stderr


def test_sums_by_code() -> None:
    vectors, codes = torch.randn(2, 40, 3), torch.randint(5, (2, 40))
    counts, sums = sums_by_code(vectors, codes, 6)
    for code in range(6):
        assert counts[code] == (codes == code).sum()
        torch.testing.assert_close(sums[code], vectors[codes == code].sum(0))


def test_kmeans_finds_clusters() -> None:
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    vectors = (centers.repeat_interleave(100, 0) + 0.1 * torch.randn(400, 2))[torch.randperm(400)]
    best = min(
        (kmeans(vectors, 4, 10, torch.Generator().manual_seed(seed)) for seed in range(8)),
        key=lambda found: float(torch.cdist(vectors, found).min(1).values.sum()),
    )
    assert torch.cdist(centers, best).min(1).values.max() < 0.1
