import torch

from tokenizer.networks.blocks import FrameAttention, PositionNorm, ResidualBlock


def test_norm_sees_one_position_only():
    norm, x = PositionNorm(6), torch.randn(1, 2, 3, 3, 6, requires_grad=True)
    y = norm(x)
    torch.testing.assert_close(y.mean(-1), torch.zeros(1, 2, 3, 3), atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(y[0, 1, 2, 0, 4], x)
    felt = gradient.abs().sum(-1)[0]
    assert felt[1, 2, 0] > 0
    assert felt.count_nonzero() == 1


def test_attention_treats_every_frame_alone_and_any_order_of_positions_alike():
    layer, x = FrameAttention(24).double(), torch.randn(2, 3, 4, 5, 24, dtype=torch.float64)
    y = layer(x)
    torch.testing.assert_close(layer(x[1:, 2:]), y[1:, 2:])
    torch.testing.assert_close(layer(x.flip(2, 3)), y.flip(2, 3))
    torch.testing.assert_close(layer(x.transpose(2, 3)), y.transpose(2, 3))


def test_attention_is_the_textbook_formula():
    layer, x = FrameAttention(8).double(), torch.randn(1, 1, 2, 3, 8, dtype=torch.float64)
    tokens = layer.norm(x).reshape(6, 8)
    heads = layer.heads
    q, k, v = (tokens @ layer.qkv.conv.weight[:, :, 0, 0].T).view(6, 3, heads, 8 // heads).permute(1, 2, 0, 3)
    seen = torch.softmax(q @ k.mT / (8 // heads) ** 0.5, -1) @ v
    out = seen.transpose(0, 1).reshape(6, 8) @ layer.out.conv.weight[:, :, 0, 0].T
    torch.testing.assert_close(layer(x), x + out.view(1, 1, 2, 3, 8))


def test_a_block_reaches_its_neighbors_and_its_own_past():
    block, x = ResidualBlock(4, 2).double(), torch.randn(1, 4, 5, 5, 4, dtype=torch.float64, requires_grad=True)
    y, _ = block(x, None)
    (gradient,) = torch.autograd.grad(y[0, 2, 2, 2].sum(), x)
    felt = gradient.abs().sum(-1)[0] > 0
    expected = torch.zeros(4, 5, 5, dtype=torch.bool)
    expected[1:3, 1:4, 1:4] = True
    assert torch.equal(felt, expected)


def test_fresh_blocks_change_little_but_something():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 8, 8, 32)
    y = x
    for _ in range(12):
        y, _ = ResidualBlock(32, 3)(y, None)
    assert 0.01 < (y - x).std().item() < 0.5
