"""Controls as users give them: one, or one for each of the next latent frames, of which the last one holds.

A control is the number of an action, or as many numbers as the model takes; None and "none" are no control.
"""

import math
import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from prior.config import ControlConfig

if TYPE_CHECKING:
    import torch

Control: TypeAlias = int | tuple[float, ...] | None
ControlPlan: TypeAlias = tuple[Control, ...]  # of the next latent frames; never empty
NONE = "none"  # no control, where None would be no value
LARGEST = 3.4e38  # of float32


def control_plan(given: Any, config: ControlConfig) -> ControlPlan:
    """The plan that a value stands for; ValueError in one line if a model of this configuration does not take it."""
    value = as_plain(given)
    rows = value if isinstance(value, list) and value and not is_single(value, config) else [value]
    return tuple(as_control(row, config) for row in rows)


def control_plans(given: Any, config: ControlConfig, prompts: int) -> tuple[ControlPlan, ...]:
    """A plan for each prompt: one for all of them, or a list with one for each. ValueError as above."""
    value = as_plain(given)
    if not isinstance(value, list) or not value or not all(is_plan(one, config) for one in value):
        return (control_plan(value, config),) * prompts
    if len(value) != prompts:
        raise ValueError(f"control has {len(value)} lists for {prompts} prompts; give one, or one for each prompt")
    return tuple(control_plan(one, config) for one in value)


def as_control(value: Any, config: ControlConfig) -> Control:
    if value is None or value == NONE:
        return None
    if config.floats is None:
        if is_number(value) and value == int(value) and 0 <= value < (config.discrete or 0):
            return int(value)
    elif isinstance(value, list) and len(value) == config.floats and all(map(is_number, value)):
        return tuple(map(float, value))
    raise ValueError(f"control is {reprlib.repr(value)}; it must be {describe_plan(config)}")


def describe_plan(config: ControlConfig) -> str:
    """What a control must be, in words."""
    if config.floats is None:
        last = (config.discrete or 1) - 1
        return f"{f'an action from 0 to {last}' if last else 'the action 0'}, or a list of actions"
    return f"{config.floats} finite {'number' if config.floats == 1 else 'numbers'} in a list, or a list of such lists"


def control_rows(
    plans: Sequence[ControlPlan], number: int, config: ControlConfig, device: "torch.device"
) -> "torch.Tensor":
    """The control of new latent frame `number` of each video as the prior takes it: int64 [B] or float32 [B, d]."""
    import torch

    controls = [plan[min(number, len(plan) - 1)] for plan in plans]
    if config.floats is None:
        actions = [-1 if control is None else control for control in controls]
        return torch.tensor(actions, dtype=torch.int64, device=device)
    absent = (math.nan,) * config.floats
    rows = [absent if control is None else control for control in controls]
    return torch.tensor(rows, dtype=torch.float32, device=device)


def is_single(value: Any, config: ControlConfig) -> bool:
    """Whether a plain value is one control and not a list of them, right or wrong."""
    if not isinstance(value, list):
        return True
    return config.floats is not None and not any(isinstance(each, list) or each in (None, NONE) for each in value)


def is_plan(value: Any, config: ControlConfig) -> bool:
    return isinstance(value, list) and not is_single(value, config)


def as_plain(value: Any) -> Any:
    """Arrays, tensors and tuples as lists, their elements too."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [as_plain(each) for each in value] if isinstance(value, list | tuple) else value


def is_number(value: Any) -> bool:
    """Whether it is a number that float32 can hold; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
