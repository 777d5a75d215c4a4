"""The pipeline call: outputs, settings, warnings and errors."""

import json
import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from sampling.config import SamplerConfig
from tests.pipeline.tiny import MASKED_ORDERS, RING, STAR, exact, write_model
from videogen.checkpoint import write_folder
from videogen.conditioning.bpe import BPEConditioner
from videogen.errors import CheckpointError, DataError, NumbersError, ResourceError, UsageError
from videogen.generation.arguments import as_seeds
from videogen.generation.pipeline_inputs import PipelineWarning
from videogen.models import load_prior, sampler_of
from videogen.pipeline import VideoPipeline


def codes_of(pipe, prompt, **options):
    return pipe(prompt, num_frames=9, output_type="codes", **options).frames


@pytest.mark.parametrize("order", [*MASKED_ORDERS, "autoregressive"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.filterwarnings("ignore:the negative prompt has no effect")
def test_a_video_of_a_batch_equals_the_video_alone(folders, order, scale):
    pipe = exact(VideoPipeline.from_pretrained(folders["autoregressive" if order == "autoregressive" else "masked"]))
    settings = {"order": order, "guidance_scale": scale, "num_inference_steps": 4}
    negative = ["", "blue", RING]
    together = codes_of(pipe, [RING, STAR, ""], generator=[5, 6, 5], negative_prompt=negative, **settings)
    for row, (prompt, seed) in enumerate(zip([RING, STAR, ""], [5, 6, 5], strict=True)):
        alone = codes_of(pipe, prompt, generator=seed, negative_prompt=negative[row], **settings)
        assert torch.equal(alone[0], together[row])


def test_each_video_of_a_prompt_has_the_next_seed(folders):
    pipe = exact(VideoPipeline.from_pretrained(folders["masked"]))
    out = pipe([RING, STAR], num_videos_per_prompt=2, num_frames=9, generator=7, output_type="codes")
    assert out.seeds == (7, 8, 9, 10)
    for row, prompt in enumerate([RING, RING, STAR, STAR]):
        assert torch.equal(codes_of(pipe, prompt, generator=7 + row)[0], out.frames[row])
    assert len({tuple(row.flatten().tolist()) for row in out.frames}) == 4


def test_seeds_from_integers_and_generators():
    assert as_seeds(3, 2) == as_seeds(np.int64(3), 2) == (3, 4)
    assert as_seeds([9, np.int64(1)], 2) == as_seeds(np.array([9, 1]), 2) == as_seeds(torch.tensor([9, 1]), 2)
    assert as_seeds([9, np.int64(1)], 2) == (9, 1)
    one, same = (torch.Generator().manual_seed(1) for _ in range(2))
    assert as_seeds(one, 3) == as_seeds(same, 3)
    assert as_seeds(one, 3) != as_seeds(torch.Generator().manual_seed(1), 3)
    torch.manual_seed(5)
    drawn = as_seeds(None, 2)
    torch.manual_seed(5)
    assert as_seeds(None, 2) == drawn
    with pytest.raises(UsageError, match=r"2 .* 3"):
        as_seeds([1, 2], 3)


def test_the_prompt_and_the_guidance_change_the_video(pipe):
    first = codes_of(pipe, RING, generator=0)
    assert not torch.equal(first, codes_of(pipe, STAR, generator=0))
    assert not torch.equal(first, codes_of(pipe, RING, generator=0, guidance_scale=4.0))
    assert not torch.equal(codes_of(pipe, RING, generator=2), codes_of(pipe, RING, generator=2, history_noise=0.5))
    away = codes_of(pipe, RING, generator=0, guidance_scale=4.0, negative_prompt=STAR)
    assert not torch.equal(away, codes_of(pipe, RING, generator=0, guidance_scale=4.0))
    nothing = codes_of(pipe, RING, generator=0, guidance_scale=0.0)
    assert torch.equal(nothing, codes_of(pipe, STAR, generator=0, guidance_scale=0.0))


def test_a_model_without_text_runs_no_guidance_pass(folders):
    pipe = VideoPipeline.from_pretrained(folders["textless"])
    assert not pipe.request(RING, None, 1, 3, {"guidance_scale": 4.0}).sampler.guided
    with pytest.warns(UserWarning, match="the prompt and guidance"):
        asked = codes_of(pipe, RING, generator=3, guidance_scale=4.0)
    assert torch.equal(asked, codes_of(pipe, "", generator=3))


def test_ignored_inputs_give_one_warning_per_call(pipe):
    long = "a ring and " * 20
    with pytest.warns(UserWarning, match="the prompt .* 48 tokens"):
        pipe.stream(long)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipe([long, RING, long + "a star"], negative_prompt="blue", num_frames=1)
    assert [str(one.message) for one in caught] == [
        "2 of 3 prompts are longer than 48 tokens and lose their end",
        "the negative prompt has no effect while guidance_scale is 1",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe([RING, STAR], negative_prompt="blue", guidance_scale=2.0, num_frames=1)
        VideoPipeline.from_pretrained().request("a dragon", None, 1, 3, {})
    with pytest.warns(PipelineWarning, match="'a dragon'") as caught:
        VideoPipeline.from_pretrained().stream("a dragon")
    assert caught[0].message.detail.words[0].word == "dragon"
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="'tiny'"):
        VideoPipeline.from_pretrained().stream("a tiny red disc stays still over plain black")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threshold": 0.5}, "threshold has no effect while order is halton"),
        ({"noise": 2.0}, "noise has no effect while order is halton"),
        ({"guidance_schedule": "cosine"}, "guidance_schedule has no effect while guidance_scale is 1"),
        ({"steps": 7}, "steps = 7: a latent frame has 6 tokens, and so at most 6 steps"),
        ({"threshold": 0.5, "order": "threshold"}, None),
        ({"noise": 2.0, "order": "confidence"}, None),
        ({"guidance_schedule": "cosine", "guidance_scale": 2.0}, None),
        ({"guidance_end": 0.5}, "guidance_end has no effect while guidance_scale is 1"),
        ({"guidance_end": 0.5, "guidance_scale": 2.0}, None),
        (
            {"guidance_start": 0.5, "guidance_end": 0.25, "guidance_scale": 2.0},
            "guidance_start = 0.5 is above guidance_end = 0.25: no step has guidance",
        ),
        ({"entropy_bound": 0.5}, "entropy_bound has no effect while order is halton"),
        (
            {"entropy_bound": 0.5, "order": "entropy", "temperature": 0},
            "entropy_bound has no effect while temperature is 0: no token is uncertain",
        ),
        ({"entropy_bound": 0.5, "order": "entropy"}, None),
        ({"group_steps": "3", "order": "raster"}, "group_steps has no effect while order is raster"),
        ({"group_steps": "3", "steps": 4}, "steps has no effect while group_steps is 3"),
        ({"group_steps": "3", "draft_threshold": 0.5}, None),
        ({"steps": 6, "threshold": None, "noise": None}, None),
    ],
)
def test_settings_without_effect_give_a_warning_at_the_call(pipe, settings, expected):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipe(RING, num_frames=1, generator=1, **settings)
    assert [str(one.message) for one in caught] == ([] if expected is None else [expected])
    assert all(one.filename == __file__ for one in caught)


def test_inference_mode_gives_the_same_video_and_can_be_left(folders):
    def ids(pipe):
        return codes_of(pipe, RING, generator=1)

    with torch.inference_mode():
        pipe = VideoPipeline.from_pretrained(folders["masked"])
        inside, stream = ids(pipe), pipe.stream(RING, generator=1)
        first = next(stream)
    expected = VideoPipeline.from_pretrained(folders["masked"])
    assert torch.equal(inside, ids(expected))
    assert torch.equal(ids(pipe), inside)
    other = expected.stream(RING, generator=1)
    assert all(np.array_equal(mine, next(other)) for mine in (first, *(next(stream) for _ in range(8))))
    with torch.inference_mode():
        pipe.to(torch.bfloat16)
    assert torch.equal(ids(pipe), ids(expected.to(dtype="bfloat16")))


def test_dtype_and_device_arguments(folders):
    pipe = VideoPipeline.from_pretrained(folders["masked"], torch_dtype=torch.bfloat16)
    assert pipe.model.network.norm.weight.dtype is torch.bfloat16
    assert pipe.to(torch.float32).model.network.norm.weight.dtype is torch.float32
    assert pipe.to(torch.device("cpu")).device == torch.device("cpu")
    with pytest.raises(UsageError, match="torch_dtype"):
        VideoPipeline.from_pretrained(folders["masked"], dtype="float32", torch_dtype=torch.float32)
    with pytest.raises(UsageError, match="device gpu"):
        pipe.to("gpu")
    with pytest.raises(ResourceError, match="device mps"):
        pipe.to("mps")


def test_the_models_top_k_and_top_p_can_be_switched_off(tmp_path):
    pipe = VideoPipeline.from_pretrained(write_model(tmp_path / "cut", settings={"top_k": 1}))
    free = VideoPipeline.from_pretrained(write_model(tmp_path / "free"))
    assert not torch.equal(codes_of(pipe, RING, generator=1), codes_of(free, RING, generator=1))
    assert torch.equal(codes_of(pipe, RING, generator=1, top_k=0), codes_of(free, RING, generator=1))


def test_the_text_encoder_moves_with_the_networks(folders, monkeypatch):
    """The text encoder is loaded late, so `to` only sets its device."""
    devices = []
    monkeypatch.setattr(BPEConditioner, "to", lambda self, device: devices.append(device))
    VideoPipeline.from_pretrained(folders["masked"], device="cpu:0").to("cpu")
    VideoPipeline.from_pretrained(folders["masked"]).to(dtype="bfloat16")
    assert devices == ["cpu:0", "cpu"]


def test_every_output_type_holds_the_same_video(pipe):
    out = {kind: pipe([RING, STAR], num_frames=6, generator=1, output_type=kind).frames
           for kind in ("np", "pt", "pil", "uint8", "codes")}  # fmt: skip
    frames = out["uint8"]
    assert frames.dtype == np.uint8
    assert frames.shape == (2, 6, 16, 24, 3)
    assert out["np"].dtype == np.float32
    assert np.array_equal(np.rint(out["np"] * 255).astype(np.uint8), frames)
    assert out["pt"].shape == (2, 6, 3, 16, 24)
    assert np.array_equal((out["pt"] * 255).round().permute(0, 1, 3, 4, 2).numpy().astype(np.uint8), frames)
    assert isinstance(out["pil"][0][0], Image.Image)
    assert np.array_equal(np.stack([np.stack(video) for video in out["pil"]]), frames)
    assert out["codes"].shape == (2, 3, 6, 4)
    with pytest.raises(UsageError, match="'mp4'"):
        pipe(RING, output_type="mp4")


def test_a_shorter_video_is_the_start_of_a_longer_one(pipe):
    whole = pipe(RING, num_frames=13, generator=1, output_type="uint8").frames
    for count in (1, 2, 5, 6, 12):
        frames = pipe(RING, num_frames=count, generator=1, output_type="uint8").frames
        assert np.array_equal(frames, whole[:, :count])
    assert pipe(RING, generator=1).frames.shape[1] == 9, "as long as the clips that the prior was taught on"


def test_a_video_can_start_with_an_image(pipe, tmp_path):
    image = pipe(RING, num_frames=1, generator=1, output_type="uint8").frames[0, 0]
    frames = pipe(RING, num_frames=1, image=image, output_type="uint8").frames
    assert frames.shape == (1, 1, 16, 24, 3)
    Image.fromarray(image).save(tmp_path / "image.png")
    for place in (tmp_path / "image.png", str(tmp_path / "image.png")):
        assert np.array_equal(pipe(RING, num_frames=1, image=place, output_type="uint8").frames, frames)
    with pytest.raises(DataError, match="nowhere"):
        pipe(RING, num_frames=1, image="nowhere.png")
    several = pipe([RING, STAR], num_frames=6, image=Image.fromarray(image), generator=1, output_type="uint8").frames
    assert np.array_equal(several[0, 0], several[1, 0])
    assert np.array_equal(several[0, :1], frames[0])
    assert pipe(RING, num_frames=6, image=image, output_type="codes").frames.shape[1] == 3


def test_the_callback_gets_each_latent_frame_and_may_end_the_call(pipe):
    seen = []

    def callback(given, number, first, tensors):
        assert given is pipe
        seen.append((number, first, tensors["frames"].shape[1], tuple(tensors["codes"].shape)))
        return number == 2

    out = pipe([RING, STAR], num_frames=33, generator=1, callback_on_step_end=callback, output_type="uint8")
    assert seen == [(0, 0, 1, (2, 6, 4)), (1, 1, 4, (2, 6, 4)), (2, 5, 4, (2, 6, 4))]
    assert out.frames.shape[1] == 9
    assert np.array_equal(out.frames, pipe([RING, STAR], num_frames=9, generator=1, output_type="uint8").frames)


def test_the_output_has_stats(pipe):
    out = pipe([RING, STAR], num_frames=9, num_inference_steps=2)
    assert out.steps == 2
    assert (out.stats.frames, out.stats.latent_frames, out.stats.videos) == (18, 3, 2)
    assert out.stats.first_frame < out.stats.prior + out.stats.decoder + 60


def test_the_models_settings_are_used_and_can_be_overridden(tmp_path):
    settings = {"order": "random", "steps": 2, "temperature": 0.5, "top_k": 3, "guidance_scale": 2.0}
    folder = write_model(tmp_path / "model", settings=settings)
    pipe = VideoPipeline.from_pretrained(folder)
    assert pipe.sampler == SamplerConfig(**settings)
    plain = VideoPipeline(pipe.model, SamplerConfig())
    assert torch.equal(codes_of(pipe, RING, generator=1), codes_of(plain, RING, generator=1, **settings))
    changed = {**settings, "order": "halton", "steps": 5, "top_k": 1000}
    again = codes_of(pipe, RING, generator=1, num_inference_steps=5, order="halton", top_k=1000, top_p=None)
    assert torch.equal(again, codes_of(plain, RING, generator=1, **changed))


def test_invalid_settings_of_a_model_are_refused(tmp_path):
    for settings, words in (({"order": "best"}, "order"), ({"stepz": 3}, "stepz")):
        model = load_prior(write_model(tmp_path / "model", settings=settings))
        with pytest.raises(CheckpointError, match=words):
            sampler_of(model)


def test_the_default_order_follows_the_objective(pipe, autoregressive_pipe):
    assert pipe.sampler == SamplerConfig()
    assert autoregressive_pipe.sampler == SamplerConfig(order="autoregressive")


@pytest.mark.parametrize("name", ["masked", "autoregressive", "textless"])
def test_a_saved_pipeline_generates_the_same_bytes(folders, name, tmp_path):
    pipe = VideoPipeline.from_pretrained(folders[name])
    pipe.sampler = pipe.sampler_with({"temperature": 0.7, "guidance_scale": 1.5})
    pipe.save_pretrained(tmp_path / "saved")
    opened = VideoPipeline.from_pretrained(tmp_path / "saved")
    assert opened.sampler == pipe.sampler
    assert opened.model.clips == pipe.model.clips
    prompt = "" if name == "textless" else RING
    one, two = (each(prompt, num_frames=9, generator=3, output_type="uint8").frames for each in (pipe, opened))
    assert np.array_equal(one, two)
    written = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert written == asdict(pipe.sampler)
    before = {place.name: place.read_bytes() for place in (tmp_path / "saved").rglob("*.safetensors")}
    opened.save_pretrained(tmp_path / "saved")
    assert {place.name: place.read_bytes() for place in (tmp_path / "saved").rglob("*.safetensors")} == before


def test_float16_weights_take_half_the_size_and_load_as_float32(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "whole")
    pipe.save_pretrained(tmp_path / "half", dtype="float16")
    whole, half = (tmp_path / name / "prior" / "model.safetensors" for name in ("whole", "half"))
    assert half.stat().st_size < 0.7 * whole.stat().st_size  # names and shapes take some, too
    again = VideoPipeline.from_pretrained(tmp_path / "half")
    for name, tensor in pipe.model.network.state_dict().items():
        assert torch.equal(again.model.network.state_dict()[name], tensor.half().float())
    assert again.model.tokenizer.fingerprint == pipe.model.tokenizer.fingerprint
    with pytest.raises(UsageError, match="int8"):
        pipe.save_pretrained(tmp_path / "other", dtype="int8")


def test_saving_replaces_only_models(pipe, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years")
    with pytest.raises(UsageError, match="thesis"):
        pipe.save_pretrained(tmp_path / "thesis")
    with pytest.raises(UsageError, match="thesis"):
        pipe.save_pretrained(tmp_path / "thesis" / "chapter.md")
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "years"
    (tmp_path / "empty").mkdir()
    pipe.save_pretrained(tmp_path / "empty")
    VideoPipeline.from_pretrained(tmp_path / "empty")


def test_half_precision_generates_videos(folders):
    for dtype in ("bfloat16", torch.float64):
        pipe = VideoPipeline.from_pretrained(folders["masked"], "cpu", dtype)
        assert pipe.model.network.norm.weight.dtype in (torch.bfloat16, torch.float64)
        assert pipe(RING, num_frames=6, guidance_scale=2.0, generator=0).frames.shape == (1, 6, 16, 24, 3)
    for dtype in ("int8", "colour", torch.int64):
        with pytest.raises(UsageError, match="expected float32"):
            VideoPipeline.from_pretrained(folders["masked"], dtype=dtype)


@pytest.mark.parametrize("order", MASKED_ORDERS[:-1])
def test_parallel_orders_are_refused_for_an_autoregressive_prior(autoregressive_pipe, order):
    with pytest.raises(UsageError, match=f"order = {order} .*use autoregressive, raster"):
        autoregressive_pipe(RING, order=order)


def test_order_autoregressive_is_refused_for_a_masked_prior(pipe):
    with pytest.raises(UsageError, match=r"order = autoregressive .*halton"):
        pipe.stream(RING, order="autoregressive")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_frames": 0}, "num_frames is 0"),
        ({"height": 20}, "20 x 24"),
        ({"height": 0}, "0 x 24"),
        ({"temperature": -1}, "temperature = -1"),
        ({"num_inference_steps": 0}, "steps = 0"),
        ({"num_inference_steps": 4, "steps": 4}, "num_inference_steps and steps"),
        ({"colour": 3}, "colour"),
        ({"history_noise": 1.5}, "history_noise = 1.5"),
        ({"num_videos_per_prompt": 0}, "num_videos_per_prompt"),
        ({"num_videos_per_prompt": 1.5}, "num_videos_per_prompt is 1.5"),
        ({"num_frames": 2.5}, "num_frames is 2.5"),
        ({"num_inference_steps": 2.5}, "steps = 2.5"),
        ({"top_k": 1.5}, "top_k = 1.5"),
        ({"width": 24.5}, "width is 24.5"),
        ({"generator": 1.5}, r"generator is 1\.5"),
        ({"generator": "seed"}, "generator is seed"),
        ({"generator": [None, 1.5], "num_videos_per_prompt": 2}, r"generator is 1\.5"),
        ({"negative_prompt": [None]}, r"negative_prompt is \[None\]"),
        ({"negative_prompt": ["a", "b"]}, "2 .* 1 "),
        ({"image": np.zeros((16, 24, 3), np.uint8), "video": np.zeros((1, 16, 24, 3), np.uint8)}, "video and image"),
    ],
)
def test_invalid_arguments_are_named(pipe, options, words):
    with pytest.raises(UsageError, match=words):
        pipe(RING, **options)
    with pytest.raises(UsageError):
        pipe([], num_frames=1)
    for prompt in (7, [RING, None]):
        with pytest.raises(UsageError, match=r"^prompt is "):
            pipe(prompt, num_frames=1)


@pytest.mark.parametrize("name", ["masked", "autoregressive"])
def test_nan_in_the_prior_ends_the_call_at_its_latent_frame(folders, name):
    pipe, seen = VideoPipeline.from_pretrained(folders[name]), []
    weights = pipe.model.network.layers[-1].state_dict()

    def set_nan(given, number, first, tensors):
        seen.append(number)
        if number == 1:
            pipe.model.network.layers[-1].q_norm.weight.data[0] = torch.nan  # of those that are not packed

    with pytest.raises(NumbersError, match="latent frame 2"):
        pipe(RING, num_frames=33, callback_on_step_end=set_nan)
    assert seen == [0, 1]
    assert weights


def test_an_edited_generation_config_is_found_by_its_hash(tmp_path):
    folder = write_model(tmp_path / "model", settings={"steps": 3})
    (folder / "generation_config.json").write_text('{"steps": 4}')
    with pytest.raises(CheckpointError, match="videogen export"):
        VideoPipeline.from_pretrained(folder)
    write_folder(tmp_path / "other", {"notes.txt": "hello"})
    with pytest.raises(CheckpointError, match="not a model"):
        VideoPipeline.from_pretrained(tmp_path / "other")
