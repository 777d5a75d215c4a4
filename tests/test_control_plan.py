"""What users may give as a control, and what it becomes."""

import math

import numpy as np
import pytest
import torch

from interfaces.control import absent_frames, absent_like, drop_control
from prior.config import ControlConfig
from videogen.control_plan import control_plan, control_plans, control_rows

ACTIONS, NUMBERS, ONE_NUMBER = ControlConfig(discrete=4), ControlConfig(floats=2), ControlConfig(floats=1)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("given", "config", "plan"),
    [
        (3, ACTIONS, (3,)),
        (np.int64(3), ACTIONS, (3,)),
        (torch.tensor(3), ACTIONS, (3,)),
        (2.0, ACTIONS, (2,)),
        ("none", ACTIONS, (None,)),
        (None, ACTIONS, (None,)),
        ([0, None, "none", 1], ACTIONS, (0, None, None, 1)),
        (np.array([0, 1]), ACTIONS, (0, 1)),
        ([0.5, 1], NUMBERS, ((0.5, 1.0),)),
        (np.array([0.5, 1]), NUMBERS, ((0.5, 1.0),)),
        ([[0.5, 1], "none", (0, 0)], NUMBERS, ((0.5, 1.0), None, (0.0, 0.0))),
        ("none", NUMBERS, (None,)),
        (["none"], NUMBERS, (None,)),
        ([0.5], ONE_NUMBER, ((0.5,),)),
        ([[0.5], [1]], ONE_NUMBER, ((0.5,), (1.0,))),
    ],
)
def test_one_control_or_a_list(given, config, plan):
    assert control_plan(given, config) == plan


@pytest.mark.parametrize(
    ("given", "config"),
    [
        *((value, ACTIONS) for value in (4, -1, 1.5, True, "left", [], [4], [[0], [1]], {}, math.nan, math.inf)),
        *((value, NUMBERS) for value in (0.5, [], [1], [1, 2, 3], [1, math.nan], [1, 1e39], [[1, 2], [1]], "left")),
        *((value, NUMBERS) for value in ([1, True], [[[1, 2]]], ["none", 1])),
    ],
)
def test_what_the_model_does_not_take_is_one_line_that_begins_with_control(given, config):
    with pytest.raises(ValueError, match=r"^control is .*; it must be [^\n]+$"):
        control_plan(given, config)


@pytest.mark.parametrize(
    ("given", "config", "plans"),
    [
        (1, ACTIONS, ((1,), (1,))),
        ([0, 1], ACTIONS, ((0, 1), (0, 1))),
        ([[0, 1], [2]], ACTIONS, ((0, 1), (2,))),
        (np.array([[0], [2]]), ACTIONS, ((0,), (2,))),
        ([[1, 2], [3, 4]], NUMBERS, (((1.0, 2.0), (3.0, 4.0)),) * 2),
        ([[[1, 2]], [[3, 4], "none"]], NUMBERS, (((1.0, 2.0),), ((3.0, 4.0), None))),
    ],
)
def test_one_list_for_all_prompts_or_one_for_each(given, config, plans):
    assert control_plans(given, config, 2) == plans


def test_lists_for_other_prompts_are_an_error():
    with pytest.raises(ValueError, match="3 lists for 2 prompts"):
        control_plans([[0], [1], [2]], ACTIONS, 2)


def test_the_last_control_of_each_video_holds():
    plans = ((0, None, 3), (2,))
    rows = [control_rows(plans, number, ACTIONS, CPU).tolist() for number in range(5)]
    assert rows == [[0, 2], [-1, 2], [3, 2], [3, 2], [3, 2]]
    numbers = control_rows((((1.0, 2.0), None), (None,)), 0, NUMBERS, CPU)
    assert numbers.dtype == torch.float32
    assert numbers[0].tolist() == [1, 2]
    assert numbers[1].isnan().all()


@pytest.mark.parametrize("control", [torch.arange(6).view(3, 2), torch.rand(3, 2, 4)], ids=["actions", "numbers"])
def test_a_dropped_control_is_absent_in_all_latent_frames_and_others_stay(control):
    dropped = drop_control(control, torch.tensor([False, True, False]))
    assert torch.equal(dropped[[0, 2]], control[[0, 2]])
    assert torch.equal(dropped[1:2].nan_to_num(7), absent_like(control)[1:2].nan_to_num(7))
    assert (dropped[1].isnan() | (dropped[1] == -1)).all()
    frames = absent_frames(control, 5)
    assert frames.shape == (3, 5, *control.shape[2:])
    assert (frames.isnan() | (frames == -1)).all()
