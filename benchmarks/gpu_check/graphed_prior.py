"""A prior whose proposals are recorded once as a CUDA graph and then replayed: one launch instead of hundreds.

It wraps the network from outside. A graph reads and writes fixed memory, so everything that changes from call to call
(embeddings, rows of the ring, rotary positions) is copied into buffers before a replay; the past is that of the
stream, whose memory does not move. Recording needs a full window, because every pass then sees the whole buffer. Before
that, and for autoregressive priors, calls go to the wrapped prior.

On a CPU the same function runs without a graph, so that tests can compare it to the prior. Only the check of proposals
uses this class; `VideoPipeline` does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interfaces.prior import clone_tensors
from prior.attention import attend_all
from prior.heads.base import TokenProposal
from prior.memory import Past, Present, cache_slot
from prior.model import LlamaPrior, cached_rotary
from prior.network import one_frame
from prior.rotary import RotaryCache
from prior.wrappers import PriorWrapper

WARM_UP = 3  # runs before a recording: in the first ones libraries choose kernels and allocate memory
MAX_STREAMS = 4  # with two recordings each


@dataclass
class GraphRecording:
    """A pass over one latent frame of a stream, or over two consecutive ones; `run` fills the outputs."""

    past: Past  # held, so that its memory is not reused
    x_BSC: Tensor
    rows_FN: Tensor  # where in the buffers the keys of each latent frame go
    rotary: RotaryCache
    features_BSC: Tensor
    kept_LKBHSD: Tensor  # keys and values of each layer
    run: Callable[[], None]
    frame: int = -1  # that rows and rotary positions are set for


class GraphedPrior(PriorWrapper):
    """Gives the proposals of the wrapped prior; for masked priors."""

    prior: LlamaPrior

    def __init__(self, prior: LlamaPrior):
        super().__init__(prior)
        self.recordings: dict[tuple[int, int], GraphRecording] = {}

    @torch.no_grad()
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Past,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Present]:
        if not self.is_recordable(past):
            return self.prior.propose(codes_BNK, known_BN, past, control, positions_BM)
        self.prior.check(codes_BNK, past)
        features, kept = self.replay(self.embed(codes_BNK, known_BN, past, control), past, frames=1)
        keys, values = (part.unbind(0) for part in kept.unbind(1))
        proposal = TokenProposal(features, self.prior.head)
        present = Present(keys, values, codes_BNK[:, -1].clone())
        return (proposal if positions_BM is None else proposal.at(positions_BM)), present

    @torch.no_grad()
    def advance(
        self, codes_BNK: Tensor, past: Past, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[Past, TokenProposal]:
        if not self.is_recordable(past):
            return self.prior.advance(codes_BNK, past, control, next_control)
        self.prior.check(codes_BNK, past)
        known_BN = torch.ones(codes_BNK.shape[:2], dtype=torch.bool, device=codes_BNK.device)
        pairs = ((known_BN, control), (~known_BN, next_control))
        x_BSC = torch.cat([self.embed(codes_BNK, known, past, each) for known, each in pairs], 1)
        features, _ = self.replay(x_BSC, past, frames=2)
        past = past._replace(frames=past.frames + 1, last=codes_BNK[:, -1].clone())
        return past, TokenProposal(features[:, codes_BNK.shape[1] :], self.prior.head)

    def embed(self, codes_BNK: Tensor, known_BN: Tensor, past: Past, control: Tensor | None) -> Tensor:
        x_B1NC = self.prior.embedding.tokens(codes_BNK, known_BN).unsqueeze(1)
        return self.prior.embed_frames(x_B1NC, past.spec, one_frame(control))

    def is_recordable(self, past: Past) -> bool:
        """Whether the window is full, so that the next latent frame sees the whole buffer."""
        return bool(self.config.objective == "masked" and int(past.frames) >= self.config.window)

    def replay(self, x_BSC: Tensor, past: Past, frames: int) -> tuple[Tensor, Tensor]:
        """Copies of the features, keys and values: the next replay overwrites the buffers."""
        number = past.keys[0].data_ptr(), frames
        if number not in self.recordings:
            while len(self.recordings) >= 2 * MAX_STREAMS:
                self.recordings.pop(next(iter(self.recordings)))
            self.recordings[number] = self.record(x_BSC, past, frames)
        recording = self.recordings[number]
        self.set_frame(recording, int(past.frames), frames)
        recording.x_BSC.copy_(x_BSC)
        recording.run()
        return recording.features_BSC.clone(), recording.kept_LKBHSD.clone()

    def set_frame(self, recording: GraphRecording, frame: int, frames: int) -> None:
        if recording.frame == frame:
            return
        spec, device = recording.past.spec, recording.x_BSC.device
        for number in range(frames):
            slot = cache_slot(self.config, frame + number, spec.tokens)
            recording.rows_FN[number].copy_(torch.arange(slot.start, slot.end, device=device))
        now = cached_rotary(self.config, frame, frames, spec.groups, device)
        for buffer, part in zip(recording.rotary, now, strict=True):
            buffer.copy_(part)
        recording.frame = frame

    def record(self, x_BSC: Tensor, past: Past, frames: int) -> GraphRecording:
        device, config, kind = x_BSC.device, self.config, past.keys[0]
        batch, length = x_BSC.shape[:2]
        recording = GraphRecording(
            past,
            x_BSC.clone(),
            torch.zeros(frames, length // frames, dtype=torch.int64, device=device),
            RotaryCache(*(torch.zeros(length, config.head_dim // 2, device=device) for _ in range(2))),
            kind.new_zeros(batch, length, config.width),
            kind.new_zeros(config.layers, 2, batch, config.kv_heads, length, config.head_dim),
            lambda: None,
        )
        self.set_frame(recording, int(past.frames), frames)

        def work() -> None:
            features, kept = run_recording(self.prior, recording)
            recording.features_BSC.copy_(features)
            recording.kept_LKBHSD.copy_(kept)

        before = clone_tensors(past)
        recording.run = capture(work, device)
        for buffer, old in zip((*past.keys, *past.values), (*before.keys, *before.values), strict=True):
            buffer.copy_(old)  # a second run would find the keys of the first in place of the oldest
        return recording


def run_recording(prior: LlamaPrior, recording: GraphRecording) -> tuple[Tensor, Tensor]:
    """`LlamaPrior.stream` with a full window, with rows and positions as tensors."""
    past, x_BSC, kept = recording.past, recording.x_BSC, []
    tokens = recording.rows_FN.shape[1]
    for block, keys, values in zip(prior.blocks, past.keys, past.values, strict=True):
        q, k, v = block.project(x_BSC, recording.rotary)
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        attended = []
        for number, part in enumerate(torch.split(q, tokens, dim=1)):
            rows = slice(number * tokens, (number + 1) * tokens)
            keys.index_copy_(2, recording.rows_FN[number], k[:, :, rows].to(keys.dtype))
            values.index_copy_(2, recording.rows_FN[number], v[:, :, rows].to(values.dtype))
            attended.append(attend_all(part, keys, values))
        x_BSC = block.finish(x_BSC, torch.cat(attended, 1))
        kept.append(torch.stack([k, v]))
    return prior.norm(x_BSC), torch.stack(kept)


def capture(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Records the kernels of `work`, which must read and write only fixed memory; on a CPU returns `work` itself."""
    if device.type != "cuda":
        work()
        return work
    side_stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side_stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream(device).wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
