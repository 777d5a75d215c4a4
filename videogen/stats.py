"""What a generation has cost, measured while it runs."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videogen.generate import Made
    from videogen.models import PriorModel


@dataclass
class Figures:
    """Sums over the latent frames made so far; pictures and proposals are those of all videos together."""

    pictures: int = 0
    latent_frames: int = 0  # of each video
    videos: int = 1
    proposals: int = 0
    first_picture: float | None = None  # seconds until it was there: text, and what is known, and its latent frame
    prior: float = 0.0  # seconds of the prior and the sampler
    decoder: float = 0.0

    def count(self, made: "Made") -> None:
        self.videos = made.pictures.shape[0]
        self.pictures += self.videos * made.pictures.shape[1]
        self.latent_frames += 1
        self.proposals += int(made.steps_B.sum())
        self.prior += made.seconds.prior
        self.decoder += made.seconds.decoder

    @property
    def pictures_per_second(self) -> float:
        making = self.prior + self.decoder
        return self.pictures / making if making else 0.0

    @property
    def steps(self) -> float:
        """Proposals a latent frame, in the mean."""
        return self.proposals / (self.latent_frames * self.videos) if self.latent_frames else 0.0

    def report(self) -> dict[str, Any]:
        frames = max(1, self.latent_frames)
        return {
            "pictures_made": self.pictures,
            "latent_frames": self.latent_frames,
            "seconds_to_first_picture": None if self.first_picture is None else round(self.first_picture, 4),
            "pictures_per_second": round(self.pictures_per_second, 3),
            "prior_ms_per_latent_frame": round(1000 * self.prior / frames, 3),
            "decoder_ms_per_latent_frame": round(1000 * self.decoder / frames, 3),
            "proposals_per_latent_frame": round(self.steps, 3),
        }


def peak_memory_mib(model: "PriorModel") -> float:
    """Of the GPU that the model is on, or of this process so far."""
    import torch

    from videogen.generate import device_of

    device = device_of(model)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
