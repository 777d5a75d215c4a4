"""What users of diffusers type: names, callbacks, progress bars, and what a pipeline says of itself."""

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


def test_the_package_gives_its_names_without_loading_torch_before():
    code = (
        "import sys, videogen; assert 'torch' not in sys.modules; from videogen import VideoPipeline, load_video; "
        "assert set(videogen.__all__) <= set(dir(videogen)); assert VideoPipeline.__module__ == 'videogen.pipeline'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import videogen

    assert all(callable(getattr(videogen, name)) for name in videogen.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Pipeline'"):
        _ = videogen.Pipeline


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("nun_frames", "num_frames"),
        ("frames", "num_frames"),
        ("seed", "generator"),
        ("cfg_scale", "guidance_scale"),
        ("temprature", "temperature"),
    ],
)
def test_a_wrong_name_is_told_the_right_one(pipe, typed, meant):
    for call in (pipe, pipe.stream):
        with pytest.raises(UsageError, match=f"has no argument {typed}; did you mean {meant}\\?"):
            call(RING, **{typed: 3})


def test_wrong_names_where_there_is_none_alike(pipe, folders):
    with pytest.raises(UsageError, match="the call has no argument zzz; there are callback_on_step_end, "):
        pipe(RING, zzz=1)
    with pytest.raises(UsageError, match="from_pretrained has no argument tourch_dtype; did you mean torch_dtype"):
        VideoPipeline.from_pretrained(folders["masked"], tourch_dtype="float32")
    with pytest.raises(UsageError, match="callback_on_step_end_tensor_inputs has 'noise'; there are frames, codes"):
        pipe(RING, callback_on_step_end=lambda *_: None, callback_on_step_end_tensor_inputs=["noise"])


def test_it_says_what_it_is(pipe, folders):
    untold = VideoPipeline.from_pretrained(folders["untold"])
    assert (pipe.dtype, pipe.device) == (torch.float32, torch.device("cpu"))
    assert pipe.components["prior"] is pipe.model.network
    assert (pipe.components["text_encoder"] is None, untold.components["text_encoder"] is None) == (False, True)
    assert pipe.config["clips"] == {"height": 16, "width": 24, "frames": 9, "fps": 8.0}
    assert pipe.config["sampler"]["order"] == "halton"
    assert untold.config["text"] is None
    assert "9 frames of 16 x 24 at 8 a second" in repr(pipe)
    assert "text: none" in repr(untold)


def test_a_tuple_and_latents_where_they_are_asked_for(pipe):
    ids = pipe(RING, num_frames=9, generator=1, output_type="codes").frames
    given = pipe(RING, num_frames=9, generator=1, output_type="latent", return_dict=False)
    assert isinstance(given, tuple)
    assert len(given) == 1
    assert torch.equal(given[0], ids)


def test_a_callback_as_in_diffusers(pipe):
    seen = []

    def look(given, step, first, tensors):
        seen.append((step, first, sorted(tensors)))
        given._interrupt = step == 1
        return tensors

    wanted = {"callback_on_step_end": look, "callback_on_step_end_tensor_inputs": ["latents"]}
    frames = pipe(RING, num_frames=33, generator=1, **wanted).frames
    assert seen == [(0, 0, ["latents"]), (1, 1, ["latents"])]
    assert frames.shape[1] == 5
    assert pipe(RING, num_frames=9, generator=1).frames.shape[1] == 9, "the next call is not interrupted"
    with pytest.raises(UsageError, match="callback_on_step_end"):
        pipe(RING, num_frames=9, callback_on_step_end=lambda *got: {"latents": got[3]["latents"] * 0})


def test_a_progress_bar_where_somebody_looks(folders, capsys):
    pipe, file = VideoPipeline.from_pretrained(folders["masked"]), io.StringIO()
    pipe(RING, num_frames=9, generator=1)
    assert capsys.readouterr().err == "", "no terminal, no bar"
    pipe.set_progress_bar_config(disable=False, desc="a ring", file=file)
    pipe(RING, num_frames=7, image=np.zeros((16, 24, 3), np.uint8))
    assert "a ring: 100%" in file.getvalue()
    assert "7/7" in file.getvalue()
    with pytest.raises(UsageError, match=r"tqdm has no argument colr; did you mean colour\?"):
        pipe.set_progress_bar_config(colr="red")
    pipe.set_progress_bar_config(disable=True)
    length = len(file.getvalue())
    pipe(RING, num_frames=1)
    assert len(file.getvalue()) == length


def test_other_frame_sizes_are_warned_of_once(pipe):
    with pytest.warns(
        PipelineWarning, match="frames of 32 x 24 were asked for; the model was trained on 16 x 24"
    ) as told:
        pipe(RING, num_frames=1, height=32)
    assert [one.message.detail.kind for one in told] == ["frame_size"]


def test_a_new_prompt_in_a_stream_is_warned_of_where_it_is_set():
    pipe = VideoPipeline.from_pretrained()
    stream = pipe.stream("a small red ring drifts left over plain black", generator=1)
    with pytest.warns(PipelineWarning, match="'a crimson disk' is read as") as told:
        stream.prompt = "a crimson disk"
    assert told[0].filename == __file__
    assert stream.prompt == "a crimson disk"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.prompt = "a small blue ring drifts left over plain black"


def test_free_words_and_the_words_that_they_stand_for_make_the_same_bytes():
    pipe = VideoPipeline.from_pretrained()
    with pytest.warns(PipelineWarning, match="is read as"):
        free = pipe("crimson disk on navy", num_frames=1, generator=3, output_type="codes").frames
    own = pipe(
        pipe.model.prompt_vocabulary.read("crimson disk on navy").text, num_frames=1, generator=3, output_type="codes"
    )
    assert torch.equal(free, own.frames)


def test_a_picture_is_a_path_or_of_pil(pipe, tmp_path):
    image = Image.new("RGB", (24, 16), "red")
    image.save(tmp_path / "image.png")
    given = (image, np.asarray(image), tmp_path / "image.png", str(tmp_path / "image.png"))
    frames = [pipe(RING, num_frames=1, image=one, output_type="uint8").frames for one in given]
    assert all(np.array_equal(frames[0], other) for other in frames)


def test_the_vocabulary_goes_where_the_model_goes_and_is_named(pipe, tmp_path):
    assert "prompts" not in format_prior(pipe.model)
    pipe = VideoPipeline.from_pretrained()
    assert format_prior(pipe.model)["prompts"].endswith("held out of training: hoop, tiny, rotates")
    pipe.save_pretrained(tmp_path / "saved", dtype="float16")
    assert VideoPipeline.from_pretrained(tmp_path / "saved").model.prompt_vocabulary == pipe.model.prompt_vocabulary
