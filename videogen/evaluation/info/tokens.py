"""What a set of tokens is: as figures for programs, and in words."""

from dataclasses import asdict
from typing import Any

from videogen.tokens import TokenSet


def describe_tokens(tokens: TokenSet) -> dict[str, Any]:
    """Plain figures."""
    known = tokens.description
    latent_frames = int(tokens.latent_frames().sum())
    return {
        "folder": str(tokens.folder),
        "clips": known.clips,
        "pictures": int(tokens.pictures().sum()),
        "latent_frames": latent_frames,
        "grid": list(known.grid),
        "tokens": latent_frames * known.grid[0] * known.grid[1],
        "made_of": asdict(known.cut),
        "f_s": known.f_s,
        "f_t": known.f_t,
        "codes": known.vocabulary,
        "shards": known.shards,
        "tokenizer": known.tokenizer,
        "data": known.data,
    }


def format_tokens(tokens: TokenSet) -> dict[str, str]:
    """What `videogen info` says of a folder that `videogen encode` made."""
    figures, cut = describe_tokens(tokens), tokens.description.cut
    height, width = figures["grid"]
    longest = "" if cut.frames is None else f", at most {cut.frames} of a clip"
    return {
        "folder": figures["folder"],
        "clips": f"{figures['clips']:,} in {figures['shards']:,} {'shard' if figures['shards'] == 1 else 'shards'}",
        "pictures": f"{figures['pictures']:,} of {cut.height} x {cut.width} at {cut.fps:g} a second{longest}",
        "latent frames": f"{figures['latent_frames']:,} of {height * width} tokens ({height} x {width})",
        "tokens": f"{figures['tokens']:,} of {figures['codes']:,} codes",
        "compression": f"{figures['f_s']} x {figures['f_s']} in space, {figures['f_t']} in time",
        "tokenizer's fingerprint": figures["tokenizer"],
        "clips' fingerprint": figures["data"],
    }
