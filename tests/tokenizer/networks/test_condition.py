"""A decoder that is given captions keeps the laws of tokenizers, and its state holds the captions."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.text import CaptionInput
from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip, small_config
from tokenizer.laws import check, same, size_in_bytes
from tokenizer.networks.condition import ConditionConfig, CrossAttentionConfig, FilmConfig
from tokenizer.networks.condition.fixed import FixedCondition
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import DECODER_WEIGHTS, LatentTokenizer
from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.streaming import State, flatten_state, map_state, unflatten_state

INPUTS = {"ids": CaptionInput(6, vocabulary=20), "features": CaptionInput(6, features=5)}
KINDS: dict[str, ConditionConfig] = {
    "film": FilmConfig(width=16, dropout=0.1),
    "cross_attention": CrossAttentionConfig(width=16, heads=4, dropout=0.1),
}
CASES = [
    pytest.param(replace(KINDS[kind], input=INPUTS[given]), id=f"{kind}-{given}")
    for kind, given in product(KINDS, INPUTS)
]
EACH_KIND = [pytest.param(replace(config, input=INPUTS["ids"]), id=kind) for kind, config in KINDS.items()]
CLIP = noise_clip(2, 9, 16, 24)


def texts(config: ConditionConfig) -> Text:
    """A short caption and a long one."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True] * 3 + [False] * 3, [True] * 6])
    if config.input == INPUTS["ids"]:
        return Text(torch.randint(20, (2, 6), generator=generator), mask)
    return Text(torch.randn(2, 6, 5, generator=generator), mask)


def conditioned(condition: ConditionConfig, causal: bool = True, trained: bool = True) -> LatentTokenizer:
    """Random weights; those that are zero at first are not if it counts as trained."""
    torch.manual_seed(0)
    model = make_tokenizer(replace(small_config(causal=causal), condition=condition)).eval()
    if trained:
        for name, weights in model.named_parameters():
            if ".condition." in name:
                weights.data.normal_(std=0.3)
    return model.requires_grad_(False)


def decode(model: LatentTokenizer, codes: Tensor, text: Text | None, plan: tuple[int, ...] = ()) -> Tensor:
    spec, state, parts = model.spec(16, 24), model.begin_decoding(text), []
    for part in torch.split(codes, plan or [codes.shape[1]], dim=1):
        frames, state = model.decode(part, spec, state)
        parts.append(frames)
    return torch.cat(parts, 2)


@pytest.mark.parametrize("condition", [CASES[0], CASES[3]])
def test_the_laws_hold_with_a_caption_and_without(condition: ConditionConfig) -> None:
    model, text = conditioned(condition).requires_grad_(True), texts(condition)
    for given in (model, FixedCondition(model, text.rows(slice(0, 1))), FixedCondition(model, text.rows(slice(1, 2)))):
        verdicts = list(check(given, CLIP, [[1, 2, 3], [4, 0, 5]], 1e-4))
        assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []


def test_a_transformer_is_told_after_each_block() -> None:
    condition = replace(KINDS["film"], input=INPUTS["ids"])
    network = TransformerTokenizerConfig(
        f_t=4, f_s=8, front="haar", width=16, heads=2, encoder_blocks=1, decoder_blocks=2, window=2, window_t=3,
        mlp_ratio=2.0, quantizer=FSQ_1000, spread_weight=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    model, text = make_tokenizer(replace(network, condition=condition)).eval(), texts(condition)
    plain = make_tokenizer(network).eval()
    plain.load_state_dict({name: each for name, each in model.state_dict().items() if ".condition." not in name})
    assert torch.equal(model(CLIP, text).clip, plain(CLIP).clip)
    assert model.config.encoding == network.encoding
    for name, weights in model.named_parameters():
        if ".condition." in name:
            weights.data.normal_(std=0.3)
    assert not torch.equal(model(CLIP, text).clip, model(CLIP).clip)
    verdicts = list(check(FixedCondition(model, text.rows(slice(0, 1))), CLIP, [[1, 2, 3], [4, 0, 5]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []


@pytest.mark.parametrize("condition", CASES)
def test_it_starts_as_the_decoder_without_a_condition(condition: ConditionConfig) -> None:
    model, plain = conditioned(condition, trained=False), make_tokenizer(small_config()).eval()
    plain.load_state_dict({name: each for name, each in model.state_dict().items() if ".condition." not in name})
    codes = encode_clip(plain, CLIP)
    assert torch.equal(encode_clip(model, CLIP), codes)
    expected, _ = plain.decode(codes, plain.spec(16, 24))
    for text in (None, texts(condition)):
        assert torch.equal(decode(model, codes, text), expected)
        assert torch.equal(model(CLIP, text).clip, plain(CLIP).clip)


@pytest.mark.parametrize("condition", CASES)
def test_every_caption_counts_whole_and_padding_does_not(condition: ConditionConfig) -> None:
    model, text = conditioned(condition), texts(condition)
    codes = encode_clip(model, CLIP[:1]).expand(2, -1, -1, -1)
    frames = decode(model, codes, text)
    assert not torch.equal(frames[0], frames[1])
    assert not torch.equal(frames[0], decode(model, codes, None)[0])
    other = text.content.clone()
    other[0, 3:] = 1
    assert torch.equal(decode(model, codes, text._replace(content=other)), frames)
    swapped = text.content.clone()
    swapped[0, 0], swapped[0, 1] = text.content[0, 1], text.content[0, 0]
    assert not torch.equal(decode(model, codes, text._replace(content=swapped))[0], frames[0])


@pytest.mark.parametrize("condition", EACH_KIND)
def test_alone_is_in_a_batch(condition: ConditionConfig) -> None:
    model, text, codes = conditioned(condition), texts(condition), encode_clip(conditioned(condition), CLIP)
    together, state = decode(model, codes, text), model.begin_decoding(text)
    assert state is not None
    for row in (slice(0, 1), slice(1, 2)):
        torch.testing.assert_close(decode(model, codes[row], text.rows(row)), together[row], atol=1e-5, rtol=0)
        alone, of_batch = model.begin_decoding(text.rows(row)), map_state(lambda leaf, row=row: leaf[row], state)
        assert alone is not None
        assert same(alone, of_batch), "what is read of a caption, to the bit"


@pytest.mark.parametrize("condition", EACH_KIND)
def test_a_dropped_caption_is_none(condition: ConditionConfig) -> None:
    model, text, codes = conditioned(condition), texts(condition), encode_clip(conditioned(condition), CLIP)
    dropped = text.without(torch.tensor([True, False]))
    frames, without = decode(model, codes, dropped), decode(model, codes, None)
    assert torch.equal(frames[0], without[0])
    assert torch.equal(frames[1], decode(model, codes, text)[1])
    torch.testing.assert_close(model(CLIP, dropped).clip[0], model(CLIP).clip[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("condition", EACH_KIND)
def test_the_state_of_a_new_stream_survives_a_file_and_is_no_begun_one(condition: ConditionConfig) -> None:
    model, text, codes = conditioned(condition), texts(condition), encode_clip(conditioned(condition), CLIP)
    expected = decode(model, codes, text)
    fresh = model.begin_decoding(text)
    assert fresh is not None
    for state in both_ways(fresh):
        frames, begun = model.decode(codes[:, :1], model.spec(16, 24), state)
        assert torch.equal(frames, expected[:, :, :1]), "the first latent frame holds one frame"
        for later in both_ways(begun):
            assert torch.equal(model.decode(codes[:, 1:], model.spec(16, 24), later)[0], expected[:, :, 1:])
    assert torch.equal(model.decode(codes[:, :0], model.spec(16, 24), fresh)[0], expected[:, :, :0])


def both_ways(state: State) -> Iterator[State]:
    """The state copied, and written and read again."""
    yield map_state(torch.clone, state)
    leaves = flatten_state(state)
    assert all(leaf.is_contiguous() for leaf in leaves.values())
    yield unflatten_state(leaves)


@pytest.mark.parametrize("condition", EACH_KIND)
def test_a_new_caption_in_the_middle_changes_what_follows_alone(condition: ConditionConfig) -> None:
    model, text = conditioned(condition), texts(condition)
    codes, spec = encode_clip(model, CLIP), model.spec(16, 24)
    head, state = model.decode(codes[:, :2], spec, model.begin_decoding(text))
    assert state is not None
    other = text.rows(torch.tensor([1, 0]))
    changed = model.with_condition(state, other)
    assert changed is not None
    assert not torch.equal(model.decode(codes[:, 2:], spec, changed)[0], model.decode(codes[:, 2:], spec, state)[0])
    back = model.with_condition(model.with_condition(changed, None), text)
    tail, _ = model.decode(codes[:, 2:], spec, back)
    assert torch.equal(torch.cat([head, tail], 2), decode(model, codes, text))
    assert size_in_bytes(changed) == size_in_bytes(state)


@pytest.mark.parametrize("condition", EACH_KIND)
def test_telling_nothing_is_no_caption(condition: ConditionConfig) -> None:
    model, codes = conditioned(condition), encode_clip(conditioned(condition), CLIP)
    spec = model.spec(16, 24)
    assert model.begin_decoding(None) is None
    given = model.with_condition(model.begin_decoding(texts(condition)), None)
    assert torch.equal(model.decode(codes, spec, given)[0], model.decode(codes, spec)[0])


@pytest.mark.parametrize("condition", CASES)
def test_every_weight_learns_and_decides_no_codes(condition: ConditionConfig) -> None:
    model = conditioned(condition).train().requires_grad_(True)
    out = model(CLIP, texts(condition).without(torch.tensor([True, False])))
    (out.clip.square().mean() + sum(out.losses.values())).backward()
    silent = {name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()}
    assert silent == set()
    names = [name for name, _ in model.named_parameters() if ".condition." in name]
    assert names
    assert all(name.startswith(DECODER_WEIGHTS) for name in names)
    assert model.config.encoding == small_config().encoding


def test_a_tokenizer_that_is_not_causal_is_told_too() -> None:
    condition = replace(KINDS["film"], input=INPUTS["ids"])
    model, text = conditioned(condition, causal=False), texts(condition)
    codes, spec = encode_clip(model, CLIP), model.spec(16, 24)
    frames, state = model.decode(codes, spec, model.begin_decoding(text))
    torch.testing.assert_close(frames, model(CLIP, text).clip.clamp(-1, 1), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="cannot stream"):
        model.decode(codes, spec, state)


def test_errors_are_one_clear_line() -> None:
    condition = replace(KINDS["film"], input=INPUTS["ids"])
    model, text, plain = conditioned(condition), texts(condition), make_tokenizer(small_config())
    codes, spec = encode_clip(model, CLIP), model.spec(16, 24)
    with pytest.raises(ValueError, match="trained without a condition"):
        plain.begin_decoding(text)
    with pytest.raises(ValueError, match="trained without a condition"):
        plain(CLIP, text)
    with pytest.raises(ValueError, match="1 captions for 2 clips"):
        model.decode(codes, spec, model.begin_decoding(text.rows(slice(0, 1))))
    with pytest.raises(ValueError, match="the state of another decoder"):
        model.decode(codes, spec, plain.decode(codes, spec)[1])
    with pytest.raises(ValueError, match=r"caption of shape \(4,\)"):
        model.begin_decoding(Text(text.content[:, :4], text.mask[:, :4]))
    with pytest.raises(ValueError, match=r"condition\.input is missing"):
        make_tokenizer(replace(small_config(), condition=KINDS["film"]))
    with pytest.raises(ValueError, match="heads = 3, which must divide the decoder's channels, 8, 16, 20"):
        conditioned(CrossAttentionConfig(16, 3, 0.1, INPUTS["ids"]))
    with pytest.raises(ValueError, match=r"dropout = 1\.5 must lie in"):
        FilmConfig(16, 1.5)
