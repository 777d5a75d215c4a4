"""The prior: a Llama over latent frames. `forward` trains on whole clips; `begin`, `propose` and `commit` stream.

Both use the same blocks and the same attention pattern: a proposal computes what training computes for the same masked
frame, to float rounding.
"""

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interfaces.prior import Text
from interfaces.tokens import TokenGroup, TokenSpec
from prior.attention import Kernel, attend, attend_all, block_mask_of
from prior.blocks import Block, init_weights
from prior.captions import CaptionHead, caption_rotary_of, caption_targets
from prior.config import PriorConfig
from prior.context import ContextEmbedding
from prior.embedding import Embedding
from prior.heads import make_head
from prior.heads.base import TokenLosses, TokenProposal, at_positions
from prior.memory import Past, Present, cache_slot, empty_past
from prior.network import PriorNetwork, one_frame, shifted
from prior.rotary import RotaryCache, concat_rotary, context_rotary, frame_rotary
from prior.streaming import arithmetic_for
from prior.visibility import Layout


class PriorBatch(NamedTuple):
    """Clips to train on. With `known`, masked frames are predicted; without it, tokens in decode order.

    Frames attend to the clean copy of earlier frames, which may be corrupted or come from the model's own rollouts;
    `noise_B` is the share of wrong tokens, an input of the model. The targets are always the true codes.
    """

    targets: Tensor  # codes [B, T, N, K]
    clean: Tensor  # codes [B, T, N, K] of the history
    known: Tensor | None  # bool [B, T, N]: the targets that are visible in their own frame
    text: Text | None
    noise_B: Tensor  # float: the noise rate of the history
    spec: TokenSpec
    control: Tensor | None = None  # int64 [B, T], or float [B, T, floats]
    mask_noise: Tensor | None = None  # [B, T, N, R]: random numbers of masked tokens, for a prior that takes some
    caption: Text | None = None  # captions to learn to write after the clips, for a prior with captions


class LlamaPrior(PriorNetwork):
    """A stream's state is a `Past`, its KV cache."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config: PriorConfig = config
        self.embedding = Embedding(config, config.width, config.mask_noise)
        self.context = None if config.context is None else ContextEmbedding(config.context, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)
        self.head = make_head(config.head, config.spec, config.width)
        self.captions = CaptionHead(config) if config.captions else None
        init_weights(self, config.layers)

    @property
    def blocks(self) -> list[Block]:
        return list(self.layers)  # type: ignore[arg-type]

    # Training

    def forward(
        self,
        batch: PriorBatch,
        kernel: Kernel = "auto",
        smoothing: float = 0.0,
        recompute: bool = False,
        blocks: Any = None,
    ) -> TokenLosses:
        """The losses of every token of the targets [B, T, N], and of the captions; a compiled model needs `blocks`."""
        if batch.caption is None:
            return super().forward(batch, kernel, smoothing, recompute, blocks)
        captions, context = self.caption_parts()
        features, caption_BLC = self.all_features(batch, kernel, recompute, blocks)
        losses: TokenLosses = self.head.losses(features, batch.targets, smoothing)
        ids_BL = caption_targets(batch.caption).ids
        return losses._replace(caption=captions.losses(context, caption_BLC, ids_BL, smoothing))

    def features(
        self, batch: PriorBatch, kernel: Kernel = "auto", recompute: bool = False, blocks: Any = None
    ) -> Tensor:
        """[B, T, N, C]; `recompute` turns on activation checkpointing."""
        return self.all_features(batch, kernel, recompute, blocks)[0]

    def all_features(
        self, batch: PriorBatch, kernel: Kernel = "auto", recompute: bool = False, blocks: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Those of the frames [B, T, N, C] and of the captions [B, L, C]; L = 0 without captions."""
        layout = self.layout_of(batch)
        x_BSC = self.sequence(batch, layout)
        rotary = self.sequence_rotary(layout, batch.spec.groups, x_BSC.device)
        for run, block in zip([run_block] * (len(self.layers) - 1) + [run_last_block], self.blocks, strict=True):
            if recompute:
                x_BSC = checkpoint(run, block, x_BSC, rotary, layout, kernel, blocks, use_reentrant=False)
            else:
                x_BSC = run(block, x_BSC, rotary, layout, kernel, blocks)
        x_BSC, frames = self.norm(x_BSC), layout.frames * layout.tokens
        caption_BLC = x_BSC[:, frames:]
        return (x_BSC[:, :frames] if layout.caption else x_BSC).view(*batch.targets.shape[:3], -1), caption_BLC

    def block_mask_for(self, batch: PriorBatch, kernel: Kernel) -> Any:
        """The argument `blocks` of a compiled `forward`; see `block_mask_of`."""
        return block_mask_of(self.layout_of(batch), kernel, batch.targets.device, self.config.head_dim)

    def layout_of(self, batch: PriorBatch) -> Layout:
        caption = 0 if batch.caption is None else batch.caption.mask.shape[1]
        return self.layout(batch.targets.shape[1], batch.targets.shape[2], batch.known is not None, caption)

    def layout(self, frames: int, tokens: int, masked: bool, caption: int = 0) -> Layout:
        config = self.config
        order, copies = ("together", 2) if masked else ("raster", 1)
        return Layout(config.context_length, frames, tokens, config.window, copies, order, caption)  # type: ignore[arg-type]

    def sequence(self, batch: PriorBatch, layout: Layout) -> Tensor:
        """[B, S, C]: the context, the clean copy, the masked copy if the objective is masked, and the captions."""
        parts = []
        if self.context is not None:
            parts.append(self.embed_context(batch.text, batch.noise_B, len(batch.targets)))
        history = slice(layout.history)
        everywhere = torch.ones((), dtype=torch.bool, device=batch.clean.device)
        clean_BTNC = self.embedding.tokens(batch.clean[:, history], everywhere)
        control = None if batch.control is None else batch.control[:, history]
        # Distributed training needs all weights to take part in the loss of either objective.
        clean_BTNC = torch.where(everywhere, clean_BTNC, self.embedding.start)
        if batch.known is None:
            first_BC = self.embedding.start.expand(len(clean_BTNC), -1)
            clean_BTNC = shifted(clean_BTNC.flatten(1, 2), first_BC).view_as(clean_BTNC)
        parts.append(self.embed_frames(clean_BTNC, batch.spec, control))
        if batch.known is not None:
            masked_BTNC = self.embedding.tokens(batch.targets, batch.known, batch.mask_noise)
            parts.append(self.embed_frames(masked_BTNC, batch.spec, batch.control))
        if batch.caption is not None:
            last_BK = batch.clean[:, -1, -1]
            parts.append(self.embed_captions(caption_targets(batch.caption).ids, last_BK))
        return torch.cat(parts, 1)

    def embed_captions(self, ids_BL: Tensor, last_BK: Tensor) -> Tensor:
        """The inputs of captions [B, L, C] after videos whose last tokens in decode order are `last_BK`."""
        captions, context = self.caption_parts()
        return captions.inputs(context, ids_BL, self.before_caption(last_BK))

    def caption_parts(self) -> tuple[CaptionHead, ContextEmbedding]:
        if self.captions is None:
            raise ValueError("this prior writes no captions")
        assert isinstance(self.context, ContextEmbedding)
        return self.captions, self.context

    def before_caption(self, last_BK: Tensor) -> Tensor | None:
        """The last token of the video [B, C], which no clean frame has as an input if tokens come in decode order."""
        return self.embedding.tokens(last_BK) if self.autoregressive else None

    def embed_frames(self, x_BTNC: Tensor, spec: TokenSpec, control_BT: Tensor | None) -> Tensor:
        return self.embedding.of_frames(x_BTNC, tuple(group.tokens for group in spec.groups), control_BT)

    def sequence_rotary(self, layout: Layout, groups: tuple[TokenGroup, ...], device: torch.device) -> RotaryCache:
        parts = [rotary_of(self.config, 0, layout.history, groups, device)]
        if layout.copies == 2:
            parts.append(rotary_of(self.config, 0, layout.frames, groups, device))
        if layout.caption:
            parts.append(caption_rotary_of(self.config, layout.frames, layout.caption, device))
        if self.context is not None:
            parts.insert(0, context_rotary(layout.context, self.config.head_dim, device))
        return concat_rotary(parts)

    # Streaming

    @torch.no_grad()
    def begin(self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0) -> Past:
        config, weight, spec = self.config, self.norm.weight, self.spec if spec is None else spec
        self.check_begin(spec)
        past = empty_past(config, batch, spec, weight)
        if self.context is None:
            return past
        x_BLC = self.embed_context(text, torch.full((batch,), history_noise, device=weight.device), batch)
        rotary = context_rotary(config.context_length, config.head_dim, weight.device)
        steps = arithmetic_for(x_BLC, rotary, config)
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = steps.project(block, x_BLC)
            keys[:, :, : config.context_length] = k.transpose(1, 2)
            values[:, :, : config.context_length] = v.transpose(1, 2)
            x_BLC = steps.finish(block, x_BLC, attend_all(q, k.transpose(1, 2), v.transpose(1, 2)))
        return past

    def with_mask_noise(self, past: Past, noise_BNR: Tensor) -> Past:
        return past._replace(mask_noise=noise_BNR)

    @torch.no_grad()
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Past,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Present]:
        self.check(codes_BNK, past)
        if self.autoregressive:
            x_BNC = shifted(self.embedding.tokens(codes_BNK, known_BN), self.before(past))
            mask = self.raster_mask(past, x_BNC.shape[1], x_BNC.device)
        else:
            x_BNC, mask = self.embedding.tokens(codes_BNK, known_BN, past.mask_noise), None
        x_BNC = self.embed_frames(x_BNC.unsqueeze(1), past.spec, one_frame(control))
        early = None if self.autoregressive else positions_BM
        features, keys, values = self.stream(x_BNC, past, int(past.frames), mask, early)
        proposal, present = TokenProposal(features, self.head), Present(keys, values, codes_BNK[:, -1].clone())
        return proposal if positions_BM is None or early is not None else proposal.at(positions_BM), present

    @torch.no_grad()
    def commit(self, past: Past, present: Present) -> Past:
        slot = cache_slot(self.config, int(past.frames), present.keys[0].shape[2])
        for buffers, parts in ((past.keys, present.keys), (past.values, present.values)):
            for buffer, part in zip(buffers, parts, strict=True):
                buffer[:, :, slot.start : slot.end] = part
        return past._replace(frames=past.frames + 1, last=present.last)

    @torch.no_grad()
    def advance(
        self, codes_BNK: Tensor, past: Past, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[Past, TokenProposal]:
        self.check(codes_BNK, past)
        known_BN = torch.ones(codes_BNK.shape[:2], dtype=torch.bool, device=codes_BNK.device)
        if self.autoregressive:
            past = self.commit(past, self.propose(codes_BNK, known_BN, past, control)[1])
            return past, self.propose(codes_BNK, ~known_BN, past, next_control)[0]
        decided_B1NC = self.embedding.tokens(codes_BNK).unsqueeze(1)
        masked_BNC = self.embedding.masked_tokens(past.mask_noise).expand_as(decided_B1NC[:, 0])
        masked_B1NC = masked_BNC.unsqueeze(1)
        pairs = ((decided_B1NC, control), (masked_B1NC, next_control))
        x_BSC = torch.cat([self.embed_frames(x, past.spec, one_frame(each)) for x, each in pairs], 1)
        features, _, _ = self.stream(x_BSC, past, int(past.frames), None)
        past = past._replace(frames=past.frames + 1, last=codes_BNK[:, -1].clone())
        return past, TokenProposal(features, self.head)

    @torch.no_grad()
    def next_token(self, codes_BnK: Tensor, past: Past, control: Tensor | None = None) -> TokenProposal:
        """The proposal for token n of a latent frame, from a prior that was trained in decode order."""
        frame, number = int(past.frames), codes_BnK.shape[1]
        tokens = past.spec.tokens
        before_BC = self.embedding.tokens(codes_BnK[:, -1]) if number else self.before(past)
        x_BNC = before_BC.unsqueeze(1).expand(-1, tokens, -1).unsqueeze(1)
        x_B1C = self.embed_frames(x_BNC, past.spec, one_frame(control))[:, number : number + 1]
        rotary = cached_rotary(self.config, frame, 1, past.spec.groups, x_B1C.device)
        slot = cache_slot(self.config, frame, tokens)
        at = slot.start + number
        mask = torch.ones(1, slot.visible, dtype=torch.bool, device=x_B1C.device)
        mask[:, at + 1 : slot.end] = False
        steps = arithmetic_for(x_B1C, rotary, self.config, slice(number, number + 1))
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = steps.project(block, x_B1C)
            keys[:, :, at], values[:, :, at] = k[:, 0], v[:, 0]
            attended = attend_all(q, keys[:, :, : slot.visible], values[:, :, : slot.visible], mask)
            x_B1C = steps.finish(block, x_B1C, attended)
        return TokenProposal(self.norm(x_B1C), self.head)

    def before(self, past: Past) -> Tensor:
        """The vector of the token before a latent frame [B, C]."""
        if int(past.frames) == 0:
            return self.embedding.start.expand(len(past.last), -1)
        return self.embedding.tokens(past.last)

    def stream(
        self, x_BSC: Tensor, past: Past, frame: int, mask: Tensor | None, positions_BM: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Runs consecutive latent frames through all blocks. Returns the features of the last frame, or of these
        positions of it, and the keys and values [B, K, S, D] of all frames.

        Keys are written to the slot of the frame being sampled. Of two frames, the first attends before the keys of the
        second overwrite the oldest ones, which only the first attends to. The last block computes attention only for
        the positions that are returned; of the other tokens it needs only keys and values.
        """
        tokens = past.spec.tokens
        frames = range(x_BSC.shape[1] // tokens)
        rotary = cached_rotary(self.config, frame, len(frames), past.spec.groups, x_BSC.device)
        steps = arithmetic_for(x_BSC, rotary, self.config)
        slots = [cache_slot(self.config, frame + number, tokens) for number in frames]
        rows = [slice(number * tokens, (number + 1) * tokens) for number in frames]
        all_keys, all_values, last = [], [], self.blocks[-1]
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = steps.project(block, x_BSC)
            k, v = k.transpose(1, 2), v.transpose(1, 2)
            attended = []
            for number, slot, own in zip(frames, slots, rows, strict=True):
                keys[:, :, slot.start : slot.end] = k[:, :, own]
                values[:, :, slot.start : slot.end] = v[:, :, own]
                if block is last and number < frames[-1]:
                    continue
                part = q[:, own]
                if block is last and positions_BM is not None:
                    part = at_positions(part, positions_BM)
                attended.append(attend_all(part, keys[:, :, : slot.visible], values[:, :, : slot.visible], mask))
            if block is last:
                x_BSC = x_BSC[:, rows[-1]] if positions_BM is None else at_positions(x_BSC[:, rows[-1]], positions_BM)
            x_BSC = steps.finish(block, x_BSC, attended[0] if len(attended) == 1 else torch.cat(attended, 1))
            all_keys.append(k)
            all_values.append(v)
        return self.norm(x_BSC), tuple(all_keys), tuple(all_values)

    def raster_mask(self, past: Past, tokens: int, device: torch.device) -> Tensor:
        """bool [N, M]: the whole past, and of this latent frame the tokens up to the query."""
        slot = cache_slot(self.config, int(past.frames), tokens)
        mask = torch.ones(tokens, slot.visible, dtype=torch.bool, device=device)
        mask[:, slot.start : slot.end].tril_()
        return mask

    def streams(self, past: Past) -> int:
        return len(past.last)

    def visible(self, past: Past) -> list[Tensor]:
        """All but the slot of the frame being sampled."""
        slot = cache_slot(self.config, int(past.frames), past.spec.tokens)
        frames = [
            torch.cat([each[:, :, : slot.start], each[:, :, slot.end : slot.visible]], 2) for each in buffers(past)
        ]
        return [*frames, past.last.double()]

    def memory(self, past: Past) -> list[Tensor]:
        return buffers(past)


def as_llama(network: PriorNetwork) -> LlamaPrior:
    """For what works with the blocks of a Llama; TypeError for a prior of another kind."""
    if not isinstance(network, LlamaPrior):
        raise TypeError(f"this needs a Llama; the prior is a {type(network).__name__}")
    return network


def buffers(past: Past) -> list[Tensor]:
    return [*past.keys, *past.values]


def rotary_of(
    config: PriorConfig, start: int, frames: int, groups: tuple[TokenGroup, ...], device: torch.device
) -> RotaryCache:
    times = torch.arange(start, start + frames, device=device)
    return frame_rotary(times, groups, config.head_dim, config.theta)


@functools.lru_cache(maxsize=64)
def cached_rotary(
    config: PriorConfig, start: int, frames: int, groups: tuple[TokenGroup, ...], device: torch.device
) -> RotaryCache:
    """Cached: all proposals of a latent frame need the same one."""
    with torch.inference_mode(False):
        return rotary_of(config, start, frames, groups, device)


def run_block(
    block: Block, x_BSC: Tensor, rotary: RotaryCache, layout: Layout, kernel: Kernel, blocks: Any = None
) -> Tensor:
    return block.finish(x_BSC, attend(*block.project(x_BSC, rotary), layout, kernel, blocks))


def run_last_block(
    block: Block, x_BSC: Tensor, rotary: RotaryCache, layout: Layout, kernel: Kernel, blocks: Any = None
) -> Tensor:
    """Computes only the frames and captions that have a loss: nothing attends to others after the last block."""
    with_loss = slice(-layout.frames * layout.tokens - layout.caption, None)
    attended_BSHD = attend(*block.project(x_BSC, rotary), layout, kernel, blocks)
    return block.finish(x_BSC[:, with_loss], attended_BSHD[:, with_loss])
