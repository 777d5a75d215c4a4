"""Shared by the checks: device settings, error handling, relative errors, timing."""

import statistics
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding
from benchmarks.measuring import DeviceSetting, synchronize, time_calls
from videogen.evaluation.lab.roofline import Peaks, measured_peaks
from videogen.training.estimate.machine import GPU_UTILIZATION, this_gpu

SEED = 0
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def device_setting(device: str, dtype: torch.dtype = torch.bfloat16) -> DeviceSetting:
    torch.manual_seed(SEED)
    return DeviceSetting(torch.device(device), dtype)


def is_small(device: str) -> bool:
    """Whether to use small shapes: on a CPU."""
    return torch.device(device).type == "cpu"


def attempt(what: str, rows: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The rows; an exception becomes a row, and the other parts of the check continue."""
    try:
        yield from rows()
    except Exception as error:  # kernels and compilers raise anything
        said = " ".join(str(error).split())[:300]
        where_from = {"traceback": traceback.format_exc()[-6000:]}
        yield Finding(what, "no", why=f"{type(error).__name__}: {said}", numbers=where_from)


def relative_error(one: Tensor, other: Tensor) -> float:
    """The norm of the difference relative to that of the other; infinite for NaN."""
    ratio = float((one.double() - other.double()).norm() / other.double().norm().clamp_min(1e-30))
    return ratio if ratio == ratio else float("inf")


def median_seconds(work: Callable[[], object], setting: DeviceSetting, rounds: int = 5) -> float:
    """Median seconds of a call after a warm-up; short calls are repeated within a round."""
    work()
    once = time_calls(work, 1, setting)
    repeats = max(1, min(200, int(0.02 / max(once, 1e-6))))
    return statistics.median(time_calls(work, repeats, setting) for _ in range(rounds))


def peaks_of(setting: DeviceSetting) -> Peaks:
    return measured_peaks(setting.device, setting.dtype)


def datasheet_flops(device: torch.device) -> float | None:
    """Datasheet FLOP/s of a known GPU in bf16, the denominator of MFU."""
    rate = this_gpu().rate if device.type == "cuda" else None
    return None if rate is None else rate / GPU_UTILIZATION


def format_ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def peak_bytes(setting: DeviceSetting) -> int:
    synchronize(setting)
    return torch.cuda.max_memory_allocated(setting.device)


def read_config(file: str) -> dict[str, Any]:
    """A configuration file as plain data."""
    import yaml

    read: dict[str, Any] = yaml.safe_load((CONFIGS / file).read_text(encoding="utf-8"))
    return read


def read_section(file: str, name: str, schema: Any) -> Any:
    """One section of a file as its dataclass."""
    from videogen.config.serialization import from_json

    return from_json(schema, read_config(file)[name], file)
