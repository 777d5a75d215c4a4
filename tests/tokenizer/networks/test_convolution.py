import pytest
import torch
import torch.nn.functional as F

from tokenizer.networks.convolution import Downsample, FrameConv, TimeConv, Upsample


def frames(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_time_conv_is_the_causal_conv3d_after_a_still_past(kernel):
    layer, x = TimeConv(5, 7, kernel).double(), frames(2, 6, 3, 4, 5)
    padded = torch.cat([x[:, :1].expand(-1, kernel - 1, -1, -1, -1), x], 1).permute(0, 4, 1, 2, 3)
    expected = F.conv3d(padded, layer.conv.weight[..., None], layer.conv.bias).permute(0, 2, 3, 4, 1)
    torch.testing.assert_close(layer(x, None)[0], expected)


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_time_conv_goes_on_from_its_state(kernel, cut):
    layer, x = TimeConv(5, 7, kernel).double(), frames(2, 6, 3, 4, 5)
    whole, last = layer(x, None)
    first, state = layer(x[:, :cut], None)
    second, end = layer(x[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    assert all(map(torch.equal, end, last))
    assert [frame.shape for frame in state] == [frame.shape for frame in end] == [(2, 1, 3, 4, 5)] * (kernel - 1)


@pytest.mark.parametrize("frames", [1, 2, 20])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_state_soon_holds_nothing_but_itself(frames, kernel):
    layer, state = TimeConv(4, 4, kernel), None
    for _ in range(3):
        _, state = layer(torch.randn(1, frames, 8, 8, 4), state)
    assert [frame.untyped_storage().nbytes() for frame in state] == [8 * 8 * 4 * 4] * (kernel - 1)


def test_frame_conv_is_conv2d_on_every_frame():
    layer, x = FrameConv(5, 7, 3).double(), frames(2, 3, 4, 6, 5)
    for b in range(2):
        for t in range(3):
            alone = F.conv2d(x[b, t].permute(2, 0, 1)[None], layer.conv.weight, layer.conv.bias, padding=1)
            torch.testing.assert_close(layer(x)[b, t], alone[0].permute(1, 2, 0))


@pytest.mark.parametrize("time", [1, 2])
def test_up_can_undo_down(time):
    down, up = Downsample(3, 12 * time, time, 2).double(), Upsample(12 * time, 3, time, 2).double()
    with torch.no_grad():
        down.mix.conv.weight.copy_(torch.eye(12 * time)[..., None, None])
        up.mix.conv.weight.copy_(torch.eye(12 * time)[..., None, None])
    x = frames(2, 4, 6, 4, 3)
    assert down(x).shape == (2, 4 // time, 3, 2, 12 * time)
    torch.testing.assert_close(up(down(x)), x)


@pytest.mark.parametrize("layer", [FrameConv(64, 96, 3), TimeConv(64, 64, 3)], ids=["space", "time"])
def test_a_fresh_layer_keeps_the_scale_of_its_input(layer):
    x = torch.randn(1, 8, 16, 16, 64, generator=torch.Generator().manual_seed(1))
    y = layer(x) if isinstance(layer, FrameConv) else layer(x, None)[0]
    assert 0.7 < y.std().item() < 1.3
