"""Encoder and decoder of the transformer tokenizer: what they see, what they keep, and that streams equal clips."""

from dataclasses import replace

import pytest
import torch

from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.networks.transformer.encoder_decoder import make_decoder, make_encoder, make_patchify
from tokenizer.networks.transformer.rotary import rotary_table, rotate
from tokenizer.networks.transformer.time_attention import GatedMLP, TimeAttention
from tokenizer.networks.transformer.window_attention import WindowAttention
from tokenizer.quantize import FSQConfig
from tokenizer.streaming import flatten_state

SMALL = TransformerTokenizerConfig(
    f_t=2, f_s=4, front="haar", width=16, heads=2, encoder_blocks=2, decoder_blocks=3, window=2, window_t=3,
    mlp_ratio=2, quantizer=FSQConfig(levels=(8, 5, 5)), spread_weight=0.1,
)  # fmt: skip
GRIDS = [(3, 5), (4, 4), (1, 2), (2, 7)]


def strong(layer, seed=0):
    """Random weights, the branches as strong as the path around them: what training makes of them."""
    for part in layer.modules():
        if isinstance(part, WindowAttention | TimeAttention):
            part.out.conv.weight.data.mul_(10)
        if isinstance(part, GatedMLP):
            part.down.conv.weight.data.mul_(10)
    return layer


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def encoder(config=SMALL, dim=3):
    torch.manual_seed(0)
    return strong(make_encoder(config, dim))


def decoder(config=SMALL, dim=3):
    torch.manual_seed(0)
    return strong(make_decoder(config, dim))


def streamed(layer, x_BTHWC, chunk=1):
    """Outputs and states, fed with `chunk` frames at a time."""
    outputs, states, state = [], [], None
    for part in torch.split(x_BTHWC, chunk, dim=1):
        y, state = layer(part.contiguous(), state)
        outputs.append(y)
        states.append(state)
    return torch.cat(outputs, 1), states


def attend_plainly(q_SHD, k_SHD, v_SHD, places_SA, mask_SS):
    """The definition: every pair of positions has a score, rotated by its places, and the mask says which count."""
    table = rotary_table(places_SA, q_SHD.shape[-1])
    q, k, v = rotate(q_SHD.transpose(0, 1), table), rotate(k_SHD.transpose(0, 1), table), v_SHD.transpose(0, 1)
    scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~mask_SS, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("grid", GRIDS)
def test_windows_are_a_dense_mask_over_the_frame(grid, window, shifted):
    layer, x = WindowAttention(16, 2, window, shifted).double(), noise(2, 3, *grid, 16)
    places = torch.cartesian_prod(*(torch.arange(side) for side in grid))
    offsets = torch.tensor([window // 2 if shifted and side > window else 0 for side in grid])
    number = (places + offsets) // window
    mask = (number[:, None] == number[None]).all(-1)
    q, k, v = layer.qkv(layer.norm(x)).unflatten(-1, (3, 2, 8)).flatten(2, 3).unbind(3)
    seen = torch.stack([torch.stack([attend_plainly(*frame, places, mask) for frame in zip(*clip, strict=True)])
                        for clip in zip(q, k, v, strict=True)])  # fmt: skip
    torch.testing.assert_close(layer(x), x + layer.out(seen.view_as(x)))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 9])
@pytest.mark.parametrize("window", [2, 3, 5])
def test_attention_over_time_is_a_band_after_a_still_past(window, frames):
    layer, x = TimeAttention(16, 2, window).double(), noise(2, frames, 1, 2, 16)
    padded = layer.norm(torch.cat([x[:, :1]] * (window - 1) + [x], 1))
    times = torch.arange(padded.shape[1])
    mask = (times[None] <= times[:, None]) & (times[None] > times[:, None] - window)
    q, (k, v) = layer.query(padded).unflatten(-1, (2, 8)), layer.key_value(padded).unflatten(-1, (2, 2, 8)).unbind(4)
    for b in range(2):
        for column in range(2):
            seen = attend_plainly(*(each[b, :, 0, column] for each in (q, k, v)), times[:, None], mask)[window - 1 :]
            change = layer.out(seen.view(1, frames, 1, 1, 16))[0, :, 0, 0]
            torch.testing.assert_close(layer(x, None)[0][b, :, 0, column], x[b, :, 0, column] + change)


def test_scores_depend_on_the_difference_of_places():
    q, k, places = noise(1, 8), noise(1, 8, seed=1), torch.tensor([[3, 5], [7, 4]])
    scores = []
    for offset in (0, 1, 40):
        at_q, at_k = (rotary_table(place[None] + offset, 8) for place in places)
        scores.append((rotate(q, at_q) * rotate(k, at_k)).sum())
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(3))
    for axis in range(2):
        moved = rotary_table(places[:1] + torch.eye(2, dtype=torch.int64)[axis], 8)
        assert not torch.allclose(rotate(q, moved), rotate(q, rotary_table(places[:1], 8)))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("make", [encoder, decoder])
def test_a_stream_equals_the_parallel_form(make, grid, chunk):
    layer = make().double()
    x = noise(2, 8, *grid, layer.layers[0].conv.in_channels)
    torch.testing.assert_close(streamed(layer, x, chunk)[0], layer(x, None)[0])


@pytest.mark.parametrize("make", [encoder, decoder])
def test_no_frame_sees_a_later_one_and_every_earlier_one_in_reach_counts(make):
    layer = make(replace(SMALL, encoder_blocks=1, decoder_blocks=1)).double()
    x = noise(1, 6, 3, 3, layer.layers[0].conv.in_channels).requires_grad_()
    y, _ = layer(x, None)
    for t in range(6):
        (gradient,) = torch.autograd.grad(y[:, t].square().sum(), x, retain_graph=True)
        felt = (gradient.abs().sum((0, 2, 3, 4)) > 0).tolist()
        assert felt == [t - SMALL.window_t < s <= t for s in range(6)], t


def test_two_blocks_carry_a_position_across_the_border_of_windows():
    layer = encoder(replace(SMALL, window=4)).double()
    x = noise(1, 1, 8, 8, layer.layers[0].conv.in_channels).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x, None)[0][0, 0, 0, 0].square().sum(), x)
    felt = gradient[0, 0].abs().sum(-1) > 0
    assert felt[:4, :4].all()
    assert not felt[4:].any()
    (gradient,) = torch.autograd.grad(layer(x, None)[0][0, 0, 3, 3].square().sum(), x)
    assert (gradient[0, 0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("make", [encoder, decoder])
def test_a_state_has_one_size_and_memory_of_its_own(make):
    layer = make()
    x = noise(1, 9, 3, 5, layer.layers[0].conv.in_channels, dtype=torch.float32)
    sizes = set()
    for state in streamed(layer.requires_grad_(False), x)[1]:
        leaves = flatten_state(state).values()
        sizes.add((len(leaves), sum(leaf.untyped_storage().nbytes() for leaf in leaves)))
    blocks = SMALL.encoder_blocks if make is encoder else SMALL.decoder_blocks
    kept = blocks * (SMALL.window_t - 1)
    assert sizes == {(kept, kept * 3 * 5 * 2 * SMALL.width * 4)}


@pytest.mark.parametrize("frames", [1, 2, 20])
def test_the_state_of_a_long_call_soon_holds_nothing_but_itself(frames):
    layer, state = TimeAttention(16, 2, 3), None
    for _ in range(3):
        _, state = layer(noise(1, frames, 3, 5, 16, dtype=torch.float32), state)
    assert [frame.untyped_storage().nbytes() for frame in state] == [3 * 5 * 32 * 4] * 2


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("make", [encoder, decoder])
def test_a_stream_has_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(make, grid):
    layer = make().requires_grad_(False)
    x, before = noise(3, 4, *grid, layer.layers[0].conv.in_channels, dtype=torch.float32), torch.get_num_threads()
    whole, _ = streamed(layer, x)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        alone = [streamed(layer, x[b : b + 1])[0] for b in range(3)]
        torch.set_num_threads(before)
        assert torch.equal(torch.cat(alone), whole)


@pytest.mark.parametrize("make", [encoder, decoder])
def test_a_still_stream_stands_still(make):
    layer = make().requires_grad_(False)
    x = noise(1, 1, 3, 5, layer.layers[0].conv.in_channels, dtype=torch.float32).expand(-1, 7, -1, -1, -1)
    y, _ = streamed(layer, x)
    assert torch.equal(y, y[:, :1].expand_as(y))


def test_a_long_stream_does_not_drift():
    layer = decoder().double()
    x = noise(1, 100, 1, 2, 3)
    late, _ = layer(x[:, 80:], streamed(layer, x[:, :80])[1][-1])
    reach = 1 + SMALL.decoder_blocks * (SMALL.window_t - 1)
    fresh, _ = layer(x[:, 80 - reach :], None)
    torch.testing.assert_close(late, fresh[:, reach:])


def test_a_gated_mlp_is_the_textbook_formula():
    layer, x = GatedMLP(6, 10).double(), noise(1, 2, 3, 3, 6)
    gate, up = (
        torch.einsum("btyxc,dc->btyxd", layer.norm(x), w[:, :, 0, 0]) for w in layer.gate_up.conv.weight.chunk(2)
    )
    change = torch.einsum("btyxd,cd->btyxc", gate * gate.sigmoid() * up, layer.down.conv.weight[:, :, 0, 0])
    torch.testing.assert_close(layer(x), x + change)


def test_patches_and_features_have_the_dims_of_the_configuration():
    clip = noise(1, 3, 4, 8, 12, dtype=torch.float32)
    patches = make_patchify(SMALL)(clip)
    assert patches.shape == (1, 2, 2, 3, SMALL.patch_dim)
    features, _ = encoder(dim=5)(patches, None)
    assert features.shape == (1, 2, 2, 3, 5)
    assert make_patchify(SMALL).inverse(decoder(dim=5)(features, None)[0]).shape == clip.shape


@pytest.mark.parametrize(
    "change",
    [
        {"f_t": 3}, {"f_s": 6}, {"front": "dct"}, {"width": 20}, {"heads": 0}, {"encoder_blocks": 0},
        {"decoder_blocks": 0}, {"window": 0}, {"window_t": 1}, {"mlp_ratio": 0.01}, {"channels": 0},
        {"spread_weight": -1},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(change):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=f"{name} = '?{value}"):
        replace(SMALL, **change)


def test_only_the_decoder_and_the_weight_of_a_loss_decide_no_codes():
    assert replace(SMALL, decoder_blocks=9, spread_weight=0).encoding == SMALL.encoding
    for change in (
        {"encoder_blocks": 3},
        {"window": 4},
        {"window_t": 4},
        {"mlp_ratio": 3},
        {"width": 32},
        {"heads": 1},
    ):
        assert replace(SMALL, **change).encoding != SMALL.encoding
