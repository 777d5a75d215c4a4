import numpy as np
import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import small_config, small_model
from videogen.generation import reconstruct
from videogen.generation.reconstruct import round_trip
from videogen.io.pixels import to_clip, to_frames


def video(frames: int) -> list[np.ndarray]:
    return list(np.random.default_rng(frames).integers(0, 256, (frames, 16, 24, 3), np.uint8))


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 17, 30])
@pytest.mark.parametrize("chunk_frames", [1, 3, 16])
def test_chunks_equal_the_whole_video(frames: int, chunk_frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruct, "CHUNK_FRAMES", chunk_frames)
    network, source = small_model(small_config(f_t=4, f_s=8)), video(frames)
    chunks = list(round_trip(network, iter(source)))
    originals, reconstructed = (torch.cat([getattr(p, name) for p in chunks]) for name in ("originals", "frames"))
    assert torch.equal(originals, torch.from_numpy(np.stack(source)))
    codes = encode_clip(network, to_clip(np.stack(source)[None]))
    assert torch.equal(torch.cat([p.codes_TNK for p in chunks])[None], codes)
    assert torch.equal(reconstructed, to_frames(network.decode(codes, network.spec(16, 24))[0])[0][:frames])


def test_frames_come_out_before_the_video_ends() -> None:
    taken = []

    def source():  # type: ignore[no-untyped-def]
        for number, frame in enumerate(video(64)):
            taken.append(number)
            yield frame

    first = next(round_trip(small_model(small_config()), source()))
    assert len(first.frames) == 13  # of 16 taken in: 1 + 3 groups of 4 are whole
    assert len(taken) == 16


def test_an_empty_video_gives_no_frames() -> None:
    assert list(round_trip(small_model(small_config()), iter([]))) == []


def test_bytes_to_clip_to_bytes_is_the_identity() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16, 1)
    assert torch.equal(to_frames(to_clip(every)), every)
    clip = to_clip(every)
    assert clip.shape == (1, 1, 1, 16, 16)
    assert (clip.min(), clip.max()) == (-1, 1)
    assert torch.equal(to_frames(clip * 1.5)[0, 0, 0], every[0, 0, 0] * 0)
