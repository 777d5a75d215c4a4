"""Features for the Frechet distance without a pretrained network: fixed random filters of frames and motion."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from sampling.rng import counter_rng
from videogen.evaluation.distances.extractor import Clips, sample_frames
from videogen.evaluation.generation.prompts import reference_scenes, true_clips

BATCH = 16  # clips


class RandomMotionBank:
    """Means and standard deviations of fixed random filters of frames and their differences, at three scales.

    Features are normalized over a fixed set of playroom clips. The weights come from a hash, so they are the same on
    every machine. The distances are comparable only with each other.
    """

    key, name = "frechet", "random-motion-1"
    frames, size, resolution = 16, 64, (64, 64)
    comparable, published_clips, population = False, 0, False
    layers = ((6, 8, (1, 5, 5), (1, 2, 2)), (8, 12, (3, 3, 3), (1, 2, 2)), (12, 16, (3, 3, 3), (2, 2, 2)))
    calibration = 64  # clips

    def __call__(self, clips_BTHWC: Clips) -> Tensor:
        middle_F, spread_F = self.usual
        features: Tensor = (self.answers(clips_BTHWC) - middle_F) / spread_F
        return features

    @cached_property
    def filters(self) -> list[Tensor]:
        return [random_filters(number, *layer[:3]) for number, layer in enumerate(self.layers)]

    @cached_property
    def usual(self) -> tuple[Tensor, Tensor]:
        clips = true_clips(reference_scenes(self.calibration), self.frames, self.size, self.size, 8.0)
        answers = self.answers(clips.numpy())
        return answers.mean(0), answers.std(0)

    def answers(self, clips_BTHWC: Clips) -> Tensor:
        parts = [clips_BTHWC[first : first + BATCH] for first in range(0, len(clips_BTHWC), BATCH)]
        return torch.cat([self.answers_of_some(part) for part in parts])

    @torch.no_grad()
    def answers_of_some(self, clips_BTHWC: Clips) -> Tensor:
        x: Tensor = sample_frames(clips_BTHWC, self.frames, self.size) * 2 - 1
        x = torch.cat([x, 4 * F.pad(x.diff(dim=2), (0, 0, 0, 0, 1, 0))], 1)
        found = []
        for weight, (_, _, kernel, stride) in zip(self.filters, self.layers, strict=True):
            x = F.relu(F.conv3d(x, weight, stride=stride, padding=[side // 2 for side in kernel]))
            found += [x.mean((2, 3, 4)), x.flatten(2).std(2)]
        return torch.cat(found, 1)


def random_filters(number: int, channels: int, count: int, kernel: tuple[int, int, int]) -> Tensor:
    """float32 [count, channels, *kernel], uniform, scaled as in Kaiming initialization."""
    uniforms = counter_rng([number], 0).uniforms("codes", 0, count, channels * math.prod(kernel))[0]
    weights = (uniforms * 2 - 1) * math.sqrt(6 / (channels * math.prod(kernel)))
    return weights.float().view(count, channels, *kernel)
