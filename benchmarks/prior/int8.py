"""Matrices in 8 bits: the speedup of a proposal on a CPU, and the share of tokens that equal those in float32.

    python -m benchmarks.prior.int8 [--model DIR] [--clips N] [--rounds N] [--threads N] [--json]

One scale per matrix row, activations scaled dynamically. Tokens of first latent frames, six tenths of them masked, are
sampled twice with the same random numbers, so that only the rounding of weights makes a difference. Below 99 % it is
another model, which is why videogen does not offer this precision.
"""

import argparse
import copy
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import Call, device_setting, ratio, time_alternately
from interfaces.prior import Text
from prior.model import LlamaPrior, as_llama
from videogen.evaluation.generation.prompts import read_prompts
from videogen.models import BUNDLED
from videogen.pipeline import VideoPipeline
from videogen.system.hardware import describe

MASKED = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.model, given.clips, given.rounds, given.threads)
    print(json.dumps(figures, indent=2) if given.json else table(figures))


@torch.no_grad()
def measure(model: Path, clips: int, rounds: int, threads: int) -> dict[str, Any]:
    where, pipe = device_setting(threads), VideoPipeline.from_pretrained(model)
    prompts = list(read_prompts(f"playroom:{clips}").captions)
    codes_BNK = torch.as_tensor(pipe(prompts, num_frames=1, generator=0, output_type="codes").frames)[:, 0]
    assert pipe.model.conditioner is not None, "the model must take text"
    text, exact = pipe.model.conditioner(prompts), as_llama(pipe.model.network)
    rounded = quantize(exact)
    generator = torch.Generator().manual_seed(0)
    known_BN = torch.rand(codes_BNK.shape[:2], generator=generator) >= MASKED
    uniforms = torch.rand(*codes_BNK.shape[:2], sum(exact.spec.codebooks), generator=generator)
    noise = -torch.log(-torch.log(uniforms))
    same = draw_codes(exact, codes_BNK, known_BN, text, noise) == draw_codes(rounded, codes_BNK, known_BN, text, noise)
    one = slice(0, 1)
    calls = {
        name: proposal_call(each, codes_BNK[one], known_BN[one], text.rows(one))
        for name, each in (("float32", exact), ("int8", rounded))
    }
    times = time_alternately(calls, rounds, where)
    return {
        "hardware": describe(),
        **where.description,
        "float32_over_int8": ratio(times["float32"], times["int8"]),
        "codes_equal": float(same[~known_BN].float().mean()),
        "tokens_equal": float(same.all(-1)[~known_BN].float().mean()),
    }


def quantize(network: LlamaPrior) -> LlamaPrior:
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch recommends its torchao package
        rounded: LlamaPrior = quantize_dynamic(  # type: ignore[no-untyped-call]
            copy.deepcopy(network), {nn.Linear: per_channel_dynamic_qconfig}
        )
    return rounded


def draw_codes(network: LlamaPrior, codes_BNK: Tensor, known_BN: Tensor, text: Text, noise: Tensor) -> Tensor:
    """Codes [B, N, K] of every token, drawn as the maximum of log-probability plus Gumbel noise."""
    past = network.begin(text, len(codes_BNK))
    proposal, _ = network.propose(codes_BNK, known_BN, past)
    drawn = codes_BNK[..., :0]
    for part in torch.split(noise, list(network.spec.codebooks), -1):
        log_p = network.head(proposal.features, drawn).log_softmax(-1)
        drawn = torch.cat([drawn, (log_p + part).argmax(-1, keepdim=True)], -1)
    return drawn


def proposal_call(network: LlamaPrior, codes_BNK: Tensor, known_BN: Tensor, text: Text) -> Call:
    past = network.begin(text, len(codes_BNK))
    return lambda: network.propose(codes_BNK, known_BN, past)


def table(figures: dict[str, Any]) -> str:
    return (
        "{hardware}, torch {torch}, {device}, {clock}\n"
        "a proposal in float32 takes {float32_over_int8:.2f} x the time of one in int8\n"
        "equal with the same random numbers: {tokens_equal:.1%} of tokens, {codes_equal:.1%} of codes"
    ).format(**figures)


if __name__ == "__main__":
    main()
