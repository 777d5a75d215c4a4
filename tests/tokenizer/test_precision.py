"""float32 where it is promised, whatever the caller has set, and all as it was afterwards."""

import subprocess
import sys
import threading

import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import small_config, small_model
from tokenizer.precision import tf32_backends, without_tf32

SETTINGS = (
    "pass",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = False",
)
PROGRAM = """
import os
import sys
import traceback

import torch
from tokenizer.precision import tf32_backends, without_tf32

def read(ask):
    try:
        return ask()
    except RuntimeError as error:
        return type(error).__name__

def state():
    return [
        *(kind.fp32_precision for kind in tf32_backends()),
        read(torch.get_float32_matmul_precision),
        read(lambda: torch.backends.cuda.matmul.allow_tf32),
        read(lambda: torch.backends.cudnn.allow_tf32),
    ]

def check(setting):
    exec(setting)
    before = state()
    with without_tf32():
        assert [kind.fp32_precision for kind in tf32_backends()] == ["ieee", "ieee"]
        with without_tf32():
            pass
        assert [kind.fp32_precision for kind in tf32_backends()] == ["ieee", "ieee"]
    assert state() == before, (before, state())

for setting in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            check(setting)
        except BaseException:
            print(setting, traceback.format_exc())
        finally:
            sys.stdout.flush()
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        print(setting, "ended with", status)
print("checked", len(sys.argv) - 1)
"""


def test_it_holds_inside_and_all_is_as_it_was_afterwards() -> None:
    """Each in a process of its own, because torch's settings cannot be reset; torch is imported once for all."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *SETTINGS], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"checked {len(SETTINGS)}\n", 0), done.stderr


def test_it_holds_until_the_last_thread_has_left() -> None:
    def precisions() -> list[str]:
        return [kind.fp32_precision for kind in tf32_backends()]

    before, entered, leave = precisions(), threading.Event(), threading.Event()

    def other() -> None:
        with without_tf32():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with without_tf32():
        thread.start()
        assert entered.wait(60)
    assert precisions() == ["ieee", "ieee"], "the other one is still inside"
    leave.set()
    thread.join()
    assert precisions() == before


def test_codes_are_the_same_under_autocast() -> None:
    network = small_model(small_config())
    clip = torch.rand(2, 3, 9, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = encode_clip(network, clip)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encode_clip(network, clip), codes)
