"""Errors are part of the interface: one line on stderr, the promised exit code, no traceback."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch

from videogen import errors
from videogen.cli import main
from videogen.cli.exit_codes import Stopped, print_error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.VideogenError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.DataError("x"), 3),
        (errors.CheckpointError("x"), 4),
        (errors.ResourceError("x"), 5),
        (errors.NumbersError("x"), 6),
        (errors.LockedError("x"), 7),
        (click.UsageError("x"), 2),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.mp4"), 5),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "out.mp4"), 3),
        (MemoryError(), 5),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee"), 5),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
            5,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), 5),
        (RuntimeError("first line\nsecond line"), 1),
        (KeyboardInterrupt(), 130),
        (Stopped(), 143),
        (Stopped(signal.SIGHUP), 129),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error(error, debug=False) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("videogen: ")
    assert err.count("\n") == 1


def test_out_of_memory_exits_with_5(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert print_error(caught.value, debug=False) == 5
    said = capsys.readouterr().err
    assert "lower training.batch_size or raise training.accumulation" in said
    assert said.count("\n") == 1


def test_debug_prints_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise errors.DataError("clips.csv:3: no such file")
    except errors.DataError as error:
        print_error(error, debug=True)
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("videogen: clips.csv:3: no such file\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dta"], ["'dta'", "'data'"]),
        (["data", "index", "--worker", "2", "x"], ["--worker", "--workers"]),
        (["data", "index"], ["DATA"]),
        (["data", "playroom", "x", "--clips", "0"], ["--clips", "0"]),
        (["config", "show", "missing.yaml"], ["missing.yaml: no such file"]),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: videogen")


def test_a_closed_pipe_is_no_error() -> None:
    program = (
        "import sys, click; from videogen.cli import main, videogen_command\n"
        "@videogen_command.command()\n"
        "def talk(): click.echo('x' * 10**6)\n"
        "sys.exit(main(['talk']))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read(1)
    child.stdout.close()
    assert child.stderr is not None
    message = child.stderr.read()
    child.stderr.close()
    assert "Traceback" not in message.decode()
    assert child.wait() == 0


def test_a_signal_stops_with_its_code(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, click; from videogen.cli import main, videogen_command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which shells turn off for what runs behind them
        "@videogen_command.command()\n"
        "def suicide(): os.kill(os.getpid(), int(sys.argv[1])); import time; time.sleep(60)\n"
        "sys.exit(main(['suicide']))"
    )
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        result = subprocess.run([sys.executable, "-c", program, str(int(number))], capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (code, "videogen: stopped\n")
