"""The frames that a video continues, the end of a clip or an image, encoded to codes."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from videogen.generate import Context, empty_context
from videogen.io.images import Frames

if TYPE_CHECKING:
    from torch import Tensor

    from interfaces.tokens import TokenSpec
    from videogen.models import PriorModel


class ConditioningFrames(NamedTuple):
    """The context of each of B videos, and the frames of it that belong to the output."""

    context: Context
    frames: "Tensor"  # uint8 [B, T, H, W, 3]: decoded from the codes; T = 0 except for an image
    psnr: float | None = None  # dB of the reconstruction; None: not measured

    def repeat(self, videos: int) -> "ConditioningFrames":
        """Repeats one video `videos` times."""
        codes, frames = (each[:1].expand(videos, *each.shape[1:]) for each in (self.context.codes_BTNK, self.frames))
        control = self.context.control_BT
        if control is not None:
            control = control[:1].expand(videos, *control.shape[1:])
        return self._replace(context=Context(codes, self.context.spec, control), frames=frames)


def unconditioned(model: "PriorModel", videos: int, size: tuple[int, int]) -> ConditioningFrames:
    """No frames, for `videos` videos of this height and width."""
    context = empty_context(model, videos, model.tokenizer.network.spec(*size))
    return ConditioningFrames(context, no_frames(model, size).expand(videos, -1, -1, -1, -1))


def condition_on_clip(model: "PriorModel", frames: Frames) -> ConditioningFrames:
    """The end of a clip [T, H, W, 3] of the right size, as many latent frames as the prior attends to.

    Latent frames are complete and the last one ends with the last frame of the clip, so that there is no seam.
    """
    size = (frames.shape[1], frames.shape[2])
    spec = model.tokenizer.network.spec(*size)
    frames = frames[-spec.video_frames(min(model.config.window, max(1, spec.whole_latent_frames(len(frames))))) :]
    context = encode_frames(model, frames, spec)
    psnr = psnr_of(frames, decode_context(model, context)) if has_reference_psnr(model) else None
    return ConditioningFrames(context, no_frames(model, size), psnr)


def condition_on_image(model: "PriorModel", image: Frames) -> ConditioningFrames:
    """An image [H, W, 3] of the right size as the first frame of a video, which shows its reconstruction."""
    context = encode_frames(model, image[None], model.tokenizer.network.spec(*image.shape[:2]))
    shown = decode_context(model, context)
    psnr = psnr_of(image[None], shown) if has_reference_psnr(model) else None
    return ConditioningFrames(context, shown, psnr)


def has_reference_psnr(model: "PriorModel") -> bool:
    """Whether the model states the lowest PSNR of its training data, by which unfamiliar clips are recognized."""
    return model.prompt_vocabulary is not None and model.prompt_vocabulary.lowest_psnr is not None


def encode_frames(model: "PriorModel", frames: Frames, spec: "TokenSpec") -> Context:
    import torch

    from interfaces.tokenizer import encode_clip
    from videogen.io.pixels import to_clip

    tokenizer = model.tokenizer.network
    with torch.no_grad():
        codes_BTNK = encode_clip(tokenizer, to_clip(frames[None]).to(tokenizer.device))
    return Context(codes_BTNK, spec)


def decode_context(model: "PriorModel", context: Context) -> "Tensor":
    """Frames uint8 [1, T, H, W, 3]."""
    import torch

    from interfaces.tokenizer import decode_clip
    from videogen.io.pixels import to_frames

    with torch.no_grad():
        return to_frames(decode_clip(model.tokenizer.network, context.codes_BTNK, context.spec))


def psnr_of(frames: Frames, shown_1THWC: "Tensor") -> float:
    """The PSNR over the given frames; the rest of the last latent frame is padding."""
    shown = shown_1THWC[0, : len(frames)].cpu().numpy()
    error = (shown.astype(np.float64) - frames) ** 2
    return float(10 * np.log10(255**2 / max(float(error.mean()), 1e-6)))


def frames_of_use(model: "PriorModel") -> int:
    """The number of frames at the end of a clip that influence its continuation, at the model's frame rate."""
    return model.spec.video_frames(model.config.window)


def no_frames(model: "PriorModel", size: tuple[int, int]) -> "Tensor":
    import torch

    return torch.zeros(1, 0, *size, 3, dtype=torch.uint8, device=model.tokenizer.network.device)
