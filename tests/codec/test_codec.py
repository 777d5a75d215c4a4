"""What is decompressed is the reconstruction of the tokenizer, to the bit, or the reason why it is not."""

import io
import os
import random
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pipeline.tiny import RING, SIZE, write_model
from videogen.codec.compress import compress
from videogen.codec.container import ChunkReader, DamagedError, Header, number
from videogen.codec.decompress import Decompressor
from videogen.codec.range_coder import SymbolReader, SymbolWriter
from videogen.codec.settings import CodecSettings, header_of
from videogen.errors import CheckpointError, UsageError
from videogen.generation.reconstruct import round_trip
from videogen.models import load_prior

FPS = 8.0


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return load_prior(write_model(tmp_path_factory.mktemp("masked") / "model"))


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    return load_prior(write_model(tmp_path_factory.mktemp("raster") / "model", "autoregressive"))


def clip_of(frames: int, seed: int = 0) -> np.ndarray:
    """Moving noise, uint8 [T, H, W, 3]."""
    generator = np.random.default_rng(seed)
    start = generator.integers(0, 256, (1, *SIZE, 3))
    return ((start + 9 * np.arange(frames)[:, None, None, None]) % 256).astype(np.uint8)


def compressed(model, clip: np.ndarray, **settings) -> bytes:
    out = io.BytesIO()
    *_, figures = compress(model, clip, SIZE, FPS, CodecSettings(**settings), out)
    assert (figures.frames, figures.bytes) == (len(clip), len(out.getvalue()))
    return out.getvalue()


def opened(model, data: bytes) -> Decompressor:
    return Decompressor(model, ChunkReader(io.BytesIO(data), "file"))


def frames_of(model, data: bytes, first: int = 0) -> np.ndarray:
    return torch.cat([torch.zeros(0, *SIZE, 3, dtype=torch.uint8), *opened(model, data).frames(first)]).numpy()


def reconstructed(model, clip: np.ndarray) -> np.ndarray:
    return torch.cat([part.frames for part in round_trip(model.tokenizer.network, clip)]).numpy()


@pytest.mark.parametrize("frames", [1, 2, 5, 9, 18])
@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 2, "chunk": 2},
        {"steps": 99, "chunk": 1, "order": "raster", "prompt": RING},
        {"probabilities": "adaptive"},
        {"probabilities": "flat", "chunk": 3},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_a_clip_comes_back_as_its_reconstruction(masked, settings, frames):
    clip = clip_of(frames)
    assert np.array_equal(frames_of(masked, compressed(masked, clip, **settings)), reconstructed(masked, clip))


def test_a_raster_prior_codes_token_by_token(raster):
    clip = clip_of(7)
    assert np.array_equal(frames_of(raster, compressed(raster, clip, chunk=1)), reconstructed(raster, clip))
    with pytest.raises(UsageError, match="order is halton; this prior codes in the order autoregressive"):
        compressed(raster, clip, order="halton")


@pytest.mark.parametrize("probabilities", ["prior", "adaptive"])
def test_a_scene_begins_anew_and_a_reader_can_start_there(masked, probabilities):
    clip = clip_of(23)
    data = compressed(masked, clip, probabilities=probabilities, steps=1, chunk=1, scene=9 / FPS)
    scenes = [reconstructed(masked, clip[start : start + 9]) for start in (0, 9, 18)]
    assert np.array_equal(frames_of(masked, data), np.concatenate(scenes))
    for first in (1, 8, 9, 17, 22):
        video = opened(masked, data)
        frames = torch.cat(list(video.frames(first))).numpy()
        assert np.array_equal(frames, np.concatenate(scenes)[first:])
        assert video.figures.scenes == 3 - first // 9  # earlier ones are not decoded
    assert len(frames_of(masked, data, 23)) == 0


def test_threads_change_nothing(masked):
    clip, given, seen = clip_of(9), torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            data = compressed(masked, clip, steps=2)
            seen.add((data, frames_of(masked, data).tobytes(), torch.get_num_threads() == threads))
    finally:
        torch.set_num_threads(given)
    assert [same for *_, same in seen] == [True]


def test_codes_that_were_seen_take_fewer_bytes(masked):
    clip = np.repeat(clip_of(1), 81, axis=0)
    sizes = {name: len(compressed(masked, clip, probabilities=name)) for name in ("flat", "adaptive")}
    assert sizes["adaptive"] < 0.9 * sizes["flat"]


def test_a_file_is_read_while_it_is_written(masked):
    """Each chunk is handed over before the frames after it are asked for; the reader waits for no more."""
    reader, writer = pipe_pair()
    seen, clip = [], clip_of(18)
    reading = threading.Thread(target=lambda: seen.extend(opened_pipe(masked, reader).frames()))
    reading.start()
    asked = 0

    def frames():
        nonlocal asked
        for frame in clip:
            asked += 1
            yield frame

    with reader, writer:
        for figures in compress(masked, frames(), SIZE, FPS, CodecSettings(steps=1, chunk=1), writer):
            while sum(map(len, seen)) < figures.frames:
                reading.join(0.01)
                assert reading.is_alive() or sum(map(len, seen)) >= figures.frames
            assert asked <= figures.frames + 1
        reading.join()
    assert np.array_equal(torch.cat(seen).numpy(), reconstructed(masked, clip))


def pipe_pair():
    read, write = os.pipe()
    return os.fdopen(read, "rb"), os.fdopen(write, "wb")


def opened_pipe(model, file) -> Decompressor:
    return Decompressor(model, ChunkReader(file, "pipe"))


def given_before_damage(model, data: bytes) -> tuple[np.ndarray, str]:
    """The frames of a damaged file, and what is said of the damage."""
    frames = [np.zeros((0, *SIZE, 3), np.uint8)]
    try:
        for part in opened(model, data).frames():
            frames.append(part.numpy())
    except (DamagedError, CheckpointError, UsageError) as error:
        return np.concatenate(frames), str(error)
    return np.concatenate(frames), ""


@pytest.mark.parametrize(
    ("count", "settings"), [(150, {"probabilities": "adaptive"}), (50, {"steps": 1, "scene": 1.0})]
)
def test_damage_is_told_and_no_wrong_frame_given(masked, count, settings):
    clip, generator = clip_of(18), random.Random(0)
    data = compressed(masked, clip, chunk=1, **settings)
    right, told = frames_of(masked, data), 0
    for trial in range(count):
        place = generator.randrange(len(data))
        bit = bytes([data[place] ^ 1 << generator.randrange(8)])
        damaged = data[:place] if trial % 2 else data[:place] + bit + data[place + 1 :]
        frames, said = given_before_damage(masked, damaged)
        assert said or np.array_equal(frames, right)  # the last bits of a chunk may be of no consequence
        assert np.array_equal(frames, right[: len(frames)])
        told += len(said.splitlines())
    assert told > 0.9 * count


def test_a_cut_file_gives_its_last_whole_chunk(masked):
    clip = clip_of(18)
    data = compressed(masked, clip, steps=1, chunk=1)
    right, reader = frames_of(masked, data), ChunkReader(io.BytesIO(data), "file")
    ends = [(reader.place, 0)]
    for part in reader.parts(masked.spec):
        ends.append((reader.place, ends[-1][1] + part.frames))
    assert ends[-2][1] == len(clip)
    for (start, before), (end, _) in pairwise(ends):
        for cut in (start, end - 1):
            frames, said = given_before_damage(masked, data[:cut])
            assert said == f"file: ends at byte {cut}, inside a chunk: it was cut off" or "inside its end" in said
            assert np.array_equal(frames, right[:before])


def test_chunks_cannot_be_swapped_left_out_or_repeated(masked):
    data = compressed(masked, clip_of(18), probabilities="flat", chunk=1)
    reader = ChunkReader(io.BytesIO(data), "file")
    places = [reader.place]
    places += [reader.place for _ in reader.parts(masked.spec)]
    parts = [data[start:end] for start, end in pairwise([0, *places])]
    for order in ((0, 1, 3, 2, 4, 5, 6), (0, 1, 2, 4, 5, 6), (0, 1, 2, 2, 3, 4, 5, 6), (0, 2, 3, 4, 5, 6), (0, 1, 6)):
        _, said = given_before_damage(masked, b"".join(parts[part] for part in order))
        assert "damaged before byte" in said


def test_a_file_of_another_model_is_refused(masked, raster):
    with pytest.raises(CheckpointError, match="is another model"):
        opened(raster, compressed(masked, clip_of(2), steps=1))
    with pytest.raises(CheckpointError, match=r"has no prior, and file was made with one"):
        opened(masked.tokenizer, compressed(masked, clip_of(2), steps=1))
    data = compressed(masked, clip_of(2), probabilities="flat")
    assert np.array_equal(frames_of(masked.tokenizer, data), frames_of(masked, data))


def test_another_machine_is_named(masked):
    data = compressed(masked, clip_of(5), steps=1)
    reader = ChunkReader(io.BytesIO(data), "file")
    reader.header.made["kernel"] = "ABACUS"
    reader.start += 1  # as codes that come out differently
    with pytest.raises(DamagedError, match=r"frames from number 0 on .* probabilities differ \(kernel ABACUS there, "):
        next(Decompressor(masked, reader).frames())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probabilities": "likely"}, "probabilities is likely; expected one of prior, adaptive, flat"),
        ({"steps": 0}, "steps is 0"),
        ({"chunk": 4097}, "chunk is 4097; expected 1 to 4096"),
        ({"scene": 0.0}, "scene is 0 seconds"),
        ({"order": "confidence"}, "order is confidence; this prior codes in the order"),
        ({"probabilities": "flat", "prompt": RING}, "a prompt and an order are for the prior"),
    ],
)
def test_wrong_settings_are_named(masked, settings, message):
    with pytest.raises(UsageError, match=message):
        header_of(masked, CodecSettings(**settings), SIZE, FPS)


def test_a_tokenizer_alone_has_no_prior(masked):
    with pytest.raises(UsageError, match="has no prior; choose the probabilities adaptive or flat"):
        compressed(masked.tokenizer, clip_of(1))


def test_a_header_is_checked_like_anything_from_outside(masked):
    good = header_of(masked, CodecSettings(), SIZE, FPS)
    for name, value in {"height": True, "fps": float("nan"), "steps": 0, "chunk": 5000, "made": [], "order": 3}.items():
        with pytest.raises(ValueError, match=f"{name} is "):
            Header(**{**vars(good), name: value})


@pytest.mark.parametrize("seed", range(20))
def test_symbols_come_back(seed):
    generator = torch.Generator().manual_seed(seed)
    runs = []
    for _ in range(4):
        count, size = (int(torch.randint(low, 40, (), generator=generator)) for low in (0, 2))
        probabilities = (8 * torch.randn(count, size, generator=generator)).softmax(-1)  # some of them nearly 0
        runs.append((probabilities, torch.randint(size, (count,), generator=generator)))
    writer = SymbolWriter()
    for probabilities, symbols in runs:
        writer.code(probabilities, symbols)
    reader = SymbolReader(writer.bytes())
    assert all(torch.equal(reader.code(probabilities), symbols) for probabilities, symbols in runs)
    chances = [each.gather(1, symbols[:, None]).clamp_min(1e-7).log2().sum() for each, symbols in runs]
    assert 8 * len(writer.bytes()) < 8 - 1.001 * sum(chances)


def test_numbers_of_the_container():
    assert [number(value).hex() for value in (0, 127, 128, 300)] == ["00", "7f", "8001", "ac02"]


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_chunks(masked, tmp_path):
    """Frames come one by one; the process is killed while it waits for the next one."""
    clip, target = clip_of(30), tmp_path / "killed.vgc"
    command = [sys.executable, "-m", "videogen", "compress", "-", str(target), "--model", str(masked.path)]
    options = ["--size", f"{SIZE[0]}x{SIZE[1]}", "--fps", "8", "--chunk", "1", "--steps", "1"]
    with subprocess.Popen([*command, *options], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        for frame in clip[:20]:
            writer.stdin.write(frame.tobytes())
            writer.stdin.flush()
        while not target.exists() or len(given_before_damage(masked, target.read_bytes())[0]) < 17:
            assert writer.poll() is None
            time.sleep(0.2)
        writer.kill()
    frames, said = given_before_damage(masked, target.read_bytes())
    assert "it was cut off" in said
    assert np.array_equal(frames, reconstructed(masked, clip)[: len(frames)])
    assert len(frames) == 17


@pytest.mark.slow
def test_three_hundred_clips(masked, raster):
    generator = random.Random(1)
    for trial in range(300):
        model = (masked, raster)[trial % 2]
        clip = clip_of(generator.randint(1, 200), trial)
        settings = {"chunk": generator.randint(1, 12), "steps": generator.choice((1, 3, 6))}
        settings["probabilities"] = generator.choice(("prior", "prior", "adaptive", "flat"))
        if model is masked and settings["probabilities"] == "prior":
            settings["order"] = generator.choice(("halton", "raster", "random"))
        assert np.array_equal(frames_of(model, compressed(model, clip, **settings)), reconstructed(model, clip))


def test_the_commands(masked, tmp_path: Path, capsys):
    from videogen.cli import main
    from videogen.io import read, scan, write_video

    clip, model = tmp_path / "clip.mkv", str(masked.path)
    write_video(clip, clip_of(9), FPS)
    assert main(["compress", str(clip), str(tmp_path / "a.vgc"), "--model", model, "--steps", "2", "--chunk", "1"]) == 0
    assert main(["decompress", str(tmp_path / "a.vgc"), str(tmp_path / "frames"), "--model", model]) == 0
    assert main(["reconstruct", str(clip), str(tmp_path / "seen"), "--model", model]) == 0
    for one, other in zip(*(sorted((tmp_path / name).glob("*.png")) for name in ("frames", "seen")), strict=True):
        assert np.array_equal(*(np.asarray(Image.open(path)) for path in (one, other)))
    assert main(["compress", str(clip), str(tmp_path / "a.vgc"), "--model", model]) == 2
    capsys.readouterr()
    data = (tmp_path / "a.vgc").read_bytes()
    (tmp_path / "cut.vgc").write_bytes(data[:-9])
    assert main(["decompress", str(tmp_path / "cut.vgc"), str(tmp_path / "cut.mkv"), "--model", model]) == 3
    said = capsys.readouterr().err
    assert "it was cut off; the 5 frames before that are written" in said
    seen = scan(tmp_path / "cut.mkv")
    assert len(seen.pts) == 5
    assert read(tmp_path / "cut.mkv", range(5), seen).shape == (5, *SIZE, 3)


@pytest.mark.parametrize("steps", [1, 4, 99])
def test_every_code_is_written_once(masked, monkeypatch, steps):
    """A step of one token proposes two, because products of one row round differently; only one of them is due."""
    counted, code = [], SymbolWriter.code
    monkeypatch.setattr(SymbolWriter, "code", lambda self, *given: counted.append(len(given[1])) or code(self, *given))
    compressed(masked, clip_of(5), steps=steps)
    assert sum(counted) == 2 * masked.spec.tokens * masked.spec.depth


def test_the_end_is_checked_too(masked):
    data = compressed(masked, clip_of(5), probabilities="flat")
    for place in (-1, -4):
        wrong = bytearray(data)
        wrong[place] ^= 1
        frames, said = given_before_damage(masked, bytes(wrong))
        assert (len(frames), "its end is not that of these frames" in said) == (5, True)
