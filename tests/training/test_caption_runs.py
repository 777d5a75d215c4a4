"""Runs of a prior that also writes captions: which samples are captioned, their loss, resuming, two processes."""

import json
import subprocess
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prior.captions import caption_targets
from prior.config import Objective, PriorShape
from tests.training.fake import lines
from tests.training.programs import CHECKOUT, ENVIRONMENT, last_tensors
from tests.training.tiny_prior import Set, tiny_config, train
from videogen.conditioning import BPEConfig, EncoderConfig, make_conditioner
from videogen.data import build_index
from videogen.errors import UsageError
from videogen.evaluation.prior.captions import evaluate_captions
from videogen.evaluation.prior.evaluate import ClipSelection
from videogen.models import BUNDLED, load_prior, load_tokenizer
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.tokens import EncodeSpec, TokenSet, encode
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.loop.stage import Distributed, LossOutput
from videogen.training.prior.batches import TokenBatch, TokenBatches
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig, TokenDataConfig
from videogen.training.prior.run import run_prior
from videogen.training.prior.stage import PRIOR, PriorStage

FIELDS = ("codes", "clean", "known", "predicted", "noise", "drop_text")


def captioning_config(tokens: Path, share: float = 0.5, **training: int) -> PriorTrainingConfig:
    config = tiny_config(tokens, **training)
    teaching = replace(config.teaching, caption_share=share)
    return replace(config, prior=replace(config.prior, captions=share > 0), teaching=teaching)


def token_batches(tokens: Path, share: float) -> TokenBatches:
    return TokenBatches(captioning_config(tokens, share), TokenSet.open(tokens), None)


def captioned_rows(batch: TokenBatch) -> list[int]:
    rows: list[int] = batch.captioned.nonzero()[:, 0].tolist()
    return rows


def test_samples_that_are_not_captioned_are_those_of_a_run_without_captions(made: Set) -> None:
    plain, source = (token_batches(made[1], share) for share in (0.0, 0.5))
    pairs = zip(plain.batches({}, 0, 1, 0, 1), source.batches({}, 0, 1, 0, 1), strict=False)
    captioned, count, rollouts = 0, 60, 0
    for step, (before, now) in zip(range(count), pairs, strict=False):
        assert before.next_position == now.next_position
        assert not before.captioned.any()
        rows = captioned_rows(now)
        captioned += len(rows)
        rollouts += source.is_rollout(step)
        assert not rows or not source.is_rollout(step)
        for row in range(4):
            if row in rows:
                assert torch.equal(now.clean[row], now.codes[row])
                assert now.noise[row] == 0
                assert now.drop_text[row]
                assert " cut to " not in now.keys[row]
            else:
                assert now.keys[row] == before.keys[row]
                assert all(torch.equal(getattr(now, name)[row], getattr(before, name)[row]) for name in FIELDS)
    assert 0.35 < captioned / (4 * (count - rollouts)) < 0.65


def test_which_samples_are_captioned_does_not_depend_on_processes_or_micro_batches(made: Set) -> None:
    source = token_batches(made[1], 0.5)
    whole = source.batches({}, 0, 1, 0, 1, len)
    halves = [source.batches({}, 0, 1, rank, 2, len) for rank in range(2)]
    micro = source.batches({}, 0, 2, 0, 1, len)
    for _ in range(20):
        expected, parts, turns = next(whole), [next(half) for half in halves], [next(micro), next(micro)]
        for split in (parts, turns):
            assert torch.equal(torch.cat([part.captioned for part in split]), expected.captioned)
            assert all(part.caption_scale == 2 * expected.caption_scale for part in split)


def test_every_caption_token_of_a_step_counts_once(made: Set) -> None:
    source, conditioner = token_batches(made[1], 0.5), make_conditioner(BPEConfig(vocabulary=300, length=6), ["a clip"])

    def count(captions: object) -> int:
        return int(caption_targets(conditioner(captions)).counted.sum())  # type: ignore[arg-type]

    batches = source.batches({}, 0, 2, 0, 1, count)
    seen = 0
    for _ in range(20):
        parts = [next(batches) for _ in range(2)]
        captions = [part.captions[row] for part in parts for row in captioned_rows(part)]
        total = sum(count([caption]) for caption in captions)
        assert {part.caption_scale for part in parts} == {2 / total if total else 0.0}
        seen += total
    assert seen


@pytest.fixture(scope="module")
def trained(made: Set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions") / "run"
    train(*made, folder, config=captioning_config(made[1]), log_every=1)
    return folder


def test_the_log_and_validation_have_the_nats_of_captions(trained: Path) -> None:
    kinds = {kind: [line for line in lines(trained) if line["kind"] == kind] for kind in ("train", "validation")}
    assert all(line["caption_nats"] > 0 for line in kinds["validation"])
    reported = [line for line in kinds["train"] if "caption_nats" in line]
    assert 0 < len(reported) < len(kinds["train"]), "steps without captions report none"
    assert all(0 < line["caption_nats"] < 10 for line in reported)


def test_the_exported_model_writes_captions(trained: Path) -> None:
    model = load_prior(trained)
    assert model.writes_captions
    assert model.config.objective == "masked"


def test_a_resumed_run_equals_one_that_never_stopped(made: Set, tmp_path: Path) -> None:
    stopped, calm = tmp_path / "stopped", tmp_path / "calm"
    for folder, marks in ((stopped, (3, 8)), (calm, (8,))):
        for steps in marks:
            config = captioning_config(made[1])
            config = replace(config, optimizer=replace(config.optimizer, schedule="constant"))
            train(*made, folder, resume=True, config=config, steps=steps)
    assert all(torch.equal(last_tensors(stopped)[name], tensor) for name, tensor in last_tensors(calm).items())


def test_a_run_that_began_before_these_settings_is_resumed(made: Set, tmp_path: Path) -> None:
    train(*made, tmp_path / "run", steps=1)
    place = tmp_path / "run/config.json"
    config = json.loads(place.read_text())
    for section, names in (("prior", ["captions"]), ("teaching", ["caption_share", "caption_weight"])):
        for name in names:
            del config[section][name]
    place.write_text(json.dumps(config))
    train(*made, tmp_path / "run", resume=True, steps=2)
    with pytest.raises(UsageError, match=r"'prior\.captions' was false"):
        train(*made, tmp_path / "run", resume=True, config=captioning_config(made[1], steps=2))


@pytest.mark.slow
def test_two_processes_equal_one_to_rounding(made: Set, tmp_path: Path) -> None:
    train(*made, tmp_path / "one", config=captioning_config(made[1]), steps=4, log_every=1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    program = ["-m", "tests.training.test_caption_runs", *map(str, made), str(tmp_path / "two")]
    done = subprocess.run([*launcher, *program], cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert len(one) == len(two)
    assert any("caption_nats" in line for line in one)
    for before, now in zip(one, two, strict=True):
        for name in ("nats", "caption_nats"):
            assert now.get(name) == (pytest.approx(before[name], rel=1e-4) if name in before else None)


def test_the_weight_multiplies_the_loss_of_captions_alone(made: Set) -> None:
    once, thrice = (output_with(made, weight) for weight in (1.0, 3.0))
    nats, caption_nats = once.metrics["nats"], once.metrics["caption_nats"]
    assert once.loss.item() == pytest.approx((nats + caption_nats).item(), rel=1e-5)
    assert thrice.loss.item() == pytest.approx((nats + 3 * caption_nats).item(), rel=1e-5)


def output_with(made: Set, weight: float) -> LossOutput:
    """The loss of a step whose samples are all captioned."""
    config = captioning_config(made[1], share=1.0)
    config = replace(config, teaching=replace(config.teaching, caption_weight=weight, label_smoothing=0.0))
    source = TokenBatches(config, TokenSet.open(made[1]), None)
    captions = [source.windows[0].tokens.label(row)[1] for row in range(12)]
    assert isinstance(config.text, BPEConfig)
    torch.manual_seed(0)
    stage = PriorStage(config, source, load_tokenizer(made[0]), make_conditioner(config.text, captions))
    modules, cpu = {PRIOR: stage.network}, torch.device("cpu")
    alone = Distributed(modules, lambda name: nullcontext(stage.network), lambda x: x, lambda x: [x], cpu, 0, 1, False)
    with closing(stage.batches({}, 0, 1, 0, 1)) as batches:
        batch = next(batches)
    assert batch.captioned.all()
    return next(stage.losses(batch, 0, alone))


def test_it_can_begin_with_a_prior_without_captions(made: Set, tmp_path: Path) -> None:
    train(*made, tmp_path / "plain", steps=1)
    config = captioning_config(made[1], steps=1)
    config = replace(config, init_from=tmp_path / "plain", optimizer=replace(config.optimizer, learning_rate=1e-12))
    train(*made, tmp_path / "captions", config=config)
    before, now = (load_prior(tmp_path / name).network.state_dict() for name in ("plain", "captions"))
    assert set(now) - set(before) == {"captions.begin", "captions.output"}
    for name, weights in before.items():
        torch.testing.assert_close(now[name], weights, rtol=0, atol=1e-6)
    back = replace(tiny_config(made[1], steps=1), init_from=tmp_path / "captions")
    with pytest.raises(UsageError, match=r"captions\.begin"):
        train(*made, tmp_path / "back", config=back)


def test_captions_need_a_vocabulary_and_a_share(made: Set) -> None:
    config = captioning_config(made[1])
    with pytest.raises(ValueError, match=r"prior\.captions needs text of kind bpe"):
        replace(config, text=EncoderConfig(model="t5"))
    for wrong in (
        {"teaching": replace(config.teaching, caption_share=0.0)},
        {"prior": replace(config.prior, captions=False)},
    ):
        with pytest.raises(ValueError, match=r"prior\.captions and teaching\.caption_share belong together"):
            replace(config, **wrong)  # type: ignore[arg-type]
    for name, value in (("caption_share", 1.5), ("caption_weight", 0.0)):
        with pytest.raises(ValueError, match=name):
            replace(config.teaching, **{name: value})


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["unified", "autoregressive"])
def test_a_tiny_prior_learns_to_caption_the_clips_it_was_trained_on(tmp_path: Path, objective: Objective) -> None:
    write_playroom(tmp_path / "clips", PlayroomConfig(clips=12, seed=5, size=32, frames=17))
    clips = build_index(tmp_path / "clips", workers=1)
    encode(clips, tmp_path / "tokens", load_tokenizer(BUNDLED), EncodeSpec(32, 32, 8.0))
    config = PriorTrainingConfig(
        data=TokenDataConfig(tmp_path / "tokens", tmp_path / "tokens", clip_start_share=1.0),
        phases=(PriorPhaseConfig(from_step=0, frames=5),),
        prior=PriorShape(
            width=64, layers=2, heads=4, kv_heads=2, hidden=128, window=4, objective=objective, captions=True
        ),
        text=BPEConfig(vocabulary=400, length=40),
        teaching=TeachingConfig(corruption_share=0.0, caption_share=0.5),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=20, schedule="cosine", floor=0.1, algorithm="adamw"),
        training=TrainingConfig(
            steps=250, batch_size=8, seed=0, average_decay=0.9, log_every=50, validate_every=250, sample_every=0,
            checkpoint_every=250,
        ),
    )  # fmt: skip
    run_prior(config, BUNDLED, tmp_path / "run", resume=False)
    found = evaluate_captions(
        load_prior(tmp_path / "run"), tmp_path / "tokens", ClipSelection(17), tmp_path / "scratch"
    )
    assert found["caption_nats"] < 0.3
    assert found["captions"]["attributes"] > 0.9
    assert found["captions_of_other_clips"]["attributes"] < 0.5


if __name__ == "__main__":
    torch.set_num_threads(1)
    model, tokens, folder = map(Path, sys.argv[1:])
    train(model, tokens, folder, config=captioning_config(tokens), steps=4, log_every=1)
