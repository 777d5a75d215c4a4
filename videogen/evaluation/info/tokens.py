"""Description of a token set: figures for programs, and lines for people."""

from dataclasses import asdict
from typing import Any

from videogen.evaluation.info.spec import format_codes, format_groups
from videogen.tokens import TokenSet
from videogen.tokens.description import describe_control


def describe_tokens(tokens: TokenSet) -> dict[str, Any]:
    """JSON types."""
    known, spec = tokens.description, tokens.description.spec
    latent_frames = int(tokens.latent_frames().sum())
    return {
        "folder": str(tokens.folder),
        "clips": known.count,
        "frames": int(tokens.frames().sum()),
        "latent_frames": latent_frames,
        "tokens": latent_frames * spec.tokens,
        "spec": asdict(spec),
        "made_of": asdict(known.clips),
        "control": None if known.control is None else asdict(known.control),
        "shards": known.shards,
        "tokenizer": known.tokenizer,
        "data": known.data,
    }


def format_tokens(tokens: TokenSet) -> dict[str, str]:
    """The lines of `videogen info` for a token set."""
    figures, clips, spec = describe_tokens(tokens), tokens.description.clips, tokens.description.spec
    longest = "" if clips.frames is None else f", at most {clips.frames} of a clip"
    control = tokens.description.control
    actions = {} if control is None else {"control": f"{describe_control(control)} per latent frame"}
    return {
        "folder": figures["folder"],
        "clips": f"{figures['clips']:,} in {figures['shards']:,} {'shard' if figures['shards'] == 1 else 'shards'}",
        "frames": f"{figures['frames']:,} of {clips.height} x {clips.width} at {clips.fps:g} a second{longest}",
        "latent frames": f"{figures['latent_frames']:,} of {spec.tokens} tokens ({format_groups(spec)})",
        "tokens": f"{figures['tokens']:,} of {format_codes(spec)}",
        "frames per latent frame": f"{spec.frames_per_latent}, the first {spec.first_frames}",
        **actions,
        "tokenizer's fingerprint": figures["tokenizer"],
        "clips' fingerprint": figures["data"],
    }
