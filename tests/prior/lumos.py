"""Small random Lumos-1 priors, and their weights under the published names."""

import torch
from torch import Tensor

from interfaces.text import CaptionInput
from prior.kinds import make_prior
from prior.lumos.config import Lumos1Config
from prior.lumos.model import Lumos1
from tests.prior.models import grid_spec, random_weights

TEXT_IDS = 9010  # with all ids that have a meaning
SHAPE = (4, 8)


def small_lumos(
    window: int = 2,
    layers: int = 2,
    history_mask: float = 0.7,
    shape: tuple[int, int] = SHAPE,
    text_ids: int = TEXT_IDS,
    codebooks: tuple[int, ...] = (4, 3),
    length: int = 5,
    heads: int = 4,
) -> Lumos1Config:
    return Lumos1Config(
        width=32 * heads,
        layers=layers,
        heads=heads,
        kv_heads=heads // 2,
        hidden=96,
        spec=grid_spec(codebooks, shape),
        context=CaptionInput(length, vocabulary=text_ids),
        window=window,
        theta=10_000.0,
        seconds=2,
        fps=12,
        history_mask=history_mask,
    )


def lumos_model(config: Lumos1Config, seed: int = 0) -> Lumos1:
    """In float64."""
    model = random_weights(make_prior(config), seed)
    assert isinstance(model, Lumos1)
    return model.requires_grad_(False)


def published(model: Lumos1) -> dict[str, Tensor]:
    """The weights as a Chameleon in `transformers` names them, with logits of text, and a part that is not used."""
    config, ours = model.config, model.state_dict()
    head = ours["head.read.weight"]
    logits_of_text = torch.ones(config.vocabulary, config.width, dtype=head.dtype)
    found = {
        "model.embed_tokens.weight": ours["tokens.weight"],
        "model.norm.weight": ours["norm.weight"],
        "lm_head.weight": torch.cat([logits_of_text, head]),
        "model.vqmodel.encoder.conv_in.weight": torch.ones(2, 3),
    }
    sizes = [heads * config.head_dim for heads in (config.heads, config.kv_heads, config.kv_heads)]
    for number in range(config.layers):
        block = {name: ours[f"layers.{number}.{name}"] for name in block_parts(ours)}
        q, k, v = block["qkv.weight"].split(sizes)
        gate, up = block["gate_up.weight"].chunk(2)
        matrices = {"self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v}
        matrices |= {"self_attn.o_proj": block["out.weight"], "mlp.down_proj": block["down.weight"]}
        matrices |= {"mlp.gate_proj": gate, "mlp.up_proj": up, "input_layernorm": block["before_attention.weight"]}
        matrices |= {"post_attention_layernorm": block["before_mlp.weight"]}
        matrices |= {f"self_attn.{part}_norm": block[f"{part}_norm.weight"] for part in "qk"}
        here = f"model.layers.{number}"
        found |= {f"{here}.{name}.weight": tensor for name, tensor in matrices.items()}
        found |= {f"{here}.self_attn.{part}_norm.bias": block[f"{part}_norm.bias"] for part in "qk"}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def block_parts(weights: dict[str, Tensor]) -> list[str]:
    return [name.removeprefix("layers.0.") for name in weights if name.startswith("layers.0.")]


def settings_of(config: Lumos1Config) -> dict[str, object]:
    """The config.json."""
    return {
        "model_type": "chameleon",
        "mm_rope": True,
        "hidden_act": "silu",
        "swin_norm": False,
        "num_hidden_layers": config.layers,
        "rms_norm_eps": config.epsilon,
        "rope_theta": config.theta,
        "vq_config": {"embed_dim": 3},
    }
