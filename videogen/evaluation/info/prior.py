"""Description of a prior: figures for programs, and lines for people."""

from dataclasses import asdict
from typing import Any, Literal

from prior.config import PriorConfig
from videogen.evaluation.lab.roofline import pass_cost
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
    operations = frame_operations(config, steps, 2 if sampler.guided else 1)
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
        "memory of the prior": format_memory(config, figures["parameters"], "float32"),
        "in bfloat16": format_memory(config, figures["parameters"], "bfloat16"),
        "sampled": f"order {sampler.order}, {steps} proposals per latent frame, "
        f"{sampler.first_frames_step_multiplier} x as many in the first two latent frames of a scene, "
        f"guidance {sampler.guidance_scale:g} ({sampler.guidance_schedule}), temperature {sampler.temperature:g}",
        **({} if operations is None else {"to sample a latent frame": f"{operations / 1e9:.3g} GFLOP"}),
        "model's fingerprint": model.fingerprint,
    }


def format_memory(config: Any, parameters: int, dtype: Literal["float32", "bfloat16"]) -> str:
    """Of the weights and of the past of a stream; with guidance a video is two streams."""
    size = 2 if dtype == "bfloat16" else 4
    sizes = (f"{size * numbers / 2**20:.1f} MiB" for numbers in (parameters, config.past_numbers))
    return "{} of weights, {} of past for a stream".format(*sizes)


def frame_operations(config: Any, steps: float, streams: int) -> float | None:
    """Of all proposals of a latent frame, if each is about all of its tokens; None for a prior that is no Llama."""
    if not isinstance(config, PriorConfig):
        return None
    first, later = (pass_cost(config, frames, config.spec.tokens, streams, width=4) for frames in (2, 1))
    return first.operations + (steps - 1) * later.operations


def format_prompts(model: PriorModel) -> dict[str, str]:
    """One line if the model has a prompt vocabulary."""
    vocabulary = model.prompt_vocabulary
    if vocabulary is None:
        return {}
    held_out = f"; held out of training: {', '.join(vocabulary.held_out_words)}" if vocabulary.held_out_words else ""
    return {"prompts": f"of the {vocabulary.world}, others are rewritten{held_out}"}
