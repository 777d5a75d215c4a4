"""Runs of stage two: resumed to the bit, equal in two processes, and the exported model."""

import math
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import PriorConfig, PriorShape
from prior.head_config import FlowConfig
from prior.heads.base import TokenLosses
from prior.laws import random_codes
from prior.model import LlamaPrior, PriorBatch
from sampling.config import ORDERS, Order, SamplerConfig
from tests.tokens.conftest import make_model, make_videos
from tests.training.conftest import LENGTHS
from tests.training.fake import lines
from tests.training.programs import CHECKOUT, ENVIRONMENT, last_tensors, same_bits, whole_lines
from tests.training.tiny_prior import Set, tiny_config, train
from videogen.checkpoint import read_folder, write_folder
from videogen.conditioning import BPEConfig
from videogen.data import build_index, load_index
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.evaluation.prior.likelihood import Baseline
from videogen.models import check_sampler, load_prior, load_tokenizer, sampler_of
from videogen.tokens import EncodeSpec, TokenSet, encode
from videogen.tokens.windows import own_latent_frames, split_rows
from videogen.training.estimate.machine import find_machine
from videogen.training.loop.stage import Distributed
from videogen.training.prior import run as prior_run
from videogen.training.prior.batches import TokenBatches
from videogen.training.prior.config import PriorPhaseConfig, TeachingConfig
from videogen.training.prior.dry_run import dry_run
from videogen.training.prior.init_weights import init_weights
from videogen.training.prior.run import run_prior
from videogen.training.prior.stage import PriorStage

NO_TEXT = TeachingConfig(corruption=0)


@pytest.fixture(scope="module")
def unbroken(made: Set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    train(*made, folder)
    return folder


@pytest.mark.parametrize("cut", [2, 6])
def test_resumed_equals_never_stopped(made: Set, tmp_path: Path, cut: int) -> None:
    """Not compared with `unbroken`: learning rates depend on the number of steps, and a stop at the end validates."""
    stopped, calm = tmp_path / "stopped", tmp_path / "calm"
    for folder, marks in ((stopped, (cut, 8)), (calm, (8,))):
        for steps in marks:
            config = tiny_config(made[1])
            optimizer = replace(config.optimizer, schedule="constant")
            train(*made, folder, resume=True, config=replace(config, optimizer=optimizer), steps=steps)
    rows = {line["step"]: line for line in lines(stopped) if line["kind"] == "train"}
    assert all(rows[line["step"]] == line for line in lines(calm) if line["kind"] == "train")
    assert last_tensors(stopped).keys() == last_tensors(calm).keys()
    assert all(torch.equal(last_tensors(stopped)[name], tensor) for name, tensor in last_tensors(calm).items())


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_equals_never_stopped(made: Set, tmp_path: Path, kills: int) -> None:
    steps, draw = 3 * kills + 6, random.Random(kills)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    train(*made, calm, steps=steps, log_every=1, checkpoint_every=2)
    settings = [f"steps={steps}", "log_every=1", "checkpoint_every=2"]
    for _ in range(kills):
        target = whole_lines(killed) + draw.randint(1, 4)
        process = start(made, killed, *settings)
        while whole_lines(killed) < target and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(made, killed, *settings).wait() == 0
    assert same_bits(calm, killed)


def test_two_processes_equal_one_to_rounding(made: Set, tmp_path: Path) -> None:
    train(*made, tmp_path / "one", steps=3, log_every=1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    program = ["-m", "tests.training.tiny_prior", *map(str, made), str(tmp_path / "two"), "steps=3", "log_every=1"]
    done = subprocess.run([*launcher, *program], cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert len(one) == len(two) == 4
    for before, now in zip(one, two, strict=True):
        for name in ("nats", "top_guess"):
            assert now[name] == pytest.approx(before[name], rel=1e-4)


def test_a_model_folder_holds_all_that_generation_needs(made: Set, unbroken: Path, tmp_path: Path) -> None:
    model = load_prior(unbroken)
    assert model.tokenizer.fingerprint == load_tokenizer(made[0]).fingerprint
    assert model.conditioner is not None
    assert model.config.context is not None
    assert model.config.context.vocabulary == model.conditioner.vocabulary
    assert (model.spec.groups[0].shape, model.latent_frames) == ((4, 6), 3)
    past = model.network.begin(model.conditioner(["caption 1"]), 1)
    nothing_known = torch.zeros(1, model.spec.tokens, dtype=torch.bool)
    proposal, _ = model.network.propose(model.spec.empty(1, 1)[:, 0], nothing_known, past)
    assert proposal.features.isfinite().all()


def test_a_prior_refuses_another_tokenizer(made: Set, unbroken: Path, tmp_path: Path) -> None:
    folder = read_folder(unbroken / "model")
    other = read_folder(make_model(tmp_path / "other", seed=1).path)
    files = {name: read(folder, name) for name in folder.hashes}
    files["tokenizer/model.safetensors"] = other.tensors("tokenizer/model.safetensors")
    write_folder(tmp_path / "mixed", files)
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_prior(tmp_path / "mixed")
    with pytest.raises(CheckpointError, match="encode"):
        train(tmp_path / "other", made[1], tmp_path / "run")


def test_init_from_keeps_the_vocabulary(made: Set, unbroken: Path, tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", LENGTHS)
    for place in videos.glob("*.txt"):
        place.write_text("quite other words")
    others = tmp_path / "tokens"
    encode(build_index(videos, workers=1), others, load_tokenizer(made[0]))
    config = tiny_config(others, steps=1)
    train(made[0], others, tmp_path / "anew", config=config)
    train(made[0], others, tmp_path / "goes_on", config=replace(config, init_from=unbroken))
    assert spoken(tmp_path / "goes_on") == spoken(unbroken) != spoken(tmp_path / "anew")
    other = replace(config, init_from=unbroken, text=BPEConfig(vocabulary=300, length=7))
    with pytest.raises(UsageError, match="init_from"):
        train(made[0], others, tmp_path / "longer", config=other)


def test_resuming_does_not_need_the_init_from_model(made: Set, unbroken: Path, tmp_path: Path) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    shutil.copytree(unbroken / "model", other)
    config = replace(tiny_config(made[1]), init_from=other)
    train(*made, run, config=config, steps=1)
    shutil.rmtree(other)
    assert train(*made, run, resume=True, config=config, steps=2).steps == 2
    assert spoken(run) == spoken(unbroken)
    with pytest.raises(CheckpointError, match="init_from"):
        train(*made, tmp_path / "fresh", config=config, steps=1)


def spoken(run: Path) -> str:
    conditioner = load_prior(run).conditioner
    assert conditioner is not None
    return conditioner.fingerprint


def test_sampling_settings_are_exported_and_may_change(made: Set, tmp_path: Path) -> None:
    config, run = tiny_config(made[1], steps=1), tmp_path / "run"
    train(*made, run, config=config)
    assert load_prior(run).generation is None
    asked = replace(config, generation=SamplerConfig(guidance_scale=4.0))
    train(*made, run, config=asked, resume=True)
    assert sampler_of(load_prior(run)) == asked.generation


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_the_order_must_suit_the_objective(
    objective: Literal["masked", "autoregressive"], order: Order, tmp_path: Path
) -> None:
    """An order that generation would refuse is refused before training, and no other."""
    config, suits = tiny_config(tmp_path, objective), order in ORDERS[objective]
    with nullcontext() if suits else pytest.raises(ValueError, match="order = "):
        replace(config, generation=SamplerConfig(order=order))
    shape: PriorConfig = config.prior.with_tokens(TokenSpec((2,), (TokenGroup("tokens", (1,)),), 1), None)
    with nullcontext() if suits else pytest.raises(UsageError, match="order = "):
        check_sampler(SamplerConfig(order=order), shape)


def test_a_head_without_a_likelihood_excludes_what_needs_one(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "masked")
    config = replace(config, prior=replace(config.prior, head=FlowConfig()))
    for order in ORDERS["masked"]:
        suits = order not in ("confidence", "threshold", "entropy")
        with nullcontext() if suits else pytest.raises(ValueError, match="whose head has no likelihood"):
            replace(config, generation=SamplerConfig(order=order))
    with pytest.raises(ValueError, match=r"draft_threshold = 0.5 .* no likelihood"):
        replace(config, generation=SamplerConfig(draft_threshold=0.5))


def test_the_steps_of_groups_must_suit_the_tokens(made: Set, tmp_path: Path) -> None:
    config = replace(tiny_config(made[1]), generation=SamplerConfig(group_steps="2+8"))
    with pytest.raises(UsageError, match=r"^group_steps = 2\+8: groups with steps: 2; .*: 1$"):
        train(*made, tmp_path / "run", config=config)


def test_it_trains_from_clips(made: Set, tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", LENGTHS)
    build_index(videos, workers=1)
    notes: list[str] = []
    for steps in (1, 2):
        config = tiny_config(videos, steps=steps)
        run_prior(config, made[0], tmp_path / "clips", resume=steps > 1, on_note=notes.append)
    assert [note for note in notes if "encoding" in note] == [
        f"encoding {len(LENGTHS)} clips first; `videogen encode --workers` shares the work"
    ]
    used = TokenBatches(config, TokenSet.open(made[1]), None).report()
    assert [note for note in notes if "to train on" in note] == [used.line()] * 2
    assert f"left out: {used.short} shorter than 3 latent frames" in used.line()
    train(*made, tmp_path / "tokens", steps=1)
    train(*made, tmp_path / "tokens", steps=2, resume=True)
    assert lines(tmp_path / "clips") == lines(tmp_path / "tokens")


def test_tokenizer_and_text_run_on_the_training_device(
    made: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []

    def recording(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: devices.append(given[-1]) or function(*given)

    monkeypatch.setattr(prior_run, "data_device", lambda: "cpu:0")
    monkeypatch.setattr(prior_run, "load_tokenizer", recording(prior_run.load_tokenizer))
    monkeypatch.setattr(prior_run, "make_conditioner", recording(prior_run.make_conditioner))
    train(*made, tmp_path / "run", steps=1)
    assert devices == ["cpu:0", "cpu:0"]


def test_init_from_a_prior_of_the_other_objective(made: Set, unbroken: Path, tmp_path: Path) -> None:
    config = replace(tiny_config(made[1], "autoregressive", steps=1), init_from=unbroken)
    given = load_prior(unbroken).network
    weights = init_weights(LlamaPrior(replace(given.config, objective="autoregressive")), config)
    assert weights is not None
    assert all(torch.equal(weights()[name], tensor) for name, tensor in given.state_dict().items())
    train(*made, tmp_path / "run", config=config, steps=1)
    assert load_prior(tmp_path / "run").config.objective == "autoregressive"
    wider = replace(
        config,
        prior=PriorShape(width=32, layers=2, heads=2, kv_heads=1, hidden=24, window=2, objective="autoregressive"),
    )
    with pytest.raises(UsageError, match="init_from"):
        train(*made, tmp_path / "other", config=wider)


def test_init_from_llama(made: Set, tmp_path: Path) -> None:
    config = tiny_config(made[1], steps=1)
    shape = config.prior
    heads, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    shapes = {
        "input_layernorm": (16,), "post_attention_layernorm": (16,), "self_attn.q_proj": (heads, 16),
        "self_attn.k_proj": (keys, 16), "self_attn.v_proj": (keys, 16), "self_attn.o_proj": (16, heads),
        "mlp.gate_proj": (24, 16), "mlp.up_proj": (24, 16), "mlp.down_proj": (16, 24),
    }  # fmt: skip
    llama = {f"model.layers.{n}.{name}.weight": torch.randn(size) for n in range(2) for name, size in shapes.items()}
    save_file({**llama, "model.norm.weight": torch.ones(16)}, tmp_path / "llama.safetensors")
    begun = replace(
        config, init_from_llama=tmp_path / "llama.safetensors", optimizer=replace(config.optimizer, warmup=1000)
    )
    train(*made, tmp_path / "run", config=begun)
    weights = load_prior(tmp_path / "run").network.state_dict()
    assert (weights["layers.1.down.weight"] - llama["model.layers.1.mlp.down_proj.weight"]).abs().max() < 1e-3
    with pytest.raises(UsageError, match=r"init_from_llama .*self_attn"):
        train(*made, tmp_path / "other", config=replace(begun, prior=replace(shape, heads=4)))


@pytest.mark.parametrize("clips", [1, 3, 15, 40, 127])
def test_each_clip_is_validated_once_by_any_number_of_processes(made: Set, clips: int) -> None:
    config, tokenizer = replace(tiny_config(made[1]), text=None, teaching=NO_TEXT), load_tokenizer(made[0])
    stage = PriorStage(config, TokenBatches(config, TokenSet.open(made[1]), None), tokenizer, None)
    spec, drawn = stage.token_batches.spec, torch.Generator().manual_seed(clips)
    vars(stage)["validation_codes"] = random_codes(spec, (clips, 3, spec.tokens), drawn)
    vars(stage)["validation_captions"] = ("",) * clips
    (whole,), _ = validated(stage, 1)
    assert whole[0][2].tolist() == [clips] * 3
    for world in (2, 4, 8):
        parts, calls = validated(stage, world)
        assert len(set(calls)) == 1, "with sharded weights, a process that calls less often blocks the others"
        for own, one in zip(zip(*parts, strict=True), whole, strict=True):
            assert torch.allclose(torch.stack(own).sum(0), one), world


def validated(stage: PriorStage, world: int) -> tuple[list[list[torch.Tensor]], list[tuple[int, ...]]]:
    """The sums of each process, and the sizes of its batches."""
    sums: list[list[torch.Tensor]] = [[] for _ in range(world)]
    calls: list[list[int]] = [[] for _ in range(world)]
    for rank in range(world):

        def losses(batch: PriorBatch, kernel: str, blocks: Any, rank: int = rank) -> TokenLosses:
            calls[rank].append(len(batch.targets))
            first_BTN = batch.targets[..., 0]
            return TokenLosses(first_BTN.float(), first_BTN.float(), first_BTN % 2 == 0)

        def mean(tensor: torch.Tensor, rank: int = rank) -> torch.Tensor:
            sums[rank].append(tensor)
            return torch.ones_like(tensor)

        modules: Any = {"prior": losses}
        device = torch.device("cpu")
        stage.validate(
            Distributed(modules, lambda name: nullcontext(), mean, lambda x: [x], device, rank, world, False)
        )
    return sums, [tuple(sizes) for sizes in calls]


def test_validation_clips_may_have_another_frame_size(made: Set, tmp_path: Path) -> None:
    model, index = load_tokenizer(made[0]), load_index(made[1].parent / "videos")
    encode(index, tmp_path / "small", model, EncodeSpec(16, 24, model.clips.fps))
    config = tiny_config(made[1])
    config = replace(config, data=replace(config.data, validation=tmp_path / "small"))
    train(*made, tmp_path / "run", config=config, steps=4, sample_every=4)
    found = [line for line in lines(tmp_path / "run") if line["kind"] == "validation"][-1]
    assert found["nats"] > 0
    assert found["bits_per_pixel"] == pytest.approx(found["nats"] * 3 * 6 / math.log(2) / (9 * 16 * 24))


def test_baselines(made: Set) -> None:
    tokens = TokenSet.open(made[1])
    spec, baseline = tokens.description.spec, Baseline.of(tokens, range(len(tokens)))
    assert baseline is not None
    assert all(np.exp(logs).sum() == pytest.approx(1) for logs in baseline.logs)
    clips: Any = [tokens.codes(row).numpy() for row in range(len(tokens))]
    every = np.concatenate([clip.reshape(-1, spec.depth) for clip in clips])
    counts = np.unique(every, axis=0, return_counts=True)[1]
    entropy = -(counts / len(every) * np.log(counts / len(every))).sum()
    assert entropy < baseline.nats(clips, spec)["nats_of_frequencies"] < entropy + 1
    still = baseline.nats(np.repeat(every[None, None, :1], 5, 1), spec)
    assert still["nats_of_copying"] < still["nats_of_frequencies"] or not baseline.stays


def test_a_changed_video_is_an_error_before_encoding(made: Set, tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", LENGTHS)
    build_index(videos, workers=1)
    config = tiny_config(videos, steps=1)
    run_prior(config, made[0], tmp_path / "run", resume=False)
    changed = max(videos.glob("*.mp4"))
    changed.touch()
    run_prior(config, made[0], tmp_path / "run", resume=True)  # what is encoded needs no videos any more
    with pytest.raises(DataError, match=changed.name):
        run_prior(config, made[0], tmp_path / "other", resume=False)
    assert not (tmp_path / "other").exists()


def test_too_short_validation_clips_are_named(made: Set) -> None:
    config, tokens = tiny_config(made[1]), TokenSet.open(made[1])
    lengths = own_latent_frames(tokens)
    train_on, kept = split_rows(tokens, config.data.validation_share)
    most = int(lengths[kept].max())
    assert lengths[train_on].max() > most, "so that the others are long enough"
    with pytest.raises(DataError) as caught:
        TokenBatches(replace(config, phases=(PriorPhaseConfig(0, most + 1),)), tokens, None)
    assert f"none of {len(kept)} clips kept for validation ({tokens.label(int(kept[0]))[0]}" in str(caught.value)
    assert f"holds {most + 1} latent frames, the longest has {most}; raise data.validation_share" in str(caught.value)


def test_errors_come_before_training(made: Set, tmp_path: Path) -> None:
    config = tiny_config(made[1])
    with pytest.raises(DataError, match="40 latent frames"):
        train(*made, tmp_path / "run", config=replace(config, phases=(PriorPhaseConfig(0, 40),)))
    for data, words in (
        (replace(config.data, validation=tmp_path / "nowhere"), "nowhere: no such file or folder"),
        (replace(config.data, validation_share=1e-9), "a share of 1e-09 for validation"),
    ):
        for tokens in (made[1], made[1].parent / "videos"):
            wrong = replace(config, data=replace(data, train=tokens))
            with pytest.raises(DataError, match=words):
                dry_run(wrong, str(made[0]), find_machine("cpu"))
            with pytest.raises(DataError, match=words):
                train(made[0], tokens, tmp_path / "run", config=wrong)
    wrong = replace(config, prior=replace(config.prior, head=FlowConfig()))
    with pytest.raises(UsageError, match=r"prior.head = flow needs continuous tokens"):
        dry_run(wrong, str(made[0]), find_machine("cpu"))
    with pytest.raises(UsageError, match=r"prior.head = flow needs continuous tokens"):
        train(*made, tmp_path / "run", config=wrong)
    with pytest.raises(ValueError, match=r"teaching.corruption"):
        replace(config, text=None)
    with pytest.raises(ValueError, match="rollout_share"):
        replace(config, prior=replace(config.prior, objective="autoregressive"))


def read(folder: object, name: str) -> object:
    way = folder.tensors if name.endswith(".safetensors") else folder.json if name.endswith(".json") else None  # type: ignore[attr-defined]
    return way(name) if way else (folder.path / name).read_text()  # type: ignore[attr-defined]


def start(made: Set, folder: Path, *settings: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.training.tiny_prior", *map(str, made), str(folder), *settings]
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
