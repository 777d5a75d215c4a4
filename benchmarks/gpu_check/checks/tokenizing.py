"""The bundled tokenizer on the device: codes under any chunk plan, autocast and device, and frames per second."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import attempt, device_setting, is_small, median_seconds
from benchmarks.measuring import DeviceSetting
from interfaces.tokenizer import encode_clip
from tokenizer.laws import decode_in_chunks, encode_in_chunks, every_token_survives
from tokenizer.networks.cnn import CNNTokenizer
from videogen.io.pixels import to_clip
from videogen.models import BUNDLED, load_tokenizer
from videogen.playroom.render import render
from videogen.playroom.scene import sample_scenes

PLANS = ([1] * 9, [3, 0, 5], [2, 7, 1])
EQUAL_SHARE = 0.999  # of the codes: rounding may move a latent across the border of a level


def check(device: str) -> Iterator[Finding]:
    setting = device_setting(device, torch.float32)
    on_cpu, network = (cast(CNNTokenizer, load_tokenizer(BUNDLED, each).network) for each in ("cpu", device))
    clips = playroom_clips(2 if is_small(device) else 32, 17)
    yield from attempt("codes on the device", lambda: compare_codes(on_cpu, network, clips, setting))
    yield from attempt("chunk plans on the device", lambda: compare_plans(network, clips[:1].to(setting.device)))
    yield from attempt("tokenizer speed", lambda: time_tokenizer(network, clips.to(setting.device), setting))


def playroom_clips(count: int, frames: int) -> Tensor:
    """float32 [B, 3, T, H, W] of the playroom, 64 x 64."""
    return to_clip(render(sample_scenes(count, 1), frames, 64))


def compare_codes(
    on_cpu: CNNTokenizer, network: CNNTokenizer, clips: Tensor, setting: DeviceSetting
) -> Iterator[Finding]:
    some = clips[:2]
    expected, got = encode_clip(on_cpu, some), encode_clip(network, some.to(setting.device))
    with torch.autocast(setting.device.type, torch.bfloat16):
        under_autocast = encode_clip(network, some.to(setting.device))
    changed = int((under_autocast != got).sum())
    yield Finding(
        "codes under bf16 autocast are those of float32", yes_or_no(changed == 0), f"{changed} of {got.numel()} differ",
        why="on the device, to the bit",
    )  # fmt: skip
    share = float((got.cpu() == expected).float().mean())
    yield Finding(
        "codes of the device are those of a CPU", yes_or_no(share >= EQUAL_SHARE), f"{100 * share:.2f} % equal",
        f"at least {100 * EQUAL_SHARE:.1f} %", f"{expected.numel()} codes in float32", {"equal": share},
    )  # fmt: skip
    law = every_token_survives(network)
    yield Finding("every token survives bf16", yes_or_no(law.held), law.detail, why="codes to latents to codes")


@torch.no_grad()
def compare_plans(network: CNNTokenizer, clip: Tensor) -> Iterator[Finding]:
    whole = encode_clip(network, clip)
    spec = network.spec(*clip.shape[3:])
    frames, _ = network.decode(whole, spec)
    wrong = []
    for plan in PLANS:
        streamed, _ = encode_in_chunks(network, clip, plan)
        shown, _ = decode_in_chunks(network, whole, spec, plan)
        if not (torch.equal(streamed, whole) and torch.equal(shown, frames)):
            wrong.append(plan)
    yield Finding(
        "any chunk plan gives the offline result", yes_or_no(not wrong),
        f"{len(PLANS) - len(wrong)} of {len(PLANS)} plans", why=f"codes and frames to the bit, {clip.shape[2]} frames",
    )  # fmt: skip


@torch.no_grad()
def time_tokenizer(network: CNNTokenizer, clips: Tensor, setting: DeviceSetting) -> Iterator[Finding]:
    found = encode_clip(network, clips)
    frames, sizes = clips.shape[0] * clips.shape[2], "{} x {} pixels".format(*clips.shape[3:])
    spec = network.spec(*clips.shape[3:])
    latents, _ = network.encode_latents(clips)
    calls = {
        "encode, streaming": lambda: encode_clip(network, clips),
        "encode, whole clips": lambda: network.encode_latents_parallel(clips),
        "decode, streaming": lambda: network.decode(found, spec),
        "decode, whole clips": lambda: network.decode_latents_parallel(latents, spec),
    }
    for name, call in calls.items():
        taken = median_seconds(call, setting, rounds=3)
        yield Finding(
            f"tokenizer: {name}", "timed", f"{frames / taken:,.0f} frames per second",
            why=f"{clips.shape[0]} clips of {clips.shape[2]} frames of {sizes}, float32", numbers={"seconds": taken},
        )  # fmt: skip
