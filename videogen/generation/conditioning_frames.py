"""The frames that a generation goes on from, a clip or an image, as the codes that the model knows."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from videogen.generate import Context, empty_context
from videogen.io.images import Frames

if TYPE_CHECKING:
    from torch import Tensor

    from interfaces.tokens import TokenSpec
    from videogen.models import PriorModel


class ConditioningFrames(NamedTuple):
    """What each of B videos goes on from."""

    context: Context
    frames: "Tensor"  # uint8 [B, T, H, W, 3]: those that belong to the new video, as their codes show them
    psnr: float | None = None  # dB of the reconstruction of a clip or an image; None: not measured

    def repeated(self, videos: int) -> "ConditioningFrames":
        """The same for so many videos, from one."""
        codes, frames = (each[:1].expand(videos, *each.shape[1:]) for each in (self.context.codes_BTNK, self.frames))
        control = self.context.control_BT
        if control is not None:
            control = control[:1].expand(videos, *control.shape[1:])
        return self._replace(context=Context(codes, self.context.spec, control), frames=frames)


def unconditioned(model: "PriorModel", videos: int, size: tuple[int, int]) -> ConditioningFrames:
    """No frames, for videos of this height and width."""
    context = empty_context(model, videos, model.tokenizer.network.spec(*size))
    return ConditioningFrames(context, no_frames(model, size).expand(videos, -1, -1, -1, -1))


def condition_on_clip(model: "PriorModel", frames: Frames) -> ConditioningFrames:
    """A clip [T, H, W, 3] of the right size that the video follows: as much of its end as the prior sees.

    Latent frames are whole and the last one ends with the clip's last frame, so that there is no seam.
    """
    size = (frames.shape[1], frames.shape[2])
    spec = model.tokenizer.network.spec(*size)
    frames = frames[-spec.video_frames(min(context_length(model), max(1, spec.whole_latent_frames(len(frames))))) :]
    context = encoded(model, frames, spec)
    psnr = psnr_of(frames, decoded(model, context)) if has_reference_psnr(model) else None
    return ConditioningFrames(context, no_frames(model, size), psnr)


def condition_on_image(model: "PriorModel", image: Frames) -> ConditioningFrames:
    """An image [H, W, 3] of the right size as the first of a video, which shows it as its codes do."""
    context = encoded(model, image[None], model.tokenizer.network.spec(*image.shape[:2]))
    shown = decoded(model, context)
    psnr = psnr_of(image[None], shown) if has_reference_psnr(model) else None
    return ConditioningFrames(context, shown, psnr)


def has_reference_psnr(model: "PriorModel") -> bool:
    """Whether the model says how well its tokens hold what it was trained on, so that other clips can be recognized."""
    return model.prompt_vocabulary is not None and model.prompt_vocabulary.lowest_psnr is not None


def encoded(model: "PriorModel", frames: Frames, spec: "TokenSpec") -> Context:
    import torch

    from interfaces.tokenizer import encode_clip
    from videogen.generate import absent_control
    from videogen.io.pixels import to_clip

    tokenizer = model.tokenizer.network
    with torch.no_grad():
        codes_BTNK = encode_clip(tokenizer, to_clip(frames[None]).to(tokenizer.device))
    control = empty_context(model, 1, spec).control_BT
    return Context(codes_BTNK, spec, None if control is None else absent_control(control, codes_BTNK.shape[1]))


def decoded(model: "PriorModel", context: Context) -> "Tensor":
    """Frames uint8 [1, T, H, W, 3]."""
    import torch

    from videogen.io.pixels import to_frames

    with torch.no_grad():
        return to_frames(model.tokenizer.network.decode(context.codes_BTNK, context.spec)[0])


def psnr_of(frames: Frames, shown_1THWC: "Tensor") -> float:
    """Over the frames that were given; the rest fills the last latent frame."""
    shown = shown_1THWC[0, : len(frames)].cpu().numpy()
    error = (shown.astype(np.float64) - frames) ** 2
    return float(10 * np.log10(255**2 / max(float(error.mean()), 1e-6)))


def context_length(model: "PriorModel") -> int:
    """How many latent frames the prior sees when there are enough: the sink frames and the window."""
    frames: int = model.config.sink_frames + model.config.window
    return frames


def frames_of_use(model: "PriorModel") -> int:
    """How many frames of a clip decide what follows it, at the model's frame rate."""
    return model.spec.video_frames(context_length(model))


def no_frames(model: "PriorModel", size: tuple[int, int]) -> "Tensor":
    import torch

    return torch.zeros(1, 0, *size, 3, dtype=torch.uint8, device=model.tokenizer.network.device)
