"""No hostile file runs, none loads, and each gets one line."""

import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_reader.hostile import RUNNING, VARIANTS
from tokenizer.foreign import FOREIGN, ForeignTokenizer
from videogen.checkpoint_reader import child, read_checkpoint, sandbox
from videogen.cli import main
from videogen.errors import CheckpointError, ResourceError

FAST = (  # through the process and the command; the others are in the slow tier
    "runs: GLOBAL os.system",
    "runs: STACK_GLOBAL posix.system",
    "runs: constructor in a script",
    "tuples 100,000 deep as a key",
    "bomb: a compressed storage",
    "shape by overlapping windows",
    "pickle cut off",
    "pipe",
)


def in_this_process(descriptor: int, result: Path) -> int:
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped, result.open("wb") as file:
        return child.read(mapped, file)


def not_called(*arguments: Any) -> Any:
    raise AssertionError("a file was read that should have been refused")


@pytest.mark.parametrize("how", VARIANTS)
def test_none_runs_and_none_loads(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_run", in_this_process)
    path = VARIANTS[how](tmp_path, f"touch {tmp_path}/marker")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert len(line) < len(str(path)) + 400
    assert "Error" not in line, "a reason in words, not an exception of Python"
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("how", [how if how in FAST else pytest.param(how, marks=pytest.mark.slow) for how in VARIANTS])
def test_the_command_says_one_line_and_leaves_nothing(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FOREIGN, "fake", ForeignTokenizer("", "", (), config=not_called, weights=not_called))
    path = VARIANTS[how](tmp_path, f"touch {tmp_path}/marker")
    assert main(["convert", "fake", str(path), str(tmp_path / "out")]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"videogen: {path}")
    assert said.err.count("\n") == 1
    assert "ended by" not in said.err, "the process that reads it must not die"
    assert not (tmp_path / "marker").exists()
    assert not (tmp_path / "out").exists()


def test_an_unsafe_reader_would_run_them(tmp_path: Path) -> None:
    """Otherwise the tests above would show nothing."""
    code = "import sys; from tests.checkpoint_reader.hostile import run_by_pickle; run_by_pickle(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {str(number) for number in range(len(RUNNING))}


def test_the_process_inherits_two_files_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = (
        "import os, sys; os.write(int(sys.argv[3]), repr((dict(os.environ), os.getcwd(), OPEN, sys.path)).encode())"
    )
    code = report.replace("OPEN", "[int(each) for each in os.listdir('/dev/fd')]")
    monkeypatch.setattr(sandbox, "BEGIN", code)
    monkeypatch.setenv("SECRET", "1")
    with (tmp_path / "source").open("wb") as source, (tmp_path / "other").open("wb") as other:
        os.set_inheritable(other.fileno(), True)
        assert sandbox._run(source.fileno(), tmp_path / "result") == 0
        environment, folder, descriptors, places = eval((tmp_path / "result").read_text())
        assert set(environment) <= {"LC_CTYPE"}, "Python sets it by itself"
        assert folder == "/"
        assert other.fileno() not in descriptors
        assert len(descriptors) <= 6, "three standard ones, two files, and the listing itself"
    assert not [place for place in places if "site-packages" in place or place == ""]


def test_shut_in_takes_files_sockets_memory_and_output_away(tmp_path: Path) -> None:
    code = """
import os, socket, sys
sys.path.append(sys.argv[1])
from videogen.checkpoint_reader.child import shut_in
target = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
shut_in(1000)
os.write(target, b"before")
def fails(attempt):
    try:
        attempt()
    except (OSError, MemoryError):
        return True
assert fails(lambda: open("/etc/passwd"))
assert fails(lambda: open(sys.argv[2] + ".new", "w"))
assert fails(lambda: socket.socket())
assert fails(lambda: socket.socketpair())
assert fails(lambda: os.dup(target))
assert fails(lambda: os.pipe())
assert fails(lambda: bytearray(2 * 2**30))
os.lseek(target, 2**40, 0)
assert fails(lambda: os.write(target, b"far away"))
os._exit(42)
"""
    arguments = [str(sandbox.ROOT), str(tmp_path / "target")]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, *arguments], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (42, b"")
    assert (tmp_path / "target").read_bytes() == b"before"
    assert not (tmp_path / "target.new").exists()


def test_a_process_that_dies_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = VARIANTS["pickle cut off"](tmp_path, "")
    for code, said in (
        ("import os; os.abort()", "ended by signal 6; the file is damaged or hostile"),
        ("raise SystemExit(9)", "ended by exit code 9"),
        ("import os; os._exit(5)", "more memory"),
        ("import os, sys; os.write(int(sys.argv[3]), b'\\x1b[2Ja\\nb'); os._exit(4)", r": \?\[2Ja\?b$"),
        ("import os, sys; os.write(int(sys.argv[3]), b'no safetensors')", "no safetensors file"),
    ):
        monkeypatch.setattr(sandbox, "BEGIN", code)
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(path)
    monkeypatch.setattr(sandbox, "BEGIN", "raise OSError")
    with pytest.raises(ResourceError, match="could not start"):
        read_checkpoint(path)
