"""Prior and tokenizer in turns on a device: the same bytes, and never the weights of both there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.fake_device import FAKE, FakeDevice
from tests.pipeline.test_on_another_device import moved
from tests.pipeline.tiny import RING
from videogen.cli import main
from videogen.errors import NumbersError, UsageError
from videogen.generation.offload import take_turns
from videogen.generation.stats import GenerationStats
from videogen.pipeline import VideoPipeline

SAMPLING: dict[str, Any] = {"guidance_scale": 2.0, "steps": 2}


def in_turns(pipe: VideoPipeline) -> VideoPipeline:
    """A copy on the CPU, whose weights are on the fake device in turns."""
    copied = moved(pipe)
    model, parts = take_turns(copied.model, torch.device(FAKE))
    return VideoPipeline(model, copied.sampler, parts)


def bytes_there(pipe: VideoPipeline) -> tuple[int, int]:
    """Those of the prior and of the tokenizer that are on the fake device."""
    networks: tuple[Any, Any] = pipe.model.network, pipe.model.tokenizer.network
    both = [
        sum(each.nbytes for each in network.state_dict().values() if each.device.type == FAKE) for network in networks
    ]
    return both[0], both[1]


def call(pipe: VideoPipeline, num_frames: int = 5, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and frames."""
    request = pipe.request(RING, None, 1, 3, SAMPLING)
    start = pipe.conditioning(given.get("video"), given.get("image"), None, None)
    outputs = list(pipe.generate(num_frames + start.frames.shape[1], request, start, GenerationStats()))
    codes, frames = torch.stack([output.codes_BNK for output in outputs], 1), torch.cat([o.frames for o in outputs], 1)
    return codes.cpu(), frames.cpu()


def test_the_bytes_are_those_of_a_model_that_is_there_as_a_whole(pipe: VideoPipeline) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    with FakeDevice():
        whole, turns = moved(pipe, FAKE), in_turns(pipe)
        for num_frames, given in ((5, {}), (4, {"image": clip[0]}), (5, {"video": clip})):
            expected, found = call(whole, num_frames, **given), call(turns, num_frames, **given)
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])


def test_one_part_is_there_at_a_time(pipe: VideoPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[tuple[int, int]]] = {}

    def looking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*given: Any, **more: Any) -> Any:
            seen.setdefault(name, set()).add(bytes_there(turns))
            return function(*given, **more)

        return looked

    with FakeDevice():
        turns = in_turns(pipe)
        networks: dict[str, Any] = {"propose": turns.model.network, "decode": turns.model.tokenizer.network}
        sizes = [sum(each.nbytes for each in network.state_dict().values()) for network in networks.values()]
        for name, network in networks.items():
            monkeypatch.setattr(network, name, looking(name, getattr(network, name)))
        call(turns)
        assert seen == {"propose": {(sizes[0], 0)}, "decode": {(0, sizes[1])}}
        assert bytes_there(turns) == (0, sizes[1])


def test_after_an_error_the_next_call_is_as_before(pipe: VideoPipeline) -> None:
    with FakeDevice():
        turns = in_turns(pipe)
        expected, weight = call(turns, 1)[1], turns.model.network.norm.weight
        kept = weight.clone()
        weight.fill_(torch.nan)
        with pytest.raises(NumbersError):
            call(turns, 1)
        assert bytes_there(turns)[0] == 0
        weight.copy_(kept)
        assert torch.equal(call(turns, 1)[1], expected)


def test_what_needs_both_parts_is_refused(pipe: VideoPipeline, folders: dict[str, Path]) -> None:
    with FakeDevice():
        turns = in_turns(pipe)
        for needs_both in (
            lambda: turns.stream(RING),
            lambda: turns.to(torch.float32),
            lambda: turns.caption(image=np.zeros((16, 24, 3), np.uint8)),
            lambda: turns.rank([RING], image=np.zeros((16, 24, 3), np.uint8)),
            lambda: turns(image=np.zeros((16, 24, 3), np.uint8)),
        ):
            with pytest.raises(UsageError, match="at the same time; load the model without offload"):
                needs_both()
    with pytest.raises(UsageError, match="less memory than the CPU"):
        VideoPipeline.from_pretrained(folders["masked"], offload=True)


def test_the_commands(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("generate", "stream"):
        place = str(tmp_path / "ring.mp4")
        assert main([command, RING, "-o", place, "--model", str(folders["masked"]), "--seconds", "1", "--offload"]) == 2
    assert [line.split(": ")[1][:30] for line in capsys.readouterr().err.splitlines()] == [
        "offload is for a device with l",
        "--offload is for generate and ",
    ]
