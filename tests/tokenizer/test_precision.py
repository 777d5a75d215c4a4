"""float32 where it is promised, whatever the caller has set, and all as it was afterwards."""

import subprocess
import sys
import threading

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import small_config, small_model
from tokenizer.precision import rounded_kinds, whole_float32

WAYS = (
    "pass",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = False",
)
PROGRAM = """
import torch
from tokenizer.precision import rounded_kinds, whole_float32

def told(ask):
    try:
        return ask()
    except RuntimeError as error:
        return type(error).__name__

def state():
    return [
        *(kind.fp32_precision for kind in rounded_kinds()),
        told(torch.get_float32_matmul_precision),
        told(lambda: torch.backends.cuda.matmul.allow_tf32),
        told(lambda: torch.backends.cudnn.allow_tf32),
    ]

{way}
before = state()
with whole_float32():
    assert [kind.fp32_precision for kind in rounded_kinds()] == ["ieee", "ieee"]
    with whole_float32():
        pass
    assert [kind.fp32_precision for kind in rounded_kinds()] == ["ieee", "ieee"]
assert state() == before, (before, state())
"""


@pytest.mark.parametrize("way", WAYS)
def test_it_holds_inside_and_all_is_as_it_was_afterwards(way: str) -> None:
    """In a process of its own: torch's settings know no way back to how they began."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.replace("{way}", way)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_holds_until_the_last_thread_has_left() -> None:
    def precisions() -> list[str]:
        return [kind.fp32_precision for kind in rounded_kinds()]

    before, entered, leave = precisions(), threading.Event(), threading.Event()

    def other() -> None:
        with whole_float32():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with whole_float32():
        thread.start()
        assert entered.wait(60)
    assert precisions() == ["ieee", "ieee"], "the other one is still inside"
    leave.set()
    thread.join()
    assert precisions() == before


def test_codes_are_the_same_under_autocast() -> None:
    network = small_model(small_config())
    clip = torch.rand(2, 3, 9, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    calm = encode_clip(network, clip)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encode_clip(network, clip), calm)
