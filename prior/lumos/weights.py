"""Published tensors of Lumos-1: those of a Chameleon in `transformers`, to its configuration and weights here."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from interfaces.foreign import (
    ForeignKeysError,
    ForeignPrior,
    OtherModelError,
    PriorSource,
    PromptFormat,
    PublishedClips,
    take_weights,
    whole_number,
)
from interfaces.text import CaptionInput
from prior.lumos import sequence
from prior.lumos.config import Lumos1Config

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
IGNORED = ("model.vqmodel.", "inv_freq")  # Chameleon's tokenizer of images, which is not used; a constant
TEXT_IDS = 65_536
LENGTH = 512  # ids of a prompt, unless an option says otherwise
OPTIONS = ("window", "history_mask", "length")
SAME = {"self_attn.o_proj": "out", "mlp.down_proj": "down"}
SAME |= {"input_layernorm": "before_attention", "post_attention_layernorm": "before_mlp"}
JOINED: dict[str, tuple[str, ...]] = {"qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")}
JOINED |= {"gate_up": ("mlp.gate_proj", "mlp.up_proj")}
EXPECTED: dict[str, Any] = {"model_type": "chameleon", "mm_rope": True}  # in config.json
DEFAULTS: dict[str, Any] = {  # there, or as if they were
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "swin_norm": False,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
}


def lumos1_config(source: PriorSource, options: Mapping[str, str]) -> Lumos1Config:
    """Sizes from the tensors, constants from config.json, the length and rate of clips from `clips`.

    Options: `window`, latent frames that a latent frame sees (all others of a clip); `history_mask`; `length`, ids of a
    prompt.
    """
    for name in options.keys() - set(OPTIONS):
        raise ValueError(f"{name}: a Lumos-1 has the options {', '.join(OPTIONS)}")
    for name, expected in (EXPECTED | DEFAULTS).items():
        if (found := source.settings.get(name, DEFAULTS.get(name))) != expected:
            raise OtherModelError(f"config.json says {name} = {found!r}; expected {expected!r}")
    clips, spec, first = source.clips, source.spec, "model.layers.0."
    queries, width = size_of(source.tensors, f"{first}self_attn.q_proj.weight")
    keys, _ = size_of(source.tensors, f"{first}self_attn.k_proj.weight")
    channels = size_of(source.tensors, f"{first}self_attn.q_norm.weight")[-1]
    check_vocabulary(source)
    if clips.fps != int(clips.fps):
        raise ValueError(f"{clips.fps:g} frames a second: Lumos-1 is told a whole number of them")
    in_a_clip = spec.latent_frames(clips.frames)
    return Lumos1Config(
        width=width,
        layers=int(number_in(source.settings, "num_hidden_layers")),
        heads=queries // channels,
        kv_heads=keys // channels,
        hidden=size_of(source.tensors, f"{first}mlp.gate_proj.weight")[0],
        epsilon=number_in(source.settings, "rms_norm_eps"),
        theta=number_in(source.settings, "rope_theta"),
        spec=spec,
        context=CaptionInput(whole_number("length", options.get("length", str(LENGTH))), vocabulary=TEXT_IDS),
        window=whole_number("window", options.get("window", str(max(1, in_a_clip - 1)))),
        seconds=max(1, round(clips.frames / clips.fps)),
        fps=int(clips.fps),
        history_mask=share_in(options),
    )


def lumos1_weights(source: Mapping[str, Tensor], config: Lumos1Config) -> dict[str, Tensor]:
    """All weights of a Lumos1 of this configuration; of the head, the rows of ids of a video."""
    names = {"embedding": EMBEDDING, "head": HEAD, "norm.weight": "model.norm.weight"}
    for number in range(config.layers):
        names |= {f"{number}.{name}": f"model.layers.{number}.{name}" for name in block_names()}
    taken = take_weights(source, names, IGNORED)
    weights = {
        "tokens.weight": taken["embedding"],
        "head.read.weight": taken["head"][config.vocabulary :],
        "norm.weight": taken["norm.weight"],
    }
    for number in range(config.layers):
        block = {name: taken[f"{number}.{name}"] for name in block_names()}
        weights |= {f"layers.{number}.{name}": tensor for name, tensor in block_weights(block, config)}
    return weights


def block_names() -> Iterator[str]:
    """The published names of the tensors of a block."""
    yield from (f"{name}.weight" for name in SAME)
    yield from (f"{name}.weight" for parts in JOINED.values() for name in parts)
    yield from (f"self_attn.{part}_norm.{leaf}" for part in "qk" for leaf in ("weight", "bias"))


def block_weights(block: Mapping[str, Tensor], config: Lumos1Config) -> Iterator[tuple[str, Tensor]]:
    """Names here and tensors. A norm may be published once for several heads in a row."""
    for theirs, ours in SAME.items():
        yield f"{ours}.weight", block[f"{theirs}.weight"]
    for ours, parts in JOINED.items():
        yield f"{ours}.weight", torch.cat([block[f"{part}.weight"] for part in parts])
    for part, heads in (("q", config.heads), ("k", config.kv_heads)):
        for leaf in ("weight", "bias"):
            norm = block[f"self_attn.{part}_norm.{leaf}"]
            shared = norm.reshape(-1, norm.shape[-1])
            if heads % len(shared):
                raise OtherModelError(f"{part}_norm.{leaf} is for {len(shared)} groups of {heads} heads")
            yield f"{part}_norm.{leaf}", shared.repeat_interleave(heads // len(shared), 0)


def check_vocabulary(source: PriorSource) -> None:
    tokens = math.prod(source.spec.codebooks)
    found, _ = size_of(source.tensors, EMBEDDING)
    if found != TEXT_IDS + tokens:
        raise OtherModelError(f"its {found:,} ids are not {TEXT_IDS:,} of text and the tokenizer's {tokens:,}")


def size_of(source: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in source:
        raise ForeignKeysError([name], [])
    rows, columns = source[name].reshape(-1, source[name].shape[-1]).shape
    return rows, columns


def number_in(settings: Mapping[str, Any], name: str) -> float:
    found = settings.get(name)
    if not isinstance(found, int | float):
        raise OtherModelError(f"config.json says {name} = {found!r}; expected a number")
    return float(found)


def share_in(options: Mapping[str, str]) -> float:
    try:
        return float(options.get("history_mask", Lumos1Config.history_mask))
    except ValueError:
        raise ValueError(f"history_mask = {options['history_mask']}: expected a number") from None


def lumos1_prompt(config: Lumos1Config, height: int, width: int) -> PromptFormat:
    template = (
        f"Generate a video with a resolution of {width}x{height}, consisting of {config.seconds * config.fps} frames "
        f"at {config.fps} frames per second, according to the following prompt:\n {{caption}}"
    )
    ids = {"<s>": 0, "<eoss>": sequence.FRAME_END, "<racm3:break>": sequence.FRAME_START, "<reserved08706>": 8710}
    ids |= {"<reserved08799>": sequence.LINE_END, "<reserved08800>": sequence.COUNT, "<reserved08999>": sequence.MASK}
    return PromptFormat(template, "<s>", "<reserved08706>", {**ids, "<reserved09000>": sequence.VIDEO_START})


LUMOS1 = ForeignPrior(
    source="1B and 3B of Alibaba-DAMO-Academy/Lumos-1 on the Hugging Face hub",
    licence="read it on the card of the model; the repository of its code is under Apache-2.0",
    ignored=IGNORED,
    config=lumos1_config,
    weights=lumos1_weights,
    clips=PublishedClips(height=256, width=448, fps=12.0, frames=25),
    prompt=lumos1_prompt,
    sampler={"order": "confidence", "steps": 50, "schedule": "cosine", "guidance_scale": 15.0, "noise": 0.0},
)
