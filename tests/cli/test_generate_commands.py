"""From a prompt to a file, as it is typed; and every mistake in one line."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.io.clips import numbered_frame
from tests.pipeline.tiny import RING, STAR, write_model
from videogen.cli import main
from videogen.cli.param_types import VIDEO_SUFFIXES
from videogen.generation.continuation_prompt import Continuation
from videogen.io import read, read_metadata, scan, stream, write_video
from videogen.pipeline import VideoPipeline


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_model(home / "model")
    write_model(home / "next", "autoregressive")
    write_model(home / "textless", text=False)
    clip = np.stack([numbered_frame(number, 32, 48) for number in range(40)])
    write_video(home / "clip.mp4", clip, 25)
    Image.fromarray(clip[0]).save(home / "first.png")
    (home / "broken.mp4").write_bytes((home / "clip.mp4").read_bytes()[:2000])
    (home / "broken.png").write_bytes((home / "first.png").read_bytes()[:60])
    return home


@pytest.fixture(autouse=True)
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for place in home.iterdir():
        (tmp_path / place.name).symlink_to(place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIDEOGEN_MODEL", raising=False)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json", "--threads", "1"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def offline(prompt: str, frames: int, seed: int, **options) -> np.ndarray:
    pipe = VideoPipeline.from_pretrained("model")
    return pipe(prompt, num_frames=frames, generator=seed, output_type="uint8", **options).frames[0]


def read_frames(folder: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(place)) for place in sorted(Path(folder).iterdir())])


def test_the_command_gives_the_video_of_the_pipeline(capsys):
    report = run_json(capsys, "generate", RING, "-o", "ring", "--model", "model", "--frames", "11", "--seed", "3",
                   "--steps", "3", "--guidance-scale", "2", "--temperature", "0.9", "--order", "random")  # fmt: skip
    options = {"num_inference_steps": 3, "guidance_scale": 2, "temperature": 0.9, "order": "random"}
    assert np.array_equal(read_frames("ring"), offline(RING, 11, 3, **options))
    assert report["frames"] == 11
    assert report["seeds"] == [3]
    assert report["proposals_per_latent_frame"] == 3
    assert {"seconds_to_first_frame", "frames_per_second", "prior_ms_per_latent_frame", "peak_memory_mib",
            "decoder_ms_per_latent_frame"} <= set(report)  # fmt: skip


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_each_file_format(suffix, capsys):
    assert main(["generate", RING, "-o", f"ring{suffix}", "--model", "model", "--seconds", "1.2", "--seed", "1"]) == 0
    report = capsys.readouterr().out
    assert f"ring{suffix}: 10 frames of 16 x 24 at 8 fps, seed 1" in report
    assert len(scan(Path(f"ring{suffix}")).pts) == 10
    assert main(["info", f"ring{suffix}"]) == 0
    report = capsys.readouterr().out
    assert "10 frames of 16 x 24 at" in report
    assert f"prompt       {RING}\n" in report
    assert "seed         1\n" in report


def test_metadata_reproduces_a_file(capsys):
    words = ["--frames", "3", "--seed", "7", "--steps", "3", "--guidance-scale", "2", "--negative-prompt", "blue"]
    for name in ("a.mkv", "b.mkv"):
        assert main(["generate", RING, "-o", name, *MODEL, *words, "--image", "first.png"]) == 0
    assert Path("a.mkv").read_bytes() == Path("b.mkv").read_bytes()
    capsys.readouterr()
    assert main(["info", "a.mkv", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["height"], report["width"], report["tags"]["title"]) == (3, 16, 24, RING)
    pipe = VideoPipeline.from_pretrained("model")
    settings = pipe.request(RING, "blue", 1, 7, {"steps": 3, "guidance_scale": 2}).sampler
    assert report["metadata"] == {
        "prompt": RING, "negative_prompt": "blue", "seed": 7, "model": pipe.model.path.resolve().parent.name,
        "fingerprint": pipe.model.fingerprint, "dtype": "float32", "settings": asdict(settings),
        "begins_with": "first.png",
    }  # fmt: skip
    assert main(["generate", RING, "-o", "c.mkv", *MODEL, *words, "--image", "first.png", "--no-metadata"]) == 0
    assert read_metadata("c.mkv") == {}
    assert scan(Path("c.mkv")) == scan(Path("a.mkv"))
    capsys.readouterr()
    assert main(["info", "c.mkv"]) == 0
    assert "unknown" in capsys.readouterr().out


def test_metadata_of_a_stream_a_grid_and_a_reconstruction(capsys):
    changes = ["--prompt-at", f"4:{STAR}", "--transition", "cut"]
    assert main(["stream", RING, "-o", "story.gif", *MODEL, "--frames", "9", "--seed", "2", *changes]) == 0
    told = read_metadata("story.gif")
    assert (told["prompt_changes"], told["transition"]) == ([{"frame": 4, "prompt": STAR}], "cut")
    assert main(["generate", RING, STAR, "-o", "wall", *MODEL, "--frames", "1", "--seed", "4", "--grid"]) == 0
    told = read_metadata("wall")
    assert (told["prompt"], told["seed"], told["model"]) == ([RING, STAR], [4, 5], told["model"])
    assert main(["reconstruct", "clip.mp4", "seen.mov", *MODEL, "--scale", "2", "--fps", "5"]) == 0
    assert read_metadata("seen.mov")["reconstruction_of"] == "clip.mp4"
    seen = scan(Path("seen.mov"))
    assert (seen.height, seen.width, seen.fps, len(seen.pts)) == (64, 96, pytest.approx(5), 8)
    capsys.readouterr()
    assert main(["info", "wall"]) == 0
    assert f"{RING}; {STAR}" in capsys.readouterr().out


def test_scale_and_fps_of_the_file(capsys):
    make = ["generate", RING, *MODEL, "--frames", "5", "--seed", "3"]
    run_json(capsys, *make, "-o", "small")
    report = run_json(capsys, *make, "-o", "large", "--scale", "3", "--resampling", "nearest", "--fps", "16")
    assert report["written"] == {"frames": 10, "height": 48, "width": 72, "fps": 16.0}
    assert (report["frames"], report["fps"]) == (5, 8.0)
    expected = read_frames("small").repeat(3, axis=1).repeat(3, axis=2).repeat(2, axis=0)
    assert np.array_equal(read_frames("large"), expected)
    assert main([*make, "-o", "wide.mp4", "--scale", "40x90"]) == 0
    out, err = capsys.readouterr()
    assert "written as 5 frames of 40 x 90 at 8 fps" in out
    assert "frames are stretched: 16 x 24 becomes 40 x 90" in err


def test_several_videos_get_numbers_or_a_grid(capsys, monkeypatch):
    monkeypatch.setenv("VIDEOGEN_MODEL", "model")
    report = run_json(capsys, "generate", RING, STAR, "-o", "both", "--num-videos", "2", "--frames", "5", "--seed", "4")
    assert report["files"] == ["both_000", "both_001", "both_002", "both_003"]
    assert report["seeds"] == [4, 5, 6, 7]
    run_json(
        capsys, "generate", RING, STAR, "-o", "wall", "--num-videos", "2", "--frames", "5", "--seed", "4", "--grid"
    )
    wall = read_frames("wall")
    assert wall.shape == (5, 32, 48, 3)
    assert np.array_equal(wall[:, :16, 24:], read_frames("both_001"))


@pytest.mark.filterwarnings("ignore:as the model sees it")  # of the call that it is compared with
def test_image_and_video_inputs(capsys):
    clip = np.stack([picture for _, picture in stream(Path("clip.mp4"))])
    assert (
        main(["generate", RING, "-o", "a", "--model", "model", "--image", "first.png", "--frames", "5", "--seed", "1"])
        == 0
    )
    assert np.array_equal(read_frames("a"), offline(RING, 5, 1, image=np.asarray(Image.open("first.png"))))
    assert "32 x 48 becomes 16 x 24" in capsys.readouterr().err
    assert (
        main(["generate", RING, "-o", "b", "--model", "model", "--video", "clip.mp4", "--frames", "5", "--seed", "1"])
        == 0
    )
    assert np.array_equal(read_frames("b"), offline(RING, 5, 1, video="clip.mp4"))
    assert "25 frames a second become 8, 32 x 48 becomes 16 x 24" in capsys.readouterr().err
    assert len(clip) == 40


def test_a_folder_of_images_is_continued_like_a_clip(capsys):
    assert main(["generate", RING, "-o", "first", *MODEL, "--frames", "11", "--seed", "3"]) == 0
    before, _ = read_frames("first"), capsys.readouterr()
    report = run_json(
        capsys, "continue", "first", "-o", "more", *MODEL, "--prompt", RING, "--seed", "2", "--frames", "7"
    )
    assert report["clip_frames"] == 11
    assert np.array_equal(read_frames("more"), np.concatenate([before, offline(RING, 7, 2, video=before)]))
    only = ["--only-new", "--seed", "2", "--frames", "7"]
    assert main(["continue", "first", "-o", "rest", *MODEL, "--prompt", RING, *only]) == 0
    assert np.array_equal(read_frames("rest"), offline(RING, 7, 2, video="first"))
    assert main(["generate", RING, "-o", "b", *MODEL, "--video", "first", "--frames", "7", "--seed", "2"]) == 0
    assert np.array_equal(read_frames("b"), read_frames("rest"))
    assert main(["continue", "first", "-o", "first", "--overwrite", *MODEL]) == 2
    Path("empty").mkdir()
    for number, picture in enumerate(before):
        Path("plain").mkdir(exist_ok=True)
        Image.fromarray(picture).save(f"plain/{number}.png")
    Path("plain/._0.png").write_text("not a picture")
    assert main(["continue", "plain", "-o", "again", *MODEL, "--prompt", RING, *only]) == 0
    assert np.array_equal(read_frames("again"), read_frames("rest")), "10 comes after 9"
    Image.fromarray(before[0][:8]).save("first/frame_00000004.png")
    capsys.readouterr()
    for source, words in (("empty", "empty: "), ("first", "8 x 24, those before are 16 x 24")):
        assert main(["continue", source, "-o", "x.mp4", *MODEL]) == 3
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", [["continue", "clip.mp4"], ["generate", "--video", "clip.mp4"]])
def test_a_continuation_without_a_prompt_warns(capsys, command):
    more = ["--model", "model", "--seed", "2", "--frames", "3", "--json"]
    assert main([*command, "-o", "free", *more]) == 0
    report = capsys.readouterr()
    assert "no prompt: " in report.err
    assert json.loads(report.out)["found_prompt"] is None
    empty = ["--prompt", ""] if command[0] == "continue" else [""]
    assert main([*command, *empty, "-o", "empty", *more]) == 0
    assert "no prompt" not in capsys.readouterr().err
    assert np.array_equal(read_frames("free"), read_frames("empty"))


def test_a_found_caption_is_printed_and_used(capsys, monkeypatch):
    monkeypatch.setattr("videogen.generation.continuation_prompt.continuation_prompt", lambda *_: Continuation(STAR))
    more = ["--model", "model", "--seed", "2", "--frames", "3"]
    for command in (["continue", "clip.mp4", "--only-new"], ["stream", "--video", "clip.mp4"]):
        assert main([*command, "-o", "found", *more, "--json", "--overwrite"]) == 0
        report = capsys.readouterr()
        assert f"continuing as: {STAR}" in report.err
        assert json.loads(report.out)["found_prompt"] == json.loads(report.out)["prompts"][0] == STAR
    assert main(["generate", STAR, "--video", "clip.mp4", "-o", "told", *more]) == 0
    assert np.array_equal(read_frames("told"), read_frames("found"))


@pytest.mark.filterwarnings("ignore:as the model sees it")  # of the call that it is compared with
def test_a_clip_and_its_continuation_fit_together(capsys):
    report = run_json(
        capsys,
        "continue",
        "clip.mp4",
        "-o",
        "more",
        "--model",
        "model",
        "--prompt",
        RING,
        "--seed",
        "2",
        "--frames",
        "7",
    )
    new = offline(RING, 7, 2, video="clip.mp4")
    both = read_frames("more")
    old = report["clip_frames"]
    assert report["frames"] == len(both) == old + 7
    assert old == round(40 / 25 * 8)
    assert np.array_equal(both[old:], new)
    last = read(Path("clip.mp4"), [39])
    from videogen.io import fit

    assert np.array_equal(both[old - 1], fit(last, 16, 24)[0])
    run_json(
        capsys,
        "continue",
        "clip.mp4",
        "-o",
        "new",
        "--model",
        "model",
        "--prompt",
        RING,
        "--seed",
        "2",
        "--frames",
        "7",
        "--only-new",
    )
    assert np.array_equal(read_frames("new"), new)


def test_changes_to_the_input_are_noted(capsys):
    disc = Image.new("RGBA", (24, 16), (0, 0, 0, 0))
    disc.paste((200, 30, 40, 255), (4, 4, 10, 10))
    disc.save("disc.gif", save_all=True, append_images=[disc.transpose(Image.Transpose.FLIP_LEFT_RIGHT)], duration=125)
    for more in ([], ["--only-new"]):
        assert main(["continue", "disc.gif", "-o", "x.mp4", "--overwrite", *MODEL, "--frames", "3", *more]) == 0
        report = capsys.readouterr().err
        assert ", transparent pixels become black (2 frames)\n" in report
    assert main(["continue", "broken.mp4", "-o", "y.mp4", *MODEL, "--only-new"]) == 3
    assert not Path("y.mp4").exists()
    with pytest.warns(UserWarning, match="2 frames"):
        offline(RING, 1, 1, video="disc.gif")


def test_sampling_flags_reach_the_sampler():
    words = [
        "--first-frames-step-multiplier",
        "2",
        "--schedule",
        "linear",
        "--guidance-schedule",
        "linear",
        "--guidance-scale",
        "3",
    ]
    assert main(["generate", RING, "-o", "set", "--model", "model", "--frames", "9", "--seed", "3", *words]) == 0
    settings = {
        "first_frames_step_multiplier": 2,
        "schedule": "linear",
        "guidance_schedule": "linear",
        "guidance_scale": 3.0,
    }
    assert np.array_equal(read_frames("set"), offline(RING, 9, 3, **settings))


def test_a_stream_changes_its_prompt_at_the_given_time(capsys):
    report = run_json(capsys, "stream", RING, "-o", "story", "--model", "model", "--frames", "20", "--seed", "2",
                   "--prompt-at", f"12:{STAR}", "--prompt-at", "0.7s:a blue disc", "--transition", "cut")  # fmt: skip
    assert report["prompt_changes"] == [{"frame": 9, "prompt": "a blue disc"}, {"frame": 14, "prompt": STAR}], (
        "the first pictures of a latent frame each"
    )
    made = VideoPipeline.from_pretrained("model").stream(RING, generator=2, transition="cut")
    expected = []
    for number in range(20):
        made.prompt = RING if number < 6 else "a blue disc" if number < 12 else STAR
        expected.append(next(made))
    assert np.array_equal(read_frames("story"), np.stack(expected))


def test_raw_frames_on_stdout(capsys, monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", pipe)
    assert main(["stream", RING, "-o", "-", "--model", "model", "--frames", "6", "--seed", "1"]) == 0
    assert pipe.buffer.getvalue() == offline(RING, 6, 1).tobytes()  # type: ignore[attr-defined]
    assert "-: 6 frames" in capsys.readouterr().err


def test_existing_output_is_kept_without_overwrite(capsys):
    make = ["generate", RING, "-o", "out.mp4", "--model", "model", "--frames", "1"]
    assert main(make) == 0
    before = Path("out.mp4").stat().st_mtime_ns
    assert main(make) == 2
    assert "out.mp4: already exists; --overwrite" in capsys.readouterr().err
    assert Path("out.mp4").stat().st_mtime_ns == before
    assert main([*make, "--overwrite"]) == 0
    make[3] = "folder"
    assert main([*make[:-1], "9"]) == 0
    assert main(make) == 2
    assert main([*make, "--overwrite"]) == 0
    assert len(read_frames("folder")) == 1, "old pictures are gone"


MODEL = ["--model", "model"]
ERRORS = [
    (["generate", RING, *MODEL], 2, "'-o'"),
    (["generate", "-o", "x.mp4", *MODEL], 2, "PROMPT"),
    (["generate", RING, "-o", "x.ogv", *MODEL], 2, "x.ogv"),
    (["generate", RING, "-o", "nowhere/x.mp4", *MODEL], 2, "nowhere"),
    (["generate", RING, "-o", "model", *MODEL], 2, "model: already exists"),
    (["generate", RING, "-o", "x.mp4", "--model", "nowhere"], 4, "nowhere"),
    (["generate", RING, "-o", "x.mp4", "--model", "tokenizer"], 4, "no prior"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--order", "best"], 2, "order = best"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--order", "autoregressive"], 2, "use halton, "),
    (["generate", RING, "-o", "x.mp4", "--model", "next", "--order", "halton"], 2, "use autoregressive, raster"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--order", "next"], 2, "order=autoregressive"),
    (["stream", RING, "-o", "x.mp4", *MODEL, "--opening", "2"], 2, "--first-frames-step-multiplier"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--rate", "0.1"], 2, "--history-noise"),
    (["bench", *MODEL, "--opening", "2"], 2, "--first-frames-step-multiplier"),
    (["export", "model", "x.mp4", "opening=2"], 2, "first_frames_step_multiplier"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--temperature", "-1"], 2, "temperature = -1"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--steps", "0"], 2, "steps = 0"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--top-k", "-1"], 2, "top_k = -1"),
    (["generate", "-o", "x.mp4", *MODEL], 2, "--image or --video"),
    (["stream", "-o", "x.mp4", *MODEL], 2, "--image or --video"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--top-p", "2"], 2, "top_p = 2"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--guidance-scale", "nan"], 2, "guidance_scale = nan"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--frames", "0"], 2, "--frames"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--seconds", "inf"], 2, "inf"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--frames", "3", "--seconds", "1"], 2, "give one"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--height", "20"], 2, "multiples of 8"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--dtype", "int8"], 2, "int8"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--device", "cuda:99"], 5, "--device cuda:99"),
    (["generate", RING, STAR, "-o", "-", *MODEL], 2, "--grid"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--image", "nowhere.png"], 3, "nowhere.png"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--image", "broken.png"], 3, "broken.png"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--image", "clip.mp4"], 3, "clip.mp4"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--image", "first.png", "--video", "clip.mp4"], 2, "give one"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--video", "nowhere.mp4"], 3, "nowhere.mp4"),
    (["continue", "broken.mp4", "-o", "x.mp4", *MODEL], 3, "broken.mp4"),
    (["continue", "clip.mp4", "-o", "clip.mp4", "--overwrite", *MODEL], 2, "clip.mp4: is the input"),
    (["generate", RING, "-o", "clip.mp4", "--video", "clip.mp4", "--overwrite", *MODEL], 2, "clip.mp4: is the input"),
    (["stream", RING, "-o", "clip.mp4", "--video", "clip.mp4", "--overwrite", *MODEL], 2, "clip.mp4: is the input"),
    (["generate", RING, "-o", "", *MODEL], 2, "-o"),
    (["generate", RING, "-o", "x.mp4", "--device", "gpu", *MODEL], 2, "--device gpu"),
    (["generate", RING, "-o", "x.mp4", "--model", "clip.mp4"], 4, "clip.mp4"),
    (["stream", RING, "-o", "x.mp4", *MODEL, "--prompt-at", "soon:x"], 2, "5s:PROMPT"),
    (["stream", RING, "-o", "x.mp4", *MODEL, "--prompt-at", "00:02:x"], 2, "5s:PROMPT"),
    (["stream", RING, "-o", "x.mp4", *MODEL, "--prompt-at", "1:30s:x"], 2, "5s:PROMPT"),
    (["stream", RING, "-o", "x.mp4", *MODEL, "--transition", "fade"], 2, "'fade'"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--fps", "0"], 2, "--fps"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--scale", "big"], 2, "'big'"),
    (["generate", RING, "-o", "x.mp4", *MODEL, "--scale", "1e9"], 2, "16384"),
    (["info", "broken.mp4"], 3, "broken.mp4"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), ERRORS, ids=lambda value: str(value)[:40])
def test_errors_are_one_line(arguments, code, words, capsys):
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1, err
    assert out == ""
    assert not Path("x.mp4").exists()


def test_an_error_names_the_environment_variable(capsys, monkeypatch):
    monkeypatch.setenv("VIDEOGEN_MODEL", "nowhere")
    assert main(["generate", RING, "-o", "x.mp4"]) == 4
    assert capsys.readouterr().err == (
        "videogen: VIDEOGEN_MODEL is nowhere: no such folder; set it to a model folder, or unset it\n"
    )
    monkeypatch.setenv("VIDEOGEN_MODEL", "playroom")
    assert main(["generate", RING, "-o", "y.mp4", "--frames", "1", "--steps", "1"]) == 0


def test_a_prompt_that_comes_too_late_is_noted(capsys):
    late = ["--prompt-at", "2:a ring", "--prompt-at", "6:a ring", "--prompt-at", "7:a star", "--prompt-at", "3s:a disc"]
    assert main(["stream", RING, "-o", "x.mp4", *MODEL, *late, "--frames", "9"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told == [f"'{prompt}' comes too late to be seen in 9 frames" for prompt in ("a star", "a disc")]


def test_warnings_are_printed_once(capsys):
    long = "a ring and " * 20
    assert main(["generate", long, "-o", "a.mp4", *MODEL, "--frames", "1", "--negative-prompt", long]) == 0
    report = capsys.readouterr().err
    assert "the prompt is longer than 48 tokens and loses its end\n" in report
    assert "the negative prompt is longer than 48 tokens and loses its end\n" in report
    assert "the negative prompt has no effect while guidance_scale is 1\n" in report
    assert main(["generate", RING, "-o", "b.mp4", "--model", "textless", "--frames", "1"]) == 0
    assert "textless: its prior was trained without text; the prompt has no effect\n" in capsys.readouterr().err
    guided = ["--guidance-scale", "3", "--negative-prompt", "blue", "--overwrite"]
    assert main(["generate", "", "-o", "b.mp4", "--model", "textless", "--frames", "1", *guided]) == 0
    report = capsys.readouterr().err
    assert "trained without text; the negative prompt and guidance have no effect\n" in report
    assert report.count("negative prompt") == 1
    assert main(["generate", RING, "-o", "c.mp4", *MODEL, "--frames", "1", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_json_has_the_parts_of_warnings(capsys):
    command = [
        "generate",
        "crimson disk on navy",
        "-o",
        "a.mp4",
        "--model",
        "playroom",
        "--frames",
        "1",
        "--height",
        "96",
    ]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["warnings"]
    assert [one["kind"] for one in told] == ["prompt_rewritten", "frame_size"]
    assert told[0]["read_as"] == "a medium red circle drifts right slowly over a dark blue background"


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("generate", signal.SIGINT),
        ("stream", signal.SIGTERM),
        pytest.param("generate", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("stream", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_command_leaves_a_playable_file(command, number):
    length = ["--frames", "100000"] if command == "generate" else []
    program = [sys.executable, "-m", "videogen", command, "a ring", "-o", "out.mp4", *MODEL, *length, "--threads", "1"]
    checkout = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": checkout}
    )
    while not (Path("out.mp4").exists() and Path("out.mp4").stat().st_size > 6000):
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(number)
    out, err = child.communicate()
    assert child.returncode == 128 + number
    written = len(scan(Path("out.mp4")).pts)
    assert f"out.mp4: {written} frames" in out
    assert err == f"videogen: stopped; {written} frames are written\n"


def test_a_reader_of_frames_may_close_the_pipe():
    checkout = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-m", "videogen", "stream", RING, "-o", "-", *MODEL, "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": checkout},
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert len(child.stdout.read(3 * 16 * 24 * 3)) == 3 * 16 * 24 * 3
    child.stdout.close()
    err = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait() == 0, err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["generate", "continue", "stream"])
def test_help_needs_no_torch(command):
    program = (
        "import sys; from videogen.cli import main\n"
        f"main(['{command}', '--help'])\n"
        "assert not {'torch', 'av', 'transformers', 'numpy'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "--model" in result.stdout
