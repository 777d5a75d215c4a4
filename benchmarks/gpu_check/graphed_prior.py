"""A prior whose proposals are recorded once as a CUDA graph and then replayed: one launch instead of hundreds.

Applied from outside, as a stand-in: the network knows nothing of it. A graph reads and writes fixed memory, so what
changes from call to call (ids, places in the ring, rotary positions) lies in buffers that are filled before a replay,
and the past is the stream's own, in which nothing moves. It holds from where the window is full, for then every pass
sees the whole buffer; before that, and for priors in raster order, the prior answers itself.

On a CPU the same function runs without a graph, which is how tests hold it to be what the prior does. Only the check of
proposals uses this: `VideoPipeline` does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prior.attention import attend_all
from prior.memory import Past, Present, copied, spot
from prior.model import LlamaPrior, TokenProposal, cached_rotary
from prior.wrappers import StandIn

WARM_UP = 3  # runs before a recording: libraries choose kernels and take memory in the first ones
MAX_STREAMS = 4  # streams, each with two recordings, whose pasts stay in memory


@dataclass
class GraphRecording:
    """A pass over one frame of a stream, or two after each other; `run` reads the inputs and fills the outputs."""

    past: Past  # held, so that its memory is given to nobody else
    ids_BS: Tensor
    rows_FN: Tensor  # where in the buffers the keys of each frame go
    turns: Turns
    features_BSC: Tensor
    kept_LKBHSD: Tensor  # keys and values of each layer
    run: Callable[[], None]
    frame: int = -1  # that rows and turns are set for


class GraphedPrior(StandIn):
    """Answers as the prior behind it does; tokens are decided in parallel, by masks."""

    def __init__(self, prior: LlamaPrior):
        super().__init__(prior)
        self.recordings: dict[tuple[int, int], GraphRecording] = {}

    @torch.no_grad()
    def propose(self, ids_Bhw: Tensor, past: Past, places_BM: Tensor | None = None) -> tuple[TokenProposal, Present]:
        if not self.holds(past):
            return self.prior.propose(ids_Bhw, past, places_BM)
        ids_BN = self.prior.checked(ids_Bhw, past)
        features, kept = self.replayed(ids_BN, past, frames=1)
        keys, values = (part.unbind(0) for part in kept.unbind(1))
        proposal = self.prior.proposal(features, past)
        present = Present(keys, values, ids_BN[:, -1].clone())
        return (proposal if places_BM is None else proposal.at(places_BM)), present

    @torch.no_grad()
    def advance(self, ids_Bhw: Tensor, past: Past) -> tuple[Past, TokenProposal]:
        if not self.holds(past):
            return self.prior.advance(ids_Bhw, past)
        ids_BN = self.prior.checked(ids_Bhw, past)
        both = torch.cat([ids_BN, torch.full_like(ids_BN, self.vocabulary.mask)], 1)
        features, _ = self.replayed(both, past, frames=2)
        past = past._replace(frames=past.frames + 1, last_B=ids_BN[:, -1].clone())
        return past, self.prior.proposal(features[:, ids_BN.shape[1] :], past)

    def holds(self, past: Past) -> bool:
        """Whether the window is full, so that the frame to be decided sees all of the buffer."""
        full = self.config.sink_frames + self.config.window + 1
        return self.config.objective == "masked" and int(past.frames) + 1 >= full

    def replayed(self, ids_BS: Tensor, past: Past, frames: int) -> tuple[Tensor, Tensor]:
        """Features, and keys and values: copies, for the next replay writes over them."""
        number = past.keys[0].data_ptr(), frames
        if number not in self.recordings:
            while len(self.recordings) >= 2 * MAX_STREAMS:
                self.recordings.pop(next(iter(self.recordings)))
            self.recordings[number] = self.recorded(ids_BS, past, frames)
        recording = self.recordings[number]
        self.set_frame(recording, int(past.frames), frames)
        recording.ids_BS.copy_(ids_BS)
        recording.run()
        return recording.features_BSC.clone(), recording.kept_LKBHSD.clone()

    def set_frame(self, recording: GraphRecording, frame: int, frames: int) -> None:
        if recording.frame == frame:
            return
        height, width = recording.past.grid.tolist()
        tokens, device = height * width, recording.ids_BS.device
        for number in range(frames):
            place = spot(self.config, frame + number, tokens)
            recording.rows_FN[number].copy_(torch.arange(place.start, place.end, device=device))
        for buffer, now in zip(
            recording.turns, cached_rotary(self.config, frame, frames, (height, width), device), strict=True
        ):
            buffer.copy_(now)
        recording.frame = frame

    def recorded(self, ids_BS: Tensor, past: Past, frames: int) -> GraphRecording:
        device, config = ids_BS.device, self.config
        (batch, length), kind = ids_BS.shape, past.keys[0]
        recording = GraphRecording(
            past,
            ids_BS.clone(),
            torch.zeros(frames, length // frames, dtype=torch.int64, device=device),
            Turns(*(torch.zeros(length, config.head_dim // 2, device=device) for _ in range(2))),
            kind.new_zeros(batch, length, config.width),
            kind.new_zeros(config.layers, 2, batch, config.kv_heads, length, config.head_dim),
            lambda: None,
        )
        self.set_frame(recording, int(past.frames), frames)

        def work() -> None:
            features, kept = run_recording(self.prior, recording)
            recording.features_BSC.copy_(features)
            recording.kept_LKBHSD.copy_(kept)

        before = copied(past)
        recording.run = capture(work, device)
        for buffer, was in zip((*past.keys, *past.values), (*before.keys, *before.values), strict=True):
            buffer.copy_(was)  # a second run of the same frames would find the keys of the first where older ones were
        return recording


def run_recording(prior: LlamaPrior, recording: GraphRecording) -> tuple[Tensor, Tensor]:
    """`LlamaPrior.stream` with a full window, places and positions being tensors."""
    past, x_BSC, kept = recording.past, prior.embedding(recording.ids_BS), []
    tokens = recording.rows_FN.shape[1]
    for block, keys, values in zip(prior.blocks, past.keys, past.values, strict=True):
        q, k, v = block.project(x_BSC, recording.turns)
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        looked = []
        for number, part in enumerate(torch.split(q, tokens, dim=1)):
            rows = slice(number * tokens, (number + 1) * tokens)
            keys.index_copy_(2, recording.rows_FN[number], k[:, :, rows].to(keys.dtype))
            values.index_copy_(2, recording.rows_FN[number], v[:, :, rows].to(values.dtype))
            looked.append(attend_all(part, keys, values))
        x_BSC = block.finish(x_BSC, torch.cat(looked, 1))
        kept.append(torch.stack([k, v]))
    return prior.norm(x_BSC), torch.stack(kept)


def capture(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The kernels that `work` launches, recorded; it must read and write fixed memory only. On a CPU, work itself."""
    if device.type != "cuda":
        work()
        return work
    aside: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
