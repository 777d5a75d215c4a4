"""A set of clips is a map-style dataset for torch's loaders, samplers and subsets."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from tests.data.conftest import pictures
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, Index, build_index
from videogen.io import write_video

SPEC = ClipSpec(frames=4, height=16, width=24, fps=8)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("set")
    for number in range(5):
        write_video(folder / f"clip_{number:03}.mp4", pictures(number, 12), 8)
        (folder / f"clip_{number:03}.txt").write_text(f"caption {number}")
    return build_index(folder, workers=1)


@pytest.fixture
def dataset(index: Index) -> ClipDataset:
    return ClipDataset(index, SPEC, seed=3)


def test_items_are_the_samples_of_the_epoch(dataset: ClipDataset) -> None:
    for epoch in (0, 2):
        dataset.set_epoch(epoch)
        samples = {sample.key: sample for sample in (dataset.sample(epoch, index) for index in range(5))}
        items = list(dataset)  # type: ignore[call-overload]
        assert [item["key"] for item in items] == [f"clip_{number:03}.mp4" for number in range(5)]
        for item in items:
            assert item["video"].shape == (4, 3, 16, 24)
            assert item["video"].dtype == torch.uint8
            sample = samples[item["key"]]
            assert item["caption"] == sample.caption
            assert np.array_equal(item["video"].permute(0, 2, 3, 1).numpy(), sample.clip)


def test_numbers_are_those_of_a_sequence(dataset: ClipDataset) -> None:
    assert dataset[-1]["key"] == dataset[np.int64(4)]["key"] == "clip_004.mp4"  # type: ignore[index]
    for number in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            dataset[number]
    with pytest.raises(ValueError, match="at least 0"):
        dataset.set_epoch(-1)


def test_a_set_can_be_sent_to_another_process(dataset: ClipDataset) -> None:
    dataset.set_epoch(1)
    copy = pickle.loads(pickle.dumps(dataset))
    assert all(torch.equal(copy[number]["video"], dataset[number]["video"]) for number in range(5))


def test_a_loader_with_workers_gives_the_same(dataset: ClipDataset) -> None:
    loader = DataLoader(dataset, batch_size=2, num_workers=2)  # type: ignore[arg-type,var-annotated]
    batches = list(loader)
    assert [batch["video"].shape for batch in batches] == [(2, 3 + 1, 3, 16, 24)] * 2 + [(1, 4, 3, 16, 24)]
    assert [key for batch in batches for key in batch["key"]] == [item["key"] for item in dataset]  # type: ignore[attr-defined]
    videos = torch.cat([batch["video"] for batch in batches])
    assert all(torch.equal(video, dataset[number]["video"]) for number, video in enumerate(videos))


def test_subsets_and_shuffling_work(dataset: ClipDataset) -> None:
    subset = Subset(dataset, [3, 1])  # type: ignore[arg-type,var-annotated]
    assert [item["key"] for item in subset] == ["clip_003.mp4", "clip_001.mp4"]
    shuffled = DataLoader(dataset, batch_size=None, shuffle=True, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type,var-annotated]
    assert sorted(item["key"] for item in shuffled) == [f"clip_{number:03}.mp4" for number in range(5)]
