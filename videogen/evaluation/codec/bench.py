"""Codes clips in every way of a model and with conventional codecs, and sums up bits, quality and time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videogen.codec.settings import AnyModel, tokenizer_of
from videogen.errors import DataError
from videogen.evaluation.codec.conventional import (
    ColorConversion,
    ConventionalCodec,
    color_conversions,
    decode,
    encode,
    still_bits,
)
from videogen.evaluation.codec.variants import CodecVariant, code_clip, own_reconstruction
from videogen.evaluation.tokenizer.metrics import Totals, merge_totals
from videogen.io.pixels import to_clip
from videogen.models.perceptual import load_lpips


@dataclass(frozen=True)
class ClipQuality:
    totals: Totals
    lpips: float | None


@dataclass
class CodingSums:
    """Sums over the clips of one way to code."""

    bytes: int = 0  # of files
    payload: int = 0  # of codes or coded frames alone
    latent_frames: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    coder_share: float = 0.0
    differing: int = 0  # clips that are not the tokenizer's reconstruction
    scores: list[ClipQuality] = field(default_factory=list)

    def figures(self, pixels: int) -> dict[str, Any]:
        """Of frames of so many pixels."""
        quality, distances = merge_totals([score.totals for score in self.scores]).quality(), self.distances
        return {
            "bits_per_pixel": 8 * self.bytes / (quality.frames * pixels),
            "payload_bits_per_pixel": 8 * self.payload / (quality.frames * pixels),
            "bytes": self.bytes,
            "payload": self.payload,
            "psnr": quality.psnr,
            "ssim": quality.ssim,
            "lpips": sum(distances) / len(distances) if distances else None,
            "encode_frames_per_second": quality.frames / max(1e-9, self.encode_seconds),
            "decode_frames_per_second": quality.frames / max(1e-9, self.decode_seconds),
        }

    @property
    def distances(self) -> list[float]:
        return [score.lpips for score in self.scores if score.lpips is not None]


class CodecBench:
    """Codes clip after clip in every way, and sums up."""

    def __init__(
        self,
        variants: Sequence[CodecVariant],
        codecs: Sequence[ConventionalCodec],
        fps: float,
        score: Callable[[Tensor, Tensor], ClipQuality],
    ):
        self.variants, self.codecs, self.fps, self.score = variants, list(codecs), fps, score
        self.of_variants = [CodingSums() for _ in variants]
        self.of_codecs = {codec.name: [CodingSums() for _ in codec.ladder] for codec in codecs}
        self.refused: dict[str, str] = {}  # codecs that take no such frames
        self.colors: ColorConversion
        self.ceiling: float

    def choose_colors(self, clips: Iterable[Tensor]) -> None:
        """The conversion to 4:2:0 that costs these clips the least: conventional codecs get the better one."""
        conversions = color_conversions()
        totals: list[list[Totals]] = [[] for _ in conversions]
        for clip in clips:
            for conversion, sums in zip(conversions, totals, strict=True):
                frames = conversion.to_rgb(conversion.to_yuv(frame) for frame in clip.numpy())
                sums.append(Totals().plus_frames(torch.from_numpy(frames), clip))
        psnr = [merge_totals(sums).quality().psnr for sums in totals]
        self.ceiling, self.colors = max(psnr), conversions[int(np.argmax(psnr))]

    def add(self, clip: Tensor, caption: str) -> None:
        known: dict[int | None, tuple[Tensor, ClipQuality]] = {}
        for variant, sums in zip(self.variants, self.of_variants, strict=True):
            if variant.tokens not in known:
                own = own_reconstruction(tokenizer_of(variant.model), clip)
                known[variant.tokens] = own, self.score(own, clip)
            self._add_variant(variant, sums, clip, caption, *known[variant.tokens])
        for codec in list(self.codecs):
            self._add_codec(codec, clip)

    def _add_variant(
        self, variant: CodecVariant, sums: CodingSums, clip: Tensor, caption: str, own: Tensor, score: ClipQuality
    ) -> None:
        coded = code_clip(variant, clip, self.fps, caption if variant.settings.probabilities == "prior" else "")
        same = coded.frames.equal(own)
        sums.bytes += coded.figures.bytes
        sums.payload += coded.figures.payload
        sums.latent_frames += coded.figures.latent_frames
        sums.encode_seconds += coded.encode_seconds
        sums.decode_seconds += coded.decode_seconds
        sums.coder_share += coded.coder_share
        sums.differing += not same
        sums.scores.append(score if same else self.score(coded.frames, clip))

    def _add_codec(self, codec: ConventionalCodec, clip: Tensor) -> None:
        from av import FFmpegError

        for crf, sums in zip(codec.ladder, self.of_codecs[codec.name], strict=True):
            try:
                encoded = encode(codec, clip.numpy(), self.fps, crf, self.colors)
                frames, seconds = decode(encoded.file, self.colors)
            except (FFmpegError, ValueError) as error:
                self.refused[codec.name] = f"{codec.encoder} takes no such frames ({error})"
                self.codecs.remove(codec)
                return
            if len(frames) != len(clip):
                raise DataError(f"{codec.encoder} gave {len(frames)} of {len(clip)} frames back at crf {crf}")
            sums.bytes += len(encoded.file)
            sums.payload += encoded.packets
            sums.encode_seconds += encoded.seconds
            sums.decode_seconds += seconds
            sums.scores.append(self.score(torch.from_numpy(frames), clip))

    def figures(self, shape: tuple[int, int, int, int]) -> dict[str, Any]:
        """Of clips of this shape: frames, height, width and channels."""
        pixels = shape[1] * shape[2]
        rows = [
            variant_row(variant, sums, pixels) for variant, sums in zip(self.variants, self.of_variants, strict=True)
        ]
        return {
            "differing_clips": sum(sums.differing for sums in self.of_variants),
            "variants": rows,
            "colors": {"conversion": self.colors.name, "psnr": self.ceiling},
            "codecs": [
                {
                    **codec_row(codec, self.of_codecs[codec.name], pixels),
                    "still_bits_per_pixel": still_bits(codec, shape, self.fps, self.colors),
                }
                for codec in self.codecs
            ],
        }


def variant_row(variant: CodecVariant, sums: CodingSums, pixels: int) -> dict[str, Any]:
    return {
        "name": variant.name,
        "curve": variant.curve,
        "probabilities": variant.settings.probabilities,
        "steps": variant.steps,
        "tokens": variant.tokens,
        **sums.figures(pixels),
        "latent_frames": sums.latent_frames,
        "encode_latent_frames_per_second": sums.latent_frames / max(1e-9, sums.encode_seconds),
        "decode_latent_frames_per_second": sums.latent_frames / max(1e-9, sums.decode_seconds),
        "coder_share": sums.coder_share / len(sums.scores),
        "differing_clips": sums.differing,
    }


def codec_row(codec: ConventionalCodec, ladder: Sequence[CodingSums], pixels: int) -> dict[str, Any]:
    points = [{"crf": crf, **sums.figures(pixels)} for crf, sums in zip(codec.ladder, ladder, strict=True)]
    return {"name": codec.name, "settings": codec.settings, "container": codec.container, "points": points}


def load_scorer(model: AnyModel, lpips: Path | None) -> Callable[[Tensor, Tensor], ClipQuality]:
    """Compares frames uint8 [T, H, W, 3] with those of a clip; LPIPS where its weights are given."""
    device = tokenizer_of(model).device
    look = None if lpips is None else load_lpips(lpips).to(device)

    @torch.no_grad()
    def score(frames: Tensor, original: Tensor) -> ClipQuality:
        distance = None
        if look is not None:
            distance = float(look(to_clip(frames[None].to(device)), to_clip(original[None].to(device)), 0))
        return ClipQuality(Totals().plus_frames(frames, original), distance)

    return score
