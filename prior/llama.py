"""Weights of the Llama family, by the names of its checkpoints, as weights of a prior.

A language model can be the beginning of a prior: its blocks are our blocks. With one token a latent frame, positions
on a line and the objective `autoregressive`, a prior with all of its weights is the language model.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from prior.config import PriorConfig

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
OF_NO_WEIGHT = ("self_attn.rotary_emb.inv_freq",)  # in old checkpoints; angles are computed


def blocks_from_llama(tensors: Mapping[str, Tensor], config: PriorConfig) -> dict[str, Tensor]:
    """`layers.*` and `norm.weight` of a prior: as many blocks as the config asks for, the checkpoint's first ones.

    Norms of queries and keys are taken where config and checkpoint both have them, and otherwise not mentioned.
    """
    weights = {"norm.weight": fitting(tensors, NORM, (config.width,))}
    for number in range(config.layers):
        ours, theirs = f"layers.{number}.", f"model.layers.{number}."
        weights |= {ours + name: tensor for name, tensor in one_block(tensors, theirs, config)}
        refuse_what_is_left(tensors, theirs, config)
    return weights


def whole_from_llama(tensors: Mapping[str, Tensor], config: PriorConfig) -> dict[str, Tensor]:
    """The blocks, the embedding and the head (the embedding again where the checkpoint ties them).

    What a language model has not stays unmentioned: the vectors of the mask and of the start.
    """
    codebooks = config.spec.codebooks
    if len(codebooks) != 1:
        raise ValueError(f"codebooks = {codebooks}: a language model has one vocabulary")
    shape = (codebooks[0], config.width)
    embedding = fitting(tensors, EMBEDDING, shape)
    head = fitting(tensors, HEAD, shape) if HEAD in tensors else embedding
    return blocks_from_llama(tensors, config) | {"embedding.tables.0.weight": embedding, "head.read.0.weight": head}


def one_block(tensors: Mapping[str, Tensor], prefix: str, config: PriorConfig) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors: queries, keys and values are one matrix, and so are gate and up."""
    shapes = block_shapes(config)

    def of(name: str) -> Tensor:
        return fitting(tensors, prefix + name, shapes[name])

    yield "before_attention.weight", of("input_layernorm.weight")
    yield "qkv.weight", torch.cat([of(f"self_attn.{part}_proj.weight") for part in "qkv"])
    yield "out.weight", of("self_attn.o_proj.weight")
    yield "before_mlp.weight", of("post_attention_layernorm.weight")
    yield "gate_up.weight", torch.cat([of("mlp.gate_proj.weight"), of("mlp.up_proj.weight")])
    yield "down.weight", of("mlp.down_proj.weight")
    for part in "qk":
        if config.qk_norm and f"{prefix}self_attn.{part}_norm.weight" in tensors:
            yield f"{part}_norm.weight", of(f"self_attn.{part}_norm.weight")


def block_shapes(config: PriorConfig) -> dict[str, tuple[int, ...]]:
    """What a block of a checkpoint must be made of to fit."""
    width, hidden, channels = config.width, config.hidden, config.head_dim
    queries, keys = config.heads * channels, config.kv_heads * channels
    norms = {f"self_attn.{part}_norm.weight": (channels,) for part in "qk"} if config.qk_norm else {}
    return norms | {
        "input_layernorm.weight": (width,),
        "self_attn.q_proj.weight": (queries, width),
        "self_attn.k_proj.weight": (keys, width),
        "self_attn.v_proj.weight": (keys, width),
        "self_attn.o_proj.weight": (width, queries),
        "post_attention_layernorm.weight": (width,),
        "mlp.gate_proj.weight": (hidden, width),
        "mlp.up_proj.weight": (hidden, width),
        "mlp.down_proj.weight": (width, hidden),
    }


def fitting(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in tensors:
        raise ValueError(f"{name} is not in the checkpoint; this prior takes one of shape {shape} from it")
    if tuple(tensors[name].shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}; this prior takes {shape}")
    return tensors[name]


def refuse_what_is_left(tensors: Mapping[str, Tensor], prefix: str, config: PriorConfig) -> None:
    """A bias, or a norm that our blocks lack: without it they would compute something else."""
    known = {*block_shapes(config), *OF_NO_WEIGHT}
    for name in tensors:
        if name.startswith(prefix) and name.removeprefix(prefix) not in known:
            raise ValueError(f"{name} of shape {tuple(tensors[name].shape)} has no place in the blocks of this prior")
