"""What a tokenizer loses and where: whether the shape of an object is in the codes, and whether the decoder shows it.

The clips are of the playroom, with one object each. A small network learns to classify the shape from codes; on other
clips it is compared to the oracle, which looks at the decoded frames. If the network is right and the oracle is not,
the decoder can still learn it without any change of the codes.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interfaces.tokenizer import encode_clip
from interfaces.tokens import TokenSpec
from videogen.evaluation.generation.prompts import true_clips
from videogen.io.pixels import to_clip, to_frames
from videogen.models import BUNDLED, TokenizerModel, load_tokenizer
from videogen.playroom.oracle import look
from videogen.playroom.scene import SHAPES, SIZES, Scene, Thing, sample_scenes
from videogen.system.hardware import describe

SEED, CHUNK, BATCH = 20_261_122, 32, 32
WIDTH, CODE = 48, 8


class ShapeClassifier(nn.Module):
    """Codes [B, T, N, K] to a logit for each shape: embeddings, some convolutions, mean and maximum over positions."""

    def __init__(self, spec: TokenSpec):
        super().__init__()
        self.grid = spec.groups[0].shape
        self.codes = nn.ModuleList(nn.Embedding(size, CODE) for size in spec.codebooks)
        self.first = nn.Conv3d(CODE * spec.depth, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(4, WIDTH), nn.GELU(), nn.Conv3d(WIDTH, WIDTH, 3, padding=1)) for _ in range(4)
        )
        self.last = nn.Linear(2 * WIDTH, len(SHAPES))

    def forward(self, codes_BTNK: Tensor) -> Tensor:
        embedded = [table(codes_BTN) for table, codes_BTN in zip(self.codes, codes_BTNK.unbind(-1), strict=True)]
        x_BTNC = torch.cat(embedded, -1)
        x_BCThw = self.first(x_BTNC.reshape(*x_BTNC.shape[:2], *self.grid, -1).permute(0, 4, 1, 2, 3))
        for block in self.blocks:
            x_BCThw = x_BCThw + block(x_BCThw)
        seen_BCN = x_BCThw.flatten(2)
        return self.last(torch.cat([seen_BCN.amax(2), seen_BCN.mean(2)], 1))  # type: ignore[no-any-return]


def encode_scenes(tokenizer: TokenizerModel, scenes: list[Scene], frames: int) -> Tensor:
    made = tokenizer.clips
    pieces = []
    for start in range(0, len(scenes), CHUNK):
        clips = true_clips(tuple(scenes[start : start + CHUNK]), frames, made.height, made.width, made.fps)
        pieces.append(encode_clip(tokenizer.network, to_clip(clips.numpy())))
    return torch.cat(pieces)


def train_classifier(spec: TokenSpec, codes: Tensor, shapes: Tensor, steps: int) -> ShapeClassifier:
    reader = ShapeClassifier(spec)
    optimizer = torch.optim.AdamW(reader.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / 50) * (1 - step / steps))
    for _ in range(steps):
        some = torch.randint(len(codes), (BATCH,))
        loss = F.cross_entropy(reader(codes[some]), shapes[some])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return reader.eval()


def decoded_shapes(tokenizer: TokenizerModel, codes: Tensor, frames: int) -> list[str]:
    """The shapes that the oracle detects in the decoded frames; of several objects that of the first."""
    seen: list[str] = []
    for part in torch.split(codes, CHUNK):
        clips = to_frames(tokenizer.network.decode(part, tokenizer.spec)[0])[:, :frames].cpu().numpy()
        seen += [one.scene.things[0].shape if one.scene.things else "nothing" for one in look(clips)]
    return seen


@torch.no_grad()
def predicted_shapes(reader: ShapeClassifier, codes: Tensor) -> list[str]:
    guesses = [reader(part).argmax(1) for part in torch.split(codes, CHUNK)]
    return [SHAPES[guess] for guess in torch.cat(guesses).tolist()]


def accuracy(predicted: list[str], things: list[Thing], kind: str) -> tuple[int, float]:
    """The number of objects of a kind such as "small star", and the share that is right."""
    right = [
        shape == thing.shape
        for shape, thing in zip(predicted, things, strict=True)
        if kind in ("all", describe_thing(thing))
    ]
    return len(right), sum(right) / max(1, len(right))


def describe_thing(thing: Thing) -> str:
    return f"{thing.size} {thing.shape}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--clips", type=int, default=8000, help="to train on")
    parser.add_argument("--judged", type=int, default=600, help="to evaluate on")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    tokenizer, learned = load_tokenizer(arguments.model), arguments.clips
    scenes = sample_scenes(learned + arguments.judged, SEED, things=(1,))
    things, codes = [scene.things[0] for scene in scenes], encode_scenes(tokenizer, scenes, arguments.frames)
    shapes = torch.tensor([SHAPES.index(thing.shape) for thing in things[:learned]])
    reader = train_classifier(tokenizer.spec, codes[:learned], shapes, arguments.steps)
    read, drawn = (
        predicted_shapes(reader, codes[learned:]),
        decoded_shapes(tokenizer, codes[learned:], arguments.frames),
    )
    rows = {
        kind: (*accuracy(read, things[learned:], kind), accuracy(drawn, things[learned:], kind)[1])
        for kind in ("all", *(f"{size} {shape}" for shape in SHAPES for size in SIZES))
    }
    if arguments.json:
        columns = ("clips", "from the codes", "in the frames")
        table = {kind: dict(zip(columns, row, strict=True)) for kind, row in rows.items()}
        print(json.dumps({"hardware": describe(), "shapes": table}, indent=2))
        return
    print(f"{'':16} clips  from the codes  in the frames   ({describe()})")
    for kind, (count, of_codes, of_frames) in rows.items():
        print(f"{kind:16} {count:5}  {of_codes:14.0%}  {of_frames:13.0%}")


if __name__ == "__main__":
    main()
