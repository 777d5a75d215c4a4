"""How close reconstructions are to the held-out clips."""

from torch import Tensor

from videogen.evaluation.tokenizer.metrics import Quality, Totals, merge_totals
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext


def measure(context: MeasureContext) -> Figures:
    quality = quality_of(context.reconstructions, context.clips)
    uncaptioned = {}
    if context.model.conditioner is not None:
        uncaptioned = {"psnr_without_caption": quality_of(context.decode(context.codes), context.clips).psnr}
    return {
        "psnr": quality.psnr,
        "psnr_worst": quality.psnr_worst,
        "ssim": quality.ssim,
        "flicker": quality.flicker,
        **uncaptioned,
    }


def quality_of(frames_NTHWC: Tensor, originals_NTHWC: Tensor) -> Quality:
    pairs = zip(frames_NTHWC, originals_NTHWC, strict=True)
    return merge_totals([Totals().plus_frames(frames, originals) for frames, originals in pairs]).quality()
