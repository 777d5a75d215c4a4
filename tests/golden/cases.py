"""What the golden run hashes: generation of the bundled model, 30 steps of each stage of training, files as read.

Only public ways in are used, so that the run outlives changes inside. A hash is of bytes, whatever their container.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interfaces.tokens import TokenSpec
from tests.tokenizer.models import small_config, small_model
from tests.training import tiny, tiny_prior
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.data import IndexedClip, build_index
from videogen.io import read
from videogen.models import load_prior, tokenizer_files
from videogen.pipeline import VideoPipeline
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.tokens.token_set import TokenClip, TokenSet

COLORS, SHAPES, GROUNDS = ("red", "yellow", "green", "cyan"), ("ring", "disc", "star"), ("plain black", "plain maroon")
PROMPTS = tuple(
    f"a {size} {color} {shape} {'drifts left' if size == 'big' else 'rises'} over {ground}"
    for size, color in zip(("small", "big", "small", "big"), COLORS, strict=True)
    for shape in SHAPES
    for ground in GROUNDS
)
STEPS = 30
Array = np.ndarray[Any, Any]


def digest(*arrays: Any) -> str:
    found = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array.cpu().numpy() if isinstance(array, torch.Tensor) else array)
        found.update(f"{plain.dtype} {plain.shape}\n".encode() + plain.tobytes())
    return found.hexdigest()[:16]


def packed(spec: TokenSpec, codes_BTNK: torch.Tensor) -> torch.Tensor:
    """One integer per token on its grid [B, T, h, w]: the hashes were written when a token was one integer."""
    factors = torch.tensor([1, *spec.codebooks[:-1]]).cumprod(0)
    return (codes_BTNK.cpu() * factors).sum(-1).unflatten(-1, spec.groups[0].shape)


def generated(pipe: VideoPipeline, prompts: Sequence[str], seeds: list[int], frames: int = 9, **settings: Any) -> str:
    """Hashes of the tokens and of the frames."""
    made = {
        kind: pipe(list(prompts), num_frames=frames, generator=seeds, output_type=kind, **settings).frames
        for kind in ("codes", "uint8")
    }
    return f"{digest(packed(pipe.model.spec, made['codes']))} {digest(made['uint8'])}"


def generation() -> Iterator[tuple[str, str]]:
    """24 prompts with one seed each: in batches, alone, in every order, with and without guidance, and continued."""
    pipe = VideoPipeline.from_pretrained()
    for start in range(0, len(PROMPTS), 6):
        seeds = list(range(start, start + 6))
        yield f"prompts {start} to {start + 5}", generated(pipe, PROMPTS[start : start + 6], seeds, 13)
    for number in (0, 7, 23):
        yield f"prompt {number} alone", generated(pipe, PROMPTS[number : number + 1], [number], 13)
    for order in ("halton", "confidence", "random", "threshold"):
        for scale in (1.0, 3.0):
            found = generated(pipe, PROMPTS[:2], [1, 2], order=order, guidance_scale=scale)
            yield f"order {order}, guidance {scale:g}", found
    yield "order raster", generated(pipe, PROMPTS[2:3], [3], 5, order="raster")
    cuts: tuple[dict[str, Any], ...] = (
        {"temperature": 0.0}, {"temperature": 0.7, "top_k": 3}, {"top_p": 0.8},
        {"steps": 3, "first_frames_step_multiplier": 1},
        {"schedule": "linear"}, {"guidance_schedule": "cosine"}, {"history_noise": 0.2},
    )  # fmt: skip
    for settings in cuts:
        yield f"with {json.dumps(settings)}", generated(pipe, PROMPTS[4:6], [5, 6], **settings)
    clip = pipe(PROMPTS[9], num_frames=13, generator=9, output_type="uint8").frames[0]
    yield "after a clip", generated(pipe, PROMPTS[9:10], [4], video=clip)
    yield "after an image", generated(pipe, PROMPTS[9:10], [4], image=clip[-1])
    for transition in ("recache", "cut"):
        yield f"a new prompt, {transition}", changing(pipe, transition)


def changing(pipe: VideoPipeline, transition: Any) -> str:
    """Hashes of the context and of all frames of a stream whose prompt changes."""
    stream, frames = pipe.stream(PROMPTS[0], num_frames=21, generator=8, transition=transition), []
    for number, frame in enumerate(stream):
        if number == 8:
            stream.prompt = PROMPTS[-1]
        frames.append(frame)
    codes_BTNK = stream.generation.context.codes_BTNK
    return f"{digest(packed(pipe.model.spec, codes_BTNK))} {digest(np.stack(frames))}"


def training(folder: Path) -> Iterator[tuple[str, str]]:
    """The losses of both stages on twelve small clips, the tokens of these, and what the models generate."""
    clips, model, tokens = folder / "clips", folder / "tokenizer", folder / "tokens"
    write_playroom(clips, PlayroomConfig(clips=12, seed=4, size=32, frames=9))
    yield "what clips are read as", digest(*(read_clip(entry) for entry in build_index(clips, workers=1).good))
    tiny.train(clips, folder / "stage_one", steps=STEPS)
    yield "losses of stage one", losses(folder / "stage_one", "total/tokenizer")
    config = small_config(f_t=4, f_s=8)
    clips_seen = ClipSpec(height=16, width=16, fps=8.0, frames=9)
    write_folder(model, tokenizer_files(config, clips_seen, small_model(config).state_dict(), "# a card"))
    run("encode", str(clips), str(tokens), "--model", str(model))
    known = TokenSet.open(tokens)
    yield "what tokens are read as", digest(*(packed(known.description.spec, clip.codes) for clip in whole_set(known)))
    tiny_prior.train(model, tokens, folder / "stage_two", steps=STEPS)
    yield "losses of stage two", losses(folder / "stage_two", "nats")
    pipe = VideoPipeline.from_pretrained(folder / "stage_two")
    model_read = load_prior(folder / "stage_two")
    yield (
        "what a model folder is read as",
        digest(*(weight for _, weight in sorted(model_read.network.state_dict().items()))),
    )
    yield "what was trained, generating", generated(pipe, PROMPTS[:2], [1, 2], 5)


def read_clip(clip: IndexedClip) -> Array:
    return read(clip.entry.source, range(len(clip.scan.pts)), clip.scan)


def whole_set(tokens: TokenSet) -> list[TokenClip]:
    return [tokens.clip(number) for number in range(len(tokens))]


def run(*arguments: str) -> None:
    assert main([*arguments, "--quiet"]) == 0, arguments


def losses(folder: Path, name: str) -> str:
    """A hash of plain data; JSON stores floats exactly."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line["kind"], line[name]) for line in lines if name in line]
    assert found[-1][0] == STEPS, found
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]
