"""`videogen convert lumos1` of a small random checkpoint, and every way to make videos with what it makes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.conditioning.tokenizer_files import SPECIAL, byte_tokenizer
from tests.prior.lumos import lumos_model, published, settings_of, small_lumos
from tests.tokenizer.foreign.cosmos import LEVELS, cosmos_model, small_cosmos
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.errors import UsageError
from videogen.generation.pipeline_inputs import PipelineWarning
from videogen.models import load_prior, load_tokenizer, tokenizer_files
from videogen.pipeline import VideoPipeline
from videogen.serve.worker.model_description import describe_model

TEXT_IDS = 65_536
MODEL = lumos_model(small_lumos(shape=(4, 4), text_ids=TEXT_IDS, codebooks=LEVELS, heads=2)).float()
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PROMPT, OTHER = "a red bird", "a blue boat at night"


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small_cosmos()
    network = cosmos_model(config)
    place = tmp_path_factory.mktemp("cosmos") / "model"
    write_folder(place, tokenizer_files(config, ClipSpec(32, 32, 4.0, 9), network.state_dict(), "a tokenizer"))
    return place


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `save_pretrained` of transformers writes it: two shards, an index, a configuration; and a tokenizer."""
    folder = tmp_path_factory.mktemp("lumos") / "stage-2-joint"
    folder.mkdir()
    tensors = published(MODEL)
    names = list(tensors)
    shards = {FIRST: names[: len(names) // 2], SECOND: names[len(names) // 2 :]}
    for shard, inside in shards.items():
        save_file({name: tensors[name].bfloat16().clone() for name in inside}, folder / shard, {"format": "pt"})
    places = {name: shard for shard, inside in shards.items() for name in inside}
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": places})
    write_json(folder / "config.json", {**settings_of(MODEL.config), "architectures": ["ChameleonXLLMX"]})
    write_json(folder / "generation_config.json", {"eos_token_id": 2})
    write_json(folder / "tokenizer.json", byte_tokenizer())
    return folder


def write_json(place: Path, content: Any) -> None:
    place.write_text(json.dumps(content), encoding="utf-8")


def convert(source: Path, out: Path, cosmos: Path, *more: str) -> int:
    clips = ["--size", "32x32", "--fps", "4", "--frames", "9"]
    return main(["convert", "lumos1", str(source), str(out), f"tokenizer={cosmos}", "length=250", *clips, *more])


@pytest.fixture(scope="module")
def model(source: Path, cosmos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "model"
    assert convert(source, out, cosmos) == 0
    return out


def test_the_model_is_the_published_one(
    model: Path, source: Path, cosmos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = load_prior(model)
    assert found.tokenizer.fingerprint == load_tokenizer(cosmos).fingerprint
    assert (found.config.kind, found.config.window, found.config.seconds, found.config.fps) == ("lumos1", 2, 2, 4)
    for name, tensor in MODEL.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], tensor.bfloat16().float()), name
    ids = found.conditioner([PROMPT]).content[0].tolist() if found.conditioner else []
    words = bytes(number - 30_000 for number in ids if number >= 30_000).decode()
    assert words == (
        "Generate a video with a resolution of 32x32, consisting of 8 frames at 4 frames per second, "
        f"according to the following prompt:\n {PROMPT}"
    )
    assert (ids[0], 8710 in ids) == (0, True)
    card = (model / "README.md").read_text()
    assert all(
        words in card for words in ("Alibaba-DAMO-Academy/Lumos-1", FIRST, SECOND, "A public prior", "length=250")
    )
    assert main(["info", str(model)]) == 0
    said = capsys.readouterr().out
    assert "Lumos-1 of 2 layers of 64" in said
    assert "order confidence, 16 proposals per latent frame" in said
    pipe = VideoPipeline.from_pretrained(model)
    assert (pipe.sampler.steps, pipe.sampler.guidance_scale, pipe.sampler.noise) == (50, 15.0, 0.0)
    assert describe_model(pipe)["frames_of_use"] == 5


def test_every_way_to_make_a_video(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    same = ["--model", str(model), "--seed", "3", "--quiet", "--steps", "3"]
    assert main(["generate", PROMPT, "-o", "made", "--frames", "17", *same]) == 0
    assert main(["stream", PROMPT, "-o", "streamed", "--frames", "17", *same]) == 0
    assert main(["generate", PROMPT, "-o", "half", "--frames", "5", "--dtype", "bfloat16", *same]) == 0
    made, streamed = frames_in("made"), frames_in("streamed")
    assert made.shape == (17, 32, 32, 3), "five latent frames, two more than the clips of the model"
    assert made.std() > 10
    assert np.array_equal(made, streamed)
    assert main(["generate", OTHER, "-o", "other", "--frames", "5", *same]) == 0
    assert not np.array_equal(frames_in("other"), made[:5]), "the prompt matters"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save("first.png")
    assert main(["generate", PROMPT, "-o", "imaged", "--image", "first.png", "--frames", "9", *same]) == 0
    assert not np.array_equal(frames_in("imaged")[1:], made[1:9])
    assert main(["continue", "made", "-o", "longer", "--prompt", PROMPT, "--frames", "4", *same]) == 0
    assert len(frames_in("longer")) == 21


def frames_in(folder: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(place)) for place in sorted(Path(folder).glob("*.png"))])


def test_other_frame_sizes_and_what_has_no_effect(model: Path) -> None:
    pipe = VideoPipeline.from_pretrained(model)
    with pytest.warns(PipelineWarning, match="trained only on 32 x 32"):
        wide = pipe(PROMPT, height=32, width=64, num_frames=5, num_inference_steps=2, generator=1, output_type="uint8")
    assert wide.frames.shape == (1, 5, 32, 64, 3)
    with pytest.warns(PipelineWarning, match="history_noise has no effect"):
        pipe(PROMPT, num_frames=1, num_inference_steps=1, history_noise=0.5)
    for height, width in ((32, 40), (40, 32)):
        with pytest.raises(UsageError, match="Lumos-1 needs rows and columns in multiples of 4"):
            pipe(PROMPT, height=height, width=width)


CHANGED = "model.layers.1.mlp.up_proj.weight"
BROKEN: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "missing": (lambda weights: weights.pop(CHANGED), f"(1 missing, 0 unexpected): missing tensors: {CHANGED}"),
    "unexpected": (
        lambda weights: weights.update({"model.layers.1.mlp.up_proj.bias": torch.ones(2)}),
        "(0 missing, 1 unexpected): unexpected tensors: model.layers.1.mlp.up_proj.bias",
    ),
    "shape": (lambda weights: weights.update({CHANGED: torch.ones(95, 64)}), "has the shape"),
    "NaN": (lambda weights: weights.update({CHANGED: torch.full((96, 64), torch.nan)}), "1 tensors with NaN"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_other_tensors_are_refused(
    how: str, source: Path, cosmos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = BROKEN[how]
    folder = tmp_path / "bad"
    folder.mkdir()
    weights = load_file(source / FIRST) | load_file(source / SECOND)
    change(weights)
    save_file(weights, folder / "model.safetensors")
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(source / name, folder / name)
    assert convert(folder, tmp_path / "out", cosmos) == 4
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_mistakes_are_named(source: Path, cosmos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "other.json", byte_tokenizer({**SPECIAL, "<eoss>": 8195}))
    (tmp_path / "bad.json").write_text("[")
    for more, code, said in (
        (["text=nowhere.json"], 2, "nowhere.json: no such file"),
        ([f"text={tmp_path / 'bad.json'}"], 4, "bad.json: not a JSON object"),
        ([f"text={tmp_path / 'other.json'}"], 4, "other.json: the id of '<eoss>' is 8195; that of this model is 8196"),
        (["windows=3"], 2, "windows: a Lumos-1 has the options"),
        (["--size", "32x40"], 2, "multiples of 4"),
        (["--size", "30x30"], 2, "--size 30x30"),
        (["--fps", "2.5"], 2, "a whole number of them"),
    ):
        assert convert(source, tmp_path / "out", cosmos, *more) == code, more
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main(["convert", "lumos1", str(source), str(tmp_path / "out")]) == 2
    assert "lumos1 needs tokenizer=FOLDER" in capsys.readouterr().err
    assert main(["convert", "lumos1", str(source / FIRST), str(tmp_path / "out"), f"tokenizer={cosmos}"]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_model_is_told_from_a_wrong_option(
    source: Path, cosmos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "chameleon"
    shutil.copytree(source, folder)
    write_json(folder / "config.json", {**settings_of(MODEL.config), "mm_rope": False})
    assert convert(folder, tmp_path / "out", cosmos) == 4
    assert f"{folder}: is no lumos1: config.json says mm_rope = False; expected True" in capsys.readouterr().err


def test_training_refuses_it_in_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "prior", "video_64_cpu", "--tokenizer", str(model), "--dry-run", "--quiet"]
    assert main([*words, "prior.kind=lumos1", "data.train=nowhere"]) == 2
    error = capsys.readouterr().err
    assert "llama, pixelcnn" in error
    assert error.count("\n") == 1
