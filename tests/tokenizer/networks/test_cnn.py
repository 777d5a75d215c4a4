from dataclasses import replace
from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from interfaces.tokenizer import encode_clip
from interfaces.tokens import TokenGroup, TokenSpec
from tests.tokenizer.models import noise_clip, small_config, small_model
from tokenizer.networks.latent import latent_spread_loss
from tokenizer.streaming import Streaming, flatten_state


@pytest.fixture(scope="module")
def model():
    return small_model(small_config(f_t=4, f_s=8))


@pytest.mark.parametrize(
    ("f_t", "frames", "latents"), [(1, 5, 5), (4, 1, 1), (4, 2, 2), (4, 5, 2), (4, 6, 3), (8, 17, 3)]
)
def test_a_clip_needs_one_latent_for_the_first_frame_and_one_for_every_f_t(f_t, frames, latents):
    spec = small_model(small_config(f_t=f_t)).spec(16, 24)
    assert spec.latent_frames(frames) == latents
    assert spec.latent_frames(spec.video_frames(latents)) == latents
    assert 0 <= spec.video_frames(latents) - frames < f_t
    assert spec.latent_frames(0) == spec.video_frames(0) == 0


def test_its_tokens_are_one_grid(model):
    spec = model.spec(16, 24)
    assert spec == TokenSpec((8, 5, 5, 5), (TokenGroup("tokens", (2, 3)),), frames_per_latent=4, first_frames=1)
    assert (model.device, model.channels, model.size_multiple) == (torch.device("cpu"), 3, 8)
    with pytest.raises(ValueError, match="12 x 16"):
        model.spec(12, 16)


@pytest.mark.parametrize(
    "change",
    [{"codebooks": (8, 5, 5)}, {"frames_per_latent": 8}, {"groups": (TokenGroup("tokens", (6,)),)}],
    ids=lambda change: next(iter(change)),
)
def test_tokens_of_another_spec_are_not_decoded(model, change):
    spec = replace(model.spec(16, 24), **change)
    with pytest.raises(ValueError):
        model.decode(spec.empty(1, 1), spec)


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6, 9, 16])
def test_any_length_is_padded_by_its_last_frame(model, frames):
    clip = noise_clip(1, frames, 16, 24)
    codes, spec = encode_clip(model, clip), model.spec(16, 24)
    assert codes.shape == (1, spec.latent_frames(frames), 6, 4)
    assert codes.dtype == torch.int64
    full = spec.video_frames(codes.shape[1])
    padded = torch.cat([clip, clip[:, :, -1:].expand(-1, -1, full - frames, -1, -1)], 2)
    assert torch.equal(encode_clip(model, padded), codes)
    pixels, _ = model.decode(codes, spec)
    assert pixels.shape == (1, 3, full, 16, 24)
    assert pixels.abs().max() <= 1
    assert model(clip).clip.shape == clip.shape


def test_codes_come_as_soon_as_a_group_of_frames_is_complete(model):
    clip, state, seen = noise_clip(1, 10, 8, 8), None, []
    for t in range(10):
        codes, state = model.encode(clip[:, :, t : t + 1], state)
        seen.append(codes.shape[1])
    assert seen == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert model.encode_tail(state).shape == (1, 1, 1, 4)


def test_encode_tail_leaves_the_stream_unchanged(model):
    clip = noise_clip(1, 9, 8, 8)
    _, state = model.encode(clip[:, :, :7])
    tail = model.encode_tail(state)
    assert torch.equal(tail, encode_clip(model, clip[:, :, :7])[:, -1:])
    last, _ = model.encode(clip[:, :, 7:], state)
    assert torch.equal(last, encode_clip(model, clip)[:, -1:])


def test_no_frames_give_no_codes(model):
    none, begun = noise_clip(2, 0, 16, 8), noise_clip(2, 1, 16, 8)
    codes, state = model.encode(none)
    assert codes.shape == (2, 0, 2, 4)
    assert state is None
    codes, state = model.encode(begun)
    more, same = model.encode(none, state)
    assert more.shape == (2, 0, 2, 4)
    assert all(map(torch.equal, flatten_state(state).values(), flatten_state(same).values()))
    pixels, state = model.decode(codes[:, :0], model.spec(16, 8))
    assert pixels.shape == (2, 3, 0, 16, 8)
    assert state is None
    with pytest.raises(ValueError):
        encode_clip(model, none)


def test_an_image_is_a_clip_of_one_frame_and_begins_every_clip(model):
    clip = noise_clip(1, 9, 16, 16)
    assert torch.equal(encode_clip(model, clip[:, :, :1]), encode_clip(model, clip)[:, :1])


def test_a_later_code_does_not_change_an_earlier_pixel(model):
    codes, spec = encode_clip(model, noise_clip(1, 13, 16, 16)), model.spec(16, 16)
    changed = codes.clone()
    changed[:, 2:] = (changed[:, 2:] + 1) % 5
    before, after = model.decode(codes, spec)[0], model.decode(changed, spec)[0]
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:], after[:, :, 5:])


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((1, 3, 5, 12, 16), "12 x 16"),
        ((1, 3, 5, 16, 0), "16 x 0"),
        ((1, 1, 5, 16, 16), r"\[1, 1, 5, 16, 16\]"),
        ((3, 5, 16, 16), r"\[3, 5, 16, 16\]"),
    ],
)
def test_clips_of_other_shapes_are_refused(model, shape, named):
    with pytest.raises(ValueError, match=named):
        model.encode(torch.zeros(shape))


def test_bytes_are_refused(model):
    with pytest.raises(ValueError, match="uint8"):
        model.encode(torch.zeros(1, 3, 5, 16, 16, dtype=torch.uint8))


def test_the_training_path_does_not_wait_for_the_device():
    with FakeTensorMode():  # any look at a value is an error
        out = small_model(small_config(f_t=4, f_s=8))(torch.zeros(1, 3, 5, 16, 16))
    assert out.clip.shape == (1, 3, 5, 16, 16)


def test_the_state_of_the_decoder_is_no_state_of_the_encoder(model):
    clip = noise_clip(1, 5, 8, 8)
    codes, encoder_state = model.encode(clip)
    _, decoder_state = model.decode(codes, model.spec(8, 8))
    with pytest.raises(ValueError):
        model.encode(clip, decoder_state)
    with pytest.raises(ValueError):
        model.decode(codes, model.spec(8, 8), encoder_state)


def test_encode_and_decode_do_not_change_what_they_are_given(model):
    clip = noise_clip(1, 9, 8, 8)
    kept = clip.clone()
    codes = encode_clip(model, clip)
    kept_codes = codes.clone()
    model.decode(codes, model.spec(8, 8))
    assert torch.equal(clip, kept)
    assert torch.equal(codes, kept_codes)


def test_a_stream_keeps_no_autograd_graph(model):
    codes, state = model.encode(noise_clip(1, 5, 8, 8).requires_grad_())
    _, shown = model.decode(codes, model.spec(8, 8))
    assert not any(leaf.requires_grad for part in (state, shown) for leaf in flatten_state(part).values())


def test_gradients_reach_every_weight():
    model = small_model(small_config()).train()
    out = model(noise_clip(2, 9, 16, 16))
    (out.clip.square().mean() + torch.stack(list(out.losses.values())).sum()).backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_checkpointing_every_layer_gives_the_same_gradients():
    clip, gradients = noise_clip(2, 9, 16, 16), []
    for wrapped in (False, True):
        model = small_model(small_config()).double()
        if wrapped:
            for layer in model.modules():
                if isinstance(layer, Streaming):
                    layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        model(clip.double()).clip.square().mean().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_bfloat16_autocast_stays_near_and_keeps_codes_in_range(model):
    clip, spec = noise_clip(1, 9, 16, 16), model.spec(16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        first, state = model.encode(clip[:, :, :5])
        codes = torch.cat([first, model.encode(clip[:, :, 5:], state)[0]], 1)
        pixels, _ = model.decode(codes, spec)
    exact, _ = model.decode(codes, spec)
    spec.check_range(codes)
    assert (pixels.float() - exact).abs().max() < 0.1


def test_a_batch_is_its_clips_side_by_side(model):
    clips = torch.cat([noise_clip(1, 5, 16, 16, seed=seed) for seed in range(3)])
    latents, _ = model.double().encode_latents(clips.double())
    for i in range(3):
        torch.testing.assert_close(model.encode_latents(clips[i : i + 1].double())[0], latents[i : i + 1])
    model.float()


def test_spread_is_least_where_tanh_fills_its_range_evenly():
    even = torch.atanh(torch.linspace(-0.999, 0.999, 2001)).view(1, 1, 1, -1, 1)
    assert latent_spread_loss(even) < 1e-3
    assert latent_spread_loss(even + 1) > 0.5
    assert latent_spread_loss(even * 4) > 1
    collapsed = torch.zeros(1, 1, 2, 2, 3, requires_grad=True)
    latent_spread_loss(collapsed).backward()
    assert collapsed.grad.isfinite().all()


def test_a_frozen_encoder_makes_the_codes_that_it_makes_in_use(model):
    trained, clip = small_model(model.config), noise_clip(4, 9, 32, 32)
    codes = encode_clip(trained, clip)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(trained(clip).codes, codes), "bfloat16 changes some while the encoder is trained"
        trained.encoder.requires_grad_(False)
        out = trained(clip)
    assert torch.equal(out.codes, codes)
    assert out.clip.requires_grad, "the decoder is trained on"
