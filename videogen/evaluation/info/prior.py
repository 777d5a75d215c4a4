"""Description of a prior: figures for programs, and lines for people."""

from dataclasses import asdict
from typing import Any

from videogen.models import PriorModel, count_parameters, sampler_of
from videogen.tokens.description import describe_control


def describe_prior(model: PriorModel) -> dict[str, Any]:
    """JSON types."""
    config, clips = model.config, model.clips
    return {
        **{name: value for name, value in asdict(config).items() if name != "context"},
        "parameters": count_parameters(model.network),
        "clips": asdict(clips),
        "window_seconds": config.window * model.spec.frames_per_latent / clips.fps,
        "text_tokens": None if model.conditioner is None else model.conditioner.length,
        "prompt_vocabulary": None if model.prompt_vocabulary is None else model.prompt_vocabulary.world,
        "bytes_of_a_stream": 4 * config.past_numbers,
        "sampler": asdict(sampler_of(model)),
        "fingerprint": model.fingerprint,
    }


def format_prior(model: PriorModel) -> dict[str, str]:
    """The lines of `videogen info` for a prior, which follow those for its tokenizer."""
    figures, config, clips = describe_prior(model), model.config, model.clips
    sampler = sampler_of(model)
    steps = sum(sampler.steps_of(group.tokens, number) for number, group in enumerate(model.spec.groups))
    return {
        "prior": config.summary,
        "prior's parameters": f"{figures['parameters']:,}",
        "trained": f"{'with masks' if config.objective == 'masked' else 'token by token'}, on clips of "
        f"{clips.frames} frames of {clips.height} x {clips.width} at {clips.fps:g} a second",
        "looks back": f"{config.window} latent frames ({figures['window_seconds']:.3g} s)",
        "a token": "continuous"
        if config.spec.continuous
        else f"codes of {' x '.join(map(str, config.spec.codebooks))}",
        "text": "none" if model.conditioner is None else f"{model.conditioner.length} tokens of a prompt",
        **({"captions": "written in the words of its prompts"} if model.writes_captions else {}),
        **format_prompts(model),
        **({} if config.control is None else {"control": f"{describe_control(config.control)} per latent frame"}),
        "past of a stream": f"{figures['bytes_of_a_stream'] / 2**20:.1f} MiB in float32",
        "sampled": f"order {sampler.order}, {steps} proposals per latent frame, "
        f"{sampler.first_frames_step_multiplier} x as many in the first two latent frames of a scene, "
        f"guidance {sampler.guidance_scale:g} ({sampler.guidance_schedule}), temperature {sampler.temperature:g}",
        "model's fingerprint": model.fingerprint,
    }


def format_prompts(model: PriorModel) -> dict[str, str]:
    """One line if the model has a prompt vocabulary."""
    vocabulary = model.prompt_vocabulary
    if vocabulary is None:
        return {}
    held_out = f"; held out of training: {', '.join(vocabulary.held_out_words)}" if vocabulary.held_out_words else ""
    return {"prompts": f"of the {vocabulary.world}, others are rewritten{held_out}"}
