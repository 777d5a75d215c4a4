"""Attention of one head, without position encoding: within a frame, and of each position over its last frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenizer.foreign.cosmos.layers import WholeFrameNorm
from tokenizer.networks.blocks import init_residual_branch
from tokenizer.networks.convolution import FrameConv, last_frames
from tokenizer.streaming import State, Streaming, state_tensors


class CosmosFrameAttention(nn.Module):
    """x + attention(norm(x)) over the positions of each frame."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = WholeFrameNorm(dim)
        self.q, self.k, self.v, self.proj_out = (FrameConv(dim, dim, 1) for _ in range(4))
        init_residual_branch(self.proj_out.conv)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        normed = self.norm(x_BTHWC)
        q, k, v = (layer(normed).flatten(2, 3) for layer in (self.q, self.k, self.v))
        attended_BTSC = F.scaled_dot_product_attention(q, k, v)
        return x_BTHWC + self.proj_out(torch.unflatten(attended_BTSC, 2, x_BTHWC.shape[2:4]))  # type: ignore[no-any-return]


class CosmosTimeAttention(Streaming):
    """x + attention(norm(x)) of each position over its last `window` frames, this one included.

    Published without a window: up to `window` frames both are the same. Before a stream there is nothing to see. The
    state has as many frames from the start, so its size is constant: keys and values of the last `window` - 1 frames,
    zeros where there were none, and for each clip how many there were.
    """

    def __init__(self, dim: int, window: int):
        super().__init__()
        self.keep = window - 1
        self.norm = WholeFrameNorm(dim)
        self.q, self.k, self.v, self.proj_out = (FrameConv(dim, dim, 1) for _ in range(4))
        init_residual_branch(self.proj_out.conv)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        normed = self.norm(x_BTHWC)
        pair_BTHWD = torch.cat([self.k(normed), self.v(normed)], dim=-1)
        if state is None:
            count_B = torch.zeros(len(x_BTHWC), dtype=torch.int64, device=x_BTHWC.device)
            past, seen_BSHWD = (torch.zeros_like(pair_BTHWD[:, :1]),) * self.keep, pair_BTHWD
        else:
            *frames, count_B = state_tensors(state, self.keep + 1)
            past, seen_BSHWD = tuple(frames), torch.cat([*frames, pair_BTHWD], dim=1)
        change = self.proj_out(self.attend(self.q(normed), seen_BSHWD, count_B))
        frames_after = (*past, *last_frames(pair_BTHWD, self.keep))[-self.keep :]
        return x_BTHWC + change, (*frames_after, (count_B + x_BTHWC.shape[1]).clamp(max=self.keep))

    def attend(self, query_BTHWC: Tensor, seen_BSHWD: Tensor, count_B: Tensor) -> Tensor:
        """Attention of T frames to the S that end with them, `count_B` of which were there before."""
        (frames, h, w), keys = query_BTHWC.shape[1:4], seen_BSHWD.shape[1]
        q_BPTC = query_BTHWC.flatten(2, 3).transpose(1, 2)
        k_BPSC, v_BPSC = seen_BSHWD.flatten(2, 3).transpose(1, 2).chunk(2, dim=-1)
        own_T1 = torch.arange(keys - frames, keys, device=q_BPTC.device)[:, None]
        key_S = torch.arange(keys, device=q_BPTC.device)
        within_TS = (key_S <= own_T1) & (key_S >= own_T1 - self.keep)
        there_BS = key_S >= keys - frames - count_B[:, None]
        mask_B1TS = (within_TS & there_BS[:, None])[:, None]
        attended_BPTC = F.scaled_dot_product_attention(q_BPTC, k_BPSC, v_BPSC, mask_B1TS)
        return torch.unflatten(attended_BPTC.transpose(1, 2), 2, (h, w))
