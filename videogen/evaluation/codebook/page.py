"""README.md of a codebook report: the figures as tables, and every chart and picture with a sentence."""

from collections.abc import Mapping
from typing import Any

from videogen.evaluation.report.tables import markdown

PICTURES = {
    "usage.svg": "How many codes are used how often. *never* are dead codes, or codes that these clips do not need.",
    "ranks.svg": "Tokens of each code by its rank, both axes logarithmic. A healthy codebook is flat, then falls.",
    "perplexity.svg": "Perplexity over training, of a batch and of the held-out clips.",
    "bits.svg": "Bits of a code: stored as a number, after ideal entropy coding, and if the code at the same place in "
    "the latent frame before is known. The last is left out where tokens are too few to tell, and "
    "may be 0.2 bits too low.",
    "distances*.svg": "How far codes lie from the nearest other code, and latents from their own. The last column "
    "holds everything beyond.",
    "voronoi.png": "Cells of the codes: the darker, the more tokens; gray with a red cross: never used. Orange dots "
    "are latents. Codes of more than two numbers are projected: there a latent may belong to another cell.",
    "decoded.png": "A still latent frame filled with one code, decoded. If a token has several codebooks, the other "
    "codes are the most used ones.",
    "positions.svg": "Which share of the codes any clip uses in its first, second, ... latent frame.",
    "chunks.svg": "Which share of the codes is in use in successive chunks of the clips, and in all clips so far.",
}


def page_of(figures: Mapping[str, Any], files: list[str]) -> str:
    """The page; `files` are the names of the charts and pictures that were written."""
    sections = [f"# The codebook of {figures['model']['path']}", summary(figures)]
    sections += [table(figures[name]) for name in ("parts", "codebooks") if figures[name]]
    sections += [distance_table(figures["quantizers"])] if figures["quantizers"] else []
    for name, sentence in PICTURES.items():
        start, star, _ = name.partition("*")
        shown = [file for file in files if (file.startswith(start) if star else file == name)]
        if shown:
            sections += [sentence, "\n".join(f"![{file.partition('.')[0]}]({file})" for file in shown)]
    return "\n\n".join(sections) + "\n"


def summary(figures: Mapping[str, Any]) -> str:
    model, data = figures["model"], figures["data"]
    said = f"Quantizer: {model['quantizer']}; {model['bits']:.2f} bits a token."
    if data is None:
        return f"{said} Without clips: nothing is known about use."
    return (
        f"{said} Seen: {data['tokens']:,} tokens of {data['clips']:,} clips of {data['path']}, {data['frames']} frames "
        f"each. After ideal entropy coding of each code by itself a token has {data['entropy_bits']:.2f} bits."
    )


def table(parts: list[dict[str, Any]]) -> str:
    head = (
        "",
        "codes",
        "used",
        "never used",
        "these tokens can reach",
        "perplexity",
        "bits",
        "entropy",
        "given before",
    )
    rows = [head]
    for part in parts:
        given = part["conditional_entropy_bits"]
        rows.append(
            (
                part["name"],
                f"{part['codes']:,}",
                f"{part['used']:,} ({part['code_use']:.1%})",
                f"{part['dead']:,}",
                f"{part['code_use_reachable']:.1%}",
                f"{part['perplexity']:,.1f}",
                f"{part['bits']:.2f}",
                f"{part['entropy_bits']:.2f}",
                "too few tokens" if given is None else f"{given:.2f}",
            )
        )
    return markdown(rows)


def distance_table(quantizers: list[dict[str, Any]]) -> str:
    names = {"distance_to_nearest_code": "code to nearest code", "distance_of_latents_to_codes": "latent to its code"}
    rows: list[tuple[str, ...]] = [("distance", "least", "10 %", "median", "90 %", "most")]
    for each in quantizers:
        for key, name in names.items():
            if each[key] is not None:
                rows.append((f"{each['name']}: {name}", *(f"{value:.3g}" for value in each[key].values())))
    return markdown(rows) if len(rows) > 1 else "Distances: the codebook is too large, and there are no latents."
