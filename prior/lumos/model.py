"""Lumos-1 behind the interface of every prior.

begin    runs the prompt: causal, as in a language model
propose  runs a latent frame, unknown tokens as masks, on the prompt and the frames before it; within it all is seen
commit   runs it once more, with the same part of its picture masked as in every frame, and keeps those keys and values

So it was published: a later frame sees only a part of an earlier one, as in training. Guidance is that of every prior:
its second streams have no text, and the same frames.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.attention import Kernel, attend_all
from prior.heads.base import TokenProposal, at_positions
from prior.heads.flat import FlatHead
from prior.lumos.blocks import Lumos1Block
from prior.lumos.config import Lumos1Config
from prior.lumos.memory import Lumos1Past, Lumos1Present, empty_past_of, frame_slot
from prior.lumos.rotary import cached_rotary
from prior.lumos.sequence import START_LENGTH, FrameLayout, Prompt, frame_ids, frame_layout, history_ids, prompt_of
from prior.network import PriorNetwork
from prior.rotary import RotaryCache, apply_rotary


class Lumos1(PriorNetwork):
    """A stream's state is a `Lumos1Past`. The noise rate of the history is no input of it."""

    def __init__(self, config: Lumos1Config):
        super().__init__()
        self.config: Lumos1Config = config
        self.tokens = nn.Embedding(config.vocabulary + math.prod(config.spec.codebooks), config.width)
        self.context = None
        self.layers = nn.ModuleList(Lumos1Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)
        self.head = FlatHead(config.head, config.spec, config.width)

    @property
    def blocks(self) -> list[Lumos1Block]:
        return list(self.layers)  # type: ignore[arg-type]

    def check_begin(self, spec: TokenSpec) -> None:
        super().check_begin(spec)
        replace(self.config, spec=spec)

    def layout_of(self, spec: TokenSpec) -> FrameLayout:
        return frame_layout(spec.groups[0].shape, self.config.history_mask, self.device)

    def ids_of(self, codes_NK: Tensor) -> Tensor:
        """Codes [..., N, K] to ids [..., N]."""
        head: FlatHead = self.head
        return self.config.vocabulary + head.joined(codes_NK)

    # Whole clips

    def features(self, batch: Any, kernel: Kernel = "auto", recompute: bool = False, blocks: Any = None) -> Tensor:
        """[B, T, N, C], as a stream computes them, frame by frame within each block; for evaluation."""
        layout, (count, frames) = self.layout_of(batch.spec), batch.targets.shape[:2]
        prompt = self.prompt(batch.text, count)
        history_BTF = history_ids(layout, self.ids_of(batch.clean[:, : frames - 1]))
        own_BTF = frame_ids(layout, self.ids_of(batch.targets), batch.known)
        x_BSC = self.tokens(torch.cat([prompt.ids_BP, history_BTF.flatten(1), own_BTF.flatten(1)], 1))
        for block in self.blocks:
            x_BSC = block.finish(x_BSC, self.attend_clip(block, x_BSC, prompt, batch.spec, frames))
        own_BTFC: Tensor = self.norm(x_BSC[:, -own_BTF[0].numel() :]).unflatten(1, (frames, -1))
        return own_BTFC[:, :, layout.places_N]

    def attend_clip(self, block: Lumos1Block, x_BSC: Tensor, prompt: Prompt, spec: TokenSpec, frames: int) -> Tensor:
        """[B, S, H, D], for the prompt, all frames but the last as later ones see them, and all frames."""
        length = len(self.layout_of(spec).ids_F)
        sizes = [prompt.ids_BP.shape[1], *[length] * (2 * frames - 1)]
        q, k, v = (torch.split(each, sizes, 1) for each in block.split(x_BSC))
        attended = [self.attend_prompt(q[0], k[0], v[0], prompt.given_BP)]
        for t, own in [*enumerate(range(1, frames)), *enumerate(range(frames, 2 * frames))]:
            seen = [0, *range(1 + max(0, t - self.config.window), 1 + t), own]
            rotary = self.rotary(tuple(range(len(seen) - 1)), spec)
            own_rotary = RotaryCache(*(part[-length:] for part in rotary))
            keys, values = (torch.cat([part[number] for number in seen], 1).transpose(1, 2) for part in (k, v))
            mask = visible_mask(prompt.given_BP, keys.shape[2])
            attended.append(attend_all(apply_rotary(q[own], own_rotary), rotated(keys, rotary), values, mask))
        return torch.cat(attended, 1)

    def prompt(self, text: Text | None, batch: int) -> Prompt:
        text = self.no_text(batch) if text is None else text
        expected = (batch, self.config.context_length - START_LENGTH)
        if text.content.shape != expected or text.content.is_floating_point():
            raise ValueError(f"text is {text.content.dtype} {list(text.content.shape)}; expected ids {list(expected)}")
        return prompt_of(text, self.config.seconds, self.config.fps)

    def attend_prompt(self, q_BPHD: Tensor, k_BPKD: Tensor, v_BPKD: Tensor, given_BP: Tensor) -> Tensor:
        """Causal; padding attends to itself, because a softmax over nothing is NaN, and nothing attends to it."""
        rotary, length = self.rotary((), self.spec), q_BPHD.shape[1]
        causal_PP = torch.ones(length, length, dtype=torch.bool, device=q_BPHD.device).tril()
        itself_PP = torch.eye(length, dtype=torch.bool, device=q_BPHD.device)
        mask_B1PP = causal_PP & visible_mask(given_BP, length) | itself_PP
        keys = rotated(k_BPKD.transpose(1, 2), rotary)
        return attend_all(apply_rotary(q_BPHD, rotary), keys, v_BPKD.transpose(1, 2), mask_B1PP)

    def rotary(self, places: tuple[int, ...], spec: TokenSpec) -> RotaryCache:
        return cached_rotary(self.config, places, spec.groups[0].shape, self.device)

    # Streaming

    @torch.no_grad()
    def begin(
        self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0
    ) -> Lumos1Past:
        spec = self.spec if spec is None else spec
        self.check_begin(spec)
        prompt = self.prompt(text, batch)
        past = empty_past_of(self.config, batch, spec, self.norm.weight)
        past.given_BP.copy_(prompt.given_BP)
        x_BPC, length = self.tokens(prompt.ids_BP), prompt.ids_BP.shape[1]
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = block.split(x_BPC)
            keys[:, :, :length], values[:, :, :length] = k.transpose(1, 2), v.transpose(1, 2)
            x_BPC = block.finish(x_BPC, self.attend_prompt(q, k, v, prompt.given_BP))
        return past

    @torch.no_grad()
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Lumos1Past,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Lumos1Present]:
        self.check(codes_BNK, past)
        if control is not None:
            raise ValueError("Lumos-1 takes no control")
        layout = self.layout_of(past.spec)
        ids_BF = frame_ids(layout, self.ids_of(codes_BNK), known_BN)
        places_BM = layout.places_N.expand(len(ids_BF), -1) if positions_BM is None else layout.places_N[positions_BM]
        return TokenProposal(self.run_frame(ids_BF, past, places_BM), self.head), Lumos1Present(codes_BNK.clone())

    @torch.no_grad()
    def commit(self, past: Lumos1Past, present: Lumos1Present) -> Lumos1Past:
        layout = self.layout_of(past.spec)
        ids_BF = history_ids(layout, self.ids_of(present.codes_BNK))
        self.run_frame(ids_BF, past, layout.places_N[:1].expand(len(ids_BF), -1))
        return past._replace(frames=past.frames + 1)

    @torch.no_grad()
    def advance(
        self, codes_BNK: Tensor, past: Lumos1Past, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[Lumos1Past, TokenProposal]:
        self.check(codes_BNK, past)
        past = self.commit(past, Lumos1Present(codes_BNK))
        nothing_BN = torch.zeros(codes_BNK.shape[:2], dtype=torch.bool, device=codes_BNK.device)
        return past, self.propose(codes_BNK, nothing_BN, past, next_control)[0]

    def next_token(self, codes_BnK: Tensor, past: Lumos1Past, control: Tensor | None = None) -> TokenProposal:
        raise ValueError("Lumos-1 proposes whole latent frames, not token by token")

    def run_frame(self, ids_BF: Tensor, past: Lumos1Past, places_BM: Tensor) -> Tensor:
        """Runs the next latent frame through all blocks; returns the features [B, M, C] at these places of it.

        Its keys and values are written to its slot, which nothing but the frame itself attends to before `commit`.
        """
        shape = past.spec.groups[0].shape
        slot = frame_slot(self.config, int(past.frames), ids_BF.shape[1])
        rotary = cached_rotary(self.config, slot.places, shape, ids_BF.device)
        own = RotaryCache(*(part[slot.start : slot.end] for part in rotary))
        mask, last, x_BFC = visible_mask(past.given_BP, slot.visible), self.blocks[-1], self.tokens(ids_BF)
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = block.split(x_BFC)
            keys[:, :, slot.start : slot.end], values[:, :, slot.start : slot.end] = (
                k.transpose(1, 2),
                v.transpose(1, 2),
            )
            q = apply_rotary(q, own)
            if block is last:
                q, x_BFC = at_positions(q, places_BM), at_positions(x_BFC, places_BM)
            seen = rotated(keys[:, :, : slot.visible], rotary)
            x_BFC = block.finish(x_BFC, attend_all(q, seen, values[:, :, : slot.visible], mask))
        features: Tensor = self.norm(x_BFC)
        return features

    def streams(self, past: Lumos1Past) -> int:
        return len(past.given_BP)

    def visible(self, past: Lumos1Past) -> list[Tensor]:
        """All but the slot of the frame being sampled."""
        slot = frame_slot(self.config, int(past.frames), len(self.layout_of(past.spec).ids_F))
        buffers = [*past.keys, *past.values]
        others = [torch.cat([each[:, :, : slot.start], each[:, :, slot.end : slot.visible]], 2) for each in buffers]
        return [*others, past.given_BP.double()]

    def memory(self, past: Lumos1Past) -> list[Tensor]:
        return [*past.keys, *past.values, past.given_BP]


def rotated(keys_BKMD: Tensor, rotary: RotaryCache) -> Tensor:
    return apply_rotary(keys_BKMD.transpose(1, 2), rotary).transpose(1, 2)


def visible_mask(given_BP: Tensor, keys: int) -> Tensor:
    """bool [B, 1, 1, M]: all keys but the padding of the prompt, which comes first."""
    after = given_BP.new_ones(len(given_BP), keys - given_BP.shape[1])
    return torch.cat([given_BP, after], 1)[:, None, None]
