"""How close single images are: the first frame of each held-out clip, encoded as a clip of one frame."""

from videogen.evaluation.tokenizer.metrics import Totals
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext


def measure(context: MeasureContext) -> Figures:
    images = context.clips[:, :1]
    quality = Totals().plus_frames(context.reconstruct(images).flatten(0, 1), images.flatten(0, 1)).quality()
    return {"psnr_images": quality.psnr, "ssim_images": quality.ssim}
