"""The bundled tokenizer on the device: ids stay ids under any chunk plan, autocast and device; frames a second."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import attempt, device_setting, is_small, median_seconds
from benchmarks.measuring import DeviceSetting
from tokenizer.laws import decode_in_chunks, encode_in_chunks
from tokenizer.networks.cnn import VideoTokenizer
from videogen.models import BUNDLED, load_tokenizer
from videogen.pixels import to_clip
from videogen.playroom.render import render
from videogen.playroom.scene import sample_scenes

PLANS = ([1] * 9, [3, 0, 5], [2, 7, 1])
EQUAL_SHARE = 0.999  # of the ids: rounding may move a latent across the border of a level


def check(device: str) -> Iterator[Finding]:
    on_cpu, setting = load_tokenizer(BUNDLED).network, device_setting(device, torch.float32)
    network = load_tokenizer(BUNDLED, device).network
    clips = playroom_clips(2 if is_small(device) else 32, 17)
    yield from attempt("ids on the device", lambda: compare_ids(on_cpu, network, clips, setting))
    yield from attempt("chunk plans on the device", lambda: compare_plans(network, clips[:1].to(setting.device)))
    yield from attempt("tokenizer speed", lambda: time_tokenizer(network, clips.to(setting.device), setting))


def playroom_clips(count: int, frames: int) -> Tensor:
    """float32 [B, 3, T, H, W] of the playroom, 64 x 64."""
    return to_clip(render(sample_scenes(count, 1), frames, 64))


def compare_ids(
    on_cpu: VideoTokenizer, network: VideoTokenizer, clips: Tensor, setting: DeviceSetting
) -> Iterator[Finding]:
    some = clips[:2]
    expected, got = on_cpu.encode_clip(some), network.encode_clip(some.to(setting.device))
    with torch.autocast(setting.device.type, torch.bfloat16):
        under_autocast = network.encode_clip(some.to(setting.device))
    changed = int((under_autocast != got).sum())
    yield Finding(
        "ids under bf16 autocast are those of float32", yes_or_no(changed == 0), f"{changed} of {got.numel()} differ",
        why="on the device, to the bit",
    )  # fmt: skip
    share = float((got.cpu() == expected).float().mean())
    yield Finding(
        "ids of the device are those of a CPU", yes_or_no(share >= EQUAL_SHARE), f"{100 * share:.2f} % equal",
        f"at least {100 * EQUAL_SHARE:.1f} %", f"{expected.numel()} ids in float32", {"equal": share},
    )  # fmt: skip
    codes = network.quantizer.codes(torch.arange(network.quantizer.size, device=setting.device))
    lost = int((network.quantizer.to_ids(codes.bfloat16()).cpu() != torch.arange(network.quantizer.size)).sum())
    yield Finding(
        "every code survives bf16", yes_or_no(lost == 0), f"{lost} of {network.quantizer.size:,} lost",
        why="id to code to bfloat16 to id, on the device",
    )  # fmt: skip


@torch.no_grad()
def compare_plans(network: VideoTokenizer, clip: Tensor) -> Iterator[Finding]:
    whole = network.encode_clip(clip)
    frames, _ = network.decode(whole)
    wrong = []
    for plan in PLANS:
        streamed, _ = encode_in_chunks(network, clip, plan)
        shown, _ = decode_in_chunks(network, whole, plan)
        if not (torch.equal(streamed, whole) and torch.equal(shown, frames)):
            wrong.append(plan)
    yield Finding(
        "any chunk plan gives the offline result", yes_or_no(not wrong),
        f"{len(PLANS) - len(wrong)} of {len(PLANS)} plans", why=f"ids and frames to the bit, {clip.shape[2]} frames",
    )  # fmt: skip


@torch.no_grad()
def time_tokenizer(network: VideoTokenizer, clips: Tensor, setting: DeviceSetting) -> Iterator[Finding]:
    found = network.encode_clip(clips)
    frames, sizes = clips.shape[0] * clips.shape[2], "{} x {} pixels".format(*clips.shape[3:])
    latents = network.quantizer.to_latents(found)
    ways = {
        "encode, streaming": lambda: network.encode_clip(clips),
        "encode, whole clips": lambda: network.latents_at_once(clips),
        "decode, streaming": lambda: network.decode(found),
        "decode, whole clips": lambda: network.clip_at_once(latents),
    }
    for name, way in ways.items():
        taken = median_seconds(way, setting, rounds=3)
        yield Finding(
            f"tokenizer: {name}", "timed", f"{frames / taken:,.0f} frames a second",
            why=f"{clips.shape[0]} clips of {clips.shape[2]} frames of {sizes}, float32", numbers={"seconds": taken},
        )  # fmt: skip
