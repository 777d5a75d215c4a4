"""A block of Llama: RMSNorm, grouped-query attention with rotary positions, RMSNorm, SwiGLU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prior.config import PriorConfig
from prior.linear import Linear
from prior.rotary import RotaryCache, apply_rotary


class Block(nn.Module):
    """Attention lies between `project` and `finish`: the caller decides who sees whom."""

    called_by = ("project", "finish")  # instead of forward: whatever shards weights has to know

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.heads, self.kv_heads, channels = config.heads, config.kv_heads, config.head_dim
        self.before_attention = nn.RMSNorm(config.width, config.epsilon)
        self.qkv = Linear(config.width, (config.heads + 2 * config.kv_heads) * channels, bias=False)
        self.q_norm = HeadNorm(channels, config.epsilon) if config.qk_norm else nn.Identity()
        self.k_norm = HeadNorm(channels, config.epsilon) if config.qk_norm else nn.Identity()
        self.out = Linear(config.heads * channels, config.width, bias=False)
        self.before_mlp = nn.RMSNorm(config.width, config.epsilon)
        self.gate_up = Linear(config.width, 2 * config.hidden, bias=False)
        self.down = Linear(config.hidden, config.width, bias=False)
        self.qkv.follow(self.before_attention)
        self.gate_up.follow(self.before_mlp)

    def project(self, x_BSC: Tensor, rotary: RotaryCache) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, S, H, D], keys and values [B, S, K, D], rotated to their positions."""
        shape = self.heads, self.kv_heads, self.kv_heads
        q, k, v = self.qkv(self.before_attention(x_BSC)).unflatten(-1, (sum(shape), -1)).split(shape, dim=2)
        return apply_rotary(self.q_norm(q), rotary), apply_rotary(self.k_norm(k), rotary), v

    def finish(self, x_BSC: Tensor, attended_BSHD: Tensor) -> Tensor:
        x_BSC = x_BSC + self.out(attended_BSHD.flatten(2))
        widened: Tensor = self.down(gated(self.gate_up(self.before_mlp(x_BSC))))
        return x_BSC + widened


class HeadNorm(nn.RMSNorm):
    """Under autocast too its output has the type of its input, as attention wants all three of one type.

    On a GPU autocast computes norms in float32 and leaves them so; on a CPU it does not touch them.
    """

    def forward(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps).to(x.dtype)


def gated(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of the two halves [..., 2 F] to [..., F]."""
    out: Tensor = Gated.apply(gate_up)  # type: ignore[no-untyped-call]
    return out


class Gated(torch.autograd.Function):
    """Keeps its input alone, and writes both halves of the gradient where they belong instead of joining them."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate).mul_(up)  # in place: fresh memory costs a CPU more than the product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        out = torch.empty_like(gate_up)
        for_gate, for_up = out.chunk(2, -1)
        for_up.copy_(F.silu(gate).mul_(grad))  # not `out=for_up`: a compiler refuses that of a view
        for_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return out


def start_weights(module: nn.Module, layers: int) -> None:
    """Normal of deviation 0.02; what is added to the stream of a block is smaller the more blocks there are."""
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            deep = name.endswith(("out.weight", "down.weight"))
            torch.nn.init.normal_(parameter, std=0.02 * (2 * layers) ** -0.5 if deep else 0.02)
