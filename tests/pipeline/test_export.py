from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.io.clips import number_in, numbered_frame
from tests.pipeline.tiny import RING, STAR
from videogen.errors import DataError, UsageError
from videogen.generation.export import export_to_gif, export_to_video, load_video
from videogen.io import read_metadata, scan

FRAMES = np.stack([numbered_frame(number, 48, 96) for number in range(9)])


@pytest.mark.parametrize("frames", [FRAMES, FRAMES / 255, [Image.fromarray(image) for image in FRAMES]])
def test_frames_of_any_type_are_written_and_loaded(frames, tmp_path):
    path = tmp_path / "clip.mp4"
    assert export_to_video(frames, str(path), fps=8) == str(path)
    assert scan(path).fps == pytest.approx(8)
    loaded = load_video(str(path))
    assert all(isinstance(image, Image.Image) for image in loaded)
    assert [number_in(np.asarray(image)) for image in loaded] == list(range(9))
    assert len(load_video(path, lambda images: images[::2])) == 5


def test_a_clip_is_loaded_at_the_rate_of_a_model(tmp_path):
    export_to_video(FRAMES, tmp_path / "clip.mp4", fps=16)
    seen = [number_in(np.asarray(image)) for image in load_video(tmp_path / "clip.mp4", fps=8)]
    assert seen[-1] == 8
    assert set(np.diff(seen)) == {2}
    with pytest.raises(UsageError, match="fps is 0"):
        load_video(tmp_path / "clip.mp4", fps=0)


def test_the_default_path_is_a_temporary_file():
    for export, suffix in ((export_to_video, ".mp4"), (export_to_gif, ".gif")):
        path = Path(export(FRAMES))
        assert path.suffix == suffix
        assert len(load_video(path)) == 9
        path.unlink()


def test_export_to_gif_writes_a_gif(tmp_path):
    assert export_to_gif(list(FRAMES), tmp_path / "clip", fps=5) == str(tmp_path / "clip.gif")
    assert len(load_video(tmp_path / "clip.gif")) == 9
    with Image.open(tmp_path / "clip.gif") as image:
        assert image.format == "GIF"


def test_every_output_type_can_be_exported(pipe, tmp_path):
    for kind in ("np", "pt", "pil", "uint8"):
        frames = pipe(RING, num_frames=5, generator=1, output_type=kind).frames[0]
        export_to_video(frames, tmp_path / f"{kind}.mp4", fps=pipe.fps)
    written = [(tmp_path / f"{kind}.mp4").read_bytes() for kind in ("np", "pt", "pil", "uint8")]
    assert len(set(written)) == 1


def test_invalid_videos_and_paths_are_refused(tmp_path):
    with pytest.raises(DataError, match="not 5"):
        export_to_video(FRAMES[None], tmp_path / "clip.mp4")
    with pytest.raises(DataError, match=r"\.ogv"):
        export_to_video(FRAMES, tmp_path / "clip.ogv")
    with pytest.raises(DataError, match="nowhere"):
        load_video(tmp_path / "nowhere.mp4")


def test_an_exported_file_stores_the_metadata(pipe, tmp_path):
    output = pipe([RING, STAR], num_frames=3, generator=5, output_type="uint8")
    for number, prompt in enumerate((RING, STAR)):
        path = export_to_video(
            output.frames[number], tmp_path / f"{number}.mov", output.fps, scale=2, metadata=output.metadata[number]
        )
        stored = read_metadata(path)
        assert stored == output.metadata[number]
        assert (stored["prompt"], stored["seed"]) == (prompt, output.seeds[number])
        assert stored["settings"]["order"] == pipe.sampler.order
        seen = scan(Path(path))
        assert (seen.height, seen.width) == tuple(2 * side for side in output.frames.shape[2:4])
