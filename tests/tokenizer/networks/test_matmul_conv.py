"""The product is the convolution, of every sample alone, and comes out the same however many threads compute it."""

import copy

import pytest
import torch

from tokenizer.networks.convolution import FrameConv
from tokenizer.networks.matmul_conv import MatmulConv2d, has_onednn

pytestmark = pytest.mark.skipif(not has_onednn(), reason="torch has no oneDNN here")


def frozen(dim_in: int, dim_out: int, kernel: int) -> MatmulConv2d:
    return MatmulConv2d(dim_in, dim_out, kernel, padding=kernel // 2).requires_grad_(False)


def as_in_torch(conv: MatmulConv2d, x_BHWC: torch.Tensor) -> torch.Tensor:
    wide = copy.deepcopy(conv).double()
    return wide(x_BHWC.double().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_product_is_the_convolution(kernel: int) -> None:
    conv, x = frozen(12, 7, kernel), torch.randn(3, 5, 8, 12)
    assert conv.supports(x)
    torch.testing.assert_close(conv.matmul(x).double(), as_in_torch(conv, x), rtol=1e-5, atol=1e-5)


def test_a_sample_of_a_batch_is_that_sample_alone() -> None:
    conv, x = frozen(96, 96, 3), torch.randn(4, 8, 8, 96)
    assert torch.equal(conv.matmul(x), torch.cat([conv.matmul(one) for one in x.split(1)]))


@pytest.mark.parametrize("width", [96, 128, 192, 256])
def test_the_number_of_threads_changes_nothing(width: int) -> None:
    layer = FrameConv(width, width, 3).requires_grad_(False)
    x, made, before = torch.randn(1, 1, 8, 8, width), [], torch.get_num_threads()
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        made.append(layer(x))
    torch.set_num_threads(before)
    assert all(torch.equal(one, made[0]) for one in made)


def test_weights_that_have_changed_are_packed_anew() -> None:
    conv, x = frozen(8, 8, 3), torch.randn(1, 4, 4, 8)
    conv.matmul(x)
    conv.weight.mul_(2)
    torch.testing.assert_close(conv.matmul(x).double(), as_in_torch(conv, x), rtol=1e-5, atol=1e-5)
    conv.load_state_dict(frozen(8, 8, 3).state_dict())
    torch.testing.assert_close(conv.matmul(x).double(), as_in_torch(conv, x), rtol=1e-5, atol=1e-5)


def test_many_pixels_training_and_other_types_go_the_usual_way() -> None:
    conv, x = frozen(8, 8, 3), torch.randn(1, 8, 8, 8)
    assert conv.supports(x)
    assert not conv.supports(torch.randn(1, 16, 16, 8))
    assert not conv.supports(x.double())
    assert not copy.deepcopy(conv).requires_grad_(True).supports(x)
    assert not conv.supports(x.clone().requires_grad_(True))
    with torch.autocast("cpu"):
        assert not conv.supports(x)
