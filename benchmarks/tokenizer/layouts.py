"""Decoding a stream, one latent frame at a time: each network and layout beside the convolutional grid.

All decode 64 x 64 pixels, four frames a latent frame, with decoders of about as many parameters; what paints the tokens
of a layout counts as decoder. Calls alternate, so that a disturbance affects all of them. Then 1,000 latent frames of
each: the state must not grow, nor the memory of the process.
"""

import argparse
import json
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.tokenizer.streaming import interleaved, memory_of_a_long_stream
from interfaces.prior import Text
from interfaces.text import CaptionInput
from tokenizer.networks.condition.config import CrossAttentionConfig, FilmConfig
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.networks.kinds import TokenizerConfig, make_tokenizer
from tokenizer.networks.latent import DECODER_WEIGHTS, LatentTokenizer
from tokenizer.networks.layouts import (
    CoarseFineConfig,
    GridConfig,
    KeyframesConfig,
    LineConfig,
    PyramidConfig,
)
from tokenizer.networks.pictures import PictureEncoderConfig
from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.quantize import ContinuousConfig, FSQConfig, ProductConfig, VQConfig
from tokenizer.streaming import State, flatten_state
from videogen.system.hardware import describe

SIDE = 64  # pixels
FSQ = FSQConfig(levels=(8, 8, 8, 5, 5, 5))
CNN = CNNTokenizerConfig(
    f_t=4,
    f_s=8,
    front="haar",
    front_t=4,
    front_s=4,
    encoder_widths=(64, 128),
    encoder_blocks=(1, 2),
    decoder_widths=(64, 160),
    decoder_blocks=(1, 3),
    attention=True,
    kernel_t=3,
    quantizer=FSQ,
    spread_weight=0.1,
)
WORDS = CaptionInput(length=16, vocabulary=512, features=None)
CASES: dict[str, TokenizerConfig] = {
    "cnn, grid": CNN,
    "cnn, grid merged 2 x 2": replace(
        CNN, layout=GridConfig(merge=2), quantizer=ProductConfig(quantizer=FSQ, dim=24, groups=4, shared=True)
    ),
    "cnn, coarse and fine": replace(CNN, layout=CoarseFineConfig(width=64)),
    "cnn, pyramid 1 2 4 8": replace(
        CNN, layout=PyramidConfig(scales=(8, 4, 2, 1)), quantizer=VQConfig(size=1024, dim=8)
    ),
    "cnn, key pictures": replace(
        CNN,
        layout=KeyframesConfig(width=64, pictures=PictureEncoderConfig(96, (1, 2)), key_factor=2, motion_factor=4),
    ),
    "cnn, 32 on a line": replace(
        CNN, layout=LineConfig(tokens=32, width=64, heads=4, blocks=1, decoder_blocks=1), decoder_widths=(64, 152)
    ),
    "cnn, continuous": replace(CNN, quantizer=ContinuousConfig(dim=16)),
    "cnn, captions by film": replace(CNN, condition=FilmConfig(width=64, dropout=0.1, input=WORDS)),
    "cnn, captions by attention": replace(
        CNN, condition=CrossAttentionConfig(width=64, heads=4, dropout=0.1, input=WORDS)
    ),
    "transformer, grid": TransformerTokenizerConfig(
        f_t=4,
        f_s=8,
        front="haar",
        width=192,
        heads=4,
        encoder_blocks=2,
        decoder_blocks=2,
        window=8,
        window_t=4,
        mlp_ratio=2,
        quantizer=FSQ,
        spread_weight=0.1,
    ),
    "factorized, grid": FactorizedTokenizerConfig(
        f_t=4,
        f_s=8,
        front="haar",
        front_s=4,
        encoder_widths=(64, 128),
        encoder_blocks=(1, 2),
        encoder_time_blocks=2,
        decoder_widths=(64, 208),
        decoder_blocks=(1, 1),
        decoder_time_blocks=2,
        attention=True,
        kernel_t=3,
        quantizer=FSQ,
        spread_weight=0.1,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--frames", type=int, default=1000, help="latent frames of the memory test")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = measure(list(dict.fromkeys([next(iter(CASES)), *arguments.cases])), arguments.rounds, arguments.frames)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


@torch.no_grad()
def measure(names: list[str], rounds: int, frames: int) -> dict[str, Any]:
    """Figures of each case; the first is what the others are compared with."""
    models = {name: random_model(CASES[name]) for name in names}
    streams = {name: RandomStream(model) for name, model in models.items()}
    seconds = dict(zip(names, interleaved([stream.step for stream in streams.values()], rounds), strict=True))
    rows = []
    for name, model in models.items():
        stream = streams[name]
        rows.append(
            {
                "case": name,
                "tokens": stream.spec.tokens,
                "decoder_parameters": decoder_parameters(model),
                "decode_ms": 1e3 * seconds[name],
                "ratio": seconds[name] / seconds[names[0]],
                "state_kib": sum(leaf.nbytes for leaf in flatten_state(stream.state).values()) / 1024,
                **memory_of_a_long_stream(model, stream.newest, stream.spec, frames),
            }
        )
    return {"hardware": describe(), "torch": torch.__version__, "threads": torch.get_num_threads(), "cases": rows}


class RandomStream:
    """A stream of random tokens that has run for a few latent frames."""

    def __init__(self, model: LatentTokenizer):
        self.model, self.spec = model, model.spec(SIDE, SIDE)
        self.newest = random_tokens(model)
        start = model.begin_decoding(CAPTION) if model.conditional else None
        _, state = model.decode(self.newest.expand(-1, 8, -1, -1), self.spec, start)
        assert state is not None
        self.state: State = state

    def step(self) -> Tensor:
        return self.model.decode(self.newest, self.spec, self.state)[0]


CAPTION = Text(torch.arange(1, WORDS.length + 1)[None], torch.ones(1, WORDS.length, dtype=torch.bool))


def random_model(config: TokenizerConfig) -> LatentTokenizer:
    torch.manual_seed(0)
    return make_tokenizer(config).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def random_tokens(model: LatentTokenizer) -> Tensor:
    spec, generator = model.spec(SIDE, SIDE), torch.Generator().manual_seed(0)
    if spec.continuous:
        return torch.randn(1, 1, spec.tokens, spec.depth, generator=generator)
    codes = [torch.randint(size, (1, 1, spec.tokens), generator=generator) for size in spec.codebooks]
    return torch.stack(codes, dim=-1)


def decoder_parameters(model: LatentTokenizer) -> int:
    named = model.named_parameters()
    return sum(weights.numel() for name, weights in named if name.startswith(DECODER_WEIGHTS))


def table(figures: dict[str, Any]) -> str:
    head = "streaming decode of 64 x 64 pixels on {hardware}, torch {torch}, {threads} thread(s)\n".format(**figures)
    row = (
        "  {case:<30} {tokens:>3} tokens  {decoder_parameters:>9,} parameters  {decode_ms:5.2f} ms a latent frame  "
        "{ratio:4.2f} x  state {state_kib:5.0f} KiB  {grown_mb:+.1f} MB over {latent_frames} latent frames"
    )
    return head + "\n".join(row.format(**each) for each in figures["cases"])


if __name__ == "__main__":
    main()
