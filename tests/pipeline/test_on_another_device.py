"""Generation on another device: all tensors are there, and there are few synchronizations."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.fake_device import FAKE, FakeDevice
from tests.pipeline.tiny import RING, STAR
from videogen.generate import prefill, step, switch_prompt
from videogen.models import PriorModel
from videogen.pipeline import VideoPipeline

FRAMES = 4


def moved(pipe: VideoPipeline, device: str | None = None) -> VideoPipeline:
    """A copy with the prior in float64, so that tokens do not depend on the rounding of attention."""
    model = pipe.model
    tokenizer = replace(model.tokenizer, network=copy.deepcopy(model.tokenizer.network))
    own = replace(model, network=copy.deepcopy(model.network), tokenizer=tokenizer)
    return VideoPipeline(own, pipe.sampler).to(device, torch.float64)


def generate_video(pipe: VideoPipeline, **settings: Any) -> tuple[torch.Tensor, np.ndarray]:
    """Codes and frames of two videos, with guidance, across a change of prompt."""
    request = pipe.request([RING, STAR], None, 1, 7, {"guidance_scale": 2.0, "guidance_schedule": "linear", **settings})
    model: PriorModel = pipe.model
    state, codes, frames = prefill(model, request), [], []
    for number in range(FRAMES):
        if number == FRAMES - 1:
            request = replace(request, prompts=(STAR, RING))
            state = switch_prompt(model, request, state)
        state, output = step(model, request, state)
        codes.append(output.codes_BNK.cpu())
        frames.append(output.frames.cpu().numpy())
    return torch.stack(codes, 1), np.concatenate(frames, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "halton"},
        {"order": "threshold"},
        {"order": "entropy", "steps": 6},
        {"order": "halton", "draft_threshold": 0.01, "guidance_start": 0.3},
        {"order": "autoregressive"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_codes_and_frames_equal_those_of_the_cpu(
    settings: dict[str, Any], pipe: VideoPipeline, autoregressive_pipe: VideoPipeline
) -> None:
    here = autoregressive_pipe if settings["order"] == "autoregressive" else pipe
    codes, frames = generate_video(moved(here), **{"steps": 2, **settings})
    with FakeDevice():
        there, seen = generate_video(moved(here, FAKE), **{"steps": 2, **settings})
    assert torch.equal(there, codes)
    assert np.abs(seen.astype(int) - frames).max() <= 1


@pytest.mark.parametrize("order", ["halton", "confidence"])
def test_device_synchronizations_do_not_depend_on_the_number_of_steps(order: str, pipe: VideoPipeline) -> None:
    """Three synchronizations per frame: the count of unknown tokens, the NaN check, the range of codes."""
    waits = []
    for steps in (2, 6):
        with FakeDevice() as device:
            there = moved(pipe, FAKE)
            request = there.request([RING], None, 1, 7, {"order": order, "steps": steps, "guidance_scale": 2.0})
            state = prefill(there.model, request)
            device.places.clear()
            step(there.model, request, state)
            waits.append(dict(device.places))
    assert waits[0] == waits[1]
    assert sum(waits[0].values()) == 3, waits[0]


def test_the_fake_device_refuses_tensors_on_the_cpu() -> None:
    """Otherwise these tests would prove nothing."""
    with FakeDevice() as device:
        there = torch.arange(4, device=FAKE)
        with pytest.raises(RuntimeError, match="tensors of two devices"):
            there + torch.arange(4)
        assert (there + torch.tensor(1)).tolist() == [1, 2, 3, 4]
        assert device.waits == 1
