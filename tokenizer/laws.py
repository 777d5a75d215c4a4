"""What every tokenizer must hold, as checks that anyone can run on their own weights: each returns a Verdict.

Most laws need nothing but a `VideoTokenizer`. Some need more and name it by a protocol: `ParallelTokenizer` for
gradients, `QuantizedTokenizer` for the codebook, `StillStart` for the past of a new stream. `check` runs all laws and
skips those that a tokenizer does not offer enough for.

The clip [B, C, T, H, W] is any clip of at least two latent frames that the tokenizer can take; small is enough.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from interfaces.tokenizer import State, VideoTokenizer, decode_clip, encode_clip
from interfaces.tokens import TokenSpec
from interfaces.verdict import Verdict
from tokenizer.streaming import flatten_state, map_state, unflatten_state

MAX_TOKENS = 1 << 18  # whose round trip is checked
CHUNKS, USED_TWICE, CONSTANT_STATE = (
    "any chunk plan gives the offline result", "a state can be used twice", "a state does not grow"
)  # fmt: skip
TRAINING_PATH = "streaming equals the training path"
CAUSAL_ENCODER, CAUSAL_DECODER = "the encoder is causal", "the decoder is causal"
STILL_CLIP, ROUND_TRIP = "a still clip has still codes", "every token survives a round trip"


@runtime_checkable
class ParallelTokenizer(VideoTokenizer, Protocol):
    """A tokenizer that also gives continuous latents [B, T', N, D], in chunks or of a whole clip with gradients."""

    def encode_latents_parallel(self, clip_BCTHW: Tensor, /) -> Tensor: ...

    def decode_latents_parallel(self, latents: Tensor, spec: TokenSpec, /) -> Tensor: ...

    def encode_latents(self, clip_BCTHW: Tensor, state: Any = None, /) -> tuple[Tensor, Any]: ...

    def decode_latents(self, latents: Tensor, spec: TokenSpec, state: Any = None, /) -> tuple[Tensor, Any]: ...

    def decode_latents_tail(self, state: Any, /) -> Tensor | None: ...


class Codebook(Protocol):
    @property
    def codebooks(self) -> tuple[int, ...]: ...

    def to_codes(self, latents: Tensor, /) -> Tensor: ...

    def to_latents(self, codes_NK: Tensor, /) -> Tensor: ...


@runtime_checkable
class QuantizedTokenizer(Protocol):
    """A tokenizer whose codes stand for latents one by one."""

    @property
    def device(self) -> torch.device: ...

    @property
    def quantizer(self) -> Any: ...  # a Codebook, or one with `leaves` that are


@runtime_checkable
class StillStart(VideoTokenizer, Protocol):
    """A tokenizer that says whether it starts a stream as if its first frame had been repeated before it."""

    still_start: bool


def check(
    tokenizer: VideoTokenizer, clip: Tensor, plans: Sequence[Sequence[int]], tolerance: float
) -> Iterator[Verdict]:
    """A verdict for each law. `tolerance` is for pixels in [-1, 1], where equality is up to float rounding."""
    spec = tokenizer.spec(*clip.shape[3:])
    yield counts_are_those_of_the_spec(tokenizer, clip)
    for plan in plans:
        yield judged(CHUNKS, any_chunk_plan_gives_the_offline_result, tokenizer, clip, plan)
    whole = clip[:, :, : spec.video_frames(spec.latent_frames(clip.shape[2] + 1) - 1)]
    if isinstance(tokenizer, ParallelTokenizer):
        yield streaming_is_the_training_path(tokenizer, whole, tolerance)
        with torch.enable_grad():
            yield encoder_is_causal(tokenizer, whole)
            yield decoder_is_causal(tokenizer, whole)
    else:
        for law in (TRAINING_PATH, CAUSAL_ENCODER, CAUSAL_DECODER):
            yield skipped(law, "the tokenizer offers no continuous latents")
    yield judged(USED_TWICE, a_state_can_be_used_twice, tokenizer, clip)
    yield judged(CONSTANT_STATE, a_state_does_not_grow, tokenizer, clip, 4)
    if isinstance(tokenizer, StillStart) and tokenizer.still_start:
        yield a_still_clip_has_still_codes(tokenizer, clip, spec.latent_frames(clip.shape[2]))
    else:
        yield skipped(STILL_CLIP, "the tokenizer promises no still start")
    if isinstance(tokenizer, QuantizedTokenizer):
        yield every_number_survives(tokenizer, spec) if spec.continuous else every_token_survives(tokenizer)
    else:
        yield skipped(ROUND_TRIP, "the tokenizer has no quantizer")


def judged(law: str, check_law: Callable[..., Verdict], *arguments: Any) -> Verdict:
    """Its verdict. A law is broken too where the tokenizer refuses to stream, as one that is not causal does."""
    try:
        return check_law(*arguments)
    except ValueError as error:
        return Verdict(law, False, str(error))


def skipped(law: str, reason: str) -> Verdict:
    return Verdict(law, True, reason, skipped=True)


def counts_are_those_of_the_spec(tokenizer: VideoTokenizer, clip: Tensor) -> Verdict:
    """As many latent frames, tokens, codes and frames as the spec says, for every length of the clip."""
    law, spec = "counts are those of the spec", spec_of(tokenizer, clip)
    for frames in range(1, clip.shape[2] + 1):
        codes = encode_clip(tokenizer, clip[:, :, :frames])
        try:
            spec.check_range(codes)
        except ValueError as error:
            return Verdict(law, False, str(error))
        if codes.shape[:2] != (len(clip), spec.latent_frames(frames)):
            return Verdict(law, False, f"{frames} frames became {codes.shape[1]} latent frames")
    decoded = decode_clip(tokenizer, codes, spec)
    expected = (*clip.shape[:2], spec.video_frames(codes.shape[1]), *clip.shape[3:])
    return Verdict(law, tuple(decoded.shape) == expected, f"decoded {list(decoded.shape)}, expected {list(expected)}")


def any_chunk_plan_gives_the_offline_result(tokenizer: VideoTokenizer, clip: Tensor, plan: Sequence[int]) -> Verdict:
    """Frames fed in the chunks of the plan (some may be empty) give the codes and pixels of the whole, bit for bit."""
    codes, spec = encode_clip(tokenizer, clip), spec_of(tokenizer, clip)
    streamed_codes, _ = encode_in_chunks(tokenizer, clip, plan)
    pixels = decode_clip(tokenizer, codes, spec)
    streamed, _ = decode_in_chunks(tokenizer, codes, spec, plan)
    wrong = "codes differ" if not torch.equal(codes, streamed_codes) else ""
    wrong = wrong or ("pixels differ" if not torch.equal(pixels, streamed) else "")
    return Verdict(CHUNKS, not wrong, wrong or f"equal to the bit for {list(plan)}")


def streaming_is_the_training_path(tokenizer: ParallelTokenizer, clip: Tensor, tolerance: float) -> Verdict:
    """The whole clip at once gives the streamed latents and pixels to float rounding."""
    spec = spec_of(tokenizer, clip)
    with torch.no_grad():
        latents, _ = tokenizer.encode_latents(clip)
        pixels, state = tokenizer.decode_latents(latents, spec)
        tail = tokenizer.decode_latents_tail(state)
        pixels = pixels if tail is None else torch.cat([pixels, tail], dim=2)
        at_once = tokenizer.encode_latents_parallel(clip[:, :, : pixels.shape[2]])
        worst = max(largest(latents - at_once), largest(pixels - tokenizer.decode_latents_parallel(latents, spec)))
    return Verdict(TRAINING_PATH, worst <= tolerance, f"largest difference {worst:.1e}")


def encoder_is_causal(tokenizer: ParallelTokenizer, clip: Tensor) -> Verdict:
    """No latent frame depends on a video frame after its own, exactly; and every video frame moves its latent frame."""
    clip, spec = clip.detach().clone().requires_grad_(), spec_of(tokenizer, clip)
    latents = tokenizer.encode_latents_parallel(clip)
    for t in range(latents.shape[1]):
        depends_T = influence(latents[:, t], clip, keep=2)
        first, end = spec.video_frames(t), spec.video_frames(t + 1)
        if depends_T[end:].any():
            return Verdict(CAUSAL_ENCODER, False, f"latent frame {t} depends on frame {int(depends_T.nonzero().max())}")
        if not depends_T[first:end].all():
            return Verdict(CAUSAL_ENCODER, False, f"a frame of {first}..{end - 1} does not move latent frame {t}")
    return Verdict(CAUSAL_ENCODER, True, f"gradients of {latents.shape[1]} latent frames")


def decoder_is_causal(tokenizer: ParallelTokenizer, clip: Tensor) -> Verdict:
    """No pixel depends on a latent frame after its own and the spec's delay; every latent frame moves its pixels."""
    spec = spec_of(tokenizer, clip)
    latents = tokenizer.encode_latents_parallel(clip).detach().requires_grad_()
    pixels = tokenizer.decode_latents_parallel(latents, spec)
    for t in range(latents.shape[1]):
        own = pixels[:, :, spec.video_frames(t) : spec.video_frames(t + 1)]
        depends_T = influence(own, latents, keep=1)
        if depends_T[t + 1 + spec.delay :].any() or not depends_T[t]:
            detail = f"pixels of latent frame {t} depend on {depends_T.nonzero().flatten().tolist()}"
            return Verdict(CAUSAL_DECODER, False, detail)
    return Verdict(CAUSAL_DECODER, True, f"gradients of {latents.shape[1]} latent frames")


def a_state_can_be_used_twice(tokenizer: VideoTokenizer, clip: Tensor) -> Verdict:
    """Going on from a state changes nothing in it; saved and rebuilt, it gives the same codes and pixels."""
    half, spec = 1 + clip.shape[2] // 2, spec_of(tokenizer, clip)
    codes, encoder_state = tokenizer.encode(clip[:, :, :half])
    _, decoder_state = tokenizer.decode(codes, spec)
    steps: list[tuple[str, Callable[[State], Tensor], State]] = [
        ("encode", lambda state: tokenizer.encode(clip[:, :, half:], state)[0], encoder_state),
        ("decode", lambda state: tokenizer.decode(codes, spec, state)[0], decoder_state),
    ]
    wrong = ""
    for name, step, state in steps:
        copy, saved = map_state(torch.clone, state), flatten_state(state)
        once, again, resumed = step(state), step(state), step(unflatten_state(saved))
        if not (torch.equal(once, again) and torch.equal(once, resumed) and same(state, copy)):
            wrong = f"{name} from a state differs the second time"
    return Verdict(USED_TWICE, not wrong, wrong or "encoder and decoder")


def a_state_does_not_grow(tokenizer: VideoTokenizer, clip: Tensor, rounds: int) -> Verdict:
    """At the end of a latent frame the state has the same size, however many latent frames have gone by."""
    spec, sizes = spec_of(tokenizer, clip), set[tuple[int, int]]()
    codes, encoder_state = tokenizer.encode(clip[:, :, : spec.first_frames])
    _, decoder_state = tokenizer.decode(codes, spec)
    frames = clip[:, :, -1:].expand(-1, -1, spec.frames_per_latent, -1, -1)
    for _ in range(rounds):
        codes, encoder_state = tokenizer.encode(frames, encoder_state)
        _, decoder_state = tokenizer.decode(codes, spec, decoder_state)
        sizes.add((size_in_bytes(encoder_state), size_in_bytes(decoder_state)))
    return Verdict(CONSTANT_STATE, len(sizes) == 1, f"bytes of encoder and decoder: {sorted(sizes)}")


def a_still_clip_has_still_codes(tokenizer: StillStart, clip: Tensor, latent_frames: int) -> Verdict:
    """While nothing moves, every latent frame has the codes of the first: nothing moved before the first frame."""
    frames = spec_of(tokenizer, clip).video_frames(latent_frames)
    codes = encode_clip(tokenizer, clip[:, :, :1].expand(-1, -1, frames, -1, -1))
    moved = int((codes != codes[:, :1]).sum())
    return Verdict(STILL_CLIP, moved == 0, f"{moved} of {codes.numel()} codes differ from the image's")


@torch.no_grad()
def every_token_survives(tokenizer: QuantizedTokenizer, most: int = MAX_TOKENS) -> Verdict:
    """Each token gives its codes back through its latent, also when the latent has been rounded to bfloat16.

    A quantizer that is composed of others is looked at leaf by leaf: each codebook on its own keeps the law. Levels
    that add up need not: another sum of codes may be nearer at the first level. Where there are more than `most`
    different tokens, so many random ones are looked at.
    """
    leaves: tuple[Codebook, ...] = getattr(tokenizer.quantizer, "leaves", (tokenizer.quantizer,))
    lost = seen = 0
    for leaf in leaves:
        codes = spread_tokens(leaf.codebooks, most).to(tokenizer.device)
        latents = leaf.to_latents(codes)
        lost += sum(int((leaf.to_codes(copy) != codes).any(-1).sum()) for copy in (latents, latents.bfloat16()))
        seen += len(codes)
    each = f" of {len(leaves)} quantizers, each on its own" if len(leaves) > 1 else ""
    return Verdict(ROUND_TRIP, lost == 0, f"{lost} of {seen} lost{each}, in float32 and bfloat16")


@torch.no_grad()
def every_number_survives(tokenizer: QuantizedTokenizer, spec: TokenSpec) -> Verdict:
    """Continuous tokens give all bits of their float32 back through their latents; rounded, they are other tokens."""
    quantizer: Codebook = tokenizer.quantizer.of_group(0)
    codes = torch.randn(1024, spec.depth, generator=torch.Generator().manual_seed(0)).to(tokenizer.device)
    lost = int((quantizer.to_codes(quantizer.to_latents(codes)) != codes).any(-1).sum())
    return Verdict(ROUND_TRIP, lost == 0, f"{lost} of {len(codes)} continuous tokens lost, in float32")


def spread_tokens(codebooks: Sequence[int], most: int) -> Tensor:
    """Codes [N, K] of all tokens, or of `most` random ones."""
    counts, total = [1], 1
    for size in codebooks:
        total *= size
        counts.append(total)
    if total > most:
        generator = torch.Generator().manual_seed(0)
        return torch.stack([torch.randint(size, (most,), generator=generator) for size in codebooks], dim=-1)
    numbers = torch.arange(total)
    return torch.stack([numbers // count % size for count, size in zip(counts, codebooks, strict=False)], dim=-1)


def spec_of(tokenizer: VideoTokenizer, clip: Tensor) -> TokenSpec:
    return tokenizer.spec(*clip.shape[3:])


def encode_in_chunks(tokenizer: VideoTokenizer, clip: Tensor, plan: Sequence[int]) -> tuple[Tensor, State]:
    """All codes, the tail's among them, of a clip fed in chunks of these lengths and then whatever is left."""
    parts, state = [], None
    for chunk in torch.split(clip, [*plan, clip.shape[2] - sum(plan)], dim=2):
        codes, state = tokenizer.encode(chunk, state)
        parts.append(codes)
    return torch.cat([*parts, tokenizer.encode_tail(state)], dim=1), state


def decode_in_chunks(
    tokenizer: VideoTokenizer, codes: Tensor, spec: TokenSpec, plan: Sequence[int]
) -> tuple[Tensor, State]:
    """All frames, the tail's among them, of codes fed in chunks of these lengths and then whatever is left."""
    parts, state, start = [], None, 0
    for length in (*plan, codes.shape[1]):
        frames, state = tokenizer.decode(codes[:, start : start + length], spec, state)
        start = min(start + length, codes.shape[1])
        parts.append(frames)
    tail = tokenizer.decode_tail(state)
    return torch.cat(parts if tail is None else [*parts, tail], dim=2), state


def influence(output: Tensor, source: Tensor, keep: int) -> Tensor:
    """For every index of dimension `keep` of the source: does a random direction of the output depend on it at all?"""
    (gradient,) = torch.autograd.grad(output, source, torch.randn_like(output), retain_graph=True)
    return gradient.abs().sum([d for d in range(gradient.ndim) if d != keep]) > 0


def largest(difference: Tensor) -> float:
    return difference.abs().max().item()


def same(state: State, other: State) -> bool:
    left, right = flatten_state(state), flatten_state(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def size_in_bytes(state: State) -> int:
    return sum(leaf.untyped_storage().nbytes() for leaf in flatten_state(state).values())
