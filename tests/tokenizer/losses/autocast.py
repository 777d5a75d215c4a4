import torch

from tests.tokenizer.models import noise_clip
from tokenizer.losses.perceptual import PerceptualLoss


def assert_autocast_changes_nothing(loss: PerceptualLoss) -> None:
    x, y = noise_clip(1, 1, 32, 32, seed=1).requires_grad_(), noise_clip(1, 1, 32, 32, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        under = loss(x, y, 0)
    plain = loss(x, y, 0)
    assert under.dtype == torch.float32
    assert torch.equal(under, plain)
    gradients = [torch.autograd.grad(value.sum(), x)[0] for value in (under, plain)]
    assert torch.equal(*gradients)
