"""The bundled model is small, and follows prompts far better than chance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from videogen.cli import main
from videogen.evaluation.generation.prompts import read_prompts
from videogen.models import BUNDLED
from videogen.pipeline import VideoPipeline
from videogen.playroom.oracle import look
from videogen.playroom.scene import Scene
from videogen.playroom.score import Score

pytestmark = [  # some prompts have such words, and are read in the model's own
    pytest.mark.filterwarnings("ignore:.* held out of the training of this model"),
    pytest.mark.filterwarnings("ignore:.*in the model's own words"),
    pytest.mark.filterwarnings("ignore:.*read as"),
]


@pytest.fixture(scope="module")
def pipe() -> VideoPipeline:
    return VideoPipeline.from_pretrained()


def attributes_right(wanted: list[Scene], clips: np.ndarray) -> float:
    score = Score()
    for scene, seen in zip(wanted, look(clips), strict=True):
        score.add(scene, seen.scene)
    return float(score.figures()["attributes"])


def test_the_bundled_model_is_small() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.rglob("*")) < 40e6


def test_the_bundled_model_follows_prompts(pipe: VideoPipeline) -> None:
    prompts = read_prompts("playroom:32")
    clips = pipe(list(prompts.captions), num_frames=17, generator=0, output_type="uint8").frames
    wanted = [scene for scene in prompts.wanted if scene is not None]
    right, by_chance = (attributes_right(each, clips) for each in (wanted, wanted[1:] + wanted[:1]))
    assert right > by_chance + 0.55


@pytest.mark.slow
def test_the_bundled_model_keeps_the_scene_of_a_long_stream(pipe: VideoPipeline) -> None:
    """The background of the prompt is still there after half a minute."""
    prompts = read_prompts("playroom:4")
    clips = pipe(list(prompts.captions), num_frames=241, generator=0, output_type="uint8").frames[:, -17:]
    pairs = zip(look(clips), prompts.wanted, strict=True)
    assert sum(wanted is not None and seen.scene.backdrop == wanted.backdrop for seen, wanted in pairs) >= 3


def test_the_bundled_model_is_the_default_and_warns_about_unknown_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VIDEOGEN_MODEL", raising=False)
    ring = "a small red ring drifts left slowly over a dark blue background"
    for prompt, unknown in ((ring, False), ("a spaceship lands", True)):
        out = tmp_path / f"{unknown}.mp4"
        assert main(["generate", prompt, "-o", str(out), "--frames", "5", "--seed", "1", "--threads", "1"]) == 0
        assert out.exists()
        assert ("'a spaceship lands' is outside the playroom" in capsys.readouterr().err) is unknown


def test_the_number_of_threads_changes_no_byte(pipe: VideoPipeline) -> None:
    before, outputs = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        outputs.append(pipe("a big yellow star spins over plain black", num_frames=9, generator=3, output_type="uint8"))
    torch.set_num_threads(before)
    assert all(np.array_equal(one.frames, outputs[0].frames) for one in outputs)
