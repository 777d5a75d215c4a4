"""`videogen bench`: the roofline counts what torch counts, and the wrapped priors give the same proposals."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from interfaces.prior import DrawSettings
from prior.laws import random_codes
from prior.model import LlamaPrior
from sampling.config import SamplerConfig
from sampling.rng import StepRNG, counter_rng
from sampling.rollout import commit_codes
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
from videogen.generate import GenerationRequest, prefill

PEAKS = Peaks(1e9, 1e9)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def codes_of(prior: LlamaPrior, frames: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return random_codes(prior.spec, (batch, frames, prior.spec.tokens), generator)


def known(value: bool, prior: LlamaPrior, batch: int = 2) -> torch.Tensor:
    return torch.full((batch, prior.spec.tokens), value)


# The roofline


@pytest.mark.parametrize("context", [None, WORDS])
def test_the_formula_counts_what_torch_counts(context: Any) -> None:
    config = tiny_config(window=2, context=context)
    prior = tiny_model(config).float()
    past = commit_codes(prior, prior.begin(None, 2), codes_of(prior, 4))
    codes = codes_of(prior, 1)[:, 0]

    def read(proposal: Any) -> None:
        first = prior.head(proposal.features, codes[:, : proposal.features.shape[1], :0])
        prior.head(proposal.features, first.argmax(-1, keepdim=True))

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        read(prior.propose(codes, known(False, prior), past)[0])
    assert counter.get_total_flops() == pass_cost(config, 1, 6, 2, 4).operations
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        read(prior.advance(codes, past)[1])
    assert counter.get_total_flops() == pass_cost(config, 2, 6, 2, 4).operations
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        places = torch.tensor([[0, 4], [2, 3]])
        read(prior.propose(codes, known(False, prior), past, positions_BM=places)[0])
    assert counter.get_total_flops() == pass_cost(config, 1, 6, 2, 4, asked=2).operations


def test_bytes_are_the_weights_once_and_the_keys_of_each_stream() -> None:
    config = tiny_config(window=2)
    prior = tiny_model(config)
    matrices = [
        p for name, p in prior.named_parameters() if p.ndim == 2 and "tables" not in name and "known" not in name
    ]
    one, two = (pass_cost(config, 1, 6, streams, 4).bytes for streams in (1, 2))
    past = prior.begin(None, 1)
    held = sum(part.numel() for part in (*past.keys, *past.values))
    assert two - one == 4 * held
    assert 2 * one - two == 4 * sum(p.numel() for p in matrices)


def test_the_slower_of_arithmetic_and_memory_sets_the_floor() -> None:
    assert PEAKS.floor(PassCost(2e9, 1e9)) == 2
    assert PEAKS.floor(PassCost(1e9, 3e9)) == 3
    assert PEAKS.best(Peaks(2e9, 1)) == Peaks(2e9, 1e9)


def test_a_latent_frame_costs_its_proposals_and_the_frame_before_in_the_first() -> None:
    config = tiny_config()
    one, both = (PEAKS.floor(pass_cost(config, frames, 64, 1, 4)) for frames in (1, 2))
    assert frame_floor(config, 1, 64, 1, 4, PEAKS) == both
    assert frame_floor(config, 8, 64, 1, 4, PEAKS) == pytest.approx(both + 7 * one)
    assert frame_floor(config, 8, 64, 1, 4, PEAKS, asked=8) < both + 7 * one


def test_the_speedup_bound_is_set_by_tokens_or_by_the_machine() -> None:
    machine = Peaks(260e9, 21.6e9)
    assert break_even(4, machine) == pytest.approx(24, rel=0.01)
    assert speedup_bound(64, 8, 4, machine) == pytest.approx(24 / 9, rel=0.01)
    assert speedup_bound(9, 8, 4, machine) == 1


def test_peaks_are_operations_and_bytes_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from videogen.evaluation.lab import roofline

    monkeypatch.setattr(roofline, "GEMM_SIDE", {"cpu": 64})
    monkeypatch.setattr(roofline, "TRIAD_BYTES", {"cpu": 3 * 4 * 1000})
    monkeypatch.setattr(roofline, "time_call", lambda work, device: work() is None or 0.5)
    peaks = measured_peaks(torch.device("cpu"), torch.float32)
    assert peaks == Peaks(2 * 64**3 / 0.5, 12000 / 0.5)


# Wrappers


@pytest.mark.parametrize("context", [None, WORDS])
@pytest.mark.parametrize("mask_noise", [0, 3])
def test_proposals_without_a_cache_are_equal_until_the_window_is_full(context: Any, mask_noise: int) -> None:
    prior = tiny_model(tiny_config(window=3, context=context, mask_noise=mask_noise))
    uncached = UncachedPrior(prior)
    partly, codes = known(True, prior), codes_of(prior, 3)
    partly[:, 0] = False
    past, window = (each.begin(None, 2, history_noise=0.25) for each in (prior, uncached))
    if mask_noise:
        noise = torch.randn(2, prior.spec.tokens, mask_noise, dtype=torch.float64)
        past, window = prior.with_mask_noise(past, noise), uncached.with_mask_noise(window, noise)
    for frame in codes.unbind(1):
        ours, theirs = prior.propose(frame, partly, past)[0], uncached.propose(frame, partly, window)[0]
        torch.testing.assert_close(ours.features, theirs.features)
        past, ours = prior.advance(frame, past)
        window, theirs = uncached.advance(frame, window)
        torch.testing.assert_close(ours.features, theirs.features)
    assert window.codes_BTNK.shape[1] == 3
    assert uncached.advance(codes[:, 0], window)[0].codes_BTNK.shape[1] == prior.config.window


def test_a_timed_prior_gives_the_same_proposals_and_times_its_calls() -> None:
    prior = tiny_model(tiny_config())
    ticks = iter(range(100))
    timed = TimedPrior(prior, lambda: float(next(ticks)))
    codes, everything = codes_of(prior, 2), known(True, prior)
    past, same = prior.begin(None, 2), prior.begin(None, 2)
    past = prior.commit(past, prior.propose(codes[:, 0], everything, past)[1])
    same = timed.commit(same, timed.propose(codes[:, 0], everything, same)[1])
    (_, ours), (_, theirs) = prior.advance(codes[:, 1], past), timed.advance(codes[:, 1], same)
    settings, places = DrawSettings(), torch.arange(prior.spec.tokens).expand(2, -1)
    rng = StepRNG(counter_rng([1, 2], 0), 0, prior.spec.groups[0].shape, places)
    assert all(
        torch.equal(*pair) for pair in zip(ours.sample(settings, rng), theirs.sample(settings, rng), strict=True)
    )
    assert timed.seconds == 4  # propose, commit, advance, sample: one tick each


# The command


def run(*arguments: str) -> None:
    with bench.make_context("bench", list(arguments)) as context:
        bench.invoke(context)


@pytest.fixture
def small_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    from videogen.evaluation.lab import bench as module

    monkeypatch.setattr(module, "measured_peaks", lambda device, dtype: Peaks(1e11, 1e10))


@pytest.mark.usefixtures("small_peaks")
def test_every_case_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    cases = {case["name"]: case for case in figures["cases"]}
    assert list(cases) == [
        "as configured", "4 steps", "8 steps", "16 steps", "adaptive, 16 at most", "8 steps, no cache",
        "token by token, proposals", "token by token, cached",
    ]  # fmt: skip
    assert all(case["rounds"] == 3 and case["latent_frame_ms"] > 0 for case in cases.values())
    assert cases["as configured"]["time_of_configured"] == 1
    assert cases["token by token, cached"]["faster_than_raster"] == 1
    assert cases["4 steps"]["bound"] == pytest.approx(4 / 5)  # four tokens per latent frame
    assert cases["token by token, cached"]["bound"] is None
    assert cases["token by token, cached"]["steps"] == 4
    judged = {name for name, case in cases.items() if case["oracle"] is not None}
    assert judged == set(cases) - {"8 steps, no cache", "token by token, cached"}
    assert sum(figures["split"].values()) == pytest.approx(1)
    assert figures["first_frame_ms"] > 0
    assert figures["peak_memory_mib"] > 50
    assert figures["loading_seconds"] > 0
    assert 0 < figures["fraction_of_floor"] < 1
    assert figures["machine"]["break_even_tokens"] == pytest.approx(20)


@pytest.mark.usefixtures("small_peaks")
def test_an_autoregressive_prior_has_only_its_own_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_whole_model(tmp_path, "autoregressive")
    run("--model", str(model), "--rounds", "1")
    said = capsys.readouterr().out
    assert "as configured" in said
    assert "token by token, cached" in said
    assert "4 steps" not in said


def test_steps_are_those_of_a_case_and_orders_those_of_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videogen.evaluation.lab.bench import benchmark_cases
    from videogen.models import load_prior

    model = load_prior(write_whole_model(tmp_path))
    request = GenerationRequest(("",), ("",), (1,), SamplerConfig(group_steps="3"))
    state = prefill(model, request)
    cases = {case.name: case.request.sampler for case in benchmark_cases(model, request, state)}
    assert [cases[f"{steps} steps"].steps_of(64) for steps in (4, 8, 16)] == [4, 8, 16]
    assert cases["as configured"].steps_of(64) == 3
    monkeypatch.setattr(type(model.network), "likelihood", False)
    assert {case.name for case in benchmark_cases(model, request, state)} == cases.keys() - {"adaptive, 16 at most"}


def test_a_ratio_is_the_median_over_rounds() -> None:
    from videogen.evaluation.lab.bench import BenchmarkCase, ratio

    def case(*seconds: float) -> BenchmarkCase:
        nothing: Any = None
        return BenchmarkCase("", nothing, nothing, nothing, seconds=list(seconds))

    assert ratio(case(1, 20, 3), case(1, 10, 1)) == 2
    assert ratio(case(30), case(1, 2, 3)) == 30 / median((1, 2, 3))
