"""Generation uses as many threads as there are free cores, unless the user set the number."""

import os
import subprocess
import sys

import pytest
import torch

from videogen.system import threads
from videogen.system.threads import CoreTimes, FreeCores, cores, on_free_cores, use_threads


class FakeMachine:
    """Four cores, of which other processes use `others`."""

    def __init__(self) -> None:
        self.now, self.others, self.own = 0.0, 0.0, 0.0
        self.times = [0.0, 0.0]  # of others, of this process

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.times = [self.times[0] + seconds * self.others, self.times[1] + seconds * self.own]

    def core_times(self) -> CoreTimes:
        return CoreTimes(self.now, sum(self.times), self.times[1])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    fake = FakeMachine()
    monkeypatch.setattr(threads.time, "monotonic", lambda: fake.now)
    return fake


@pytest.mark.parametrize(("others", "free"), [(0, 4), (0.2, 4), (0.5, 3), (1, 3), (2.9, 1), (4, 1), (9, 1)])
def test_cores_that_others_use_are_not_free(machine: FakeMachine, others: float, free: int) -> None:
    count = FreeCores(machine.core_times, lambda: 4)
    machine.others, machine.own = others, 2.0
    machine.passes(1)
    assert count() == free


def test_free_cores_are_measured_again_after_an_interval(machine: FakeMachine) -> None:
    count, seen = FreeCores(machine.core_times, lambda: 2), []
    for others, seconds in ((1, 1.0), (0, 0.1), (0, 1.0), (1, 0.1), (1, 1.0)):
        machine.others = others
        machine.passes(seconds)
        seen.append(count())
    assert seen == [1, 1, 2, 2, 1]


def test_all_cores_are_free_if_the_system_does_not_say() -> None:
    assert FreeCores(lambda: None, lambda: 3)() == 3


@pytest.mark.parametrize(
    ("quota", "most"), [("max 100000", 99), ("150000 100000", 1), ("400000 100000", 4), ("1 9", 1)]
)
def test_a_quota_of_a_container_bounds_the_cores(
    quota: str, most: int, tmp_path: "os.PathLike[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu.max"  # type: ignore[operator]
    file.write_text(quota + "\n")
    monkeypatch.setattr(threads, "QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(99)), raising=False)
    assert cores() == most


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch has four threads by default, and one core is free."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "automatic", None)
    monkeypatch.setattr(threads, "free_cores", lambda: 1)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@on_free_cores
def count_inside(fails: bool = False) -> int:
    if fails:
        raise KeyError
    return torch.get_num_threads()


@pytest.mark.usefixtures("four_threads")
def test_threads_are_limited_inside_and_restored_after() -> None:
    assert count_inside() == 1
    assert torch.get_num_threads() == 4
    with pytest.raises(KeyError):
        count_inside(fails=True)
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("how", ["the command line", "torch", "the environment"])
def test_the_users_number_of_threads_wins(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "the command line":
        use_threads(3)
    elif how == "torch":
        assert count_inside() == 1
        torch.set_num_threads(3)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        torch.set_num_threads(3)
    assert count_inside() == 3


PROGRAM = """
import sys, videogen, os
from videogen.cli import main
main(sys.argv[1:])
print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("setting", "command", "spins"),
    [
        ({}, ["info", "--help"], str(threads.SPINS)),
        ({}, ["train", "prior", "--help"], str(threads.SPINS_IN_TRAINING)),
        ({"GOMP_SPINCOUNT": "7"}, ["train", "prior", "--help"], "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["info", "--help"], "None"),
    ],
)
def test_spinning_is_bounded_unless_the_user_set_it(setting: dict[str, str], command: list[str], spins: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in threads.SPIN_SETTINGS}
    program = [sys.executable, "-c", PROGRAM, *command]
    said = subprocess.run(program, env=inherited | setting, capture_output=True, text=True, check=True)
    assert said.stdout.split()[-2:] == [spins, "False"]
