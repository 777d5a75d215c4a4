"""The contract is wide enough: other families of tokens go the way of every model, with no special case on it.

Each goes through `encode`, shards, one real step of training, streaming and `selftest`. Nothing but the tokenizer is
made for the test.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from interfaces.tokenizer import decode_clip, encode_clip
from prior.config import Objective, PriorShape
from prior.head_config import ChainConfig, DepthConfig, FlatConfig, FlowConfig, HeadConfig
from prior.kinds import AnyPriorShape
from prior.pixelcnn.config import PixelCNNShape
from sampling.config import SamplerConfig, orders_of
from tests.contract.patch_tokenizer import PatchConfig, PatchTokenizer
from tokenizer.foreign.vidtok.config import VidTokConfig
from tokenizer.quantize import RoundedFSQConfig
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.codec.compress import compress
from videogen.codec.container import ChunkReader
from videogen.codec.decompress import Decompressor
from videogen.codec.settings import CodecSettings
from videogen.conditioning import BPEConfig
from videogen.data import build_index
from videogen.errors import UsageError
from videogen.generate import Context, GenerationRequest, prefill, step
from videogen.io import read, stream
from videogen.io.pixels import to_clip, to_frames
from videogen.models import load_prior, load_tokenizer, tokenizer_files
from videogen.models.registry import TOKENIZERS, Kind, kind_of
from videogen.pipeline import VideoPipeline
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.tokens import TokenSet
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig, TokenDataConfig
from videogen.training.prior.run import run_prior

SIZE, FRAMES = 64, 9
VIDTOK = VidTokConfig("1.1", (8, 8, 16, 16, 16), 1, (2, 3), (1, 2), RoundedFSQConfig((8,) * 4))
AHEAD = "vidtok, whose decoder looks ahead"
PROMPTS = ("a small red ring drifts left", "a big blue disc spins")


@dataclass(frozen=True)
class Family:
    """A kind of tokens: its tokenizer, and what its latent frames look like."""

    tokenizer: PatchConfig | VidTokConfig
    tokens: int
    bits: float
    head: HeadConfig = field(default_factory=ChainConfig)
    objective: Objective = "masked"
    control: int | None = None  # numbers of a control for each frame
    kind: Literal["llama", "pixelcnn"] = "llama"  # of the prior


FAMILIES = {
    "residual": Family(PatchConfig((1024,) * 8), tokens=64, bits=80),
    "residual, by a depth transformer": Family(
        PatchConfig((16,) * 4, cells=(16,)), tokens=16, bits=16, head=DepthConfig(layers=1, heads=2)
    ),
    "one softmax": Family(PatchConfig((16, 8), cells=(16,)), tokens=16, bits=7, head=FlatConfig()),
    "coarse then fine": Family(PatchConfig((512,), cells=(16, 8)), tokens=16 + 64, bits=9),
    "a line": Family(PatchConfig((4096,), cells=(64,), line=16, size=(SIZE, SIZE)), tokens=16, bits=12),
    "a line, token by token": Family(
        PatchConfig((4096,), cells=(64,), line=16, size=(SIZE, SIZE)), tokens=16, bits=12, objective="autoregressive"
    ),
    "continuous": Family(
        PatchConfig((), channels_of_token=16),
        tokens=64,
        bits=float("nan"),
        head=FlowConfig(layers=1, steps=4, repeats=2),
    ),
    "no first frame": Family(PatchConfig((512,), first_frames=4), tokens=64, bits=9),
    "pixelcnn": Family(
        PatchConfig((16, 8), cells=(16,)), tokens=16, bits=7, objective="autoregressive", control=2, kind="pixelcnn"
    ),
    "control": Family(PatchConfig((512,), cells=(16,)), tokens=16, bits=9, control=3),
    AHEAD: Family(VIDTOK, tokens=16, bits=12),
}


@pytest.fixture(scope="module", autouse=True)
def kinds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOKENIZERS, "patch", Kind(PatchConfig, PatchTokenizer))
        yield


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Six clips; the same with a control beside each."""
    folder = tmp_path_factory.mktemp("clips")
    for controlled in (False, True):
        data = folder / f"controlled_{controlled}"
        write_playroom(data, PlayroomConfig(clips=6, seed=4, size=SIZE, frames=FRAMES))
        for number, video in enumerate(sorted(data.rglob("*.mp4")) if controlled else ()):
            rows = np.random.default_rng(number).normal(size=(FRAMES, 3)).astype(np.float32)
            np.save(video.with_suffix(".control.npy"), rows)
        build_index(data, workers=1)
    return {True: folder / "controlled_True", False: folder / "controlled_False"}


# The slow tier takes these through everything. What looking ahead changes is also tested always, at the end; a line is
# always taken token by token.
SLOW = {AHEAD, "a line"}
PARAMS = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in FAMILIES]


@pytest.fixture(scope="module", params=PARAMS)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def folder(family: Family, clips: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer, tokens of the clips, and a run of one step with a model in it."""
    folder = tmp_path_factory.mktemp("family")
    spec = ClipSpec(SIZE, SIZE, 8.0, FRAMES)
    weights = TOKENIZERS[kind_of(family.tokenizer, TOKENIZERS)].make(family.tokenizer).state_dict()
    write_folder(folder / "tokenizer", tokenizer_files(family.tokenizer, spec, weights, "# a test's"))
    data = str(clips[family.control is not None])
    assert main(["encode", data, str(folder / "tokens"), "--model", str(folder / "tokenizer"), "--quiet"]) == 0
    run_prior(training(folder / "tokens", family), folder / "tokenizer", folder / "run", resume=False)
    return folder


def training(tokens: Path, family: Family) -> PriorTrainingConfig:
    sizes = {"width": 24, "layers": 2, "window": 2, "head": family.head}
    shape: AnyPriorShape = PixelCNNShape(**sizes)
    if family.kind == "llama":
        shape = PriorShape(**sizes, heads=2, kv_heads=1, hidden=32, objective=family.objective)
    return PriorTrainingConfig(
        data=TokenDataConfig(train=tokens, validation_share=0.3, validation_clips=2),
        phases=(PriorPhaseConfig(from_step=0, frames=2),),
        prior=shape,
        text=BPEConfig(vocabulary=300, length=24),
        teaching=TeachingConfig(),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup=1, schedule="constant"),
        training=TrainingConfig(steps=1, batch_size=2, sample_every=0, validate_every=0, checkpoint_every=1),
    )


def test_shards_hold_what_the_tokenizer_says(folder: Path, family: Family, clips: dict[bool, Path]) -> None:
    tokenizer, tokens = load_tokenizer(folder / "tokenizer"), TokenSet.open(folder / "tokens")
    spec = tokens.description.spec
    assert spec == tokenizer.spec
    assert (spec.tokens, spec.bits) == (family.tokens, pytest.approx(family.bits, nan_ok=True))
    index = build_index(clips[family.control is not None], workers=1)
    for row, entry in enumerate(index.good):
        clip = tokens.clip(row)
        frames = read(entry.entry.source, range(len(entry.scan.pts)), entry.scan)
        assert torch.equal(clip.codes, encode_clip(tokenizer.network, to_clip(frames[None]))[0])
        assert clip.key == entry.entry.key
        if family.control is None:
            assert clip.control is None
        else:
            rows = np.load(Path(str(entry.entry.source)).with_suffix(".control.npy"))
            firsts = [spec.video_frames(t) for t in range(len(clip.codes))]
            assert clip.control is not None
            assert np.array_equal(clip.control.numpy(), rows[firsts])


def test_the_step_has_changed_the_prior(folder: Path, family: Family) -> None:
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    score = "nats" if family.head.likelihood else "loss"
    assert any(np.isfinite(line[score]) for line in lines if score in line)
    model = VideoPipeline.from_pretrained(folder / "run").model
    assert model.spec == load_tokenizer(folder / "tokenizer").spec
    assert (model.config.control is None) == (family.control is None)


def test_a_stream_is_the_video_and_a_seed_its_bytes(folder: Path) -> None:
    pipe = VideoPipeline.from_pretrained(folder / "run")
    settings: dict[str, Any] = {"num_frames": 11, "guidance_scale": 1.5, "steps": 3}
    video = pipe(PROMPTS[0], generator=5, output_type="uint8", **settings).frames[0]
    assert video.shape == (11, SIZE, SIZE, 3)
    assert np.array_equal(np.stack(list(pipe.stream(PROMPTS[0], generator=5, **settings))), video)
    assert np.array_equal(pipe(PROMPTS[0], generator=5, output_type="uint8", **settings).frames[0], video)
    assert not np.array_equal(pipe(PROMPTS[0], generator=6, output_type="uint8", **settings).frames[0], video)


def test_alone_is_in_a_batch(folder: Path, family: Family) -> None:
    pipe = VideoPipeline.from_pretrained(folder / "run").to(torch.float64)
    for order in {"halton", "confidence", "autoregressive"} & set(orders_of(family.objective, family.head.likelihood)):
        settings: dict[str, Any] = {"num_frames": 6, "order": order, "steps": 3, "output_type": "codes"}
        both = pipe(list(PROMPTS), generator=[1, 2], **settings).frames
        alone = pipe(PROMPTS[1], generator=2, **settings).frames
        assert np.array_equal(np.asarray(both)[1:], np.asarray(alone)), order


def test_a_clip_and_an_image_are_continued(folder: Path) -> None:
    pipe = VideoPipeline.from_pretrained(folder / "run")
    clip = pipe(PROMPTS[0], num_frames=9, generator=1, output_type="uint8").frames[0]
    for given in ({"video": clip}, {"image": clip[0]}):
        assert pipe(PROMPTS[0], num_frames=6, generator=1, output_type="uint8", **given).frames.shape[1] == 6


def test_the_laws_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", str(folder / "run"), "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert len(verdicts) >= 15
    assert all(verdict["held"] for verdict in verdicts)


def test_a_clip_is_compressed_without_loss_of_a_code(folder: Path, family: Family, clips: dict[bool, Path]) -> None:
    model = load_prior(folder / "run")
    video = next(iter(sorted(clips[family.control is not None].rglob("*.mp4"))))
    frames = [frame for _, frame in stream(video)][:7]
    file = io.BytesIO()
    if model.spec.continuous:
        with pytest.raises(UsageError, match="its tokens are continuous"):
            list(compress(model, frames, (SIZE, SIZE), 8.0, CodecSettings(), file))
        return
    list(compress(model, frames, (SIZE, SIZE), 8.0, CodecSettings(steps=2, chunk=2), file))
    file.seek(0)
    given = torch.cat(list(Decompressor(model, ChunkReader(file, "file")).frames()))
    codes = encode_clip(model.tokenizer.network, to_clip(torch.from_numpy(np.stack(frames))[None]))
    assert torch.equal(given, to_frames(decode_clip(model.tokenizer.network, codes, model.spec))[0, :7])


def test_other_commands_take_it_too(
    folder: Path, family: Family, clips: dict[bool, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = clips[family.control is not None], str(folder / "run")
    one = str(next(iter(sorted(data.rglob("*.mp4")))))
    assert main(["reconstruct", one, str(tmp_path / "copy.mp4"), "--model", run]) == 0
    assert main(["generate", PROMPTS[0], "-o", str(tmp_path / "made.mp4"), "--frames", "5", "--model", run]) == 0
    for name, source in (("tokenizer", data), ("prior", folder / "tokens")):
        command = ["evaluate", name, str(source), "--clips", "2", "--model", run]
        assert main(command) == 0
        capsys.readouterr()
        assert main([*command, "--out", str(tmp_path / name), "--json"]) == 0
        assert "NaN" not in capsys.readouterr().out


def test_info_describes_the_model_and_its_tokens(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tokenizer", "tokens", "run"):
        assert main(["info", str(folder / name)]) == 0
        capsys.readouterr()
        assert main(["info", str(folder / name), "--json"]) == 0
        assert "NaN" not in capsys.readouterr().out


@pytest.mark.parametrize("family", ["control"], indirect=True)
def test_a_control_steers_the_stream(folder: Path) -> None:
    pipe = VideoPipeline.from_pretrained(folder / "run").to(torch.float64)
    streams = []
    for control in (None, [0.0, 0.0, 0.0], [9.0, -9.0, 9.0]):
        stream = pipe.stream(PROMPTS[0], generator=5)
        stream.control = control
        streams.append(np.stack(list(islice(stream, 9))))
    assert not np.array_equal(streams[1], streams[2])


@pytest.mark.parametrize("family", ["control"], indirect=True)
def test_controls_are_kept_after_a_context_that_has_none(folder: Path) -> None:
    model = load_prior(folder / "run")
    request = GenerationRequest(PROMPTS[:1], ("",), (1,), SamplerConfig(steps=2))
    state = prefill(model, request, Context(model.spec.empty(1, 1), model.spec))
    state, _ = step(model, request, state, control=torch.tensor([[1.0, 2.0, 3.0]]))
    assert state.context.control_BT is not None
    assert state.context.control_BT[0].isnan().all(-1).tolist() == [True, False]


@pytest.mark.parametrize("family", ["control"], indirect=True)
def test_a_control_counts_as_it_was_when_it_was_set(folder: Path) -> None:
    pipe, streams = VideoPipeline.from_pretrained(folder / "run").to(torch.float64), []
    for later in (1.0, 9.0):
        stream, control = pipe.stream(PROMPTS[0], generator=5), np.ones(3, np.float32)
        stream.control = control
        frames = list(islice(stream, 5))
        control[:] = later
        streams.append(np.stack([*frames, *islice(stream, 8)]))
    assert np.array_equal(*streams)


@pytest.mark.parametrize("family", [AHEAD], indirect=True)
def test_a_stream_that_is_late_is_the_video(folder: Path) -> None:
    test_a_stream_is_the_video_and_a_seed_its_bytes(folder)
    test_a_clip_and_an_image_are_continued(folder)


@pytest.mark.parametrize("family", [AHEAD], indirect=True)
def test_a_scene_that_is_cut_is_shown_to_its_end(folder: Path) -> None:
    pipe = VideoPipeline.from_pretrained(folder / "run")
    whole = pipe(PROMPTS[0], generator=5, num_frames=9, output_type="uint8").frames[0]
    stream = pipe.stream(PROMPTS[0], generator=5, transition="cut")
    shown = list(islice(stream, 6))  # three latent frames; the decoder holds back the other frames
    stream.prompt = PROMPTS[1]
    assert np.array_equal(np.stack([*shown, *islice(stream, 3)]), whole)


@pytest.mark.parametrize("family", [AHEAD], indirect=True)
def test_frames_that_are_held_back_of_a_context_are_no_output(folder: Path) -> None:
    pipe = VideoPipeline.from_pretrained(folder / "run")
    clip = pipe(PROMPTS[0], num_frames=5, generator=1, output_type="uint8").frames[0]
    new = pipe(PROMPTS[0], num_frames=6, generator=1, video=clip, output_type="uint8").frames[0]
    codes = torch.as_tensor(pipe(PROMPTS[0], num_frames=6, generator=1, video=clip, output_type="codes").frames)
    network = pipe.model.tokenizer.network
    both = torch.cat([encode_clip(network, to_clip(torch.as_tensor(clip)[None])), codes], 1)
    frames = to_frames(decode_clip(network, both, pipe.model.spec))[0, 5:11]
    assert np.array_equal(new, frames.numpy())
