"""The prior: a Llama over latent frames. `forward` teaches whole clips; `begin`, `propose` and `commit` stream.

Both ways go through the same blocks and the same rules of visibility: what a masked frame is told in training is what
a proposal is told while streaming, to float rounding.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prior.attention import Kernel, attend, attend_all, blocks_of
from prior.blocks import Block, start_weights
from prior.config import PriorConfig
from prior.context import Context
from prior.digits import Answers, Embedding, Head
from prior.memory import Past, Present, empty_past, spot
from prior.rotary import Turns, context_turns, frame_turns, joined, line_turns
from prior.streaming import steps_for
from prior.text import Text
from prior.visibility import Layout
from prior.vocabulary import Vocabulary


class Lesson(NamedTuple):
    """Clips to learn from. Without `seen`, tokens are taught in raster order; with it, masked frames are.

    The clean copy is what frames remember of each other; it may be corrupted, or come from the model's own rollouts,
    at a rate that the model is told. Targets are always true.
    """

    targets: Tensor  # int64 [B, T, h, w]
    clean: Tensor  # the same, as remembered
    seen: Tensor | None  # the same with masks: what each frame knows of itself
    text: Text | None
    rate_B: Tensor  # float


@dataclass(frozen=True)
class TokenProposal:
    """Features of each token of a frame [B, h, w, C], or of some [B, M, C], and the head that reads them."""

    features: Tensor
    head: Head

    def logits(self, known_digits: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features, known_digits)
        return logits

    def at(self, places_BM: Tensor) -> "TokenProposal":
        return TokenProposal(at_places(self.features.flatten(1, 2), places_BM), self.head)


class LlamaPrior(nn.Module):
    """Keeps no state; a stream's past goes in and comes out."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocabulary, config.width)
        self.context = None if config.context is None else Context(config.context, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)
        self.head = Head(config.vocabulary, config.width)
        start_weights(self, config.layers)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.config.vocabulary

    @property
    def window(self) -> int:
        return self.config.window

    @property
    def blocks(self) -> list[Block]:
        return list(self.layers)  # type: ignore[arg-type]

    # Teaching

    def forward(
        self,
        lesson: Lesson,
        kernel: Kernel = "auto",
        smoothing: float = 0.0,
        recompute: bool = False,
        blocks: Any = None,
    ) -> Answers:
        """What the model makes of every token of the targets [B, T, h, w]; a compiled one is to be given `blocks`."""
        return self.head.answers(self.features(lesson, kernel, recompute, blocks), lesson.targets, smoothing)

    def features(self, lesson: Lesson, kernel: Kernel = "auto", recompute: bool = False, blocks: Any = None) -> Tensor:
        """[B, T, h, w, C]; with `recompute`, activations of a block are made again instead of kept."""
        batch, frames, height, width = lesson.targets.shape
        layout = self.layout_of(lesson)
        x_BSC = self.sequence(lesson, layout)
        turns = self.sequence_turns(layout, (height, width), x_BSC.device)
        for step, block in zip([taught] * (len(self.layers) - 1) + [answered], self.blocks, strict=True):
            if recompute:
                x_BSC = checkpoint(step, block, x_BSC, turns, layout, kernel, blocks, use_reentrant=False)
            else:
                x_BSC = step(block, x_BSC, turns, layout, kernel, blocks)
        features: Tensor = self.norm(x_BSC).view(batch, frames, height, width, -1)
        return features

    def blocks_for(self, lesson: Lesson, kernel: Kernel) -> Any:
        """What `forward` is to be given where it is compiled; see `blocks_of`."""
        return blocks_of(self.layout_of(lesson), kernel, lesson.targets.device, self.config.channels_a_head)

    def layout_of(self, lesson: Lesson) -> Layout:
        _, frames, height, width = lesson.targets.shape
        return self.layout(frames, height * width, lesson.seen is not None)

    def layout(self, frames: int, tokens: int, masked: bool) -> Layout:
        config = self.config
        order, copies = ("together", 2) if masked else ("raster", 1)
        return Layout(config.context_length, frames, tokens, config.window, config.sink_frames, copies, order)  # type: ignore[arg-type]

    def sequence(self, lesson: Lesson, layout: Layout) -> Tensor:
        """[B, S, C]: the context, the clean copy, and the masked one where there is one."""
        parts = [] if self.context is None else [self.told(lesson.text, lesson.rate_B, len(lesson.targets))]
        clean_BS = lesson.clean[:, : layout.history].flatten(1)
        if lesson.seen is None:
            parts.append(self.embedding(shifted(clean_BS, torch.full_like(clean_BS[:, 0], -1))))
        else:
            parts += [self.embedding(clean_BS), self.embedding(lesson.seen.flatten(1))]
        return torch.cat(parts, 1)

    def sequence_turns(self, layout: Layout, grid: tuple[int, int], device: torch.device) -> Turns:
        clean = self.turns(0, layout.history, grid, device)
        masked = [self.turns(0, layout.frames, grid, device)] if layout.copies == 2 else []
        parts = [] if self.context is None else [context_turns(layout.context, self.config.channels_a_head, device)]
        return joined(*parts, clean, *masked)

    def turns(self, start: int, frames: int, grid: tuple[int, int], device: torch.device) -> Turns:
        return turns_of(self.config, start, frames, grid, device)

    def told(self, text: Text | None, rate_B: Tensor, batch: int) -> Tensor:
        """The context as vectors; without a text, that of clips whose captions are not given."""
        assert self.context is not None
        return self.context(text if text is not None else self.no_text(batch), rate_B)  # type: ignore[no-any-return]

    def no_text(self, batch: int) -> Text:
        config, device = self.config.context, self.norm.weight.device
        assert config is not None
        mask = torch.zeros(batch, config.length, dtype=torch.bool, device=device)
        if config.features is None:
            return Text(torch.zeros_like(mask, dtype=torch.int64), mask)
        return Text(torch.zeros(batch, config.length, config.features, device=device), mask)

    # Streaming

    @torch.no_grad()
    def begin(self, text: Text | None, batch: int, grid: tuple[int, int], rate: float = 0.0) -> Past:
        config, weight = self.config, self.norm.weight
        if self.context is None:
            return empty_past(config, batch, grid, weight)
        x_BLC = self.told(text, torch.full((batch,), rate, device=weight.device), batch)
        past = empty_past(config, batch, grid, weight)
        turns = context_turns(config.context_length, config.channels_a_head, weight.device)
        steps = steps_for(x_BLC, turns, config)
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = steps.project(block, x_BLC)
            keys[:, :, : config.context_length] = k.transpose(1, 2)
            values[:, :, : config.context_length] = v.transpose(1, 2)
            x_BLC = steps.finish(block, x_BLC, attend_all(q, k.transpose(1, 2), v.transpose(1, 2)))
        return past

    @torch.no_grad()
    def propose(self, ids_Bhw: Tensor, past: Past, places_BM: Tensor | None = None) -> tuple[TokenProposal, Present]:
        ids_BN = self.checked(ids_Bhw, past)
        raster = self.config.objective == "next"
        x_BNC = self.embedding(shifted(ids_BN, past.last_B) if raster else ids_BN)
        mask = self.raster_mask(past, ids_BN.shape[1], x_BNC.device) if raster else None
        features, keys, values = self.stream(x_BNC, past, int(past.frames), mask, None if raster else places_BM)
        present = Present(keys, values, ids_BN[:, -1].clone())
        if places_BM is None:
            return self.proposal(features, past), present
        return self.proposal(features, past).at(places_BM) if raster else TokenProposal(features, self.head), present

    @torch.no_grad()
    def commit(self, past: Past, present: Present) -> Past:
        place = spot(self.config, int(past.frames), present.keys[0].shape[2])
        for buffers, parts in ((past.keys, present.keys), (past.values, present.values)):
            for buffer, part in zip(buffers, parts, strict=True):
                buffer[:, :, place.start : place.end] = part
        return past._replace(frames=past.frames + 1, last_B=present.last_B)

    @torch.no_grad()
    def advance(self, ids_Bhw: Tensor, past: Past) -> tuple[Past, TokenProposal]:
        if self.config.objective == "next":
            past = self.commit(past, self.propose(ids_Bhw, past)[1])
            return past, self.propose(torch.full_like(ids_Bhw, self.vocabulary.mask), past)[0]
        ids_BN, frame = self.checked(ids_Bhw, past), int(past.frames)
        both = torch.cat([ids_BN, torch.full_like(ids_BN, self.vocabulary.mask)], 1)
        features, _, _ = self.stream(self.embedding(both), past, frame, None)
        past = past._replace(frames=past.frames + 1, last_B=ids_BN[:, -1].clone())
        return past, self.proposal(features, past)

    @torch.no_grad()
    def next_token(self, ids_Bn: Tensor, past: Past) -> TokenProposal:
        """The guess at token n of a frame, by a prior that was taught in raster order."""
        height, width = past.grid.tolist()
        frame, number = int(past.frames), ids_Bn.shape[1]
        before_B = ids_Bn[:, -1] if number else past.last_B
        turns = kept_turns(self.config, frame, 1, (height, width), ids_Bn.device)
        place = spot(self.config, frame, height * width)
        at = place.start + number
        mask = torch.ones(1, place.visible, dtype=torch.bool, device=ids_Bn.device)
        mask[:, at + 1 : place.end] = False
        x_B1C = self.embedding(before_B.unsqueeze(1))
        steps = steps_for(x_B1C, turns, self.config, slice(number, number + 1))
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = steps.project(block, x_B1C)
            keys[:, :, at], values[:, :, at] = k[:, 0], v[:, 0]
            looked = attend_all(q, keys[:, :, : place.visible], values[:, :, : place.visible], mask)
            x_B1C = steps.finish(block, x_B1C, looked)
        return TokenProposal(self.norm(x_B1C).unsqueeze(1), self.head)

    def stream(
        self, x_BSC: Tensor, past: Past, frame: int, mask: Tensor | None, places_BM: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Frames after each other through all blocks: features of the last frame, or of these places of it, and the
        keys and values [B, K, S, D] of all.

        Keys are written where the past has room for the frame being decided. Of two frames, the first has done its
        looking before the keys of the second take the place of the oldest that only the first may see. The last block
        looks for nobody but those who are asked about: of the others only its keys count.
        """
        height, width = past.grid.tolist()
        tokens = height * width
        turns = kept_turns(self.config, frame, x_BSC.shape[1] // tokens, (height, width), x_BSC.device)
        steps = steps_for(x_BSC, turns, self.config)
        frames = range(x_BSC.shape[1] // tokens)
        spots = [spot(self.config, frame + number, tokens) for number in frames]
        rows = [slice(number * tokens, (number + 1) * tokens) for number in frames]
        all_keys, all_values, last = [], [], self.blocks[-1]
        for block, keys, values in zip(self.blocks, past.keys, past.values, strict=True):
            q, k, v = steps.project(block, x_BSC)
            k, v = k.transpose(1, 2), v.transpose(1, 2)
            looked = []
            for number, place, own in zip(frames, spots, rows, strict=True):
                keys[:, :, place.start : place.end] = k[:, :, own]
                values[:, :, place.start : place.end] = v[:, :, own]
                if block is last and number < frames[-1]:
                    continue
                part = q[:, own]
                if block is last and places_BM is not None:
                    part = at_places(part, places_BM)
                looked.append(attend_all(part, keys[:, :, : place.visible], values[:, :, : place.visible], mask))
            if block is last:
                x_BSC = x_BSC[:, rows[-1]] if places_BM is None else at_places(x_BSC[:, rows[-1]], places_BM)
            x_BSC = steps.finish(block, x_BSC, looked[0] if len(looked) == 1 else torch.cat(looked, 1))
            all_keys.append(k)
            all_values.append(v)
        return self.norm(x_BSC), tuple(all_keys), tuple(all_values)

    def proposal(self, features_BNC: Tensor, past: Past) -> TokenProposal:
        return TokenProposal(torch.unflatten(features_BNC, 1, tuple(past.grid.tolist())), self.head)

    def raster_mask(self, past: Past, tokens: int, device: torch.device) -> Tensor:
        """bool [N, M]: all of the past, and of this frame no token after the one that asks."""
        place = spot(self.config, int(past.frames), tokens)
        mask = torch.ones(tokens, place.visible, dtype=torch.bool, device=device)
        mask[:, place.start : place.end].tril_()
        return mask

    def checked(self, ids_Bhw: Tensor, past: Past) -> Tensor:
        wanted = (len(past.last_B), *past.grid.tolist())
        if tuple(ids_Bhw.shape) != wanted:
            raise ValueError(f"ids of shape {tuple(ids_Bhw.shape)}; this past holds streams of {wanted}")
        return ids_Bhw.flatten(1)


def turns_of(config: PriorConfig, start: int, frames: int, grid: tuple[int, int], device: torch.device) -> Turns:
    if config.positions == "line":
        tokens = grid[0] * grid[1]
        return line_turns(start * tokens, frames * tokens, config.channels_a_head, config.theta, device)
    times = torch.arange(start, start + frames, device=device)
    return frame_turns(times, grid, config.channels_a_head, config.theta, times < config.sink_frames)


@functools.lru_cache(maxsize=64)
def kept_turns(config: PriorConfig, start: int, frames: int, grid: tuple[int, int], device: torch.device) -> Turns:
    """The same for all proposals of a frame, of a few streams at once."""
    with torch.inference_mode(False):
        return turns_of(config, start, frames, grid, device)


def at_places(values_BN: Tensor, places_BM: Tensor) -> Tensor:
    """[B, N, ...] to [B, M, ...]."""
    index = places_BM.view(*places_BM.shape, *[1] * (values_BN.ndim - 2)).expand(-1, -1, *values_BN.shape[2:])
    return values_BN.gather(1, index)


def taught(block: Block, x_BSC: Tensor, turns: Turns, layout: Layout, kernel: Kernel, blocks: Any = None) -> Tensor:
    return block.finish(x_BSC, attend(*block.project(x_BSC, turns), layout, kernel, blocks))


def answered(block: Block, x_BSC: Tensor, turns: Turns, layout: Layout, kernel: Kernel, blocks: Any = None) -> Tensor:
    """The same for the frames that are asked about: after the last block nobody looks at the others again."""
    asked = slice(-layout.frames * layout.tokens, None)
    attended_BSHD = attend(*block.project(x_BSC, turns), layout, kernel, blocks)
    return block.finish(x_BSC[:, asked], attended_BSHD[:, asked])


def shifted(ids_BS: Tensor, first_B: Tensor) -> Tensor:
    """Each position is told the token before it in raster order."""
    return torch.cat([first_B.unsqueeze(1), ids_BS[:, :-1]], 1)
