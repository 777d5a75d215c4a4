"""Continuing a clip: at the model's frame rate, from its last frame, without a seam."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from interfaces.tokenizer import encode_clip
from tests.io.clips import number_in, numbered_frame
from tests.pipeline.tiny import RING
from videogen.errors import DataError
from videogen.generate import Context, generate
from videogen.generation.conditioning_frames import condition_on_clip, frames_of_use
from videogen.generation.pipeline_inputs import PipelineWarning
from videogen.io import Scan, VideoError, scan, write_video
from videogen.io.images import as_frames, clip_frames, load_image, numbers_from_end
from videogen.io.pixels import to_clip
from videogen.io.reader import random_access
from videogen.pipeline import VideoPipeline
from videogen.playroom.render import render
from videogen.playroom.scene import sample_scenes


def numbered(count, height=48, width=96):
    return np.stack([numbered_frame(number, height, width) for number in range(count)])


def timed(*seconds):
    return Scan("mp4", "h264", "rgb24", 8, 8, 0, (1, 1000), tuple(round(1000 * s) for s in seconds), (0,), ())


def test_a_clip_at_the_models_frame_rate_is_not_resampled():
    assert numbers_from_end(timed(*np.arange(20) / 8), 8).tolist() == list(range(20))
    assert numbers_from_end(timed(0), 8).tolist() == [0]


def test_a_faster_clip_drops_frames_evenly_and_ends_with_its_last():
    numbers = numbers_from_end(timed(*np.arange(76) / 25), 8)
    assert numbers[-1] == 75
    steps = np.diff(numbers)
    assert set(steps.tolist()) <= {3, 4}
    assert steps.mean() == pytest.approx(25 / 8, rel=0.02)
    assert len(numbers) == pytest.approx(76 / 25 * 8, abs=1)


def test_a_slower_clip_repeats_frames_by_their_duration():
    assert numbers_from_end(timed(0, 0.25, 0.5), 8).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_clip_of_variable_frame_rate_is_resampled_by_its_times():
    assert numbers_from_end(timed(0, 0.125, 0.625, 0.75), 8).tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 3][1:]


def test_a_file_is_read_at_the_models_rate_and_size(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered(51), 25)
    seen = scan(tmp_path / "clip.mp4")
    frames = list(clip_frames(tmp_path / "clip.mp4", seen, 8, 48, 96))
    assert [number_in(frame) for frame in frames] == numbers_from_end(seen, 8).tolist()
    last = list(clip_frames(tmp_path / "clip.mp4", seen, 8, 48, 96, last=3))
    assert np.array_equal(np.stack(last), np.stack(frames[-3:]))
    assert next(clip_frames(tmp_path / "clip.mp4", seen, 8, 16, 24)).shape == (16, 24, 3)


def test_a_long_file_is_decoded_once(tmp_path, monkeypatch):
    write_video(tmp_path / "clip.mp4", numbered(75), 25)
    seen, decoded, time_of = scan(tmp_path / "clip.mp4"), [], random_access.time_of
    monkeypatch.setattr(random_access, "time_of", lambda frame: decoded.append(time_of(frame)) or decoded[-1])
    assert len(list(clip_frames(tmp_path / "clip.mp4", seen, 25, 48, 96))) == 75
    assert decoded == list(seen.pts)


def test_a_file_that_changes_after_the_scan_is_an_error(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered(51), 25)
    seen = scan(tmp_path / "clip.mp4")
    write_video(tmp_path / "clip.mp4", numbered(52)[1:], 25)
    with pytest.raises(VideoError):
        list(clip_frames(tmp_path / "clip.mp4", seen, 8, 48, 96))


@pytest.mark.parametrize("frames", [1, 4, 5, 8, 9, 10, 30])
def test_the_context_ends_with_the_last_frame_in_whole_latent_frames(pipe, frames):
    clip = numbered(frames, 16, 24)
    given = condition_on_clip(pipe.model, clip)
    latent_frames = min(1 + (frames - 1) // 4, pipe.model.config.window)
    used = clip[-(1 + 4 * (latent_frames - 1)) :]
    assert len(used) <= frames_of_use(pipe.model)
    assert torch.equal(given.context.codes_BTNK, encode_clip(pipe.model.tokenizer.network, to_clip(used[None])))
    assert given.frames.shape == (1, 0, 16, 24, 3)


def test_a_continuation_equals_the_uninterrupted_video(pipe):
    """Codes of the model itself are continued without a seam and without a repeated frame."""
    whole = pipe(RING, num_frames=33, generator=3, output_type="codes").frames
    expected = pipe(RING, num_frames=33, generator=3, output_type="uint8").frames[0]
    request = pipe.request(RING, None, 1, 3, {})
    outputs = generate(pipe.model, request, Context(whole[:, :2], pipe.model.spec), num_frames=8)
    after = torch.cat([output.frames for output in outputs], 1)[0].numpy()
    assert np.array_equal(after, expected[5:13])


def test_a_file_an_array_and_a_list_of_images_are_the_same_clip(pipe, tmp_path):
    frames = numbered(14, 16, 24)
    write_video(tmp_path / "clip", frames, 8)
    write_video(tmp_path / "clip.gif", frames, 8)
    seen = np.stack(list(clip_frames(tmp_path / "clip.gif", scan(tmp_path / "clip.gif"), 8, 16, 24)))
    outs = [
        pipe(RING, num_frames=5, video=video, generator=1, output_type="uint8").frames
        for video in (tmp_path / "clip.gif", seen, list(seen), torch.from_numpy(seen).permute(0, 3, 1, 2))
    ]
    assert all(np.array_equal(out, outs[0]) for out in outs[1:])


def test_a_warning_says_whether_edges_are_cropped(pipe):
    with pytest.warns(UserWarning, match="32 x 32 becomes 16 x 24, .*cropped"):
        pipe(RING, num_frames=1, image=np.zeros((32, 32, 3), np.uint8))
    with pytest.warns(UserWarning, match="32 x 48 becomes 16 x 24$"):
        pipe(RING, num_frames=1, image=np.zeros((32, 48, 3), np.uint8))


def test_resampling_any_kind_of_clip_warns_at_the_call(pipe, tmp_path):
    frames = numbered(14, 32, 32)
    write_video(tmp_path / "clip.mp4", frames, 25)
    write_video(tmp_path / "clip", frames, 8)
    cropped = "32 x 32 becomes 16 x 24, edges are cropped"
    for video, changes in (
        (tmp_path / "clip.mp4", f"25 frames a second become 8, {cropped}"),
        (tmp_path / "clip", cropped),
        (frames, cropped),
    ):
        for ask in (pipe, pipe.stream):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ask(RING, num_frames=1, video=video, generator=1)
            assert [str(one.message) for one in caught] == [f"as the model sees it, {changes}"]
            assert caught[0].filename == __file__


def test_errors_about_an_image(pipe):
    for image, words in ((np.zeros((2, 16, 24, 3)), "not 4"), ("nowhere.png", "nowhere.png")):
        with pytest.raises(DataError, match=words):
            pipe(RING, num_frames=1, image=image)


def test_frames_in_many_types():
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    kinds = [
        frames,
        frames / 255,
        (frames / 255).astype(np.float32),
        torch.from_numpy(frames).permute(0, 3, 1, 2),
        torch.from_numpy(frames / 255).permute(0, 3, 1, 2),
        list(frames),
        [Image.fromarray(frame) for frame in frames],
        [torch.from_numpy(frame) for frame in frames],
    ]
    for kind in kinds:
        assert np.array_equal(as_frames(kind), frames)
    locked = frames.copy()
    locked.flags.writeable = False
    assert as_frames(locked).flags.writeable
    grey = as_frames([Image.new("L", (6, 4), 7), Image.new("RGBA", (6, 4), (7, 7, 7, 255))])
    assert (grey == 7).all()
    assert as_frames(torch.ones(1, 4, 6, 3, dtype=torch.bfloat16)).max() == 255


@pytest.mark.parametrize(
    ("video", "words"),
    [
        ([], None),
        ("clip.mp4", "not str"),
        (7, "not int"),
        ([np.zeros((4, 6, 3)), np.zeros((4, 5, 3))], "size"),
        (np.zeros((2, 3)), "not 2"),
        (np.zeros((1, 2, 4, 6, 3)), "not 5"),
        (np.zeros((2, 4, 6, 4)), None),
        (np.zeros((0, 4, 6, 3)), None),
        (np.full((1, 4, 6, 3), 2.0), None),
        (np.full((1, 4, 6, 3), np.nan), None),
        (np.zeros((1, 4, 6, 3), np.int32), "int32"),
    ],
)
def test_values_that_are_no_video(video, words):
    with pytest.raises(DataError, match=words):
        as_frames(video)


def test_images_are_read_from_files(tmp_path):
    Image.new("RGBA", (6, 4), (1, 2, 3, 255)).save(tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png") == (1, 2, 3)).all()
    dark, deep = np.full((4, 6), 20), np.arange(24).reshape(4, 6) * 2800
    for name, bits in (("dark.png", dark * 256), ("deep.png", deep), ("deep.tif", deep)):
        Image.fromarray(bits.astype(np.uint16)).save(tmp_path / name)
        read = load_image(tmp_path / name)
        assert np.array_equal(read, np.repeat((bits // 256)[:, :, None], 3, 2)), (
            "16 bits of grey are not clipped to white"
        )
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(as_frames([image])[0], read)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        load_image(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"c\.png"):
        load_image(tmp_path / "c.png")
    with pytest.raises(DataError):
        load_image(tmp_path)


def test_an_unfamiliar_clip_or_image_gives_a_warning():
    pipe = VideoPipeline.from_pretrained()
    own = render(sample_scenes(1, 5), 17, 64).numpy()[0]
    draw = np.random.default_rng(1)
    foreign = draw.integers(0, 255, (17, 64, 64, 3), np.uint8)
    prompt = "a small red ring drifts left over plain black"
    for given in ({"video": foreign}, {"image": foreign[0]}):
        with pytest.warns(PipelineWarning, match="playroom") as caught:
            pipe.stream(prompt, generator=1, **given)
        assert [one.message.detail.kind for one in caught] == ["input_unfamiliar"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.stream(prompt, generator=1, video=own)
        pipe.stream(prompt, generator=1, image=own[0])
