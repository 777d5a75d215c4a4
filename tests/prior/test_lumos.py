"""Lumos-1: the laws of every prior, equality with the published arithmetic, and what its memory does."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from interfaces.prior import Text
from interfaces.text import CaptionInput
from prior import laws
from prior.attention import attend_all
from prior.config import ControlConfig
from prior.laws import proposals
from prior.lumos import rotary as lumos_rotary
from prior.lumos.model import Lumos1
from prior.lumos.sequence import evenly_spaced, frame_layout, frame_length
from prior.rotary import RotaryCache, apply_rotary
from sampling.config import SamplerConfig
from sampling.guidance import duplicate_for_guidance
from sampling.rollout import commit_codes, sample_frames, start_rollout
from tests.prior.lumos import SHAPE, TEXT_IDS, lumos_model, published, small_lumos
from tests.prior.models import every_law, grid_spec
from tokenizer.quantize import RoundedFSQ, RoundedFSQConfig

CPU = torch.device("cpu")
FRAME_END, FRAME_START, LINE_END, MASK, VIDEO_START = 8196, 8197, 8803, 9003, 9004


def clip(model: Lumos1, batch: int = 2, frames: int = 4, seed: int = 0):
    return laws.random_batch(model.config, batch, frames, model.spec, torch.Generator().manual_seed(seed))


def test_every_law_holds():
    model = lumos_model(small_lumos(window=1))
    for verdict in every_law(model, clip(model, frames=3)):
        assert verdict.held, verdict
    spec = grid_spec((4, 3), (4, 4))
    batch = laws.random_batch(model.config, 2, 2, spec, torch.Generator().manual_seed(1))
    assert laws.streaming_is_the_training_path(model, batch, 1e-9).held, "another frame size"
    assert laws.streaming_is_the_training_path(model.float(), clip(model, frames=2), 1e-5).held


# The published arithmetic: one sequence for each row, without padding, cache or batch


def test_proposals_are_those_of_the_whole_published_sequence(exact_rotary):
    """Row 0 has text, row 1 has none, as the second streams of guidance."""
    model = lumos_model(small_lumos(window=2))
    batch = clip(model, frames=3)
    texts = [[0, 17, 8710], []]
    mask = torch.tensor([[True] * 3 + [False] * 2, [False] * 5])
    batch = batch._replace(text=Text(torch.tensor([[0, 17, 8710, 5, 6], [3] * 5]), mask))
    for t, proposal in enumerate(proposals(model, batch)):
        for row, text in enumerate(texts):
            history = [published_frame(model, codes, masked=True) for codes in batch.clean[row, :t]]
            own = published_frame(model, batch.targets[row, t], known=batch.known[row, t])
            ids = torch.tensor([*text, VIDEO_START, 8804 + 2, 8804 + 12, *itertools.chain(*history), *own])
            own_logits = published_logits(model, ids)[-len(own) :]
            expected = own_logits[
                [place for place in range(3, len(own) - 1) if (place - 3) % (SHAPE[1] + 1) < SHAPE[1]]
            ]
            logits = model.head(proposal.features[row])
            assert expected.std() > 0.5
            torch.testing.assert_close(logits.double(), expected.float().double(), rtol=0, atol=1e-5)


def published_frame(model: Lumos1, codes: Tensor, masked: bool = False, known: Tensor | None = None) -> list[int]:
    """Start, height and width in units of 32 pixels, rows with an end each, end."""
    rows, columns = SHAPE
    picture = []
    for number, (low, high) in enumerate(codes.tolist()):
        picture.append(TEXT_IDS + low + 4 * high if known is None or known[number] else MASK)
        if number % columns == columns - 1:
            picture.append(LINE_END)
    if masked:
        count = round(model.config.history_mask * len(picture))
        for place in range(count):
            picture[round(place * len(picture) / count)] = MASK
    return [FRAME_START, 8804 + rows // 4, 8804 + columns // 4, *picture, FRAME_END]


def published_logits(model: Lumos1, ids_S: Tensor) -> Tensor:
    """A Llama with MM-RoPE and a LayerNorm of queries and keys; text is causal, a frame sees all of itself."""
    config, weights = model.config, model.state_dict()
    cos, sin = published_angles(ids_S, config)
    frame_S = (ids_S == FRAME_START).cumsum(0)
    inside_S = frame_S - ((ids_S == FRAME_END).cumsum(0) - (ids_S == FRAME_END).long()) > 0
    together = (frame_S[:, None] == frame_S) & inside_S[:, None] & inside_S
    mask = torch.ones(len(ids_S), len(ids_S), dtype=torch.bool).tril() | together
    x = weights["tokens.weight"][ids_S]
    groups = config.heads // config.kv_heads
    for number in range(config.layers):
        block = {name.removeprefix(f"layers.{number}."): each for name, each in weights.items()}
        h = F.rms_norm(x, (config.width,), block["before_attention.weight"], config.epsilon) @ block["qkv.weight"].T
        q, k, v = h.view(len(ids_S), -1, config.head_dim).split([config.heads, config.kv_heads, config.kv_heads], 1)
        q, k = (F.layer_norm(each, (config.head_dim,), eps=1e-5) for each in (q, k))
        q = q * block["q_norm.weight"] + block["q_norm.bias"]
        k = k * block["k_norm.weight"] + block["k_norm.bias"]
        q, k = (each * cos + rotate_half(each) * sin for each in (q, k))
        k, v = (each.repeat_interleave(groups, 1) for each in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(config.head_dim)
        attended = torch.einsum("hqk,khd->qhd", scores.masked_fill(~mask, -torch.inf).softmax(-1), v)
        x = x + attended.flatten(1) @ block["out.weight"].T
        h = F.rms_norm(x, (config.width,), block["before_mlp.weight"], config.epsilon)
        gate, up = (h @ block["gate_up.weight"].T).chunk(2, -1)
        x = x + (F.silu(gate) * up) @ block["down.weight"].T
    return F.rms_norm(x, (config.width,), weights["norm.weight"], config.epsilon) @ weights["head.read.weight"].T


def published_angles(ids_S: Tensor, config) -> tuple[Tensor, Tensor]:
    """Cosines and sines [S, 1, D]: the axis of a channel by its number modulo 16, in both halves of a head."""
    start = int((ids_S == FRAME_START).nonzero()[0]) + 3
    t, y, x = (torch.arange(len(ids_S), dtype=torch.float64) for _ in range(3))
    frame, columns = -1, SHAPE[1] + 1
    for place, number in enumerate(ids_S.tolist()):
        if number == FRAME_START:
            frame, begin = frame + 1, place + 3
        elif frame >= 0 and begin <= place < begin + SHAPE[0] * columns:
            row, column = divmod(place - begin, columns)
            t[place], y[place], x[place] = start + 4 * frame, start + 8 * row, start + 8 * column
    frequency = config.theta ** -(torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
    angles = {axis: torch.cat([place[:, None] * frequency] * 2, 1) for axis, place in (("t", t), ("y", y), ("x", x))}
    axes = ["t" if c % 16 < 4 else "y" if c % 16 in (4, 5, 8, 9, 12, 13) else "x" for c in range(config.head_dim)]
    angle = torch.stack([angles[axis][:, channel] for channel, axis in enumerate(axes)], 1)[:, None]
    return angle.cos(), angle.sin()


def rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([-second, first], -1)


@pytest.fixture
def exact_rotary(monkeypatch):
    """Angles in float64, where float32 would be the only difference."""

    def rotary_at(places_SP: Tensor, channels: int, theta: float) -> RotaryCache:
        angles = places_SP.double() * theta ** -(torch.arange(0, channels, 2, dtype=torch.float64) / channels)
        return RotaryCache(angles.cos(), angles.sin())

    lumos_rotary.cached_rotary.cache_clear()
    monkeypatch.setattr(lumos_rotary, "rotary_at", rotary_at)
    yield
    lumos_rotary.cached_rotary.cache_clear()


def test_a_block_is_that_of_chameleon():
    chameleon = pytest.importorskip("transformers.models.chameleon.modeling_chameleon")
    from transformers import ChameleonConfig

    model = lumos_model(small_lumos(layers=1))
    config, (block,) = model.config, model.blocks
    theirs = chameleon.ChameleonDecoderLayer(
        ChameleonConfig(
            hidden_size=config.width,
            intermediate_size=config.hidden,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            rms_norm_eps=config.epsilon,
            attn_implementation="sdpa",
        ),
        layer_idx=0,
    ).double()
    prefix = "model.layers.0."
    found = {name.removeprefix(prefix): each for name, each in published(model).items() if prefix in name}
    theirs.load_state_dict(found)
    for name in ("input_layernorm", "post_attention_layernorm"):  # theirs compute in float32
        norm = torch.nn.RMSNorm(config.width, config.epsilon).double()
        norm.load_state_dict(getattr(theirs, name).state_dict())
        setattr(theirs, name, norm)
    rotary = lumos_rotary.cached_rotary(config, (0, 1), SHAPE, CPU)
    count = len(rotary.cos)
    x_BSC = torch.randn(2, count, config.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, k, v = block.split(x_BSC)
    mask = torch.ones(count, count, dtype=torch.bool).tril()
    mask[-frame_length(SHAPE) :, -frame_length(SHAPE) :] = True
    keys, values = apply_rotary(k, rotary).transpose(1, 2), v.transpose(1, 2)
    ours = block.finish(x_BSC, attend_all(apply_rotary(q, rotary), keys, values, mask))
    angles = tuple(torch.cat([part, part], -1)[None].double() for part in rotary)
    additive = torch.zeros(2, 1, count, count, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    expected = theirs(x_BSC, attention_mask=additive, position_embeddings=angles)
    expected = expected[0] if isinstance(expected, tuple) else expected
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-11)


def test_ids_of_tokens_are_the_indices_of_cosmos():
    """The published index of levels (a, b, ...) of L levels each is a + L_a x (b + L_b x ...)."""
    levels = (8, 8, 8, 5, 5, 5)
    quantizer = RoundedFSQ(RoundedFSQConfig(levels))
    with torch.device("meta"):
        model = Lumos1(small_lumos(codebooks=quantizer.codebooks, heads=2))
    basis = torch.tensor([math.prod(levels[:place]) for place in range(6)])
    indices = torch.randint(64_000, (500,), generator=torch.Generator().manual_seed(0))
    numbers, half = indices[:, None] // basis % torch.tensor(levels), torch.tensor(levels) // 2
    codes = model.head.split(indices)
    torch.testing.assert_close(quantizer.to_latents(codes), (numbers - half) / half)
    assert torch.equal(model.ids_of(codes), TEXT_IDS + indices)


# What a later frame sees of an earlier one


def test_the_pattern_of_masks_is_the_published_one():
    """Positions i x step, rounded as float32 rounds them; 32 x 56 tokens are those of 256 x 448 pixels."""
    for shape, share in ((SHAPE, 0.7), ((32, 56), 0.7), ((48, 84), 0.3)):
        layout = frame_layout(shape, share, CPU)
        length = shape[0] * (shape[1] + 1)
        count = round(share * length)
        expected = np.rint(np.arange(count, dtype=np.float32) * np.float32(length / count)).astype(int)
        assert layout.hidden_F.nonzero().flatten().tolist() == (3 + expected).tolist()
        assert len(layout.places_N) == shape[0] * shape[1]
    assert not evenly_spaced(36, 0.0, CPU).any()
    assert evenly_spaced(36, 1.0, CPU).all()


def test_later_frames_see_the_rest_of_a_frame():
    model = lumos_model(small_lumos())
    batch = clip(model, batch=1, frames=2)
    layout = frame_layout(SHAPE, 0.7, CPU)
    hidden_N = layout.hidden_F[layout.places_N]
    assert 0.5 < hidden_N.float().mean() < 0.9
    expected = list(proposals(model, batch))[1].features
    for seen, tokens in ((False, hidden_N), (True, ~hidden_N)):
        clean = batch.clean.clone()
        clean[0, 0, tokens.nonzero()[3], 0] += 1
        clean %= 4
        found = list(proposals(model, batch._replace(clean=clean)))[1].features
        assert torch.equal(found, expected) != seen


# A window of latent frames


def test_a_long_stream_is_a_clip_of_its_last_frames():
    """With one block, keys do not depend on frames before: then this is exact, prompt and positions included."""
    model = lumos_model(small_lumos(window=2, layers=1))
    batch = clip(model, frames=6)
    long = list(proposals(model, batch))
    for t in (3, 5):
        cut = batch._replace(
            targets=batch.targets[:, t - 2 :], clean=batch.clean[:, t - 2 :], known=batch.known[:, t - 2 :]
        )
        assert laws.distance(list(proposals(model, cut))[2], long[t], batch.targets[:, t]) < 1e-12
    clean = batch.clean.clone()
    clean[:, 2] = (clean[:, 2] + 1) % torch.tensor(model.spec.codebooks)
    earlier = list(proposals(model, batch._replace(clean=clean)))
    assert laws.distance(earlier[4], long[4], batch.targets[:, 4]) > 1e-3, "frame 2 is in the window of frame 4"
    assert laws.distance(earlier[5], long[5], batch.targets[:, 5]) < 1e-12


def test_a_sample_does_not_depend_on_its_batch_with_guidance():
    model = lumos_model(small_lumos()).float()
    sampler = SamplerConfig(order="confidence", steps=4, guidance_scale=15.0, noise=0.0)
    text = laws.random_text(model.config.context, 2, torch.Generator().manual_seed(3))
    given = clip(model, batch=2, frames=1).clean

    def drawn(rows: slice, seeds: list[int]) -> Tensor:
        own = text.rows(rows)
        both = Text(torch.cat([own.content] * 2), torch.cat([own.mask, torch.zeros_like(own.mask)]))
        past = model.begin(both, 2 * len(seeds))
        past = commit_codes(model, past, duplicate_for_guidance(given[rows], sampler))
        rollout = start_rollout(model, past, seeds, model.spec, 1)
        return torch.stack([each.codes_BNK for each in sample_frames(model, rollout, sampler, 3)], 1)

    together = drawn(slice(None), [5, 6])
    assert together.amax((0, 1, 2)).tolist() == [3, 2]
    for row in range(2):
        assert torch.equal(drawn(slice(row, row + 1), [5 + row]), together[row : row + 1])


# What it cannot be


def test_other_streams_are_refused():
    model = lumos_model(small_lumos())
    with pytest.raises(ValueError, match="multiples of 4"):
        model.begin(None, 1, grid_spec((4, 3), (4, 6)))
    with pytest.raises(ValueError, match="cannot begin a stream"):
        model.begin(None, 1, grid_spec((4, 2), SHAPE))
    with pytest.raises(ValueError, match="expected ids"):
        model.begin(Text(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.bool)), 1)
    past, codes = model.begin(None, 1), model.spec.empty(1, 1)[:, 0]
    with pytest.raises(ValueError, match="no control"):
        model.propose(codes, torch.ones(1, 32, dtype=torch.bool), past, control=torch.zeros(1))
    with pytest.raises(ValueError, match="token by token"):
        model.next_token(codes[:, :1], past)


def test_settings_are_checked():
    config = small_lumos()
    for changes, said in (
        ({"window": 0}, "window = 0"),
        ({"seconds": 0}, "seconds = 0"),
        ({"fps": 400}, "counts to 198"),
        ({"history_mask": 1.5}, "history_mask = 1.5"),
        ({"theta": 1.0}, "theta = 1"),
        ({"heads": 8, "kv_heads": 8}, "multiple of 32"),
        ({"context": None}, "needs text as ids"),
        ({"context": CaptionInput(5, features=3)}, "needs text as ids"),
        ({"context": CaptionInput(5, vocabulary=9004)}, "have a meaning"),
        ({"control": ControlConfig(discrete=3)}, "takes no control"),
        ({"spec": grid_spec((4, 3), (12,))}, "one grid of codes"),
        ({"spec": grid_spec((4, 3), (4, 5))}, "multiples of 4"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(config, **changes)
