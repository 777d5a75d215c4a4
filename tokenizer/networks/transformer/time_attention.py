"""Causal attention of each position over its last frames, and the gated MLP."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.blocks import PositionNorm, init_residual_branch
from tokenizer.networks.convolution import FrameConv, last_frames
from tokenizer.networks.transformer.rotary import rotary_table, rotate
from tokenizer.streaming import State, Streaming, state_tensors


class TimeAttention(Streaming):
    """x + attention(norm(x)) of each position over its last `window` frames, this one included.

    The past of a new stream is its first frame, repeated, as in `TimeConv`; so is a window that is not causal centered
    as its kernel is. The state is the keys and values of the last `window` - 1 frames, not yet rotated: places in time
    count from the oldest frame in sight, so they stay small however long a stream runs.
    """

    table: Tensor
    band: Tensor

    def __init__(self, dim: int, heads: int, window: int, causal: bool = True):
        super().__init__()
        self.heads, self.window = heads, window
        self.later = 0 if causal else window // 2
        self.keep = window - 1 - self.later
        self.norm = PositionNorm(dim)
        self.query = FrameConv(dim, dim, 1)
        self.key_value = FrameConv(dim, 2 * dim, 1)
        self.out = FrameConv(dim, dim, 1)
        init_residual_branch(self.out.conv)
        keys, queries = torch.arange(2 * window - 1), torch.arange(window)[:, None]
        self.register_buffer("table", rotary_table(keys[:, None], dim // heads), persistent=False)
        self.register_buffer("band", (keys >= queries) & (keys < queries + window), persistent=False)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        assert state is None or not self.later, "a window that is not causal cannot go on from a state"
        normed = self.norm(x_BTHWC)
        query_BTHWC, pair_BTHWD = self.query(normed), self.key_value(normed)
        past = (pair_BTHWD[:, :1],) * self.keep if state is None else state_tensors(state, self.keep)
        seen_BSHWD = torch.cat([*past, pair_BTHWD, *(pair_BTHWD[:, -1:],) * self.later], dim=1)
        change = self.out(self.attend(query_BTHWC, seen_BSHWD))
        return x_BTHWC + change, (*past, *last_frames(pair_BTHWD, self.keep))[-self.keep :]

    def attend(self, query_BTHWC: Tensor, seen_BSHWD: Tensor) -> Tensor:
        """Attention of T frames to S = T + `window` - 1, in blocks of at most `window` frames: linear in T.

        Measured on a CPU, forward and backward: blocks with a mask are two to five times as fast as one window for each
        frame, which needs no mask but has a single query.
        """
        blocks = []
        for start in range(0, query_BTHWC.shape[1], self.window):
            end = start + self.window
            blocks.append(self.attend_block(query_BTHWC[:, start:end], seen_BSHWD[:, start : end + self.window - 1]))
        return torch.cat(blocks, dim=1)

    def attend_block(self, query_BTHWC: Tensor, seen_BSHWD: Tensor) -> Tensor:
        (b, frames, h, w), keys = query_BTHWC.shape[:4], seen_BSHWD.shape[1]
        q = rearrange(query_BTHWC, "b t h w (heads d) -> (b h w) heads t d", heads=self.heads)
        k, v = rearrange(seen_BSHWD, "b s h w (two heads d) -> two (b h w) heads s d", two=2, heads=self.heads)
        q, k = rotate(q, self.table[:, self.keep : self.keep + frames]), rotate(k, self.table[:, :keys])
        mask = None if frames == 1 else self.band[:frames, :keys]
        attended = F.scaled_dot_product_attention(q, k, v, mask)
        return rearrange(attended, "(b h w) heads t d -> b t h w (heads d)", b=b, h=h, w=w)


class GatedMLP(nn.Module):
    """x + down(silu(gate) * up) of each position alone, with gate and up from norm(x)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.norm = PositionNorm(dim)
        self.gate_up = FrameConv(dim, 2 * hidden, 1)
        self.down = FrameConv(hidden, dim, 1)
        init_residual_branch(self.down.conv)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        gate, up = self.gate_up(self.norm(x_BTHWC)).chunk(2, -1)
        return x_BTHWC + self.down(F.silu(gate) * up)  # type: ignore[no-any-return]
