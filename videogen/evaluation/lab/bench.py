"""`videogen bench`: the speed of a model, its share of the roofline, and the speed of other samplers with its weights.

The cases take turns, so that a disturbance of the machine affects all of them; a ratio is the median over rounds.
Each round measures one latent frame of a stream whose window is full.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, cast

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prior.config import PriorConfig
from prior.model import LlamaPrior
from prior.network import PriorNetwork
from sampling.config import orders_of
from sampling.orders import STATIC_ORDERS
from videogen.evaluation.lab.baselines import UncachedPast, UncachedPrior
from videogen.evaluation.lab.roofline import (
    PassCost,
    Peaks,
    break_even,
    frame_floor,
    measured_peaks,
    speedup_bound,
    time_call,
)
from videogen.evaluation.lab.timed_prior import TimedPrior
from videogen.generate import (
    GenerationRequest,
    GenerationState,
    LatentOutput,
    clone_state,
    encode_prompts,
    exact_clock,
    prefill,
    step,
)
from videogen.generation.stats import peak_memory_mib
from videogen.models import PriorModel, count_parameters

OnProgress = Callable[[int, int], None]
CONFIGURED, CACHED_RASTER = "as configured", "token by token, cached"
MAX_SECONDS = 10.0  # a case that takes longer is measured once


@dataclass
class BenchmarkCase:
    """A sampler and a prior to time, and its seconds and steps in each round."""

    name: str
    model: PriorModel
    request: GenerationRequest
    state: GenerationState
    note: str = ""
    faithful: bool = True  # whether its clips are worth evaluating
    seconds: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def run(self, round_number: int) -> None:
        """One latent frame, with other random numbers in each round."""
        seeds = tuple(seed + round_number for seed in self.request.seeds)
        state = clone_state(self.state)
        state = state._replace(rollout=state.rollout._replace(seeds=seeds))
        outputs: list[LatentOutput] = []
        work = lambda: outputs.append(step(self.model, self.request, state)[1])  # noqa: E731
        self.seconds.append(time_call(work, self.model.device))
        self.steps.append(float(outputs[0].steps_B.float().mean()))


def bench(
    model: PriorModel, request: GenerationRequest, rounds: int = 7, on_progress: OnProgress | None = None
) -> dict[str, Any]:
    """JSON types. The peak memory is read before the other cases add theirs."""
    device, weight = model.network.device, model.network.norm.weight
    first = [time_to_first_frame(model, request) for _ in range(3)]
    state = fill_window(model, request)
    split = time_split(model, request, state, rounds)
    memory = peak_memory_mib(model)
    cases = benchmark_cases(model, request, state)
    for case in cases:
        case.run(0)  # warm-up
    quick = [case for case in cases if case.seconds[0] < MAX_SECONDS]
    for case in quick:
        case.seconds.clear()
        case.steps.clear()
    peaks = measured_peaks(device, weight.dtype)
    for number in range(1, rounds + 1):
        for case in quick:
            case.run(number)
        peaks = peaks.best(measured_peaks(device, weight.dtype))
        if on_progress is not None:
            on_progress(number, rounds)
    return {
        "model": describe_model(model),
        "machine": describe_machine(device, weight.dtype, peaks),
        "batch": len(request.seeds),
        "first_frame_ms": 1000 * median(first),
        "peak_memory_mib": memory,
        **configured_figures(model, request, cases[0], state, split, peaks),
        "cases": [case_figures(case, cases, model, peaks) for case in cases],
    }


def time_to_first_frame(model: PriorModel, request: GenerationRequest) -> float:
    """Seconds from the prompt to the first frame in CPU memory."""
    return time_call(lambda: step(model, request, prefill(model, request))[1].frames.cpu(), model.network.device)


def fill_window(model: PriorModel, request: GenerationRequest) -> GenerationState:
    """A stream whose window is full."""
    state = prefill(model, request)
    for _ in range(model.config.window + 2):
        state, _ = step(model, request, state)
    return state


def time_split(model: PriorModel, request: GenerationRequest, state: GenerationState, rounds: int) -> dict[str, float]:
    """Shares of the time of a latent frame: the prior, the sampler with all the rest, and the decoder."""
    clock = exact_clock(model)
    timed_prior = TimedPrior(model.network, clock)
    timed_model, sampling, decoding = replace(model, network=cast(PriorNetwork, timed_prior)), 0.0, 0.0
    for _ in range(rounds):
        _, output = step(timed_model, request, clone_state(state), clock=clock)
        sampling, decoding = sampling + output.seconds.prior, decoding + output.seconds.decoder
    whole = sampling + decoding
    return {
        "prior": timed_prior.seconds / whole,
        "sampler": (sampling - timed_prior.seconds) / whole,
        "decoder": decoding / whole,
    }


def benchmark_cases(model: PriorModel, request: GenerationRequest, state: GenerationState) -> list[BenchmarkCase]:
    """As configured; fewer, more and adaptive steps; token by token; and without a cache."""
    cases, masked = [BenchmarkCase(CONFIGURED, model, request, state)], model.config.objective == "masked"
    if masked:
        steps: dict[str, Any] = {"group_steps": None}  # which would count in their place
        for name, changes in (
            ("4 steps", {"order": "halton", "steps": 4}),
            ("8 steps", {"order": "halton", "steps": 8}),
            ("16 steps", {"order": "halton", "steps": 16}),
            ("adaptive, 16 at most", {"order": "threshold", "steps": 16}),
        ):
            if changes["order"] in orders_of("masked", model.network.likelihood):
                cases.append(BenchmarkCase(name, model, override_sampler(request, **changes, **steps), state))
        eight = override_sampler(request, order="halton", steps=8, **steps)
        cases.append(uncached_case(model, eight, state))  # masked: a Llama
        whole = override_sampler(request, order="raster")
        cases.append(BenchmarkCase("token by token, proposals", model, whole, state, "one proposal per token"))
    note = "speed only: the prior was trained with masks" if masked else "as trained"
    cases.append(
        BenchmarkCase(
            CACHED_RASTER, model, override_sampler(request, order="autoregressive"), state, note, faithful=not masked
        )
    )
    return cases


def uncached_case(model: PriorModel, request: GenerationRequest, state: GenerationState) -> BenchmarkCase:
    guided = request.sampler.guided
    context = state.context
    codes = context.codes_BTNK[:, :-1]  # the last frame is not committed yet
    codes = torch.cat([codes, codes]) if guided else codes
    past = UncachedPast(encode_prompts(model, request), request.history_noise, context.spec, codes)
    prior = cast(PriorNetwork, UncachedPrior(cast(LlamaPrior, model.network)))
    begun = state._replace(rollout=state.rollout._replace(past=past))  # type: ignore[arg-type]
    return BenchmarkCase(
        "8 steps, no cache",
        replace(model, network=prior),
        request,
        begun,
        "recomputes the window for each proposal",
        False,
    )


def override_sampler(request: GenerationRequest, **changes: Any) -> GenerationRequest:
    return replace(request, sampler=replace(request.sampler, **changes))


def configured_figures(
    model: PriorModel,
    request: GenerationRequest,
    own: BenchmarkCase,
    state: GenerationState,
    split: dict[str, float],
    peaks: Peaks,
) -> dict[str, Any]:
    """Speed of the configured sampler, and its share of the roofline."""
    seconds, steps = median(own.seconds), sum(own.steps) / len(own.steps)
    weight, frames_per_latent = model.network.norm.weight, model.spec.frames_per_latent
    decoding = peaks.floor(decoder_cost(model, state))
    figures = {
        "latent_frame_ms": 1000 * seconds,
        "steps": steps,
        "frames_per_second": len(request.seeds) * frames_per_latent / seconds,
        "split": split,
        "decoder_floor_ms": 1000 * decoding,
        "decoder_fraction": decoding / (seconds * split["decoder"]),
    }
    if request.sampler.order == "autoregressive" or not isinstance(model.config, PriorConfig):
        return figures
    streams = len(request.seeds) * (2 if request.sampler.guided else 1)
    tokens = tokens_per_latent(model)
    asked = (
        tokens / steps if request.sampler.order in STATIC_ORDERS else None
    )  # the other orders read all undecided tokens
    sampling = frame_floor(model.config, steps, tokens, streams, weight.dtype.itemsize, peaks, asked)
    return {
        **figures,
        "prior_floor_ms": 1000 * sampling,
        "prior_fraction": sampling / (seconds * split["prior"]),
        "fraction_of_floor": (sampling + decoding) / seconds,
    }


def decoder_cost(model: PriorModel, state: GenerationState) -> PassCost:
    """Cost of decoding one latent frame; torch counts the operations of attention only in the math backend."""
    network = model.tokenizer.network
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network.decode(state.context.codes_BTNK[:, -1:], state.context.spec, state.decoder.state)
    weights = sum(p.numel() * p.element_size() for p in model.tokenizer.parameters_of("decoder"))
    return PassCost(float(counter.get_total_flops()), float(weights))


def case_figures(
    case: BenchmarkCase, cases: Sequence[BenchmarkCase], model: PriorModel, peaks: Peaks
) -> dict[str, Any]:
    """A case compared to the configured one and to cached token-by-token sampling, the baseline."""
    own, raster = cases[0], next(each for each in cases if each.name == CACHED_RASTER)
    steps, width = sum(case.steps) / len(case.steps), model.network.norm.weight.dtype.itemsize
    frames = len(case.request.seeds) * model.spec.frames_per_latent
    beside = case.request.sampler.order not in ("autoregressive", "raster") and isinstance(
        case.model.network, LlamaPrior
    )
    return {
        "name": case.name,
        "settings": {"order": case.request.sampler.order, "steps": case.request.sampler.steps}
        if case.faithful
        else None,
        "steps": steps,
        "rounds": len(case.seconds),
        "latent_frame_ms": 1000 * median(case.seconds),
        "frames_per_second": frames / median(case.seconds),
        "time_of_configured": ratio(case, own),
        "faster_than_raster": ratio(raster, case),
        "bound": speedup_bound(tokens_per_latent(model), steps, width, peaks) if beside else None,
        "note": case.note,
    }


def ratio(one: BenchmarkCase, other: BenchmarkCase) -> float:
    """The median ratio over rounds; if one case ran only once, the ratio of medians."""
    if len(one.seconds) == len(other.seconds):
        return median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))
    return median(one.seconds) / median(other.seconds)


def tokens_per_latent(model: PriorModel) -> int:
    return model.spec.tokens


def describe_model(model: PriorModel) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "parameters": count_parameters(model.network),
        "parameters_of_decoder": sum(p.numel() for p in model.tokenizer.parameters_of("decoder")),
        "tokens": " + ".join(" x ".join(map(str, group.shape)) for group in model.spec.groups),
        "window": model.config.window,
        "frames_per_latent": model.spec.frames_per_latent,
        "fps": model.clips.fps,
    }


def describe_machine(device: torch.device, dtype: torch.dtype, peaks: Peaks) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "gemm_gflops": peaks.operations / 1e9,
        "bandwidth_gb": peaks.bandwidth / 1e9,
        "break_even_tokens": break_even(dtype.itemsize, peaks),
    }
