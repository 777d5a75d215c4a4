"""Converts the weights of a Llama checkpoint to those of a prior.

The blocks of a prior are Llama blocks, so a language model can initialize them. A prior with one token per latent
frame, the objective `autoregressive` and all of the weights computes what the language model computes.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from prior.config import PriorConfig

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
UNUSED = ("self_attn.rotary_emb.inv_freq",)  # in old checkpoints; angles are computed


def blocks_from_llama(tensors: Mapping[str, Tensor], config: PriorConfig) -> dict[str, Tensor]:
    """`layers.*` and `norm.weight` of a prior, from the first `config.layers` blocks of the checkpoint.

    QK norms are included if both the config and the checkpoint have them.
    """
    weights = {"norm.weight": tensor_of_shape(tensors, NORM, (config.width,))}
    for number in range(config.layers):
        ours, theirs = f"layers.{number}.", f"model.layers.{number}."
        weights |= {ours + name: tensor for name, tensor in block_weights(tensors, theirs, config)}
        refuse_unused(tensors, theirs, config)
    return weights


def model_from_llama(tensors: Mapping[str, Tensor], config: PriorConfig) -> dict[str, Tensor]:
    """The blocks, the embedding and the head (the embedding again if the checkpoint ties them).

    The vectors for masked tokens and for the start are not included: a language model has none.
    """
    codebooks = config.spec.codebooks
    if len(codebooks) != 1:
        raise ValueError(f"codebooks = {codebooks}: a language model has one vocabulary")
    shape = (codebooks[0], config.width)
    embedding = tensor_of_shape(tensors, EMBEDDING, shape)
    head = tensor_of_shape(tensors, HEAD, shape) if HEAD in tensors else embedding
    return blocks_from_llama(tensors, config) | {"embedding.tables.0.weight": embedding, "head.read.0.weight": head}


def block_weights(tensors: Mapping[str, Tensor], prefix: str, config: PriorConfig) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a prior's block: q, k and v are one matrix, and so are gate and up."""
    shapes = block_shapes(config)

    def of(name: str) -> Tensor:
        return tensor_of_shape(tensors, prefix + name, shapes[name])

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
    """The shapes that the tensors of a checkpoint's block must have."""
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


def tensor_of_shape(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in tensors:
        raise ValueError(f"{name} is not in the checkpoint; this prior takes one of shape {shape} from it")
    if tuple(tensors[name].shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}; this prior takes {shape}")
    return tensors[name]


def refuse_unused(tensors: Mapping[str, Tensor], prefix: str, config: PriorConfig) -> None:
    """ValueError for a tensor that a prior's block lacks, such as a bias: without it the results would differ."""
    known = {*block_shapes(config), *UNUSED}
    for name in tensors:
        if name.startswith(prefix) and name.removeprefix(prefix) not in known:
            raise ValueError(f"{name} of shape {tuple(tensors[name].shape)} has no place in the blocks of this prior")
