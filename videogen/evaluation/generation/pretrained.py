"""Pretrained networks for published measures, VideoMAE and CLIP, read from local folders by `transformers`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from videogen.conditioning.loading import load_tokenizer, without_progress_bars
from videogen.errors import CheckpointError
from videogen.evaluation.distances.extractor import Clips, sample_frames

Color = tuple[float, float, float]
IMAGENET: tuple[Color, Color] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP: tuple[Color, Color] = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_FRAMES = 4  # of a clip, for the CLIP score


class VideoMAEFeatures:
    """The mean of the last hidden states, as in content-debiased FVD (Ge et al., 2024)."""

    key = "frechet"
    comparable, published_clips, population = True, 0, False

    def __init__(self, folder: Path, device: str = "cpu"):
        self.network: Any = load_frozen("VideoMAEModel", folder, device)
        self.frames: int = self.network.config.num_frames
        self.size: int = self.network.config.image_size
        self.resolution = self.size, self.size
        self.name, self.device = f"VideoMAE {folder.name}", device

    @torch.no_grad()
    def __call__(self, clips_BTHWC: Clips) -> Tensor:
        return torch.cat([self.of_one(clip) for clip in clips_BTHWC])

    def of_one(self, clip_THWC: Clips) -> Tensor:
        pixels = normalize_colors(sample_frames(clip_THWC[None], self.frames, self.size), IMAGENET).transpose(1, 2)
        features: Tensor = self.network(pixel_values=pixels.to(self.device)).last_hidden_state
        return features.mean(1).float().cpu()


class ClipScore:
    """100 times the cosine similarity of prompt and frames, averaged over frames of each clip (Hessel et al., 2021)."""

    def __init__(self, folder: Path, device: str = "cpu"):
        self.network: Any = load_frozen("CLIPModel", folder, device)
        self.tokenizer, self.device = load_tokenizer(folder), device
        self.size: int = self.network.config.vision_config.image_size
        self.longest: int = self.network.config.text_config.max_position_embeddings
        self.name = f"CLIP {folder.name}, {CLIP_FRAMES} frames of {self.size} x {self.size}"

    @torch.no_grad()
    def __call__(self, clips_BTHWC: Clips, captions: Sequence[str]) -> list[float]:
        return [self.of_one(clip, caption) for clip, caption in zip(clips_BTHWC, captions, strict=True)]

    def of_one(self, clip_THWC: Clips, caption: str) -> float:
        chosen = np.unique(np.linspace(0, len(clip_THWC) - 1, CLIP_FRAMES).round().astype(int))
        pixels = normalize_colors(sample_frames(clip_THWC[chosen][None], len(chosen), self.size), CLIP)[0].transpose(
            0, 1
        )
        text = self.tokenizer([caption], truncation=True, max_length=self.longest, return_tensors="pt")
        inputs = {name: text[name].to(self.device) for name in ("input_ids", "attention_mask")}
        output = self.network(pixel_values=pixels.to(self.device), **inputs)
        return 100 * float(F.cosine_similarity(output.image_embeds, output.text_embeds).mean())


def normalize_colors(x_BCTHW: Tensor, tone: tuple[Color, Color]) -> Tensor:
    """Normalizes colors in [0, 1] by mean and standard deviation."""
    mean, deviation = (torch.tensor(part)[:, None, None, None] for part in tone)
    return (x_BCTHW - mean) / deviation


def load_frozen(kind: str, folder: Path, device: str) -> Any:
    """A frozen `transformers` network, without downloads, pickles or code from the folder."""
    import transformers
    from safetensors import SafetensorError
    from transformers.utils import logging as reports

    before = reports.get_verbosity()
    reports.set_verbosity(logging.CRITICAL)
    try:
        with without_progress_bars(), torch.random.fork_rng(devices=[]):
            network, report = getattr(transformers, kind).from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, LookupError, TypeError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: transformers cannot load a {kind} from it ({' '.join(str(error).split())[:200]})"
        ) from None
    finally:
        reports.set_verbosity(before)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(f"{folder}: {len(missing)} tensors of a {kind} are missing, such as {missing[0]}")
    return network.eval().requires_grad_(False).to(device)
