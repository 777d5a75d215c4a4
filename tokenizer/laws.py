"""What every tokenizer must hold, as checks that anyone can run on their own weights: each returns a Verdict.

The clip [B, C, T, H, W] is any clip that the model can take; short and small is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenizer.networks.cnn import VideoTokenizer
from tokenizer.streaming import State, flatten_state, map_state, unflatten_state


@dataclass(frozen=True)
class Verdict:
    law: str
    held: bool
    detail: str


def any_chunk_plan_gives_the_offline_result(model: VideoTokenizer, clip: Tensor, plan: Sequence[int]) -> Verdict:
    """Frames fed in the chunks of the plan (some may be empty) give the ids and pixels of the whole, bit for bit."""
    ids_BThw = model.encode_clip(clip)
    streamed_BThw, _ = encode_in_chunks(model, clip, plan)
    pixels, _ = model.decode(ids_BThw)
    streamed, _ = decode_in_chunks(model, ids_BThw, plan)
    wrong = "ids differ" if not torch.equal(ids_BThw, streamed_BThw) else ""
    wrong = wrong or ("pixels differ" if not torch.equal(pixels, streamed) else "")
    return Verdict("any chunk plan gives the offline result", not wrong, wrong or f"equal to the bit for {list(plan)}")


def streaming_is_the_training_path(model: VideoTokenizer, clip: Tensor, tolerance: float) -> Verdict:
    """The whole clip at once gives the streamed latents and pixels to float rounding."""
    with torch.no_grad():
        latents, _ = model.encode_latents(clip)
        pixels, _ = model.decode_latents(latents)
        at_once = model.latents_at_once(clip[:, :, : pixels.shape[2]])
        worst = max(largest(latents - at_once), largest(pixels - model.clip_at_once(latents)))
    return Verdict("streaming equals the training path", worst <= tolerance, f"largest difference {worst:.1e}")


def encoder_is_causal(model: VideoTokenizer, clip: Tensor) -> Verdict:
    """No latent frame feels a video frame after its own group, exactly; and every video frame moves its latent."""
    clip = clip.detach().clone().requires_grad_()
    latents = model.latents_at_once(clip)
    for t in range(latents.shape[1]):
        felt_T = influence(latents[:, t], clip, keep=2)
        first, end = max(0, model.config.video_frames(t)), model.config.video_frames(t + 1)
        if felt_T[end:].any():
            return Verdict(
                "the encoder is causal", False, f"latent frame {t} feels frame {int(felt_T.nonzero().max())}"
            )
        if not felt_T[first:end].all():
            return Verdict(
                "the encoder is causal", False, f"a frame of {first}..{end - 1} does not move latent frame {t}"
            )
    return Verdict("the encoder is causal", True, f"gradients of {latents.shape[1]} latent frames")


def decoder_is_causal(model: VideoTokenizer, clip: Tensor) -> Verdict:
    """No pixel feels a latent frame after its own, exactly; and every latent frame moves its own pixels."""
    latents = model.latents_at_once(clip).detach().requires_grad_()
    pixels = model.clip_at_once(latents)
    for t in range(latents.shape[1]):
        own = pixels[:, :, model.config.video_frames(t) : model.config.video_frames(t + 1)]
        felt_T = influence(own, latents, keep=1)
        if felt_T[t + 1 :].any() or not felt_T[t]:
            return Verdict(
                "the decoder is causal", False, f"pixels of latent frame {t} feel {felt_T.nonzero().tolist()}"
            )
    return Verdict("the decoder is causal", True, f"gradients of {latents.shape[1]} latent frames")


def a_state_can_be_used_twice(model: VideoTokenizer, clip: Tensor) -> Verdict:
    """Going on from a state changes nothing in it; saved and rebuilt, it gives the same ids and pixels."""
    half = 1 + clip.shape[2] // 2
    ids_BThw, kept = model.encode(clip[:, :, :half])
    _, shown = model.decode(ids_BThw)
    wrong = ""
    for step, part, state in ((model.encode, clip[:, :, half:], kept), (model.decode, ids_BThw, shown)):
        assert state is not None
        copy, saved = map_state(torch.clone, state), flatten_state(state)
        once, again = step(part, state)[0], step(part, state)[0]
        resumed = step(part, unflatten_state(saved))[0]
        if not (torch.equal(once, again) and torch.equal(once, resumed) and same(state, copy)):
            wrong = f"{step.__name__} from a state differs the second time"
    return Verdict("a state can be used twice", not wrong, wrong or "encoder and decoder")


def a_state_does_not_grow(model: VideoTokenizer, clip: Tensor, rounds: int) -> Verdict:
    """At the end of a group the state has the same size, however many groups have gone by."""
    sizes: set[tuple[int, int]] = set()
    ids_BThw, kept = model.encode(clip[:, :, :1])
    _, shown = model.decode(ids_BThw)
    group = clip[:, :, -1:].expand(-1, -1, model.config.f_t, -1, -1)
    for _ in range(rounds):
        ids_BThw, kept = model.encode(group, kept)
        _, shown = model.decode(ids_BThw, shown)
        assert kept is not None
        assert shown is not None
        sizes.add((size_in_bytes(kept), size_in_bytes(shown)))
    return Verdict("a state does not grow", len(sizes) == 1, f"bytes of encoder and decoder: {sorted(sizes)}")


def a_still_clip_has_still_ids(model: VideoTokenizer, clip: Tensor, groups: int) -> Verdict:
    """While nothing moves every latent frame has the ids of the image, because before the first frame nothing moved."""
    still = clip[:, :, :1].expand(-1, -1, 1 + model.config.f_t * groups, -1, -1)
    ids_BThw = model.encode_clip(still)
    moved = int((ids_BThw != ids_BThw[:, :1]).sum())
    return Verdict(
        "a still clip has still ids", moved == 0, f"{moved} of {ids_BThw.numel()} ids differ from the image's"
    )


@torch.no_grad()
def every_code_survives(model: VideoTokenizer, most: int = 1 << 18) -> Verdict:
    """Each id gives itself back through its code, also when the code has been rounded to bfloat16.

    Beyond `most` codes, so many evenly spread ones are looked at.
    """
    quantizer, device = model.quantizer, next(model.parameters()).device
    step = max(1, quantizer.size // most)
    ids = torch.arange(0, quantizer.size, step, device=device)
    codes = quantizer.to_latents(ids)
    lost = sum(int((quantizer.to_ids(copy) != ids).sum()) for copy in (codes, codes.bfloat16()))
    return Verdict("every code survives a round trip", lost == 0, f"{lost} of {len(ids)} lost, in float32 and bfloat16")


def encode_in_chunks(model: VideoTokenizer, clip: Tensor, plan: Sequence[int]) -> tuple[Tensor, State]:
    """All ids, the tail's among them, of a clip fed in chunks of these lengths and then whatever is left."""
    pieces, state = [], None
    for chunk in torch.split(clip, [*plan, clip.shape[2] - sum(plan)], dim=2):
        ids_BThw, state = model.encode(chunk, state)
        pieces.append(ids_BThw)
    assert state is not None
    return torch.cat([*pieces, model.encode_tail(state)], dim=1), state


def decode_in_chunks(model: VideoTokenizer, ids_BThw: Tensor, plan: Sequence[int]) -> tuple[Tensor, State | None]:
    """All frames of ids fed in chunks of these lengths, as far as they go, and then whatever is left."""
    pieces, state, start = [], None, 0
    for length in (*plan, ids_BThw.shape[1]):
        frames, state = model.decode(ids_BThw[:, start : start + length], state)
        start = min(start + length, ids_BThw.shape[1])
        pieces.append(frames)
    return torch.cat(pieces, dim=2), state


def influence(output: Tensor, source: Tensor, keep: int) -> Tensor:
    """For every index of dimension `keep` of the source: does a random direction of the output feel it at all?"""
    (gradient,) = torch.autograd.grad(output, source, torch.randn_like(output), retain_graph=True)
    return gradient.abs().sum([d for d in range(gradient.ndim) if d != keep]) > 0


def largest(difference: Tensor) -> float:
    return difference.abs().max().item()


def same(state: State, other: State) -> bool:
    left, right = flatten_state(state), flatten_state(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def size_in_bytes(state: State) -> int:
    return sum(leaf.untyped_storage().nbytes() for leaf in flatten_state(state).values())
