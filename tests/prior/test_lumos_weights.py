"""Published tensors of Lumos-1 become ours, and all of them are accounted for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from interfaces.foreign import ForeignKeysError, PriorSource, PublishedClips
from prior.lumos.weights import LUMOS1, TEXT_IDS
from tests.prior.lumos import lumos_model, published, settings_of, small_lumos

MODEL = lumos_model(small_lumos(text_ids=TEXT_IDS, length=9))
TENSORS = published(MODEL)
CLIPS = PublishedClips(32, 64, 12.0, 9)


def source(tensors: Mapping[str, Tensor] | None = None, clips: PublishedClips = CLIPS, **settings: Any) -> PriorSource:
    tensors = dict(TENSORS) if tensors is None else tensors
    return PriorSource(tensors, settings_of(MODEL.config) | settings, MODEL.spec, clips)


def test_sizes_come_from_tensors_and_the_rest_from_its_files() -> None:
    config = LUMOS1.config(source(), {"length": "9"})
    assert replace(config, seconds=2) == MODEL.config
    weights = LUMOS1.weights(dict(TENSORS), config)
    ours = MODEL.state_dict()
    assert weights.keys() == ours.keys()
    assert all(torch.equal(weights[name], ours[name]) for name in ours)


def test_a_published_model_is_for_seven_latent_frames_and_an_image_model_for_one() -> None:
    config = LUMOS1.config(source(clips=replace(LUMOS1.clips, height=32, width=64)), {})
    assert (config.window, config.seconds, config.fps, config.history_mask) == (6, 2, 12, 0.7)
    config = LUMOS1.config(source(clips=PublishedClips(32, 64, 1.0, 1)), {})
    assert (config.window, config.seconds, config.fps) == (1, 1, 1)
    config = LUMOS1.config(source(), {"window": "3", "history_mask": "0.5"})
    assert (config.window, config.history_mask) == (3, 0.5)
    assert config.context.length == 512


def test_the_prompt_is_the_published_one() -> None:
    prompt = LUMOS1.prompt(MODEL.config, 256, 448)
    assert prompt.template.format(caption="A duck.") == (
        "Generate a video with a resolution of 448x256, consisting of 24 frames at 12 frames per second, according to "
        "the following prompt:\n A duck."
    )


def test_norms_may_be_shared_by_heads() -> None:
    tensors, config = dict(TENSORS), MODEL.config
    for part, heads in (("q", config.heads), ("k", config.kv_heads)):
        name = f"model.layers.0.self_attn.{part}_norm.weight"
        tensors[name] = tensors[name][: heads // 2].clone()
    weights = LUMOS1.weights(tensors, LUMOS1.config(source(tensors), {}))
    norms = {part: MODEL.state_dict()[f"layers.0.{part}_norm.weight"] for part in "qk"}
    assert torch.equal(weights["layers.0.q_norm.weight"], norms["q"][[0, 0, 1, 1]])
    assert torch.equal(weights["layers.0.k_norm.weight"], norms["k"][[0, 0]])


def test_every_tensor_is_accounted_for() -> None:
    tensors, config = dict(TENSORS), MODEL.config
    for name in [name for name in tensors if not name.startswith("model.vqmodel.")]:
        with pytest.raises(ForeignKeysError) as caught:
            LUMOS1.weights({other: tensors[other] for other in tensors if other != name}, config)
        assert caught.value.missing == (name,)
    with pytest.raises(ForeignKeysError) as caught:
        LUMOS1.weights({**tensors, "model.layers.2.mlp.up_proj.weight": torch.ones(1)}, config)
    assert caught.value.unexpected == ("model.layers.2.mlp.up_proj.weight",)


def test_what_is_no_lumos_is_refused() -> None:
    for settings, said in (
        ({"mm_rope": False}, "mm_rope = False; expected True"),
        ({"mm_rope": None}, "mm_rope = None; expected True"),
        ({"swin_norm": True}, "swin_norm = True"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling = "),
        ({"tie_word_embeddings": True}, "tie_word_embeddings = True"),
        ({"rope_theta": "much"}, "rope_theta = 'much'; expected a number"),
    ):
        with pytest.raises(ValueError, match=said):
            LUMOS1.config(source(**settings), {})
    for options, said in (
        ({"windows": "3"}, "windows: a Lumos-1 has the options window, history_mask, length"),
        ({"window": "a"}, "window = a: expected a whole number"),
        ({"history_mask": "a"}, "history_mask = a: expected a number"),
    ):
        with pytest.raises(ValueError, match=said):
            LUMOS1.config(source(), options)
    with pytest.raises(ValueError, match="told a whole number"):
        LUMOS1.config(source(clips=PublishedClips(32, 64, 12.5, 9)), {})
    less = dict(TENSORS) | {"model.embed_tokens.weight": torch.ones(65_547, 128)}
    with pytest.raises(ValueError, match=r"its 65,547 ids are not 65,536 of text and the tokenizer's 12"):
        LUMOS1.config(source(less), {})
