"""The diffusers-style interface of a pipeline: argument names, callbacks, progress bars, descriptions."""

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pipeline.tiny import RING
from videogen.errors import UsageError
from videogen.evaluation.info.prior import format_prior
from videogen.generation.pipeline_inputs import PipelineWarning
from videogen.pipeline import VideoPipeline


def test_importing_the_package_does_not_import_torch():
    code = (
        "import sys, videogen; assert 'torch' not in sys.modules; from videogen import VideoPipeline, load_video; "
        "assert set(videogen.__all__) <= set(dir(videogen)); assert VideoPipeline.__module__ == 'videogen.pipeline'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import videogen

    assert all(callable(getattr(videogen, name)) for name in videogen.__all__)
    with pytest.raises(AttributeError, match="'Pipeline'"):
        _ = videogen.Pipeline


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("nun_frames", "num_frames"),
        ("frames", "num_frames"),
        ("seed", "generator"),
        ("cfg_scale", "guidance_scale"),
        ("temprature", "temperature"),
    ],
)
def test_a_wrong_argument_name_gets_a_suggestion(pipe, typed, expected):
    for call in (pipe, pipe.stream):
        with pytest.raises(UsageError, match=f"{typed}.* {expected}\\?"):
            call(RING, **{typed: 3})


def test_argument_names_without_a_suggestion(pipe, folders):
    with pytest.raises(UsageError, match=r"zzz.* callback_on_step_end, "):
        pipe(RING, zzz=1)
    with pytest.raises(UsageError, match=r"tourch_dtype.* torch_dtype"):
        VideoPipeline.from_pretrained(folders["masked"], tourch_dtype="float32")
    with pytest.raises(UsageError, match=r"'noise'.* frames, codes"):
        pipe(RING, callback_on_step_end=lambda *_: None, callback_on_step_end_tensor_inputs=["noise"])


def test_components_config_and_repr(pipe, folders):
    textless = VideoPipeline.from_pretrained(folders["textless"])
    assert (pipe.dtype, pipe.device) == (torch.float32, torch.device("cpu"))
    assert pipe.components["prior"] is pipe.model.network
    assert (pipe.components["text_encoder"] is None, textless.components["text_encoder"] is None) == (False, True)
    assert pipe.config["clips"] == {"height": 16, "width": 24, "frames": 9, "fps": 8.0}
    assert pipe.config["sampler"]["order"] == "halton"
    assert textless.config["text"] is None
    assert "9 frames of 16 x 24 at 8 a second" in repr(pipe)
    assert "text: none" in repr(textless)


def test_output_type_latent_and_return_dict(pipe):
    codes = pipe(RING, num_frames=9, generator=1, output_type="codes").frames
    given = pipe(RING, num_frames=9, generator=1, output_type="latent", return_dict=False)
    assert isinstance(given, tuple)
    assert len(given) == 1
    assert torch.equal(given[0], codes)


def test_a_callback_as_in_diffusers(pipe):
    seen = []

    def callback(given, step, first, tensors):
        seen.append((step, first, sorted(tensors)))
        given._interrupt = step == 1
        return tensors

    arguments = {"callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": ["latents"]}
    frames = pipe(RING, num_frames=33, generator=1, **arguments).frames
    assert seen == [(0, 0, ["latents"]), (1, 1, ["latents"])]
    assert frames.shape[1] == 5
    assert pipe(RING, num_frames=9, generator=1).frames.shape[1] == 9, "the next call is not interrupted"
    with pytest.raises(UsageError, match="callback_on_step_end"):
        pipe(RING, num_frames=9, callback_on_step_end=lambda *got: {"latents": got[3]["latents"] * 0})


def test_the_progress_bar_shows_in_terminals_only(folders, capsys):
    pipe, file = VideoPipeline.from_pretrained(folders["masked"]), io.StringIO()
    pipe(RING, num_frames=9, generator=1)
    assert capsys.readouterr().err == "", "no terminal, no bar"
    pipe.set_progress_bar_config(disable=False, desc="a ring", file=file)
    pipe(RING, num_frames=7, image=np.zeros((16, 24, 3), np.uint8))
    assert "a ring: 100%" in file.getvalue()
    assert "7/7" in file.getvalue()
    with pytest.raises(UsageError, match=r"colr.* colour\?"):
        pipe.set_progress_bar_config(colr="red")
    pipe.set_progress_bar_config(disable=True)
    length = len(file.getvalue())
    pipe(RING, num_frames=1)
    assert len(file.getvalue()) == length


def test_one_warning_about_another_frame_size(pipe):
    with pytest.warns(PipelineWarning, match="32 x 24.* 16 x 24") as caught:
        pipe(RING, num_frames=1, height=32)
    assert [one.message.detail.kind for one in caught] == ["frame_size"]


def test_a_new_prompt_of_a_stream_warns_where_it_is_set():
    pipe = VideoPipeline.from_pretrained()
    stream = pipe.stream("a small red ring drifts left over plain black", generator=1)
    with pytest.warns(PipelineWarning, match="'a crimson disk'") as caught:
        stream.prompt = "a crimson disk"
    assert caught[0].filename == __file__
    assert stream.prompt == "a crimson disk"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.prompt = "a small blue ring drifts left over plain black"


def test_a_free_prompt_and_its_rewritten_form_give_the_same_codes():
    pipe = VideoPipeline.from_pretrained()
    with pytest.warns(PipelineWarning):
        free = pipe("crimson disk on navy", num_frames=1, generator=3, output_type="codes").frames
    own = pipe(
        pipe.model.prompt_vocabulary.read("crimson disk on navy").text, num_frames=1, generator=3, output_type="codes"
    )
    assert torch.equal(free, own.frames)


def test_an_image_is_a_path_an_array_or_a_pil_image(pipe, tmp_path):
    image = Image.new("RGB", (24, 16), "red")
    image.save(tmp_path / "image.png")
    given = (image, np.asarray(image), tmp_path / "image.png", str(tmp_path / "image.png"))
    frames = [pipe(RING, num_frames=1, image=one, output_type="uint8").frames for one in given]
    assert all(np.array_equal(frames[0], other) for other in frames)


def test_the_prompt_vocabulary_is_saved_with_the_model(pipe, tmp_path):
    assert "prompts" not in format_prior(pipe.model)
    pipe = VideoPipeline.from_pretrained()
    assert format_prior(pipe.model)["prompts"].endswith("held out of training: hoop, tiny, rotates")
    pipe.save_pretrained(tmp_path / "saved", dtype="float16")
    assert VideoPipeline.from_pretrained(tmp_path / "saved").model.prompt_vocabulary == pipe.model.prompt_vocabulary
