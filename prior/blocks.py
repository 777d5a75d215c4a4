"""A block of Llama: RMSNorm, grouped-query attention with rotary positions, RMSNorm, SwiGLU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prior.config import BlockShape
from prior.linear import Linear
from prior.rotary import RotaryCache, apply_rotary


class Block(nn.Module):
    """The caller computes attention between `project` and `finish`."""

    called_by = ("project", "finish")  # instead of forward; FSDP has to know

    def __init__(self, config: BlockShape):
        super().__init__()
        self.heads, self.kv_heads, channels = config.heads, config.kv_heads, config.head_dim
        self.before_attention = nn.RMSNorm(config.width, config.epsilon)
        self.qkv = Linear(config.width, (config.heads + 2 * config.kv_heads) * channels, bias=False)
        self.q_norm: nn.Module = HeadNorm(channels, config.epsilon) if config.qk_norm else nn.Identity()
        self.k_norm: nn.Module = HeadNorm(channels, config.epsilon) if config.qk_norm else nn.Identity()
        self.out = Linear(config.heads * channels, config.width, bias=False)
        self.before_mlp = nn.RMSNorm(config.width, config.epsilon)
        self.gate_up = Linear(config.width, 2 * config.hidden, bias=False)
        self.down = Linear(config.hidden, config.width, bias=False)
        self.qkv.fuse_norm(self.before_attention)
        self.gate_up.fuse_norm(self.before_mlp)

    def project(self, x_BSC: Tensor, rotary: RotaryCache) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, S, H, D], keys and values [B, S, K, D], with rotary positions."""
        q, k, v = self.split(x_BSC)
        return apply_rotary(q, rotary), apply_rotary(k, rotary), v

    def split(self, x_BSC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same without positions."""
        shape = self.heads, self.kv_heads, self.kv_heads
        q, k, v = self.qkv(self.before_attention(x_BSC)).unflatten(-1, (sum(shape), -1)).split(shape, dim=2)
        return self.q_norm(q), self.k_norm(k), v

    def finish(self, x_BSC: Tensor, attended_BSHD: Tensor) -> Tensor:
        x_BSC = x_BSC + self.out(attended_BSHD.flatten(2))
        mlp: Tensor = self.down(swiglu(self.gate_up(self.before_mlp(x_BSC))))
        return x_BSC + mlp


class HeadNorm(nn.RMSNorm):
    """RMSNorm whose output has the dtype of its input, under autocast too: attention needs q, k and v of one dtype.

    On a GPU autocast would return float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps).to(x.dtype)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up, where gate and up are the halves of [..., 2 F]."""
    out: Tensor = SwiGLU.apply(gate_up)  # type: ignore[no-untyped-call]
    return out


class SwiGLU(torch.autograd.Function):
    """Saves only its input for backward, and writes both halves of the gradient in place instead of concatenating."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate).mul_(up)  # in place: on a CPU allocation costs more than the product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        out = torch.empty_like(gate_up)
        for_gate, for_up = out.chunk(2, -1)
        for_up.copy_(F.silu(gate).mul_(grad))  # not `out=for_up`: torch.compile rejects views there
        for_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return out


def init_weights(module: nn.Module, layers: int) -> None:
    """Normal with deviation 0.02; outputs to the residual stream are scaled down with the number of blocks."""
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            residual = name.endswith(("out.weight", "down.weight"))
            torch.nn.init.normal_(parameter, std=0.02 * (2 * layers) ** -0.5 if residual else 0.02)
