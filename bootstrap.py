"""Make `.venv` and install the project into it; needs nothing but Python's standard library.

`python3 bootstrap.py [EXTRA ...]` is what `make setup` runs. A stamp file holds a hash of everything the installation
depends on, so a second run returns at once and an interrupted one is finished by the next.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NEEDED_BYTES = 3 * 1024**3


def fail(reason: str) -> None:
    sys.exit(f"setup: {reason}")


def check_machine() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - the very mistake a newcomer makes: say it before pip does
        fail(f"Python 3.11 or newer is needed, this is {platform.python_version()}; try `make PYTHON=python3.11 setup`")
    if importlib.util.find_spec("ensurepip") is None:
        fail("this Python lacks the module ensurepip; install it (Debian, Ubuntu: the package python3-venv)")
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES and not PYTHON.exists():
        fail(f"{NEEDED_BYTES / 1e9:.0f} GB of free disk are needed here, {free / 1e9:.1f} GB are left")


def has_nvidia_device() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def stamp_text(extras: list[str]) -> str:
    parts = [(ROOT / "pyproject.toml").read_bytes(), (ROOT / "constraints.txt").read_bytes()]
    parts += [platform.python_version().encode(), str(ROOT).encode(), str(has_nvidia_device()).encode()]
    return hashlib.sha256(b"\0".join(parts + [e.encode() for e in extras])).hexdigest()


def pip(*requirements: str, quiet: bool = False) -> bool:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run([*command, *requirements], env=environment, cwd=ROOT, stderr=output).returncode == 0


def install_torch() -> None:
    """The small CPU build where there is no NVIDIA device and pip can see one; else what pip's index serves."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    torch = next(line for line in pins if line.startswith("torch=="))
    if sys.platform == "linux" and not has_nvidia_device():
        if pip(f"{torch}+cpu", quiet=True):
            return
        print(
            "setup: pip sees no CPU build of torch, so it takes the default one, which may be several gigabytes.\n"
            "setup: for the small one, point PIP_EXTRA_INDEX_URL at PyTorch's index of CPU wheels and run this again.",
            flush=True,
        )
    if not pip(torch):
        fail("torch could not be installed; the lines above say why")


def main(extras: list[str]) -> None:
    stamp = VENV / f"installed-{'-'.join(extras) or 'base'}"
    if stamp.exists() and stamp.read_text() == stamp_text(extras):
        return
    check_machine()
    kind = f" with the extras {', '.join(extras)}" if extras else ""
    print(f"setup: installing into .venv{kind}; about a minute on a fast line", flush=True)
    venv.create(VENV, with_pip=True, clear=not PYTHON.exists(), symlinks=True)
    if not pip("setuptools"):
        fail("pip could not install setuptools; is there a network, or a mirror in pip's configuration?")
    install_torch()
    target = f".[{','.join(extras)}]" if extras else "."
    if not pip("--no-build-isolation", "-e", target):
        fail("the installation failed; the lines above say why")
    stamp.write_text(stamp_text(extras))


if __name__ == "__main__":
    main(sys.argv[1:])
