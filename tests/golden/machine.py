"""The kind of machine that hashes are valid for: other processors and torch versions round differently."""

import json
from pathlib import Path

import torch

FILE = Path(__file__).parent / "hashes.json"  # a list: hashes of several kinds of machine
CPU_INFO = Path("/proc/cpuinfo")


def machine() -> dict[str, str]:
    capability = torch.backends.cpu.get_cpu_capability()
    amx = str(torch.cpu._is_amx_tile_supported()).lower()  # convolutions have other kernels with it
    return {"torch": torch.__version__, "processor": capability, "vendor": vendor(), "amx": amx}


def vendor() -> str:
    """Of the processor: matrix products choose their kernels by it, and differ in the last bits of a training."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "unknown")


def known_hashes() -> dict[str, str] | None:
    """Of this kind of machine; None if none were written."""
    return next((each["hashes"] for each in json.loads(FILE.read_text()) if each["machine"] == machine()), None)


def write_hashes(hashes: dict[str, str]) -> None:
    """Those of this kind of machine; those of other machines stay."""
    others = [each for each in json.loads(FILE.read_text()) if each["machine"] != machine()]
    FILE.write_text(json.dumps([*others, {"machine": machine(), "hashes": hashes}], indent=1) + "\n")
