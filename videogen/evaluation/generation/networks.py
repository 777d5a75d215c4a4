"""The networks of an evaluation, from the folders that a user names, and the true clips that they are shown first."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, load_index
from videogen.evaluation.distances.distance import Distance, statistics_of
from videogen.evaluation.distances.extractor import Clips, Extractor
from videogen.evaluation.distances.folders import extractors_of
from videogen.evaluation.generation.evaluator import Evaluator
from videogen.evaluation.generation.features import RandomMotionBank
from videogen.evaluation.generation.pretrained import ClipScore, VideoMAEFeatures
from videogen.evaluation.generation.prompts import reference_scenes, true_clips
from videogen.executors.base import Executor, in_order, only_value, with_errors

REFERENCE_BATCH = 64  # clips of the playroom in memory
BATCHES_OF_TASK = 8  # where a batch is a single clip


@dataclass(frozen=True)
class Networks:
    """The folders of pretrained networks, and the device that they run on."""

    video_features: Path | None = None
    i3d: Path | None = None
    transnet: Path | None = None
    clip: Path | None = None
    device: str = "cpu"

    @property
    def folders(self) -> list[Path]:
        named = (self.video_features, self.i3d, self.transnet, self.clip)
        return [folder for folder in named if folder is not None]

    def extractors(self) -> list[Extractor]:
        folder = self.video_features
        usual = RandomMotionBank() if folder is None else VideoMAEFeatures(folder, self.device)
        return [usual, *extractors_of(self.i3d, self.transnet, self.device)]

    def score(self) -> ClipScore | None:
        return None if self.clip is None else ClipScore(self.clip, self.device)


@dataclass(frozen=True)
class ReferenceClips:
    """The first clips of an indexed set; without one, scenes of the playroom that no prompt asks for."""

    data: Path | None
    clips: int  # at most
    spec: ClipSpec

    @property
    def name(self) -> str:
        return "the playroom" if self.data is None else str(self.data)

    def batches(self) -> list[range]:
        """Clips of a set come one by one."""
        total = self.clips if self.data is None else min(self.clips, len(dataset_of(self.data, self.spec)))
        size = REFERENCE_BATCH if self.data is None else 1
        return [range(start, min(start + size, total)) for start in range(0, total, size)]

    def read(self, numbers: range) -> Clips:
        spec = self.spec
        if self.data is not None:
            return dataset_of(self.data, spec).sample(0, numbers.start).clip[None]
        scenes = reference_scenes(len(numbers), numbers.start)
        return true_clips(scenes, spec.frames, spec.height, spec.width, spec.fps).numpy()


@functools.lru_cache(1)
def dataset_of(data: Path, spec: ClipSpec) -> ClipDataset:
    return ClipDataset(load_index(data), spec, seed=0, max_bad_fraction=1.0)


def make_evaluator(
    fps: float,
    frames: int,
    networks: Networks,
    reference: ReferenceClips | None,
    executor: Executor | None = None,
    device: str = "cpu",
) -> Evaluator:
    """With the statistics of the reference's clips, whose features workers compute, if any, on their `device`."""
    extractors = networks.extractors()
    if reference is None:
        return Evaluator(fps, frames, tuple(map(Distance, extractors)), networks.score())
    features = features_of_batches(networks, extractors, reference, executor, device)
    pairs = zip(extractors, statistics_of(extractors, features), strict=True)
    distances = tuple(Distance(extractor, cloud, reference.name) for extractor, cloud in pairs)
    return Evaluator(fps, frames, distances, networks.score())


def features_of_batches(
    networks: Networks,
    extractors: Sequence[Extractor],
    reference: ReferenceClips,
    executor: Executor | None,
    device: str,
) -> Iterator[list[Tensor]]:
    """Of each batch in order, one tensor an extractor."""
    batches = reference.batches()
    if executor is None or (executor.is_local and executor.workers == 1):
        for numbers in batches:
            yield features_of_batch(extractors, reference, numbers)
        return
    executor.check([*networks.folders, *([reference.data] if reference.data else [])])
    there = replace(networks, device=device)
    size = 1 if reference.data is None else BATCHES_OF_TASK
    tasks = [batches[start : start + size] for start in range(0, len(batches), size)]
    work = functools.partial(with_errors, functools.partial(_features_of_some, there, reference, executor.threads))
    for result in in_order(executor.run_each(work, tasks)):
        yield from only_value(result, "reference clips")


def features_of_batch(extractors: Sequence[Extractor], reference: ReferenceClips, numbers: range) -> list[Tensor]:
    clips = reference.read(numbers)
    return [extractor(clips) for extractor in extractors]


def _features_of_some(
    networks: Networks, reference: ReferenceClips, threads: int, batches: Sequence[range]
) -> list[list[Tensor]]:
    extractors = _extractors(networks, threads)
    return [features_of_batch(extractors, reference, numbers) for numbers in batches]


@functools.lru_cache(1)
def _extractors(networks: Networks, threads: int) -> list[Extractor]:
    torch.set_num_threads(threads)
    return networks.extractors()
