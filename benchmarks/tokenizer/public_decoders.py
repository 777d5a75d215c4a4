"""Decoding by public tokenizers: a stream here, against whole clips here and in diffusers, in one run.

stream     ours, one latent frame after another: seconds a frame, and memory that does not grow
whole      ours, the whole clip at once
diffusers  the published class on the whole clip
tiled      the same in tiles of 128 x 128 pixels, for VidTok, whose class can do that

Weights are random and the same for all; widths are the published ones. Each case runs in a process of its own. Memory
is what decoding adds to the process at its peak. Needs diffusers.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tokenizer.foreign import FOREIGN
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import LatentTokenizer
from videogen.system.hardware import describe

KINDS, WAYS = ("vidtok", "cosmos"), ("stream", "whole", "diffusers", "tiled")
TILE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--latent-frames", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        kind, way = arguments.case.split()
        print(json.dumps(measure(kind, way, arguments.size, arguments.latent_frames[0])))
        return
    print(f"{describe()}, torch {torch.__version__}, one thread, float32, {arguments.size} x {arguments.size} pixels")
    for kind in arguments.kinds:
        for count in arguments.latent_frames:
            for way in WAYS[: 4 if kind == "vidtok" else 3]:
                print(row(kind, way, arguments.size, count), flush=True)


def row(kind: str, way: str, size: int, count: int) -> str:
    command = [sys.executable, "-m", "benchmarks.tokenizer.public_decoders", "--case", f"{kind} {way}"]
    options = ["--size", str(size), "--latent-frames", str(count)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"{kind:8} {way:10} failed: {done.stderr.strip().splitlines()[-1]}"
    found = json.loads(done.stdout)
    return (
        f"{kind:8} {way:10} {found['frames']:3} frames  {found['seconds'] / found['frames']:7.2f} s a frame  "
        f"{found['mib']:7.0f} MiB  {found['checksum']:.6f}"
    )


@torch.no_grad()
def measure(kind: str, way: str, size: int, count: int) -> dict[str, Any]:
    """Seconds, memory, and the mean square of all pixels, by which one sees that all ways compute the same."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    theirs, decode = published_vidtok() if kind == "vidtok" else published_cosmos()
    foreign, options = FOREIGN[kind], {"version": "1.1"} if kind == "vidtok" else {}
    config: Any = foreign.config(theirs.state_dict(), options)
    latents_BTND = torch.rand(1, count, (size // config.f_s) ** 2, config.quantizer.dim) * 2 - 1
    if way in ("stream", "whole"):
        ours = make_tokenizer(config).eval()
        ours.load_state_dict(foreign.weights(theirs.state_dict(), config))
        del theirs
        run = streamed(ours, latents_BTND, size) if way == "stream" else whole(ours, latents_BTND, size)
    else:
        if way == "tiled":
            theirs.enable_tiling(TILE, TILE)
        side = size // config.f_s
        grid_BDTHW = latents_BTND.view(1, count, side, side, -1).permute(0, 4, 1, 2, 3).contiguous()
        run = lambda: decode(grid_BDTHW)  # noqa: E731
    before, began = reset_peak(), time.perf_counter()
    clip = run()
    seconds, mib = time.perf_counter() - began, (peak() - before) / 1024
    return {"seconds": seconds, "frames": clip[0], "mib": mib, "checksum": clip[1]}


def streamed(ours: LatentTokenizer, latents_BTND: Tensor, size: int) -> Callable[[], tuple[int, float]]:
    """Frames are dropped when they have been looked at, as by a player."""

    def run() -> tuple[int, float]:
        spec, state, frames, squares = ours.spec(size, size), None, 0, 0.0
        for t in range(latents_BTND.shape[1]):
            clip, state = ours.decode_latents(latents_BTND[:, t : t + 1], spec, state)
            frames, squares = frames + clip.shape[2], squares + float(clip.double().square().sum())
        if (tail := ours.decode_latents_tail(state)) is not None:
            frames, squares = frames + tail.shape[2], squares + float(tail.double().square().sum())
        return frames, squares / (3 * frames * size * size)

    return run


def whole(ours: LatentTokenizer, latents_BTND: Tensor, size: int) -> Callable[[], tuple[int, float]]:
    return lambda: looked_at(ours.decode_latents_parallel(latents_BTND, ours.spec(size, size)))


def looked_at(clip: Tensor) -> tuple[int, float]:
    return clip.shape[2], float(clip.double().square().mean())


def published_vidtok() -> tuple[Any, Callable[[Tensor], tuple[int, float]]]:
    from diffusers.models.autoencoders.autoencoder_vidtok import AutoencoderVidTok

    model = AutoencoderVidTok(
        ch=128, ch_mult=[1, 2, 4, 4], z_channels=6, double_z=False, num_res_blocks=2, tempo_ds=[1, 2], tempo_us=[1, 2],
        regularizer="fsq", codebook_size=8**6,
    ).eval()  # fmt: skip
    return small(model), lambda grid: looked_at(decoded(model, grid))


def decoded(model: Any, grid_BDTHW: Tensor) -> Tensor:
    clip: Tensor = model.tiled_decode(grid_BDTHW) if model.use_tiling else model.decoder(grid_BDTHW)
    return clip[:, :, 3:]


def published_cosmos() -> tuple[Any, Callable[[Tensor], tuple[int, float]]]:
    from diffusers.models.autoencoders import autoencoder_kl_cosmos as published

    ratio = {"spatial_compression_ratio": 8, "temporal_compression_ratio": 4, "num_resnet_blocks": 2}
    model: Any = nn.Module()
    model.encoder = published.CosmosEncoder3d(3, 16, (128, 256, 512, 512), **ratio)
    model.decoder = published.CosmosDecoder3d(16, 3, (256, 512, 512, 512), **ratio)
    model.quant_conv = published.CosmosCausalConv3d(16, 6, 1, padding=0)
    model.post_quant_conv = published.CosmosCausalConv3d(6, 16, 1, padding=0)
    return small(model.eval()), lambda grid: looked_at(model.decoder(model.post_quant_conv(grid)))


def small(model: Any) -> Any:
    """Weights that neither fade nor grow."""
    for weights in model.parameters():
        if weights.ndim > 1:
            nn.init.normal_(weights, std=weights[0].numel() ** -0.5)
    return model


def reset_peak() -> int:
    """KiB of this process now, which its peak is counted from."""
    try:
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 - not a path of a disk
            file.write("5")
    except OSError:
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak()


def peak() -> int:
    """KiB of this process at its highest."""
    try:
        with open("/proc/self/status") as file:  # noqa: PTH123
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
