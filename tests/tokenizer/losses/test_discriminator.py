import pytest
import torch

from tests.tokenizer.models import noise_clip
from tokenizer.losses.discriminator import BidirectionalTimeConv, Discriminator, DiscriminatorConfig

SMALL = DiscriminatorConfig(widths=(8, 12), time_halvings=1)


def discriminator(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return Discriminator(config)


@pytest.mark.parametrize(
    ("frames", "height", "width", "expected"),
    [(1, 16, 16, (1, 4, 4)), (2, 16, 24, (1, 4, 6)), (5, 18, 20, (3, 4, 5)), (17, 4, 8, (9, 1, 2))],
)
def test_images_and_clips_of_any_size_get_a_logit_per_patch(frames, height, width, expected):
    assert discriminator()(noise_clip(2, frames, height, width)).shape == (2, *expected)


def test_time_is_halved_at_the_coarsest_levels_only():
    for halvings, frames in ((0, 9), (1, 5), (2, 3), (3, 2)):
        critic = discriminator(DiscriminatorConfig((4, 4, 4), halvings))
        assert critic(noise_clip(1, 9, 8, 8)).shape == (1, frames, 1, 1)


def test_an_image_is_a_clip_that_stands_still():
    critic, image = discriminator(), noise_clip(1, 1, 16, 16)
    still = critic(image.expand(-1, -1, 7, -1, -1))
    torch.testing.assert_close(still, critic(image).expand_as(still))


def test_a_clip_does_not_depend_on_others_in_the_batch():
    critic, clips = discriminator(), noise_clip(3, 5, 16, 16)
    alone = torch.cat([critic(clips[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(critic(clips), alone)


def test_a_logit_depends_on_a_neighborhood_in_space_and_in_both_directions_of_time():
    critic, clip = discriminator(), noise_clip(1, 15, 64, 64).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(clip)[0, 4, 8, 8], clip)
    felt = gradient[0].abs().sum(0) > 0
    assert felt[8].any()
    seen_frames = felt.flatten(1).any(1).nonzero().flatten().tolist()
    assert seen_frames == list(range(4, 13))  # 8 +- 1 at full length, then +- 1, +- 2 at half
    rows = felt.flatten(0, 0).any(0).any(1).nonzero().flatten()
    assert int(rows.min()) > 0
    assert int(rows.max()) < 63


def test_every_pixel_counts_and_every_weight_learns():
    critic, clip = discriminator(), noise_clip(2, 4, 12, 12).requires_grad_()
    critic(clip).square().sum().backward()
    assert clip.grad is not None
    assert (clip.grad != 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


def test_contrast_counts():
    critic, clip = discriminator(), noise_clip(1, 3, 16, 16)
    assert (critic(clip) - critic(clip / 2)).abs().mean() > 0.1


def test_it_has_no_state():
    critic, clip = discriminator(), noise_clip(1, 3, 16, 16)
    before = {name: t.clone() for name, t in critic.state_dict().items()}
    first = critic(clip)
    assert torch.equal(critic(clip), first)
    assert all(torch.equal(t, before[name]) for name, t in critic.state_dict().items())
    assert list(critic.buffers()) == []


@pytest.mark.parametrize("stride", [1, 2])
def test_time_convolution_is_a_conv3d_with_repeated_ends(stride):
    layer, x = BidirectionalTimeConv(3, stride).double(), torch.randn(2, 5, 4, 4, 3, dtype=torch.float64)
    seen = torch.cat([x[:, :1], x, x[:, -1:]], 1).permute(0, 4, 1, 2, 3)
    expected = torch.nn.functional.conv3d(seen, layer.conv.weight[..., None], layer.conv.bias, stride=(stride, 1, 1))
    torch.testing.assert_close(layer(x), expected.permute(0, 2, 3, 4, 1))


def test_clips_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\[1, 3, 2, 3, 8\]"):
        discriminator()(noise_clip(1, 2, 3, 8))
    with pytest.raises(ValueError, match=r"\[1, 1, 2, 8, 8\]"):
        discriminator()(noise_clip(1, 2, 8, 8, channels=1))


def test_configs_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="widths"):
        DiscriminatorConfig((), 0)
    with pytest.raises(ValueError, match="time_halvings = 3"):
        DiscriminatorConfig((8, 8), 3)
