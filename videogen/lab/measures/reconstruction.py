"""How close reconstructions are to the held-out clips."""

from videogen.evaluation.tokenizer.metrics import Totals, merge_totals
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext


def measure(context: MeasureContext) -> Figures:
    pairs = zip(context.reconstructions, context.clips, strict=True)
    quality = merge_totals([Totals().plus_frames(frames, originals) for frames, originals in pairs]).quality()
    return {
        "psnr": quality.psnr,
        "psnr_worst": quality.psnr_worst,
        "ssim": quality.ssim,
        "flicker": quality.flicker,
    }
