"""Counts and times of a generation, measured while it runs."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videogen.generate import LatentOutput
    from videogen.models import PriorModel


@dataclass
class GenerationStats:
    """Sums over the latent frames so far; frames and steps are those of all videos together."""

    frames: int = 0
    latent_frames: int = 0  # of each video
    videos: int = 1
    proposals: int = 0
    first_frame: float | None = None  # seconds until the first frame: text, context and its latent frame
    prior: float = 0.0  # seconds of the prior and the sampler
    decoder: float = 0.0

    def add(self, output: "LatentOutput") -> None:
        self.videos = output.frames.shape[0]
        self.frames += self.videos * output.frames.shape[1]
        self.latent_frames += 1
        self.proposals += int(output.steps_B.sum())
        self.prior += output.seconds.prior
        self.decoder += output.seconds.decoder

    @property
    def frames_per_second(self) -> float:
        seconds = self.prior + self.decoder
        return self.frames / seconds if seconds else 0.0

    @property
    def steps(self) -> float:
        """The mean number of steps of a latent frame."""
        return self.proposals / (self.latent_frames * self.videos) if self.latent_frames else 0.0

    def report(self) -> dict[str, Any]:
        latent_frames = max(1, self.latent_frames)
        return {
            "frames": self.frames,
            "latent_frames": self.latent_frames,
            "seconds_to_first_frame": None if self.first_frame is None else round(self.first_frame, 4),
            "frames_per_second": round(self.frames_per_second, 3),
            "prior_ms_per_latent_frame": round(1000 * self.prior / latent_frames, 3),
            "decoder_ms_per_latent_frame": round(1000 * self.decoder / latent_frames, 3),
            "proposals_per_latent_frame": round(self.steps, 3),
        }


def peak_memory_mib(model: "PriorModel") -> float:
    """The peak memory of the model's GPU, or of this process."""
    import torch

    device = model.device
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_process_mib()


def peak_process_mib() -> float:
    """The most memory that this process has had at once."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
