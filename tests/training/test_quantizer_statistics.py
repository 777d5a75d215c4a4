"""EMA codebooks: summed over micro-batches and processes, dropped with a skipped step, averaged like weights.

That they are resumed to the bit, and that two processes are one, is tested with the stage of fake.py, which has one.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from tests.training.fake import SMALL, EMAQuantizer, FakeConfig, run
from tests.training.programs import last_tensors
from tests.training.tiny import tiny_config
from tokenizer.quantize import FSQ
from videogen.checkpoint import read_folder
from videogen.training.loop.schedule import ema_decay
from videogen.training.loop.stage import Distributed
from videogen.training.tokenizer.clips import ClipBatch
from videogen.training.tokenizer.quantizer_statistics import QuantizerStatistics
from videogen.training.tokenizer.stage import TokenizerStage

ALONE = Distributed({}, lambda name: nullcontext(torch.nn.Identity()), lambda tensor: tensor, lambda value: [value],
                    torch.device("cpu"), 0, 1, sharded=False)  # fmt: skip


def test_micro_batches_and_processes_are_summed() -> None:
    latents = torch.linspace(-1, 1, 24).reshape(4, 6)
    whole, parts, halves = (EMAQuantizer(3, 6) for _ in range(3))
    for quantizer, batches in ((whole, (latents,)), (parts, (latents[:2], latents[2:]))):
        statistics = statistics_of(quantizer)
        for batch in batches:
            statistics.collect(0, quantizer(batch)[1])
        statistics.apply(0, ALONE)
    assert not torch.equal(whole.codebook, EMAQuantizer(3, 6).codebook)
    assert torch.allclose(whole.codebook, parts.codebook)
    own, theirs = (halves(part)[1] for part in (latents[:2], latents[2:]))
    means = iter([(own[name] + theirs[name]) / 2 for name in sorted(own)])
    statistics = statistics_of(halves)
    statistics.collect(0, own)
    statistics.apply(0, replace(ALONE, mean=lambda tensor: next(means), world_size=2))
    assert torch.allclose(whole.codebook, halves.codebook)


def test_a_skipped_step_leaves_no_statistics() -> None:
    quantizer = EMAQuantizer(3, 6)
    before, statistics = quantizer.codebook.clone(), statistics_of(quantizer)
    statistics.collect(4, quantizer(torch.full((2, 6), float("nan")))[1])  # and the step is skipped
    statistics.apply(5, ALONE)
    assert torch.equal(quantizer.codebook, before)
    statistics.collect(4, quantizer(torch.full((2, 6), float("nan")))[1])
    statistics.collect(5, quantizer(torch.ones(2, 6))[1])
    statistics.apply(5, ALONE)
    assert quantizer.codebook.isfinite().all()


def statistics_of(quantizer: EMAQuantizer) -> QuantizerStatistics:
    return QuantizerStatistics(quantizer)  # type: ignore[arg-type]


def test_the_average_follows_the_codebook_and_is_exported(tmp_path: Path) -> None:
    config = FakeConfig(training=replace(SMALL, steps=5, checkpoint_every=1, keep=9), encoder_until=4)
    run(tmp_path / "run", config)
    name, expected = "quantizer.codebook", EMAQuantizer(3, 6).codebook
    for step in range(5):
        folder = read_folder(tmp_path / f"run/checkpoints/step_{step + 1:08}")
        weights, average = (folder.tensors(f"network.{kind}.safetensors")[name] for kind in ("weights", "average"))
        if step < 4:
            assert not torch.equal(weights, average)
            expected = expected.lerp(weights, 1 - ema_decay(SMALL.average_decay, step))
        else:
            assert torch.equal(weights, average), "frozen with the encoder"
        assert torch.equal(average, expected)
    exported = last_tensors(tmp_path / "run")[f"model/network/model.safetensors/{name}"]
    assert torch.equal(exported, expected)


class Counting(FSQ):
    """FSQ whose statistics count tokens."""

    def statistics(self, projected_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        return {"tokens": torch.tensor(float(codes_NK[..., 0].numel()))}

    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.seen = int(statistics["tokens"])
        return {}


def test_the_stage_of_a_tokenizer_updates_its_quantizer(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    config = replace(config, loss=replace(config.loss, adversarial=None), discriminator_optimizer=None)
    stage = TokenizerStage(config, None)  # type: ignore[arg-type]
    quantizer = cast(Counting, stage.network.quantizer)
    quantizer.__class__ = Counting
    batch = ClipBatch(("a",), torch.zeros(1, 5, 16, 16, 3, dtype=torch.uint8).numpy(), {})
    distributed = replace(ALONE, modules={"tokenizer": stage.network})
    for step, tokens in ((0, 2 * 2 * 4), (7, None)):  # in the last phase, from step 7 on, the encoder is frozen
        quantizer.seen = None  # type: ignore[assignment]
        for _ in range(2):
            list(stage.losses(batch, step, distributed))
        stage.after_step(step, {}, distributed)
        assert quantizer.seen == tokens
