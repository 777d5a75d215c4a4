"""The same network causal and not: what it sees, what it weighs, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import noise_clip, small_config, small_model
from tokenizer import laws
from tokenizer.networks.convolution import TimeConv

SHAPES = [{}, {"front_t": 1}, {"f_t": 1, "f_s": 4, "front": "patch", "kernel_t": 5}, {"f_t": 8, "front_t": 4}]
SHAPE_NAMES = ["", "front_t=1", "f_t=1", "f_t=8"]


def model(**shape):
    return small_model(small_config(**shape))


@pytest.fixture(params=SHAPES, ids=SHAPE_NAMES)
def shape(request):
    return request.param


def test_a_centered_kernel_sees_as_many_frames_half_of_them_later():
    layer = TimeConv(1, 1, 5, causal=False)
    x = torch.zeros(1, 9, 1, 1, 1)
    x[:, 4] = 1
    with torch.no_grad():
        y = layer(x, None)[0].flatten()
    assert y.nonzero().flatten().tolist() == [2, 3, 4, 5, 6]
    torch.testing.assert_close(y[2:7].flip(0), layer.conv.weight.detach().flatten())


def test_a_reversed_clip_through_reversed_kernels_is_the_reversed_clip():
    layer, mirrored = (TimeConv(3, 4, 3, causal=False).double() for _ in range(2))
    mirrored.conv.load_state_dict({**layer.conv.state_dict(), "weight": layer.conv.weight.detach().flip(2)})
    x = torch.randn(2, 6, 3, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(mirrored(x.flip(1), None)[0].flip(1), layer(x, None)[0])


def test_only_the_causal_network_is_blind_to_later_frames(shape):
    clip = noise_clip(1, 1 + 3 * small_config(**shape).f_t, 16, 16)
    for law in (laws.encoder_is_causal, laws.decoder_is_causal):
        assert law(model(**shape), clip).held
        verdict = law(model(**shape, causal=False), clip)
        assert not verdict.held
        assert "depend" in verdict.detail


def test_both_have_the_same_weights(shape):
    causal, centered = (model(**shape, causal=causal).state_dict() for causal in (True, False))
    assert causal.keys() == centered.keys()
    assert all(map(torch.equal, causal.values(), centered.values()))


def test_a_whole_clip_in_one_call_is_what_training_computes(shape):
    network = model(**shape, causal=False)
    for frames in (1, 6, 1 + 2 * network.config.f_t):
        clip = noise_clip(2, frames, 16, 8)
        codes = encode_clip(network, clip)
        out = network(clip)
        assert torch.equal(codes, out.codes)
        decoded, _ = network.decode(codes, network.spec(16, 8))
        torch.testing.assert_close(decoded[:, :, :frames], out.clip.clamp(-1, 1), rtol=0, atol=1e-5)


def test_nothing_moves_at_the_ends_of_a_still_clip(shape):
    network = model(**shape, causal=False)
    assert laws.a_still_clip_has_still_codes(network, noise_clip(1, 1, 16, 16), 4).held


def test_a_network_that_is_not_causal_refuses_to_go_on():
    network, clip = model(causal=False), noise_clip(1, 9, 16, 16)
    codes, state = network.encode(clip)
    with pytest.raises(ValueError, match="not causal cannot stream"):
        network.encode(clip, state)
    _, state = network.decode(codes, network.spec(16, 16))
    with pytest.raises(ValueError, match="not causal cannot stream"):
        network.decode(codes, network.spec(16, 16), state)


def test_its_selftest_names_the_laws_that_it_breaks():
    verdicts = list(laws.check(model(causal=False), noise_clip(1, 14, 16, 16), [[1, 4]], 1e-4))
    assert {verdict.law for verdict in verdicts if not verdict.held} == {
        laws.CHUNKS, laws.CAUSAL_ENCODER, laws.CAUSAL_DECODER, laws.USED_TWICE, laws.CONSTANT_STATE
    }  # fmt: skip
    assert not any(verdict.skipped for verdict in verdicts)


def test_models_of_before_the_setting_keep_their_fingerprint():
    config = small_config()
    assert "causal" not in config.encoding
    assert replace(config, causal=False).encoding == {**config.encoding, "causal": False}
