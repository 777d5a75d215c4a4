"""The newest features stay in memory, up to its limit."""

from pathlib import Path

import torch

from videogen.conditioning.cache import FeatureCache


def features(number: int) -> torch.Tensor:
    return torch.full((2, 4), float(number))  # 32 bytes


def test_the_oldest_leave_first() -> None:
    cache = FeatureCache(None, 4, memory=96)
    for number in range(3):
        cache.put(f"{number}", features(number))
    assert cache.get("0") is not None  # the newest now
    cache.put("3", features(3))
    held = [number for number in range(4) if cache.get(f"{number}") is not None]
    assert held == [0, 2, 3]


def test_what_left_the_memory_is_in_the_folder(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 4, memory=0)
    for number in range(5):
        cache.put(f"{number}", features(number))
    for number in range(5):
        found = cache.get(f"{number}")
        assert found is not None
        assert torch.equal(found, features(number))


def test_features_of_another_width_are_not_these(tmp_path: Path) -> None:
    FeatureCache(tmp_path, 4).put("a", features(1))
    assert FeatureCache(tmp_path, 5).get("a") is None
    assert FeatureCache(tmp_path, 4).get("a") is not None


def test_nothing_is_left_beside_the_files(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 4)
    for number in range(5):
        cache.put(f"{number}", features(number))
    assert sorted(place.name for place in tmp_path.rglob("*") if place.is_file()) == [
        f"{number}.safetensors" for number in range(5)
    ]
