"""Controls in calls and streams: one law for both, alone and in a batch, with guidance on them or without."""

import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from prior.config import ControlConfig
from tests.pipeline.tiny import RING, STAR, exact, write_model
from tests.tokenizer.models import noise_clip
from videogen.cli import main
from videogen.errors import UsageError
from videogen.generate import Context, GenerationRequest, prefill, step
from videogen.io import read_metadata
from videogen.io.pixels import to_frames
from videogen.pipeline import VideoPipeline

ACTIONS, NUMBERS = ControlConfig(discrete=4), ControlConfig(floats=2)
PLANS = {"actions": [3, 0, 0, None, 1], "numbers": [[9.0, -9.0], [0.0, 4.0], None, [1.0, 1.0], [-5.0, 0.5]]}
FRAMES = 22  # of six latent frames: the last control holds
MODELS = {
    "actions": {"control": ACTIONS},
    "numbers": {"control": NUMBERS},
    "textless": {"control": ACTIONS, "text": False},
    "autoregressive": {"control": ACTIONS, "objective": "autoregressive"},
    "plain": {},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("controlled")
    return {name: write_model(home / name, **options) for name, options in MODELS.items()}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pipes(folders: dict[str, Path]) -> dict[str, VideoPipeline]:
    return {name: exact(VideoPipeline.from_pretrained(folder)) for name, folder in folders.items()}


def codes(pipe: VideoPipeline, prompt: str | list[str] = RING, **options) -> torch.Tensor:
    """[V, T', N, K]"""
    settings = {"num_frames": FRAMES, "generator": 5, "guidance_scale": 1.0, "steps": 3, **options}
    return pipe(prompt, output_type="codes", **settings).frames


def frames(pipe: VideoPipeline, **options) -> np.ndarray:
    settings = {"num_frames": FRAMES, "generator": 5, "steps": 3, **options}
    return pipe(RING, output_type="uint8", **settings).frames[0]


def taken(stream, count: int) -> np.ndarray:
    return np.stack(list(islice(stream, count)))


@pytest.mark.parametrize("options", [{}, *({"guidance_scale": 2.0, "guidance_drops": d} for d in ("text", "both"))])
@pytest.mark.parametrize("name", PLANS)
def test_a_stream_with_a_list_is_the_call_with_it(pipes, name, options):
    pipe, plan = pipes[name], PLANS[name]
    offline = frames(pipe, control=plan, **options)
    assert np.array_equal(taken(pipe.stream(RING, generator=5, steps=3, control=plan, **options), FRAMES), offline)
    assert not np.array_equal(frames(pipe, **options), offline)


@pytest.mark.parametrize("drops", ["text", "control", "both"])
@pytest.mark.parametrize("name", PLANS)
def test_a_control_set_in_a_stream_holds_from_the_next_latent_frame_on(pipes, name, drops):
    pipe, plan = pipes[name], PLANS[name]
    options = {"guidance_scale": 2.0, "guidance_drops": drops}
    stream, parts = pipe.stream(RING, generator=5, steps=3, **options), []
    for number, control in enumerate(plan):  # set while frames of the latent frame before are still to come
        stream.control = control
        parts.append(taken(stream, 4 if number else 2))
    parts.append(taken(stream, FRAMES - sum(map(len, parts))))
    # the first frame is a latent frame of its own, so the two taken first have the first control, and so have four more
    first, *rest = plan
    assert np.array_equal(np.concatenate(parts), frames(pipe, control=[first, first, *rest], **options))


@pytest.mark.parametrize("name", PLANS)
def test_a_video_alone_is_the_same_as_in_a_batch(pipes, name):
    pipe, plan = pipes[name], PLANS[name]
    other = plan[::-1][:2]
    for options in ({}, {"guidance_scale": 2.0, "guidance_drops": "control"}):
        both = codes(pipe, [RING, STAR], control=[plan, other], generator=[5, 6], **options)
        assert torch.equal(both[:1], codes(pipe, control=plan, **options))
        assert torch.equal(both[1:], codes(pipe, STAR, control=other, generator=6, **options))
        assert not torch.equal(both[:1], codes(pipe, control=other, **options))
    pairs = codes(pipe, [RING, STAR], control=[plan, other], generator=[5, 7, 6, 8], num_videos_per_prompt=2)
    assert torch.equal(pairs[[0, 2]], codes(pipe, [RING, STAR], control=[plan, other], generator=[5, 6]))


@pytest.mark.parametrize("name", PLANS)
def test_guidance_of_scale_0_is_the_second_stream_alone(pipes, name):
    """By definition: what the second stream goes without, the video goes without, from its first latent frame on."""
    pipe, plan, zero = pipes[name], PLANS[name], {"guidance_scale": 0.0}
    own, no_control = codes(pipe, control=plan), codes(pipe)
    no_text = codes(pipe, "", control=plan)
    assert torch.equal(codes(pipe, control=plan, guidance_drops="control", **zero), no_control)
    assert torch.equal(codes(pipe, control=plan, guidance_drops="text", **zero), no_text)
    assert torch.equal(codes(pipe, control=plan, guidance_drops="both", **zero), codes(pipe, ""))
    assert len({tuple(each.flatten().tolist()) for each in (own, no_control, no_text)}) == 3


def test_guidance_of_scale_0_after_a_new_prompt_and_token_by_token(pipes):
    pipe, plan = pipes["autoregressive"], PLANS["actions"]
    options = {"guidance_scale": 0.0, "guidance_drops": "control", "order": "autoregressive"}
    assert torch.equal(codes(pipe, control=plan, **options), codes(pipe, order="autoregressive"))
    pipe, streams = pipes["actions"], []
    for settings in ({"guidance_scale": 1.0}, {"control": plan, "guidance_scale": 0.0, "guidance_drops": "control"}):
        stream = pipe.stream(RING, generator=5, steps=3, **settings)
        before = taken(stream, 9)
        stream.prompt = STAR  # the cache is computed again
        streams.append(np.concatenate([before, taken(stream, 8)]))
    assert np.array_equal(*streams)


def test_guidance_follows_the_control_more_closely_without_text_too(pipes):
    """A model without text has guidance on its control alone; else it would cost a second pass for nothing."""
    pipe = pipes["textless"]
    request = pipe.request("", None, 1, 5, {"guidance_scale": 3.0, "guidance_drops": "control"}, control=1)
    assert request.sampler.guided
    assert not pipe.request("", None, 1, 5, {"guidance_scale": 3.0}, control=1).sampler.guided
    guided = codes(pipe, "", control=1, guidance_scale=3.0, guidance_drops="control")
    assert not torch.equal(guided, codes(pipe, "", control=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes(pipe, "", control=1, guidance_scale=3.0, guidance_drops="control")
    with pytest.warns(UserWarning, match="guidance has no effect"):
        codes(pipe, "", control=1, guidance_scale=3.0)


def test_after_an_image_or_a_clip_the_list_begins_with_the_first_new_latent_frame(pipes):
    pipe = pipes["actions"]
    clip = to_frames(noise_clip(1, 9, 16, 24))[0].numpy()
    for given in ({"image": clip[0]}, {"video": clip}):
        offline = frames(pipe, control=[1, 2], num_frames=13, **given)
        stream = pipe.stream(RING, generator=5, steps=3, control=[1, 2], **given)
        assert np.array_equal(taken(stream, 13), offline)
        assert stream.control == (2,)
        assert not np.array_equal(frames(pipe, control=[1], num_frames=13, **given), offline)


def test_a_state_has_the_controls_that_are_left(pipes):
    pipe = pipes["actions"]
    stream = pipe.stream(RING, generator=5, steps=3, control=PLANS["actions"])
    first = taken(stream, 6)
    state = stream.state()
    rest = [taken(one, FRAMES - 6) for one in (stream, pipe.restore(state), pipe.restore(state))]
    offline = frames(pipe, control=PLANS["actions"])
    for each in rest:
        assert np.array_equal(np.concatenate([first, each]), offline)


def test_a_context_keeps_absent_controls(pipes):
    model = pipes["actions"].model
    request = GenerationRequest((RING,), ("",), (1,), pipes["actions"].sampler, controls=((2,),))
    state = prefill(model, request, Context(model.spec.empty(1, 1), model.spec))
    state, _ = step(model, request, state, control=torch.tensor([2]))
    assert state.context.control_BT is not None
    assert state.context.control_BT.tolist() == [[-1, 2]]
    with pytest.raises(ValueError, match=r"controls are 1 for 2 videos"):
        GenerationRequest((RING,) * 2, ("",) * 2, (1, 2), pipes["actions"].sampler, controls=((2,),))


@pytest.mark.parametrize("control", [4, -1, 0.5, "left", [], [0, 9], [[0], [1], [2]]])
def test_a_wrong_control_is_refused_at_once(pipes, control):
    with pytest.raises(UsageError, match="control"):
        codes(pipes["actions"], [RING, STAR], control=control)
    stream = pipes["actions"].stream(RING, generator=5)
    with pytest.raises(UsageError, match="control is"):
        stream.control = control


def test_a_model_without_controls_refuses_them(pipes):
    pipe = pipes["plain"]
    for use in (lambda: codes(pipe, control=0), lambda: setattr(pipe.stream(RING), "control", 0)):
        with pytest.raises(UsageError, match="takes no control"):
            use()
    with pytest.raises(UsageError, match="guidance_drops = both"):
        codes(pipe, guidance_drops="both", guidance_scale=2.0)
    assert codes(pipe, control=None).shape[1] == 7


def test_warnings_say_what_guidance_ignores(pipes):
    pipe = pipes["actions"]
    with pytest.warns(UserWarning, match="negative prompt has no effect while guidance_drops is control"):
        codes(pipe, negative_prompt=STAR, guidance_scale=2.0, guidance_drops="control")
    with pytest.warns(UserWarning, match="guidance_drops has no effect while guidance_scale is 1"):
        codes(pipe, guidance_drops="control")


@pytest.mark.parametrize(
    ("name", "text", "plan"),
    [
        ("actions", "3,0,none,1", [3, 0, None, 1]),
        ("actions", "2", [2]),
        ("numbers", "0.5,-1", [[0.5, -1.0]]),
        ("numbers", "0.5,-1;none;0,3", [[0.5, -1.0], None, [0.0, 3.0]]),
        ("actions", "file", [1, 2]),
        ("numbers", "file", [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_commands_take_controls_and_files_store_them(folders, tmp_path, name, text, plan):
    if text == "file":
        text = str(tmp_path / "rows.npy")
        np.save(text, np.array(plan))
    common = ["--model", str(folders[name]), "--seed", "5", "--frames", "9", "--steps", "3", "--quiet"]
    assert main(["generate", RING, "-o", str(tmp_path / "call"), *common, "--control", text]) == 0
    assert main(["stream", RING, "-o", str(tmp_path / "stream"), *common, "--control", text]) == 0
    assert main(["generate", RING, "-o", str(tmp_path / "none"), *common]) == 0
    call, stream, none = (
        [picture.read_bytes() for picture in sorted((tmp_path / folder).glob("*.png"))]
        for folder in ("call", "stream", "none")
    )
    assert len(call) == 9
    assert call == stream
    assert call != none
    assert main(["generate", RING, "-o", str(tmp_path / "call.mp4"), *common, "--control", text]) == 0
    assert read_metadata(tmp_path / "call.mp4")["control"] == plan
    longer = ["continue", str(tmp_path / "call.mp4"), "-o", str(tmp_path / "longer.mp4"), *common]
    assert main([*longer, "--prompt", RING, "--control", text]) == 0
    assert read_metadata(tmp_path / "longer.mp4")["control"] == plan


def test_prompts_of_a_command_may_have_a_list_each(folders, tmp_path):
    common = ["--model", str(folders["actions"]), "--seed", "5", "--frames", "5", "--steps", "3", "--quiet"]
    assert main(["generate", RING, STAR, "-o", str(tmp_path / "x.mp4"), *common, "--control", "0,1;2"]) == 0
    controls = [read_metadata(tmp_path / f"x_{number:03}.mp4")["control"] for number in range(2)]
    assert controls == [[0, 1], [2]]


@pytest.mark.parametrize("text", ["left", "9", "0,1.5", "0;1,2", "missing.npy", "", "1,,2"])
def test_a_wrong_control_on_the_command_line_is_a_usage_error(folders, tmp_path, capsys, text):
    command = ["generate", RING, "-o", str(tmp_path / "x.mp4"), "--model", str(folders["actions"]), "--control", text]
    assert main(command) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "control" in lines[-1] or "missing.npy" in lines[-1]
    assert not (tmp_path / "x.mp4").exists()
