"""Stage one as a whole, on a playroom of a few clips."""

import json
import pickle
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
from typing import Any

import numpy as np
import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import small_config
from tests.training.fake import lines
from tests.training.programs import CHECKOUT, ENVIRONMENT, same_bits, whole_lines
from tests.training.tiny import ADVERSARIAL, tiny_config, train
from tokenizer.losses.discriminator import Discriminator, DiscriminatorConfig
from tokenizer.quantize import LFQConfig
from videogen.data import build_index
from videogen.data.split import hash_fraction
from videogen.errors import DataError, UsageError
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.evaluation.tokenizer.reconstruction import ReconstructionMetrics
from videogen.io.pixels import to_clip, to_frames
from videogen.models import load_tokenizer
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.system.signals import Interrupted
from videogen.training.estimate.machine import find_machine
from videogen.training.loop.stage import Distributed
from videogen.training.loop.trainer import Trainer
from videogen.training.records.run_folder import steps_in
from videogen.training.tokenizer.clips import ClipBatches
from videogen.training.tokenizer.config import PhaseConfig
from videogen.training.tokenizer.dry_run import dry_run
from videogen.training.tokenizer.run import run_tokenizer
from videogen.training.tokenizer.stage import TokenizerStage, alarm_metrics, to_device

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    train(data, folder)
    return folder


def test_a_tokenizer_that_is_not_causal_is_trained_validated_and_exported(data: Path, tmp_path: Path) -> None:
    config = tiny_config(data, steps=4)
    run_tokenizer(replace(config, tokenizer=small_config(causal=False)), tmp_path / "run", resume=False)
    model = load_tokenizer(tmp_path / "run")
    assert not model.network.causal
    assert np.isfinite([line["psnr"] for line in lines(tmp_path / "run") if line["kind"] == "validation"]).all()
    assert evaluate_tokenizer(model, data)["clips"] == 12


def test_the_log_has_every_loss_term(unbroken: Path) -> None:
    last = [line for line in lines(unbroken) if line["kind"] == "train"][-1]
    losses = "l1 l2 multiscale_structure spread adversarial adversarial_weight discriminator lecam"
    for name in [*losses.split(), "discriminator_accuracy", "perplexity", "gradient/tokenizer", "rate/discriminator"]:
        assert isinstance(last[name], float), name
    judged = [line for line in lines(unbroken) if line["kind"] == "validation"]
    assert [line["step"] for line in judged] == [4, 8, 9]
    assert judged[-1]["psnr"] > 3


def test_the_exported_model_has_the_logged_metrics(data: Path, unbroken: Path) -> None:
    model = load_tokenizer(unbroken)
    config = tiny_config(data)
    assert model.config == config.tokenizer
    assert (model.clips.height, model.clips.frames, model.clips.fps) == (16, 5, 8)
    clips = np.stack(ClipBatches(config).validation_clips())
    with torch.no_grad():
        frames = to_frames(model.network(to_clip(clips)).clip)
    error = (frames.double() - torch.from_numpy(clips).double()).square().mean((2, 3, 4))
    psnr = float((20 * np.log10(255) - 10 * error.log10()).mean())
    assert psnr == pytest.approx(lines(unbroken)[-1]["psnr"], abs=1e-6)


def test_decoder_only_keeps_the_tokens(data: Path, tmp_path: Path) -> None:
    clips = to_clip(np.stack([np.random.default_rng(i).integers(0, 256, (5, 16, 16, 3), np.uint8) for i in range(4)]))
    train(data, tmp_path / "run", steps=7)
    before = load_tokenizer(tmp_path / "run")
    train(data, tmp_path / "run", resume=True, steps=9)
    after = load_tokenizer(tmp_path / "run")
    assert torch.equal(encode_clip(before.network, clips), encode_clip(after.network, clips))
    codes, spec = encode_clip(after.network, clips), after.spec
    assert not torch.equal(before.network.decode(codes, spec)[0], after.network.decode(codes, spec)[0])


def test_batches_follow_the_phases(data: Path) -> None:
    batches = ClipBatches(tiny_config(data)).batches({}, 0, 2, 0, 1)
    shapes = [next(batches).clips.shape for _ in range(18)]
    batches.close()
    assert set(shapes[:8]) == {(2, 5, 16, 16, 3), (4, 1, 16, 16, 3)}
    assert set(shapes[8:14]) == {(2, 9, 16, 24, 3)}
    assert set(shapes[14:]) == {(2, 5, 16, 16, 3)}
    assert all(shapes[i] == shapes[i + 1] for i in range(0, 18, 2)), "a step is of one kind"


@pytest.mark.parametrize("cut", range(1, 17, 3))
def test_batches_depend_on_the_position_alone(data: Path, cut: int) -> None:
    clips = ClipBatches(tiny_config(data))
    whole = clips.batches({}, 0, 2, 0, 1)
    seen = [next(whole) for _ in range(18)]
    whole.close()
    cut -= cut % 2  # between steps
    again = clips.batches(seen[cut - 1].next_position if cut else {}, cut // 2, 2, 0, 1)
    for expected in seen[cut:]:
        got = next(again)
        assert got.keys == expected.keys
        assert np.array_equal(got.clips, expected.clips)
    again.close()


def test_validation_clips_are_never_trained_on(data: Path) -> None:
    clips = ClipBatches(tiny_config(data))
    kept = {clip.entry.key for clip in clips.held_out.good}
    assert kept
    assert not kept & {clip.entry.key for clip in clips.train.good}
    assert len(kept) + len(clips.train.good) == 12


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_equals_never_stopped(data: Path, tmp_path: Path, kills: int) -> None:
    steps, draw = 3 * kills + 6, random.Random(kills)
    settings = [f"steps={steps}", "log_every=1", "checkpoint_every=2"]
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    train(data, calm, steps=steps, log_every=1, checkpoint_every=2)
    for _ in range(kills):
        target = whole_lines(killed) + draw.randint(1, 4)
        process = start(data, killed, *settings)
        while whole_lines(killed) < target and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(data, killed, *settings).wait() == 0
    assert same_bits(calm, killed)


def test_two_processes_equal_one_to_rounding(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "one", steps=3, log_every=1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "-m", "tests.training.tiny", str(data), str(tmp_path / "two"), "steps=3", "log_every=1"]
    finished = subprocess.run(command, cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert len(one) == len(two) == 4
    for name in ("l1", "l2", "multiscale_structure"):  # what is a mean over clips; `spread` is over a process's batch
        assert two[0][name] == pytest.approx(one[0][name], rel=1e-5)
        assert two[2][name] == pytest.approx(one[2][name], rel=0.05)
    assert two[3]["psnr"] == pytest.approx(one[3]["psnr"], rel=0.02)
    assert two[3]["code_use_reachable"] == one[3]["code_use_reachable"], "as many tokens, each counted once"
    assert load_tokenizer(tmp_path / "two").config == load_tokenizer(tmp_path / "one").config


def test_other_clips_are_refused(data: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    other = tmp_path / "toys"
    write_playroom(other, PlayroomConfig(clips=12, seed=4, size=24, frames=9))
    build_index(other, workers=1)
    with pytest.raises(UsageError, match=f"data.train .*init_from={tmp_path / 'run'} "):
        train(other, tmp_path / "run", resume=True)
    shutil.move(data, tmp_path / "moved")
    try:
        outcome = train(tmp_path / "moved", tmp_path / "run", resume=True)
    finally:
        shutil.move(tmp_path / "moved", data)
    assert outcome.steps == 9
    assert steps_in(tmp_path / "run" / "checkpoints")[-1] == 9


def test_dry_run(data: Path) -> None:
    figures, text = dry_run(tiny_config(data), find_machine("cpu"))
    assert figures["micro-batches"] == [[2, 5, 16, 16, 3], [2, 9, 16, 24, 3], [2, 5, 16, 16, 3]]
    assert figures["clips"] == len(ClipBatches(tiny_config(data)).train.good)
    assert figures["clips to validate with"] == 3
    assert figures["bits a pixel"].startswith("0.0389")  # log2(1000) / 256
    assert json.loads(json.dumps(figures)) == figures
    assert "2 x 9 x 16 x 24 x 3" in text


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((), "phases begin at"),
        ((PhaseConfig(1, 16, 16, 5),), "phases begin at"),
        ((PhaseConfig(0, 16, 20, 5),), "multiples of 8"),
        ((PhaseConfig(0, 16, 8, 5),), r"16 x 8; validation \(SSIM\) needs sides of at least 11"),
        ((PhaseConfig(0, 16, 16, 5, decoder_only=True), PhaseConfig(3, 16, 16, 5)), "decoder_only"),
    ],
)
def test_impossible_phases_are_refused(data: Path, phases: tuple[PhaseConfig, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(tiny_config(data), phases=phases)


def test_init_from_another_model(data: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken / "model", tmp_path / "first")
    config = replace(tiny_config(data, steps=1), init_from=tmp_path / "first")
    other = replace(config, tokenizer=replace(config.tokenizer, kernel_t=2))
    with pytest.raises(UsageError, match="kernel_t"):
        run_tokenizer(other, tmp_path / "run", resume=False)
    slow = replace(config, optimizer=replace(config.optimizer, learning_rate=1e-12))
    run_tokenizer(slow, tmp_path / "run", resume=False)
    given, now = (load_tokenizer(place).network.state_dict() for place in (tmp_path / "first", tmp_path / "run"))
    assert all(torch.allclose(now[name], given[name], atol=1e-9) for name in given)
    shutil.rmtree(tmp_path / "first")
    longer = replace(slow, training=replace(slow.training, steps=2))
    assert run_tokenizer(longer, tmp_path / "run", resume=True).steps == 2, "the first model is not needed any more"


def test_a_new_decoder_for_the_tokens_of_another_model(data: Path, unbroken: Path, tmp_path: Path) -> None:
    config = tiny_config(data, steps=2)
    wider = replace(config.tokenizer, decoder_widths=tuple(width + 4 for width in config.tokenizer.decoder_widths))
    config = replace(config, init_from=unbroken, tokenizer=wider)
    with pytest.raises(UsageError, match="decoder_widths"):
        run_tokenizer(config, tmp_path / "ids_would_change", resume=False)
    frozen = (PhaseConfig(0, 16, 16, 5, decoder_only=True),)
    run_tokenizer(replace(config, phases=frozen), tmp_path / "run", resume=False)
    before, after = load_tokenizer(unbroken), load_tokenizer(tmp_path / "run")
    assert after.config == wider
    assert after.fingerprint == before.fingerprint
    with_more = tuple(blocks + 2 for blocks in wider.decoder_blocks)
    still = replace(config.optimizer, learning_rate=1e-12)
    grown = replace(config, tokenizer=replace(wider, decoder_blocks=with_more), init_from=tmp_path / "run")
    run_tokenizer(replace(grown, phases=frozen, optimizer=still), tmp_path / "grown", resume=False)
    larger = load_tokenizer(tmp_path / "grown")
    codes = torch.arange(12).view(1, 3, 4, 1) % torch.tensor(larger.spec.codebooks)
    assert larger.config.decoder_blocks == with_more
    painted, before_it = (each.network.decode(codes, larger.spec)[0] for each in (larger, after))
    assert torch.allclose(painted, before_it, atol=1e-6), "added blocks change nothing yet"
    deeper = replace(wider, encoder_blocks=tuple(blocks + 1 for blocks in wider.encoder_blocks))
    with pytest.raises(UsageError, match="decoder_widths, encoder_blocks"):
        run_tokenizer(replace(config, phases=frozen, tokenizer=deeper), tmp_path / "other", resume=False)


@pytest.mark.parametrize(("side", "fits"), [(16, True), (8, False)])
def test_clips_too_small_for_the_discriminator_are_refused(data: Path, side: int, fits: bool) -> None:
    config, critic = tiny_config(data), DiscriminatorConfig(widths=(2, 2, 2, 2), time_halvings=0)
    clips = torch.zeros(1, 3, 1, side, 2 * side)
    if fits:
        assert Discriminator(critic)(clips).shape == (1, 1, 1, 2)
    else:
        with pytest.raises(ValueError, match="16"):
            Discriminator(critic)(clips)
    begins_late = replace(ADVERSARIAL, discriminator=critic, start_step=4)
    loss = replace(config.loss, adversarial=begins_late)
    early = (PhaseConfig(0, side, 2 * side, 5), PhaseConfig(4, 16, 16, 5))
    replace(config, phases=early, loss=loss)  # by then it sees none of them
    seen = replace(config.loss, adversarial=replace(begins_late, start_step=3))
    if fits:
        replace(config, phases=early, loss=seen)
    else:
        with pytest.raises(ValueError, match=r"^phases .*8 x 16.*discriminator.* 16"):
            replace(config, phases=early, loss=seen)


def test_every_phase_is_checked_before_training(data: Path, tmp_path: Path) -> None:
    config = tiny_config(data)
    late = replace(config, phases=(config.phases[0], PhaseConfig(4, 16, 16, 12), config.phases[2]))
    with pytest.raises(DataError, match="12 frames"):
        ClipBatches(late)
    write_playroom(tmp_path / "short", PlayroomConfig(clips=3, seed=3, size=24, frames=2))
    build_index(tmp_path / "short", workers=1)
    elsewhere = replace(config, data=replace(config.data, validation=tmp_path / "short"))
    with pytest.raises(DataError, match=r"short: .*3 clips .*5 frames"):
        ClipBatches(elsewhere)


def test_too_short_validation_clips_are_named(data: Path, tmp_path: Path) -> None:
    """The training clips are long enough, so the error has to name the validation clips."""
    config, mixed = tiny_config(data), shutil.copytree(data, tmp_path / "mixed")
    write_playroom(tmp_path / "brief", PlayroomConfig(clips=12, seed=3, size=24, frames=3))
    kept = [
        place.name for place in sorted(mixed.glob("*.mp4")) if hash_fraction(place.name) < config.data.validation_share
    ]
    for name in kept:
        shutil.copy(tmp_path / "brief" / name, mixed / name)
    build_index(mixed, workers=1)
    with pytest.raises(DataError) as caught:
        ClipBatches(replace(config, data=replace(config.data, train=mixed)))
    more = f" and {len(kept) - 3} more" if len(kept) > 3 else ""
    words = f"none of {len(kept)} clips kept for validation ({', '.join(kept[:3])}{more}) holds 5 frames at 8 a second"
    assert f"{words}; raise data.validation_share, or name a set for it in data.validation; or " in str(caught.value)


def test_dataset_report(data: Path, tmp_path: Path) -> None:
    mixed = shutil.copytree(data, tmp_path / "mixed")
    for place in mixed.glob("videogen-index*"):
        place.unlink()
    (mixed / "bad.mp4").write_bytes(b"no video")
    write_playroom(tmp_path / "brief", PlayroomConfig(clips=2, seed=4, size=24, frames=3))
    for number, place in enumerate(sorted((tmp_path / "brief").glob("*.mp4"))):
        place.rename(mixed / f"brief_{number}.mp4")
    build_index(mixed, workers=1)
    notes: list[str] = []
    config = tiny_config(mixed, steps=1)
    config = replace(config, data=replace(config.data, max_bad_fraction=0.1))
    run_tokenizer(config, tmp_path / "run", resume=False, on_note=notes.append)
    used = ClipBatches(config).report()
    assert used.train + used.held_out == 12
    assert notes == [used.line()]
    assert notes[0].endswith("; left out: 1 refused, 2 shorter than 5 frames at 8 a second")


def test_a_clip_that_vanishes_saves_first(data: Path, tmp_path: Path) -> None:
    toys, run = shutil.copytree(data, tmp_path / "toys"), tmp_path / "run"
    videos = sorted(toys.glob("*.mp4"))

    def take_away(done: int, total: int) -> None:
        for place in videos if done == 3 else ():
            place.rename(place.with_suffix(".gone"))

    config = tiny_config(toys, steps=60, checkpoint_every=0)
    with pytest.raises(DataError, match=r"step \d+ of 60.*--resume") as caught:
        run_tokenizer(config, run, resume=False, on_progress=take_away)
    (step,) = steps_in(run / "checkpoints")
    assert step >= 3
    assert f"step {step} of 60" in str(caught.value)
    with pytest.raises(DataError, match="indexed"):
        run_tokenizer(config, run, resume=True)
    for place in videos:
        place.with_suffix(".gone").rename(place)
    notes: list[str] = []
    steps: list[int] = []
    ended = replace(config, training=replace(config.training, steps=step + 2))
    run_tokenizer(ended, run, True, on_note=notes.append, on_progress=lambda done, total: steps.append(done))
    assert steps == [step + 1, step + 2]


def distributed_of(stage: TokenizerStage, rank: int, world: int, gather: Callable[[Any], list[Any]]) -> Distributed:
    modules = {name: trained.module for name, trained in stage.trained_modules.items()}
    return Distributed(modules, lambda name: nullcontext(modules[name]), lambda x: x, gather, CPU, rank, world, False)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_each_clip_is_validated_once_by_any_number_of_processes(data: Path, world: int) -> None:
    torch.manual_seed(0)
    config = tiny_config(data)
    stage = TokenizerStage(config, ClipBatches(config))
    assert len(stage.validation_clips) == 3, "fewer than processes, and no multiple of them"
    with torch.no_grad():
        alone = stage.validate(distributed_of(stage, 0, 1, lambda judged: [judged]))
        found: list[ReconstructionMetrics] = []

        def gather(judged: ReconstructionMetrics) -> list[ReconstructionMetrics]:
            found.append(pickle.loads(pickle.dumps(judged)))
            return found

        for rank in range(world):
            together = stage.validate(distributed_of(stage, rank, world, gather))
    assert together == pytest.approx(alone, rel=1e-4), "but for pixels that another batch size rounds otherwise"
    assert sum(judged.clips for judged in found) == 3


def test_codes_too_many_to_count_one_by_one(data: Path) -> None:
    bits = LFQConfig(40, 1.0, sample_entropy_weight=0.1, batch_entropy_weight=0.0, commitment_weight=0.1)
    config = replace(tiny_config(data), tokenizer=small_config(f_t=4, f_s=8, quantizer=bits))
    stage = TokenizerStage(config, ClipBatches(config))
    with torch.no_grad():
        figures = stage.validate(distributed_of(stage, 0, 1, lambda judged: [judged]))
    assert 0 < figures["code_use"] <= 3 * 2 * 2 * 2 / 2**40
    assert figures["perplexity"] >= 1


@torch.no_grad()
def test_clips_out_of_range_raise_an_alarm(data: Path) -> None:
    config = tiny_config(data)
    stage = TokenizerStage(config, ClipBatches(config))
    found = []
    for scale in (1.0, 1.1, 127.5):
        clip = torch.linspace(-scale, scale, 3 * 5 * 16 * 16).reshape(1, 3, 5, 16, 16)
        means = {
            name: float(value)
            for name, value in alarm_metrics(clip, stage.network(clip), stage.network.quantizer.codebooks).items()
        }
        found.append(stage.alarms(10, means)["input outside [-1, 1]"])
    assert found[0] is None
    assert str(found[1]).startswith("9.")
    assert str(found[2]).startswith("99.")


def test_gradients_are_compared_at_the_clip_if_compiled_or_sharded(data: Path) -> None:
    config = tiny_config(data)
    stage = TokenizerStage(config, ClipBatches(config))
    out = stage.network(torch.zeros(1, 3, 5, 16, 16))
    distributed = distributed_of(stage, 0, 1, lambda value: [value])
    assert stage.last_layer(out, distributed) is stage.network.decoder.layers[-1].conv.weight  # type: ignore[union-attr]
    assert stage.last_layer(out, replace(distributed, sharded=True)) is out.clip
    stage.config = replace(config, training=replace(config.training, compile=True))
    assert stage.last_layer(out, distributed) is out.clip


def test_extra_state_stays_on_its_device(data: Path) -> None:
    config = tiny_config(data)
    stage = TokenizerStage(config, ClipBatches(config))
    assert stage.extra_state is not None
    stage.extra_state.to("meta")  # stands for a GPU: mixing it with the CPU is an error there too
    stage.after_step(
        5, {"discriminator_real": 0.5, "discriminator_fake": -0.5}, distributed_of(stage, 0, 1, lambda value: [value])
    )
    assert stage.extra_state.averages.device.type == "meta"


def test_clips_are_copied_to_a_gpu_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def to(self: torch.Tensor, device: torch.device, non_blocking: bool = False) -> torch.Tensor:
        found.append(f"{device} {non_blocking}")
        return self

    def pin_memory(self: torch.Tensor) -> torch.Tensor:
        found.append("pinned")
        return self

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.Tensor, "to", to)
    to_device(np.zeros((1, 1, 2, 2, 3), np.uint8), torch.device("cuda"))
    assert found == ["pinned", "cuda True"]


def test_a_split_that_holds_out_nothing_is_refused(data: Path) -> None:
    config = tiny_config(data)
    with pytest.raises(DataError, match="12 to train on and 0 "):
        run_tokenizer(replace(config, data=replace(config.data, validation_share=1e-9)), data / "run", resume=False)


def start(data: Path, folder: Path, *settings: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.training.tiny", str(data), str(folder), *settings]
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.mark.parametrize(("stop", "saves"), [(2, [2]), (3, [2, 3])])
def test_a_stop_on_a_step_with_a_checkpoint_saves_once(data: Path, tmp_path: Path, monkeypatch, stop, saves) -> None:
    saved, save, step = [], Trainer._save, Trainer._step
    monkeypatch.setattr(Trainer, "_save", lambda self: (saved.append(self.progress.step), save(self))[1])
    monkeypatch.setattr(Trainer, "_step", lambda self, *given: step(self, *given) or self.progress.step == stop)
    with pytest.raises(Interrupted, match=f"step {stop} of 9"):
        run_tokenizer(tiny_config(data), tmp_path / "run", resume=False)
    assert saved == saves
