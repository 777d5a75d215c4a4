"""`videogen bench`: what it counts is what is done, and its peers give the answers of the model they stand for."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prior.model import LlamaPrior
from sampling.rollout import remember
from tests.evaluation.models import write_whole_model
from tests.prior.models import WORDS, tiny_config, tiny_model
from videogen.cli.bench import bench
from videogen.evaluation.lab.baselines import UncachedPrior
from videogen.evaluation.lab.roofline import (
    PassCost,
    Peaks,
    break_even,
    frame_floor,
    measured_peaks,
    pass_cost,
    speedup_bound,
)
from videogen.evaluation.lab.timed_prior import TimedPrior

GRID = (2, 3)
PEAKS = Peaks(1e9, 1e9)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ids_of(prior: LlamaPrior, frames: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(prior.vocabulary.size, (batch, frames, *GRID), generator=generator)


# The floor


@pytest.mark.parametrize("context", [None, WORDS])
@pytest.mark.parametrize("sinks", [0, 1])
def test_the_formula_counts_what_torch_counts(context: Any, sinks: int) -> None:
    config = tiny_config(window=2, sinks=sinks, context=context, digits=(4, 3))
    prior = tiny_model(config).float()
    past = prior.begin(None, 2, GRID)
    past = remember(prior, past, ids_of(prior, 4))
    masks = torch.full((2, *GRID), prior.vocabulary.mask)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        proposal, _ = prior.propose(masks, past)
        first = proposal.logits(torch.zeros(2, *GRID, 0, dtype=torch.int64))
        proposal.logits(first.argmax(-1, keepdim=True))
    assert counter.get_total_flops() == pass_cost(config, 1, 6, 2, 4).operations
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        _, proposal = prior.advance(ids_of(prior, 1)[:, 0], past)
        first = proposal.logits(torch.zeros(2, *GRID, 0, dtype=torch.int64))
        proposal.logits(first.argmax(-1, keepdim=True))
    assert counter.get_total_flops() == pass_cost(config, 2, 6, 2, 4).operations
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        proposal, _ = prior.propose(masks, past, torch.tensor([[0, 4], [2, 3]]))
        first = proposal.logits(torch.zeros(2, 2, 0, dtype=torch.int64))
        proposal.logits(first.argmax(-1, keepdim=True))
    assert counter.get_total_flops() == pass_cost(config, 1, 6, 2, 4, asked=2).operations


def test_bytes_are_the_weights_once_and_the_keys_of_every_stream() -> None:
    config = tiny_config(window=2)
    prior = tiny_model(config)
    matrices = [
        p for name, p in prior.named_parameters() if p.ndim == 2 and "tables" not in name and "known" not in name
    ]
    one, two = (pass_cost(config, 1, 6, streams, 4).bytes for streams in (1, 2))
    past = prior.begin(None, 1, GRID)
    held = sum(part.numel() for part in (*past.keys, *past.values))
    assert two - one == 4 * held
    assert 2 * one - two == 4 * sum(p.numel() for p in matrices)


def test_the_slower_of_arithmetic_and_memory_sets_the_floor() -> None:
    assert PEAKS.floor(PassCost(2e9, 1e9)) == 2
    assert PEAKS.floor(PassCost(1e9, 3e9)) == 3
    assert PEAKS.best(Peaks(2e9, 1)) == Peaks(2e9, 1e9)


def test_a_frame_is_its_proposals_with_the_frame_before_in_the_first() -> None:
    config = tiny_config()
    one, both = (PEAKS.floor(pass_cost(config, frames, 64, 1, 4)) for frames in (1, 2))
    assert frame_floor(config, 1, 64, 1, 4, PEAKS) == both
    assert frame_floor(config, 8, 64, 1, 4, PEAKS) == pytest.approx(both + 7 * one)
    assert frame_floor(config, 8, 64, 1, 4, PEAKS, asked=8) < both + 7 * one


def test_the_bound_is_that_of_the_tokens_or_of_the_machine() -> None:
    machine = Peaks(260e9, 21.6e9)
    assert break_even(4, machine) == pytest.approx(24, rel=0.01)
    assert speedup_bound(64, 8, 4, machine) == pytest.approx(24 / 9, rel=0.01)
    assert speedup_bound(9, 8, 4, machine) == 1


def test_peaks_are_measured_in_operations_and_bytes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from videogen.evaluation.lab import roofline

    monkeypatch.setattr(roofline, "GEMM_SIDE", {"cpu": 64})
    monkeypatch.setattr(roofline, "TRIAD_BYTES", {"cpu": 3 * 4 * 1000})
    monkeypatch.setattr(roofline, "time_call", lambda work, device: work() is None or 0.5)
    peaks = measured_peaks(torch.device("cpu"), torch.float32)
    assert peaks == Peaks(2 * 64**3 / 0.5, 12000 / 0.5)


# Stand-ins


@pytest.mark.parametrize("context", [None, WORDS])
def test_without_a_cache_the_answers_are_the_same_while_the_window_holds_all(context: Any) -> None:
    prior = tiny_model(tiny_config(window=3, context=context))
    peer = UncachedPrior(prior)
    ids, none = ids_of(prior, 3), torch.zeros(2, *GRID, 0, dtype=torch.int64)
    past, noted = prior.begin(None, 2, GRID, 0.25), peer.begin(None, 2, GRID, 0.25)
    for frame in ids.unbind(1):
        partly = frame.clone()
        partly[:, 0] = prior.vocabulary.mask
        ours, theirs = prior.propose(partly, past)[0], peer.propose(partly, noted)[0]
        torch.testing.assert_close(ours.logits(none), theirs.logits(none))
        past, ours = prior.advance(frame, past)
        noted, theirs = peer.advance(frame, noted)
        torch.testing.assert_close(ours.logits(none), theirs.logits(none))
    assert noted.ids_BThw.shape[1] == 3
    assert peer.advance(ids[:, 0], noted)[0].ids_BThw.shape[1] == prior.window


def test_a_timed_prior_gives_the_same_and_counts_its_calls() -> None:
    prior = tiny_model(tiny_config())
    ticks = iter(range(100))
    timed = TimedPrior(prior, lambda: float(next(ticks)))
    ids, none = ids_of(prior, 2), torch.zeros(2, *GRID, 0, dtype=torch.int64)
    past, same = prior.begin(None, 2, GRID), prior.begin(None, 2, GRID)
    past = prior.commit(past, prior.propose(ids[:, 0], past)[1])
    same = timed.commit(same, timed.propose(ids[:, 0], same)[1])
    (_, ours), (_, theirs) = prior.advance(ids[:, 1], past), timed.advance(ids[:, 1], same)
    assert torch.equal(ours.logits(none), theirs.logits(none))
    assert timed.seconds == 4  # propose, commit, advance, logits: a tick each


# The command


def run(*arguments: str) -> None:
    with bench.make_context("bench", list(arguments)) as context:
        bench.invoke(context)


@pytest.fixture
def small_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    from videogen.evaluation.lab import bench as module

    monkeypatch.setattr(module, "measured_peaks", lambda device, dtype: Peaks(1e11, 1e10))


@pytest.mark.usefixtures("small_peaks")
def test_every_way_takes_its_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_whole_model(tmp_path)
    run(
        "--model",
        str(model),
        "--rounds",
        "3",
        "--batch",
        "2",
        "--guidance-scale",
        "2",
        "--prompts",
        "playroom:2",
        "--json",
    )
    figures = json.loads(capsys.readouterr().out)
    ways = {way["name"]: way for way in figures["ways"]}
    assert list(ways) == [
        "as configured", "4 steps", "8 steps", "16 steps", "adaptive, 16 at most", "8 steps, no cache",
        "token by token, proposals", "token by token, cached",
    ]  # fmt: skip
    assert all(way["rounds"] == 3 and way["latent_frame_ms"] > 0 for way in ways.values())
    assert ways["as configured"]["time_of_configured"] == 1
    assert ways["token by token, cached"]["faster_than_raster"] == 1
    assert ways["4 steps"]["bound"] == pytest.approx(4 / 5)  # four tokens a latent frame
    assert ways["token by token, cached"]["bound"] is None
    assert ways["token by token, cached"]["steps"] == 4
    judged = {name for name, way in ways.items() if way["oracle"] is not None}
    assert judged == set(ways) - {"8 steps, no cache", "token by token, cached"}
    assert sum(figures["split"].values()) == pytest.approx(1)
    assert figures["first_picture_ms"] > 0
    assert figures["peak_memory_mib"] > 50
    assert figures["loading_seconds"] > 0
    assert 0 < figures["fraction_of_floor"] < 1
    assert figures["machine"]["break_even_tokens"] == pytest.approx(20)


@pytest.mark.usefixtures("small_peaks")
def test_a_prior_taught_in_raster_order_has_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_whole_model(tmp_path, "autoregressive")
    run("--model", str(model), "--rounds", "1")
    said = capsys.readouterr().out
    assert "as configured" in said
    assert "token by token, cached" in said
    assert "4 steps" not in said


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    from videogen.evaluation.lab.bench import BenchmarkCase, ratio

    def way(*seconds: float) -> BenchmarkCase:
        nothing: Any = None
        return BenchmarkCase("", nothing, nothing, nothing, seconds=list(seconds))

    assert ratio(way(1, 20, 3), way(1, 10, 1)) == 2
    assert ratio(way(30), way(1, 2, 3)) == 30 / median((1, 2, 3))
